#!/usr/bin/env bash
# Lint and render the chart in deploy/helm, validate the manifests against the schemas of Kubernetes, and write them to
# deploy/kubernetes.
#
#   scripts/kubernetes.sh [--check] [--install FOLDER]
#
# With --check, nothing is written, and the script fails if the manifests in deploy/kubernetes differ from the chart.
# FOLDER is a virtual environment that contains Helm as a library (default: $KUBERNETES_TOOLS). With --install, the
# environment is created. If there is no environment, the script prints the reason and does nothing.
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
  echo "kubernetes: skipped, no environment with ${packages[*]} was given (use --install FOLDER or set KUBERNETES_TOOLS)"
  exit 0
fi
exec "$folder/bin/python" "$here/kubernetes.py" "${options[@]}"
