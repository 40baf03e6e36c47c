"""Describe and summarise many experiments in bounded time and memory, including notes about each experiment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from swanlab_mcp.client.local.background import Overdue, Work
from swanlab_mcp.client.local.catalogue import Catalogue
from swanlab_mcp.client.local.experiment import LocalExperiment
from swanlab_mcp.client.local.notes import cap_notes
from swanlab_mcp.client.local.run_base import RunBase
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Experiment, Summary
from swanlab_mcp.core.untrusted import quote

__all__ = ["describe_all", "note_each", "note_states", "summarise_all"]

_NAMED = 5
_FOR_ALL = 20.0
_LEAST_SHARE = 1.0


class Summaries(NamedTuple):
    """The summaries and the notes by experiment id. `omitted` contains notes about experiments without a summary."""

    summaries: dict[str, Summary]
    about: dict[str, list[str]]
    omitted: list[str]


def describe_all(
    experiments: Sequence[LocalExperiment], *, work: Work
) -> tuple[list[Experiment], dict[str, list[str]]]:
    """Return the experiments, and the notes about them by id."""
    described = [experiment.describe(work) for experiment in experiments]
    return [experiment for experiment, _ in described], {experiment.cuid: notes for experiment, notes in described}


def note_each(
    experiments: Sequence[LocalExperiment],
    about: Mapping[str, Sequence[str]],
    states: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[str]:
    """Return the first few notes about the experiments, followed by notes about runs without a recorded end."""
    notes = [note for one in experiments for note in about.get(one.cuid, ())]
    return [*cap_notes(notes), *_note_all_open(experiments, states)]


def summarise_all(
    catalogue: Catalogue, experiments: Sequence[LocalExperiment], keys: Sequence[str], *, work: Work
) -> Summaries:
    """Return summaries of `keys`, or of all keys if `keys` is empty. Omit experiments that take too long to read."""
    summaries: dict[str, Summary] = {}
    about: dict[str, list[str]] = {}
    expected = sum(run.unread for one in experiments for run in one.runs)
    used: list[RunBase] = []
    overdue: list[str] = []
    began = time.monotonic()
    for experiment in experiments:
        work.total = max(work.total, expected)
        # a huge run or a slow disk must not use up the time for the other runs
        seconds = max(_LEAST_SHARE, (_FOR_ALL - (time.monotonic() - began)) / 2)
        try:
            summary, notes = experiment.summarise(keys or None, Work(work, seconds), is_listed=True)
        except Overdue:
            overdue.append(quote(experiment.cuid, 60))
            continue
        summaries[experiment.cuid] = summary
        about[experiment.cuid] = notes
        used += experiment.runs
        if catalogue.holds_much(used):
            catalogue.bound_memory(used)
            used = []
    catalogue.bound_memory(used)
    return Summaries(summaries, about, _note_overdue(overdue) if overdue else [])


def _note_overdue(names: Sequence[str]) -> list[str]:
    return [
        gettext(
            "Omitted because reading took too long: {names}. Request each separately; data already read stays cached.",
            names=", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else ""),
        )
    ]


def note_states(experiments: Sequence[LocalExperiment]) -> dict[str, list[str]]:
    """Return notes about runs without a recorded end, by id. Return {} if there are many such runs."""
    some = [one for one in experiments if one.is_open]
    return {one.cuid: one.note_state() for one in some} if len(some) <= _NAMED else {}


def _note_all_open(experiments: Sequence[LocalExperiment], states: Mapping[str, Sequence[str]]) -> list[str]:
    """Return notes about runs without a recorded end, reading the files of runs that are not in `states`."""
    some = [experiment for experiment in experiments if experiment.is_open]
    if len(some) <= _NAMED:
        return [note for one in some for note in states.get(one.cuid) or one.note_state()]
    names = ", ".join(quote(experiment.cuid) for experiment in some[:_NAMED])
    return [
        gettext(
            "{count} runs have no recorded end: they are still running or were killed ({names}, …). "
            "get_experiment shows the evidence for a single run.",
            count=len(some),
            names=names,
        )
    ]
