#!/usr/bin/env bash
# Lint and render deploy/helm, validate it against the schemas of Kubernetes, and write deploy/kubernetes.
#
#   scripts/kubernetes.sh [--check] [--install FOLDER]
#
# --check fails if deploy/kubernetes is not what the chart renders. FOLDER is a virtual environment with Helm as a library
# (default: $KUBERNETES_TOOLS); --install creates it. Without it, the script is skipped with the reason.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
packages=(helm-python-sdk==0.2.2 kubernetes-validate==1.37.0)
folder="${KUBERNETES_TOOLS:-}"
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --check) options+=(--check) ;;
    --install)
      folder="${2:?--install needs a folder}"
      [ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
      "$folder/bin/pip" install --quiet "${packages[@]}"
      shift
      ;;
    *) echo "kubernetes: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
if [ -z "$folder" ] || ! "$folder/bin/python" -c "import helm_python, kubernetes_validate" 2>/dev/null; then
  echo "kubernetes: skipped, no environment with ${packages[*]} was named (--install FOLDER or KUBERNETES_TOOLS)"
  exit 0
fi
exec "$folder/bin/python" "$here/kubernetes.py" "${options[@]}"
