"""The data and faults of the fake SwanLab, and settings for behaviour that SwanLab does not document."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from tests.fake_swanlab.faults import Fault

Point = tuple[int, float] | tuple[int, float, int]
BEGINNING = datetime(2024, 11, 23, 12, 28, 4, 286000, tzinfo=timezone.utc)


def show_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass
class User:
    username: str
    name: str
    api_key: str
    is_verified: bool = True
    profile: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Session:
    user: User
    ends: float = math.inf


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


class Reading(NamedTuple):
    """A point of a metric. `timestamp` is in Unix milliseconds."""

    step: int
    value: float
    timestamp: int


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
    """An experiment. `wire` overrides or adds fields in responses, for example to send null."""

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
    updated_at: datetime | None = None
    is_pinned: bool = False
    pinned_at: datetime | None = None
    is_baseline: bool = False
    colors: list[str] = field(default_factory=list)
    clone_of: tuple[Project, Experiment] | None = None
    metrics: dict[str, Sequence[Point]] = field(default_factory=dict)
    media: dict[str, list[Media]] = field(default_factory=dict)
    logs: list[LogLine] = field(default_factory=list)
    wire: dict[str, Any] = field(default_factory=dict)

    def time_of(self, step: int) -> int:
        """Return the default time of a step in Unix milliseconds. Steps are one second apart."""
        return int(self.created_at.timestamp() * 1000) + step * 1000

    def read(self, key: str) -> list[Reading]:
        """Return the points of a metric sorted by step. If a step has several points, only the last one is returned."""
        found = {point[0]: point for point in self.metrics.get(key, ())}
        return [
            Reading(step, point[1], point[2] if len(point) == 3 else self.time_of(step))
            for step, point in sorted(found.items())
        ]


@dataclass
class Project:
    """A project. `wire` overrides or adds fields in responses, for example to send null."""

    cuid: str
    name: str
    workspace: Workspace
    description: str | None = ""
    visibility: str = "PUBLIC"
    created_at: datetime = BEGINNING
    updated_at: datetime | None = None
    labels: list[str] = field(default_factory=list)
    experiments: list[Experiment] = field(default_factory=list)
    children: int = 0
    wire: dict[str, Any] = field(default_factory=dict)


@dataclass
class Variants:
    """Settings for behaviour that SwanLab does not document or documents ambiguously.

    `lacking` contains regular expressions for endpoints that do not exist. Requests to them return `missing_status`.
    """

    wrapped_config: bool = True
    page_counts: bool = True
    personal_workspace_listed: bool = True
    groups_call: Literal["both", "legacy", "current"] = "both"
    missing_status: Literal[400, 404, 405] = 404
    lacking: Sequence[str] = ()
    summaries: Literal["current", "legacy", "both"] = "current"
    extremes: Literal["index", "step", "bare", "absent"] = "index"
    extremes_of_non_finite: Literal["ignore", "include"] = "ignore"
    spelling: Literal["NaN", "INF", "Infinity", "bare"] = "INF"
    stranger_status: Literal[403, 404] = 404
    page_beyond_last: Literal["empty", "error"] = "empty"
    shows_profile: bool = False
    needs_created_at: bool = True
    absent_keys: Literal["empty", "left_out"] = "empty"
    relative_time_ms: bool = True
    csv_nan: str = "nan"
    csv_infinity: str = "inf"
    logs_filter_first: bool = True
    logs_count_total: bool = True
    error_codes_are_numbers: bool = False

    @classmethod
    def old_server(cls, missing_status: Literal[400, 404, 405] = 404) -> Variants:
        """Return the variants for an old server, which supports only the endpoints used by SDK 0.5 to 0.7."""
        return cls(
            page_counts=False,
            groups_call="legacy",
            missing_status=missing_status,
            lacking=("/house/metrics/(?!summaries)", "/runs/shows$", "/(files|resources)/presigned/"),
            summaries="legacy",
            needs_created_at=False,
        )


@dataclass
class SelfHosted:
    enabled: bool = True
    expired: bool = False
    plan: Literal["free", "commercial"] = "free"
    seats: int = 10


@dataclass
class Call:
    """A request as it arrived. `raw_path` is not decoded."""

    method: str
    raw_path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int = 0
    raw_query: str = ""

    @property
    def path(self) -> str:
        return unquote(self.raw_path)


@dataclass
class State:
    """The state of the fake server, including its data and request log.

    `session_days` sets the expiry time in login responses. Sessions expire at that time. If the time is in the past,
    sessions do not expire, as on a server with a wrong clock.
    """

    users: list[User] = field(default_factory=list)
    workspaces: list[Workspace] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    variants: Variants = field(default_factory=Variants)
    faults: list[Fault] = field(default_factory=list)
    session_days: float = 30.0
    latency: float = 0.0
    self_hosted: SelfHosted = field(default_factory=SelfHosted)
    sessions: dict[str, Session] = field(default_factory=dict)
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
        """Add a workspace. `roles` maps usernames to roles. Write `_` for `-` in usernames."""
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
        # SwanLab lists the newest experiment first
        project.experiments.insert(0, experiment)
        return experiment

    def end_sessions(self) -> None:
        self.sessions.clear()

    def spell(self, value: float | None) -> Any:
        """Return a number in the format of SwanLab's responses.

        Non-finite values become strings. With the spelling "bare", they are left unchanged, which results in invalid
        JSON.
        """
        if value is None or self.variants.spelling == "bare":
            return value
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            word = "Infinity" if self.variants.spelling == "Infinity" else "INF"
            return word if value > 0 else f"-{word}"
        return value

    def get_calls(self, path: str) -> Sequence[Call]:
        return [call for call in self.calls if re.search(path, call.raw_path)]


def build_sample_state() -> State:
    """Return a state with the data from the examples in SwanLab's OpenApi documentation."""
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
