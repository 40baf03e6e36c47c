"""Build the reply for a ranking: the rows with their verdicts, and notes that explain the comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from swanlab_mcp.analysis.alignment import align_values
from swanlab_mcp.analysis.breakage import choose_for_points
from swanlab_mcp.analysis.leaderboard import Breakage, Reason, order_results
from swanlab_mcp.analysis.metric_catalogue import describe_key
from swanlab_mcp.analysis.noise import Judgement
from swanlab_mcp.analysis.standings import Field, Standing
from swanlab_mcp.core.findings import RankedExperiment, round_number
from swanlab_mcp.core.i18n import gettext, join_sentences, ngettext
from swanlab_mcp.core.models import ApiResponse
from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.baselines import write_name
from swanlab_mcp.operations.ranking import Part, Ranking
from swanlab_mcp.present.direction_words import describe_direction

__all__ = ["describe_reason", "explain_judgement", "name_reason", "name_standing", "publish"]

_NAME = 60
_ID = 400
_TEXT = 30
_DIGITS = 4
_FEW = 4


def publish(answer: ApiResponse[Any]) -> ApiResponse[list[RankedExperiment]]:
    """Return a ranking as rows, with notes about the direction, the noise and unranked experiments."""
    ranking = answer.data
    if not isinstance(ranking, Ranking):
        return answer
    placed = [(part, standing) for part in ranking.parts for standing in part.rows]
    configs = _shorten_configs([_pick_config(part, standing) for part, standing in placed])
    rows = [
        _publish_row(ranking, part, standing, config) for (part, standing), config in zip(placed, configs, strict=True)
    ]
    notes = [note for note in _list_notes(ranking) if note]
    return answer.model_copy(update={"data": rows, "notes": [*notes, *answer.notes]})


def describe_reason(reason: Reason) -> str:
    """Return the reason why an experiment is not ranked, including the relevant steps."""
    name = name_reason(reason)
    detail = ""
    if reason.kind == "short":
        detail = gettext("ends at step {last}, others at {usual:g}", last=reason.step, usual=reason.usual)
    elif reason.kind == "not there yet":
        detail = gettext("ends at step {step}", step=reason.step)
    elif reason.kind == "begins later":
        detail = gettext("at step {step}", step=reason.step)
    elif reason.breakage:
        detail = describe_breakage(reason.breakage)
    return gettext("{reason}: {detail}", reason=name, detail=detail) if detail else name


def describe_breakage(breakage: Breakage) -> str:
    """Describe how a run broke, such as "train/loss became NaN or infinite at step 12"."""
    known = {"key": shorten(breakage.key), "step": breakage.step}
    if breakage.kind == "diverged":
        return gettext("{key} rose after step {step} and never recovered", **known)
    if breakage.step is None:
        return gettext("{key} has NaN or infinite values", **known)
    return gettext("{key} became NaN or infinite at step {step}", **known)


def name_reason(reason: Reason) -> str:
    """Return a short form of the reason why an experiment is not ranked."""
    names = {
        "missing": gettext("without the metric"),
        "no extremes": gettext("SwanLab returned no minimum or maximum; at=last has a value"),
        "not there yet": gettext("step not reached yet"),
        "begins later": gettext("starts at a later step"),
        "not at that step": gettext("has no best step"),
        "non-finite": gettext("NaN or infinite"),
        "broken": gettext("broken"),
        "short": gettext("short"),
        "no end": gettext("no end recorded"),
        "running": gettext("running"),
        "crashed": gettext("crashed"),
        "aborted": gettext("aborted"),
        "offline": gettext("offline"),
        "other": reason.state,
    }
    return names[reason.kind]


def _pick_config(part: Part, standing: Standing) -> dict[str, Any]:
    config = part.field.configs[standing.run_index]
    return {key: config[key] for key in part.columns if key in config}


def _shorten_configs(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the configs with long strings shortened so that different strings remain different."""
    shown = [dict(config) for config in configs]
    for key in dict.fromkeys(key for config in configs for key in config):
        rows = [config for config in shown if isinstance(config.get(key), str)]
        # mask the complete strings, because shortening may remove the start of a secret
        for config, text in zip(rows, align_values([mask_secrets(row[key], key) for row in rows], _TEXT), strict=True):
            config[key] = text
    return shown


