#!/usr/bin/env bash
# Change the code of analysis, client and core piece by piece and count the changes that no test notices.
#   scripts/mutation.sh ['swanlab_mcp.analysis.noise*']
# A module takes minutes, all of them more than a day. `mutmut results` lists what survived.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m pip install --quiet --disable-pip-version-check mutmut -c constraints.txt
mutmut run "$@"
