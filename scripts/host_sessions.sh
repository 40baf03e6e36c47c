#!/usr/bin/env bash
# Test Claude Code, Codex, Gemini CLI and OpenCode end to end with the demo and a scripted model. The assistants have no
# access to any network but loopback.
# Usage: scripts/host_sessions.sh [FOLDER] [HOST …]. The assistants are installed in FOLDER and kept for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="${1:-}"
if [ -z "$tools" ]; then
  tools="$(mktemp -d)"
  trap 'rm -rf "$tools"' EXIT
else
  shift
fi
if [ ! -d "$tools/node_modules/opencode-ai" ]; then
  npm install --silent --no-audit --no-fund --prefix "$tools" \
    @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai
fi
if ! unshare -rn true 2>/dev/null; then
  echo "network namespaces are not available: run this script on a machine without access to any network but loopback" >&2
  exit 1
fi
unshare -rn bash -c 'ip link set lo up && exec python scripts/host_sessions.py "$@"' - "$tools" "$@"
