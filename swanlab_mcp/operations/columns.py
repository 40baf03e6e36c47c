"""Choose the columns that a list of experiments shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.config_columns import choose_columns, list_keys, pick_in_order, pick_keys
from swanlab_mcp.analysis.filtering import Candidate, normalise_field, read_field
from swanlab_mcp.analysis.machines import MACHINE_FIELDS, Machine
from swanlab_mcp.analysis.setting_names import find_same_settings
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.refs import Scope, find_near_names
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.machines import read_machines
from swanlab_mcp.operations.reading import read_summaries

__all__ = ["WHOLE_CONFIG", "choose_list_columns"]

WHOLE_CONFIG = ("config",)
_WHOLE = frozenset({*WHOLE_CONFIG, "profile.config"})
# the prefixes that filters and list headings accept
_PREFIXES = ("", "config.", "profile.config.")
_METRIC_PREFIXES = ("metric.", "metrics.")
_BASE = ("name", "state", "created", "finished", "show")
# these columns are only shown if they are requested by name, or if the list has a single row
_OPTIONAL = ("description", "user", "labels", "group", "job")
_DERIVED = ("duration", *MACHINE_FIELDS)
_FIXED = (*_BASE, "clone_of", *_OPTIONAL, *_DERIVED)
_ASKED_FOR_KEYS = 3


async def choose_list_columns(
    client: SwanLabClient, ref: Scope, rows: Sequence[Experiment], fields: Sequence[str], used: Sequence[str] = ()
) -> tuple[list[Experiment], list[str]]:
    """Return the experiments reduced to the columns to show, and notes about omitted and unknown columns.

    `fields` contains config keys, `metric.<key>` for last values, and other filter fields. "config" selects every
    config key. Without fields, the config keys that differ between these experiments are shown. `used` contains the
    fields in the filters and the sort order, which are always shown.
    """
    is_whole = not _WHOLE.isdisjoint(fields)
    named = [normalise_field(field) for field in fields if field not in _WHOLE]
    own = [field for field in named if not field.startswith(_METRIC_PREFIXES) and field not in _FIXED]
    keys = [field.partition(".")[2] for field in named if field.startswith(_METRIC_PREFIXES)]
    shown = {field for field in (*named, *(() if is_whole else map(normalise_field, used))) if field in _FIXED}
    if is_whole:
        chosen, notes = list(rows), list[str]()
    else:
        # if the requested fields include no config key, no config is shown
        chosen, notes = _choose_config(rows, own, is_default=not fields)
    metrics, lacking = await _read_metrics(client, ref, rows, keys)
    facts = await _read_facts(client, ref, rows, [one for one in _DERIVED if one in shown])
    empty: dict[str, Any] = {"description": "", "user": {}, "labels": [], "group": None, "job": None}
    is_short = not is_whole and len(rows) > 1
    dropped = {name: value for name, value in empty.items() if is_short and name not in shown}
    return [
        one.model_copy(update={**dropped, "metrics": {**one.metrics, **values}, "facts": more})
        for one, values, more in zip(chosen, metrics, facts, strict=True)
    ], [*notes, *lacking]


async def _read_metrics(
    client: SwanLabClient, ref: Scope, rows: Sequence[Experiment], keys: Sequence[str]
) -> tuple[list[dict[str, float]], list[str]]:
    """Return the last values of the metrics for each experiment, and a note about each key that no experiment has."""
    if not keys or not rows:
        return [{} for _ in rows], []
    answer = await read_summaries(client, ref, rows, keys)
    summaries = answer.data or {}
    notes = [*answer.notes]
    missing = [key for key in keys if not any(key in summary for summary in summaries.values())]
    if missing:
        logged = (await read_summaries(client, ref, rows[:_ASKED_FOR_KEYS])).data or {}
        known = list(dict.fromkeys(key for summary in logged.values() for key in summary))
        notes += [_note_missing(key, known) for key in missing]
    return [
        {key: one.value for key in keys if (one := summary.get(key)) and one.value is not None}
        for summary in (summaries.get(row.cuid, {}) for row in rows)
    ], notes


def _note_missing(key: str, logged: Sequence[str]) -> str:
    near = ", ".join(quote(name) for name in find_near_names(key, logged))
    return (
        gettext(
            "None of these experiments has the metric {key!r}. Similar keys: {names}.", key=shorten(key), names=near
        )
        if near
        else gettext("None of these experiments has the metric {key!r}.", key=shorten(key))
    )


async def _read_facts(
    client: SwanLabClient, ref: Scope, rows: Sequence[Experiment], names: Sequence[str]
) -> list[dict[str, Any]]:
    """For each experiment, return the requested facts that SwanLab's lists omit, such as the machine that it ran on."""
    machines = await read_machines(client, ref, rows) if {*names} & {*MACHINE_FIELDS} else {}
    found: list[dict[str, Any]] = []
    for row in rows:
        candidate = Candidate(row, {}, {}, client.now() / 1000, machines.get(row.cuid, Machine()))
        facts = {name: value for name in names if (value := read_field(candidate, name)) is not None}
        found.append(facts | {name: show_duration(value) for name, value in facts.items() if name == "duration"})
    return found


