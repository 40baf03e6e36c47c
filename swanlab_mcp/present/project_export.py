"""Export the configs, summaries and series of complete projects to a folder that databases can query."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote as escape
from urllib.parse import unquote

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core import progress
from swanlab_mcp.core.errors import InvalidArgument, SwanLabError
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import Experiment, MetricSummary, Points, Summary
from swanlab_mcp.core.records import show_time, to_json_value
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef
from swanlab_mcp.core.untrusted import quote
from swanlab_mcp.operations.keys import match_known_keys
from swanlab_mcp.operations.location import ask_about_project
from swanlab_mcp.operations.reading import note_failures, read_all, read_projects
from swanlab_mcp.operations.scope import list_located
from swanlab_mcp.present.export import Exported, guard_cell
from swanlab_mcp.present.new_file import open_new

__all__ = ["export_projects"]

_AT_ONCE = 4
_ABANDONED = 600  # seconds
_CHUNK = 2**20  # bytes
_MARK = "_done.json"  # dataset readers ignore file names that start with an underscore
_SUFFIXES = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}
_LONGEST = 230  # bytes; most file systems allow 255 for the name of a folder
_SERIES = {"key": "string", "step": "int64", "time": "string", "value": "double"}
_TEXTS = "experiment name state created finished user group job labels description config"
_EXPERIMENTS: Mapping[str, str] = {str(name): "string" for name in _TEXTS.split()}
_SUMMARIES = {
    "experiment": "string",
    "key": "string",
    "step": "int64",
    "value": "double",
    "min": "double",
    "min_step": "int64",
    "max": "double",
    "max_step": "int64",
}

Row = Sequence[Any]


class _Done(NamedTuple):
    """The result of exporting one project.

    `written` is the number of series files that were written, and `filled` is the number of experiments with points.
    """

    experiments: int
    written: int
    filled: int
    is_whole: bool
    notes: Sequence[str]


class _Form(NamedTuple):
    """The format of the exported files."""

    name: str
    guards_formulas: bool

    @property
    def suffix(self) -> str:
        return _SUFFIXES[self.name]


async def export_projects(
    client: SwanLabClient,
    *,
    project: str,
    username: str = "",
    keys: Sequence[str] = (),
    form: str = "csv",
    output: str = "",
    guards_formulas: bool = True,
) -> Exported:
    """Export all experiments in one or more projects to the folder `output`, or update an earlier export.

    The tables `experiments`, `summaries` and `series` are partitioned by workspace and project, and `series` is also
    partitioned by experiment. A repeated export only reads the series that have changed. Raises InvalidArgument if the
    folder contains other files or an export in another format. Raises the first error if no project can be read.
    """
    chosen = _Form(form, guards_formulas)
    root = Path(output or "swanlab-export")
    _prepare(root, chosen)
    located, notes = await list_located(client, project, username)

    async def read(ref: ProjectRef) -> _Done:
        return await _export_project(client, ref, root, chosen, keys)

    answers, failed = await read_projects([one.ref for one in located], read)
    notes += note_failures(failed, len(located))
    if keys and not any(one.filled for one in answers.values()):
        notes.append(gettext("No experiment has a metric that matches {keys}.", keys=quote(", ".join(keys), 400)))
    is_whole = not notes and all(one.is_whole for one in answers.values())
    notes += [note for one in answers.values() for note in one.notes]
    what = gettext(
        "{experiments} from {projects}, {written} written",
        experiments=ngettext(
            "{count} experiment", "{count} experiments", sum(one.experiments for one in answers.values())
        ),
        projects=ngettext("{count} project", "{count} projects", len(answers)),
        written=sum(one.written for one in answers.values()),
    )
    return Exported(str(root), what, list(dict.fromkeys(notes)), is_whole)


def _prepare(root: Path, form: _Form) -> None:
    """Create the export folder.

    Raises InvalidArgument if this fails, or if the folder contains other files or an export in another format.
    """
    if form.name == "parquet" and find_spec("pyarrow") is None:
        raise InvalidArgument(
            gettext("Parquet files need pyarrow, which is not installed."), hint=gettext("Use csv or json instead.")
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        about = root / "_export.json"
        known: Any = json.loads(about.read_text(encoding="utf-8")) if about.exists() else None
        is_foreign = known is None and any(root.iterdir())
    except (OSError, ValueError) as error:
        raise _refuse(root, error) from error
    if is_foreign or (known is not None and known != {"format": form.name, "version": 1}):
        raise InvalidArgument(
            gettext("The folder {path} does not contain a {name} export.", path=root, name=form.name),
            hint=gettext("Name another folder with -o."),
        )
    with open_new(about, is_text=True, is_forced=True) as file:
        json.dump({"format": form.name, "version": 1}, file)


async def _export_project(
    client: SwanLabClient, ref: ProjectRef, root: Path, form: _Form, keys: Sequence[str]
) -> _Done:
    backend = client.at(ref)
    listed = await ask_about_project(client, ref, backend.list_experiments)
    experiments = listed.data or []
    summaries = (await backend.get_summaries(ref, experiments)).data or {} if experiments else {}
    _write_tables(ref, root, form, experiments, summaries)
    stage = progress.Stage("experiments", len(experiments))
    samples: list[str] = []
    filled: list[bool] = []
    failures: list[str] = []

    async def export(one: Experiment) -> bool:
        folder = _make_folder(root / "series", ref.experiment(one.cuid))
        mark = {
            "state": one.state,
            "finished": one.finishedAt,
            "keys": list(keys),
            "guards_formulas": form.guards_formulas,
            "last": _digest(summaries.get(one.cuid, {})),
        }
        known = _read_mark(folder, form)
        is_new = known.get("written") != mark
        if is_new:
            try:
                series = await _read_series(client, ref.experiment(one.cuid), keys)
            except SwanLabError as error:
                failures.append(f"{quote(ref.experiment(one.cuid).path, 400)}: {error}")
                return False
            samples.extend(one.cuid for points in series.values() if not points.is_whole)
            content = _write(folder / f"series.{form.suffix}", form, _SERIES, _list_points(series))
            has_points = any(points.steps for points in series.values())
            known = {"written": mark, "has_points": has_points, "sha256": content}
            with open_new(folder / _MARK, is_text=True, is_forced=True) as file:
                json.dump(known, file)
        filled.append(bool(known.get("has_points")))
        await stage.advance()
        return is_new

    written = await read_all(experiments, export, at_once=_AT_ONCE)
    notes = list(listed.notes)
    if failures:
        notes.append(
            ngettext(
                "Incomplete: the series of {count} experiment could not be read ({reasons}).",
                "Incomplete: the series of {count} experiments could not be read ({reasons}).",
                len(failures),
                reasons=gettext("; ").join(failures[:3]),
            )
        )
    if samples:
        names = ", ".join(dict.fromkeys(samples[:10]))
        notes.append(gettext("SwanLab only sent a sample of the points for {keys}.", keys=names))
    return _Done(len(experiments), sum(written), sum(filled), not failures, notes)


def _write_tables(
    ref: ProjectRef, root: Path, form: _Form, experiments: Sequence[Experiment], summaries: Mapping[str, Summary]
) -> None:
    _write(
        _make_folder(root / "experiments", ref) / f"experiments.{form.suffix}",
        form,
        _EXPERIMENTS,
        _describe(experiments),
    )
    rows = [row for one in experiments for row in _summarise(_name(one), summaries.get(one.cuid, {}))]
    _write(_make_folder(root / "summaries", ref) / f"summaries.{form.suffix}", form, _SUMMARIES, rows)


async def _read_series(client: SwanLabClient, ref: ExperimentRef, keys: Sequence[str]) -> Mapping[str, Points]:
    backend = client.at(ref)
    logged = (await backend.list_keys(ref, with_media=False)).data
    known = logged.scalars if logged else ()
    # some experiments may lack some of the metrics
    wanted, _ = match_known_keys(known, keys) if keys else (list(known), None)
    if not wanted:
        return {}
    return (await backend.read_points(ref, wanted, exact=True)).data or {}


def _make_folder(base: Path, ref: ProjectRef | ExperimentRef) -> Path:
    """Create the folder of a partition, and remove temporary files that an earlier export left behind.

    Characters in names that could change the path are escaped.
    """
    folder = base / f"workspace={_escape(ref.workspace)}" / f"project={_escape(ref.project)}"
    if isinstance(ref, ExperimentRef):
        folder /= f"experiment={_escape(ref.cuid)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refuse(folder, error) from error
    for part in folder.glob(".swanlab-*.part"):
        # left behind by an export that was killed; newer files may belong to an export that is still running
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
    return folder


def _refuse(path: Path, error: Exception) -> InvalidArgument:
    why = getattr(error, "strerror", None) or type(error).__name__
    return InvalidArgument(
        gettext("{path} cannot be written ({why}).", path=path, why=why), hint=gettext("Name another folder with -o.")
    )


def _escape(name: str) -> str:
    """Escape a name for use in a partition folder. Long names are truncated and end in a hash.

    Spark decodes escaped bytes one at a time, so only ASCII characters may be escaped.
    """
    parts = [one if one.isprintable() and not one.isascii() else escape(one, "+", errors="replace") for one in name]
    whole = "".join(parts)
    if len(whole.encode()) <= _LONGEST:
        return whole
    digest = sha256(whole.encode()).hexdigest()[:16]
    lengths = accumulate(len(part.encode()) for part in parts)
    kept = [part for part, end in zip(parts, lengths, strict=True) if end < _LONGEST - len(digest)]
    return f"{''.join(kept)}~{digest}"


def _read_mark(folder: Path, form: _Form) -> Mapping[str, Any]:
    """Return what an earlier export recorded about the series in a folder, or {} if the record is invalid."""
    try:
        known = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        content = _hash(folder / f"series.{form.suffix}")
    except (OSError, ValueError):
        return {}
    # the hash reveals whether another export has replaced the file with older points
    is_own = isinstance(known, dict) and cast("dict[str, Any]", known).get("sha256") == content
    return cast("dict[str, Any]", known) if is_own else {}


def _hash(path: Path) -> str:
    found = sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            found.update(part)
    return found.hexdigest()


def _digest(summary: Summary) -> list[Any]:
    """Return the part of a summary that changes when points are added or corrected."""
    return [[key, *to_json_value([one.step, one.value, *_read_extremes(one)])] for key, one in sorted(summary.items())]


def _name(experiment: Experiment) -> str:
    """Return an experiment's id as readers of partitioned data sets decode it from the folder name."""
    return unquote(_escape(experiment.cuid))


