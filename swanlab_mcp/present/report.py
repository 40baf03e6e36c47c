"""A project as one self-contained HTML page: ranking, differences, curves and diagnoses, from the tools' operations.

All external text is escaped, and the page's own policy forbids scripts and network access.
"""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from swanlab_mcp import __version__, operations
from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.errors import NotFound
from swanlab_mcp.core.i18n import language, say, say_plural
from swanlab_mcp.core.models import ApiResponse, Picture
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.secret_masking import mask_exactly, mask_secrets
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.operations.choice import list_chosen, read_all
from swanlab_mcp.operations.targets import choose_targets
from swanlab_mcp.present.code_words import word_code
from swanlab_mcp.present.words import present

__all__ = ["write_report"]

_RANKED = 30  # rows of the ranking
_COMPARED = 50
_BESIDE = 5  # experiments side by side and in a picture
_DIAGNOSED = 20
_ASKED_FOR_KEYS = 5
_CELL = 80  # characters

_STYLE = """\
:root{color-scheme:light dark;--line:#d5d9de;--soft:#5b6470;--back:#fff;--text:#1b1f24;--card:#f5f7f9;--link:#0058a8}
@media(prefers-color-scheme:dark){:root{--line:#3a4149;--soft:#a3acb7;--back:#14171a;--text:#e6e9ec;--card:#1d2126;
--link:#7ab8ff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.25rem 0 .25rem}p{margin:.5rem 0}a{color:var(--link)}.soft{color:var(--soft);
font-size:.9rem}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;min-width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line);overflow-wrap:normal;
max-width:24rem}td:first-child:not(.number),td.number:first-child+td{min-width:8rem}
.number{text-align:right;font-variant-numeric:tabular-nums}td.number,th{white-space:nowrap}th{color:var(--soft);
font-weight:600}figure{margin:.5rem 0}img{display:block;width:100%;min-width:36rem;max-width:62rem;background:#fff;
border-radius:.4rem}section.one{background:var(--card);border-radius:.4rem;padding:.25rem .9rem .7rem;margin:.8rem 0}
ul{margin:.3rem 0;padding-left:1.2rem}
@media print{:root{font-size:11px;color-scheme:light;--back:#fff;--text:#000;--card:#fff;--line:#bbb;--soft:#333;
--link:#000}body{max-width:none;padding:0}.wide{overflow:visible}img{min-width:0}
h2,h3{break-after:avoid}tr,figure{break-inside:avoid}}"""


class _Markup(str):
    """Text that is HTML already; all other text is escaped."""

    __slots__ = ()


class _Page(NamedTuple):
    """The context of every part of the page: client, project and masking."""

    client: SwanLabClient
    ref: ProjectRef
    show_secrets: bool

    def link(self, name: str, cuid: str) -> _Markup:
        return _link(name, self.client.at(self.ref).get_link(self.ref.experiment(cuid)))

    def read(self, answer: ApiResponse[Any], notes: list[str]) -> Any:
        """Return an answer's data, and add its notes to `notes`."""
        payload = mask_exactly(present(answer).model_dump(mode="json", exclude_none=True), self.client.get_secrets())
        if not self.show_secrets:
            payload = mask_secrets(payload)
        notes += payload.get("notes", ())
        return payload.get("data")


