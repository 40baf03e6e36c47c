"""Detect words that change the meaning of a term: negations, remedies, changes and counts."""

from __future__ import annotations

from collections.abc import Sequence

from swanlab_mcp.analysis.metric_terms import Catalogue, Direction, KeyWords, Match, Role, Term

__all__ = [
    "GENERIC_ERRORS",
    "find_change",
    "find_count_of",
    "find_counting",
    "find_remedy",
    "flip",
    "is_normalized",
]

# a noun after these words is not the measured variable: error_length is a length, but mae_length is an error
GENERIC_ERRORS = ("err", "false", "miss", "mismatch", "edit", "resid")
_OPPOSITE: dict[Role, Role] = {"loss": "quality", "error": "quality", "quality": "error"}


def find_change(catalogue: Catalogue, read: KeyWords, matches: Sequence[Match], deciding: Match) -> Match | None:
    """Return the match for a word such as delta in delta_loss, or `None` if there is none.

    The word must denote a change and be at the start of the part that determines the key's meaning.
    """
    for match in matches:
        if read.words[match.start] in catalogue.lists["changes"] and match.term.rule == "difference":
            is_first = match.start == 0 or read.parts[match.start - 1] != read.parts[match.start]
            if is_first and read.parts[match.start] == read.parts[deciding.start]:
                return match
    return None


def flip(catalogue: Catalogue, read: KeyWords, deciding: Match) -> tuple[Term, str]:
    """Return the deciding term, reversed if the key negates it, and the words that determine its direction.

    A term is negated by a preceding word such as neg or not. An error is also negated if the key says that it is
    avoided, as in collision_free_rate. If the key leaves open which values are better, the direction is removed.
    """
    before = read.words[: deciding.start]
    term, reversing = deciding.term, catalogue.lists["flips"].intersection(before)
    if _is_open(catalogue, before, deciding):
        return term._replace(role="information", direction="", must_improve=False), deciding.text
    denied = catalogue.lists["negations"].intersection(before[-1:]) | find_remedy(catalogue, read, deciding)
    if not term.direction or not reversing | denied:
        return term, deciding.text
    flipped: Direction = "max" if term.direction == "min" else "min"
    role = _OPPOSITE.get(term.role, term.role) if denied else term.role
    return term._replace(role=role, direction=flipped), f"{min(reversing | denied)} {deciding.text}"


def _is_open(catalogue: Catalogue, before: Sequence[str], result: Match) -> bool:
    """Return whether the word before a result makes it unclear which values are better."""
    if result.term.direction == "min":
        # no_collisions may mean the number of collisions or their absence
        return before[-1:] == ("no",)
    is_side = (result.term.role == "reward" or "win" in result.text) and bool(
        catalogue.lists["sides"].intersection(before[-2:])
    )
    return is_side or bool((catalogue.lists["others"] | catalogue.lists["discriminators"]).intersection(before[-1:]))


def find_remedy(catalogue: Catalogue, read: KeyWords, deciding: Match) -> frozenset[str]:
    """Return the word that negates the preceding error or loss, such as `free` in collision_free_rate.

    The word is returned in a set, which is empty if there is no such word.
    """
    is_bad = deciding.term.direction == "min" and deciding.term.role in ("loss", "error")
    is_part = read.parts[deciding.end : deciding.end + 1] == (read.parts[deciding.start],)
    return catalogue.lists["remedies"].intersection(
        read.words[deciding.end : deciding.end + 1] if is_bad and is_part else ()
    )


def find_counting(catalogue: Catalogue, read: KeyWords) -> str:
    """Return the counting word at the start of a part of the key, as in num_turns, or "" if there is none."""
    skipped = catalogue.splits.keys() | catalogue.statistics.keys()
    for index, word in enumerate(read.words):
        before = [read.words[i] for i in range(index) if read.parts[i] == read.parts[index]]
        if word in catalogue.lists["counting"] and word != "total" and all(one in skipped for one in before):
            return word
    return ""


def find_count_of(catalogue: Catalogue, read: KeyWords, deciding: Match) -> str:
    """Return the word that turns a result into a count or a setting, or "" if there is none.

    Examples are steps_to_success and required_accuracy.
    """
    words, lists, term = read.words, catalogue.lists, deciding.term
    before, after = words[: deciding.start], words[deciding.end :]
    is_moment = bool(lists["chosen"].intersection(before) or lists["moments"].intersection(words[-2:-1]))
    if words[-1] in lists["steps"] and is_moment:
        return words[-1]
    if "to" in before[1:]:
        way = before[before.index("to", 1) - 1]
        if way in lists["steps"] or (way in lists["times"] and term.direction != "min"):
            return way
    own = [word for word, part in zip(before, read.parts, strict=False) if part == read.parts[deciding.start]]
    required = (lists["required"] | lists["numbers"]).intersection(own) | lists["required"].intersection(after[:1])
    if required:
        return min(required)
    if words[-2:] == ("so", "far") and not lists["extremes"].intersection(words):
        return "so far"
    if term.role in ("loss", "reward") and after[:1] == ("index",):
        return "index"
    return _find_head(catalogue, read, deciding) or _find_total(catalogue, read, deciding)


def _find_head(catalogue: Catalogue, read: KeyWords, deciding: Match) -> str:
    """Return the counter or setting that precedes a result, as in number_of_wins, or "" if there is none."""
    for index in range(1, deciding.start):
        if read.words[index] in catalogue.lists["complements"] and read.parts[index] == read.parts[deciding.start]:
            head = read.words[index - 1]
            counts = catalogue.lists["steps"] | catalogue.lists["counting"] - {"total"}
            if head in counts or catalogue.terms.get(head, deciding.term).role in ("counter", "setting", "length"):
                return head
    return ""


def _find_total(catalogue: Catalogue, read: KeyWords, deciding: Match) -> str:
    """Return the word that marks a running count of events, as in hits_total, or "" if there is none."""
    is_event = deciding.term.role in ("quality", "error") and read.words[deciding.end - 1] in catalogue.lists["events"]
    return min(catalogue.lists["adding"].intersection(read.words), default="") if is_event else ""


def is_normalized(read: KeyWords, deciding: Match) -> bool:
    """Return whether "n" before an error term means "normalized", as in nRMSE, and not a count, as in n_errors."""
    starts = deciding.text.startswith("n ") or read.words[deciding.start - 1 : deciding.start] == ("n",)
    return starts and deciding.term.rule == "error" and not deciding.text.startswith(GENERIC_ERRORS)
