"""Find the baseline, the setting that all other settings are compared with, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.repeats import simplify_name
from swanlab_mcp.analysis.standings import Field
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.refs import find_near_names
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["find_baseline", "write_name"]


def find_baseline(
    wanted: str, experiments: Sequence[Experiment], field: Field, names: Sequence[Sequence[tuple[str, Any]]]
) -> int:
    """Return the index of the baseline setting.

    `wanted` is the name, id or URL of an experiment with that setting, or the name of the setting itself. Raises
    InvalidArgument if the name is unknown, ambiguous, or only matches experiments that are not ranked.
    """
    text = wanted.strip()
    numbers = {place: number for number, setting in enumerate(field.settings) for place in setting.places}
    last = text.rstrip("/").removesuffix("/chart").rsplit("/", 1)[-1]
    by_id = [place for place, one in enumerate(experiments) if text == one.cuid] or [
        place for place, one in enumerate(experiments) if last in (one.cuid.rpartition("/")[2], one.slug)
    ]
    by_name = [place for place, one in enumerate(experiments) if one.name == text]
    by_stem = [
        place
        for place, one in enumerate(experiments)
        if place in numbers and simplify_name(one.name) == simplify_name(text) != ""
    ]
    written = [number for number, name in enumerate(names) if name and write_name(name) == text]
    for places in (by_id, by_name):
        if places and not any(place in numbers for place in places):
            raise InvalidArgument(
                say("The baseline {name} is not ranked, so no experiment can be compared with it.", name=quote(text)),
                hint=say("rank_experiments with unfinished=true also ranks running and interrupted experiments."),
            )
    for found in (
        [numbers[place] for place in by_id if place in numbers],
        [numbers[place] for place in by_name if place in numbers],
        written,
        [numbers[place] for place in by_stem],
    ):
        if len({*found}) == 1:
            return found[0]
        if found:
            raise InvalidArgument(
                say("Several settings are called {name}.", name=quote(text)),
                hint=say("Pass the id of an experiment with the setting instead."),
            )
    known = [one.name for one in experiments] + [write_name(name) for name in names if name]
    near = find_near_names(text, known)
    raise InvalidArgument(
        say("No ranked experiment or setting is called {name!r}.", name=shorten(text)),
        hint=say("Similar names: {names}.", names=", ".join(quote(one) for one in near))
        if near
        else say("list_project_exps shows the names and ids of all experiments."),
    )


def write_name(name: Sequence[tuple[str, Any]]) -> str:
    """Return the display name of a setting, such as "lr=0.1, optimizer.name=adam"."""
    return ", ".join(f"{key}={value}" for key, value in name)
