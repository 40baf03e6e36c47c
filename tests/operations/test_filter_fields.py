"""Filter by people, durations, relative times, missing fields and values that are not finite."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio

NOW = datetime.now(timezone.utc)


@pytest.fixture(autouse=True)
def _project(state: State) -> None:
    project = state.add_project(state.workspaces[0], "fields")
    mine, theirs = {"username": "kites-test3", "name": "Kites Test"}, {"username": "zoe", "name": "Zoë Li"}
    for name, user, days, hours, loss, config in (
        ("short", mine, 30, 1.0, 0.5, {"lr": 0.1}),
        ("long", theirs, 6, 13.0, math.nan, {"lr": 0.2, "note": "x"}),
        ("endless", theirs, 20, 24.0, math.inf, {"lr": 0.3, "note": None}),
    ):
        created = NOW - timedelta(days=days)
        state.add_experiment(
            project,
            name,
            user=user,
            created_at=created,
            finished_at=created + timedelta(hours=hours),
            config={**config, "nested": {"a": 1}},
            labels=["paper", "best"],
            metrics={"loss": [(0, 1.0), (1, loss)]},
        )
    created = NOW - timedelta(days=2)
    state.add_experiment(project, "running", user=mine, state="RUNNING", created_at=created)


async def call(settings: Settings, *filters: tuple[str, str, Any]) -> Any:
    conditions = [
        {"field": field, "op": op, **({} if value is None else {"value": value})} for field, op, value in filters
    ]
    async with session(settings) as client:
        return await client.call_tool("find_experiments", {"project": "fields", "filters": conditions})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("user", "=", "me"), {"short", "running"}),
        (("user", "in", ["me", "zoe"]), {"short", "running", "long", "endless"}),
        (("user", "=", "Zoë Li"), {"long", "endless"}),
        (("user", "!=", "zoe"), {"short", "running"}),
        (("user", "contains", "kites"), {"short", "running"}),
        (("duration", ">", "12h"), {"long", "endless", "running"}),
        (("duration", "<=", 3600), {"short"}),
        (("duration", "=", "1d"), {"endless"}),
        (("created", ">", "7d"), {"long", "running"}),
        (("created", "<", "3w"), {"short"}),
        (("finished", ">", "168h"), {"long"}),
        (("finished", "is-null", None), {"running"}),
        (("config.note", "is-null", None), {"short", "endless", "running"}),
        (("config.note", "not-null", ""), {"long"}),
        (("tags", "contains", "paper"), {"short", "long", "endless"}),
        (("metric.loss", "is-null", None), {"running"}),
        (("metric.loss", "=", "NaN"), {"long"}),
        (("metric.loss", "!=", "nan"), {"short", "endless", "running"}),
        (("metric.loss", "=", "Infinity"), {"endless"}),
        (("metric.loss", "in", ["NaN", "inf"]), {"long", "endless"}),
        (("metric.loss", ">", 0.1), {"short", "endless"}),
    ],
)
async def test_condition_chooses_experiments(
    settings: Settings, condition: tuple[str, str, Any], expected: set[str]
) -> None:
    result = await call(settings, condition)
    assert not result.is_error, text_of(result)
    assert {row["name"] for row in result.structured_content["data"]} == expected


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (("duration", ">", "soon"), "'soon' is not a duration"),
        (("duration", ">", "Infinity"), "'Infinity' is not a duration"),
        (("created", "=", "7d"), "'7d' is not a time"),
        (("metric.loss", "=", "low"), "compares different types of values"),
        (("config.lr", "in", ["high", "low"]), "compares different types of values"),
        (("metric.loss", ">", "NaN"), "compares different types of values"),
        (("config.nested", "=", "sgd"), 'Its values look like {"a": 1}'),
        (("config.nested", ">", 3), "compares different types of values"),
        (("labels", "<", "b"), "compares different types of values"),
        (("config.lr", "=", "high"), "Its values look like 0.3"),
        (("learning_rate", "=", 0.1), "Did you mean config.lr?"),
        (("config.lr", "is-null", 3), "'filters.0.value' must be omitted with is-null and not-null"),
        (("config.lr", "=", None), "'filters.0.value' is missing"),
    ],
)
async def test_condition_that_cannot_match_is_refused(
    settings: Settings, condition: tuple[str, str, Any], reason: str
) -> None:
    result = await call(settings, condition)
    assert result.is_error
    assert reason in text_of(result)


async def test_rows_are_sorted_by_user_and_duration(settings: Settings) -> None:
    async with session(settings) as client:
        for field, expected in (
            ("user", [{"short", "running"}, {"short", "running"}, {"long", "endless"}, {"long", "endless"}]),
            ("duration", [{"short"}, {"long"}, {"endless"}, {"running"}]),
        ):
            result = await client.call_tool("find_experiments", {"project": "fields", "sort": field})
            rows = result.structured_content["data"]
            assert all(row["name"] in names for row, names in zip(rows, expected, strict=True))
