"""Build the evidence sections of a report, from the ranking to the notes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from markupsafe import Markup

from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.core.durations import show_duration
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Experiment
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.code_words import name_code
from swanlab_mcp.present.report.blocks import NONE, Card, Figures, Heading, Items, Section, Table, Text, fill, show
from swanlab_mcp.present.report.evidence import Evidence, Group
from swanlab_mcp.present.report.findings import name_events
from swanlab_mcp.present.report.panels import Series, draw_curves, draw_hours

__all__ = ["describe_evidence"]

_RANKED = 30  # maximum number of rows in the ranking
_BESIDE = 5  # maximum number of experiments side by side
_VALUES = 12


def describe_evidence(evidence: Evidence) -> list[Section]:
    """Return the sections of the report for which there is evidence."""
    sections = [
        _describe_ranking(evidence),
        _describe_curves(evidence),
        _describe_differences(evidence),
        _describe_coverage(evidence),
        _describe_diagnoses(evidence),
        _describe_hours(evidence),
        Section("notes", gettext("Notes"), [Items(evidence.notes)] if evidence.notes else []),
    ]
    return [section for section in sections if section.blocks]


def _describe_ranking(evidence: Evidence) -> Section:
    ranked, apart = evidence.ranked, evidence.apart
    title = gettext("Ranking by {metric}", metric=shorten(evidence.targets[0]))
    columns = list(dict.fromkeys(key for row in ranked[:_RANKED] for key in row.get("config", ())))
    if any("end" in row for row in ranked):
        heads = [gettext("end"), gettext("experiment"), gettext("value"), gettext("step"), *columns]
        rows = [
            [
                name_code("end", row["end"]), evidence.link(row["name"], row["cuid"]), row.get("value"),
                row.get("step"), *_list_config(row, columns),
            ]
            for row in ranked[:_RANKED]
        ]  # fmt: skip
    else:
        heads = [
            gettext("rank"), gettext("setting"), gettext("value"), gettext("repeats"), gettext("deviation"),
            gettext("compared with rank 1"), gettext("difference"), gettext("95 % interval"), *columns,
            gettext("remark"),
        ]  # fmt: skip
        rows = [_describe_row(evidence, row, columns) for row in ranked[:_RANKED]]
    blocks: list[Any] = [Table(heads, rows), _describe_cut(len(ranked), _RANKED)]
    if apart:
        heads = [gettext("experiment"), gettext("value"), gettext("step"), gettext("reason")]
        rows = [
            [
                evidence.link(row["name"], row["cuid"]), _or_none(row.get("value")), _or_none(row.get("step")),
                row["apart"],
            ]
            for row in apart[:_RANKED]
        ]  # fmt: skip
        blocks += [Heading(gettext("Not ranked")), Table(heads, rows), _describe_cut(len(apart), _RANKED)]
    return Section("ranking", title, blocks)


def _describe_row(evidence: Evidence, row: Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    verdict = gettext("first") if row["rank"] == 1 else name_code("verdict", row.get("verdict") or "cannot tell")
    interval = NONE
    if "low" in row:
        text = gettext("{low} to {high}", low=show(row["low"]), high=show(row["high"]))
        interval = Markup('<span class="whole">{}</span>').format(text)
    events = [event for cuid in row.get("cuids") or [row["cuid"]] for event in evidence.list_events(cuid)]
    remark = gettext("; ").join(part for part in (name_events(events), row.get("why", "")) if part)
    return [
        row["rank"], evidence.link(row["name"], row["cuid"]), row["value"], row.get("n", 1),
        _or_none(row.get("deviation")), verdict, _or_none(row.get("difference")), interval,
        *_list_config(row, columns), remark or NONE,
    ]  # fmt: skip


def _list_config(row: Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    return [row.get("config", {}).get(key, NONE) for key in columns]


def _or_none(value: Any) -> Any:
    return NONE if value is None else value


def _describe_cut(total: int, most: int) -> Text:
    return Text(
        gettext("{shown} of {total} rows are shown.", shown=most, total=total) if total > most else "", is_soft=True
    )


def _describe_curves(evidence: Evidence) -> Section:
    panels: list[Any] = []
    tables: list[Any] = []
    for key in evidence.targets:
        drawn = [(number, group) for number, group in enumerate(evidence.groups) if _list_curves(group, key)]
        if not drawn:
            continue
        series = [
            Series(number, group.row["name"], _list_curves(group, key), _find_best(evidence, group, key))
            for number, group in drawn
        ]
        panels.append(draw_curves(shorten(key), shorten(key), series))
        tables += [Heading(shorten(key)), _list_extremes(evidence, key, drawn)]
    if not panels:
        return Section("curves", gettext("Curves"))
    text = gettext(
        "Lines with a band show the mean of the repeats and one standard deviation; a star marks the best value."
    )
    blocks = [Text(text, is_soft=True), Text(_list_colours(evidence)), Figures(panels), *tables]
    return Section("curves", gettext("Curves of the first settings in the table"), blocks)


def _list_colours(evidence: Evidence) -> Markup:
    one = Markup('<span class="legend"><span class="key c{}"></span>{}</span>')
    return Markup(" ").join(one.format(number, show(group.row["name"])) for number, group in enumerate(evidence.groups))


def _list_curves(group: Group, key: str) -> list[Any]:
    return [points[key] for points in group.points if key in points and points[key].steps]


def _find_best(evidence: Evidence, group: Group, key: str) -> tuple[int, float] | None:
    """Return the step and value of the best point, or `None` if it is unknown or the setting has several curves."""
    found = evidence.summaries.get(group.cuids[0], {}).get(key)
    direction = describe_key(key).direction
    if len(_list_curves(group, key)) > 1 or found is None or not direction:
        return None
    best = found.min if direction == "min" else found.max
    return (best.step, best.value) if best and best.step is not None else None


def _list_extremes(evidence: Evidence, key: str, drawn: Sequence[tuple[int, Group]]) -> Table:
    """Return a table with the values of each drawn experiment, largest last value first.

    Each row has the colour of its curve.
    """
    lines = [
        (number, cuid, found, group.row["name"])
        for number, group in drawn
        for cuid in group.cuids
        if (found := evidence.summaries.get(cuid, {}).get(key))
    ]
    lines.sort(key=lambda line: _sink(line[2].value))
    names = {one.cuid: shorten(evidence.source.clean(one.name)) for one in evidence.experiments}
    heads = [gettext("experiment"), gettext("setting"), gettext("last"), gettext("smallest"), gettext("largest")]
    rows = [
        [
            Markup('<span class="key c{}"></span>{}').format(number, evidence.link(names[cuid], cuid)), name,
            _at(found.value, found.step),
            *(_at(one.value, one.step) if one else NONE for one in (found.min, found.max)),
        ]
        for number, cuid, found, name in lines
    ]  # fmt: skip
    return Table(heads, rows)


def _sink(value: float | None) -> float:
    """Return a sort key that puts the largest value first, and unknown or non-finite values last."""
    return -value if value is not None and math.isfinite(value) else math.inf


def _at(value: float | None, step: int | None) -> str:
    return NONE if value is None else f"{value:.6g}" if step is None else f"{value:.6g} @ {step}"


def _describe_differences(evidence: Evidence) -> Section:
    found, title = evidence.compared, gettext("What differs")
    if not found:
        return Section("differences", title)
    experiments = found["experiments"]
    beside = experiments[:_BESIDE]
    heads = [gettext("setting"), *(evidence.link(one["name"], one["cuid"]) for one in beside)]
    # skip rows in which all of the shown experiments have the same value
    rows = [
        [one["name"], *(_or_none(value) for value in one["values"][:_BESIDE])]
        for one in found.get("differences", ())
        if any(value != one["values"][0] for value in one["values"][:_BESIDE])
    ]
    cut = gettext(
        "The first {shown} of {total} compared experiments are shown.", shown=len(beside), total=len(experiments)
    )
    blocks: list[Any] = [Text(cut if len(experiments) > _BESIDE else "", is_soft=True)]
    blocks.append(Table(heads, rows) if rows else Text(gettext("None.")))
    if found.get("associations"):
        heads = [gettext("setting"), gettext("strength"), gettext("how"), gettext("cannot be separated from")]
        rows = [
            [one["key"], one["strength"], one["how"], ", ".join(one.get("varies_with", ())) or NONE]
            for one in found["associations"]
        ]
        blocks += [
            Heading(gettext("Settings associated with the result")),
            Text(gettext("An association does not prove an effect. Strength ranges from 0 to 1."), is_soft=True),
            Table(heads, rows),
        ]
    return Section("differences", title, blocks)


def _describe_coverage(evidence: Evidence) -> Section:
    coverage = evidence.coverage
    if coverage is None or not coverage.tried:
        return Section("tried", gettext("What was tried"))
    rows: list[list[Any]] = []
    for one in coverage.tried:
        shown = [
            f"{show(value)} ({count})" for value, count in zip(one.values[:_VALUES], one.counts[:_VALUES], strict=True)
        ]
        more = len(one.values) - len(shown)
        values = gettext(", ").join([*shown, *([gettext("{count} more", count=more)] if more else [])])
        rows.append([one.key, values, show(one.best), ", ".join(one.twins) or NONE])
    heads = [
        gettext("setting"),
        gettext("values (runs)"),
        gettext("in the best setting"),
        gettext("changes together with"),
    ]
    return Section("tried", gettext("What was tried"), [Table(heads, rows)])


def _describe_diagnoses(evidence: Evidence) -> Section:
    found = list(evidence.diagnoses.values())
    ill = [one for one in found if one["health"] != "healthy" or one["state"] in ("CRASHED", "ABORTED", "UNKNOWN")]
    reported = ngettext(
        "{read} of {count} experiment was diagnosed from all its points; healthy: {healthy}.",
        "{read} of {count} experiments were diagnosed from all their points; healthy: {healthy}.",
        len(evidence.experiments),
        read=len(found),
        healthy=len(found) - len(ill),
    )
    return Section(
        "diagnoses", gettext("Diagnoses"), [Text(reported), *(_describe_diagnosis(evidence, one) for one in ill)]
    )


def _describe_diagnosis(evidence: Evidence, one: Mapping[str, Any]) -> Card:
    title = fill(
        "{name} ({state})", name=evidence.link(one["name"], one["cuid"]), state=name_code("state", one["state"])
    )
    blocks: list[Any] = [Text(one["verdict"])]
    causes = [
        [cause["cause"], name_code("confidence", cause["confidence"]), cause["evidence"]]
        for cause in one.get("causes", ())
    ]
    blocks.append(Table([gettext("cause"), gettext("confidence"), gettext("evidence")], causes))
    events = [
        [name_code("kind", event["kind"]), event["key"], _or_none(event.get("step")), event["detail"], event["rule"]]
        for event in evidence.list_events(one["cuid"])
    ]
    blocks.append(
        Table([gettext("event"), gettext("metric"), gettext("step"), gettext("detail"), gettext("rule")], events)
    )
    frames = one.get("crash", {}).get("frames", ())
    if frames:
        blocks += [Text(gettext("How it ended"), is_soft=True), Items(frames)]
    return Card(title, blocks)


def _describe_hours(evidence: Evidence) -> Section:
    names = {"done": gettext("finished"), "alive": gettext("running"), "lost": gettext("crashed or stopped")}
    spans = [(*span, _name_outcome(one)) for one in evidence.experiments if (span := _read_span(one))]
    title = gettext("Timeline and total run time")
    if not spans:
        return Section("hours", title)
    used: dict[str, float] = defaultdict(float)
    runs: dict[str, int] = defaultdict(int)
    for begun, ended, outcome in spans:
        used[outcome] += (ended - begun).total_seconds()
        runs[outcome] += 1
    rows = [
        [
            Markup('<span class="key {}"></span>{}').format(kind, name), runs[kind], show_duration(used[kind]),
            f"{used[kind] / max(sum(used.values()), 1e-9):.0%}",
        ]
        for kind, name in names.items()
        if runs[kind]
    ]  # fmt: skip
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    text = gettext(
        "From {first} to {last} UTC, the experiments ran for {hours} in total.",
        first=f"{first:%Y-%m-%d %H:%M}",
        last=f"{last:%Y-%m-%d %H:%M}",
        hours=show_duration(sum(used.values())),
    )
    unknown = len(evidence.experiments) - len(spans)
    lost = ngettext(
        "{count} experiment without a recorded start or end is not included.",
        "{count} experiments without a recorded start or end are not included.",
        unknown,
    )
    heads = [gettext("outcome"), gettext("experiments"), gettext("time"), gettext("share")]
    blocks = [
        Text(text), Figures([draw_hours(gettext("Running experiments over time"), spans, names)]), Table(heads, rows),
        Text(lost if unknown else "", is_soft=True),
    ]  # fmt: skip
    return Section("hours", title, blocks)


def _read_span(one: Experiment) -> tuple[datetime, datetime] | None:
    begun, ended = read_time(one.createdAt), read_time(one.finishedAt or "")
    if one.state == "RUNNING" and ended is None:
        ended = datetime.now(timezone.utc)
    return (begun, ended) if begun and ended and ended >= begun else None


def _name_outcome(one: Experiment) -> str:
    return {"FINISHED": "done", "RUNNING": "alive"}.get(one.state, "lost")