def _publish_row(ranking: Ranking, part: Part, standing: Standing, config: dict[str, Any]) -> RankedExperiment:
    field, index = part.field, standing.run_index
    experiment, result, reason = ranking.experiments[index], field.results[index], field.reasons[index]
    row = RankedExperiment(
        rank=standing.rank,
        end={"min": "smallest", "max": "largest"}.get(part.end),
        name=shorten(experiment.name, _NAME),
        cuid=quote(experiment.cuid, _ID),
        value=None if result.value is None else round_number(result.value),
        step=result.step,
        within_noise=standing.within_noise,
        state=experiment.state,
        apart=describe_reason(reason) if reason else None,
        clone_of=experiment.rootExpId,
        config=config,
    )
    return _add_setting(ranking, field, standing, row) if standing.setting else row


def _add_setting(ranking: Ranking, field: Field, standing: Standing, row: RankedExperiment) -> RankedExperiment:
    setting = standing.setting
    assert setting
    members = [ranking.experiments[index] for index in setting.indices]
    name = _name_setting(ranking, standing.number)
    update: dict[str, Any] = {
        "name": name or row.name,
        "best": row.name,
        "value": round_number(standing.value),
        "step": None,
        "n": len(setting.counted),
        "deviation": None if standing.deviation is None else round_number(standing.deviation, 3),
        "best_value": row.value if len(setting.counted) > 1 else None,
        "cuids": [one.cuid for one in members] if len(members) > 1 else [],
        "clones": [one.cuid for one in members if one.rootExpId] if len(members) > 1 else [],
    }
    if standing.is_baseline:
        update["verdict"] = "baseline"
    elif standing.judged:
        judged = standing.judged
        update["verdict"] = _name_verdict(judged, ranking, field)
        update["difference"] = round_number(judged.difference, _DIGITS)
        if judged.low is not None and judged.high is not None:
            update |= {"low": round_number(judged.low, _DIGITS), "high": round_number(judged.high, _DIGITS)}
        update["why"] = explain_judgement(judged, name or row.name, is_split=setting.is_split) or None
    return row.model_copy(update=update)


def name_standing(ranking: Ranking, standing: Standing) -> str:
    """Return the name of a row's setting, or of its experiment if the row has no setting."""
    name = _name_setting(ranking, standing.number) if standing.setting and ranking.names else ""
    return name or shorten(ranking.experiments[standing.run_index].name, _NAME)


def _name_setting(ranking: Ranking, number: int) -> str:
    pairs = [(key, mask_secrets(_shorten_value(value), key)) for key, value in ranking.names[number]]
    return shorten(write_name([(ranking.labels[key], value) for key, value in pairs]), _NAME)


def _name_verdict(judged: Judgement, ranking: Ranking, field: Field) -> str:
    """Return the verdict as a code, which is not translated."""
    if ranking.baseline is None:
        return {"different": "real", "not shown": "within noise", "unknown": "cannot tell"}[judged.verdict]
    if judged.verdict == "unknown" and judged.low is None:
        return "cannot tell"
    if judged.verdict != "different":
        return "no difference shown"
    return "better" if judged.difference * field.sign < 0 else "worse"


def explain_judgement(judged: Judgement, name: str, *, is_split: bool) -> str:
    """Explain a verdict. If the difference was not detected, say how many more seeds would be needed to detect it."""
    if judged.verdict == "different":
        return gettext("one seed, judged by the noise of the noisiest setting") if judged.rule == "borrowed" else ""
    reasons = {
        "borrowed": gettext("only one seed"),
        "one seed each": gettext("one seed each"),
        "no repeats": gettext("no setting has repeats"),
        "one pair of repeats": gettext("cannot tell: only one pair of repeats"),
        "no scatter": gettext("the repeats do not vary at all"),
    }
    why = gettext("cannot tell: same config, different command") if is_split else reasons.get(judged.rule, "")
    if judged.rule in ("no repeats", "one pair of repeats"):
        advice = gettext("run about 2 more seeds each")
    elif judged.more is None:
        advice = ""
    elif judged.more_of == "both":
        advice = ngettext("run about {count} more seed each", "run about {count} more seeds each", judged.more)
    else:
        advice = ngettext(
            "run about {count} more seed for {name}", "run about {count} more seeds for {name}", judged.more, name=name
        )
    return gettext("; ").join(one for one in (why, advice) if one)


