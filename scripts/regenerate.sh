#!/usr/bin/env bash
# Rewrite everything that is made from the code: the tool list, README's table, docs/tools, docs/openapi.md,
# tests/public_api.txt and the translation catalogues. Review the difference before you commit it.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m tests.generated
bash scripts/update_catalogue.sh
