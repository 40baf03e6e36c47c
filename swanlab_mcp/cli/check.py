"""`check`: print the effective settings and test the SwanLab login and the log folders."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from swanlab_mcp import __version__
from swanlab_mcp.cli.output import show
from swanlab_mcp.cli.serve import end
from swanlab_mcp.client.local.discovery import RunFinder
from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.hosts import hide_password
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.refs import LOCAL, WorkspaceRef
from swanlab_mcp.settings import Settings, read_network_variables

__all__ = ["run"]

# seconds: `check` is interactive, so it retries quickly
_BACKOFF = 0.1
_LONGEST = 12.0


def run(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Print the effective settings and test each data source. Exit codes: 0 if all data sources work, otherwise 1."""
    works = asyncio.run(_check(settings))
    return 0 if works and all(works) else 1


async def _check(settings: Settings) -> list[bool | None]:
    """Test each data source and print the results, but never the key.

    Return one value per data source: True if it works, False if it fails, and None if it did not respond.
    """
    show(f"swanlab-mcp-server {__version__}")
    for problem in settings.problems:
        show(gettext("problem: {problem}", problem=problem))

    client = open_client(replace(settings, backoff=_BACKOFF))
    works: list[bool | None] = []
    try:
        if not settings.demo:
            works += await _check_account(client, settings)
        if settings.log_dirs:
            works.append(await _check_folders(client, settings))
    finally:
        await client.aclose()
    if None in works:
        # exit now, because a thread that is still resolving a host name cannot be stopped and would delay the exit
        sys.stdout.flush()
        end(1)
    if not works:
        show(gettext("No data source: set SWANLAB_API_KEY, run `swanlab login`, or use --log-dir FOLDER or --demo."))
    return works


async def _check_account(client: SwanLabClient, settings: Settings) -> list[bool | None]:
    show(gettext("host: {host} (pages at {pages})", host=settings.api_host, pages=settings.web_host))
    for variable in _list_network():
        show(gettext("network: {variable}", variable=variable))
    show(
        gettext("API key: found in {source}", source=settings.key_source)
        if settings.api_key
        else gettext("API key: none found")
    )
    if not settings.api_key and not settings.host_problem:
        return []
    began, seconds = time.perf_counter(), min(settings.timeout, _LONGEST)
    try:
        username = await asyncio.wait_for(client.default.get_username(), seconds)
    except SwanLabError as error:
        show(gettext("login: failed. {error}", error=error))
        return [False]
    except asyncio.TimeoutError:
        show(
            gettext(
                "login: failed. {host} did not respond within {seconds:g} s: check the address, the port and any "
                "firewall.",
                host=settings.api_host,
                seconds=seconds,
            )
        )
        return [None]
    took = 1000 * (time.perf_counter() - began)
    show(gettext("login: works, as {username}, in {took:.0f} ms", username=username, took=took))
    return [True]


def _list_network() -> list[str]:
    """Return the proxy and certificate variables as NAME=value, with passwords hidden."""
    found = read_network_variables()
    proxies = [f"{one.name}={hide_password(one.value)}" for one in found.proxies.values()]
    exempt = [f"NO_PROXY={','.join(found.no_proxy)}"] if proxies and found.no_proxy else []
    return [*proxies, *exempt, *(f"{one.name}={one.value}" for one in found.certificates)]


async def _check_folders(client: SwanLabClient, settings: Settings) -> bool:
    for folder in settings.log_dirs:
        show(gettext("runs on disk: {folder}", folder=gettext("the embedded demo") if settings.demo else folder))
        for reason in _explain_folder(folder):
            show(f"    {reason}")
    local = WorkspaceRef(LOCAL)
    answer = await client.at(local).list_projects(local)
    projects = answer.data or []
    show(
        gettext(
            "runs found: {experiments} in {projects}, as workspace '{workspace}'",
            experiments=ngettext(
                "{count} experiment",
                "{count} experiments",
                sum(project.count.get("experiments", 0) for project in projects),
            ),
            projects=ngettext("{count} project", "{count} projects", len(projects)),
            workspace=LOCAL,
        )
    )
    for note in answer.notes:
        show(gettext("note: {note}", note=note))
    return bool(projects)


def _explain_folder(folder: Path) -> list[str]:
    """Return the reasons why a log folder contains no runs, or an empty list if there are runs."""
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return [gettext("The folder does not exist.")]
    except NotADirectoryError:
        return [gettext("It is a file, not a folder.")]
    except OSError as error:
        return [gettext("It cannot be read: {why}.", why=error.strerror or type(error).__name__)]
    found = RunFinder([folder]).find()
    if found.runs:
        return []
    if found.notes:
        return found.notes
    if not entries:
        return [gettext("It is empty.")]
    if any(entry.suffix == ".swanlab" for entry in entries):
        return [gettext("This is the folder of a single run: use its parent folder, {folder}.", folder=folder.parent)]
    return [
        ngettext(
            "Its {count} entry is not a run: runs are folders named run-…, at most 3 levels below it.",
            "None of its {count} entries is a run: runs are folders named run-…, at most 3 levels below it.",
            len(entries),
        )
    ]
