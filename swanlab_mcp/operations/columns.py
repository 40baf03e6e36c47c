"""Choose the config keys that a list of experiments shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.config_columns import choose_columns, list_keys, pick_in_order, pick_keys
from swanlab_mcp.core.i18n import say, say_plural
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["WHOLE_CONFIG", "choose_config"]

WHOLE_CONFIG = ("config",)
_WHOLE = frozenset({*WHOLE_CONFIG, "profile.config"})
# as in filters, and as in the headings of lists
_PREFIXES = ("", "config.", "profile.config.")


def choose_config(rows: Sequence[Experiment], fields: Sequence[str]) -> tuple[list[Experiment], list[str]]:
    """Return the experiments with the config keys to show, and notes on omitted keys.

    `fields` names keys, with or without a leading "config." or "profile.config."; only "config" selects all keys.
    Without fields, the keys that differ between these experiments are shown.
    """
    if not _WHOLE.isdisjoint(fields):
        return list(rows), []
    configs = [row.profile.get("config") for row in rows]
    if fields:
        keys = [_strip(field, configs) for field in fields]
        return _pick(rows, keys), _note_unknown(keys, configs)
    columns = choose_columns(configs)
    notes: list[str] = []
    if columns.constant:
        notes.append(
            say_plural(
                "{count} config key has the same value in all rows and is omitted; fields=config shows all.",
                "{count} config keys have the same value in all rows and are omitted; fields=config shows all.",
                columns.constant,
            )
        )
    if columns.varying and len(rows) == 1:
        notes.append(
            say_plural(
                "{count} further config key is omitted; fields=config shows all.",
                "{count} further config keys are omitted; fields=config shows all.",
                columns.varying,
            )
        )
    elif columns.varying:
        names = ", ".join(map(quote, columns.further))
        notes.append(
            say_plural(
                "{count} further config key differs: {names}. Name it in fields to see it.",
                "{count} further config keys differ: {names}. Name them in fields to see them.",
                columns.varying,
                names=names + (", …" if columns.varying > len(columns.further) else ""),
            )
        )
    return _pick(rows, columns.shown) if notes else list(rows), notes


def _pick(rows: Sequence[Experiment], keys: Sequence[str]) -> list[Experiment]:
    return [_pick_part(row, keys) if "config" in row.profile else row for row in rows]


def _pick_part(row: Experiment, keys: Sequence[str]) -> Experiment:
    profile = {key: value for key, value in row.profile.items() if key != "config"}
    # {} would say that the config is empty
    if part := pick_in_order(row.profile["config"], keys):
        profile["config"] = part
    return row.model_copy(update={"profile": profile})


def _strip(field: str, configs: Sequence[Any]) -> str:
    """Return a field without the prefixes; a key that exists is not changed."""
    spelled = [field.removeprefix(prefix) for prefix in _PREFIXES if field.startswith(prefix)]
    return next((key for key in spelled if _exists(key, configs)), spelled[-1])


def _exists(key: str, configs: Sequence[Any]) -> bool:
    return any(isinstance(config, dict) and pick_keys(config, (key,)) for config in configs)


def _note_unknown(keys: Sequence[str], configs: Sequence[Any]) -> list[str]:
    notes: list[str] = []
    for key in keys:
        if _exists(key, configs):
            continue
        near = ", ".join(quote(name) for name in find_near_names(key, list_keys(configs)))
        notes.append(
            say("None of these configs has the key {key!r}. Similar keys: {names}.", key=shorten(key), names=near)
            if near
            else say("None of these configs has the key {key!r}.", key=shorten(key))
        )
    return notes
