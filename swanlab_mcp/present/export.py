"""Export complete series or logs to a file.

Exports can be read by other programs, and can be used to recover data from damaged run files.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, NotFound
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Points
from swanlab_mcp.core.records import show_time, to_json_value
from swanlab_mcp.core.untrusted import neutralise, quote
from swanlab_mcp.operations.keys import match_keys
from swanlab_mcp.operations.location import ask_about_experiment, choose_only_project, resolve_experiment
from swanlab_mcp.present.new_file import open_new, refuse_existing

__all__ = ["FORMATS", "Exported", "export_log", "export_series", "guard_cell"]

FORMATS = ("csv", "json", "parquet", "log")
_LINES = 10_000
# spreadsheet programs in some languages also accept full-width signs
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")


class Exported(NamedTuple):
    """The result of an export. `where` is the path of the file or folder, and `what` describes the exported data.

    `is_whole` is false if some data could not be exported.
    """

    where: str
    what: str
    notes: Sequence[str]
    is_whole: bool = True


async def export_series(
    client: SwanLabClient,
    *,
    project: str,
    exp_cuid: str,
    username: str = "",
    keys: Sequence[str] = (),
    form: str = "csv",
    output: str = "",
    guards_formulas: bool = True,
) -> Exported:
    """Write all points of an experiment's metrics to a new file.

    By default, the file is named after the experiment's id; "-" writes to standard output.

    - csv has the columns key, step, time and value. Times are in UTC, and values may be NaN or Infinity. If
      `guards_formulas` is true, keys that a spreadsheet would run as a formula are prefixed with an apostrophe.
    - json contains the steps, the times (Unix milliseconds, 0 if unknown) and the values of each key.
    - parquet has the same columns as csv.

    Raises InvalidArgument if the file exists or cannot be written, and NotFound if there are no metrics.
    """
    if form == "parquet" and find_spec("pyarrow") is None:
        raise InvalidArgument(
            gettext("Parquet files need pyarrow, which is not installed."), hint=gettext("Use csv or json instead.")
        )
    if form == "parquet" and output == "-":
        raise InvalidArgument(
            gettext("Parquet cannot be written to standard output."), hint=gettext("Name a file with -o.")
        )
    if output not in ("", "-"):
        refuse_existing(Path(output))
    project = await choose_only_project(client, exp_cuid, project, username)
    ref = await resolve_experiment(client, exp_cuid, project, username)
    backend = client.at(ref)
    ref, logged = await ask_about_experiment(client, ref, backend.list_keys)
    known = logged.data.scalars if logged.data else ()
    wanted = match_keys(known, keys) if keys else list(known)
    if not wanted:
        raise NotFound(gettext("The experiment {cuid} has not logged any metrics.", cuid=quote(ref.cuid)))
    path = Path(output or f"{_UNUSUAL.sub('_', ref.cuid)}.{form}")
    if output != "-":
        refuse_existing(path)
    answer = await backend.read_points(ref, wanted, exact=True)
    series = answer.data or {}
    if form == "csv" and guards_formulas:
        series = {guard_cell(key): points for key, points in series.items()}
    samples = [quote(key) for key, points in series.items() if not points.is_whole]
    notes = list(answer.notes)
    if samples:
        notes.append(gettext("SwanLab only sent a sample of the points for {keys}.", keys=", ".join(samples)))
    about = {"username": ref.workspace, "project": ref.project, "exp_cuid": ref.cuid}
    stage = progress.Stage("metrics written", len(series))
    with _open(path, output, is_text=form != "parquet") as file:
        for _ in _WRITERS[form](file, series, about, notes):
            await stage.advance()
    where = gettext("standard output") if output == "-" else str(path)
    count = sum(len(points.steps) for points in series.values())
    size = gettext(
        "{points} from {metrics}",
        points=ngettext("{count} point", "{count} points", count),
        metrics=ngettext("{count} metric", "{count} metrics", len(series)),
    )
    return Exported(where, size, notes)


async def export_log(
    client: SwanLabClient, *, project: str, exp_cuid: str, username: str = "", output: str = ""
) -> Exported:
    """Write all lines of an experiment's log to a new file.

    By default, the file is named after the experiment's id; "-" writes to standard output. Control characters are only
    escaped on standard output. Raises InvalidArgument if the file exists or cannot be written, and NotFound if the log
    is empty.
    """
    if output not in ("", "-"):
        refuse_existing(Path(output))
    project = await choose_only_project(client, exp_cuid, project, username)
    ref = await resolve_experiment(client, exp_cuid, project, username)
    backend = client.at(ref)
    ref, answer = await ask_about_experiment(client, ref, backend.read_logs, start=0, count=_LINES)
    part = answer.data
    if part is None or not part.total:
        raise NotFound(gettext("No log line was recorded for {cuid}.", cuid=quote(ref.cuid)))
    path = Path(output or f"{_UNUSUAL.sub('_', ref.cuid)}.log")
    if output != "-":
        refuse_existing(path)
    stage = progress.Stage("lines", part.total)
    with _open(path, output, is_text=True) as file:
        done = 0
        while part and part.lines:
            for line in part.lines:
                file.write(f"{neutralise(line.message) if output == '-' else line.message}\n")
            done += len(part.lines)
            stage.total = max(part.total, done)
            await stage.advance(len(part.lines))
            part = (await backend.read_logs(ref, start=done, count=_LINES)).data
    return Exported(
        gettext("standard output") if output == "-" else str(path),
        ngettext("{count} line", "{count} lines", done),
        answer.notes,
    )


class _Terminal:
    """Wraps standard output on a terminal and escapes control characters."""

    def write(self, text: str) -> int:
        return sys.stdout.write(neutralise(text))


def _open(path: Path, output: str, *, is_text: bool) -> AbstractContextManager[Any]:
    if output != "-":
        return open_new(path, is_text=is_text)
    return nullcontext(_Terminal() if sys.stdout.isatty() else sys.stdout)


def guard_cell(key: str) -> str:
    """Return a key for a table cell, with an apostrophe if a spreadsheet would otherwise run it as a formula."""
    return f"'{key}" if key.startswith(_FORMULA) else key


# the writers yield after each metric, so that the caller can report progress


def _write_csv(
    file: TextIO, series: Mapping[str, Points], _about: Mapping[str, str], _notes: Sequence[str]
) -> Iterator[None]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("key", "step", "time", "value"))
    for key, points in series.items():
        for step, time, value in zip(points.steps, points.times, points.values, strict=True):
            writer.writerow((key, step, show_time(time), to_json_value(value)))
        yield


def _write_json(
    file: TextIO, series: Mapping[str, Points], about: Mapping[str, str], notes: Sequence[str]
) -> Iterator[None]:
    head = json.dumps({**about, "notes": list(notes)}, ensure_ascii=False)
    file.write(head[:-1] + ', "series": {')
    for number, (key, points) in enumerate(series.items()):
        columns = {
            "steps": list(points.steps),
            "times": list(points.times),
            "values": to_json_value(list(points.values)),
        }
        text = json.dumps(columns, separators=(",", ":"), allow_nan=False)
        file.write(f"{',' if number else ''}\n{json.dumps(key, ensure_ascii=False)}: {text}")
        yield
    file.write("\n}}\n")


def _write_parquet(
    file: Any, series: Mapping[str, Points], about: Mapping[str, str], notes: Sequence[str]
) -> Iterator[None]:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    moment = arrow.timestamp("ms", tz="UTC")
    fields = {"key": arrow.string(), "step": arrow.int64(), "time": moment, "value": arrow.float64()}
    metadata = {**about, "notes": json.dumps(list(notes), ensure_ascii=False)}
    schema = arrow.schema(list(fields.items()), metadata=metadata)
    with parquet.ParquetWriter(file, schema) as writer:
        for key, points in series.items():
            columns = [
                arrow.repeat(key, len(points.steps)),
                arrow.array(points.steps, arrow.int64()),
                arrow.array([time or None for time in points.times], moment),
                arrow.array(points.values, arrow.float64()),
            ]
            writer.write_table(arrow.table(columns, schema=schema))
            yield


_WRITERS = {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}
