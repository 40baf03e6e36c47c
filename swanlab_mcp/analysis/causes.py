"""Extract the error and its stack frames from a log, and classify the kind of failure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

__all__ = [
    "ErrorText",
    "Trouble",
    "find_error",
    "find_first_traceback",
    "find_lacking_memory",
    "name_cause",
    "normalise_error",
]

Memory = Literal["gpu", "host", ""]
Trouble = Literal[
    "host_memory", "gpu_memory", "killed", "ended_outside", "disk_full", "missing_file", "permission", "connection",
    "out_of_range", "native_code", "non_finite", "shapes", "missing_module", "stopped_by_hand", "code", "",
]  # fmt: skip

_FRAMES = 3
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_RANK = re.compile(r"^\[?rank\s?\d+\]?:\s?", re.IGNORECASE)
_FRAME = re.compile(r'\s*File "([^"]{1,400})", line (\d{1,7}), in (.{1,200})')
_ERROR = re.compile(r"^[A-Za-z_][\w.]{0,200}(?:Error|Exception|Interrupt|Exit|Warning|Timeout|Iteration)\b(?::|$|\s)")
_TRACEBACK = "Traceback (most recent call last)"
# a CUDA hint adds three lines, so a fatal error may be followed by this many lines
_CLOSING = 3
_END = 10
_TOOL = re.compile(r"\s*(?:swanlab|wandb):")
# match only the exact wording of fatal errors, because ordinary logs also mention time limits, memory and workers
_TROUBLE = re.compile(
    r"^[A-Za-z_][\w.]{0,200}(?:Error|Exception|Interrupt|Exit|Timeout|Iteration)(?:$|:(?!\s*-?\.?\d))"
    r"|^KeyboardInterrupt\b"
    r"|^(?:[\w./\[\]-]{1,80}:\s){0,3}(?:fatal |runtime )?(?:error|fatal):\s+(?!-?\.?\d|none\b|nan\b|inf\b|no\b)"
    r"|^(?:.{0,80}line \d+:\s*\d+\s+)?killed(?:\s*$|\s{2,}|:\s*9)"
    r"|oom[-_ ]?kill(?:ed)?[-_ ]event|killed by (?:the )?(?:oom|cgroup)|out of memory: killed process"
    r"|(?:CUDA|HIP|NPU|MPS|GPU|XPU)\b.{0,40}out of memory\s*(?:$|[.,:;!(])"
    r"|no space left on device|disk quota exceeded|can(?:not|'t) allocate memory|std::bad_alloc"
    r"|segmentation fault|core dumped|bus error|(?:CUDA|NCCL|cuDNN|HIP) error(?::| in\b)"
    r"|(?:killed|terminated|died|exited) (?:by|with|on) (?:signal\b|SIG[A-Z])|signal: killed"
    r"|(?:received|caught|got) (?:signal )?(?:SIG(?:TERM|KILL|INT|SEGV|ABRT)|signal \d)"
    r"|exit(?:ed)?[ _]?(?:with )?(?:code|status)?\W{0,3}(?:-[1-9]|1[2-4]\d\b)"
    r"|cancelled at\b|due to (?:time limit|preemption)|time limit (?:exceeded|reached)",
    re.IGNORECASE,
)

# (pattern, memory that ran out, kind of failure); the first match wins, so specific patterns come first
_CAUSES: tuple[tuple[str, Memory, Trouble], ...] = (
    (
        r"can't allocate memory|cannot allocate memory|^MemoryError|std::bad_alloc",
        "host",
        "host_memory",
    ),
    (
        r"(?:CUDA|HIP|NPU|MPS|GPU|XPU)\b.{0,40}out of memory|OutOfMemoryError|ALLOC_FAILED|out of memory",
        "gpu",
        "gpu_memory",
    ),
    (
        r"worker.{0,80}(?:killed|exited)|signal: killed|exit ?code:? -?(?:9|137)\b|^killed\b|oom.?kill",
        "host",
        "killed",
    ),
    (
        r"time limit|preempt|slurmstepd|SIGTERM|signal 15|cancelled at",
        "",
        "ended_outside",
    ),
    (r"no space left|disk quota", "", "disk_full"),
    (r"FileNotFoundError|no such file or directory", "", "missing_file"),
    (r"PermissionError|permission denied", "", "permission"),
    (
        r"NCCL|ProcessGroup|collective|connection (?:reset|refused|closed)|timed? ?out|ConnectionError|broken pipe",
        "",
        "connection",
    ),
    (
        r"device-side assert|index(?:es)? out of (?:bounds|range)|IndexError|target \d+ is out",
        "",
        "out_of_range",
    ),
    (
        r"illegal memory access|CUDNN|CUDA error|\bECC\b|\bXid\b|segmentation fault|bus error|core dumped",
        "",
        "native_code",
    ),
    (r"\bnan\b|non-?finite|\binfinite\b|\binf\b", "", "non_finite"),
    (
        (
            r"size mismatch|size of tensor|shape|dimension|broadcast|cannot be multiplied|same number of"
            r"|Expected .{0,40} to match"
        ),
        "",
        "shapes",
    ),
    (r"ModuleNotFoundError|ImportError|undefined symbol", "", "missing_module"),
    (r"KeyboardInterrupt", "", "stopped_by_hand"),
    (
        r"(?:Key|Attribute|Type|Name|Value|ZeroDivision|Assertion|Unbound\w+|NotImplemented|JSONDecode)Error",
        "",
        "code",
    ),
)


class ErrorText(NamedTuple):
    """An error line with the innermost frames of its traceback, ending with the frame that raised the error.

    If the log continues after the error, the error was probably handled, and `later` is the number of lines that follow
    it. Otherwise, `later` is 0.
    """

    line: str
    frames: tuple[str, ...] = ()
    later: int = 0


def find_error(lines: Sequence[str]) -> ErrorText | None:
    """Return the error from the last traceback or from a fatal line near the end of the log, or `None`.

    If more than 3 log lines follow the traceback, a fatal line near the end of the log takes precedence. Process
    prefixes such as "[rank0]:" and ANSI escape sequences are ignored.
    """
    plain = [_RANK.sub("", _ESCAPES.sub("", part)) for line in lines for part in line.splitlines()]
    found = _find_traceback(plain)
    if found is None:
        return _find_end(plain)
    error, index = found
    after = plain[index + 1 :]
    while after and after[0][:1].isspace():
        # skip the rest of a multi-line message
        after = after[1:]
    after = [line for line in after if line.strip() and not _TOOL.match(line)]
    if len(after) <= _CLOSING:
        return error
    return _find_end(after) or error._replace(later=len(after))


def _find_traceback(plain: Sequence[str]) -> tuple[ErrorText, int] | None:
    """Return the error from the last traceback and the index of the traceback's last line, or `None`."""
    starts = [index for index, line in enumerate(plain) if _TRACEBACK in line or _FRAME.match(line)]
    begin = next((index for index in reversed(starts) if _TRACEBACK in plain[index]), starts[0] if starts else None)
    if begin is None:
        return None
    frames: list[str] = []
    last = begin
    for index in range(begin, len(plain)):
        frame = _FRAME.match(plain[index])
        if frame:
            frames.append(f"{frame[1]}:{frame[2]} in {frame[3].strip()}")
            last = index
        elif frames and _ERROR.match(plain[index]):
            return ErrorText(plain[index].strip(), tuple(_choose_frames(frames))), index
    # some formats print the frames after the error
    above = (line.strip() for line in plain[max(0, begin - _END) : begin][::-1])
    named = next((line for line in above if _ERROR.match(line) and _TROUBLE.search(line)), "")
    return (ErrorText(named, tuple(_choose_frames(frames))), last) if named else None


