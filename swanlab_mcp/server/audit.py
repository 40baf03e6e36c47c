"""The shared server's audit log, with one JSON line per call and an additional line per change."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from swanlab_mcp.core.secret_masking import mask_exactly
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.server.messages import Call
from swanlab_mcp.server.table import EVERY_TOOL, WRITE_TOOLS

if TYPE_CHECKING:
    from swanlab_mcp.server.metrics import Metrics

__all__ = ["Audit", "Entry", "hash_key"]

log = logging.getLogger(__name__)

_METHODS = (
    "completion/complete", "initialize", "ping", "prompts/get", "prompts/list", "resources/list", "resources/read",
    "resources/templates/list", "server/discover", "tools/list",
)  # fmt: skip
_KNOWN = {"", *_METHODS, *(entry.name for entry in EVERY_TOOL)}
_CHANGES = {entry.name for entry in WRITE_TOOLS}


def hash_key(key: str) -> str:
    """Return the name of an account in the audit log.

    The name is the same in every worker and does not reveal the key.
    """
    return hashlib.sha256(b"swanlab-mcp audit\0" + key.encode()).hexdigest()[:16]


class Audit:
    """Writes the audit log to a file that only its owner can read, or to standard error if the path is "-"."""

    def __init__(self, path: str) -> None:
        """Open the log file. Raises OSError if it cannot be opened."""
        self._output = sys.stderr if path == "-" else _open(Path(path))
        self._is_failing = False

    def write(self, line: dict[str, Any]) -> None:
        """Write one line. If writing fails, for example because the disk is full, log a warning once and continue."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            self._output.write(json.dumps({"time": now, **line}) + "\n")
            self._output.flush()
            self._is_failing = False
        except (OSError, ValueError) as error:
            if not self._is_failing:
                log.warning("the audit log cannot be written: %s", error)
            self._is_failing = True

    def close(self) -> None:
        if self._output is not sys.stderr:
            self._output.close()


class Entry:
    """The audit log entry for one call, collected while the response is sent."""

    def __init__(self, audit: Audit | None, metrics: Metrics | None) -> None:
        self._audit = audit
        self._metrics = metrics
        self._started = time.monotonic()
        self._status = 0
        self._body = bytearray()
        self.account = ""
        # the caller's key, which is masked in the log
        self.key = ""

    def see(self, part: Any) -> None:
        """Record the status and body of one part of the response."""
        if part["type"] == "http.response.start":
            self._status = part["status"]
        elif part["type"] == "http.response.body":
            self._body += part.get("body", b"")

    def close(self, call: Call, *, is_doubtful: bool) -> None:
        """Count the call in the metrics and write its lines to the audit log.

        `is_doubtful` means that the call ended while a change was in progress, so the outcome is unknown.
        """
        outcome, code, count = self._judge(is_doubtful=is_doubtful)
        # log unknown names as "other", because they could be any text chosen by the caller
        tool = named if (named := call.tool or call.method) in _KNOWN else "other"
        if self._metrics and call.method:
            self._metrics.count_call(tool, outcome, time.monotonic() - self._started)
        if not self._audit:
            return
        project = mask_exactly(_find_project(call.arguments), [self.key])
        about = {"account": self.account, "tool": tool, "project": project}
        took = round((time.monotonic() - self._started) * 1000)
        self._audit.write({**about, "outcome": outcome, "code": code, "ms": took})
        # a call without a confirmation changes nothing
        if call.tool in _CHANGES and call.arguments.get("confirmation"):
            change = {"account": self.account, "change": call.tool, "project": project}
            change["outcome"] = outcome if outcome in ("done", "unknown") else "not done"
            self._audit.write({**change, **({"experiments": count} if count else {})})

    def _judge(self, *, is_doubtful: bool) -> tuple[str, int, int]:
        """Return the outcome, the status or error code, and the number of experiments affected by a change."""
        if is_doubtful:
            return "unknown", self._status, 0
        if not self._status:
            return "cancelled", 0, 0
        if self._status >= 400:
            return "refused", self._status, 0
        answer: dict[str, Any] = {}
        with suppress(ValueError):
            answer = json.loads(bytes(self._body) or b"{}")
        if "error" in answer:
            return "error", answer["error"]["code"], 0
        result = cast("dict[str, Any]", answer.get("result") or {})
        reported = cast("dict[str, Any]", result.get("structuredContent") or {})
        if result.get("isError"):
            return "error", reported.get("code", 0), 0
        data = reported.get("data")
        if isinstance(data, dict) and cast("dict[str, Any]", data).get("done") is True:
            return "done", self._status, cast("dict[str, Any]", data).get("experiment_count") or 0
        return "ok", self._status, 0


def _open(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8")


def _find_project(arguments: dict[str, Any]) -> str:
    """Return the project name from the arguments, or "" if there is none.

    The workspace is omitted, because it is often named after a user.
    """
    for name, index in (("project", -1), ("exp_cuid", -2)):
        value = arguments.get(name)
        if not isinstance(value, str):
            continue
        parts = [part for part in value.split("?")[0].split("/") if part]
        owners = [number for number, part in enumerate(parts) if part.startswith("@")]
        start = owners[0] + 1 if owners else len(parts) + index
        found = parts[start : start + 1] if start >= 0 else []
        if found:
            return shorten(found[0], 100)
    return ""
