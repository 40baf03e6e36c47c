#!/usr/bin/env bash
# Draw the pictures of README.md and docs/ again, from the demo: scripts/pictures.sh FOLDER
#
# FOLDER is that of scripts/views.sh, with the packages for the browser. Look at the pictures before you commit them.
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd)"
shots="$(mktemp -d)"
trap 'rm -rf "$shots"' EXIT
cd "$here"
rm -f docs/curves.png
python -m swanlab_mcp --demo call plot_metrics project=digits-mlp \
  exp_cuids=lr-0.001,lr-0.01,lr-0.1,lr-1,cosine-128-64-ckpt keys=val/loss log_y=true -o docs/curves.png
bash scripts/views.sh "$1" "$shots"
cp "$shots/panels-wide.png" docs/view.png
cp "$shots/panels-wide-chinese.png" docs/zh/view.png
cp "$shots/report-en-light-1100-top.png" docs/report.png
cp "$shots/report-zh-light-1100-top.png" docs/zh/report.png
# few colours make small files
python - docs/view.png docs/zh/view.png docs/report.png docs/zh/report.png <<"EOF"
import sys

from PIL import Image

for name in sys.argv[1:]:
    Image.open(name).convert("RGB").quantize(24, dither=Image.Dither.NONE).save(name, optimize=True)
EOF
