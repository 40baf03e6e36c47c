"""A fake SwanLab that follows the service's wire description, endpoint by endpoint."""

from __future__ import annotations

from tests.fake_swanlab.app import create_app
from tests.fake_swanlab.server import serve
from tests.fake_swanlab.state import (
    BEGINNING,
    Experiment,
    Fault,
    LogLine,
    Media,
    Project,
    State,
    Variants,
    build_sample_state,
)

__all__ = [
    "BEGINNING",
    "Experiment",
    "Fault",
    "LogLine",
    "Media",
    "Project",
    "State",
    "Variants",
    "build_sample_state",
    "create_app",
    "serve",
]
