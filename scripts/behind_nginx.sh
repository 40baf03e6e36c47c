#!/usr/bin/env bash
# Run three workers behind nginx (deploy/nginx.conf) on loopback. Under load, drain one worker and kill another.
#
#   scripts/behind_nginx.sh [--callers N] [--seconds S]
#
# This script fails if any call is lost that was not running on the killed worker, or if a worker rejects a confirmation
# from another worker. If nginx is not installed, the script prints the reason and skips the checks. On Debian, run:
# apt-get install nginx-light
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
if ! command -v nginx >/dev/null && [ ! -x /usr/sbin/nginx ]; then
  echo "behind_nginx: skipped, nginx is not installed"
  exit 0
fi
exec "${PYTHON:-python}" "$here/behind_nginx.py" "$@"
