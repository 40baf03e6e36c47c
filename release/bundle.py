"""Validate and pack the desktop bundle with the official tool, which needs Node: `python release/bundle.py [FILE]`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_TOOL = ("npx", "--yes", "@anthropic-ai/mcpb@2.1.2")
_PARTS = ("swanlab_mcp", "pyproject.toml", "README.md", "LICENSE")


def gather(folder: Path) -> None:
    """Copy the contents of the bundle, which is a uv project, into `folder`."""
    for name in _PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    shutil.copy2(ROOT / "release" / "manifest.json", folder / "manifest.json")


def main(arguments: list[str]) -> int:
    tool = shutil.which(_TOOL[0])
    if tool is None:
        print("npx is not installed; it comes with Node.", file=sys.stderr)
        return 1
    target = Path(arguments[0] if arguments else "dist/swanlab-mcp-server.mcpb").absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        gather(Path(folder))
        for command in (["validate", f"{folder}/manifest.json"], ["pack", folder, str(target)]):
            done = subprocess.run([tool, *_TOOL[1:], *command], check=False)  # noqa: S603 only runs the official tool
            if done.returncode:
                return done.returncode
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
