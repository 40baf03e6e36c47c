"""What the key of a metric says: which values are better, what it measures, of which split, and by which statistic.

The knowledge is data: `metric_catalogue.toml`, which explains its own format. It is read at the first use.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Direction", "MetricKind", "Role", "Split", "describe_key", "find_pairs", "split_words"]

Role = Literal[
    "loss", "error", "quality", "reward", "entropy", "counter", "setting", "balance", "speed", "time", "length",
    "learning_rate", "gradient_norm", "gpu_memory", "gpu_load", "host_memory", "adversary", "information", "",
]  # fmt: skip
Direction = Literal["min", "max", ""]
Split = Literal["train", "validation", "test", ""]

_FILE = Path(__file__).with_name("metric_catalogue.toml")
_LONGEST_TERM = 5
# in keys such as val/test_score the first of these counts
_SPLITS: tuple[Split, ...] = ("validation", "test", "train")
_HARDWARE = re.compile(r"__swanlab__\.(?:gpu|npu|dcu|mlu|xpu|gcu|rocm|metax|dlp)\.[\d.\-]+\.(mem\.)?(?:pct|ptc)$")
_TOKEN = re.compile(r"[@/]|[0-9A-Za-z]+|[^\W_0-9A-Za-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z][a-z])")
_PER_SECOND = re.compile(r"(?<=[^\W_])/(?=(?:s|sec|second)(?:[^a-z]|$))", re.IGNORECASE)
_PER_STEP = re.compile(r"\b(ms|s|sec|seconds)/(?=(?:it|iter|step|batch|token|epoch|sample)s?\b)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_PERCENTILE = re.compile(r"p\d\d?$")
_NUMBERED = re.compile(r"\d+$")


@dataclass(frozen=True, slots=True)
class MetricKind:
    """What a key says of its metric.

    `direction` is "" if neither end is better, or if the key leaves it open. `must_improve`: a run in which it never
    improves has failed. `family` holds the words without split and statistic: keys of one family measure the same.
    `rule` names the entry of the catalogue that decided, `word` the words of the key that it matched, and `framework`
    where the entry comes from.
    """

    role: Role = ""
    direction: Direction = ""
    must_improve: bool = False
    split: Split = ""
    statistic: str = ""
    family: tuple[str, ...] = ()
    is_total: bool = False
    rule: str = ""
    framework: str = ""
    word: str = ""


class _Term(NamedTuple):
    rule: str
    role: Role = ""
    direction: Direction = ""
    must_improve: bool = False
    strength: int = 2
    framework: str = ""


class _Match(NamedTuple):
    term: _Term
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Words:
    """A key's words; `parts[i]` numbers the part between slashes that word i is in, `after_at` what follows an @."""

    words: tuple[str, ...]
    parts: tuple[int, ...]
    after_at: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Catalogue:
    patterns: tuple[tuple[re.Pattern[str], _Term], ...]
    terms: Mapping[str, _Term]
    qualifiers: tuple[tuple[frozenset[str], _Term], ...]
    splits: Mapping[str, Split]
    statistics: Mapping[str, str]
    lists: Mapping[str, frozenset[str]]
    chinese: Mapping[str, str]
    chinese_term: re.Pattern[str]


@lru_cache(maxsize=1 << 16)
def describe_key(key: str) -> MetricKind:
    """Return what a metric key says, as far as the catalogue knows its words. Never raises."""
    hardware = _describe_hardware(key)
    if hardware is not None:
        return hardware
    catalogue = _load()
    read = _read_words(key)
    matches, splits, statistics = _match(catalogue, read)
    statistic = next(reversed(statistics.values()), "")
    dropped = splits.keys() | statistics.keys()
    # the number in best@32 belongs to the statistic
    dropped |= {place + 1 for place in statistics if place + 1 in read.after_at}
    family = tuple(word for place, word in enumerate(read.words) if place not in dropped)
    family = tuple(word for word in family if word not in ("epoch", "step")) or family
    term, word = _decide(catalogue, key, read, matches, statistics)
    is_total = term.role == "loss" and term.rule == "loss" and set(family) <= catalogue.lists["totals"]
    return MetricKind(
        role=term.role,
        direction=term.direction,
        must_improve=term.must_improve,
        split=_choose_split(set(splits.values())),
        statistic=statistic,
        family=("loss",) if is_total else family,
        is_total=is_total,
        rule=term.rule,
        framework=term.framework,
        word=word,
    )


def split_words(key: str) -> list[str]:
    """Return a key's words in lower case: split at everything but letters and digits, and in camelCase.

    Chinese terms are returned as the English ones.
    """
    return list(_read_words(key).words)


