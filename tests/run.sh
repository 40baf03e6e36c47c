#!/usr/bin/env bash
# The gate: format, lint, types, tests.
# --all adds the exhaustive tests (full fault matrices, slow attacks), branch coverage, which doubles the time, and the
# tools in other frameworks (installed from an index). Other arguments go to pytest.
# Installs into the active virtual environment, or into .venv in this folder.
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
  selection=(--cov --cov-report=term)
  shift
fi
python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
ruff format --check .
ruff check .
# the types are checked while the tests wait for deadlines and child processes
types=$(mktemp)
trap 'rm -f "$types"' EXIT
pyright >"$types" 2>&1 &
checking=$!
# without bytecode, each worker and each process that a test starts would compile all modules again
unset PYTHONDONTWRITEBYTECODE
# one process more than processors, because many tests wait for deadlines and child processes
workers=$(python -c 'import os; print((os.cpu_count() or 1) + 1)')
pytest -n "$workers" --dist worksteal "${selection[@]}" "$@" && tested=0 || tested=$?
wait "$checking" && checked=0 || checked=$?
cat "$types"
[ "$tested" = 0 ] && [ "$checked" = 0 ] || exit 1
if [ -n "$all" ]; then
  bash scripts/hosts.sh
fi
