"""Take out every guard of tests/guards.toml, one at a time and in a copy, and tell whether its test is seen to fail.

    python scripts/take_out_guards.py [WORD ...]

With words, only the guards whose promise, file or test holds one of them. Exit 1 where one was not seen to fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[1]
PATIENCE = 60  # seconds; without its guard a test may wait for ever
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "node_modules", ".coverage*")


def run(copy: Path, test: str) -> str:
    """Return "passes", "fails", "hangs", or what else pytest said."""
    # the same bytes in the same second must not be taken for the same file
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "--no-header", f"tests/{test}"]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    return {0: "passes", 1: "fails"}.get(done.returncode, done.stdout[-2000:] + done.stderr[-2000:])


def main() -> int:
    words = sys.argv[1:]
    guards = tomllib.loads((ROOT / "tests" / "guards.toml").read_text(encoding="utf-8"))["guard"]
    chosen = [one for one in guards if not words or any(word in " ".join(one.values()) for word in words)]
    unseen = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        broken = [test for test in dict.fromkeys(one["test"] for one in chosen) if run(copy, test) != "passes"]
        for one in chosen:
            path = copy / "swanlab_mcp" / one["file"]
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(one["old"], one["new"], 1), encoding="utf-8")
            how = "does not pass with it either" if one["test"] in broken else run(copy, one["test"])
            path.write_text(text, encoding="utf-8")
            is_seen = how in ("fails", "hangs") and text.count(one["old"]) == 1
            unseen += not is_seen
            print(
                f"{'seen' if is_seen else 'NOT SEEN'}: {one['promise']} | {one['file']} | {one['test']} {how}",
                flush=True,
            )
    print(f"{len(chosen) - unseen} of {len(chosen)} guards were missed when they were gone")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
