#!/usr/bin/env bash
# Run the official MCP conformance suite and the MCP Inspector's strict schema check against this server, over HTTP and
# stdio. If nginx is installed, the shared server is checked both directly and behind nginx.
#
#   scripts/conformance.sh [--install] FOLDER
#
# FOLDER contains a node_modules folder with the suite (default: $CONFORMANCE_SUITE). With --install, missing packages
# are installed with npm. Checks that cannot run are skipped and the reason is printed. Failures that are not in the
# baseline are errors.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
# the newest versions that support Node 20
packages=(@modelcontextprotocol/conformance@0.1.13 @modelcontextprotocol/inspector@2.12.0)

install=""
if [ "${1:-}" = "--install" ]; then
  install=yes
  shift
fi
folder="${1:-${CONFORMANCE_SUITE:-}}"

skip() {
  echo "conformance: skipped, $1"
  exit 0
}

command -v node >/dev/null || skip "Node is not installed"
[ -n "$folder" ] || skip "no folder was given (pass FOLDER or set CONFORMANCE_SUITE)"
suite="$folder/node_modules/.bin"
if [ ! -x "$suite/conformance" ] || [ ! -x "$suite/mcp-inspector" ]; then
  [ -n "$install" ] || skip "$folder contains no suite (install it with --install)"
  command -v npm >/dev/null || skip "npm is not installed"
  mkdir -p "$folder"
  npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "${packages[@]}" >&2 ||
    skip "the suite could not be installed"
fi

work="$(mktemp -d)"
servers=()
finish() {
  for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
python="${PYTHON:-python}"

# start a server in the background and set $url to its URL
start() {
  "$python" "$@" 2>"$work/log" &
  local server=$!
  servers+=("$server")
  url=""
  for _ in $(seq 300); do
    url="$(sed -n 's/^serving MCP on //p' "$work/log")"
    [ -z "$url" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo "conformance: the server did not start:" >&2
  cat "$work/log" >&2
  exit 1
}

# the complete suite requires sessions and streams
start "$here/serve_with_sessions.py"
if ! "$suite/conformance" server --url "$url" --expected-failures "$here/conformance-baseline.yml" >"$work/suite" 2>&1; then
  sed -n '/=== SUMMARY ===/,$p' "$work/suite" >&2
  echo "conformance: the suite disagrees with scripts/conformance-baseline.yml" >&2
  exit 1
fi
sed -n 's|^Total: \([0-9]*\) passed, \([0-9]*\) failed.*|conformance, the server: \1 checks pass, \2 scenarios fail as listed in the baseline|p' "$work/suite"

# The shared server has no sessions or streams, by design. It must pass all scenarios except for the two about sessions
# and streams.
held="$(sed -n 's/^✓ \([a-z0-9-]*\): .*/\1/p' "$work/suite" | grep -vxE 'logging-set-level|server-sse-multiple-streams')"
check_shared() {
  for scenario in $held; do
    if ! "$suite/conformance" server --url "$url" --scenario "$scenario" >"$work/one" 2>&1; then
      cat "$work/one" >&2
      echo "conformance: $scenario fails on $1" >&2
      exit 1
    fi
  done
  echo "conformance, $1: $(wc -w <<<"$held") scenarios pass"
}
if command -v nginx >/dev/null || [ -x /usr/sbin/nginx ]; then
  start "$here/behind_nginx.py" --demo
  check_shared "three shared servers behind nginx"
else
  echo "conformance, behind nginx: skipped, nginx is not installed"
fi
start -m swanlab_mcp --demo serve --transport http --http-port 0
check_shared "the shared server"

# check both transports with the old and the new protocol
for era in legacy modern; do
  "$suite/mcp-inspector" --cli "$python" -m swanlab_mcp --demo --allow-writes --protocol-era "$era" \
    --method tools/list --strict >"$work/tools" 2>"$work/report" || { cat "$work/report" >&2; exit 1; }
  echo "inspector, stdio, $era: $(tail -n 1 "$work/report")"
  "$suite/mcp-inspector" --cli "$url" --transport http --protocol-era "$era" \
    --method tools/list --strict >"$work/tools" 2>"$work/report" || { cat "$work/report" >&2; exit 1; }
  echo "inspector, http, $era: $(tail -n 1 "$work/report")"
done
