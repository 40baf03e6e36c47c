"""`report`: a project as one HTML page."""

from __future__ import annotations

import argparse
import asyncio
import sys

from swanlab_mcp.cli.output import watch, write
from swanlab_mcp.settings import Settings

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the page: 0 done, 1 it could not be written."""
    return asyncio.run(_report(settings, arguments))


async def _report(settings: Settings, arguments: argparse.Namespace) -> int:
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core import progress
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.core.untrusted import neutralise
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
        print(neutralise(str(error)), file=sys.stderr)
        return 1
    finally:
        await client.aclose()
    return write(arguments.output, [page.encode("utf-8")])
