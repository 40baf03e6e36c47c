"""`report`: write a project as one HTML page."""

from __future__ import annotations

import argparse
import asyncio

from swanlab_mcp.cli.output import refuse_suffix, report, watch, write
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.present.new_file import refuse_existing
from swanlab_mcp.settings import Settings

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the page: exit code 0 done, 1 the page could not be written."""
    try:
        refuse_suffix(arguments.output, (".html", ".htm"))
        if not (arguments.force and arguments.output.is_file()):
            refuse_existing(arguments.output, say("Pass --force to replace it, or name another file with -o."))
    except InvalidArgument as error:
        report(str(error))
        return 1
    return asyncio.run(_report(settings, arguments))


async def _report(settings: Settings, arguments: argparse.Namespace) -> int:
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core import progress
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.present.report import write_report

    client = open_client(settings)
    try:
        with watch() as bar:
            progress.listener.set(progress.Course(bar))
            page = await write_report(
                client,
                project=arguments.project,
                metric=arguments.metric,
                show_secrets=settings.show_secrets,
            )
    except SwanLabError as error:
        report(str(error))
        return 1
    finally:
        await client.aclose()
    return write(arguments.output, [page.encode("utf-8")], is_forced=arguments.force)
