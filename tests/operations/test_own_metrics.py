from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swanlab_mcp.analysis.metric_catalogue import describe_key, extend_catalogue
from swanlab_mcp.operations.own_metrics import use_own_metrics
from swanlab_mcp.settings import load_settings

OWN = """
[[term]]
rule = "our plasma figures"
role = "quality"
direction = "max"
must_improve = true
words = ["zorp", "flux rate", "雷达命中"]

[[pattern]]
rule = "our alarms"
match = '^alarms/'
role = "error"
direction = "min"

[chinese]
"等离子误差" = "error"
"""


@pytest.fixture(autouse=True)
def restore_the_catalogue() -> Iterator[None]:
    yield
    extend_catalogue("")


def test_own_terms_override_the_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "metrics.toml"
    file.write_text(OWN, encoding="utf-8")
    before = describe_key("alarms/success")
    settings = use_own_metrics(load_settings(demo=True, environ={"SWANLAB_MCP_METRICS": str(file)}))
    assert settings.problems == ()
    kind = describe_key("val/zorp")
    assert (kind.direction, kind.role, kind.must_improve, kind.rule) == ("max", "quality", True, "our plasma figures")
    keys = ("FluxRate", "雷达命中", "alarms/success", "等离子误差", "loss")
    assert [describe_key(key).direction for key in keys] == ["max", "max", "min", "min", "min"]
    extend_catalogue("")
    assert describe_key("alarms/success") == before
    assert describe_key("val/zorp").direction == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[term", "Expected"),
        ("[[term]]\nrule='x'", "[term] 1: words is missing"),
        ("[[term]]\nrule='x'\nwords=[1]", "[term] 1: words: wrong type"),
        ("[[term]]\nrule='x'\nwords='a'", "[term] 1: words: wrong type"),
        ("[[term]]\nrule='x'\nwords=['a']\ndirection='up'", "[term] 1: unknown role or direction"),
        ("[[term]]\nrule='x'\nwords=['a']\ncolour='red'", "[term] 1: unknown field colour"),
        ("[[pattern]]\nrule='x'\nmatch='('", "[pattern] 1: match: missing )"),
        ("[chinese]\na=1", "[chinese] 1: a: wrong type"),
        ("[splits]\nnight=['n']", "[splits] 1: unknown split night"),
        ("term=3", "[term] 1: not a table"),
        ("[colours]\na=1", "[colours]: unknown table"),
    ],
)
def test_invalid_metrics_file_is_a_problem_and_is_ignored(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "metrics.toml"
    file.write_text(text, encoding="utf-8")
    (problem,) = use_own_metrics(load_settings(demo=True, environ={"SWANLAB_MCP_METRICS": str(file)})).problems
    assert problem.startswith(f"SWANLAB_MCP_METRICS is not used: {fault}")
    assert describe_key("val/loss").direction == "min"


def test_missing_metrics_file_is_a_problem(tmp_path: Path) -> None:
    (problem,) = use_own_metrics(
        load_settings(demo=True, environ={"SWANLAB_MCP_METRICS": str(tmp_path / "none.toml")})
    ).problems
    assert problem.startswith("SWANLAB_MCP_METRICS: ")
    assert problem.endswith(" cannot be read (FileNotFoundError).")