def _describe(experiments: Sequence[Experiment]) -> list[Row]:
    return [
        (
            _name(one),
            one.name,
            one.state,
            one.createdAt,
            one.finishedAt,
            one.user.get("username"),
            one.group,
            one.job,
            json.dumps(one.labels, ensure_ascii=False),
            one.description,
            json.dumps(to_json_value(one.profile.get("config") or {}), ensure_ascii=False),
        )
        for one in experiments
    ]


def _summarise(cuid: str, summary: Summary) -> Iterable[Row]:
    for key, one in summary.items():
        yield (cuid, key, one.step, one.value, *_read_extremes(one))


def _read_extremes(one: MetricSummary) -> Row:
    low, high = one.min, one.max
    return (
        low.value if low else None,
        low.step if low else None,
        high.value if high else None,
        high.step if high else None,
    )


def _list_points(series: Mapping[str, Points]) -> Iterable[Row]:
    for key, points in series.items():
        for step, moment, value in zip(points.steps, points.times, points.values, strict=True):
            yield (key, step, show_time(moment) or None, value)


def _write(path: Path, form: _Form, columns: Mapping[str, str], rows: Iterable[Row]) -> str:
    """Write a file and replace the old version once the new one is complete. Return the hash of the content."""
    with open_new(path, is_text=form.name != "parquet", is_forced=True) as file:
        if form.name == "csv":
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            guard = guard_cell if form.guards_formulas else str
            writer.writerows(
                [guard(one) if isinstance(one, str) else to_json_value(one) for one in row] for row in rows
            )
        elif form.name == "json":
            for row in rows:
                text = json.dumps(dict(zip(columns, to_json_value(list(row)), strict=True)), ensure_ascii=False)
                file.write(f"{text}\n")
        else:
            _write_parquet(file, columns, list(rows))
        file.flush()
        return _hash(Path(file.name))


def _write_parquet(file: Any, columns: Mapping[str, str], rows: Sequence[Row]) -> None:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    types = {"string": arrow.string(), "int64": arrow.int64(), "double": arrow.float64()}
    arrays = [arrow.array([row[index] for row in rows], types[kind]) for index, kind in enumerate(columns.values())]
    parquet.write_table(arrow.table(arrays, names=list(columns)), file)
