from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.analysis.filtering import (
    Candidate,
    check_comparable,
    check_fields,
    find_unknown_fields,
    normalise_field,
    normalise_period,
    normalise_states,
    passes_all,
    read_field,
    sort_candidates,
)
from swanlab_mcp.analysis.machines import MACHINE_FIELDS
from swanlab_mcp.analysis.unsent_fields import UNSENT_FIELDS, normalise_unsent
from swanlab_mcp.client.base import FIRST, FurtherKeys
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.concurrency import gather, yield_often
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, Experiment, Filter, Narrowed, Page, Summary
from swanlab_mcp.core.refs import LOCAL, ProjectRef, Scope, find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import (
    Descending,
    Fields,
    Filters,
    PageNumber,
    PageSize,
    Projects,
    SortField,
    Username,
)
from swanlab_mcp.operations.columns import choose_list_columns
from swanlab_mcp.operations.copies import note_copies
from swanlab_mcp.operations.hiding import make_hide
from swanlab_mcp.operations.listing import add_notes, describe_page, get_showable_stretch
from swanlab_mcp.operations.location import ask_about_experiment, resolve_experiment
from swanlab_mcp.operations.machines import add_machines
from swanlab_mcp.operations.membership import add_answers
from swanlab_mcp.operations.misses import note_miss
from swanlab_mcp.operations.reading import read_narrowed, read_summaries
from swanlab_mcp.operations.refusals import word_refusals
from swanlab_mcp.operations.scope import link_scope, resolve_scope

__all__ = ["FEW", "Choice", "choose_experiments", "find_experiments", "list_keys_by_project", "list_summarised_keys"]

FEW = 100
_MASKABLE = ("name", "description", "group", "job", "labels")


class Choice(NamedTuple):
    """The experiments that match the filters, and notes about the filtering.

    `summaries` maps the id of each experiment to its summary of the metrics `keys`.
    """

    candidates: list[Candidate]
    notes: list[str]
    summaries: Mapping[str, Summary]
    keys: Sequence[str] = ()

    @property
    def experiments(self) -> list[Experiment]:
        return [one.experiment for one in self.candidates]


