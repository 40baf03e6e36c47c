"""Interactive views (MCP Apps): self-contained HTML pages, assembled from their parts on request."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CURVES", "DATA", "MIME_TYPE", "read_curves"]

CURVES = "ui://swanlab/curves.html"
MIME_TYPE = "text/html;profile=mcp-app"
# the key in `_meta` of a result under which the view finds its data
DATA = "swanlab-mcp-server/curves"
_FOLDER = Path(__file__).parent
_STYLES = ("uplot/uPlot.min.css", "curves/style.css")
_PARTS = ("words", "host", "ticks", "series", "table", "chart", "sweep", "rows", "page")
_SCRIPTS = ("uplot/uPlot.iife.min.js", *(f"curves/{name}.js" for name in _PARTS))


def read_curves() -> str:
    """Return the page of the interactive chart, which draws the data of `plot_metrics` in its host's colours."""
    page = _read("curves/page.html")
    page = page.replace("<!-- licence -->", f"<!-- uPlot: {_read('uplot/LICENSE')}-->")
    page = page.replace("/* styles */", "\n".join(map(_read, _STYLES)))
    return page.replace("/* scripts */", "\n".join(map(_read, _SCRIPTS)))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