def _shorten_value(value: Any) -> Any:
    return shorten(value, _TEXT) if isinstance(value, str) else value


def _list_notes(ranking: Ranking) -> list[str]:
    field = ranking.parts[0].field
    if ranking.parts[0].end:
        ask = gettext(
            "It is unclear whether a lower or higher {metric!r} is better, so nothing is ranked. These are "
            "the {count} smallest and largest values (of {total}). Ask the user, then pass mode=min or mode=max.",
            metric=shorten(ranking.metric),
            count=max(len(part.rows) for part in ranking.parts),
            total=len(field.ranked),
        )
        return [ask, *_note_apart(ranking, field), _note_health(ranking)]
    why = gettext("as requested") if ranking.is_direction_requested else describe_direction(ranking.kind)
    return [
        gettext("Direction: {reason}.", reason=why),
        *_note_reading(ranking),
        _describe_noise(ranking, field),
        _describe_test(ranking, field),
        *_note_apart(ranking, field),
        _note_health(ranking),
    ]


def _note_reading(ranking: Ranking) -> list[str]:
    reached, notes = ranking.reached, list[str]()
    if reached.window:
        text = gettext(
            "Single values of {metric} are noisy, so the best mean of {count} consecutive points is used.",
            metric=quote(ranking.metric),
            count=reached.window,
        )
        notes.append(text)
    elif reached.is_batch:
        notes.append(
            gettext(
                "The best value may be luck, because it may come from a single training batch. To use "
                "smoothed values, filter to at most 100 experiments."
            )
        )
    if reached.decided_mode:
        notes.append(
            gettext(
                "Values: {metric} at the step where {key} was best.",
                metric=quote(ranking.metric),
                key=quote(reached.at),
            )
        )
    return notes


def _describe_noise(ranking: Ranking, field: Field) -> str:
    scatter = ranking.scatter
    if scatter is None:
        return gettext(
            "Noise: cannot tell. No two ranked experiments differ only in their seed, so no difference here "
            "is known to be real."
        )
    if scatter.freedom < 2:
        return gettext(
            "Noise: cannot tell. There is only one pair of repeats, so no difference here is known to be real."
        )
    known = {"deviation": scatter.deviation, "groups": scatter.groups, "freedom": scatter.freedom}
    if ranking.by != "config":
        return gettext(
            "Noise has a standard deviation of {deviation:.3g} between experiments with the same {by} (groups with "
            "repeats: {groups} of {total}; df {freedom}).",
            by=ranking.by,
            total=len(field.settings),
            **known,
        )
    keys = ", ".join(quote(key, _TEXT) for key in ranking.ignored[:5])
    note = ngettext(
        "Noise has a standard deviation of {deviation:.3g} between repeats ({how}), from {groups} of {count} setting "
        "(df {freedom}).",
        "Noise has a standard deviation of {deviation:.3g} between repeats ({how}), from {groups} of {count} settings "
        "(df {freedom}).",
        len(field.settings),
        how=gettext("they differ only in {keys}", keys=keys) if keys else gettext("their configs are equal"),
        **known,
    )
    if not ranking.unread_origins:
        return note
    unread = ngettext(
        "The command and git commit of {count} repeat were not compared, because there are too many repeats.",
        "The commands and git commits of {count} repeats were not compared, because there are too many repeats.",
        ranking.unread_origins,
    )
    return join_sentences(note, unread)


