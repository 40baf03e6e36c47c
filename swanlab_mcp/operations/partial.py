"""Read several experiments concurrently, and report unknown experiments instead of failing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from swanlab_mcp.client.base import Backend
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import NotFound, PermissionDenied
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.reading import read_all

__all__ = ["ask_known", "read_known"]

T = TypeVar("T")


async def read_known(
    names: Sequence[str], question: Callable[[str], Awaitable[T]]
) -> tuple[Sequence[T], Sequence[NotFound | PermissionDenied]]:
    """Call `question` for each name. Return the results in order, and the errors for unknown experiments.

    Raises the first error if all experiments are unknown.
    """

    async def read(name: str) -> T | NotFound | PermissionDenied:
        try:
            return await question(name)
        except (NotFound, PermissionDenied) as error:
            return error

    answers = await read_all(list(dict.fromkeys(names)), read)
    found = [one for one in answers if not isinstance(one, (NotFound, PermissionDenied))]
    errors = [one for one in answers if isinstance(one, (NotFound, PermissionDenied))]
    if errors and not found:
        raise errors[0]
    return found, errors


async def ask_known(
    client: SwanLabClient,
    names: Sequence[str],
    question: Callable[[Backend, ExperimentRef], Awaitable[ApiResponse[T]]],
    *,
    project: str,
    username: str,
) -> tuple[Sequence[tuple[ExperimentRef, ApiResponse[T]]], Sequence[NotFound | PermissionDenied]]:
    """Resolve each name and call `question` for the experiment. Errors are handled as in `read_known`."""

    async def ask(name: str) -> tuple[ExperimentRef, ApiResponse[T]]:
        ref = await resolve_experiment(client, name, project, username)
        return await ask_about_experiment(client, ref, partial(question, client.at(ref)))

    return await read_known(names, ask)
