"""Interpret metric keys: which values are better, and which quantity, split and statistic a key stands for.

The rules are stored in `metric_catalogue.toml`, which documents its own format. The file is read on first use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from swanlab_mcp.analysis.metric_modifiers import (
    GENERIC_ERRORS,
    find_change,
    find_count_of,
    find_counting,
    find_remedy,
    flip,
    is_normalized,
)
from swanlab_mcp.analysis.metric_terms import (
    Catalogue,
    Direction,
    KeyWords,
    Match,
    Role,
    Split,
    Term,
    add_entries,
    load_catalogue,
    match_terms,
    read_words,
)

__all__ = ["Direction", "MetricKind", "Role", "Split", "describe_key", "extend_catalogue", "find_pairs", "split_words"]

_HARDWARE = re.compile(r"__swanlab__\.(?:gpu|npu|dcu|mlu|xpu|gcu|rocm|metax|dlp)\.[\d.\-]+\.(mem\.)?(?:pct|ptc)$")
_NUMBER = re.compile(r"\d+")
_RESULTS = ("loss", "error", "quality", "reward")
_VARIABLES = ("setting", "information", "counter", "length", "balance")
_FAILING = [("fail", "to"), ("fails", "to"), ("failed", "to"), ("failure", "to"), ("failures", "to")]
_VERSION = re.compile(r"v?\d+$")
_BELOW = re.compile(r"(?:<=?|[_ ](?:lt|below|under)[_ ])\s*\d", re.IGNORECASE)
# if a key contains several splits, as in val/test_score, the first split in this list wins
_SPLITS: tuple[Split, ...] = ("validation", "test", "train")


@dataclass(frozen=True, slots=True)
class MetricKind:
    """The meaning of a metric key.

    `direction` is "" if it is unknown or if neither direction is better. If `must_improve` is true, a run in which the
    metric never improves has failed. `family` contains the words of the key without its split and statistic,
    so keys with the same family measure the same quantity. `rule` names the catalogue entry that determined the
    meaning, `word` contains the matching words of the key, and `framework` is the framework that the entry comes from.
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

    @property
    def worse_side(self) -> int:
        """1 if large values are bad, -1 if small values are bad, and 0 if neither direction is known to be bad."""
        return {"min": 1, "max": -1}.get(self.direction, 0)


@lru_cache(maxsize=1 << 16)
def describe_key(key: str) -> MetricKind:
    """Return the meaning of a metric key. The role and direction of an unknown key are empty. Never raises."""
    hardware = _describe_hardware(key)
    if hardware is not None:
        return hardware
    catalogue = load_catalogue()
    read = read_words(key)
    matches, splits, statistics = match_terms(catalogue, read)
    dropped = splits.keys() | statistics.keys()
    # in best@32, the number belongs to the statistic
    dropped |= {index + 1 for index in statistics if index + 1 in read.after_at}
    family = tuple(word for index, word in enumerate(read.words) if index not in dropped)
    family = tuple(word for word in family if word not in ("epoch", "step")) or family
    term, word = _decide(catalogue, key, read, matches, statistics)
    is_total = term.role == "loss" and term.rule == "loss" and set(family) <= catalogue.lists["totals"]
    return MetricKind(
        role=term.role,
        direction=term.direction,
        must_improve=term.must_improve,
        split=_choose_split(set(splits.values())),
        statistic=_choose_statistic(catalogue, tuple(statistics.values())),
        family=("loss",) if is_total else family,
        is_total=is_total,
        rule=term.rule,
        framework=term.framework,
        word=word,
    )


def extend_catalogue(text: str) -> None:
    """Add catalogue entries in TOML format that take precedence over the built-in entries.

    Raises ValueError if the entries are invalid.
    """
    add_entries(text)
    describe_key.cache_clear()


def split_words(key: str) -> list[str]:
    """Split a key into lowercase words at camelCase boundaries and at characters that are not letters or digits.

    Chinese terms are translated into English.
    """
    return list(read_words(key).words)


