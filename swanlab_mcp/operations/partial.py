"""Answer about the known experiments among several, with a note on each unknown one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from swanlab_mcp.core.errors import NotFound, PermissionDenied
from swanlab_mcp.operations.reading import read_all

__all__ = ["read_known"]

T = TypeVar("T")


async def read_known(
    names: Sequence[str], question: Callable[[str], Awaitable[T]]
) -> tuple[Sequence[T], Sequence[NotFound | PermissionDenied]]:
    """Return the answers about the known experiments, in order, and the errors of the unknown experiments.

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
