"""Check the import rules between packages and the consistency of project files."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import tomllib  # pyright: ignore[reportMissingTypeStubs] from Python 3.11

import swanlab_mcp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "swanlab_mcp"
MODULES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

# a package may import only itself and the packages listed before it
LAYERS = ("core", "settings", "client", "analysis", "operations", "present", "openapi", "server", "cli", "__main__")


@cache
def read_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if f"{node.module}.{alias.name}" in MODULES}
    return found


def get_package(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"swanlab_mcp"}))
def test_imports_go_one_way(module: str) -> None:
    level = {name: number for number, name in enumerate(LAYERS)}
    for imported in read_imports(MODULES[module]):
        if not imported.startswith("swanlab_mcp.") or get_package(imported) == get_package(module):
            continue
        assert level[get_package(imported)] < level[get_package(module)], f"{module} imports {imported}"


def test_analysis_writes_no_sentences() -> None:
    for module, path in MODULES.items():
        if module.startswith("swanlab_mcp.analysis."):
            assert not read_imports(path) & {"swanlab_mcp.core.i18n", "swanlab_mcp.core.errors"}, module


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        ("httpx", {"swanlab_mcp.client.cloud.connections", "swanlab_mcp.client.cloud.network"}),
        (
            "mcp",
            {
                f"swanlab_mcp.server.{name}"
                for name in (
                    "app",
                    "binding",
                    "consent",
                    "http",
                    "log_messages",
                    "replies",
                    "resources",
                    "sdk",
                    "stdio",
                )
            },
        ),
        (
            "matplotlib",
            {f"swanlab_mcp.present.{name}" for name in ("charts", "chart_axes", "chart_margins", "fonts")},
        ),
        ("PIL", {"swanlab_mcp.present.charts", "swanlab_mcp.core.pictures"}),
        ("yaml", {"swanlab_mcp.client.local.yaml_subset", "swanlab_mcp.cli.config_yaml"}),
        ("tomlkit", {"swanlab_mcp.cli.config_toml"}),
        ("jinja2", {"swanlab_mcp.present.report.page"}),
        (
            "markupsafe",
            {f"swanlab_mcp.present.report.{name}" for name in ("blocks", "evidence", "findings", "sections")},
        ),
    ],
)
def test_libraries_are_imported_only_by_their_modules(library: str, modules: set[str]) -> None:
    users = {
        module
        for module, path in MODULES.items()
        if any(name == library or name.startswith(f"{library}.") for name in read_imports(path))
    }
    assert users == modules


def test_backends_do_not_import_each_other_or_the_router() -> None:
    for module, path in MODULES.items():
        imports = read_imports(path)
        if module.startswith("swanlab_mcp.client.local"):
            assert "swanlab_mcp.client.routing" not in imports
            assert not any(name.startswith("swanlab_mcp.client.cloud") for name in imports)
        if module in (
            "swanlab_mcp.client.cloud.api",
            "swanlab_mcp.client.cloud.transport",
            "swanlab_mcp.client.cloud.wire",
        ):
            assert not any(name.startswith("swanlab_mcp.client.local") for name in imports)


def test_only_settings_read_the_environment() -> None:
    readers = {
        module for module, path in MODULES.items() if re.search(r"os\.environ|getenv|netrc\.", path.read_text("utf-8"))
    }
    assert readers == {"swanlab_mcp.settings"}


def test_errors_are_converted_in_two_modules_and_never_swallowed() -> None:
    broad: list[str] = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                if caught in ("everything", "Exception", "BaseException"):
                    broad.append(module)
    assert broad == ["swanlab_mcp.server.binding"]


def test_versions_agree() -> None:
    version = swanlab_mcp.__version__
    registry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    assert registry["version"] == registry["packages"][0]["version"] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_registry_entry_is_valid_and_named_in_the_readme() -> None:
    registry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    schema = json.loads((Path(__file__).parent / "server.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(registry)  # pyright: ignore[reportUnknownMemberType] jsonschema is untyped there
    assert f"<!-- mcp-name: {registry['name']} -->\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert registry["packages"][0]["identifier"] == project["name"]
    assert list(project["scripts"]) == ["swanlab-mcp-server"]


def test_pins_name_no_host_and_cover_all_requirements() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pins.splitlines())
    pinned = {re.sub(r"[._-]+", "-", line.split("==")[0]).lower() for line in pins.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        assert re.sub(r"[._-]+", "-", re.split(r"[<>=\[]", requirement)[0]).lower() in pinned


def test_demo_contains_runs_and_no_links() -> None:
    files = list((PACKAGE / "demo").rglob("*"))
    assert len([file for file in files if file.suffix == ".swanlab"]) == 19
    assert not any(file.is_symlink() for file in files)


def test_modules_stay_short() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 400]


def test_functions_stay_short() -> None:
    long: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                # the limit does not include the signature or the docstring, which is a tool's description
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (node.end_lineno or 0) - body[0].lineno >= 60:
                    long.append(f"{path.name}: {node.name}")
    assert not long
