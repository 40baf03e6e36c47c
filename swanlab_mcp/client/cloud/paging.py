"""Read SwanLab's paged lists, and raise an error rather than return an incomplete list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, Protocol, TypeVar

from swanlab_mcp.client.cloud.answers import NOT_OFFERED
from swanlab_mcp.client.cloud.fields import read_list
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import read_total
from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import SwanLabError, UnexpectedResponse
from swanlab_mcp.core.full_collections import postpone
from swanlab_mcp.core.i18n import gettext

__all__ = ["LARGEST_PAGE", "HandOn", "PagedLists"]

T = TypeVar("T")

LARGEST_PAGE = 100
_SIZES = (10, 12, 15, 20, 24, 27, 50, 100)
_READINGS = 3
# full garbage collections take up a third of the time that it takes to read a list of 20,000 items
_MANY_PAGES = 10
# more pages than connections, but a harmless number of requests if the reported total is absurd
_AT_ONCE = 128


class HandOn(Protocol):
    """A callback for each page of a list. `total` is the length of the list, and `is_last` marks the last page."""

    def __call__(self, items: list[dict[str, Any]], total: int, *, is_last: bool) -> Coroutine[Any, Any, None]: ...


class PagedLists:
    """Reads paged lists from the server that `transport` connects to."""

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
        expected: int = 0,
    ) -> tuple[list[T], int]:
        """Return at most `limit` items starting at `offset`, each converted by `read`, and the total number of items.

        `hand_on` is called with the items on each page as soon as the page arrives. If the list changes while it is
        being read, items could be missing or repeated, so the list is read again. After three inconsistent attempts,
        UnexpectedResponse is raised. `expected` is the estimated total. If it is correct, all pages are requested at
        once.
        """
        size = limit if limit in _SIZES and offset % limit == 0 else LARGEST_PAGE
        first = offset // size + 1
        stop = None if limit is None else offset + limit
        skipped = offset % size
        total = 0

        async def read_page(number: int) -> Any:
            return await self._transport.get(*path, params={**params, "page": number, "size": size})

        for _ in range(_READINGS):
            reading = _Reading(read_page, read, size, first, stop, what, hand_on)
            rows = await reading.read_all(expected)
            # the next attempt does not use the guess
            total, expected = reading.total, 0
            whole = max(0, min(total, _count_pages(stop, size) * size if stop else total) - (first - 1) * size)
            if reading.is_steady and len(rows) == len(dict(rows)) == whole:
                found = [row for _, row in rows]
                return found[skipped : None if limit is None else skipped + limit], total
        raise UnexpectedResponse(
            gettext(
                "SwanLab's list of {what} changed while it was being read, or its pages do not match the reported "
                "total ({total}).",
                what=what,
                total=total,
            ),
            hint=gettext("Send the request again."),
        )


class _Reading(Generic[T]):
    """One attempt to read the pages from `first` to the page that contains item `stop`.

    Pages are parsed while other pages are pending. `is_steady` is true if all pages report the same `total` and no page
    lacks items. Once it is false, the remaining pages are not read.
    """

    def __init__(
        self,
        read_page: Callable[[int], Coroutine[Any, Any, Any]],
        read: Callable[[dict[str, Any]], T],
        size: int,
        first: int,
        stop: int | None,
        what: str,
        hand_on: HandOn | None,
    ) -> None:
        self._read_page, self._read, self._size, self._first, self._stop = read_page, read, size, first, stop
        self._what, self._hand_on = what, hand_on
        self._turn = asyncio.Lock()
        self._is_known = asyncio.Event()
        self._left = 1
        self._stage = progress.Stage("pages", 1)
        self._pages: dict[int, list[tuple[str, T]]] = {}
        self.total = 0
        self.is_steady = True

    async def read_all(self, expected: int) -> list[tuple[str, T]]:
        """Read all pages, and return an (id, item) pair for each item."""
        early = min(self._find_last(expected), self._first + _AT_ONCE)
        await gather(self._read_first(early), *map(self._read_early, range(self._first + 1, early + 1)))
        return [row for number in sorted(self._pages) for row in self._pages[number]]

    def _find_last(self, total: int) -> int:
        """Return the number of the last page to read, which is never before the first requested page."""
        return max(self._first, _count_pages(total if self._stop is None else min(total, self._stop), self._size))

    async def _read_first(self, early: int) -> None:
        """Read the first page. If the list is longer than expected, read the pages after `early` as well."""
        try:
            answer = await self._read_page(self._first)
        except SwanLabError as error:
            if self._first == 1 or error.status not in NOT_OFFERED:
                raise
            # some servers reject a page beyond the end of the list, but page 1 reports the number of items
            self.total = _require_total(await self._read_page(1), self._what)
            if self.total > (self._first - 1) * self._size:
                raise
            self._is_known.set()
            return
        self.total = _require_total(answer, self._what)
        last = self._find_last(self.total)
        self._left = last - self._first + 1
        if self._left > _MANY_PAGES:
            postpone()
        self._stage = progress.Stage("pages", self._left)
        self._is_known.set()
        late = iter(range(early + 1, last + 1))
        readers = (self._read_late(late) for _ in range(min(_AT_ONCE, last - early)))
        await gather(self._take(self._first, answer), *readers)

    async def _read_late(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            if not self.is_steady:
                return
            await self._take(number, await self._read_page(number))

    async def _read_early(self, number: int) -> None:
        """Read a page before the number of pages is known. If the page does not exist, ignore the error."""
        try:
            answer = await self._read_page(number)
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            await self._is_known.wait()
            if number <= self._find_last(self.total):
                raise
            return
        await self._is_known.wait()
        if number <= self._find_last(self.total):
            await self._take(number, answer)

    async def _take(self, number: int, answer: Any) -> None:
        items = read_list(answer, self._what)
        is_full = len(items) >= min(self._size, self.total - (number - 1) * self._size)
        self.is_steady = self.is_steady and is_full and read_total(answer) in (None, self.total)
        if len(items) > self._size:
            raise _refuse_long_page(len(items), self._size, self._what)
        self._left -= 1
        rows = self._pages[number] = []

        async def read_items() -> None:
            async with self._turn:
                # parse one page at a time, to keep the event loop free
                rows.extend((_identify(item), self._read(item)) for item in items)
                await asyncio.sleep(0)
            await self._stage.advance()

        hand_on = self._hand_on
        await (gather(hand_on(items, self.total, is_last=not self._left), read_items()) if hand_on else read_items())


def _identify(item: dict[str, Any]) -> str:
    # in a list of the entire server, two users may have the same name, and so may projects in different workspaces
    return str(item.get("cuid") or item.get("path") or item.get("username") or item.get("name"))


def _count_pages(items: int, size: int) -> int:
    return -(-items // size)


def _require_total(answer: Any, what: str) -> int:
    total = read_total(answer)
    if total is None:
        raise UnexpectedResponse(
            gettext("SwanLab's list of {what} does not report its length.", what=what), hint=gettext("Try again.")
        )
    return total


def _refuse_long_page(count: int, size: int, what: str) -> UnexpectedResponse:
    return UnexpectedResponse(
        gettext(
            "SwanLab's list of {what} has {count} items on one page, although only {size} were requested.",
            what=what,
            count=count,
            size=size,
        ),
        hint=gettext("Check that the host is a SwanLab API host; a proxy or login page may be answering instead."),
    )
