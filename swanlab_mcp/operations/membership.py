"""Filter by `pin`, `baseline` and `updated`. SwanLab can filter by these fields, but never sends their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from swanlab_mcp.analysis.filtering import Candidate, passes_all
from swanlab_mcp.analysis.machines import MACHINE_FIELDS
from swanlab_mcp.analysis.unsent_fields import UNSENT_FIELDS, name_answer
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import InvalidArgument, UnexpectedResponse
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Filter, Members
from swanlab_mcp.core.refs import ProjectRef, Scope
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.reading import read_all

__all__ = ["add_answers"]

_NAMED = 10


class _Question(NamedTuple):
    project: ProjectRef
    condition: Filter


async def add_answers(
    client: SwanLabClient, ref: Scope, candidates: Sequence[Candidate], filters: Sequence[Filter]
) -> tuple[list[Candidate], list[str]]:
    """Ask SwanLab which candidates meet the conditions on fields that it never sends.

    Return the candidates, and notes. Each returned candidate contains SwanLab's answers. A candidate without an answer
    is dropped, and a note mentions it if it meets all other conditions. Raises InvalidArgument if these fields cannot
    be used in any of the projects, and UnexpectedResponse if SwanLab's answers contradict each other.
    """
    conditions = {name_answer(one): one for one in filters if one.field in UNSENT_FIELDS}
    if not conditions or not candidates:
        return list(candidates), []
    owners = [ref.experiment(one.experiment.cuid) for one in candidates]
    questions = [
        _Question(one, cond) for one in dict.fromkeys(own.parent for own in owners) for cond in conditions.values()
    ]

    async def ask(question: _Question) -> Members | None:
        return await client.at(question.project).list_members(question.project, question.condition)

    found = await read_all(questions, ask, "projects")
    fields = ", ".join(dict.fromkeys(one.field for one in conditions.values()))
    if not any(found):
        raise InvalidArgument(
            gettext("Runs on disk and on this SwanLab server cannot be filtered by {fields}.", fields=fields),
            hint=gettext("Omit this condition."),
        )
    known = {(one.project, name_answer(one.condition)): members for one, members in zip(questions, found, strict=True)}
    unread = (*UNSENT_FIELDS, *MACHINE_FIELDS)
    plain = [one for one in filters if not one.either and one.field not in unread]
    kept: list[Candidate] = []
    dropped: list[str] = []
    for own, one in zip(owners, candidates, strict=True):
        answers = {name: _answer(own.cuid, known[own.parent, name], fields) for name in conditions}
        if None not in answers.values():
            kept.append(one._replace(answers=_drop_none(answers)))
        elif passes_all(one, plain):
            dropped.append(quote(one.experiment.name))
    return kept, _note_dropped(dropped, fields)


def _answer(cuid: str, members: Members | None, fields: str) -> bool | None:
    """Return whether an experiment meets a condition, or `None` if SwanLab's answer leaves this open."""
    if members is None or cuid in members.pinned:
        return None
    if (cuid in members.matching) == (cuid in members.others):
        raise UnexpectedResponse(
            gettext("SwanLab's answers about {fields} contradict each other.", fields=fields),
            hint=gettext("Try again, or omit this condition."),
        )
    return cuid in members.matching


def _drop_none(answers: Mapping[str, bool | None]) -> dict[str, bool]:
    return {name: answer for name, answer in answers.items() if answer is not None}


def _note_dropped(names: Sequence[str], fields: str) -> list[str]:
    if not names:
        return []
    return [
        ngettext(
            "Incomplete: {count} experiment is omitted ({names}), because SwanLab returns pinned experiments "
            "regardless of any condition on {fields}, and runs on disk do not record these fields.",
            "Incomplete: {count} experiments are omitted ({names}), because SwanLab returns pinned experiments "
            "regardless of any condition on {fields}, and runs on disk do not record these fields.",
            len(names),
            names=", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else ""),
            fields=fields,
        )
    ]
