"""List the remaining steps for a release: `python release/checklist.py`.

With `--versions`, only check that all files contain the same version.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_STEPS = (
    "bash tests/run.sh passes, in a fresh clone",
    "CHANGELOG.md: the unreleased changes are listed under the version, with today's date",
    "python -m build: in an empty environment, the wheel answers `swanlab-mcp-server --demo call list_projects`",
    "python release/bundle.py: the bundle is valid and starts",
    "hadolint Dockerfile",
    "tag v{version}, publish wheel and sdist, then server.json, then the bundle",
)


def read_versions(root: Path = ROOT) -> dict[str, str]:
    """Return a dict from each place that contains the version to the version, or to "" if it is missing."""
    registry = json.loads((root / "server.json").read_text(encoding="utf-8"))
    bundle = json.loads((root / "release" / "manifest.json").read_text(encoding="utf-8"))
    released = re.search(r"^## \[(\d[^\]]*)\]", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    chart = re.search(r'^appVersion: "(.+)"', (root / "deploy/helm/Chart.yaml").read_text("utf-8"), re.MULTILINE)
    package = re.search(r'^__version__ = "(.+)"', (root / "swanlab_mcp/__init__.py").read_text("utf-8"), re.MULTILINE)
    return {
        "swanlab_mcp/__init__.py": package[1] if package else "",
        "CHANGELOG.md": released[1] if released else "",
        "server.json": registry.get("version", ""),
        **{f"server.json, package {index}": one.get("version", "") for index, one in enumerate(registry["packages"])},
        "release/manifest.json": bundle.get("version", ""),
        "deploy/helm/Chart.yaml": chart[1] if chart else "",
    }


def main(arguments: list[str]) -> int:
    versions = read_versions()
    for index, version in versions.items():
        print(f"{version or 'none':10} {index}")
    if len(set(versions.values())) > 1 or "" in versions.values():
        print("The versions differ.", file=sys.stderr)
        return 1
    if arguments == ["--versions"]:
        return 0
    version = versions["server.json"]
    git = ["git", "-C", str(ROOT), "status", "--porcelain"]
    changed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603 only runs git
    print(f"{'[ ]' if changed else '[x]'} nothing is uncommitted" + (f": {len(changed)} files are" if changed else ""))
    for step in _STEPS:
        print(f"[ ] {step.format(version=version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
