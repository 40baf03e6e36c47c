#!/usr/bin/env bash
# Update the screenshots of the demo in README.md and docs/: scripts/pictures.sh FOLDER
#
# FOLDER is the same folder as for scripts/views.sh, with the packages for the browser. Check the screenshots before you
# commit them.
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
chromium="$(command -v chromium || command -v chromium-browser || command -v google-chrome)"
for language in en zh; do
  python scripts/draw_answer.py "$language" "$shots/answer.html"
  "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,760 \
    --screenshot="$shots/answer-$language.png" "file://$shots/answer.html"
done
cp "$shots/answer-en.png" docs/answer.png
cp "$shots/answer-zh.png" docs/zh/answer.png
# reduce the number of colours to make the files smaller
python - docs/view.png docs/zh/view.png docs/report.png docs/zh/report.png docs/answer.png docs/zh/answer.png <<"EOF"
import sys

from PIL import Image, ImageOps

for name in sys.argv[1:]:
    picture = Image.open(name).convert("RGB")
    if "answer" in name:
        _, _, _, bottom = ImageOps.invert(picture).getbbox()
        picture = picture.crop((0, 0, picture.width, bottom + 20))
    picture.quantize(24, dither=Image.Dither.NONE).save(name, optimize=True)
EOF
