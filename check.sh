#!/usr/bin/env bash
# Every test: format, lint, types, tests with branch coverage. Uses the Python of the active environment.
set -euo pipefail
cd "$(dirname "$0")"
ruff format --check .
ruff check .
pyright
coverage erase
COVERAGE_PROCESS_START="$PWD/pyproject.toml" pytest -n auto --cov --cov-report=term "$@"
