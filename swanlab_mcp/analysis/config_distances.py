"""Measure distances between configs with numeric and categorical settings, even if keys are renamed or nested."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import pstdev
from typing import Any, NamedTuple, TypeGuard, cast

from swanlab_mcp.analysis.differences import flatten, freeze, is_setting
from swanlab_mcp.analysis.setting_names import AMBIGUOUS, LOGARITHM, NEUTRAL, simplify_key, split_key

__all__ = ["DECADE", "ConfigSpace", "Difference", "Untried", "build_space", "list_unknown", "measure_distances"]

DECADE = 10  # positive numbers that span at least this factor use a logarithmic scale
_LARGEST = 1e300
_SAME_RATIO = 0.1
_SAME_PART = 0.05
_SWITCHES = ("true", "false")
_OFF = (None, False, 0, "", "none", "off")
# module prefixes and implementation suffixes, as in torch.optim.AdamW and adamw_torch_fused
_IMPLEMENTATION = re.compile(
    r"^(?:torch|tensorflow|tf|keras|optax|flax|paddle|transformers|mindspore)\.(?:\w+\.)*(?=[A-Z]\w*$)"
    r"|(?<=[a-z])_(?:torch(?:_fused)?|hf)$"
)
_RARE = 0.2  # a name is rare if at most this share of the configs contains it
# words that change the meaning of a name: dropout_keep_prob is not dropout_prob
_REVERSING = frozenset({"keep", "kept", "retain", "not", "no", "non", "without", "inv", "inverse", "complement"})


class Difference(NamedTuple):
    """A setting in which two configs differ, with both values (`None` if missing) and the distance between them."""

    key: str
    first: Any
    second: Any
    distance: float


class Untried(NamedTuple):
    """A setting for which the first config has a value that no other config has.

    `tried` contains the values in the other configs. If `is_range` is true, it contains only the smallest and largest
    of these values.
    """

    key: str
    value: Any
    tried: Sequence[Any]
    is_range: bool


class ConfigSpace(NamedTuple):
    """The settings of several configs under common names, with a scale for each varying setting.

    Each row in `rows` maps common names to the values in one config. `scales` maps each varying setting to a pair:
    whether its scale is logarithmic, and its standard deviation on that scale (0 if its values are not numbers). `keys`
    maps each common name to the original key that most configs use. `usual` maps these original keys to the
    values that more than half of the configs contain, if there are such values.
    """

    rows: Sequence[Mapping[str, Any]]
    scales: Mapping[str, tuple[bool, float]]
    keys: Mapping[str, str]
    usual: Mapping[str, Any]

    @property
    def varying(self) -> list[str]:
        return list(self.scales)

    def get_differences(self, one: int, two: int, *, only_first: bool = False) -> list[Difference]:
        """Return the settings in which two configs differ, largest distance first.

        If `only_first` is true, settings that the first config lacks are ignored. Use this option if the first config
        is incomplete.
        """
        found: list[Difference] = []
        for name, scale in self.scales.items():
            if only_first and name not in self.rows[one]:
                continue
            first, second = self.rows[one].get(name), self.rows[two].get(name)
            if name in self.rows[one] and name in self.rows[two] and freeze(first) == freeze(second):
                continue
            if name in self.rows[one] or name in self.rows[two]:
                found.append(Difference(self.keys[name], first, second, _measure(first, second, scale)))
        return sorted(found, key=lambda difference: -difference.distance)

    def measure(self, one: int, two: int, *, only_first: bool = False) -> float:
        """Return the mean squared distance between two configs over all varying settings.

        If `only_first` is true, settings that the first config lacks are ignored.
        """
        first, second = self.rows[one], self.rows[two]
        names = [name for name in self.scales if name in first or not only_first]
        total = sum(_measure(first.get(name), second.get(name), self.scales[name]) ** 2 for name in names)
        return total / max(1, len(names))

    def find_untried(self) -> list[Untried]:
        """Return the settings for which the first config has a value that no other config has.

        A number counts only if it lies outside the range of the numbers in the other configs.
        """
        found: list[Untried] = []
        for name, value in self.rows[0].items():
            others = {freeze(other): other for row in self.rows[1:] if (other := row.get(name)) is not None}
            tried = list(others.values())
            if not tried or value is None or isinstance(value, (dict, list)):
                continue
            if _is_number(value) and all(map(_is_number, tried)):
                low, high = min(tried), max(tried)
                if not low <= value <= high:
                    found.append(Untried(self.keys[name], value, [low, high] if low < high else [low], True))
            elif freeze(value) not in others:
                found.append(Untried(self.keys[name], value, tried, False))
        return found

    def is_near_duplicate(self, one: int, two: int, *, only_first: bool = False) -> bool:
        """Return whether two configs have the same settings, apart from nearly equal numbers and omitted defaults.

        A setting that one config omits is probably at its default. The configs are therefore considered equal in this
        setting if the other value means "off" or is the value that most configs record.
        """
        return all(
            self._may_be_default(each.key, each.second if each.first is None else each.first)
            if each.first is None or each.second is None
            else _is_number(each.first)
            and _is_number(each.second)
            and abs(each.first - each.second) <= _SAME_RATIO * max(abs(each.first), abs(each.second))
            and each.distance <= _SAME_PART
            for each in self.get_differences(one, two, only_first=only_first)
        )

    def _may_be_default(self, key: str, value: Any) -> bool:
        return value in _OFF or (key in self.usual and freeze(self.usual[key]) == freeze(value))


def build_space(configs: Sequence[Any]) -> ConfigSpace:
    """Build the configuration space of nested or flat configs, mapping keys for the same setting to a common name.

    Seeds, output paths and results are excluded. Free-text settings (names or notes that differ in every config) do not
    count toward distances.
    """
    flat = [{key: value for key, value in flatten(config).items() if is_setting(key)} for config in configs]
    names = _name_settings(flat)
    rows: list[dict[str, Any]] = []
    used: dict[str, Counter[str]] = {}
    for config in flat:
        row: dict[str, Any] = {}
        for key, value in config.items():
            row[names[key]] = _undo_logarithm(key, _read_number(value))
            used.setdefault(names[key], Counter())[key] += 1
        rows.append(row)
    for other, name in _find_renamed(rows, used).items():
        used[name] += used.pop(other)
        rows = [{name if key == other else key: value for key, value in row.items()} for row in rows]
    _unite_switches(rows)
    columns = {name: [row[name] for row in rows if name in row] for name in used}
    scales = {
        name: scale
        for name, values in columns.items()
        if not _are_notes(values) and (scale := _find_scale(values, len(rows)))
    }
    keys = {name: counts.most_common(1)[0][0] for name, counts in used.items()}
    usual = {keys[name]: value for name, values in columns.items() for value in _find_usual(values, len(rows))}
    return ConfigSpace(rows, scales, keys, usual)


def list_unknown(space: ConfigSpace) -> list[str]:
    """Return the settings that occur only in the first config."""
    return [space.keys[name] for name in space.rows[0] if not any(name in row for row in space.rows[1:])]


def measure_distances(configs: Sequence[Any]) -> list[list[float]] | None:
    """Return the matrix of mean squared distances between all configs, or `None` if no setting varies."""
    space = build_space(configs)
    if not space.scales:
        return None
    matrix = [[0.0] * len(configs) for _ in configs]
    for one in range(len(configs)):
        for two in range(one):
            matrix[one][two] = matrix[two][one] = space.measure(one, two)
    return matrix


def _name_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Map each key to a common name for its setting.

    If a config contains several keys for the same setting, only the most frequent of these keys gets the common name.
    If several keys are equally frequent, none of them does.
    """
    used = Counter(key for config in configs for key in config)
    common = {key: simplify_key(key) for key in used}
    separate: set[str] = set()
    for config in configs:
        groups: dict[str, list[str]] = {}
        for key in config:
            groups.setdefault(common[key], []).append(key)
        for keys in groups.values():
            most = max(used[key] for key in keys)
            leaders = [key for key in keys if used[key] == most]
            separate.update(key for key in keys if len(keys) > 1 and (used[key] < most or len(leaders) > 1))
    return {key: " ".join(split_key(key)) if key in separate else name for key, name in common.items()}