async def write_report(
    client: SwanLabClient,
    *,
    project: str,
    metric: str = "",
    username: str = "",
    show_secrets: bool = False,
) -> str:
    """Return the page as HTML; without `metric`, the keys decide which metric best measures model quality.

    Raises NotFound for a project without experiments, or if no `metric` is given and no key measures quality.
    """
    ref, choice = await list_chosen(client, project, username, ())
    experiments = choice.experiments
    if not experiments:
        raise NotFound(say("The project has no experiments yet, so there are no results to report."))
    page = _Page(client, ref, show_secrets)
    where: dict[str, Any] = {"project": ref.project, "username": ref.workspace}
    logged = await read_all(
        # the newest runs may have no metrics yet
        [
            ref.experiment(one.cuid)
            for one in [*experiments[:_ASKED_FOR_KEYS], *experiments[_ASKED_FOR_KEYS:][-_ASKED_FOR_KEYS:]]
        ],
        client.at(ref).list_keys,
    )
    keys = list(dict.fromkeys(key for answer in logged if answer.data for key in answer.data.scalars))
    targets = list(dict.fromkeys([key for key in (metric, *choose_targets(keys, 2)) if key]))[:2]
    if not targets:
        raise NotFound(
            say("The name of each logged metric leaves open how good a model is."),
            hint=say("Name a metric with --metric."),
        )
    ranking = await operations.rank_experiments(client, **where, metric=targets[0], page=0)
    notes: list[str] = []
    rows: list[dict[str, Any]] = page.read(ranking, notes) or []
    order = list(dict.fromkeys(row["cuid"] for row in rows))
    parts = [_show_ranking(page, rows, targets[0])]
    drawn = [row["cuid"] for row in rows if "apart" not in row][:_BESIDE] or order[:_BESIDE]
    reached = await client.at(ref).get_summaries(ref, [one for one in experiments if one.cuid in drawn], targets)
    for key in targets:
        holders = [cuid for cuid in drawn if key in (reached.data or {}).get(cuid, {})]
        if holders:
            plotted = present(await operations.plot_metrics(client, **where, exp_cuids=holders, keys=[key]))
            parts.append(_show_chart(page, key, page.read(plotted, notes), plotted.pictures))
    if len(order) > 1:
        chosen = order[:_COMPARED]
        compared = await operations.compare_experiments(client, **where, exp_cuids=chosen, metrics=targets[:1])
        parts.append(_show_comparison(page, page.read(compared, notes)))
    apart = [row["cuid"] for row in rows if "apart" in row]
    ranked = [cuid for cuid in order if cuid not in apart]
    # broken experiments, the best, and then the others from the worst upwards
    requested = [*apart, *ranked[:1], *reversed(ranked[1:])][:_DIAGNOSED]
    diagnoses = await read_all(
        requested,
        lambda cuid: operations.diagnose_experiment(client, project=ref.project, exp_cuid=cuid, username=ref.workspace),
    )
    parts.append(_show_diagnoses(page, [page.read(one, []) for one in diagnoses], len(experiments)))
    states = Counter(one.state or "UNKNOWN" for one in experiments)
    reported = say(", ").join(f"{count} {word_code('state', state)}" for state, count in states.most_common())
    head = [
        _tag(
            "p",
            say_plural(
                "{count} experiment: {states}.", "{count} experiments: {states}.", len(experiments), states=reported
            ),
        )
    ]
    address = client.at(ref).get_link(ref)
    if address:
        head.append(_tag("p", _link(say("Open in SwanLab"), address)))
    # the page has its own link to every experiment
    links = client.at(ref).get_link(ref.experiment("<cuid>"))
    remarks = [note for note in dict.fromkeys(notes) if not links or links not in note]
    parts.append(_join([_tag("h2", say("Notes")), _list(remarks)]))
    return _frame(page, [*head, *parts])


def _show_ranking(page: _Page, rows: Sequence[Mapping[str, Any]], metric: str) -> _Markup:
    ranked = [row for row in rows if "apart" not in row]
    apart = [row for row in rows if "apart" in row]
    columns = list(dict.fromkeys(key for row in ranked for key in row.get("config", ())))
    has_ends = any("end" in row for row in ranked)
    heads = [say("end") if has_ends else say("rank"), say("experiment"), say("value"), say("step")]
    table = _table(
        [*heads, *([] if has_ends else [say("within noise")]), *columns],
        [
            [
                row.get("end" if has_ends else "rank", ""), page.link(row["name"], row["cuid"]), row.get("value", ""),
                row.get("step", ""), *([] if has_ends else ["✓" if row.get("within_noise") else ""]),
                *(row.get("config", {}).get(key, "") for key in columns),
            ]
            for row in ranked[:_RANKED]
        ],
    )  # fmt: skip
    parts = [_tag("h2", say("Ranking by {metric}", metric=metric)), table, _describe_cut(ranked, _RANKED)]
    if apart:
        others = [
            [page.link(row["name"], row["cuid"]), row.get("value", ""), row.get("step", ""), row["apart"]]
            for row in apart[:_RANKED]
        ]
        heads = [say("experiment"), say("value"), say("step"), say("why")]
        parts += [_tag("h3", say("Not ranked")), _table(heads, others), _describe_cut(apart, _RANKED)]
    return _join(parts)


def _describe_cut(rows: Sequence[Any], most: int) -> _Markup:
    return (
        _tag("p", say("{shown} of {total} are shown.", shown=most, total=len(rows)), "soft")
        if len(rows) > most
        else _Markup()
    )


