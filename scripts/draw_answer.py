"""Write an HTML page for the screenshot of a tool call: python scripts/draw_answer.py LANGUAGE FILE.

The page shows a call to the demo and the reply exactly as an assistant receives it.
"""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path

TOOL = "rank_experiments"
CALL = ("project=digits-mlp", "metric=val/acc", "by_seed=true", "size=3")
QUESTIONS = {
    "en": "Rank the experiments of project digits-mlp by val/acc. Which differences are more than seed noise?",
    "zh": "按 val/acc 给项目 digits-mlp 的实验排名。哪些差距大于随机种子带来的噪声？",  # noqa: RUF001 Chinese
}
REPLIES = {"en": "The tool's reply, as the assistant reads it", "zh": "助手读到的工具回复"}
STYLE = """
body { margin: 0; padding: 20px; width: 960px; background: #fff; color: #1f2328;
  font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; }
.question { margin: 0 0 14px auto; max-width: 640px; padding: 10px 16px; border-radius: 16px; background: #e6f0f8; }
.call { margin: 0 0 6px; font: 13px/1.5 monospace; color: #59636e; }
pre { margin: 0; padding: 14px; border: 1px solid #d5dbe1; border-radius: 8px; background: #f6f8fa;
  font: 12.5px/1.55 monospace, "Noto Sans CJK SC"; white-space: pre-wrap; overflow-wrap: anywhere; }
.source { margin: 8px 0 0; font-size: 13px; color: #59636e; }
"""


def main(language: str, file: str) -> None:
    command = [sys.executable, "-m", "swanlab_mcp", "--demo", "--lang", language, "call", TOOL, *CALL]
    reply = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    page = (
        f'<!DOCTYPE html><html lang="{language}"><meta charset="utf-8"><style>{STYLE}</style>'
        f'<p class="question">{QUESTIONS[language]}</p>'
        f'<p class="call">{TOOL}({html.escape(", ".join(CALL))})</p>'
        f'<pre>{html.escape(reply)}</pre><p class="source">{REPLIES[language]}</p></html>'
    )
    Path(file).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
