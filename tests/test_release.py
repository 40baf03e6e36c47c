"""Check the files for releases, including versions, the desktop bundle and the container."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib  # pyright: ignore[reportMissingTypeStubs] from Python 3.11
import yaml

import swanlab_mcp

ROOT = Path(__file__).parents[1]
CHECKLIST = ROOT / "release" / "checklist.py"


def load_json(name: str) -> Any:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def test_checklist_finds_equal_versions() -> None:
    done = subprocess.run([sys.executable, CHECKLIST, "--versions"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert {line.split()[0] for line in lines} == {swanlab_mcp.__version__}


@pytest.mark.parametrize(
    "name",
    ["server.json", "CHANGELOG.md", "release/manifest.json", "swanlab_mcp/__init__.py", "deploy/helm/Chart.yaml"],
)
def test_checklist_fails_for_a_differing_version(name: str, tmp_path: Path) -> None:
    for one in (
        "release/checklist.py",
        "release/manifest.json",
        "server.json",
        "CHANGELOG.md",
        "swanlab_mcp/__init__.py",
        "deploy/helm/Chart.yaml",
    ):
        text = (ROOT / one).read_text(encoding="utf-8")
        changed = text.replace(swanlab_mcp.__version__, "99.0.0") if one == name else text
        assert one != name or changed != text
        (tmp_path / one).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one).write_text(changed, encoding="utf-8")
    command = [sys.executable, tmp_path / "release" / "checklist.py", "--versions"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "The versions differ.\n")


def test_bundle_starts_the_command_with_known_settings() -> None:
    manifest = load_json("release/manifest.json")
    server = manifest["server"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (manifest["manifest_version"], server["type"]) == ("0.4", "uv")
    assert (ROOT / server["entry_point"]).is_file()
    assert server["mcp_config"]["args"][-1] in project["scripts"]
    assert "plot" in project["optional-dependencies"]
    registry = {one["name"] for one in load_json("server.json")["packages"][0]["environmentVariables"]}
    environment = server["mcp_config"]["env"]
    assert set(environment) <= registry
    used = {name for value in environment.values() for name in re.findall(r"^\$\{user_config\.(\w+)\}$", value)}
    assert used == set(manifest["user_config"])
    # the default must be "", because otherwise the server would receive the placeholder for an empty field
    assert all(one["default"] == "" and not one["required"] for one in manifest["user_config"].values())
    assert manifest["user_config"]["api_key"]["sensitive"] is True


def test_readme_of_the_package_has_absolute_links() -> None:
    make_absolute = runpy.run_path(str(ROOT / "release" / "readme.py"))["make_absolute"]
    text = make_absolute((ROOT / "README.md").read_text(encoding="utf-8"), "https://example.com/r")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(re.match("https?://|#", link) for link in links)
    assert "https://example.com/r/raw/main/docs/curves.png" in links
    assert "https://example.com/r/blob/main/docs/recipes.md" in links


def test_container_is_unprivileged_and_contains_no_key() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    user = next(line.split()[1] for line in lines if line.startswith("USER "))
    assert int(user) > 0
    assert lines.index(f"USER {user}") < next(at for at, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert all((ROOT / name).exists() for name in copied)
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert kept[0] == "*"
    assert copied == {line[1:] for line in kept if line.startswith("!")}
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["swanlab"]
    assert service["environment"]["SWANLAB_API_KEY"] == "${SWANLAB_API_KEY:-}"
    assert service["read_only"] is True
    assert service["volumes"][0].endswith(":/swanlog:ro")


def test_registry_entry_lists_existing_options() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "swanlab_mcp", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for argument in load_json("server.json")["packages"][0]["packageArguments"]:
        assert argument["name"] in done.stdout


def test_registry_entry_lists_the_documented_settings() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(SWANLAB_[A-Z_]+)`", settings))
    registry = {one["name"] for one in load_json("server.json")["packages"][0]["environmentVariables"]}
    # not listed: alternative names, the SDK's login folders, and settings that apply only to the HTTP server
    others = {
        "SWANLAB_HOST",
        "SWANLAB_LOGDIR",
        "SWANLAB_ROOT",
        "SWANLAB_SAVE_DIR",
        "SWANLAB_MCP_CONFIRMATION_SECRET",
        "SWANLAB_MCP_PROXY_SECRET",
    }
    assert documented - registry == others
    assert registry <= documented


def test_agents_md_is_short_and_names_existing_files() -> None:
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    for name in re.findall(r"`((?:swanlab_mcp|tests|docs|release|benchmarks)/[\w./]*)`", text):
        assert (ROOT / name).exists(), name


def test_pre_commit_hooks_download_no_code() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}
    entries = [hook["entry"].split()[0] for hook in hooks[0]["hooks"]]
    assert entries == ["ruff", "ruff", "pyright", "python"]
