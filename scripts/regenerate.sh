#!/usr/bin/env bash
# Update all files that are generated from the code: the tool list, the tables in both READMEs, docs/tools, both
# openapi.md pages in docs, the diagram in docs/architecture.md, tests/public_api.txt and the message catalogue. Review
# the changes before you commit them. Run the script again after you have added Chinese translations, because the table
# in README.zh-CN.md is translated with the catalogue.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m tests.generated
bash scripts/update_catalogue.sh
python -m tests.generated