def find_pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Return (training key, held-out key) of keys that measure the same on different splits.

    Validation data comes before test data. A key without a split counts as training if nothing else does.
    """
    families: dict[tuple[str, ...], dict[str, str]] = {}
    for key in keys:
        kind = describe_key(key)
        name: str = kind.split or "plain"
        if name == "validation" and re.search(r"validation_0\b", key.replace("-", " ")):
            # XGBoost numbers its evaluation sets, and the training set comes first by custom
            name = "first"
        known = families.setdefault((*kind.family, kind.role), {})
        if name not in known or _rate_name(key) < _rate_name(known[name]):
            known[name] = key
    found: list[tuple[str, str]] = []
    for known in families.values():
        train = known.get("train") or known.get("plain")
        held_out = known.get("validation") or known.get("test")
        if train is None and held_out:
            train = known.get("first")
        held_out = held_out or known.get("first")
        if train and held_out and train != held_out:
            found.append((train, held_out))
    return found


def _rate_name(key: str) -> tuple[bool, bool, int]:
    """Order keys that measure the same: means first, whole epochs before single steps, short names before long."""
    words = split_words(key)
    return describe_key(key).statistic not in ("", "mean"), words[-1:] == ["step"], len(words)


def _describe_hardware(key: str) -> MetricKind | None:
    if not key.startswith("__swanlab__"):
        return None
    role: Role = ""
    match = _HARDWARE.match(key)
    if match:
        role = "gpu_memory" if match[1] else "gpu_load"
    elif key == "__swanlab__.mem.pct":
        role = "host_memory"
    return MetricKind(role=role, family=tuple(_NUMBER.sub("#", key).split(".")), rule="hardware", framework="swanlab")


def _read_words(key: str) -> _Words:
    catalogue = _load()
    text = unicodedata.normalize("NFKC", key)
    text = catalogue.chinese_term.sub(lambda match: f" {catalogue.chinese[match[0]]} ", text)
    text = _PER_STEP.sub(r"\1 per ", _PER_SECOND.sub(" per ", text))
    words: list[str] = []
    parts: list[int] = []
    after_at: set[int] = set()
    part, is_after = 0, False
    for piece in _TOKEN.findall(text):
        if piece == "/":
            part, is_after = part + 1, False
        elif piece == "@":
            is_after = True
        else:
            for word in _CAMEL.split(piece):
                if is_after:
                    after_at.add(len(words))
                words.append(word.lower())
                parts.append(part)
    return _Words(tuple(words), tuple(parts), frozenset(after_at))


def _match(catalogue: _Catalogue, read: _Words) -> tuple[list[_Match], dict[int, Split], dict[int, str]]:
    """Return the terms that match, the longest first at each word, and the places of splits and statistics."""
    matches: list[_Match] = []
    splits: dict[int, Split] = {}
    statistics: dict[int, str] = {}
    place = 0
    while place < len(read.words):
        found = next(
            (
                _Match(term, place, place + count, " ".join(read.words[place : place + count]))
                for count in range(min(_LONGEST_TERM, len(read.words) - place), 1, -1)
                if (term := _look_up(catalogue, "".join(read.words[place : place + count])))
            ),
            None,
        )
        if found:
            matches.append(found)
            place = found.end
            continue
        word = read.words[place]
        bare = _NUMBERED.sub("", word)
        if bare in catalogue.splits:
            splits[place] = catalogue.splits[bare]
            # the number in valid_0 belongs to the split
            if place + 1 < len(read.words) and read.words[place + 1].isdecimal():
                splits[place + 1] = splits[place]
                place += 1
        elif word in catalogue.statistics:
            statistics[place] = catalogue.statistics[word]
        elif _PERCENTILE.match(word):
            statistics[place] = word
        elif term := _look_up(catalogue, word):
            matches.append(_Match(term, place, place + 1, word))
        place += 1
    return matches, splits, statistics


def _look_up(catalogue: _Catalogue, text: str) -> _Term | None:
    term = catalogue.terms.get(text)
    if term is None and any(map(str.isdigit, text)):
        term = catalogue.terms.get(_NUMBER.sub("#", text))
        bare = _NUMBERED.sub("", text)
        if term is None and len(bare) > 2:
            term = catalogue.terms.get(bare)
    return term


def _decide(
    catalogue: _Catalogue, key: str, read: _Words, matches: Sequence[_Match], statistics: Mapping[int, str]
) -> tuple[_Term, str]:
    """Return the term that decides, and the words that it matched."""
    for pattern, term in catalogue.patterns:
        match = pattern.search(key.lower())
        if match:
            return term, match[0]
    spread = catalogue.lists["spreads"].intersection(statistics.values())
    if spread:
        return _Term("spread", "information"), min(spread)
    rate = _decide_rate(catalogue, read, matches)
    if rate:
        return rate
    known = [match for match in matches if match.start not in read.after_at] or list(matches)
    deciding = _choose(known)
    if deciding is None:
        return (_Term("count", "counter"), "") if _find_counting(catalogue, read) else (_Term(""), "")
    if deciding.term.role not in ("speed", "time", "learning_rate", "gradient_norm", "length"):
        word = _find_counting(catalogue, read) or _find_count_before(catalogue, read, deciding)
        if word:
            return _Term("count", "counter"), word
    term = deciding.term
    if term.rule == "loss":
        return _qualify(catalogue, read, deciding), deciding.text
    flips = catalogue.lists["flips"].intersection(read.words[: deciding.start])
    if flips and term.direction:
        flipped: Direction = "max" if term.direction == "min" else "min"
        return term._replace(direction=flipped), f"{min(flips)} {deciding.text}"
    return term, deciding.text


def _choose_split(found: set[Split]) -> Split:
    for split in _SPLITS:
        if split in found:
            return split
    return ""


def _choose(matches: Sequence[_Match]) -> _Match | None:
    if not matches:
        return None
    strongest = max(match.term.strength for match in matches)
    strong = [match for match in matches if match.term.strength == strongest]
    deciding = strong[-1]
    if deciding.term.rule == "overlap or similarity":
        # loss_dice is a loss
        deciding = next((match for match in strong if match.term.rule == "loss"), deciding)
    if strongest == 1:
        deciding = next((match for match in strong if match.term.role == "information"), deciding)
    return deciding


def _decide_rate(catalogue: _Catalogue, read: _Words, matches: Sequence[_Match]) -> tuple[_Term, str] | None:
    """Return the term for so many of something per something, as in tokens_per_second and seconds_per_step."""
    words, times = read.words, catalogue.lists["times"]
    place = next((place for place in range(1, len(words) - 1) if words[place] == "per"), 0)
    if not place or any(match.start < place < match.end for match in matches):
        return None
    numerator, denominator = words[place - 1], words[place + (2 if words[place + 1] == "per" else 1) :][:1]
    unit = " ".join(denominator)
    if numerator in times:
        return _Term("time per unit", "time", "min"), f"{numerator} per {unit}"
    before = _choose([match for match in matches if match.end <= place])
    is_bad = before is not None and before.term.role == "error" and before.end == place and numerator != "distance"
    if unit in times and not is_bad:
        return _Term("per time", "speed", "max"), f"per {unit}"
    if before is None:
        return _Term(""), ""
    flips = catalogue.lists["flips"].intersection(words[: before.start])
    term = before.term
    if flips and term.direction:
        term = term._replace(direction="max" if term.direction == "min" else "min")
    return term, before.text


def _find_counting(catalogue: _Catalogue, read: _Words) -> str:
    """Return the word with which a part of the key starts that counts what follows, as in num_turns and n_updates."""
    skipped = catalogue.splits.keys() | catalogue.statistics.keys()
    for place, word in enumerate(read.words):
        before = [read.words[i] for i in range(place) if read.parts[i] == read.parts[place]]
        if word in catalogue.lists["counting"] and word != "total" and all(one in skipped for one in before):
            return word
    return ""


def _find_count_before(catalogue: _Catalogue, read: _Words, deciding: _Match) -> str:
    """Return the word that counts on the way to a result, as in steps_to_success and best_acc_epoch."""
    words, steps = read.words, catalogue.lists["steps"]
    if words[-1] in steps and catalogue.lists["chosen"].intersection(words[: deciding.start]):
        return words[-1]
    if deciding.term.direction != "min" and "to" in words[1 : deciding.start]:
        before = words[words.index("to", 1) - 1]
        return before if before in steps | catalogue.lists["times"] else ""
    return ""


def _qualify(catalogue: _Catalogue, read: _Words, loss: _Match) -> _Term:
    """Return what a generic loss means next to words such as policy, discriminator or entropy."""
    near = {word for word, part in zip(read.words, read.parts, strict=True) if part == read.parts[loss.start]}
    for words in (near, set(read.words)):
        for qualifying, term in catalogue.qualifiers:
            if qualifying.intersection(words):
                return term
    return loss.term


@lru_cache(maxsize=1)
def _load() -> _Catalogue:
    return _build(tomllib.loads(_FILE.read_text(encoding="utf-8")))


def _build(data: Mapping[str, Any]) -> _Catalogue:
    def make(entry: Mapping[str, Any]) -> _Term:
        return _Term(**{name: value for name, value in entry.items() if name not in ("words", "match")})

    terms: dict[str, _Term] = {}
    for entry in data["term"]:
        for phrase in entry["words"]:
            terms.setdefault(phrase.replace(" ", ""), make(entry))
    chinese: dict[str, str] = data["chinese"]
    return _Catalogue(
        patterns=tuple((re.compile(entry["match"]), make(entry)) for entry in data["pattern"]),
        terms=terms,
        qualifiers=tuple((frozenset(entry["words"]), make(entry)) for entry in data["qualifier"]),
        splits={word: name for name, words in data["splits"].items() for word in words},
        statistics={word: name for name, words in data["statistics"].items() for word in words},
        lists={name: frozenset(words) for name, words in data["words"].items()},
        chinese=chinese,
        chinese_term=re.compile("|".join(map(re.escape, sorted(chinese, key=len, reverse=True)))),
    )