def _find_renamed(rows: Sequence[Mapping[str, Any]], used: Mapping[str, Counter[str]]) -> dict[str, str]:
    """Map rarely used setting names to the names that most configs use.

    A rare name is mapped to a common name if no config has both, nearly all other configs have the common name, and no
    other common name qualifies. Its string values must all occur under the common name. Numeric values must lie within
    the common name's range, and the names must be related, because the ranges of unrelated settings often overlap.
    """
    indices = {name: {index for index, row in enumerate(rows) if name in row} for name in used}
    most = max(1, _RARE * len(rows))
    # compare with frequent names only, because configs may contain thousands of rare names
    frequent = {name: held for name, held in indices.items() if len(held) >= (1 - _RARE) * (len(rows) - most)}
    found: dict[str, str] = {}
    for other, held in indices.items():
        if not held or len(held) > most:
            continue
        matching = [
            name
            for name, usual in frequent.items()
            if not held & usual
            and len(usual) >= (1 - _RARE) * (len(rows) - len(held))
            and _covers(
                [rows[index][name] for index in usual],
                [rows[index][other] for index in held],
                is_related=AMBIGUOUS.get(other) == name or _are_related(used[other], used[name]),
            )
        ]
        if len(matching) == 1:
            found[other] = matching[0]
    return found


