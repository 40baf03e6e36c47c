#!/usr/bin/env bash
# Bring swanlab_mcp/locale in step with the texts in the code, and compile it.
# A reworded text keeps its Chinese, marked fuzzy: review it and delete the mark. A deleted text moves to the end of the
# file behind #~: delete it there, or move its Chinese to the text that replaces it.
set -euo pipefail
cd "$(dirname "$0")/.."
template="$(mktemp)"
trap 'rm -f "$template"' EXIT
pybabel --quiet extract --keyword=say --keyword=say_plural:1,2 --no-location --sort-output --omit-header \
  --output-file "$template" swanlab_mcp
pybabel --quiet update --domain swanlab_mcp --input-file "$template" --output-dir swanlab_mcp/locale --locale zh \
  --no-wrap --omit-header
# pybabel compile would take a percent sign for a placeholder
python release/compile_catalogues.py
