#!/usr/bin/env bash
# The gate: format, lint, types, tests.
# --all adds the exhaustive tests (full fault matrices, slow attacks), branch coverage, which doubles the time, and the
# tools in other frameworks (installed from an index). Other arguments go to pytest.
# Installs into the active virtual environment, or into .venv in this folder, if the requirements changed.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${VIRTUAL_ENV:-}" ]; then
  [ -d .venv ] || python3 -m venv .venv
  . .venv/bin/activate
fi
selection=(-m "not exhaustive")
all=""
if [ "${1:-}" = --all ]; then
  all=yes
  selection=(--hypothesis-profile=all --cov --cov-report=term)
  shift
fi
# the tests start hundreds of processes, which would compile everything again
unset PYTHONDONTWRITEBYTECODE
# pip takes 10 seconds even if everything is installed
describe() { pwd; cat pyproject.toml constraints.txt swanlab_mcp/__init__.py; }
installed="$VIRTUAL_ENV/installed-for-tests"
if describe | cmp --silent - "$installed"; then
  python release/compile_catalogues.py
else
  python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
  describe > "$installed"
fi
ruff format --check .
ruff check .
# next to the tests, because it uses one processor
pyright &
types=$!
# one process more than processors, because many tests wait for deadlines and child processes
workers=$(python -c 'import os; print((os.cpu_count() or 1) + 1)')
pytest -n "$workers" --dist worksteal "${selection[@]}" "$@" || tests=failed
wait "$types"
[ -z "${tests:-}" ]
if [ -n "$all" ]; then
  bash scripts/hosts.sh
fi
