#!/usr/bin/env bash
# Rewrite all files that are generated from the code: the tool list, README's table, docs/tools, both openapi.md in docs,
# the picture in docs/architecture.md, tests/public_api.txt and the translation catalogues. Review the difference before
# you commit it. After new Chinese, run it again: README.zh-CN.md's table comes from the catalogue.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m tests.generated
bash scripts/update_catalogue.sh
python -m tests.generated