async def find_experiments(
    client: SwanLabClient,
    *,
    project: Projects,
    filters: Filters = (),
    sort: SortField = "",
    descending: Descending = False,
    username: Username = "",
    fields: Fields = (),
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[list[Experiment]]:
    """Find the experiments in one or more projects that meet all filters, sorted by any field.

    Use rank_experiments for the best by a metric. Filter fields are name, description, state, group, job, labels, user
    (username, name or me), created, finished, updated (7d: 7 days ago), pin, baseline, duration (such as 12h), show,
    clone_of, host, gpu, branch, commit, config.<key> (nested with dots), and metric.<key> (the last value, also NaN). A
    list of filters inside the list means "or". A missing field matches only !=, not-in and is-null. Returns rows like
    list_project_exps with the metrics in filters and sort; for several projects, cuid is a path.
    Example: {"project": "mnist", "filters": [{"field": "config.lr", "op": ">", "value": 0.1}], "sort": "created"}.
    """
    ref, left = await resolve_scope(client, project, username)
    choice = await choose_experiments(client, ref, filters, sort, descending=descending)
    chosen = choice.candidates
    offset, limit = get_showable_stretch(page, size)
    stretch = chosen[offset : None if limit is None else offset + limit]
    shown = [one.experiment.model_copy(update={"metrics": dict(one.metrics)}) for one in stretch]
    used = [*(one.field for one in filters), *([sort] if sort else [])]
    shown, columns = await choose_list_columns(client, ref, shown, fields, used)
    order = gettext("as listed")
    if sort and descending:
        order = gettext("by {field}, largest first", field=quote(sort))
    elif sort:
        order = gettext("by {field}, smallest first", field=quote(sort))
    whole = ApiResponse(data=shown, page=Page(returned=len(shown), total=len(chosen)), notes=[*left, *choice.notes])
    copies = await note_copies(client, {ref.experiment(row.cuid): row for row in shown})
    links = link_scope(client, ref, [one.cuid for one in shown]) if shown else ()
    return add_notes(describe_page(whole, page, size, order), *columns, copies, *links)


async def choose_experiments(
    client: SwanLabClient,
    ref: Scope,
    filters: Sequence[Filter],
    sort: str = "",
    *,
    descending: bool = False,
    keys: Sequence[str] = (),
    further: FurtherKeys | None = None,
) -> Choice:
    """Return the experiments that match all filters, sorted, with their summaries of the metrics `keys`.

    `further` selects additional keys for the summaries. SwanLab applies the filters that it supports. If no
    experiment matches or a field is unknown, all experiments are read to check the filters. Raises InvalidArgument or
    NotFound for an invalid filter.
    """
    now = client.now() / 1000
    sort = normalise_field(sort)
    filters = [one.model_copy(update={"field": normalise_field(one.field)}) for one in filters]
    with word_refusals():
        filters = [normalise_unsent(normalise_period(normalise_states(one), now)) for one in filters]
    filters = [await _name_user(client, ref, condition) for condition in filters]
    fields = [one.field for one in filters if one.field not in UNSENT_FIELDS] + ([sort] if sort else [])
    # do not request summaries for experiments that the filters will exclude
    requested = list(dict.fromkeys([*_metric_keys(fields), *(() if filters else keys)]))
    answer = await read_narrowed(client, ref, filters, requested, None if filters else further)
    narrowed = answer.data or Narrowed((), {})
    candidates, logged, hidden = await _read_candidates(client, ref, narrowed, fields, now)
    filters = await _name_originals(client, candidates, filters)
    candidates, left = await _complete(client, ref, candidates, filters, fields)
    matching = await _select(candidates, filters)
    unknown = find_unknown_fields(fields, candidates) or [key for key in _metric_keys(fields) if key not in logged]
    if not narrowed.is_whole and (unknown or not matching):
        answer = await read_narrowed(client, ref, (), requested)
        narrowed = answer.data or Narrowed((), {})
        candidates, logged, hidden = await _read_candidates(client, ref, narrowed, fields, now)
        candidates, left = await _complete(client, ref, candidates, filters, fields)
        matching = await _select(candidates, filters)
    near: Sequence[str] = ()
    if candidates and find_unknown_fields(fields, candidates):
        near = await list_summarised_keys(client, ref, narrowed.experiments)
    with word_refusals():
        check_fields(fields, candidates, [key for key in near if not key.startswith("__swanlab__")])
        if candidates:
            _check_keys(_metric_keys(fields), logged)
        for condition in filters:
            check_comparable(candidates, condition)
    if sort:
        matching = sort_candidates(matching, sort, descending=descending)
    about = await narrowed.note([one.experiment.cuid for one in matching]) if narrowed.note else ()
    notes = [*answer.notes, *about, *left, *_note_filters(filters, narrowed, len(matching))]
    if hidden:
        names = ", ".join(quote(field) for field in fields if field in hidden)
        notes.append(gettext("Filters and sorting use the masked form of secret values: {fields}.", fields=names))
    notes += [] if matching else note_miss(candidates, filters)
    summaries, known = narrowed.summaries, narrowed.keys
    if filters and keys and matching:
        chosen = [one.experiment for one in matching]
        summaries, known, about = await _summarise(client, ref, chosen, keys, further)
        notes += about
    return Choice(matching, list(dict.fromkeys(notes)), summaries, known)


async def _complete(
    client: SwanLabClient,
    ref: Scope,
    candidates: Sequence[Candidate],
    filters: Sequence[Filter],
    fields: Sequence[str],
) -> tuple[list[Candidate], list[str]]:
    """Add data that the filters or the sort order need but lists omit. Return the candidates and notes."""
    answered, notes = await add_answers(client, ref, candidates, filters)
    if any(field in MACHINE_FIELDS for field in fields):
        answered = await add_machines(client, ref, answered, filters)
    return answered, notes


async def _name_user(client: SwanLabClient, ref: Scope, condition: Filter) -> Filter:
    """Replace "me" in a condition on `user` with the name of the logged-in user."""
    value = condition.value
    if condition.field != "user" or "me" not in (value if isinstance(value, list) else [value]):
        return condition
    backend = client.at(ref) if isinstance(ref, ProjectRef) else client.default
    me = await backend.get_username()
    if me == LOCAL:
        # raises an error, because runs on disk do not record their user
        await backend.get_user()
    names = [me if one == "me" else one for one in value] if isinstance(value, list) else me
    return condition.model_copy(update={"value": names})


async def _name_originals(
    client: SwanLabClient, candidates: Sequence[Candidate], filters: Sequence[Filter]
) -> list[Filter]:
    """Replace names, paths and URLs in conditions on `clone_of` with the ids of the original experiments."""
    if not any(one.field == "clone_of" for one in filters):
        return list(filters)
    known = {read_field(one, "clone_of") for one in candidates}

    async def name(value: Any) -> str:
        text = str(value)
        if text.rpartition("/")[2] in known:
            return text.rpartition("/")[2]
        ref = await resolve_experiment(client, text, "", "")
        return (await ask_about_experiment(client, ref, client.at(ref).get_experiment))[0].cuid

    named: list[Filter] = []
    for one in filters:
        if one.field == "clone_of" and one.op in ("=", "!=", "in", "not-in"):
            values = [await name(value) for value in (one.value if isinstance(one.value, list) else [one.value])]
            named.append(one.model_copy(update={"value": values if isinstance(one.value, list) else values[0]}))
        else:
            named.append(one)
    return named


async def _summarise(
    client: SwanLabClient,
    ref: Scope,
    experiments: Sequence[Experiment],
    keys: Sequence[str],
    further: FurtherKeys | None,
) -> tuple[Mapping[str, Summary], Sequence[str], Sequence[str]]:
    """Return the summaries of `keys` and of the keys that `further` selects, a list of all these keys, and notes."""
    if further is None:
        reported = await read_summaries(client, ref, experiments, keys)
        return reported.data or {}, keys, reported.notes
    requested = list(dict.fromkeys([*keys, *further.likely]))
    reading: list[Any] = await gather(
        read_summaries(client, ref, experiments, requested), list_keys_by_project(client, ref, experiments)
    )
    reported: ApiResponse[dict[str, Summary]] = reading[0]
    logged: Sequence[Sequence[str]] = reading[1]
    summaries = reported.data or {}
    known = list(dict.fromkeys([*keys, *(key for own in logged for key in further.choose(own))]))
    if missing := [key for key in known if key not in requested]:
        found = (await read_summaries(client, ref, experiments, missing)).data or {}
        summaries = {cuid: {**summary, **found.get(cuid, {})} for cuid, summary in summaries.items()}
    kept = {cuid: {key: summary[key] for key in known if key in summary} for cuid, summary in summaries.items()}
    return kept, known, reported.notes


async def list_summarised_keys(client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment]) -> list[str]:
    """Return the metric keys of the first few experiments in each project.

    This takes one request per experiment.
    """
    return list(dict.fromkeys(key for own in await list_keys_by_project(client, ref, experiments) for key in own))


