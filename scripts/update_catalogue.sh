#!/usr/bin/env bash
# Update swanlab_mcp/locale from the messages in the code, and compile it.
# A reworded message keeps its Chinese, marked fuzzy: review it and delete the mark. A deleted message moves to the end
# of the file after #~: delete it, or move its Chinese to the message that replaces it.
set -euo pipefail
cd "$(dirname "$0")/.."
template="$(mktemp)"
trap 'rm -f "$template"' EXIT
pybabel --quiet extract --keyword=say --keyword=say_plural:1,2 --no-location --sort-output --omit-header \
  --output-file "$template" swanlab_mcp
pybabel --quiet update --domain swanlab_mcp --input-file "$template" --output-dir swanlab_mcp/locale --locale zh \
  --no-wrap --omit-header
# pybabel compile would read a percent sign as a placeholder
python release/compile_catalogues.py
