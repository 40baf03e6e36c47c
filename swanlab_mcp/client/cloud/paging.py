"""PagedLists: read SwanLab's paged lists completely or not at all (wire page, sections 3 to 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from swanlab_mcp.client.cloud.answers import NOT_OFFERED
from swanlab_mcp.client.cloud.fields import read_list
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import read_total
from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import SwanLabError, UnexpectedResponse
from swanlab_mcp.core.i18n import say

__all__ = ["LARGEST_PAGE", "HandOn", "PagedLists"]

T = TypeVar("T")

LARGEST_PAGE = 100
_SIZES = (10, 12, 15, 20, 24, 27, 50, 100)
_READINGS = 3


class HandOn(Protocol):
    """Receive the items of a page of a list with `total` items; `is_last`: no page follows."""

    def __call__(self, items: list[dict[str, Any]], total: int, *, is_last: bool) -> Coroutine[Any, Any, None]: ...


class PagedLists:
    """The lists of the server that `transport` connects to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def read(
        self,
        path: tuple[str, ...],
        params: dict[str, str],
        read: Callable[[dict[str, Any]], T],
        offset: int,
        limit: int | None,
        what: str,
        hand_on: HandOn | None = None,
    ) -> tuple[list[T], int]:
        """Return the items from `offset` on, at most `limit`, each converted by `read`, and the number of all items.

        `hand_on` receives the items of each page as soon as it arrives. If the list changes while its pages are read,
        it would contain gaps or repetitions, so it is read again. Raises UnexpectedResponse after 3 inconsistent
        readings.
        """
        size = limit if limit in _SIZES and offset % limit == 0 else LARGEST_PAGE
        first = offset // size + 1
        stop = None if limit is None else offset + limit
        skipped = offset % size
        total = 0
        for _ in range(_READINGS):
            rows, total, is_steady = await self._read_pages(path, params, read, size, first, stop, what, hand_on)
            expected = max(0, min(total, _count_pages(stop, size) * size if stop else total) - (first - 1) * size)
            if is_steady and len(rows) == len(dict(rows)) == expected:
                found = [row for _, row in rows]
                return found[skipped : None if limit is None else skipped + limit], total
        raise UnexpectedResponse(
            say(
                "SwanLab's list of {what} changed while it was read, or its pages do not match "
                "the reported total ({total}).",
                what=what,
                total=total,
            ),
            hint=say("Send the request again."),
        )

    async def _read_pages(
        self,
        path: tuple[str, ...],
        params: dict[str, str],
        read: Callable[[dict[str, Any]], T],
        size: int,
        first: int,
        stop: int | None,
        what: str,
        hand_on: HandOn | None,
    ) -> tuple[list[tuple[str, T]], int, bool]:
        """Return the pages from `first` to the page with item `stop` as (id, row), and the list's total.

        The third value says whether all pages report the same total. Pages are parsed while others are pending.
        """

        async def read_page(number: int) -> Any:
            return await self._transport.get(*path, params={**params, "page": number, "size": size})

        try:
            answer = await read_page(first)
        except SwanLabError as error:
            if first == 1 or error.status not in NOT_OFFERED:
                raise
            # some servers reject a page beyond the last; the first page contains the number of items
            total = _require_total(await read_page(1), what)
            if total > (first - 1) * size:
                raise
            return [], total, True
        total = _require_total(answer, what)
        is_steady = True
        last = _count_pages(total if stop is None else min(total, stop), size)
        left = max(1, last - first + 1)
        stage = progress.Stage("pages", left)
        turn = asyncio.Lock()

        async def take(answer: Any) -> list[tuple[str, T]]:
            nonlocal is_steady, left
            is_steady = is_steady and read_total(answer) in (None, total)
            items = read_list(answer, what)
            if len(items) > size:
                raise _refuse_long_page(len(items), size, what)
            left -= 1
            rows: list[tuple[str, T]] = []

            async def read_items() -> None:
                async with turn:
                    # one page at a time, to keep the event loop free
                    rows.extend((str(item.get("cuid") or item.get("name")), read(item)) for item in items)
                    await asyncio.sleep(0)
                await stage.advance()

            await (gather(hand_on(items, total, is_last=not left), read_items()) if hand_on else read_items())
            return rows

        async def take_page(number: int) -> list[tuple[str, T]]:
            return await take(await read_page(number))

        pages = await gather(take(answer), *map(take_page, range(first + 1, last + 1)))
        return [row for page in pages for row in page], total, is_steady


def _count_pages(items: int, size: int) -> int:
    return -(-items // size)


def _require_total(answer: Any, what: str) -> int:
    total = read_total(answer)
    if total is None:
        raise UnexpectedResponse(
            say("SwanLab's list of {what} does not report its length.", what=what), hint=say("Try again.")
        )
    return total


def _refuse_long_page(count: int, size: int, what: str) -> UnexpectedResponse:
    return UnexpectedResponse(
        say("SwanLab's list of {what} has {count} items on a page of {size}.", what=what, count=count, size=size),
        hint=say("Check that the host is a SwanLab API host; a proxy or login page may answer in its place."),
    )
