"""Questions that an agent has during a night: decide, find duplicates, wait, and continue after losing its context."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.operations.wait_cursor import Cursor, write_cursor
from tests.evals.night import BEST, FIRST_LOOK, KEY, build_night, draw
from tests.evals.runner import Call, Case
from tests.fake_swanlab import BEGINNING, Fault, State
from tests.fake_swanlab.state import show_time

__all__ = ["NIGHT_CASES", "build_evening"]

_NIGHT: dict[str, Any] = {"project": "night"}
_NEWEST = BEGINNING + timedelta(days=3)


def build_evening(state: State) -> State:
    """Add the night's project, with running experiments, settings to decide on, and a crash at the second poll."""
    night = build_night(state, 11)
    project = state.projects[-1]
    source = random.Random(5)

    def add(name: str, level: float, config: Mapping[str, Any], **fields: Any) -> Any:
        metrics = fields.pop("metrics", {KEY: draw(source, level, 0, 100)})
        moment = BEGINNING + timedelta(days=1)
        return state.add_experiment(
            project, name, cuid=name, config=dict(config), metrics=metrics, created_at=moment, **fields
        )

    for seed in range(3):
        add(f"wide-{seed}", 0.3, {"lr": 0.07, "optimizer": "adamw", "width": 512, "seed": seed})
        add(f"deep-{seed}", 0.9, {"lr": 0.07, "optimizer": "rmsprop", "width": 512, "seed": seed})
    add("near-0", 0.4975, {"lr": 0.07, "optimizer": "adagrad", "width": 512, "seed": 0})
    broken = [*draw(source, 0.4, 0, 60), *((step, math.nan) for step in range(60, 100))]
    add("broken", 0.4, {"lr": 9.0, "optimizer": "sgd", "width": 512, "seed": 0}, metrics={KEY: broken})
    add("no-seed", 0.7, {"lr": 0.08, "optimizer": "sgd", "width": 512})
    crasher = add("crasher", 0.6, {"lr": 0.09, "optimizer": "sgd", "width": 512, "seed": 0}, state="RUNNING")
    for name in ("plan-0", BEST):
        night.start(name)
    night.advance_by = FIRST_LOOK
    night.advance()
    polls = iter(range(1000))
    crash = Fault("/night/runs$", then=lambda: setattr(crasher, "state", "CRASHED") if next(polls) == 1 else None)
    state.faults.append(crash)
    ended = add("ended", 0.6, {"lr": 0.11, "optimizer": "sgd", "width": 512, "seed": 0})
    ended.state, ended.finished_at, ended.created_at = "CRASHED", _NEWEST, _NEWEST
    return state


def _write_cursor(days: float, *running: str) -> str:
    """Return an earlier session's cursor. Its newest experiment was created this many days after BEGINNING."""
    moment = round((BEGINNING + timedelta(days=days)).timestamp() * 1000)
    names = frozenset(hashlib.sha256(cuid.encode()).hexdigest()[:8] for cuid in running)
    return write_cursor(Cursor(moment, names, frozenset()), ProjectRef("kites-test3", "night"))


def _compare(name: str) -> Sequence[Call]:
    return [("compare_experiments", {**_NIGHT, "exp_cuids": [name], "metrics": [KEY], "baseline": "base-0"})]


def _find(config: Any) -> Sequence[Call]:
    return [("find_similar_experiments", {**_NIGHT, "config": config, "size": 1})]


def _wait(*until: str, **more: Any) -> Sequence[Call]:
    return [("wait_for_experiments", {**_NIGHT, "until": until, "timeout": 5, **more})]


def _forecast(name: str) -> Sequence[Call]:
    return [("forecast_experiment", {**_NIGHT, "exp_cuid": name, "metric": KEY})]


