"""What the fake SwanLab knows, how it answers where the real one's habits are not known, and the faults it plays."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

Point = tuple[int, float]
BEGINNING = datetime(2024, 11, 23, 12, 28, 4, 286000, tzinfo=timezone.utc)


def show_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass
class User:
    username: str
    name: str
    api_key: str
    is_verified: bool = True


@dataclass
class Workspace:
    username: str
    name: str
    type: Literal["PERSON", "TEAM"] = "TEAM"
    roles: dict[str, str] = field(default_factory=dict)
    comment: str = ""
    profile: dict[str, str] = field(default_factory=dict)

    def to_wire(self, username: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "username": self.username,
            "type": self.type,
            "role": self.roles.get(username, "VISITOR"),
            "profile": self.profile,
            "comment": self.comment,
        }


@dataclass
class Media:
    step: int
    paths: list[str]
    captions: list[str] = field(default_factory=list)


@dataclass
class LogLine:
    epoch: int
    message: str
    level: str = "INFO"
    tag: str = ""
    timestamp: str = ""


@dataclass
class Experiment:
    cuid: str
    name: str
    description: str | None = ""
    state: str = "FINISHED"
    created_at: datetime = BEGINNING
    finished_at: datetime | None = None
    user: dict[str, str] | None = None
    slug: str | None = None
    type: str = "CHAPTER"
    show: bool = True
    labels: list[str] = field(default_factory=list)
    cluster: str | None = None
    job: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None
    requirements: str | None = None
    conda: str | None = None
    has_profile: bool = True
    is_pinned: bool = False
    clone_of: tuple[Project, Experiment] | None = None
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    media: dict[str, list[Media]] = field(default_factory=dict)
    logs: list[LogLine] = field(default_factory=list)

    def time_of(self, step: int) -> int:
        """Return the Unix milliseconds of a step: one second per step."""
        return int(self.created_at.timestamp() * 1000) + step * 1000


@dataclass
class Project:
    cuid: str
    name: str
    workspace: Workspace
    description: str | None = ""
    visibility: str = "PUBLIC"
    created_at: datetime = BEGINNING
    updated_at: datetime | None = None
    labels: list[str] = field(default_factory=list)
    experiments: list[Experiment] = field(default_factory=list)


@dataclass
class Variants:
    """Both readings of what the wire page marks (?) or does not know (its section 8)."""

    wrapped_config: bool = True
    page_counts: bool = True
    personal_workspace_listed: bool = True
    groups_call: Literal["both", "legacy", "current"] = "both"
    missing_status: Literal[400, 404, 405] = 404
    summaries: Literal["current", "legacy", "both"] = "current"
    extremes: Literal["index", "step", "bare", "absent"] = "index"
    extremes_of_non_finite: Literal["ignore", "include"] = "ignore"
    spelling: Literal["NaN", "INF", "Infinity"] = "INF"
    stranger_status: Literal[403, 404] = 404
    page_beyond_last: Literal["empty", "error"] = "empty"
    shows_profile: bool = False
    needs_created_at: bool = True
    relative_time_ms: bool = True
    csv_nan: str = "nan"
    csv_infinity: str = "inf"
    logs_filter_first: bool = True
    logs_count_total: bool = True
    error_codes_are_numbers: bool = False


@dataclass
class Fault:
    """What happens instead of the answer, for the first `times` requests that match (None: all of them).

    `skip` lets that many matching requests pass before. `delay` seconds pass before anything else.
    """

    path: str = ""
    method: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    times: int | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    slow_body: float = 0.0
    is_dropped: bool = False
    is_truncated: bool = False

    def takes(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        if self.method not in ("", method) or not re.search(self.path, path):
            return False
        if any(query.get(name) != value for name, value in self.query.items()) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Call:
    """One request as it arrived; `raw_path` is not decoded."""

    method: str
    raw_path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int = 0


@dataclass
class State:
    users: list[User] = field(default_factory=list)
    workspaces: list[Workspace] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    variants: Variants = field(default_factory=Variants)
    faults: list[Fault] = field(default_factory=list)
    session_days: float = 30.0
    latency: float = 0.0
    sessions: dict[str, User] = field(default_factory=dict)
    logins: int = 0
    calls: list[Call] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    in_flight: int = 0
    max_in_flight: int = 0
    exports: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def add_user(self, username: str, name: str = "", api_key: str = "test-key", *, is_verified: bool = True) -> User:
        user = User(username, name or username, api_key, is_verified)
        self.users.append(user)
        return user

    def add_workspace(
        self, username: str, name: str = "", kind: Literal["PERSON", "TEAM"] = "TEAM", **roles: str
    ) -> Workspace:
        """Add a workspace; `roles` are given by username with `_` for `-`."""
        workspace = Workspace(
            username, name or username, kind, {who.replace("_", "-"): role for who, role in roles.items()}
        )
        self.workspaces.append(workspace)
        return workspace

    def add_project(self, workspace: Workspace, name: str, **fields: Any) -> Project:
        cuid = fields.pop("cuid", f"project{len(self.projects) + 1:03d}")
        created = fields.pop("created_at", BEGINNING + timedelta(hours=len(self.projects)))
        project = Project(cuid, name, workspace, created_at=created, **fields)
        self.projects.append(project)
        return project

    def add_experiment(self, project: Project, name: str, **fields: Any) -> Experiment:
        number = sum(len(one.experiments) for one in self.projects) + 1
        cuid = fields.pop("cuid", f"exp{number:05d}")
        created = fields.pop("created_at", BEGINNING + timedelta(minutes=number))
        owner = self.users[0] if self.users else None
        user = fields.pop("user", {"username": owner.username, "name": owner.name} if owner else None)
        experiment = Experiment(cuid, name, created_at=created, user=user, **fields)
        # SwanLab lists the newest first
        project.experiments.insert(0, experiment)
        return experiment

    def end_sessions(self) -> None:
        self.sessions.clear()

    def spell(self, value: float) -> Any:
        """Return a number as the wire writes it: strings for what is not finite."""
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            word = "Infinity" if self.variants.spelling == "Infinity" else "INF"
            return word if value > 0 else f"-{word}"
        return value

    def get_calls(self, path: str) -> Sequence[Call]:
        return [call for call in self.calls if re.search(path, call.raw_path)]


def build_sample_state() -> State:
    """Return the world of the OpenApi document's examples."""
    state = State()
    state.add_user("kites-test3", "Kites Test")
    personal = state.add_workspace("kites-test3", "workspace1", "PERSON", kites_test3="OWNER")
    state.add_workspace("kites-test2", "hello-openapi", kites_test3="MEMBER")
    project = state.add_project(
        personal, "project1", cuid="project1", description="Description 1", created_at=BEGINNING
    )
    losses = [(step, 0.2 + 0.5 / (1 + step)) for step in range(48)]
    losses[0], losses[33], losses[47] = (0, 0.7108771095136294), (33, 0.1745886406861026), (47, 0.1907215012216071)
    state.add_experiment(
        project,
        "experiment1",
        cuid="cuid1",
        description="This is a test experiment",
        created_at=BEGINNING,
        config={"lr": 0.001, "epochs": 10},
        requirements="torch==2.5.0\nswanlab==0.6.5",
        conda="name: base",
        metadata={"hostname": "gpu-node-01", "python": "3.11.7"},
        metrics={"loss": losses, "acc": [(step, step / 50) for step in range(48)]},
    )
    return state
