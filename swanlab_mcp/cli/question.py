"""Query SwanLab from a command while showing a progress bar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from swanlab_mcp.cli.output import watch
from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.core import progress
from swanlab_mcp.settings import Settings

__all__ = ["ask"]

T = TypeVar("T")


async def ask(
    settings: Settings, question: Callable[[SwanLabClient], Awaitable[T]], *, shows_progress: bool = True
) -> T:
    """Run `question` with a new client and return the result. The client is closed afterwards. Raises SwanLabError."""
    client = open_client(settings)
    try:
        with watch(is_wanted=shows_progress) as bar:
            progress.listener.set(progress.Course(bar))
            return await question(client)
    finally:
        await client.aclose()
