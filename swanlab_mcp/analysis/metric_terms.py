"""Load the metric catalogue from its file, and match its terms against the words in metric keys."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

__all__ = [
    "Catalogue",
    "Direction",
    "KeyWords",
    "Match",
    "Role",
    "Split",
    "Term",
    "add_entries",
    "load_catalogue",
    "match_terms",
    "read_words",
]

Role = Literal[
    "loss", "error", "quality", "reward", "entropy", "counter", "setting", "balance", "speed", "time", "length",
    "learning_rate", "gradient_norm", "gpu_memory", "gpu_load", "host_memory", "adversary", "information", "",
]  # fmt: skip
Direction = Literal["min", "max", ""]
Split = Literal["train", "validation", "test", ""]

_FILE = Path(__file__).with_name("metric_catalogue.toml")
_TOKEN = re.compile(r"[@/]| - |[0-9A-Za-z]+|[^\W_0-9A-Za-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z][a-z])")
_PER_SECOND = re.compile(r"(?<=[^\W_])\s*/\s*(?=(?:s|sec|second)(?:[^a-z]|$))", re.IGNORECASE)
_PER_STEP = re.compile(r"\b(ms|s|sec|seconds)/(?=(?:it|iter|step|batch|token|epoch|sample)s?\b)", re.IGNORECASE)
_ARGUMENT = re.compile(r"[A-Za-z_]+=|(?<![A-Za-z])thr(?:esh)?[_ ]?(?=0?\.\d)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_PERCENTILE = re.compile(r"p\d\d?$")
_NUMBERED = re.compile(r"\d+$")
_SEPARATOR = re.compile(r"[\s_/.-]+")
# tables that users may extend
_ADDABLE = ("pattern", "term", "qualifier", "splits", "chinese")
_own: list[dict[str, Any]] = []


class Term(NamedTuple):
    rule: str
    role: Role = ""
    direction: Direction = ""
    must_improve: bool = False
    strength: int = 2
    alone: bool = False
    framework: str = ""


class Match(NamedTuple):
    term: Term
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class KeyWords:
    """The words in a key.

    `parts` contains, for each word, the index of the slash-separated part to which the word belongs. `after_at`
    contains the indices of the words that follow an @ and therefore belong to a condition.
    """

    words: tuple[str, ...]
    parts: tuple[int, ...]
    after_at: frozenset[int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    patterns: tuple[tuple[re.Pattern[str], Term], ...]
    any_pattern: re.Pattern[str]
    terms: Mapping[str, Term]
    prefixes: frozenset[str]
    qualifiers: tuple[tuple[frozenset[str], Term], ...]
    splits: Mapping[str, Split]
    statistics: Mapping[str, str]
    lists: Mapping[str, frozenset[str]]
    endings: tuple[str, ...]
    short_endings: frozenset[str]
    chinese: Mapping[str, str]
    chinese_term: re.Pattern[str]


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """Return the catalogue. The entries from `add_entries` take precedence."""
    known = _parse(_FILE.read_text(encoding="utf-8"))
    return _build(_merge(_own[0], known) if _own else known)


def add_entries(text: str) -> None:
    """Add catalogue entries in TOML format that take precedence over the built-in entries.

    Entries that were added earlier are replaced. Raises ValueError with the name of the invalid table and the error.
    """
    own = _parse(text)
    for name, table in own.items():
        if name not in _ADDABLE:
            raise ValueError(f"[{name}]: unknown table; known are {', '.join(_ADDABLE)}")
        entries = cast("list[Any]", table if isinstance(table, list) else [table])
        for number, entry in enumerate(entries, start=1):
            fault = _find_fault(name, entry)
            if fault:
                raise ValueError(f"[{name}] {number}: {fault}")
    _own[:] = [own]
    load_catalogue.cache_clear()
    read_words.cache_clear()


def _find_fault(name: str, entry: Any) -> str:
    if not isinstance(entry, dict):
        return "not a table"
    fields = cast("dict[str, Any]", entry)
    unknown = [field for field in fields if name == "splits" and field not in get_args(Split)]
    if unknown:
        return f"unknown split {unknown[0]}"
    if name in ("chinese", "splits"):
        kind = str if name == "chinese" else list
        return next((f"{field}: wrong type" for field, value in fields.items() if not isinstance(value, kind)), "")
    wanted: dict[str, Any] = {"match": str} if name == "pattern" else {"words": list}
    wanted |= {"rule": str}
    missing = [field for field in wanted if field not in fields]
    if missing:
        return f"{missing[0]} is missing"
    types = {**wanted, "role": str, "direction": str, "framework": str}
    types |= {"must_improve": bool, "strength": int, "alone": bool}
    for field, value in fields.items():
        if field not in types:
            return f"unknown field {field}"
        if not isinstance(value, types[field]):
            return f"{field}: wrong type"
    if fields.get("role", "") not in get_args(Role) or fields.get("direction", "") not in get_args(Direction):
        return "unknown role or direction"
    if not all(isinstance(word, str) for word in fields.get("words", ())):
        return "words: wrong type"
    try:
        re.compile(fields.get("match", ""))
    except re.error as error:
        return f"match: {error}"
    return ""


def _parse(text: str) -> dict[str, Any]:
    # imported here because the import takes a tenth of the server's startup time
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads(text)


def _merge(own: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(known)
    for name in ("pattern", "term", "qualifier"):
        merged[name] = [*own.get(name, ()), *known[name]]
    merged["chinese"] = {**known["chinese"], **own.get("chinese", {})}
    splits = own.get("splits", {})
    merged["splits"] = {name: [*splits.get(name, ()), *words] for name, words in known["splits"].items()}
    return merged


def _build(data: Mapping[str, Any]) -> Catalogue:
    def make(entry: Mapping[str, Any]) -> Term:
        return Term(**{name: value for name, value in entry.items() if name not in ("words", "match")})

    terms: dict[str, Term] = {}
    for entry in data["term"]:
        for phrase in entry["words"]:
            terms.setdefault(_SEPARATOR.sub("", phrase.lower()), make(entry))
    chinese: dict[str, str] = data["chinese"]
    return Catalogue(
        patterns=tuple((re.compile(entry["match"]), make(entry)) for entry in data["pattern"]),
        any_pattern=re.compile("|".join(f"(?:{entry['match']})" for entry in data["pattern"])),
        terms=terms,
        prefixes=frozenset(term[:end] for term in terms for end in range(1, len(term))),
        qualifiers=tuple((frozenset(entry["words"]), make(entry)) for entry in data["qualifier"]),
        splits={word: name for name, words in data["splits"].items() for word in words},
        statistics={word: name for name, words in data["statistics"].items() for word in words},
        lists={name: frozenset(words) for name, words in data["words"].items()},
        endings=tuple(data["endings"]["words"]),
        short_endings=frozenset(data["endings"]["after_a_letter"]),
        chinese=chinese,
        chinese_term=re.compile("|".join(map(re.escape, sorted(chinese, key=len, reverse=True)))),
    )


@lru_cache(maxsize=1 << 12)
def read_words(key: str) -> KeyWords:
    catalogue = load_catalogue()
    text = unicodedata.normalize("NFKC", key)
    # in quantile:alpha=0.9 and PCK_thr0.05, the number is a condition, like the 10 in recall@10
    text = _ARGUMENT.sub("@", text)
    text = catalogue.chinese_term.sub(lambda match: f" {catalogue.chinese[match[0]]} ", text)
    text = _PER_STEP.sub(r"\1 per ", _PER_SECOND.sub(" per ", text))
    words: list[str] = []
    parts: list[int] = []
    after_at: set[int] = set()
    part, is_after = 0, False
    for piece in _TOKEN.findall(text):
        if piece in ("/", " - "):
            part, is_after = part + 1, False
        elif piece == "@":
            is_after = True
        else:
            for word in _split_prefix(catalogue, [one.lower() for one in _CAMEL.split(piece)]):
                if is_after:
                    after_at.add(len(words))
                words.append(word)
                parts.append(part)
                is_after = is_after or (words[-1] in catalogue.lists["conditions"] and parts[-2:-1] == [part])
    return KeyWords(tuple(words), tuple(parts), frozenset(after_at))


def _split_prefix(catalogue: Catalogue, words: Sequence[str]) -> list[str]:
    """Separate a split or statistic from the known term that follows it, as in testacc and avgloss."""
    found: list[str] = []
    for word in words:
        is_known = word in catalogue.terms or word in catalogue.splits or word in catalogue.statistics
        end = 0 if is_known else next((end for end in range(len(word) - 3, 2, -1) if _joins(catalogue, word, end)), 0)
        found += [word[:end], word[end:]] if end else [word]
    return found


def _joins(catalogue: Catalogue, word: str, end: int) -> bool:
    is_prefix = word[:end] in catalogue.splits or word[:end] in catalogue.statistics
    return is_prefix and (word[end:] in catalogue.terms or _look_up_ending(catalogue, word[end:]) is not None)


def match_terms(catalogue: Catalogue, read: KeyWords) -> tuple[list[Match], dict[int, Split], dict[int, str]]:
    """Return the matching terms, and the splits and statistics by word index.

    The longest term that starts at a word takes precedence.
    """
    matches: list[Match] = []
    splits: dict[int, Split] = {}
    statistics: dict[int, str] = {}
    index = 0
    while index < len(read.words):
        found = _match_phrase(catalogue, read.words, index)
        if found:
            matches.append(found)
            index = found.end
            continue
        word = read.words[index]
        bare = _NUMBERED.sub("", word)
        if bare in catalogue.splits:
            splits[index] = catalogue.splits[bare]
            # in valid_0, the number belongs to the split
            if index + 1 < len(read.words) and read.words[index + 1].isdecimal():
                splits[index + 1] = splits[index]
                index += 1
        elif word in catalogue.statistics:
            statistics[index] = catalogue.statistics[word]
        elif _PERCENTILE.match(word):
            statistics[index] = word
        elif term := _look_up(catalogue, word) or _look_up_ending(catalogue, word):
            matches.append(Match(term, index, index + 1, word))
        index += 1
    return matches, splits, statistics


def _match_phrase(catalogue: Catalogue, words: Sequence[str], index: int) -> Match | None:
    """Return the longest term of at least two words that starts at index `index`, or `None`."""
    found: Match | None = None
    text = words[index]
    for end in range(index + 1, len(words)):
        if _NUMBER.sub("#", text) not in catalogue.prefixes and text not in catalogue.prefixes:
            break
        text += words[end]
        term = _look_up(catalogue, text)
        if term:
            found = Match(term, index, end + 1, " ".join(words[index : end + 1]))
    return found


def _look_up_ending(catalogue: Catalogue, word: str) -> Term | None:
    """Return the term at the end of a compound word such as ssimloss, or `None`."""
    known = (one for one in catalogue.endings if word.endswith(one))
    ending = next((one for one in known if len(word) - len(one) > 1 - (one in catalogue.short_endings)), "")
    return catalogue.terms.get(ending)


def _look_up(catalogue: Catalogue, text: str) -> Term | None:
    term = catalogue.terms.get(text)
    if term is None and text.endswith("s") and len(text) > 3:
        # a plural such as accs
        term = catalogue.terms.get(text[:-1])
    if term is None and not text.isalpha():
        term = catalogue.terms.get(_NUMBER.sub("#", text))
        bare = _NUMBERED.sub("", text)
        if term is None and len(bare) > 2:
            term = catalogue.terms.get(bare)
    return term
