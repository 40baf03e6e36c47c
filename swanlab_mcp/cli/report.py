"""`report`: write a project's report as a single HTML page."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from swanlab_mcp.cli.output import refuse_suffix, report, write
from swanlab_mcp.core.errors import InvalidArgument, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.present.new_file import refuse_existing
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.client.routing import SwanLabClient

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the report. Exit codes: 0 for success, 1 if the report could not be written."""
    try:
        refuse_suffix(arguments.output, (".html", ".htm"))
        if not (arguments.force and arguments.output.is_file()):
            refuse_existing(arguments.output, gettext("Pass --force to replace it, or name another file with -o."))
    except InvalidArgument as error:
        report(str(error))
        return 1
    # imported here, because the checks above should be quick
    from swanlab_mcp.cli.question import ask
    from swanlab_mcp.present.report import write_report

    def write_page(client: SwanLabClient) -> Coroutine[Any, Any, str]:
        return write_report(
            client, project=arguments.project, metric=arguments.metric, show_secrets=settings.show_secrets
        )

    try:
        page = asyncio.run(ask(settings, write_page))
    except SwanLabError as error:
        report(str(error))
        return 1
    return write(arguments.output, [page.encode("utf-8")], is_forced=arguments.force)