def find_pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Return (training key, held-out key) pairs that measure the same quantity on different splits.

    Validation keys are preferred over test keys. A key without a split counts as the training key if no other key does.
    """
    families: dict[tuple[str, ...], dict[str, str]] = {}
    # transformers logs `loss` at each logging step, but `train_loss` only once, at the end
    has_summary = "train_runtime" in keys
    for key in keys:
        kind = describe_key(key)
        if not kind.direction or kind.role in ("speed", "time"):
            continue
        name: str = kind.split or "plain"
        if name == "validation" and re.search(r"validation_0\b", key.replace("-", " ")):
            # XGBoost numbers its evaluation sets, and by convention the training set comes first
            name = "first"
        known = families.setdefault((*kind.family, kind.role), {})
        if name not in known or _rate_name(key) < _rate_name(known[name]):
            known[name] = key
    found: list[tuple[str, str]] = []
    for known in families.values():
        order = ("plain", "train") if has_summary else ("train", "plain")
        train = known.get(order[0]) or known.get(order[1])
        held_out = known.get("validation") or known.get("test")
        if train is None and held_out:
            train = known.get("first")
        held_out = held_out or known.get("first")
        if train and held_out and train != held_out:
            found.append((train, held_out))
    return found


def _rate_name(key: str) -> tuple[bool, bool, int]:
    """Return a sort key for choosing between metric keys that measure the same quantity.

    Means come first, values per epoch come before values per step, and short names come before long names.
    """
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


def _decide(
    catalogue: Catalogue, key: str, read: KeyWords, matches: Sequence[Match], statistics: Mapping[int, str]
) -> tuple[Term, str]:
    """Return the term that determines the meaning of a key, and the words that the term matched."""
    lower = key.lower()
    if catalogue.any_pattern.search(lower):
        for pattern, term in catalogue.patterns:
            match = pattern.search(lower)
            if match:
                return term, match[0].strip("/_ ")
    spread = catalogue.lists["spreads"].intersection(statistics.values())
    if spread:
        return Term("spread", "information"), min(spread)
    rate = _decide_rate(catalogue, read, matches)
    if rate:
        return rate
    known = _drop_conditions(catalogue, read, _drop_ambiguous(catalogue, read, matches))
    deciding = _choose(known, read.parts, catalogue)
    if deciding is None:
        return (Term("count", "counter"), "") if find_counting(catalogue, read) else (Term(""), "")
    change = find_change(catalogue, read, known, deciding)
    if change:
        return change.term, change.text
    term = deciding.term
    if term.role == "time":
        others = (*read.words[: deciding.start], *read.words[deciding.end :])
        lasts = catalogue.lists["lasting"].intersection(others) or (
            deciding.start == 0 and deciding.text in ("time", "time s")
        )
        return (Term("time that passes", "counter") if lasts else term), deciding.text
    if term.role not in ("speed", "learning_rate", "gradient_norm", "length") and not is_normalized(read, deciding):
        word = find_counting(catalogue, read) or find_count_of(catalogue, read, deciding)
        if word:
            return Term("count", "counter"), word
    if term.role == "loss" and {"ratio", "fraction", "frac"}.intersection(read.words[deciding.end :]):
        return Term("share", "balance"), deciding.text
    if term.role in ("loss", "error"):
        term = _qualify(catalogue, read, deciding, matches)
        if term is not deciding.term or (term.rule == "loss" and not find_remedy(catalogue, read, deciding)):
            return term, deciding.text
    if term.role == "error" and _BELOW.search(key):
        return Term("share below a limit", "quality", "max", must_improve=True), deciding.text
    if term.role == "reward":
        expected = catalogue.lists["expected"].intersection(read.words[max(0, deciding.start - 2) : deciding.start])
        if expected:
            return Term("goal or prediction", "information"), f"{min(expected)} {deciding.text}"
        if _is_component(catalogue, read, deciding):
            deciding = deciding._replace(term=term._replace(must_improve=False))
    return flip(catalogue, read, deciding)


def _drop_ambiguous(catalogue: Catalogue, read: KeyWords, matches: Sequence[Match]) -> Sequence[Match]:
    """Drop terms that only count if the key contains no other meaningful words.

    For example, IS means inception score in val/IS, but not next to other words.
    """
    ignored = catalogue.lists["totals"] | catalogue.lists["accompanying"]
    ignored |= catalogue.splits.keys() | catalogue.statistics.keys()

    def is_other(index: int, match: Match) -> bool:
        word = read.words[index]
        is_known = word in ignored or word.rstrip("0123456789") in ignored or _VERSION.match(word)
        return not (match.start <= index < match.end or is_known)

    indices = range(len(read.words))
    # in ema_loss/math, the loss decides
    is_loss = any(match.term.role == "loss" for match in matches)
    return [
        match
        for match in matches
        if not (match.term.alone and (is_loss or any(is_other(index, match) for index in indices)))
    ]


def _is_component(catalogue: Catalogue, read: KeyWords, reward: Match) -> bool:
    """Return whether a key names a component of a summed reward, such as Episode_Reward/action_rate."""
    part = read.parts[reward.start]
    ignored = (
        catalogue.lists["totals"] | catalogue.lists["axes"] | catalogue.splits.keys() | catalogue.statistics.keys()
    )
    return any(
        read.parts[index] > part and index not in read.after_at and word not in ignored
        for index, word in enumerate(read.words)
    )


def _drop_conditions(catalogue: Catalogue, read: KeyWords, matches: Sequence[Match]) -> Sequence[Match]:
    """Drop terms that only name a condition, as in recall_at_precision, or an axis, as in mean_reward/time."""
    last = len(read.words) - 1
    kept = [match for match in matches if match.start not in read.after_at]
    failing = next((one for one in kept if read.words[one.end - 1 : one.end + 1] in _FAILING), None)
    if failing:
        return [failing]
    if kept and kept[-1].start == last and read.words[last] in catalogue.lists["axes"]:
        is_part = read.parts[last] != read.parts[last - 1]
        if is_part and any(match.term.strength > 1 and match.start != last for match in kept):
            kept.pop()
    return kept or matches


def _choose_statistic(catalogue: Catalogue, found: Sequence[str]) -> str:
    """Return the most informative statistic, such as "std" for best@8/std and "best" for best@8/mean."""
    spread = next((one for one in found if one in catalogue.lists["spreads"]), "")
    return spread or next((one for one in found if one != "mean"), "") or (found[0] if found else "")


def _choose_split(found: set[Split]) -> Split:
    for split in _SPLITS:
        if split in found:
            return split
    return ""


def _choose(matches: Sequence[Match], parts: Sequence[int], catalogue: Catalogue) -> Match | None:
    if not matches:
        return None
    strongest = max(match.term.strength for match in matches)
    strong = [match for match in matches if match.term.strength == strongest]
    variable = _find_error_of(strong, parts, catalogue)
    if variable:
        return variable
    deciding = strong[-1]
    rule, part = deciding.term.rule, parts[deciding.start]
    single = {one for one in parts if parts.count(one) == 1}
    is_component = rule == "overlap or similarity" or (rule == "reward" and part in single)
    if is_component or rule in ("statistic of tensors", "accuracy", "reward"):
        # loss_dice, loss/dice and loss/reward are losses, but losses/q_values and loss_viewpoint/psnr are not
        losses = [match for match in strong if match.term.rule == "loss"]
        here = [match for match in losses if parts[match.start] == part]
        if rule == "reward":
            here = [match for match in here if match.end == deciding.start]
        before = [match for match in losses if is_component and parts[match.start] in single]
        deciding = next(iter([*here, *before]), deciding)
    if strongest == 1:
        deciding = next((match for match in strong if match.term.role == "information"), deciding)
    return deciding


def _find_error_of(strong: Sequence[Match], parts: Sequence[int], catalogue: Catalogue) -> Match | None:
    """Return the error term that precedes a variable in the last part of a key, or `None`.

    In rmse_2m_temperature, for example, rmse is the error of the variable temperature.
    """
    last = strong[-1]
    first = next(match for match in strong if parts[match.start] == parts[last.start])
    if last.text in catalogue.lists["predicted"]:
        return first if first.term.rule in ("error", "negative log-likelihood") else None
    if last.term.role not in _VARIABLES or catalogue.lists["tuning"].intersection(last.text.split()):
        return None
    is_measure = first.term.rule == "error" and not first.text.startswith(GENERIC_ERRORS)
    return first if is_measure else None


def _decide_rate(catalogue: Catalogue, read: KeyWords, matches: Sequence[Match]) -> tuple[Term, str] | None:
    """Return the term for a rate key such as `tokens_per_second`, and the words in the key that identify it as a rate.

    Return `None` if the key is not a rate.
    """
    words, times = read.words, catalogue.lists["times"]
    indices = [index for index in range(len(words) - 1) if words[index] == "per"]
    if not indices:
        return None
    # tokens_per_gpu_per_second is a speed
    index = next((index for index in indices if words[index + 1] in times), indices[0])
    if any(match.start < index < match.end for match in matches):
        return None
    numerator, denominator = words[index - 1] if index else "", words[index + 1 : index + 3]
    denominator = denominator[1:] if denominator[0] == "per" else denominator[:1]
    unit = " ".join(denominator)
    if numerator in times:
        return Term("time per unit", "time", "min"), f"{numerator} per {unit}"
    before = _choose([match for match in matches if match.end <= index], read.parts, catalogue)
    after = _choose([match for match in matches if match.start > index + 1], read.parts, catalogue)
    if after and after.term.direction and after.term.role in _RESULTS and not (before and before.term.direction):
        # "per" may also belong to a quantity, as in per_atom_energy/mae
        return None
    is_bad = before is not None and before.term.role == "error" and before.end == index and numerator != "distance"
    if unit in times and not is_bad:
        return Term("per time", "speed", "max"), f"per {unit}"
    if before is None:
        # in 每步耗时 (per step duration), the other words decide
        others = set(words[:index]) - catalogue.splits.keys() - catalogue.statistics.keys()
        return (Term(""), "") if others else None
    word = find_counting(catalogue, read) or find_count_of(catalogue, read, before)
    return (Term("count", "counter"), word) if word else flip(catalogue, read, before)


def _qualify(catalogue: Catalogue, read: KeyWords, loss: Match, matches: Sequence[Match]) -> Term:
    """Return the meaning of a loss with a qualifier such as policy, discriminator or entropy.

    A qualifier is a word in the same part of the key or in a later part. It may also be an earlier part that consists
    of a single word.
    """
    here = read.parts[loss.start]
    parts: dict[int, list[str]] = {}
    # in cross_entropy_loss, entropy is not a qualifier
    taken = {index for match in matches if match.term.direction for index in range(match.start, match.end)}
    for index, (word, part) in enumerate(zip(read.words, read.parts, strict=True)):
        if word not in catalogue.splits and word not in catalogue.statistics and index not in taken:
            parts.setdefault(part, []).append(word)
    near, own = set(parts.get(here, ())), set(loss.text.split())
    # in the discriminator loss loss_msd, msd names the scale of the discriminator instead of a distance
    is_bare = loss.text in ("err", "error", "cost") or any(match.term.rule == "loss" for match in matches)
    after = {word for part, words in parts.items() if part > here for word in words}
    before = {words[0] for part, words in parts.items() if part < here and len(words) == 1}
    for words in (near, after, before):
        for qualifying, term in catalogue.qualifiers:
            is_meant = loss.term.rule == "loss" or (term.role == "adversary" and is_bare)
            if is_meant and qualifying.intersection(words):
                is_generator = not catalogue.lists["discriminators"].intersection(words)
                is_distance = catalogue.lists["distances"].intersection(near | after | own)
                return loss.term if term.role == "adversary" and is_generator and is_distance else term
    return loss.term
