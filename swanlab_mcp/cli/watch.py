"""`watch`: wait for events in a project's experiments, print each event, and run a command for it."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from swanlab_mcp.cli.output import report, show
from swanlab_mcp.cli.serve import end_on_signals
from swanlab_mcp.core.errors import InvalidArgument, RateLimited, ServerUnavailable, SwanLabError
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.settings import Settings, get_environment

if TYPE_CHECKING:
    from swanlab_mcp.analysis.conditions import Met
    from swanlab_mcp.client.routing import SwanLabClient
    from swanlab_mcp.operations.waiting import Awaited

__all__ = ["run"]

_MET, _FAILED, _USAGE = 0, 1, 2
# if several of these events happened, the lowest exit code is used
_CODES = {"crashed": 3, "non_finite": 4, "stalled": 5}
_TIME_OVER, _NOTHING_RUNS = 6, 7
_LONGEST = 1800  # seconds
_AGAIN = 30.0
_LONGEST_NAME = 1000
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Wait for events, print them and run the command. The exit code depends on the events (see docs/watch.md)."""
    try:
        command = _read_command(arguments.exec)
    except InvalidArgument as error:
        report(str(error))
        return _USAGE
    watch = _Watch(arguments, command)
    # tests call this function from other threads, where signal handlers cannot be set
    if threading.current_thread() is threading.main_thread():
        end_on_signals(watch.stop)
    return asyncio.run(watch.run(settings))


def _read_command(text: str) -> list[str]:
    """Return the path of the program and its arguments, or an empty list if `text` is empty.

    Raises InvalidArgument if `text` cannot be parsed or the program does not exist.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(gettext("--exec {text!r} has an open quotation mark.", text=text)) from error
    if not words:
        return []
    program = shutil.which(words[0])
    if program is None:
        raise InvalidArgument(gettext("--exec: the program {name!r} does not exist.", name=words[0]))
    return [program, *words[1:]]


class _Watch:
    """Watches the experiments in one project."""

    def __init__(self, arguments: argparse.Namespace, command: Sequence[str]) -> None:
        self._arguments, self._command = arguments, command
        self._cursor: str = arguments.cursor
        self._codes: set[int] = set()
        self._child: Process | None = None

    def stop(self, number: int) -> None:
        """Stop the running command, and report the cursor for continuing the wait."""
        if self._child:
            _end_child(self._child)
        name = signal.Signals(number).name
        report(
            gettext("Stopped by {signal}. Continue with --cursor {cursor}", signal=name, cursor=self._cursor or "''")
        )

    async def run(self, settings: Settings) -> int:
        from swanlab_mcp.client.routing import open_client

        client = open_client(settings)
        try:
            return await self._watch(client)
        except SwanLabError as error:
            report(str(error))
            return _USAGE if isinstance(error, InvalidArgument) else _FAILED
        finally:
            await client.aclose()

    async def _watch(self, client: SwanLabClient) -> int:
        from swanlab_mcp.operations.wait_cursor import withhold

        clock = asyncio.get_running_loop().time
        until, follow = self._arguments.until, self._arguments.follow
        ends = clock() + (self._arguments.wait or float("inf"))
        # the first poll does not wait; it returns the cursor for the current state
        found = await self._ask(client, 0)
        text = ngettext(
            "Watching {count} running experiment of {project}.",
            "Watching {count} running experiments of {project}.",
            found.watched,
            project=found.ref,
        )
        report(text)
        while True:
            for index, one in enumerate(found.met):
                self._cursor = withhold(found.cursor, found.ref, found.met[index + 1 :])
                await self._handle(found, one)
            if found.met and not follow:
                return self._choose_code()
            if not found.watched and "any_new" not in until:
                report(gettext("No watched experiment is running."))
                return self._choose_code() if self._codes else _NOTHING_RUNS
            left = ends - clock()
            if left <= 0:
                report(gettext("Time is up. Continue with --cursor {cursor}", cursor=self._cursor))
                return self._choose_code() if self._codes else _TIME_OVER
            try:
                found = await self._ask(client, min(left, _LONGEST))
            except (ServerUnavailable, RateLimited) as error:
                report(str(error))
                await asyncio.sleep(min(_AGAIN, left))

    async def _ask(self, client: SwanLabClient, seconds: float) -> Awaited:
        from swanlab_mcp.operations.waiting import wait_for_experiments

        answer = await wait_for_experiments(
            client,
            project=self._arguments.project,
            exp_cuids=self._arguments.experiment,
            until=self._arguments.until,
            timeout=round(seconds + 0.5) if seconds else 0,
            cursor=self._cursor,
        )
        found = answer.data
        assert found is not None
        if not found.met:
            self._cursor = found.cursor
        return found

    async def _handle(self, found: Awaited, met: Met) -> None:
        """Print the event, and run the command without a shell.

        The command receives the event's kind and experiment as arguments, and all facts as environment variables.
        """
        facts = _list_facts(found, met, self._cursor)
        self._codes.add(_CODES.get(met.condition.kind, _MET))
        shown = ("CONDITION", "NAME", "EXPERIMENT", "STATE", "METRIC", "VALUE", "STEP")
        show(" | ".join(facts[name] for name in shown if facts[name]))
        sys.stdout.flush()
        if not self._command:
            return
        environ = {**get_environment(), **{f"SWANLAB_WATCH_{name}": value for name, value in facts.items()}}
        words = [*self._command, facts["KIND"], facts["EXPERIMENT"]]
        try:
            self._child = await create_subprocess_exec(*words, env=environ, stdin=DEVNULL)
            code = await self._child.wait()
        except OSError as error:
            report(gettext("--exec cannot be started: {why}.", why=error.strerror or type(error).__name__))
            return
        finally:
            self._child = None
        if code:
            report(gettext("--exec ended with code {code}.", code=code))

    def _choose_code(self) -> int:
        return min((code for code in self._codes if code), default=_MET)


def _end_child(child: Process) -> None:
    """Terminate a process, and kill it if it does not exit."""
    with suppress(ProcessLookupError, ChildProcessError):
        child.terminate()
        # on Windows, which has no waitid, terminate() already kills the process
        if hasattr(os, "waitid"):
            ends = time.monotonic() + _GRACE
            while not os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if time.monotonic() > ends:
                    child.kill()
                    return
                time.sleep(0.02)


def _list_facts(found: Awaited, met: Met, cursor: str) -> Mapping[str, str]:
    """Return the facts about an event as strings without control characters. Facts that do not apply are ""."""
    one = met.experiment
    facts = {
        "KIND": met.condition.kind,
        "CONDITION": met.condition.text,
        "EXPERIMENT": found.ref.experiment(one.cuid).path,
        "NAME": one.name,
        "STATE": one.state,
        "METRIC": met.key,
        "VALUE": "" if met.value is None else f"{met.value:.6g}",
        "STEP": "" if met.step is None else str(met.step),
        "SILENT": "" if met.silent is None else f"{met.silent:.0f}",
        "CURSOR": cursor,
    }
    return {name: neutralise(value)[:_LONGEST_NAME] if name != "CURSOR" else value for name, value in facts.items()}
