"""A fake SwanLab server that implements the documented HTTP API, for tests and benchmarks."""

from __future__ import annotations

from tests.fake_swanlab.app import create_app
from tests.fake_swanlab.faults import Dropped, Fault
from tests.fake_swanlab.server import serve
from tests.fake_swanlab.state import (
    BEGINNING,
    Call,
    Experiment,
    LogLine,
    Media,
    Project,
    Reading,
    SelfHosted,
    State,
    User,
    Variants,
    Workspace,
    build_sample_state,
)

__all__ = [
    "BEGINNING",
    "Call",
    "Dropped",
    "Experiment",
    "Fault",
    "LogLine",
    "Media",
    "Project",
    "Reading",
    "SelfHosted",
    "State",
    "User",
    "Variants",
    "Workspace",
    "build_sample_state",
    "create_app",
    "serve",
]