_SINCE = show_time(BEGINNING + timedelta(days=2, hours=12))
_DECIDE = (
    (
        "keep-the-wide-one",
        "Do we keep the wide network?",
        _compare("wide-0"),
        [r"adamw \| keep \|.*\| 3$", "Baseline: "],
        ["discard"],
    ),
    ("discard-the-deep-one-zh", "深的网络要保留吗？", _compare("deep-1"), ["discard"], [r"\bkeep\b"]),
    (
        "is-one-seed-enough",
        "near-0 looks a bit better than the baseline; keep it?",
        _compare("near-0"),
        ["discard", "too small to detect"],
        [r"\bkeep\b"],
    ),
    ("broken-run-zh", "broken 这次实验比基线好吗？", _compare("broken"), ["discard", "NaN"], [r"\bkeep\b"]),
    ("still-running-zh", "plan-0 现在能决定去留吗？", _compare("plan-0"), ["cannot tell", "running"], [r"\bkeep\b"]),
    ("kill-the-bad-one", "Should plan-0 go on?", _forecast("plan-0"), ["advice: kill"], ["advice: keep"]),
    ("let-the-good-one-run-zh", "plan-9 值得继续跑吗？", _forecast(BEST), ["advice: keep"], ["advice: kill"]),
    (
        "decide-both-zh",
        "宽的和深的网络，哪个值得留下？",
        [*_compare("wide-0"), *_compare("deep-0")],
        ["keep", "discard"],
        [],
    ),
)
_DUPLICATES = (
    (
        "renamed-duplicate",
        "Has learning_rate=0.03 with sgd and width 64 been run?",
        _find("learning_rate=0.03, optim=sgd, width=64"),
        ["old-0", r"true"],
        [],
    ),
    (
        "nested-duplicate-zh",
        "optimizer.lr=0.01、adam、宽度 32 跑过吗？",
        _find({"optimizer": {"lr": 0.01, "name": "adam"}, "width": 32}),
        ["old-1", "true"],
        [],
    ),
    (
        "seed-is-no-new-setting-zh",
        "换个种子 7 再跑 lr=0.3、adam、64 算新设置吗？",
        _find({"lr": 0.3, "optimizer": "adam", "width": 64, "seed": 7}),
        ["old-3", "true"],
        [],
    ),
    (
        "never-tried",
        "Did anyone try lion with lr 5?",
        _find("lr=5, optimizer=lion, width=64"),
        ["0 of the", "false"],
        [],
    ),
    (
        "unknown-setting-zh",
        "dropout=0.1 有人试过吗？",
        _find("dropout=0.1, lr=0.01"),
        ["dropout.*effect is unknown"],
        [],
    ),
    (
        "like-the-wide-one",
        "What is most like wide-0?",
        [("find_similar_experiments", {**_NIGHT, "exp_cuid": "wide-0", "size": 2})],
        ["wide-1|wide-2", "true"],
        [],
    ),
)
_WAIT = (
    (
        "wake-me-at-the-crash",
        "Wake me when something crashes.",
        _wait("crashed"),
        [r"crashed \| crasher"],
        [],
    ),
    ("who-is-silent-zh", "哪些实验不再写数据了？", _wait("stalled"), ["stalled", "plan-0"], []),
    (
        "step-reached",
        "Say when plan-0 has passed step 30.",
        _wait("step:30", exp_cuids=["plan-0"]),
        ["plan-0", "39"],
        [],
    ),
    (
        "became-nan",
        "Has broken become NaN?",
        _wait("non_finite", exp_cuids=["broken"]),
        ["non_finite", "broken"],
        [],
    ),
    ("good-value", "Say when plan-9 is below 1.0.", _wait("val/loss < 1.0", exp_cuids=[BEST]), ["val/loss", BEST], []),
)
_RECOVER = (
    (
        "what-ended-while-i-was-away",
        "My context was reset; the cursor was this one. What ended?",
        _wait("finished", "crashed", cursor=_write_cursor(2.5, "crasher")),
        ["ended", "crashed"],
        ["wide-0"],
    ),
    (
        "continue-the-wait-zh",
        "上下文丢了，游标还在，plan-0 结束了吗？",
        [
            (
                "wait_for_experiments",
                {**_NIGHT, "until": ["finished"], "cursor": _write_cursor(3, "plan-0"), "timeout": 1},
            )
        ],
        ["1 watched experiment is still running", "cursor="],
        ["finished"],
    ),
    (
        "what-happened-since-zh",
        "从那以后发生了什么？",
        [("whats_new", {**_NIGHT, "since": _SINCE, "size": 5})],
        ["ended", "crashed", "since="],
        [],
    ),
    (
        "which-still-run",
        "Which of my runs still train?",
        [
            (
                "find_experiments",
                {**_NIGHT, "filters": [{"field": "state", "op": "=", "value": "RUNNING"}], "fields": ["lr"]},
            )
        ],
        ["plan-0", BEST],
        ["wide-0"],
    ),
    (
        "what-is-missing-in-the-record-zh",
        "no-seed 的记录缺什么？",
        [("diagnose_experiment", {**_NIGHT, "exp_cuid": "no-seed"})],
        ["no seed in the config"],
        [],
    ),
)
NIGHT_CASES: Sequence[Case] = [
    Case(name, question, calls, facts, never, most_calls=3, most_tokens=1200)
    for name, question, calls, facts, never in (*_DECIDE, *_DUPLICATES, *_WAIT, *_RECOVER)
]
