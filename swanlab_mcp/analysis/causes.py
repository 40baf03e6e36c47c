"""What a recorded error says: its last line, where it was raised, and which kind of trouble it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["ErrorText", "find_error", "find_traceback", "name_cause", "normalise_error"]

_FRAMES = 3
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_RANK = re.compile(r"^\[?rank\s?\d+\]?:\s?", re.IGNORECASE)
_FRAME = re.compile(r'\s*File "([^"]{1,400})", line (\d{1,7}), in (.{1,200})')
_ERROR = re.compile(r"^[A-Za-z_][\w.]{0,200}(?:Error|Exception|Interrupt|Exit|Warning|Timeout|Iteration)\b(?::|$|\s)")
_TRACEBACK = "Traceback (most recent call last)"

# the first that matches names the cause; the order goes from the particular to the general
_CAUSES = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"can't allocate memory|cannot allocate memory|^MemoryError|std::bad_alloc", "the machine ran out of memory"),
        (
            r"(?:CUDA|HIP|NPU|MPS|GPU|XPU)\b.{0,40}out of memory|OutOfMemoryError|ALLOC_FAILED|out of memory",
            "the GPU ran out of memory",
        ),
        (
            r"worker.{0,80}(?:killed|exited)|signal: killed|exit ?code:? -?(?:9|137)\b|^killed\b|oom.?kill",
            "a process was killed from outside, often for want of memory",
        ),
        (
            r"time limit|preempt|slurmstepd|SIGTERM|signal 15|cancelled at",
            "it was ended from outside: time limit, pre-emption or a stop",
        ),
        (r"no space left|disk quota", "the disk is full"),
        (r"FileNotFoundError|no such file or directory", "a file or its folder does not exist"),
        (r"PermissionError|permission denied", "a file may not be opened"),
        (
            r"NCCL|ProcessGroup|collective|connection (?:reset|refused|closed)|timed? ?out|ConnectionError|broken pipe",
            "the connection between processes or to a server broke",
        ),
        (
            r"device-side assert|index(?:es)? out of (?:bounds|range)|IndexError|target \d+ is out",
            "an index or label is out of range",
        ),
        (
            r"illegal memory access|CUDNN|CUDA error|\bECC\b|\bXid\b|segmentation fault|bus error|core dumped",
            "the GPU, its driver or native code failed",
        ),
        (r"\bnan\b|non-?finite|\binfinite\b|\binf\b", "a value was NaN or infinite"),
        (
            (
                r"size mismatch|size of tensor|shape|dimension|broadcast|cannot be multiplied|same number of"
                r"|Expected .{0,40} to match"
            ),
            "shapes do not fit together",
        ),
        (r"ModuleNotFoundError|ImportError|undefined symbol", "a module is missing or does not fit"),
        (r"KeyboardInterrupt", "it was stopped by hand (Ctrl-C or a signal)"),
        (
            r"(?:Key|Attribute|Type|Name|Value|ZeroDivision|Assertion|Unbound\w+|NotImplemented|JSONDecode)Error",
            "a mistake in the code, its settings or its data",
        ),
    )
)


class ErrorText(NamedTuple):
    """The line that names an error, and the innermost frames of its traceback (the last raised it)."""

    line: str
    frames: tuple[str, ...] = ()


def find_error(lines: Sequence[str]) -> ErrorText | None:
    """Return the last traceback's error, or else the last line that tells of one; None where no line does.

    A process's prefix, as [rank0]:, and colours are ignored.
    """
    plain = [_RANK.sub("", _ESCAPES.sub("", part)) for line in lines for part in line.splitlines()]
    starts = [place for place, line in enumerate(plain) if _TRACEBACK in line or _FRAME.match(line)]
    begin = next((place for place in reversed(starts) if _TRACEBACK in plain[place]), starts[0] if starts else None)
    if begin is not None:
        frames: list[str] = []
        for line in plain[begin:]:
            frame = _FRAME.match(line)
            if frame:
                frames.append(f"{frame[1]}:{frame[2]} in {frame[3].strip()}")
            elif frames and _ERROR.match(line):
                return ErrorText(line.strip(), tuple(_choose_frames(frames)))
        named = next((line.strip() for line in plain[:begin][::-1] if _ERROR.match(line.strip())), "")
        if named:
            return ErrorText(named, tuple(_choose_frames(frames)))
    for line in reversed(plain):
        if _ERROR.match(line.strip()) or _names_trouble(line):
            return ErrorText(line.strip())
    return None


def name_cause(error: str) -> str:
    """Return the kind of trouble that an error line tells of, "" where it is none of the known ones."""
    return next((cause for pattern, cause in _CAUSES if pattern.search(error)), "")


def normalise_error(error: str) -> str:
    """Return an error line without what differs from run to run: numbers, and what stands in quotes."""
    return re.sub(r"\d+(?:\.\d+)?", "#", re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", error)).strip()


def _names_trouble(line: str) -> bool:
    # only what ends a process: a log may well speak of shapes and infinity
    return any(pattern.search(line.strip()) for pattern, _ in _CAUSES[:5]) or bool(
        re.search(r"segmentation fault|core dumped|bus error|CUDA error", line, re.IGNORECASE)
    )


def find_traceback(lines: Sequence[str]) -> int | None:
    """Return where the first traceback begins: with its head, or with a frame where the SDK left the head out."""
    return next((place for place, line in enumerate(lines) if _TRACEBACK in line or _FRAME.match(line)), None)


def _choose_frames(frames: Sequence[str]) -> list[str]:
    """Return the innermost frames, among them the last that is no library's."""
    kept = list(frames[-_FRAMES:])
    own = [frame for frame in frames if "site-packages" not in frame and "dist-packages" not in frame]
    return kept if not own or own[-1] in kept else [own[-1], *kept[1:]]
