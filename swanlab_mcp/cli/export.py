"""`export`: write an experiment's metrics or log to a file, or entire projects to a folder."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swanlab_mcp.cli.output import report
from swanlab_mcp.core.errors import InvalidArgument, NotFound, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.refs import names_project, read_bare_name
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.client.routing import SwanLabClient
    from swanlab_mcp.present.export import Exported

__all__ = ["run"]

FORMATS = ("csv", "json", "parquet", "log")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the file or folder. Exit codes: 0 for success, 1 for a failed or incomplete export, 2 for a usage error."""
    try:
        arguments.projects = _choose_projects(arguments.experiment, arguments.project)
        if arguments.projects:
            arguments.format = _check_dataset(arguments.format, arguments.output)
        else:
            arguments.format = _choose_format(arguments.format, arguments.output)
    except InvalidArgument as error:
        report(str(error))
        return 2
    # imported here, because the checks above should be quick
    from swanlab_mcp.cli.question import ask
    from swanlab_mcp.present.export import export_log, export_series
    from swanlab_mcp.present.project_export import export_projects

    is_folder = _is_folder(arguments.output)

    async def export(client: SwanLabClient) -> Exported:
        where = {"project": arguments.project, "exp_cuid": arguments.experiment, "output": arguments.output}
        how: dict[str, Any] = {
            "keys": [key for key in arguments.keys.split(",") if key],
            "form": arguments.format,
            "guards_formulas": not arguments.raw_cells,
        }
        if arguments.projects:
            return await export_projects(client, project=arguments.projects, output=arguments.output, **how)
        if arguments.format == "log":
            return await export_log(client, **where)
        ways: list[Callable[[], Awaitable[Exported]]] = [partial(export_series, client, **where, **how)]
        if not arguments.project and arguments.output != "-" and read_bare_name(arguments.experiment):
            named = {"project": arguments.experiment, "output": arguments.output}
            # an existing folder must be an earlier export of a project, so try the project first
            ways.insert(0 if is_folder else 1, partial(export_projects, client, **named, **how))
        return await _export_first(ways)

    # hide the progress bar if the data is printed to the same terminal
    shows_progress = arguments.output != "-" or not sys.stdout.isatty()
    try:
        exported = asyncio.run(ask(settings, export, shows_progress=shows_progress))
    except SwanLabError as error:
        report(str(error))
        return 1
    report(gettext("{what}: {where}", what=exported.what, where=exported.where))
    for note in exported.notes:
        report(gettext("note: {note}", note=note))
    return 0 if exported.is_whole else 1


async def _export_first(ways: Sequence[Callable[[], Awaitable[Exported]]]) -> Exported:
    """Try each interpretation of the name, as an experiment or as a project, until one of them succeeds.

    If none succeeds, raise the NotFound error of the first interpretation.
    """
    try:
        return await ways[0]()
    except NotFound:
        for way in ways[1:]:
            with suppress(NotFound):
                return await way()
        raise


def _is_folder(output: str) -> bool:
    try:
        return bool(output) and Path(output).is_dir()
    except OSError:  # the name is too long
        return False


def _choose_projects(experiment: str, project: str) -> str:
    """Return the projects to export, or "" if the arguments identify an experiment.

    Projects can be given as a pattern with `*`, a path with two parts, or the URL of a project.
    """
    if project and not experiment:
        return project
    return experiment if "*" in experiment or (not project and names_project(experiment)) else ""


def _check_dataset(given: str, output: str) -> str:
    """Return the file format for a project export. Raises InvalidArgument if a log or standard output is requested."""
    if given == "log":
        raise InvalidArgument(
            gettext("A log belongs to a single experiment."),
            hint=gettext("Specify the experiment, or choose csv, json or parquet."),
        )
    if output == "-":
        raise InvalidArgument(
            gettext("Projects cannot be written to standard output."), hint=gettext("Name a folder with -o.")
        )
    return given or "csv"


def _choose_format(given: str, output: str) -> str:
    """Return the format given by the option or by the file's suffix. The default is csv.

    Raises InvalidArgument if the suffix is unknown or contradicts the option.
    """
    suffix = "" if output == "-" else Path(output).suffix.lower().removeprefix(".")
    if given and suffix in FORMATS and suffix != given:
        raise InvalidArgument(
            gettext("--format {name} does not match the suffix of {output}.", name=given, output=output),
            hint=gettext("Omit --format, or name another file with -o."),
        )
    if suffix and not given and suffix not in FORMATS:
        raise InvalidArgument(
            gettext("The suffix of {output} is not a known format.", output=output),
            hint=gettext("Use one of: {names}.", names=", ".join(f".{name}" for name in FORMATS)),
        )
    return given or suffix or "csv"
