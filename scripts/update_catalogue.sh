#!/usr/bin/env bash
# Update the catalogue in swanlab_mcp/locale with the messages in the code, and compile the catalogue.
# If a message was reworded, its Chinese translation is kept and marked as fuzzy. Review the translation and delete the
# mark. If a message was deleted, it is moved to the end of the file after #~. Delete it, or move the translation to the
# message that replaces it.
set -euo pipefail
cd "$(dirname "$0")/.."
template="$(mktemp)"
trap 'rm -f "$template"' EXIT
pybabel --quiet extract --keyword=gettext --keyword=ngettext:1,2 --no-location --sort-output --omit-header \
  --output-file "$template" swanlab_mcp
pybabel --quiet update --domain swanlab_mcp --input-file "$template" --output-dir swanlab_mcp/locale --locale zh \
  --no-wrap --omit-header
# not pybabel compile, which would treat a percent sign as a placeholder
python release/compile_catalogues.py
