"""Choose the experiments of a question, and read many experiments at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from swanlab_mcp.client.base import ChooseKeys
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import say, say_plural
from swanlab_mcp.core.models import Experiment, Filter, Points
from swanlab_mcp.core.refs import ProjectRef, find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.finding import Choice, choose_experiments
from swanlab_mcp.operations.location import resolve_project

__all__ = [
    "describe_missing_metric",
    "explain_missing_metric",
    "link_pages",
    "list_chosen",
    "list_logged_keys",
    "read_all",
    "read_series",
]

Item = TypeVar("Item")
T = TypeVar("T")

_AT_ONCE = 32
_SERIES_AT_ONCE = 8
_ASKED_FOR_KEYS = 3
_NAMED = 10


async def list_chosen(
    client: SwanLabClient,
    project: str,
    username: str,
    filters: Sequence[Filter],
    keys: Sequence[str] = (),
    choose: ChooseKeys | None = None,
) -> tuple[ProjectRef, Choice]:
    """Return a project, its experiments that meet the filters, and their summaries of the metrics `keys`."""
    ref = await resolve_project(client, project, username)
    return ref, await choose_experiments(client, ref, filters, keys=keys, choose=choose)


def link_pages(client: SwanLabClient, ref: ProjectRef) -> str:
    link = client.at(ref).get_link(ref.experiment("<cuid>"))
    return say("Pages: {link}", link=link) if link else ""


async def read_all(
    items: Sequence[Item],
    question: Callable[[Item], Awaitable[T]],
    what: str = "experiments",
    at_once: int = _AT_ONCE,
) -> list[T]:
    """Call `question` for each item, `at_once` at a time, and return the answers in order.

    The first failure stops the other calls. `what` names the items in progress messages.
    """
    room = asyncio.Semaphore(at_once)

    async def ask(item: Item) -> T:
        async with room:
            return await question(item)

    return await progress.follow(what, *(ask(item) for item in items))


async def read_series(
    client: SwanLabClient,
    ref: ProjectRef,
    experiments: Sequence[Experiment],
    keys: Sequence[str],
    *,
    exact: bool = True,
) -> list[dict[str, Points]]:
    """Return every point (else up to 1,500) of the keys, per experiment; keys without points are absent."""

    async def ask(experiment: Experiment) -> dict[str, Points]:
        answer = await client.at(ref).read_points(ref.experiment(experiment.cuid), keys, exact=exact)
        return answer.data or {}

    return await read_all(experiments, ask, at_once=_SERIES_AT_ONCE)


async def list_logged_keys(client: SwanLabClient, ref: ProjectRef, experiments: Sequence[Experiment]) -> list[str]:
    """Return the keys of the scalar metrics of the first few experiments."""
    answers = await read_all(
        [ref.experiment(one.cuid) for one in experiments[:_ASKED_FOR_KEYS]], client.at(ref).list_keys
    )
    return list(dict.fromkeys(key for answer in answers if answer.data for key in answer.data.scalars))


async def explain_missing_metric(
    client: SwanLabClient, ref: ProjectRef, experiments: Sequence[Experiment], metric: str
) -> None:
    """Raise NotFound with similar keys of the first few experiments."""
    raise describe_missing_metric(await list_logged_keys(client, ref, experiments), metric, len(experiments))


def describe_missing_metric(logged: Sequence[str], metric: str, count: int) -> NotFound:
    """Return the error about a metric that all of `count` experiments lack; `logged` are keys of a few experiments."""
    custom = [key for key in logged if not key.startswith("__swanlab__")]
    if metric not in custom:
        near = find_near_names(metric, custom) or custom[:_NAMED]
        reported = (
            say("Similar names: {names}.", names=", ".join(quote(key) for key in near))
            if near
            else say("The experiments have not logged any metrics (yet).")
        )
        return NotFound(say("No experiment of the project has a metric {key!r}.", key=shorten(metric)), hint=reported)
    return NotFound(
        say_plural(
            "The {count} experiment has no value of this metric (yet).",
            "None of the {count} experiments has a value of this metric (yet).",
            count,
        ),
        hint=say("list_metrics shows which experiments lack it."),
    )