async def list_keys_by_project(
    client: SwanLabClient, ref: Scope, experiments: Sequence[Experiment]
) -> list[Sequence[str]]:
    """Return one list per project with the metric keys of its first few experiments."""
    firsts: dict[str, list[Experiment]] = {}
    for one in experiments[:FIRST] if isinstance(ref, ProjectRef) else experiments:
        own = firsts.setdefault(one.cuid.rpartition("/")[0], [])
        if len(own) < FIRST:
            own.append(one)
    answer = await read_summaries(client, ref, [one for own in firsts.values() for one in own])
    found = answer.data or {}
    return [list(dict.fromkeys(key for one in own for key in found.get(one.cuid, {}))) for own in firsts.values()]


async def _read_candidates(
    client: SwanLabClient, ref: Scope, narrowed: Narrowed, fields: Sequence[str], now: float
) -> tuple[list[Candidate], list[str], set[str]]:
    """Return the experiments with their field values, the logged metric keys, and the fields with masked values.

    Filters and sorting compare masked values, exactly as the reply shows them. Otherwise a filter could be used to
    guess a secret.
    """
    keys = _metric_keys(fields)
    experiments, summaries = narrowed.experiments, narrowed.summaries
    logged = list(dict.fromkeys(key for summary in summaries.values() for key in summary))
    if experiments and not all(key in logged for key in keys):
        # read the full summaries, so that the error can suggest similar keys
        found = await read_summaries(client, ref, experiments)
        logged = list(dict.fromkeys(key for summary in (found.data or {}).values() for key in summary))
    if not fields:
        none = dict[str, Any]()
        return [Candidate(one, none, none, now) for one in experiments], logged, set()
    hide = make_hide()
    hidden = set[str]()
    candidates: list[Candidate] = []
    is_quoted = any('"' in field for field in fields)
    async for listed in yield_often(experiments):
        experiment = listed
        config = _flatten(experiment.profile.get("config"), is_quoted=is_quoted)
        for field in fields:
            value = _read_maskable(experiment, config, field)
            if (masked := hide(value, field)) == value:
                continue
            hidden.add(field)
            kind, _, key = field.partition(".")
            if kind == "config":
                config[key] = masked
            else:
                experiment = experiment.model_copy(update={field: masked})
        last = _read_last(summaries.get(experiment.cuid, {}), keys)
        candidates.append(Candidate(experiment, config, last, now))
    return candidates, logged, hidden


