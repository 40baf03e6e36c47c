#!/usr/bin/env bash
# Everything that must hold: format, lint, types, tests with branch coverage.
# Installs into the active virtual environment, or into .venv here.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${VIRTUAL_ENV:-}" ]; then
  [ -d .venv ] || python3 -m venv .venv
  . .venv/bin/activate
fi
python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
ruff format --check .
ruff check .
pyright
pytest -n auto --cov --cov-report=term "$@"
