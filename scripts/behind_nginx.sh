#!/usr/bin/env bash
# Three workers behind nginx (deploy/nginx.conf) on loopback, under load: one is drained, one is killed.
#
#   scripts/behind_nginx.sh [--callers N] [--seconds S]
#
# Fails if a call is lost that was not running on the killed worker, or if a worker does not accept the confirmation of
# another. Skipped with the reason if nginx is not installed (Debian: apt-get install nginx-light).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
if ! command -v nginx >/dev/null && [ ! -x /usr/sbin/nginx ]; then
  echo "behind_nginx: skipped, nginx is not installed"
  exit 0
fi
exec "${PYTHON:-python}" "$here/behind_nginx.py" "$@"
