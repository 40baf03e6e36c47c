"""Load the user's own metric definitions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from swanlab_mcp.analysis.metric_catalogue import extend_catalogue
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.settings import Settings

__all__ = ["use_own_metrics"]


def use_own_metrics(settings: Settings) -> Settings:
    """Add the user's definitions, from the file set in SWANLAB_MCP_METRICS, to this process's metric catalogue.

    If the file is invalid, the catalogue is unchanged, and the returned settings contain a description of the problem.
    """
    name = settings.metrics_file
    if not name:
        return settings
    with use_language(settings.language):
        try:
            extend_catalogue(Path(name).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            kind = type(error).__name__
            problem = gettext("SWANLAB_MCP_METRICS: {file} cannot be read ({kind}).", file=shorten(name), kind=kind)
        except ValueError as error:
            problem = gettext("SWANLAB_MCP_METRICS is not used: {fault}", fault=shorten(str(error)))
        else:
            return settings
    return replace(settings, problems=(*settings.problems, problem))
