"""Answer a question about several experiments even if some are unknown, with a note on each unknown experiment."""

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
    """Return the answers for the known experiments, in order, and the errors for the unknown experiments.

    Raises the first error if every experiment is unknown.
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
    """Resolve each name and call `question` about the experiment, as `read_known` does."""

    async def ask(name: str) -> tuple[ExperimentRef, ApiResponse[T]]:
        ref = await resolve_experiment(client, name, project, username)
        return await ask_about_experiment(client, ref, partial(question, client.at(ref)))

    return await read_known(names, ask)
