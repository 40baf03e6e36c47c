"""Run the evals in tests/evals with the scripted caller, and check that the grader detects wrong answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import swanlab_mcp
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings
from tests.cli.test_command import ROOT, environ
from tests.conftest import session
from tests.evals.cases import CASES
from tests.evals.runner import Case, play
from tests.evals.world import KEY, build_world
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def state() -> State:
    return build_world()


@pytest.fixture
def settings(host: str) -> Settings:
    demo = Path(swanlab_mcp.__file__).parent / "demo"
    return Settings(api_host=host, web_host=host, api_key=KEY, key_source="SWANLAB_API_KEY", log_dirs=(demo,))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_scripted_caller_gets_every_fact_within_the_limits(settings: Settings, case: Case) -> None:
    async with session(settings) as client:
        verdict = await play(client, case)
    assert not verdict.faults, verdict.text


def test_questions_are_distinct_and_in_both_languages() -> None:
    chinese = [case for case in CASES if re.search(r"[\u4e00-\u9fff]{3}", case.question)]
    assert len(CASES) >= 60
    assert len(chinese) >= 15
    assert all(case.name.endswith("-zh") == (case in chinese) for case in CASES)
    assert len({case.name for case in CASES}) == len({case.question for case in CASES}) == len(CASES)
    assert all(case.facts for case in CASES)
    # every tool must be used in at least one case
    assert {tool for case in CASES for tool in case.tools} == {entry.name for entry in TOOLS}
    limits = {"rank_experiments": 1500, "compare_experiments": 1500, "diagnose_experiment": 1200, "whats_new": 1000}
    assert all(case.most_tokens <= limits.get(tool, 8000) for case in CASES for tool in case.tools)


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        (Case("a", "?", [("list_workspaces", {})], ["elsewhere"]), "lacks 'elsewhere'"),
        (Case("b", "?", [("list_workspaces", {})], ["ada"], never=["vision"]), "holds 'vision'"),
        (Case("c", "?", [("list_workspaces", {})], ["ada"], most_tokens=10), "tokens instead of 10"),
        (Case("d", "?", [("list_workspaces", {}), ("list_workspaces", {})], ["ada"]), "2 calls instead of 1"),
        (Case("e", "?", [("list_workspaces", {})], ["ada"], is_refused=True), "no error"),
        (Case("f", "?", [("list_project_exps", {"project": "none"})], ["none"]), "an error"),
    ],
    ids=list("abcdef"),
)
async def test_judge_reports_each_fault(settings: Settings, case: Case, fault: str) -> None:
    async with session(settings) as client:
        (reply,) = (await play(client, case)).faults
    assert fault in reply


def test_evals_accept_calls_for_another_server(tmp_path: Path) -> None:
    calls = tmp_path / "calls.json"
    calls.write_text(
        json.dumps(
            {
                "which-crashed": [["list_project_exps", {"project": "cifar"}]],
                "which-still-run-zh": [["no_such_tool", {}]],
            }
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.evals", "--calls", str(calls), "--only", "which-", "--show"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=environ(),
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert any(re.fullmatch(r"FAIL +1 calls +\d+ tokens  which-crashed", line) for line in lines)
    assert "       lacks '2 of 2'" in lines
    assert "Which runs of cifar crashed?" in lines
    assert any(re.fullmatch(r"ok +1 calls +\d+ tokens  which-torch", line) for line in lines)
    assert re.fullmatch(r"\d+ of \d+ right, 1 without a tool", lines[-1])
