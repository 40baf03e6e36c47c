"""`export`: write an experiment's points or log to a file, or whole projects to a folder."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from swanlab_mcp.cli.output import report, watch
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.settings import Settings

__all__ = ["run"]

FORMATS = ("csv", "json", "parquet", "log")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the file: exit code 0 done, 1 the file could not be written."""
    arguments.projects = _choose_projects(arguments.experiment, arguments.project)
    try:
        if arguments.projects:
            arguments.format = _check_dataset(arguments.format, arguments.output)
        else:
            arguments.format = _choose_format(arguments.format, arguments.output)
    except InvalidArgument as error:
        report(str(error))
        return 2
    return asyncio.run(_export(settings, arguments))


async def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the file; print its path and the notes about it on stderr."""
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core import progress
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.present.export import export_log, export_series
    from swanlab_mcp.present.project_export import export_projects

    client = open_client(settings)
    try:
        where = {"project": arguments.project, "exp_cuid": arguments.experiment, "output": arguments.output}
        # on the same terminal, the progress bar would appear between the lines
        with watch(is_wanted=arguments.output != "-" or not sys.stdout.isatty()) as bar:
            progress.listener.set(progress.Course(bar))
            keys = [key for key in arguments.keys.split(",") if key]
            if arguments.projects:
                exported = await export_projects(
                    client,
                    project=arguments.projects,
                    keys=keys,
                    form=arguments.format,
                    output=arguments.output,
                    guards_formulas=not arguments.raw_cells,
                )
            elif arguments.format == "log":
                exported = await export_log(client, **where)
            else:
                exported = await export_series(
                    client, **where, keys=keys, form=arguments.format, guards_formulas=not arguments.raw_cells
                )
    except SwanLabError as error:
        report(str(error))
        return 1
    finally:
        await client.aclose()
    report(say("{what}: {where}", what=exported.what, where=exported.where))
    for note in exported.notes:
        report(say("note: {note}", note=note))
    return 0 if exported.is_whole else 1


def _choose_projects(experiment: str, project: str) -> str:
    """Return the projects to export, "" if the arguments name an experiment.

    A pattern with `*` and a path of two parts name projects.
    """
    if project and not experiment:
        return project
    is_path = not project and "://" not in experiment and experiment.strip("/").count("/") == 1
    return experiment if "*" in experiment or is_path else ""


def _check_dataset(given: str, output: str) -> str:
    """Return the format of the files in a folder. Raises InvalidArgument for a log or standard output."""
    if given == "log":
        raise InvalidArgument(
            say("A log belongs to one experiment."), hint=say("Name the experiment, or choose csv, json or parquet.")
        )
    if output == "-":
        raise InvalidArgument(say("Projects cannot be written to standard output."), hint=say("Name a folder with -o."))
    return given or "csv"


def _choose_format(given: str, output: str) -> str:
    """Return the format on which option and suffix agree, by default csv. Raises InvalidArgument if they differ."""
    suffix = "" if output == "-" else Path(output).suffix.lower().removeprefix(".")
    if given and suffix in FORMATS and suffix != given:
        raise InvalidArgument(
            say("--format {name} does not match the suffix of {output}.", name=given, output=output),
            hint=say("Omit --format, or name another file with -o."),
        )
    if suffix and not given and suffix not in FORMATS:
        raise InvalidArgument(
            say("The suffix of {output} is not a known format.", output=output),
            hint=say("Use one of: {names}.", names=", ".join(f".{name}" for name in FORMATS)),
        )
    return given or suffix or "csv"
