"""Find the baseline, the setting that all other settings are compared with, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swanlab_mcp.analysis.repeats import simplify_name
from swanlab_mcp.analysis.standings import Field
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
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
    numbers = {index: number for number, setting in enumerate(field.settings) for index in setting.indices}
    last = text.rstrip("/").removesuffix("/chart").rsplit("/", 1)[-1]
    by_id = [index for index, one in enumerate(experiments) if text == one.cuid] or [
        index for index, one in enumerate(experiments) if last in (one.cuid.rpartition("/")[2], one.slug)
    ]
    by_name = [index for index, one in enumerate(experiments) if one.name == text]
    by_stem = [
        index
        for index, one in enumerate(experiments)
        if index in numbers and simplify_name(one.name) == simplify_name(text) != ""
    ]
    written = [number for number, name in enumerate(names) if name and write_name(name) == text]
    for indices in (by_id, by_name):
        if indices and not any(index in numbers for index in indices):
            raise InvalidArgument(
                gettext(
                    "The baseline {name} is not ranked, so no experiment can be compared with it.", name=quote(text)
                ),
                hint=gettext("rank_experiments with unfinished=true also ranks running and interrupted experiments."),
            )
    for found in (
        [numbers[index] for index in by_id if index in numbers],
        [numbers[index] for index in by_name if index in numbers],
        written,
        [numbers[index] for index in by_stem],
    ):
        if len({*found}) == 1:
            return found[0]
        if found:
            raise InvalidArgument(
                gettext("Several settings are called {name}.", name=quote(text)),
                hint=gettext("Pass the id of an experiment that uses the intended setting."),
            )
    known = [one.name for one in experiments] + [write_name(name) for name in names if name]
    near = find_near_names(text, known)
    raise InvalidArgument(
        gettext("No ranked experiment or setting is called {name!r}.", name=shorten(text)),
        hint=gettext("Similar names: {names}.", names=", ".join(quote(one) for one in near))
        if near
        else gettext("list_project_exps shows the names and ids of all experiments."),
    )


def write_name(name: Sequence[tuple[str, Any]]) -> str:
    """Return the display name of a setting, such as "lr=0.1, optimizer.name=adam"."""
    return ", ".join(f"{key}={value}" for key, value in name)
