"""Interactive views (MCP Apps): self-contained HTML pages that are assembled on request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["CURVES", "DATA", "MIME_TYPE", "REPORT", "read_curves", "read_report"]

CURVES, REPORT = "ui://swanlab/curves.html", "ui://swanlab/report.html"
MIME_TYPE = "text/html;profile=mcp-app"
# the key in a result's `_meta` that contains the data for the view
DATA = "swanlab-mcp-server/curves"
_FOLDER = Path(__file__).parent
_STYLES = ("uplot/uPlot.min.css", "curves/style.css")
_PARTS = ("words", "host", "ticks", "series", "table", "chart", "sweep", "rows", "page")
_SCRIPTS = ("uplot/uPlot.iife.min.js", *(f"curves/{name}.js" for name in _PARTS))


def read_curves() -> str:
    """Return the page with the interactive chart of the data from `plot_metrics`."""
    page = _assemble("curves/page.html", _STYLES, _SCRIPTS)
    return page.replace("<!-- licence -->", f"<!-- uPlot: {_read('uplot/LICENSE')}-->")


def read_report() -> str:
    """Return the page that is shown with a ranking and offers a report, which it requests from the server."""
    return _assemble("report/page.html", ("report/style.css",), ("curves/host.js", "report/page.js"))


def _assemble(page: str, styles: Sequence[str], scripts: Sequence[str]) -> str:
    whole = _read(page).replace("/* styles */", "\n".join(map(_read, styles)))
    return whole.replace("/* scripts */", "\n".join(map(_read, scripts)))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
