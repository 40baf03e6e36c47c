#!/usr/bin/env bash
# Test the interactive chart and the report in a real browser. The chart runs in a host page with the official MCP Apps
# bridge.
#
#   scripts/views.sh [--install] FOLDER [SCREENSHOTS]
#
# FOLDER contains a node_modules folder for the host page (default: $VIEWS_SUITE). With --install, missing packages are
# installed with npm. Checks that cannot run are skipped and the reason is printed. Failures are errors.
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd)"
packages=(
  @modelcontextprotocol/ext-apps@2.0.4 @modelcontextprotocol/client@2.4.0 esbuild@0.28.2 playwright-core@1.65.1
  axe-core@4.14.1
)

install=""
if [ "${1:-}" = "--install" ]; then
  install=yes
  shift
fi
folder="${1:-${VIEWS_SUITE:-}}"

skip() {
  echo "views: skipped, $1"
  exit 0
}

command -v node >/dev/null || skip "Node is not installed"
chromium=""
for name in chromium chromium-browser google-chrome; do
  chromium="${chromium:-$(command -v "$name" || true)}"
done
[ -n "$chromium" ] || skip "no Chromium is installed"
[ -n "$folder" ] || skip "no folder was given (pass FOLDER or set VIEWS_SUITE)"
if [ ! -x "$folder/node_modules/.bin/esbuild" ] || [ ! -d "$folder/node_modules/playwright-core" ] || [ ! -d "$folder/node_modules/axe-core" ]; then
  [ -n "$install" ] || skip "$folder contains no host page (install it with --install)"
  command -v npm >/dev/null || skip "npm is not installed"
  mkdir -p "$folder"
  npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "${packages[@]}" >&2 ||
    skip "the host page could not be installed"
fi

# copy the files to FOLDER, because modules resolve packages relative to their own path
work="$(mktemp -d "$folder/run.XXXXXX")"
trap 'rm -rf "$work"' EXIT
cp "$here"/tests/views/*.mjs "$work/"
"$folder/node_modules/.bin/esbuild" "$work/host.mjs" --bundle --format=iife --outfile="$work/host.js" --log-level=warning
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" PYTHON="${PYTHON:-python}"
node "$work/check.mjs" "$chromium" "$work/host.js" ${2:+"$2"}
node "$work/report.mjs" "$chromium" "$work" ${2:+"$2"}
