"""A scripted caller that makes a case's calls and checks the replies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp import Client

from swanlab_mcp.present.text import count_tokens

__all__ = ["Call", "Case", "Verdict", "play"]

Call = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """A question, the calls of a good caller, and texts that the replies must or must not contain.

    `facts` and `never` are regular expressions that ignore case, and in which ^ and $ match in every line. `most_calls`
    and `most_tokens` limit any caller; `count_tokens` estimates the tokens. `is_refused` means that the right answer is
    an error.
    """

    name: str
    question: str
    calls: Sequence[Call]
    facts: Sequence[str]
    never: Sequence[str] = ()
    most_calls: int = 1
    most_tokens: int = 1500
    is_refused: bool = False

    @property
    def tools(self) -> set[str]:
        return {tool for tool, _ in self.calls}


@dataclass(frozen=True)
class Verdict:
    """The texts and tokens of the replies, and all faults found."""

    case: Case
    text: str
    calls: int
    tokens: int
    faults: Sequence[str] = field(default_factory=tuple[str, ...])


async def play(client: Client, case: Case, calls: Sequence[Call] | None = None) -> Verdict:
    """Make the calls of a case, or the given calls for another server, and check the replies."""
    asked = case.calls if calls is None else calls
    texts: list[str] = []
    refused: list[bool] = []
    for tool, arguments in asked:
        result = await client.call_tool(tool, dict(arguments))
        texts += [block.text for block in result.content if block.type == "text"]
        refused.append(bool(result.is_error))
    text = "\n".join(texts)
    tokens = count_tokens(text)
    faults = [f"lacks {fact!r}" for fact in case.facts if not _find(fact, text)]
    faults += [f"holds {trap!r}" for trap in case.never if _find(trap, text)]
    if any(refused) != case.is_refused:
        faults.append("no error" if case.is_refused else "an error")
    if len(asked) > case.most_calls:
        faults.append(f"{len(asked)} calls instead of {case.most_calls}")
    if tokens > case.most_tokens:
        faults.append(f"{tokens} tokens instead of {case.most_tokens}")
    return Verdict(case, text, len(asked), tokens, faults)


def _find(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE | re.MULTILINE) is not None
