from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.analysis.effects import Effect, find_effects
from swanlab_mcp.analysis.untried import find_uncombined, measure_coverage

REPLIES = 200
BEYOND_CHANCE = ("real", "cannot tell apart")


def draw_rows(source: random.Random, count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        row = {
            "lr": 10 ** source.uniform(-5, -1),
            "batch_size": source.choice([16, 32, 64, 128]),
            "optimizer": source.choice(["adam", "sgd", "lion"]),
            "augment": source.random() < 0.3,
            "dropout": source.uniform(0, 0.5),
        }
        if source.random() < 0.2:
            row["momentum"] = source.choice([0.9, 0.95])
        rows.append(row)
    return rows


def find(rows: list[dict[str, Any]], results: list[float], blocks: list[str] | None = None) -> dict[str, Effect]:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {one.key: one for one in find_effects(rows, results, keys, blocks or ())}


@pytest.mark.parametrize("count", [8, 20, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_chance_is_called_real_in_at_most_5_percent_of_replies(count: int) -> None:
    false = 0
    for seed in range(REPLIES):
        source = random.Random(seed)
        rows = draw_rows(source, count)
        found = find(rows, [source.choice([source.gauss(0, 1), source.expovariate(1)]) for _ in rows])
        false += any(one.verdict in BEYOND_CHANCE for one in found.values())
    # the 99.9 % quantile for 200 draws with a probability of 5 %
    assert false <= 20


def test_planted_effects_are_found_and_the_other_keys_are_not() -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for seed in range(20):
        source = random.Random(seed)
        rows = draw_rows(source, 40)
        # the best rate is in the middle, so the rank correlation is small
        results = [
            (math.log10(row["lr"]) + 3) ** 2 + 1.5 * (row["optimizer"] == "sgd") + source.gauss(0, 0.2) for row in rows
        ]
        counts.update((key, one.verdict) for key, one in find(rows, results).items())
    assert counts["lr", "real"] >= 18
    assert counts["optimizer", "real"] >= 16
    assert sum(counts[key, "real"] for key in ("batch_size", "augment", "dropout", "momentum")) <= 3


def test_means_of_middle_values_are_shown_as_groups() -> None:
    rows = [{"lr": 10.0**-power} for power in (1, 2, 3, 4, 5) for _ in range(6)]
    found = find(rows, [abs(math.log10(row["lr"]) + 3) + index / 1e3 for index, row in enumerate(rows)])["lr"]
    assert found.verdict == "real"
    assert found.rho is None
    assert min(found.groups, key=lambda one: one.mean).low == 1e-3


def test_keys_that_vary_together_cannot_be_separated() -> None:
    source = random.Random(3)
    rows = [{"lr": size / 1e4, "batch_size": size, "dropout": source.random()} for size in (16, 32, 64, 128) * 6]
    found = find(rows, [row["lr"] + source.gauss(0, 1e-4) for row in rows])
    assert found["lr"].verdict == found["batch_size"].verdict == "cannot tell apart"
    assert (found["lr"].together, found["batch_size"].together) == (["batch_size"], ["lr"])
    assert found["dropout"].verdict == "not shown"


def test_category_with_its_own_range_of_numbers_cannot_be_separated() -> None:
    source = random.Random(4)
    rows = [
        {"optimizer": name, "lr": rate * source.uniform(0.5, 2)} for name, rate in (("sgd", 0.1), ("adam", 1e-3)) * 12
    ]
    found = find(rows, [math.log(row["lr"]) + source.gauss(0, 0.3) for row in rows])
    assert found["lr"].together == ["optimizer"]


def test_few_settings_cannot_tell() -> None:
    rows = [{"lr": rate} for rate in (0.1, 0.2, 0.3, 0.4)]
    assert find(rows, [1.0, 2.0, 3.0, 4.0])["lr"].verdict == "cannot tell"
    assert find([*rows, {"lr": 0.5}, {"lr": 0.6}], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])["lr"].verdict == "real"
    assert find([*rows, *rows], [1.0] * 8)["lr"].verdict != "real"
    assert find([], []) == {}


def test_results_are_compared_within_projects_only() -> None:
    source = random.Random(5)
    rows = [{"lr": index % 10 / 10 + (index >= 20)} for index in range(40)]
    blocks = ["a"] * 20 + ["b"] * 20
    # the second project has larger rates and worse results, but the rate has no effect within either project
    results = [10.0 * (index >= 20) + source.gauss(0, 1) for index in range(40)]
    assert find(rows, results)["lr"].verdict == "real"
    assert find(rows, results, blocks)["lr"].verdict == "not shown"


@pytest.mark.parametrize(
    ("values", "gaps"),
    [
        ([16, 32, 512], [(32, 512)]),
        ([0.001, 0.01, 0.1], []),
        ([0, 1e-4, 1e-3, 1e-2, 1], [(1e-2, 1)]),
        ([0.1, 0.2], [(0.1, 0.2)]),
        ([1, 2, 3], []),
        ([0.1, 0.11, 0.12, 0.5, 0.51, 0.9, 0.91], [(0.12, 0.5), (0.51, 0.9)]),
        ([-1.0, -0.9, 4.0], [(-0.9, 4.0)]),
        (["adam", "sgd"], []),
    ],
)
def test_outstanding_gaps_are_untried(values: list[Any], gaps: list[tuple[float, float]]) -> None:
    assert [*measure_coverage(values, 6).gaps] == gaps


@given(st.lists(st.one_of(st.floats(-1e300, 1e300), st.text(max_size=3), st.booleans(), st.none()), min_size=1))
def test_every_list_of_values_has_its_coverage(values: list[Any]) -> None:
    found = measure_coverage(values, 6)
    assert found.values
    assert len(found.gaps) <= 2


def test_values_never_combined_are_named_if_expected() -> None:
    rows = [{"optimizer": name, "batch_size": size} for name, size in (("adam", 32), ("sgd", 64), ("adam", 128)) * 4]
    found = find_uncombined([*rows, {"optimizer": "lion", "batch_size": 32}], ["optimizer", "batch_size"])
    pairs = {(one.first[1], one.second[1]) for one in found}
    assert pairs == {("adam", 64), ("sgd", 32), ("sgd", 128)}
