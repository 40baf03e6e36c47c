"""Render the sections of a report with the HTML template."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from swanlab_mcp import __version__
from swanlab_mcp.core.i18n import gettext, language
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.report import panels
from swanlab_mcp.present.report.blocks import NONE, Section, drop_markup, link_to, show
from swanlab_mcp.present.report.evidence import Evidence

__all__ = ["render"]


def render(evidence: Evidence, sections: Sequence[Section]) -> str:
    """Return the complete page in the caller's language."""
    ref = evidence.source.ref
    address = evidence.source.client.at(ref).get_link(ref)
    made = gettext(
        "Created {time} UTC by swanlab-mcp-server {version}; workspace {username}.",
        time=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        username=shorten(ref.workspace),
    )
    return (
        _open_templates()
        .get_template("report.html")
        .render(
            language=language.get(),
            title=gettext("Report on {project}", project=shorten(ref.project)),
            made=made,
            address=address,
            link=link_to(gettext("Open in SwanLab"), address) if address else "",
            contents=gettext("Contents"),
            sections=sections,
            panel=panels,
            none_sign=NONE,
        )
    )


@cache
def _open_templates() -> Environment:
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"show": show, "plain": drop_markup}
    return environment
