#!/usr/bin/env bash
# Run `install --demo` in an empty home folder for each assistant that is available from npm, and check that the
# assistant's own command line connects to the server.
# Usage: scripts/assistants.sh [FOLDER]. The assistants are installed in FOLDER and kept for the next run.
set -euo pipefail
server="$(command -v swanlab-mcp-server)"
tools="${1:-$(mktemp -d)}"
if [ ! -d "$tools/node_modules" ]; then
  npm install --silent --no-audit --no-fund --prefix "$tools" \
    @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai @qwen-code/qwen-code
fi
export HOME="$(mktemp -d)"
# Gemini CLI starts servers only in trusted folders
export GEMINI_CLI_TRUST_WORKSPACE=true
mkdir -p "$HOME/.codex" "$HOME/.gemini" "$HOME/.qwen" "$HOME/.config/opencode" "$HOME/project"
cd "$HOME/project"
failed=0
while read -r name command; do
  "$server" install "$name" --demo >/dev/null 2>&1
  version="$("$tools/node_modules/.bin/$command" --version 2>/dev/null | head -1)"
  if timeout 90 "$tools/node_modules/.bin/$command" mcp list 2>&1 | grep -Ei 'swanlab.*(connected|enabled)'; then
    echo "read by $command $version"
  else
    echo "NOT read by $command $version" && failed=1
  fi
done <<'LIST'
claude-code claude
codex codex
gemini gemini
opencode opencode
qwen qwen
LIST
exit $failed
