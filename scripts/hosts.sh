#!/usr/bin/env bash
# Load the tools into agent frameworks that have rejected some of our tools in the past. Each framework has its own
# environment.
# Usage: bash scripts/hosts.sh [FOLDER]. The environments are kept in FOLDER for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-$(command -v python)}"
folder="${1:-}"
if [ -z "$folder" ]; then
  folder="$(mktemp -d)"
  trap 'rm -rf "$folder"' EXIT
fi
failed=0
while read -r framework packages; do
  home="$folder/$framework"
  if [ ! -x "$home/bin/python" ]; then
    "$python" -m venv "$home"
    # shellcheck disable=SC2086 # several packages
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check $packages
  fi
  "$home/bin/python" scripts/load_tools.py "$framework" "$python" 2>"$home/stderr.txt" || {
    failed=1
    echo "$framework: failed"
    tail -n 5 "$home/stderr.txt"
  }
done <<'FRAMEWORKS'
google-genai google-genai mcp
autogen-ext autogen-ext[mcp] mcp<2
dspy dspy mcp
semantic-kernel semantic-kernel[mcp]
openai-agents openai-agents
mcp-use mcp-use
langchain-mcp-adapters langchain-mcp-adapters
pydantic-ai-slim pydantic-ai-slim[mcp]
FRAMEWORKS
exit "$failed"
