"""The research-loop skill: its calls exist, its snippet runs, and `install --skill` never overwrites silently."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swanlab_mcp.analysis.conditions import parse_condition
from swanlab_mcp.analysis.decisions import Decision
from swanlab_mcp.cli.main import main
from swanlab_mcp.cli.skill import FOLDERS, SKILL
from swanlab_mcp.server.prompts import PROMPTS
from swanlab_mcp.settings import Settings
from tests.conftest import session

TEXT = SKILL.read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def install(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["install", "--skill", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.anyio
async def test_calls_in_the_skill_fit_the_tools(settings: Settings) -> None:
    async with session(settings) as client:
        schemas = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
    calls = [ast.parse(text).body[0].value for text in re.findall(r"`([a-z_]+\([^`]*\))`", TEXT)]  # type: ignore[attr-defined]  # an expression has a value
    assert len(calls) == 7
    for call in calls:
        schema = schemas[call.func.id]
        given = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
        assert set(given) <= set(schema["properties"]), call.func.id
        assert set(schema.get("required", ())) <= set(given), call.func.id
        assert all(parse_condition(text) for text in given.get("until", ()))
    named = {
        word for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", TEXT) if word in schemas or word.endswith("_experiments")
    }
    assert named <= set(schemas)


def test_skill_uses_the_words_of_the_replies() -> None:
    assert all(f"`{one}`" in TEXT for one in Decision.__args__)
    assert "near_duplicate" in TEXT
    assert "cursor" in TEXT
    loop = next(one for one in PROMPTS if one.name == "research_loop")
    for tool in re.findall(r"[a-z]+_experiments?|whats_new", TEXT):
        assert all(tool in text for text in loop.texts.values()), tool


def test_skill_has_the_fields_that_assistants_read() -> None:
    head = re.match(r"---\nname: ([a-z-]{1,64})\ndescription: (.{50,1024})\n---\n", TEXT)
    assert head
    assert head[1] == SKILL.parent.name
    assert len(TEXT.split()) < 700


@pytest.mark.parametrize("name", FOLDERS)
def test_skill_is_written_once_into_the_assistants_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path.home() / FOLDERS[name] / "swanlab-research-loop/SKILL.md"
    assert install(name, "--print") == 0
    assert not path.exists()
    assert install(name) == 0
    assert path.read_text(encoding="utf-8") == TEXT
    assert "+# Research loop with SwanLab" in capsys.readouterr().out
    assert install(name) == 0
    assert "already has this skill" in capsys.readouterr().err
    assert [one.name for one in path.parent.iterdir()] == ["SKILL.md"]


def test_changed_skill_is_shown_and_kept_in_a_backup(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path.home() / FOLDERS["codex"] / "swanlab-research-loop/SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text("my own\n", encoding="utf-8")
    assert install("codex") == 0
    output = capsys.readouterr()
    assert "-my own" in output.out
    assert "The previous content is in" in output.err
    assert path.with_name("SKILL.md.backup-1").read_text(encoding="utf-8") == "my own\n"


def test_unreadable_or_unknown_places_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert install("notepad") == 2
    assert "Known assistants: claude-code, codex" in capsys.readouterr().err
    path = Path.home() / FOLDERS["codex"] / "swanlab-research-loop/SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe")
    assert install("codex") == 1
    assert path.read_bytes() == b"\xff\xfe"


@pytest.mark.exhaustive
def test_snippet_runs_and_its_record_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "sdk"], cwd=tmp_path, check=True)
    python = tmp_path / "sdk/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "swanlab==0.10.3"], check=True, timeout=600)
    for snippet in SNIPPETS:
        environ = {"HOME": str(tmp_path), "SWANLAB_MODE": "offline", "PATH": str(python.parent)}
        subprocess.run([python, "-c", snippet], cwd=tmp_path, env=environ, check=True, timeout=120)
    words = ["call", "diagnose_experiment", "project=local/mnist", "exp_cuid=lr0.1-seed0", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["--log-dir", str(tmp_path / "swanlog"), *words])
    assert ended.value.code == 0
    reply = json.loads(capsys.readouterr().out)
    assert reply["data"]["verdict"] == "healthy"
    assert not any("later analysis" in note for note in reply["notes"])