def _are_related(keys: Collection[str], others: Collection[str]) -> bool:
    words, known = _list_words(keys), _list_words(others)
    return bool(words & known) and not (words ^ known) & _REVERSING


def _list_words(keys: Collection[str]) -> set[str]:
    """Return all words in the last parts of the keys, except for neutral words."""
    return {word for key in keys for word in split_key(key.rsplit(".", 1)[-1])} - NEUTRAL


def _covers(usual: Sequence[Any], values: Sequence[Any], *, is_related: bool) -> bool:
    if all(isinstance(value, str) for value in values):
        return {freeze(value) for value in values} <= {freeze(one) for one in usual}
    numbers = [one for one in usual if _is_number(one)]
    low, high = min(numbers, default=math.inf), max(numbers, default=-math.inf)
    return is_related and len(numbers) == len(usual) and all(_is_number(one) and low <= one <= high for one in values)


def _unite_switches(rows: Sequence[dict[str, Any]]) -> None:
    """Convert 0 and 1 to booleans in settings that other configs record as booleans."""
    switches = {name for row in rows for name, value in row.items() if isinstance(value, bool)}
    for name in switches:
        values = [row[name] for row in rows if name in row]
        if all(isinstance(value, (int, float)) and value in (0, 1) for value in values):
            for row in rows:
                if name in row:
                    row[name] = bool(row[name])


def _undo_logarithm(key: str, value: Any) -> Any:
    last = " ".join(split_key(key.rsplit(".", 1)[-1]))
    found = LOGARITHM.search(last)
    if not found or not _is_number(value) or abs(value) > 300:
        return value
    base = 2.0 if "log2" in found[0] else 10.0 if "log10" in found[0] or "ln" not in found[0] else math.e
    power = -value if found[0].startswith("neg") else value
    return base**power if power < 300 else value


def _read_number(value: Any) -> Any:
    """Normalise a config value for comparison.

    Strings from the command line are converted to numbers or booleans, and other strings to lowercase. A list with a
    single value is replaced by that value. The path of a library class, such as torch.optim.AdamW, is shortened to the
    class name.
    """
    if isinstance(value, list):
        values = cast("list[Any]", value)
        return _read_number(values[0]) if len(values) == 1 else values
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.casefold() in _SWITCHES:
        return text.casefold() == "true"
    try:
        number = float(text) if len(text) < 30 else math.nan
    except ValueError:
        return _IMPLEMENTATION.sub("", text).casefold()
    return number if math.isfinite(number) else text.casefold()


def _are_notes(values: Sequence[Any]) -> bool:
    """Return whether the values are names or notes, which do not affect training.

    More than 4 strings that all differ are assumed to be names or notes.
    """
    return len(values) > 4 and all(isinstance(value, str) for value in values) and len(set(values)) == len(values)


def _find_usual(values: Sequence[Any], count: int) -> list[Any]:
    """Return a list with the value that more than half of `count` configs record, or an empty list."""
    frozen = [freeze(value) for value in values]
    frequent, times = Counter(frozen).most_common(1)[0]
    return [values[frozen.index(frequent)]] if times > count / 2 else []


def _find_scale(values: Sequence[Any], count: int) -> tuple[bool, float] | None:
    """Return whether a setting needs a logarithmic scale, and its standard deviation on the chosen scale.

    The deviation is 0 if the values are not all numbers. Return `None` if all `count` configs have the same value.
    """
    if len({freeze(value) for value in values}) < 2 and len(values) == count:
        return None
    if not all(_is_number(value) for value in values):
        return False, 0.0
    is_log = min(values) > 0 and max(values) >= DECADE * min(values)
    deviation = pstdev([math.log(value) if is_log else float(value) for value in values])
    return is_log, deviation


def _measure(first: Any, second: Any, scale: tuple[bool, float]) -> float:
    """Return the distance between two values of a setting.

    The distance between two numbers is measured in standard deviations. Other values have distance 0 if they are equal
    and 1 if they differ. A missing value has distance 1 from any other value.
    """
    is_log, deviation = scale
    if first is None and second is None:
        return 0.0
    if not (_is_number(first) and _is_number(second)) or not deviation:
        return float(freeze(first) != freeze(second))
    if is_log:
        return abs(math.log(first) - math.log(second)) / deviation if min(first, second) > 0 else 1.0
    return abs(first - second) / deviation


def _is_number(value: Any) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value if isinstance(value, float) else 0.0)
        and abs(value) < _LARGEST
    )
