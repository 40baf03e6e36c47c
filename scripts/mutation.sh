#!/usr/bin/env bash
# Run mutation tests for analysis, client and core, and count the code changes that no test detects.
#   scripts/mutation.sh ['swanlab_mcp.analysis.noise*']
# One module takes several minutes, and all modules take more than a day. `mutmut results` lists the surviving mutants.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m pip install --quiet --disable-pip-version-check mutmut -c constraints.txt
mutmut run "$@"
