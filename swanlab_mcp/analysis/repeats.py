"""Group experiments that repeat the same setting, and find runs that count as a single repeat."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple

from swanlab_mcp.analysis.differences import freeze, is_seed

__all__ = ["KnownSettings", "Run", "Setting", "group_settings", "simplify_command", "simplify_name"]

_SEED_WORDS = r"(?:random[-_]?state|random[-_]?seed|seed|rng|fold|cv|split[-_]?(?:id|idx|index)|replicate|rep|trial)s?"
# a seed word with its number, as in "seed=3", "fold-2" and "--seed 3", or with several numbers, as in "cv0s1"
_SEEDED = re.compile(
    rf"(?<![a-z])({_SEED_WORDS})[-_=: ]*\d+(?:(?:{_SEED_WORDS}|[sf])\d+)*(?![\d.]*[a-z\d])", re.IGNORECASE
)
_SHORT_SEED = re.compile(r"(?<=[-_ .])([sf])\d{1,5}$", re.IGNORECASE)
# the names that the SDK generates for unnamed experiments
_DEFAULT_NAME = re.compile(
    r"(?:swan|rat|ox|tiger|rabbit|dragon|snake|horse|goat|monkey|rooster|dog|pig)-\d+", re.IGNORECASE
)
_STAMP = re.compile(
    r"\d{4}[-_]?\d{2}[-_]?\d{2}(?:[-_ T]?\d{2}[-_:]?\d{2}(?:[-_:]?\d{2})?)?|\d{6,}|(?<![a-z\d])\d{2}:\d{2}:\d{2}"
)
_NUMBER = re.compile(r"(?:[-_ #(]+|(?<=[a-z])\.?|^)\d{1,5}\)?$", re.IGNORECASE)
_SEPARATORS = re.compile(r"[-_ .:#()]+")
_SAME_DIGITS = str.maketrans("123456789", "000000000")
# an integer after one of these words is a setting, not a run number
_SETTING_WORDS = re.compile(
    r"(?<![a-z])(?:lr|wd|bs|batch|size|width|depth|layers?|heads?|dim|hidden|epochs?|steps?|rank|top|k|n|gpus?|nodes?|channels?|"
    r"patch|window|beam|len|length|shots?|res|resolution|images?|tokens?|units?|level|stage|v|dropout|decay|warmup|"
    r"resnet|vgg|densenet|efficientnet|vit|net|gpt|bert|llama|qwen|yolo|unet)[-_ ]*$|\de$",
    re.IGNORECASE,
)
# output paths and devices are not settings
_IGNORED_OPTIONS = re.compile(
    rf"-{{1,2}}(?:(?:[a-z]+[-_.])?{_SEED_WORDS}|(?:[a-z]+[-_.])*(?:output|out|log|logging|save|ckpt|checkpoint|work)[-_]?"
    r"(?:dir|path|folder|file)?|(?:run|exp|experiment)[-_]?(?:name|id|dir)|name|master[-_]?port|port|local[-_]?rank|"
    r"node[-_]?rank|gpus?|gpu[-_]?ids?|device[-_]?ids?)",
    re.IGNORECASE,
)


# "--seed 3", "fold=2"
_OPTION = re.compile(r"(?<!\S)[-+]*([a-z][\w.-]*)[= ](\d{1,18})(?!\S)", re.IGNORECASE)


class Run(NamedTuple):
    """The facts that show whether an experiment repeats another experiment. Unknown facts are `None`.

    `key` is equal for runs with the same setting, and `series` for runs with equal curves. `root` is the id of the
    original experiment if the run is a clone, and otherwise the run's own id.
    """

    name: str
    root: str
    # equal for runs with equal settings
    key: Hashable
    config: Mapping[str, Any]
    series: Hashable = None
    command: str | None = None
    commit: str | None = None
    is_clone: bool = False


class Setting(NamedTuple):
    """The repeats of a setting.

    `counted` contains one list of run indices per repeat, because several runs may count as a single repeat. `labels`
    contains the seed or fold of each repeat, or is empty if any of them is unknown. If `is_split` is true, another
    setting has the same config but a different command, git commit or name.
    """

    counted: list[list[int]]
    labels: tuple[str, ...] = ()
    is_split: bool = False

    @property
    def indices(self) -> list[int]:
        return [index for indices in self.counted for index in indices]


# keyed by the indices of the runs and the seed keys
KnownSettings = dict[Hashable, tuple[list[Run], list[Setting]]]


def group_settings(
    runs: Sequence[Run], indices: Sequence[int], known: KnownSettings | None = None, *, is_declared: bool = False
) -> list[Setting]:
    """Group the runs at the indices `indices` into settings, in order of appearance.

    If `is_declared` is true, the user named the settings, so runs with equal keys are always repeats. `known` caches
    the settings for later calls, including calls with other runs.
    """
    groups: dict[Hashable, list[int]] = {}
    for index in indices:
        # a run without a key repeats no other run
        groups.setdefault(runs[index].key or index, []).append(index)
    if is_declared:
        return [Setting(_merge([runs[one] for one in group], group, [None] * len(group))) for group in groups.values()]
    names = _NameReader()
    keys = set[str]().union(*(runs[index].config for index in indices))
    seeds = sorted(key for key in keys if is_seed(key))
    known = {} if known is None else known
    settings: list[Setting] = []
    for group in groups.values():
        if len(group) < 2:
            settings.append(Setting([group]))
            continue
        started, name = [runs[index] for index in group], (*group, *seeds)
        before, found = known.get(name, ([], []))
        if len(before) != len(started) or not all(map(is_, before, started)):
            found = _split(runs, group, names, seeds)
            known[name] = started, found
        settings += found
    return settings


class _NameReader:
    """A cache for simplified names. Names that differ only in their digits share one cache entry."""

    def __init__(self) -> None:
        self._simple: dict[str, str] = {}

    def simplify(self, name: str) -> str:
        # the patterns treat all digits alike
        shape = name.translate(_SAME_DIGITS)
        simple = self._simple.get(shape)
        if simple is None:
            simple = self._simple[shape] = simplify_name(shape)
        return simplify_name(name) if "0" in simple else simple


def simplify_name(name: str) -> str:
    """Return a name without its seed, fold, time and run number, or "" if the SDK generated the name."""
    if _DEFAULT_NAME.fullmatch(name.strip()):
        return ""
    text = _STAMP.sub("", name.casefold().strip())
    text = _SHORT_SEED.sub("", _SEEDED.sub("", text)).rstrip("-_ .:#")
    number = _NUMBER.search(text)
    if number and not _SETTING_WORDS.search(text[: number.start()]) and not text[: number.start()][-1:].isdigit():
        text = text[: number.start()]
    return _SEPARATORS.sub("-", text).strip("-")


def simplify_command(command: str, name: str) -> str:
    """Return a command without its seeds, output paths, devices and experiment name."""
    words = command.split()
    kept: list[str] = []
    skips = False
    for word in words:
        option, has_value, _ = word.partition("=")
        if skips and not word.startswith("-"):
            skips = False
            continue
        skips = False
        bare = option.lstrip("+")
        if _IGNORED_OPTIONS.fullmatch(bare) or (has_value and _IGNORED_OPTIONS.fullmatch(f"--{bare}")):
            skips = not has_value
            continue
        text = _SEEDED.sub(r"\1", word)
        kept.append("<name>" if name and name in word else text)
    return " ".join(kept)


def _split(runs: Sequence[Run], indices: list[int], reader: _NameReader, seeds: Sequence[str]) -> list[Setting]:
    """Split experiments with equal configs if their names, commands or commits show that they are not repeats."""
    # only facts with at least two different known values can show a difference
    started = [runs[index] for index in indices]
    if any(run.is_clone for run in started):
        # a clone has a generated name, so use the name and command of the original
        origins = {run.root: run for run in started if not run.is_clone}
        started = [origins.get(run.root, run) if run.is_clone else run for run in started]
    commands = [None if run.command is None else simplify_command(run.command, run.name) for run in started]
    commits = [run.commit for run in started]
    names = [reader.simplify(run.name) or None for run in started]
    known = [several for several in (names, commands, commits) if len({*several} - {None}) > 1]
    kinds: dict[Hashable, list[int]] = {} if known else {(): indices}
    for index, *mark in zip(indices, *known, strict=True) if known else ():
        kinds.setdefault(tuple(mark), []).append(index)
    settings: list[Setting] = []
    for kind in kinds.values():
        own = [runs[index] for index in kind]
        labels = dict(zip(kind, _find_labels(own, seeds), strict=True))
        merged = _merge(own, kind, [*labels.values()])
        settings.append(Setting(merged, _label([labels[one[0]] for one in merged]), len(kinds) > 1))
    return settings


def _merge(runs: Sequence[Run], indices: Sequence[int], labels: Sequence[str | None]) -> list[list[int]]:
    """Return the indices in `indices`, grouped so that each group counts as a single repeat.

    A group contains clones of the same experiment, runs with the same seed, or runs with identical curves.
    """
    marks = ([run.root for run in runs], labels, [run.series for run in runs])
    repeated = [some for some in marks if len({*some}) < len(indices)]
    if not repeated:
        return [[index] for index in indices]
    # union-find: each run points to an earlier run in its group, or to itself
    parents = list(range(len(indices)))
    for some in repeated:
        firsts: dict[Hashable, int] = {}
        for number, mark in enumerate(some):
            if mark and (other := firsts.setdefault(mark, number)) != number:
                first, second = other, number
                while parents[first] != first:
                    first = parents[first]
                while parents[second] != second:
                    second = parents[second]
                if first < second:
                    parents[second] = first
                else:
                    parents[first] = second
    merged: dict[int, list[int]] = {}
    for number, index in enumerate(indices):
        # a parent precedes its children, so it already points to the first run in the group
        parents[number] = parents[parents[number]]
        merged.setdefault(parents[number], []).append(index)
    return [sorted(one) for one in merged.values()]


def _label(labels: Sequence[str | None]) -> tuple[str, ...]:
    known = [label for label in labels if label]
    return tuple(known) if len({*known}) == len(labels) else ()


def _find_labels(runs: Sequence[Run], seeds: Sequence[str]) -> list[str | None]:
    """Return the seed and fold of each run, or `None` if they are unknown.

    The `seeds` keys in the config take precedence over the name, and the name over the command.
    """
    columns: list[list[str]] = []
    for key in seeds:
        values: list[Any] = [run.config.get(key) for run in runs]
        if {*map(type, values)} == {int}:
            columns.append([f"{key}={value}" if value >= 0 else "" for value in values])
        else:
            columns.append([_describe_seed(key, value) for value in values])
    if len(columns) > 1:
        columns = [[" ".join(filter(None, parts)) for parts in zip(*columns, strict=True)]]
    known = columns[0] if columns else [""] * len(runs)
    return [label or _read_label(run) for label, run in zip(known, runs, strict=True)]


def _read_label(run: Run) -> str | None:
    """Return the seed and fold found in a run's name.

    If the name contains neither, the command is searched instead. Returns `None` if nothing is found.
    """
    found = [match[0].casefold() for match in _SEEDED.finditer(run.name)]
    found += [match[0].casefold() for match in _SHORT_SEED.finditer(run.name)]
    if found:
        return re.sub(r"[-_=: ]+", "", "".join(found))
    options = sorted((key, value) for key, value in _OPTION.findall(run.command or "") if is_seed(key))
    return " ".join(f"{key}={int(value)}" for key, value in options) or None


def _describe_seed(key: str, seed: Any) -> str:
    """Return a seed with its key, or "" for values such as null, -1 and true, which only select a seeding mode."""
    if type(seed) is int or (type(seed) is float and seed.is_integer()):
        return f"{key}={int(seed)}" if seed >= 0 else ""
    return "" if seed is None or isinstance(seed, bool) or seed == "" else f"{key}={freeze(seed)}"