def _find_end(plain: Sequence[str]) -> ErrorText | None:
    ends = [line.strip() for line in plain if line.strip() and not _TOOL.match(line)][-_END:]
    return next((ErrorText(line) for line in reversed(ends) if _TROUBLE.search(line)), None)


def name_cause(error: str) -> Trouble:
    """Return the kind of failure that an error line describes, or "" if it is unknown."""
    for pattern, _, name in _CAUSES:
        if re.search(pattern, error, re.IGNORECASE):
            return name
    return ""


def find_lacking_memory(error: str) -> Memory:
    """Return the memory that ran out ("gpu" or "host"), or "" if the error line does not show it."""
    for pattern, memory, _ in _CAUSES:
        if re.search(pattern, error, re.IGNORECASE):
            return memory
    return ""


def normalise_error(error: str) -> str:
    """Replace numbers and quoted strings in an error line with placeholders, because they differ between runs."""
    return re.sub(r"\d+(?:\.\d+)?", "#", re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", error)).strip()


def find_first_traceback(lines: Sequence[str]) -> int | None:
    """Return the line index of the first traceback, or `None`.

    If the SDK omitted the traceback's header, return the index of its first frame.
    """
    return next((index for index, line in enumerate(lines) if _TRACEBACK in line or _FRAME.match(line)), None)


def _choose_frames(frames: Sequence[str]) -> list[str]:
    """Return the innermost frames, including the last frame in the user's own code if there is one."""
    kept = list(frames[-_FRAMES:])
    own = [frame for frame in frames if "site-packages" not in frame and "dist-packages" not in frame]
    return kept if not own or own[-1] in kept else [own[-1], *kept[1:]]
