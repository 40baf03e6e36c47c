"""Filter and sort experiments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from swanlab_mcp.analysis.machines import MACHINE_FIELDS, Machine
from swanlab_mcp.analysis.refusals import BadDuration, BadTime, Incomparable, UnknownField, UnknownState, UnsentField
from swanlab_mcp.analysis.setting_names import find_same_settings
from swanlab_mcp.analysis.unsent_fields import UNSENT_FIELDS, name_answer
from swanlab_mcp.core.models import Experiment, Filter
from swanlab_mcp.core.records import read_time
from swanlab_mcp.core.refs import find_near_names

__all__ = [
    "Candidate",
    "check_comparable",
    "check_fields",
    "find_unknown_fields",
    "list_clauses",
    "measure_distance",
    "normalise_field",
    "normalise_period",
    "normalise_states",
    "passes",
    "passes_all",
    "read_field",
    "sort_candidates",
]

_TEXTS = ("name", "description", "state", "group", "job")
_TIMES = {"created": "createdAt", "finished": "finishedAt"}
_STATES = ("RUNNING", "FINISHED", "CRASHED", "ABORTED", "OFFLINE", "UNKNOWN")
_NAMED = 10
_NEAR = 3
_FARTHEST = 0.4  # strings that differ by more than this are not similar
_DAY = 86_400
_EQUALITY = ("=", "in", "!=", "not-in")
_NULLS = ("is-null", "not-null")
_ALIASES = {"tags": "labels"}
# only suggested, because these names may mean something else in other programs
_OTHER_WORDS = {
    "author": "user",
    "date": "created",
    "elapsed": "duration",
    "end": "finished",
    "hidden": "show",
    "machine": "host",
    "node": "host",
    "owner": "user",
    "runtime": "duration",
    "start": "created",
    "tag": "labels",
}
_FIELDS = (*_TEXTS, "labels", "user", *_TIMES, "duration", "show", "clone_of", *MACHINE_FIELDS)
_PERIOD = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY}
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
}


class Candidate(NamedTuple):
    """An experiment with its flattened config and the last values of the requested metrics.

    `now` is the current time in Unix seconds (0 if unknown), which determines the duration of a running experiment.
    `machine` is empty unless it was read. `answers` contains SwanLab's own results for conditions on fields that it
    never sends (see `name_answer`).
    """

    experiment: Experiment
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    now: float = 0
    machine: Machine = Machine()
    answers: Mapping[str, bool] = MappingProxyType({})


def find_unknown_fields(
    fields: Sequence[str], candidates: Sequence[Candidate], fixed: Sequence[str] = _FIELDS
) -> list[str]:
    """Return the unknown fields. Any metric key is accepted, as is any config key if there are no candidates."""
    config_keys = {key for one in candidates for key in one.config}
    unknown: list[str] = []
    for field in fields:
        kind, _, key = field.partition(".")
        is_config = kind == "config" and (key in config_keys or (key and not candidates))
        if not (field in fixed or (kind == "metric" and key) or is_config):
            unknown.append(field)
    return unknown


def check_fields(
    fields: Sequence[str],
    candidates: Sequence[Candidate],
    logged: Sequence[str] = (),
    fixed: Sequence[str] = _FIELDS,
) -> None:
    """Raise UnknownField if a field is neither in `fixed`, nor a key in a config, nor a metric.

    The error suggests similar fields, including metric keys in `logged`. Raises UnsentField if SwanLab never sends the
    field.
    """
    for field in find_unknown_fields(fields, candidates, fixed):
        if field in UNSENT_FIELDS:
            raise UnsentField(field)
        config_keys = list(dict.fromkeys(key for one in candidates for key in one.config))
        near = _find_near_fields(field, config_keys, logged, fixed)
        raise UnknownField(field, near, [f"config.{name}" for name in config_keys[:_NAMED]], fixed, fixed is _FIELDS)


def _find_near_fields(field: str, config_keys: Sequence[str], logged: Sequence[str], fixed: Sequence[str]) -> list[str]:
    """Return the full names of similar fields, such as config.lr for "lr"."""
    own = field.removeprefix("config.")
    same = find_same_settings(own, config_keys)[:_NEAR]
    if same or own != field:
        return [f"config.{name}" for name in same or find_near_names(own, config_keys)]
    spelled: dict[str, list[str]] = {name: [name] for name in fixed}
    spelled |= {word: [name] for word, name in _OTHER_WORDS.items() if name in fixed}
    for kind, keys in (("config", config_keys), ("metric", logged)):
        for name in keys:
            spelled.setdefault(name, []).append(f"{kind}.{name}")
            # also match the last part of a key: lr in optim.lr, acc in val/acc
            spelled.setdefault(re.split(r"[./]", name)[-1], []).append(f"{kind}.{name}")
    near = find_near_names(field, spelled) or find_near_names(field.partition(".")[2], spelled)
    return list(dict.fromkeys(full for name in near for full in spelled[name]))[:_NEAR]


def normalise_field(field: str) -> str:
    """Replace a list heading or an alias with the field name that filters use."""
    return field.removeprefix("profile.") if field.startswith("profile.config.") else _ALIASES.get(field, field)


def normalise_states(condition: Filter) -> Filter:
    """Convert the states in a condition to SwanLab's spelling. Raises UnknownState for an unknown state."""
    if condition.field != "state" or condition.op not in _EQUALITY:
        return condition
    states = [str(value).strip().upper() for value in _to_list(condition.value)]
    for state in states:
        if state not in _STATES:
            raise UnknownState(state, _STATES)
    return condition.model_copy(update={"value": states if isinstance(condition.value, list) else states[0]})


