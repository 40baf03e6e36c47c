"""Split lists into pages, and describe the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Page
from swanlab_mcp.operations.budget import count_showable

__all__ = ["add_notes", "describe_page", "get_showable_stretch", "get_slice", "get_stretch", "list_page"]

T = TypeVar("T")

_LARGEST = 100


def get_stretch(page: int, size: int) -> tuple[int, int | None]:
    """Return the offset and limit of a page. Page 0 is the complete list and has no limit."""
    return ((page - 1) * size, size) if page else (0, None)


def get_slice(page: int, size: int) -> slice:
    """Return the slice of the complete list that belongs to a page."""
    offset, limit = get_stretch(page, size)
    return slice(offset, None if limit is None else offset + limit)


def get_showable_stretch(page: int, size: int) -> tuple[int, int | None]:
    """Return the offset and limit of a page of experiments or projects.

    Page 0 is the complete list, limited to the number of records that a reply can show.
    """
    return get_stretch(page, size) if page else (0, count_showable(_LARGEST))


def describe_page(answer: ApiResponse[list[T]], page: int, size: int, order: str) -> ApiResponse[list[T]]:
    """Add a page description to the answer: the sort order and the arguments for the next page.

    If the requested page does not exist, a note says so.
    """
    returned = len(answer.data or [])
    total = answer.page.total if answer.page else returned
    offset, limit = get_showable_stretch(page, size)
    notes: list[str] = []
    if offset and offset >= total:
        notes.append(
            gettext(
                "Page {page} does not exist: the total is {total}, so with {size} per page, the last page is {last}.",
                page=page,
                total=total,
                size=size,
                last=-(-total // size),
            )
        )
    # a page may have fewer rows than requested and still not be the last, because individual rows can be missing
    has_next = returned and limit is not None and offset + max(limit, returned) < total
    # page 0 reads full pages of this size
    number, length = (page + 1, size) if page else (returned // _LARGEST + 1, _LARGEST)
    following = f"page={number} size={length}" if has_next else None
    reported = Page(returned=returned, total=total, order=order, next=following)
    return add_notes(answer.model_copy(update={"page": reported}), *notes)


def list_page(rows: Sequence[T], page: int, size: int, order: str, notes: Iterable[str]) -> ApiResponse[list[T]]:
    """Return one page of the rows, with a page description and the notes."""
    shown = list(rows[get_slice(page, size)])
    answer = ApiResponse(data=shown, page=Page(returned=len(shown), total=len(rows)))
    return add_notes(describe_page(answer, page, size, order), *notes)


def add_notes(answer: ApiResponse[T], *notes: str) -> ApiResponse[T]:
    """Add notes to an answer. Empty and duplicate notes are dropped."""
    reported = dict.fromkeys([*answer.notes, *(note for note in notes if note)])
    return answer.model_copy(update={"notes": list(reported)})
