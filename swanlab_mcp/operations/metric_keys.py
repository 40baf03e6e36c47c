from __future__ import annotations

from collections.abc import Iterable

from swanlab_mcp.analysis.system_units import find_unit
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
from swanlab_mcp.core.models import ApiResponse, MetricKey
from swanlab_mcp.core.refs import find_near_names, label_experiments
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import (
    ExpCuids,
    KeyKind,
    KeySearch,
    OptionalProject,
    PageNumber,
    PageSize,
    Username,
)
from swanlab_mcp.operations.copies import note_copy
from swanlab_mcp.operations.hiding import make_hide
from swanlab_mcp.operations.keys import has_pattern, matches_pattern
from swanlab_mcp.operations.listing import list_page
from swanlab_mcp.operations.partial import ask_known

__all__ = ["list_metrics"]

_MANY = 200


async def list_metrics(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuids: ExpCuids,
    username: Username = "",
    search: KeySearch = "",
    kind: KeyKind = "custom",
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[list[MetricKey]]:
    """List the metric keys logged by experiments, and for each key the experiments that lack it.

    Use it before get_metrics or rank_experiments if the keys are unknown. Returns for each key its type (SCALAR or
    MEDIA), `system` for hardware keys, and `missing_in`; more than 200 keys are grouped by a common prefix.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1", "lr-1"], "search": "loss"}.
    """
    found: dict[tuple[str, str], list[str]] = {}
    requested: list[str] = []
    answers, unknown = await ask_known(
        client, exp_cuids, lambda backend, ref: backend.list_keys(ref), project=project, username=username
    )
    notes = [str(error) for error in unknown]
    labels = label_experiments(ref for ref, _ in answers)
    for ref, answer in dict(answers).items():
        requested.append(labels[ref])
        notes += answer.notes
        if answer.data:
            for kind_of, keys in (("SCALAR", answer.data.scalars), ("MEDIA", answer.data.media)):
                for key in keys:
                    found.setdefault((key, kind_of), []).append(labels[ref])
    notes += [await note_copy(client, ref) for ref, _ in answers[:1] if len(answers) == 1]
    rows = [
        MetricKey(
            key=key,
            type=type_of,
            system=key.startswith("__swanlab__"),
            unit=find_unit(key),
            missing_in=[cuid for cuid in requested if cuid not in holders],
        )
        for (key, type_of), holders in found.items()
    ]
    hide = make_hide()
    chosen = [row for row in rows if _is_of(row, kind) and (not search or _matches(hide(row.key, ""), search))]
    if not chosen:
        notes.append(_explain_none(rows, kind, search))
    media = sum(row.type == "MEDIA" for row in rows)
    if kind == "custom" and media:
        notes.append(
            ngettext(
                "There is also {count} media key (kind='media').",
                "There are also {count} media keys (kind='media').",
                media,
            )
        )
    if page == 0 and len(chosen) > _MANY:
        groups = _group(chosen)
        if len(groups) <= _MANY:
            notes.append(
                ngettext(
                    "{keys} keys in {count} group; search for a group like {prefix} or pass page=1.",
                    "{keys} keys in {count} groups; search for a group like {prefix} or pass page=1.",
                    len(groups),
                    keys=len(chosen),
                    prefix=quote(f"{groups[0].key}*"),
                )
            )
            chosen = groups
    return list_page(chosen, page, size, gettext("in the order logged"), notes)


def _is_of(row: MetricKey, kind: str) -> bool:
    if kind == "all":
        return True
    return kind == ("media" if row.type == "MEDIA" else "system" if row.system else "custom")


def _matches(key: str, search: str) -> bool:
    if has_pattern([search]):
        return matches_pattern(key.casefold(), search.casefold())
    return search.casefold() in key.casefold()


def _group(rows: Iterable[MetricKey]) -> list[MetricKey]:
    """Group the keys of each type by their prefix up to the first slash, and return one row per group."""
    groups: dict[tuple[str, str], list[MetricKey]] = {}
    for row in rows:
        head, slash, _ = row.key.partition("/")
        groups.setdefault((head + slash, row.type), []).append(row)
    return [
        members[0]
        if len(members) == 1
        else MetricKey(key=prefix, type=kind, system=members[0].system, count=len(members))
        for (prefix, kind), members in groups.items()
    ]


def _explain_none(rows: list[MetricKey], kind: str, search: str) -> str:
    if not rows:
        return gettext("No metric has been logged.")
    near = find_near_names(search.strip("*?"), [row.key for row in rows])
    hint = gettext("Similar: {names}.", names=", ".join(quote(key) for key in near)) if near else ""
    if not search:
        return join_sentences(
            ngettext(
                "No {kind} keys were logged; the {count} logged key has another type.",
                "No {kind} keys were logged; the {count} logged keys have other types.",
                len(rows),
                kind=kind,
            ),
            hint,
        )
    none = ngettext(
        "No {kind} keys match {text!r}; {count} key was logged.",
        "No {kind} keys match {text!r}; {count} keys were logged.",
        len(rows),
        kind=kind,
        text=shorten(search),
    )
    return join_sentences(none, hint)