def normalise_period(condition: Filter, now: float) -> Filter:
    """Convert a relative time in a condition, such as 7d, to an absolute time. `now` is in Unix seconds."""
    period = _PERIOD.fullmatch(str(condition.value).strip())
    if condition.field not in (*_TIMES, "updated") or condition.op not in _ORDERED or not period:
        return condition
    try:
        moment = datetime.fromtimestamp(now // 1, timezone.utc) - timedelta(seconds=_measure(period))
    except OverflowError:
        return condition
    return condition.model_copy(update={"value": moment.isoformat()})


def _measure(period: re.Match[str]) -> float:
    return float(period[1]) * _UNITS[period[2]]


def list_clauses(filters: Sequence[Filter]) -> list[list[Filter]]:
    """Group the conditions into clauses. An experiment must meet at least one condition in each clause."""
    clauses: dict[int, list[Filter]] = {}
    for index, one in enumerate(filters):
        clauses.setdefault(one.either or -1 - index, []).append(one)
    return list(clauses.values())


def passes_all(candidate: Candidate, filters: Sequence[Filter]) -> bool:
    """Return whether a candidate meets at least one condition in each clause (see `list_clauses`)."""
    alternatives: dict[int, bool] = {}
    for one in filters:
        if one.either:
            alternatives[one.either] = alternatives.get(one.either, False) or passes(candidate, one)
        elif not passes(candidate, one):
            return False
    return all(alternatives.values())


def passes(candidate: Candidate, condition: Filter) -> bool:
    """Return whether a candidate meets a condition. A missing field meets only `!=`, `not-in` and `is-null`.

    Numbers and numeric strings are compared as numbers, and times as points in time (UTC by default). Two numeric
    strings are compared as numbers only by `<`, `<=`, `>` and `>=`. In equality comparisons, a date means the entire
    day. `contains` matches an equal list element or, ignoring case, part of a string or of a list element.
    """
    if condition.field in UNSENT_FIELDS:
        return candidate.answers[name_answer(condition)]
    actual, op = read_field(candidate, condition.field), condition.op
    if op in _NULLS:
        return (actual is None) == (op == "is-null")
    wanted = _read_wanted(condition)
    options, held = _to_list(wanted), _to_list(actual)
    if op in _EQUALITY:
        is_same = any(_same(one, other) for one in _list_parts(actual) for other in _list_parts(wanted))
        return is_same == (op in ("=", "in"))
    if actual is None:
        return False
    if op == "contains":
        if isinstance(actual, list):
            return any(_same(one, option) or _holds(one, option) for one in held for option in options)
        return any(_holds(str(actual), str(option)) for option in options)
    left, right = _to_comparable(actual), _to_comparable(wanted)
    return left is not None and type(left) is type(right) and _ORDERED[op](left, right)


def check_comparable(candidates: Sequence[Candidate], condition: Filter) -> None:
    """Raise Incomparable if the value of the condition cannot be compared with any candidate's value."""
    if condition.op in _NULLS or condition.field in UNSENT_FIELDS:
        return
    if condition.op not in _ORDERED:
        wanted = _to_list(_read_wanted(condition))
        values = [value for one in candidates if (value := read_field(one, condition.field)) is not None]
        are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        are_truths = values and all(isinstance(value, bool) for value in values)
        are_objects = values and all(isinstance(value, dict) for value in values)
        is_equality = condition.op in ("=", "in") and values and wanted
        if is_equality and (are_objects or (are_numbers and not any(map(_is_number, wanted)))):
            raise Incomparable(condition.field, condition.op, str(condition.value), values[0])
        if are_truths and not any(str(one).strip().casefold() in ("true", "false") for one in wanted):
            raise Incomparable(condition.field, condition.op, str(condition.value), values[0])
        return
    wanted = _to_comparable(_read_wanted(condition))
    held = [value for one in candidates if (value := read_field(one, condition.field)) is not None]
    # NaN has no order, but it is a number
    kinds = {float if _is_nan(value) else type(_to_comparable(value)) for value in held}
    if wanted is None or (held and type(wanted) not in kinds):
        raise Incomparable(condition.field, condition.op, str(condition.value), held[0] if held else None)


def read_field(candidate: Candidate, field: str) -> Any:
    """Return a candidate's value for a field, or `None` if it is missing. Times are returned as datetimes."""
    kind, _, key = field.partition(".")
    if kind == "config":
        return candidate.config.get(key)
    if kind == "metric":
        return candidate.metrics.get(key)
    if field == "user":
        user = candidate.experiment.user
        return [name for name in (user.get("username"), user.get("name")) if name] or None
    if field == "duration":
        return _read_duration(candidate)
    if field == "show":
        return candidate.experiment.show
    if field == "clone_of":
        # in lists of several projects, the id is part of a path
        return (candidate.experiment.rootExpId or "").rpartition("/")[2] or None
    if field in MACHINE_FIELDS:
        return candidate.machine.read(field)
    if field in _TIMES:
        text = candidate.experiment[_TIMES[field]]
        return read_time(text) if text else None
    value = candidate.experiment.get(field)
    return value or None


def measure_distance(candidate: Candidate, condition: Filter) -> float | None:
    """Return the distance from a candidate's value to the condition's value, or `None` if it is undefined."""
    if condition.op in _NULLS or condition.op in ("!=", "not-in"):
        return None
    best: float | None = None
    for actual in _to_list(read_field(candidate, condition.field)):
        for wanted in _to_list(_read_wanted(condition)):
            left, right = _to_comparable(actual), _to_comparable(wanted)
            if isinstance(left, float) and isinstance(right, float):
                distance = abs(left - right)
            elif isinstance(actual, str) and isinstance(wanted, str):
                distance = 1 - SequenceMatcher(None, actual.casefold(), wanted.casefold()).ratio()
                if distance > _FARTHEST:
                    continue
            else:
                continue
            best = distance if best is None else min(best, distance)
    return None if best is None or math.isnan(best) else best


def _read_duration(candidate: Candidate) -> float | None:
    """Return the duration in seconds, up to now if the experiment is still running, or `None` if it is unknown."""
    one = candidate.experiment
    began, ended = read_time(one.createdAt), read_time(one.finishedAt or "")
    if began is None:
        return None
    if ended is not None:
        return max(0.0, (ended - began).total_seconds())
    return max(0.0, candidate.now - began.timestamp()) if one.state == "RUNNING" and candidate.now else None


def sort_candidates(candidates: Sequence[Candidate], field: str, *, descending: bool) -> list[Candidate]:
    """Sort by a field, ranking strings above numbers. Missing values and NaN always come last."""
    values = [read_field(one, field) for one in candidates]
    if field == "user":
        values = [value and value[0] for value in values]  # sorted by the username
    values = [_to_comparable(value) for value in values]
    present = [index for index, value in enumerate(values) if value is not None]
    present.sort(key=lambda index: (isinstance(values[index], str), values[index]), reverse=descending)
    others = [index for index, value in enumerate(values) if value is None]
    return [candidates[index] for index in (*present, *others)]


def _read_wanted(condition: Filter) -> Any:
    if condition.field == "duration":
        durations = [_read_seconds(value) for value in _to_list(condition.value)]
        return durations if isinstance(condition.value, list) else durations[0]
    if condition.field not in _TIMES:
        return condition.value
    times: list[date] = []
    for value in _to_list(condition.value):
        moment = read_time(str(value))
        if moment is None:
            raise BadTime(str(value))
        times.append(_read_day(str(value)) or moment if condition.op in _EQUALITY else moment)
    return times if isinstance(condition.value, list) else times[0]


def _read_seconds(value: Any) -> float:
    text = str(value).strip()
    period = _PERIOD.fullmatch(text)
    try:
        seconds = _measure(period) if period else float(text)
    except ValueError:
        raise BadDuration(text) from None
    if isinstance(value, bool) or not math.isfinite(seconds):
        raise BadDuration(text)
    return seconds


def _read_day(text: str) -> date | None:
    """Parse a date without a time. Return `None` for any other string."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def _to_list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _list_parts(value: Any) -> list[Any]:
    """Return the elements of a list and then the list itself. For any other value, return a list of that value."""
    return [*cast("list[Any]", value), value] if isinstance(value, list) else [value]


def _holds(one: Any, part: Any) -> bool:
    return isinstance(one, str) and isinstance(part, str) and part.casefold() in one.casefold()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return str(one).casefold() == str(other).casefold()
    if isinstance(one, datetime) and type(other) is date:
        return 0 <= one.timestamp() - datetime.combine(other, time(), timezone.utc).timestamp() < _DAY
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if _is_nan(one) and _is_nan(other):
        return True
    left, right = _to_comparable(one), _to_comparable(other)
    return left == right if left is not None and type(left) is type(right) else one == other


def _is_nan(value: Any) -> bool:
    return (
        value.strip().casefold() == "nan" if isinstance(value, str) else isinstance(value, float) and math.isnan(value)
    )


def _is_number(value: Any) -> bool:
    """Return whether a value is a number (including NaN), a boolean or a numeric string."""
    return _is_nan(value) or isinstance(value, bool) or isinstance(_to_comparable(value), float)


def _to_comparable(value: Any) -> float | str | None:
    """Convert numbers, numeric strings and times to floats. Return `None` for NaN and values without an order."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, (int, float)):
        try:
            return None if math.isnan(value) else float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if not isinstance(value, str):
        return None
    if "_" in value:
        return value  # only Python parses 2_1 as 21, so keep the string
    try:
        number = float(value)
    except ValueError:
        return value
    return None if math.isnan(number) else number
