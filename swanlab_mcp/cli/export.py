"""`export`: an experiment's points or log in a file."""

from __future__ import annotations

import argparse
import asyncio
import sys

from swanlab_mcp.cli.output import watch
from swanlab_mcp.core.i18n import say
from swanlab_mcp.settings import Settings

__all__ = ["run"]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the file: 0 done, 1 it could not be written."""
    return asyncio.run(_export(settings, arguments))


async def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the file and say on stderr where it is and what is to be known about it."""
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core import progress
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.core.untrusted import neutralise
    from swanlab_mcp.present.export import export_log, export_series

    client = open_client(settings)
    try:
        where = {"project": arguments.project, "exp_cuid": arguments.experiment, "output": arguments.output}
        # on the same terminal it would stand between the lines
        with watch(is_wanted=arguments.output != "-" or not sys.stdout.isatty()) as bar:
            progress.listener.set(progress.Course(bar))
            if arguments.format == "log":
                exported = await export_log(client, **where)
            else:
                keys = [key for key in arguments.keys.split(",") if key]
                exported = await export_series(client, **where, keys=keys, form=arguments.format)
    except SwanLabError as error:
        print(neutralise(str(error)), file=sys.stderr)
        return 1
    finally:
        await client.aclose()
    print(say("{what}: {where}", what=exported.what, where=exported.where), file=sys.stderr)
    for note in exported.notes:
        print(say("note: {note}", note=neutralise(note)), file=sys.stderr)
    return 0