def _describe_test(ranking: Ranking, field: Field) -> str:
    """Describe the statistical test that the verdicts are based on."""
    if ranking.scatter is None or ranking.scatter.freedom < 2:
        return ""
    if not ranking.names:
        return gettext(
            "within_noise: noise can explain the difference from the first experiment (studentised range, 95 % "
            "confidence for all {count} together).",
            count=len(field.ranked),
        )
    rules = {row.judged.rule for part in ranking.parts for row in part.rows if row.judged}
    name = (ranking.baseline is not None and _name_setting(ranking, ranking.baseline)) or gettext("named")
    test = (
        gettext(
            "Verdicts compare each setting with the top-ranked setting, which was selected by the same values "
            "(studentised range, 95 % confidence for all {count} together).",
            count=len(field.settings),
        )
        if ranking.baseline is None
        else gettext(
            "Verdicts compare each setting with the baseline {name} (t tests with Holm-Sidak correction, 95 % "
            "confidence for all {count} together).",
            name=quote(name, _NAME),
            count=len(field.settings) - 1,
        )
    )
    paired = gettext("Settings that share seeds or folds are compared as paired samples.") if "paired" in rules else ""
    sizes = [len(setting.counted) for setting in field.settings if len(setting.counted) > 1]
    weak = gettext("Weak evidence: few repeats.") if min(sizes, default=_FEW) < _FEW else ""
    return join_sentences(test, paired, weak)


def _note_apart(ranking: Ranking, field: Field) -> list[str]:
    counts = Counter(name_reason(reason) for reason in field.reasons if reason)
    if not counts:
        return []
    shown = gettext(", ").join(gettext("{count} {reason}", count=n, reason=name) for name, n in counts.most_common())
    notes = [
        ngettext(
            "Listed after the {count} ranked setting: {counts}.",
            "Listed after the {count} ranked settings: {counts}.",
            len(field.settings),
            counts=shown,
        )
        if ranking.names
        else ngettext(
            "Listed after the {count} ranked experiment: {counts}.",
            "Listed after the {count} ranked experiments: {counts}.",
            len(field.ranked),
            counts=shown,
        )
    ]
    best = _find_better_apart(field)
    if best is not None:
        experiment, reason = ranking.experiments[best], field.reasons[best]
        assert reason
        notes.append(
            gettext(
                "The unranked experiment {name} ({cuid}, {reason}) has the best value: {value:.6g}.",
                name=quote(experiment.name),
                cuid=quote(experiment.cuid),
                reason=describe_reason(reason),
                value=field.get_value(best),
            )
        )
    return notes


def _note_health(ranking: Ranking) -> str:
    """Return a note about the metrics that were checked to find broken experiments."""
    health = ranking.health
    if not health.total:
        return ""
    rewards = [key for key in (ranking.metric, *health.losses) if describe_key(key).role == "reward"]
    checked = dict.fromkeys([ranking.metric, *(one for one in choose_for_points(health.losses) if one not in rewards)])
    others = ", ".join(quote(key, _TEXT) for key in health.losses if key not in (*checked, *rewards))
    keys = ", ".join(quote(key, _TEXT) for key in checked)
    if health.points >= health.total:
        note = gettext("Checked for NaN and divergence: {keys}.", keys=keys)
    else:
        note = ngettext(
            "Checked {keys} for NaN and divergence (last values of {count} experiment, all points of {points}).",
            "Checked {keys} for NaN and divergence (last values of {count} experiments, all points of {points}).",
            health.summaries,
            keys=keys,
            points=health.points,
        )
    only = gettext("Checked for NaN only: {keys}.", keys=others) if others else ""
    return join_sentences(
        note, only, gettext("With a reward metric, rising losses do not count as divergence.") if rewards else ""
    )


def _find_better_apart(field: Field) -> int | None:
    """Return the index of the best unranked experiment if it beats all ranked experiments, otherwise `None`."""
    order = order_results(field.results, field.reasons, field.mode)
    best = field.sign * field.get_value(order[0]) if field.ranked else math.inf
    better = [
        index
        for index, reason in enumerate(field.reasons)
        if reason and reason.kind != "non-finite" and -math.inf < field.sign * field.get_value(index) < best
    ]
    return min(better, key=lambda index: field.sign * field.get_value(index), default=None)
