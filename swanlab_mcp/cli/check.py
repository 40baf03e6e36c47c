"""`check`: what would be used, and whether it works."""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import replace

from swanlab_mcp import __version__
from swanlab_mcp.core.i18n import say
from swanlab_mcp.settings import Settings

__all__ = ["run"]

# seconds: whoever waits for `check` wants to know now
_BACKOFF = 0.1


def run(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Print what the server would use and whether it works: 0 if it does, else 1."""
    return asyncio.run(_check(settings))


async def _check(settings: Settings) -> int:
    """Print what would be used and whether it works; never the key."""
    from swanlab_mcp.client.routing import open_client
    from swanlab_mcp.core.errors import SwanLabError
    from swanlab_mcp.core.refs import LOCAL, WorkspaceRef

    print(f"swanlab-mcp-server {__version__}")
    for problem in settings.problems:
        print(say("problem: {problem}", problem=problem))
    client = open_client(replace(settings, backoff=_BACKOFF))
    works: list[bool] = []
    try:
        if not settings.demo:
            print(say("host: {host} (pages at {pages})", host=settings.api_host, pages=settings.web_host))
            print(
                say("API key: found in {source}", source=settings.key_source)
                if settings.api_key
                else say("API key: none found")
            )
            if settings.api_key or settings.host_problem:
                began = time.perf_counter()
                try:
                    username = await client.default.get_username()
                except SwanLabError as error:
                    print(say("login: failed. {error}", error=error))
                    works.append(False)
                else:
                    took = 1000 * (time.perf_counter() - began)
                    print(say("login: works, as {username}, in {took:.0f} ms", username=username, took=took))
                    works.append(True)
        for folder in settings.log_dirs:
            print(say("runs on disk: {folder}", folder=say("the embedded demo") if settings.demo else folder))
        if settings.log_dirs:
            local = WorkspaceRef(LOCAL)
            projects = (await client.at(local).list_projects(local)).data or []
            experiments = sum(project.count.get("experiments", 0) for project in projects)
            told = say(
                "runs found: {experiments} experiments in {projects} projects, as workspace '{workspace}'",
                experiments=experiments,
                projects=len(projects),
                workspace=LOCAL,
            )
            print(told)
            works.append(bool(projects))
    finally:
        await client.aclose()
    if not works:
        print(
            say("Nothing to answer from: set SWANLAB_API_KEY, run `swanlab login`, or use --log-dir FOLDER or --demo.")
        )
    return 0 if works and all(works) else 1