async def _select(candidates: Sequence[Candidate], filters: Sequence[Filter]) -> list[Candidate]:
    if not filters:
        return list(candidates)
    with word_refusals():
        return [one async for one in yield_often(candidates) if passes_all(one, filters)]


def _note_filters(filters: Sequence[Filter], narrowed: Narrowed, count: int) -> list[str]:
    if not filters:
        return []
    if narrowed.is_whole:
        total = len(narrowed.experiments)
        return [
            ngettext(
                "{count} of the {total} experiments matches the filters, which this server applied.",
                "{count} of the {total} experiments match the filters, which this server applied.",
                count,
                total=total,
            )
        ]
    theirs = ", ".join(dict.fromkeys(shorten(one.field) for one in narrowed.applied))
    return [
        ngettext(
            "{count} experiment matches the filters. SwanLab filtered by {fields}; this server then "
            "checked every filter.",
            "{count} experiments match the filters. SwanLab filtered by {fields}; this server then "
            "checked every filter.",
            count,
            fields=theirs,
        )
    ]


def _metric_keys(fields: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(field.partition(".")[2] for field in fields if field.startswith("metric.")))


def _check_keys(keys: Sequence[str], logged: Sequence[str]) -> None:
    for key in keys:
        if key not in logged:
            near = find_near_names(key, logged) or logged[:10]
            hint = (
                gettext("Similar names: {names}.", names=", ".join(quote(one) for one in near))
                if near
                else gettext("The experiments have not logged any metrics.")
            )
            raise NotFound(gettext("No experiment in the project has a metric {key!r}.", key=shorten(key)), hint=hint)


def _read_maskable(experiment: Experiment, config: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field if it can contain a secret, otherwise `None`."""
    kind, _, key = field.partition(".")
    if kind == "config":
        value = config.get(key)
        return None if isinstance(value, float) else value
    return experiment[field] if field in _MASKABLE else None


def _read_last(summary: Summary, keys: Sequence[str]) -> dict[str, float]:
    return {key: value for key in keys if key in summary and (value := summary[key].value) is not None}


def _flatten(value: Any, *, is_quoted: bool) -> dict[str, Any]:
    """Return all values in a config by dotted key, including nested objects.

    If `is_quoted` is true, a key that contains a dot is additionally listed in quotes, unless a nested key has the same
    spelling.
    """
    return {**_flatten_nodes(value, "", is_quoted=is_quoted), **flatten(value)}


def _flatten_nodes(value: Any, prefix: str, *, is_quoted: bool) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            before = f"{prefix}." if prefix else ""
            path = before + key
            nodes |= _flatten_nodes(item, path, is_quoted=is_quoted)
            nodes.setdefault(path, item)
            if is_quoted and "." in key:
                # keys below this level are not quoted again, because each level would double their number
                quoted = f'{before}"{key}"'
                nodes |= {quoted: item, **_flatten_nodes(item, quoted, is_quoted=False)}
    return nodes