def _show_chart(page: _Page, key: str, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> _Markup:
    alternative = say("{metric} of {names}", metric=key, names=", ".join(row["name"] for row in rows))
    images = [
        _Markup(
            f'<figure class="wide"><img alt="{_escape(alternative)}" '
            f'src="data:{one.mime_type};base64,{base64.b64encode(one.content).decode("ascii")}"></figure>'
        )
        for one in pictures
    ]

    def report(row: Mapping[str, Any], name: str) -> str:
        extreme = row.get(name)
        return f"{_show(extreme['value'])} @ {extreme['step']}" if extreme else ""

    heads = [say("experiment"), say("last"), say("smallest"), say("largest")]
    lines = [
        [page.link(row["name"], row["exp_cuid"]), *(report(row, name) for name in ("last", "min", "max"))]
        for row in rows
    ]
    if not images:
        heads.append(say("course"))
        lines = [[*line, row.get("sparkline", "")] for line, row in zip(lines, rows, strict=True)]
    return _join([_tag("h2", say("Curves: {metric}", metric=shorten(key))), *images, _table(heads, lines)])


def _show_comparison(page: _Page, found: Mapping[str, Any]) -> _Markup:
    experiments = found["experiments"]
    beside = experiments[:_BESIDE]
    heads = [say("setting"), *(page.link(one["name"], one["cuid"]) for one in beside)]
    # a row in which all shown experiments agree is not informative
    lines = [
        [one["name"], *one["values"][:_BESIDE]]
        for one in found.get("differences", ())
        if any(value != one["values"][0] for value in one["values"][:_BESIDE])
    ]
    reported = (
        say("The first {shown} of {total} compared.", shown=len(beside), total=len(experiments))
        if len(experiments) > _BESIDE
        else ""
    )
    parts = [_tag("h2", say("What differs")), _tag("p", reported, "soft")]
    parts.append(_table(heads, lines) if lines else _tag("p", say("None.")))
    if found.get("associations"):
        heads = [say("setting"), say("strength"), say("how"), say("cannot be told apart from")]
        lines = [
            [one["key"], one["strength"], one["how"], ", ".join(one.get("varies_with", ()))]
            for one in found["associations"]
        ]
        parts += [
            _tag("h3", say("Settings associated with the result")),
            _tag("p", say("No proof of an effect. Strength runs from 0 to 1."), "soft"),
            _table(heads, lines),
        ]
    return _join(parts)


def _show_diagnoses(page: _Page, found: Sequence[Mapping[str, Any]], total: int) -> _Markup:
    ill = [one for one in found if one["health"] != "healthy" or one["state"] in ("CRASHED", "ABORTED", "UNKNOWN")]
    reported = say_plural(
        "{read} of {count} experiment was diagnosed from all its points; healthy: {healthy}.",
        "{read} of {count} experiments were diagnosed from all their points; healthy: {healthy}.",
        total,
        read=len(found),
        healthy=len(found) - len(ill),
    )
    return _join([_tag("h2", say("Diagnoses")), _tag("p", reported), *(_show_diagnosis(page, one) for one in ill)])


def _show_diagnosis(page: _Page, one: Mapping[str, Any]) -> _Markup:
    title = _Markup(f"{page.link(one['name'], one['cuid'])} ({_escape(word_code('state', one['state']))})")
    parts = [_tag("h3", title), _tag("p", one["verdict"])]
    if one.get("causes"):
        lines = [
            [cause["cause"], word_code("confidence", cause["confidence"]), cause["evidence"]] for cause in one["causes"]
        ]
        parts += [_table([say("cause"), say("confidence"), say("evidence")], lines)]
    events = [event for event in one.get("events", ()) if event["severity"] != "info"]
    if events:
        lines = [
            [
                word_code("kind", event["kind"]),
                event["key"],
                event.get("step", ""),
                event["detail"],
                event["rule"],
            ]
            for event in events
        ]
        parts += [_table([say("event"), say("metric"), say("step"), say("detail"), say("rule")], lines)]
    frames = one.get("crash", {}).get("frames", ())
    if frames:
        parts += [_tag("p", say("How it ended"), "soft"), _list(frames)]
    return _tag("section", _join(parts), "one")


def _frame(page: _Page, parts: Sequence[str]) -> str:
    time = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
    title = say("Report on {project}", project=shorten(page.ref.project))
    made = say(
        "Made {time} UTC by swanlab-mcp-server {version}; workspace {username}.",
        time=time,
        version=__version__,
        username=shorten(page.ref.workspace),
    )
    return f"""\
<!DOCTYPE html>
<html lang="{language.get()}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_escape(title)}</h1>
{_tag("p", made, "soft")}
{_join(parts)}
</body>
</html>
"""


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return shorten(value if isinstance(value, str) else "" if value is None else str(value), _CELL * 4)


def _escape(value: Any) -> str:
    return value if isinstance(value, _Markup) else html.escape(_show(value))


def _tag(name: str, content: str, kind: str = "") -> _Markup:
    if not content:
        return _Markup()
    return _Markup(f"<{name}{f' class={kind}' if kind else ''}>{_escape(content)}</{name}>")


def _link(text: str, address: str) -> _Markup:
    return _Markup(f'<a href="{html.escape(address)}">{_escape(text)}</a>' if address else _escape(text))


def _join(parts: Iterable[str]) -> _Markup:
    return _Markup("\n".join(_escape(part) for part in parts if part))


def _list(items: Iterable[str]) -> _Markup:
    return _tag("ul", _join(_tag("li", item) for item in items))


def _table(heads: Sequence[Any], rows: Sequence[Sequence[Any]]) -> _Markup:
    if not rows:
        return _Markup()
    kinds = [_align(value) for value in rows[0]]
    head = "".join(f"<th{kind}>{_escape(one)}</th>" for one, kind in zip(heads, kinds, strict=True))
    lines = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return _Markup(f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>')


def _cell(value: Any) -> str:
    return f"<td{_align(value)}>{_escape(value)}</td>"


def _align(value: Any) -> str:
    return " class=number" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