def _choose_config(
    rows: Sequence[Experiment], fields: Sequence[str], *, is_default: bool
) -> tuple[list[Experiment], list[str]]:
    """Return the experiments with only the selected config keys, and notes about omitted or unknown keys."""
    configs = [row.profile.get("config") for row in rows]
    if not is_default and not fields:
        return _pick(rows, ()), []
    if fields:
        keys = [_strip(field, configs) for field in fields]
        return _pick(rows, keys), _note_unknown(keys, configs)
    columns = choose_columns(configs)
    notes: list[str] = []
    if columns.constant:
        notes.append(
            ngettext(
                "{count} config key has the same value in all rows and is omitted; fields=config shows all.",
                "{count} config keys have the same value in all rows and are omitted; fields=config shows all.",
                columns.constant,
            )
        )
    if columns.varying and len(rows) == 1:
        notes.append(
            ngettext(
                "{count} more config key is omitted; fields=config shows all.",
                "{count} more config keys are omitted; fields=config shows all.",
                columns.varying,
            )
        )
    elif columns.varying:
        names = ", ".join(map(quote, columns.further))
        notes.append(
            ngettext(
                "{count} more config key differs: {names}. Add it to fields to show it.",
                "{count} more config keys differ: {names}. Add them to fields to show them.",
                columns.varying,
                names=names + (", …" if columns.varying > len(columns.further) else ""),
            )
        )
    return _pick(rows, columns.shown) if notes else list(rows), notes


def _pick(rows: Sequence[Experiment], keys: Sequence[str]) -> list[Experiment]:
    return [_pick_part(row, keys) if "config" in row.profile else row for row in rows]


def _pick_part(row: Experiment, keys: Sequence[str]) -> Experiment:
    profile = {key: value for key, value in row.profile.items() if key != "config"}
    # an empty dict would mean that the config is empty
    if part := pick_in_order(row.profile["config"], keys):
        profile["config"] = part
    return row.model_copy(update={"profile": profile})


def _strip(field: str, configs: Sequence[Any]) -> str:
    """Return the config key that a field refers to.

    A prefix such as "config." is removed unless the configs contain a key that starts with it.
    """
    spelled = [field.removeprefix(prefix) for prefix in _PREFIXES if field.startswith(prefix)]
    return next((key for key in spelled if _exists(key, configs)), spelled[-1])


def _exists(key: str, configs: Sequence[Any]) -> bool:
    return any(isinstance(config, dict) and pick_keys(config, (key,)) for config in configs)


def _note_unknown(keys: Sequence[str], configs: Sequence[Any]) -> list[str]:
    notes: list[str] = []
    for key in keys:
        if _exists(key, configs):
            continue
        known = list_keys(configs)
        near = ", ".join(quote(name) for name in find_same_settings(key, known) or find_near_names(key, known))
        notes.append(
            gettext("None of these configs has the key {key!r}. Similar keys: {names}.", key=shorten(key), names=near)
            if near
            else gettext("None of these configs has the key {key!r}.", key=shorten(key))
        )
    return notes
