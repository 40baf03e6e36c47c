#!/usr/bin/env bash
# Drive Claude Code, Codex, Gemini CLI and OpenCode end to end with the demo and a scripted model, with no network but
# loopback. Usage: scripts/host_sessions.sh [FOLDER with the assistants' node_modules, kept for the next run] [HOST …]
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
  echo "this machine has no network namespaces: run where nothing but loopback can be reached" >&2
  exit 1
fi
unshare -rn bash -c 'ip link set lo up && exec python scripts/host_sessions.py "$@"' - "$tools" "$@"
