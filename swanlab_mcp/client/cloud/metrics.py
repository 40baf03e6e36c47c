"""Request an experiment's metrics, logs and media from SwanLab's HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from swanlab_mcp.client.cloud.answers import NOT_OFFERED
from swanlab_mcp.client.cloud.paging import PagedLists
from swanlab_mcp.client.cloud.references import References
from swanlab_mcp.client.cloud.series import PointsTable, count_points, read_series, read_text_field
from swanlab_mcp.client.cloud.summaries import Summaries
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import (
    read_columns,
    read_keys,
    read_log,
    read_log_line,
    read_media,
    read_urls,
)
from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import gather, run_aside
from swanlab_mcp.core.errors import NotFound, SwanLabError, UnexpectedResponse
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import (
    ApiResponse,
    LoggedKeys,
    LogLine,
    LogPart,
    MediaFile,
    MediaItem,
    MediaPart,
    Points,
)
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.untrusted import quote, shorten

__all__ = ["MetricQueries"]

_KEYS_AT_ONCE = 2000
_SERIES_AT_ONCE = 16
_REQUESTS_AT_ONCE = 4
_EXPERIMENTS_AT_ONCE = 8
_SAMPLE = 1500
_SHARD = 1000


class MetricQueries:
    """Requests experiment data from the server that `transport` connects to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lists = PagedLists(transport)
        self._references = References(transport)
        self._summaries = Summaries(transport)
        self._legacy_series = False
        self._series_slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        """Determine the length of the log, then fetch each required shard of 1,000 lines once."""
        known: dict[int, list[dict[str, Any]]] = {}
        total = await self._references.ask(ref, lambda one: self._count_log_lines(one, known))
        reference = await self._references.refer(ref)
        first = max(0, total - count) if start is None else min(start, total)
        stop = min(total, first + count)
        shards = range(first // _SHARD, -(-stop // _SHARD)) if stop > first else range(0)
        lacking = [shard for shard in shards if shard not in known]
        answers = await progress.follow("log chunks", *(self._read_shard(reference, shard) for shard in lacking))
        known |= {shard: lines for shard, (lines, _) in zip(lacking, answers, strict=True)}
        shown = [
            (number, item)
            for shard in shards
            for number, item in enumerate(known[shard], shard * _SHARD)
            if first <= number < stop
        ]
        if len(shown) != stop - first:
            raise UnexpectedResponse(
                gettext(
                    "SwanLab sent only {count} of the log lines {first} to {last}.",
                    count=len(shown),
                    first=first,
                    last=stop - 1,
                ),
                hint=gettext("Send the request again."),
            )

        def read() -> list[LogLine]:
            return [read_log_line(item, number) for number, item in shown]

        # parse thousands of lines in a thread to keep the event loop free
        lines = read() if len(shown) < _SHARD else await asyncio.to_thread(read)
        return ApiResponse(data=LogPart(lines, first, total))

    async def _read_shard(self, reference: dict[str, Any], shard: int) -> tuple[list[dict[str, Any]], int]:
        params = {**reference, "epoch": shard, "size": _SHARD}
        try:
            return read_log(await self._transport.get("house", "metrics", "log", params=params))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            raise _describe_old(error, gettext("log lines")) from error

    async def _count_log_lines(self, reference: dict[str, Any], known: dict[int, list[dict[str, Any]]]) -> int:
        """Return the length of the log. If the server does not report it, find the last shard by binary search.

        The shards read along the way are added to `known`.
        """
        known.clear()

        async def measure(shard: int) -> int:
            known[shard], _ = await self._read_shard(reference, shard)
            return len(known[shard])

        known[0], reported = await self._read_shard(reference, 0)
        if reported > _SHARD or len(known[0]) < _SHARD:
            return max(reported, len(known[0]))
        full, beyond = 0, 1
        while (size := await measure(beyond)) == _SHARD:
            full, beyond = beyond, beyond * 2
        while not size and beyond - full > 1:
            middle = (full + beyond) // 2
            length = await measure(middle)
            if length == _SHARD:
                full = middle
            elif length:
                return middle * _SHARD + length
            else:
                beyond = middle
        return beyond * _SHARD + size if size else (full + 1) * _SHARD

    async def list_keys(self, ref: ExperimentRef, *, with_media: bool = True) -> ApiResponse[LoggedKeys]:
        async def ask(reference: dict[str, Any]) -> list[list[str]]:
            wanted = ("scalar", "media") if with_media else ("scalar",)
            kinds = await gather(*(self._list_keys(reference, kind) for kind in wanted))
            return kinds if any(kinds) else []

        return ApiResponse(data=LoggedKeys(*(await self._references.ask(ref, ask) or [()])))

    async def _list_keys(self, reference: dict[str, Any], kind: str) -> list[str]:
        """Return the scalar or media keys. Fall back to the legacy column list if the current format is unsupported."""
        refused: SwanLabError | None = None
        if not self._legacy_series:
            try:
                return await self._list_current_keys(reference, kind)
            except SwanLabError as error:
                if error.status not in NOT_OFFERED:
                    raise
                refused = error
        try:
            path = ("experiment", _as_root(reference)["experimentId"], "column")
            items, _ = await self._lists.read(path, {}, _keep, 0, None, gettext("metric keys"))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            raise _describe_old(refused or error, gettext("metric keys")) from error
        self._legacy_series = True
        return [key for key, is_scalar in read_columns(items).items() if is_scalar == (kind == "scalar")]

    async def _list_current_keys(self, reference: dict[str, Any], kind: str) -> list[str]:
        requested = _as_root(reference)
        keys: list[str] = []
        cursor = ""
        while True:
            body = {"experiments": [requested], "limit": _KEYS_AT_ONCE, "cursor": cursor}
            found, cursor = read_keys(await self._transport.query("house", "metrics", kind, "keys", body=body))
            keys += found
            if not cursor:
                return keys

    async def read_points(
        self, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        """Fetch the points of the keys, 16 keys per request. If a key has no points, check whether it was logged."""

        async def read(reference: dict[str, Any], part: Sequence[str]) -> dict[str, Points]:
            async with self._series_slots:
                return await (self._read_whole(reference, part) if exact else self._read_part(reference, part))

        parts = [keys[start : start + _SERIES_AT_ONCE] for start in range(0, len(keys), _SERIES_AT_ONCE)]

        async def ask(reference: dict[str, Any]) -> dict[str, Points]:
            found = {
                key: points
                for part in await progress.follow("metric batches", *(read(reference, part) for part in parts))
                for key, points in part.items()
            }
            bare = [key for key in keys if not found.get(key, Points()).steps]
            logged = set(await self._list_keys(reference, "scalar")) if bare else set[str]()
            lost = [key for key in bare if key in logged and key not in found]
            if lost and exact:
                raise UnexpectedResponse(
                    gettext("SwanLab's export lacks the metric {key!r}.", key=shorten(lost[0])),
                    hint=gettext("Send the request again."),
                )
            return {key: found.get(key, Points()) for key in keys if key not in bare or key in logged}

        return ApiResponse(data=await self._references.ask(ref, ask))

    async def read_series(
        self, refs: Sequence[ExperimentRef], keys: Sequence[str], *, exact: bool
    ) -> list[dict[str, Points]]:
        room = asyncio.Semaphore(_EXPERIMENTS_AT_ONCE)

        async def read(ref: ExperimentRef) -> dict[str, Points]:
            async with room:
                return (await self.read_points(ref, keys, exact=exact)).data or {}

        return await progress.follow("experiments", *map(read, refs))

    async def _read_whole(self, reference: dict[str, Any], keys: Sequence[str]) -> dict[str, Points]:
        """Read every point. Retry once if points at the end are missing, then raise an error."""
        answers: list[Any] = await gather(
            self._read_part(reference, keys, exact=True), self._summaries.find_last_steps(reference, keys)
        )
        points: dict[str, Points] = answers[0]
        ends: dict[str, int] = answers[1]
        if _find_short(points, ends):
            points = await self._read_part(reference, keys, exact=True)
        short = _find_short(points, ends)
        if short:
            raise UnexpectedResponse(
                gettext(
                    "SwanLab's export of the metric {key!r} lacks points: the metric's summary ends at step {step}.",
                    key=shorten(short[0]),
                    step=ends[short[0]],
                ),
                hint=gettext("Try again; a sample of the points (mode 'sampled') does not need the export."),
            )
        return points

    async def _read_part(
        self, reference: dict[str, Any], keys: Sequence[str], *, exact: bool = False
    ) -> dict[str, Points]:
        """Read points in the current format. If the server does not support it, read one key at a time."""
        if not self._legacy_series:
            try:
                return await (self._export_points if exact else self._sample_points)(reference, keys)
            except SwanLabError as error:
                if error.status not in NOT_OFFERED:
                    raise
        columns = await gather(*(self._read_column(reference, key) for key in keys))
        return {key: points for column in columns for key, points in column.items()}

    async def _read_column(self, reference: dict[str, Any], key: str) -> dict[str, Points]:
        """Return all points of a key from the export of an old server, or {} if the key does not exist."""
        try:
            path = ("experiment", _as_root(reference)["experimentId"], "column", "csv")
            url = read_text_field(await self._transport.get(*path, params={"key": key}), "url")
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            return {}
        table = PointsTable(None, [key])
        async with aclosing(self._transport.download(url)) as lines:
            async for line in lines:
                table.add(line)
        return table.get_points()

    async def _sample_points(self, reference: dict[str, Any], keys: Sequence[str]) -> dict[str, Points]:
        body = {
            "projectId": reference["projectId"],
            "xType": "step",
            "range": [0, 0],
            "columns": [{**reference, "key": key} for key in keys],
            "num": _SAMPLE,
        }
        answer = await self._transport.query("house", "metrics", "scalar", body=body)
        series = await run_aside(partial(read_series, answer, _SAMPLE), count_points(answer))
        return {key: points for key, points in series.items() if key in keys}

    async def _export_points(self, reference: dict[str, Any], keys: Sequence[str]) -> dict[str, Points]:
        name = reference["experimentId"]
        columns = [{**reference, "key": key, "experimentName": name} for key in keys]
        body = {"projectId": reference["projectId"], "columns": columns}
        path = read_text_field(await self._transport.query("house", "metrics", "scalar", "export", body=body), "cosKey")
        (url,) = read_urls(await self._transport.query("files", "presigned", "get", body={"paths": [path]}), 1)
        table = PointsTable(name, keys)
        async with aclosing(self._transport.download(url)) as lines:
            async for line in lines:
                table.add(line)
        return table.get_points()

    async def list_media(self, ref: ExperimentRef, key: str, *, step: int | None = None) -> ApiResponse[MediaPart]:
        async def ask(reference: dict[str, Any]) -> MediaPart | None:
            body: dict[str, Any] = {"projectId": reference["projectId"], "columns": [{**reference, "key": key}]}
            if step is not None:
                body["step"] = step
            part = read_media(await self._transport.query("house", "metrics", "media", body=body), key)
            return part if part.steps else None

        part = await self._references.ask(ref, ask) or MediaPart((), None, ())
        return ApiResponse(data=part if step in (None, part.step) else MediaPart(part.steps, None, ()))

    async def read_media(
        self, ref: ExperimentRef, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        """Download media files, with one request for the URLs. A clone's files are stored under its root experiment.

        A missing file has neither content nor size, and is mentioned in a note.
        """
        reference = _as_root(await self._references.refer(ref))
        body = {
            "prefix": f"{reference['projectId']}/{reference['experimentId']}",
            "paths": [item.path for item in items],
        }
        urls = read_urls(await self._transport.query("resources", "presigned", "get", body=body), len(items))
        notes: list[str] = []

        async def fetch(url: str, item: MediaItem) -> MediaFile:
            try:
                return await self._transport.fetch(url, limit)
            except NotFound:
                name = quote(PurePosixPath(item.path).name)
                notes.append(
                    gettext(
                        "{key} at step {step}: SwanLab's storage has no file {name}.",
                        key=quote(item.key),
                        step=item.step,
                        name=name,
                    )
                )
                return MediaFile(None, None)

        files = await progress.follow("files", *(fetch(url, item) for url, item in zip(urls, items, strict=True)))
        return ApiResponse(data=files, notes=notes)


def _find_short(points: Mapping[str, Points], ends: Mapping[str, int]) -> list[str]:
    """Return the keys whose points end before the expected last step. Points after that step are allowed."""
    return [key for key, end in ends.items() if key in points and max(points[key].steps, default=-1) < end]


def _describe_old(error: SwanLabError, what: str) -> SwanLabError:
    return type(error)(
        error.message,
        hint=gettext(
            "This SwanLab server does not return {what}; it may be too old. get_exp_summary "
            "and get_experiment still work.",
            what=what,
        ),
        status=error.status,
        trace_id=error.trace_id,
    )


def _as_root(reference: dict[str, Any]) -> dict[str, Any]:
    """Replace a clone's ids in a reference with the ids of its root experiment, as some endpoints require."""
    root = {"projectId": reference.get("rootProId"), "experimentId": reference.get("rootExpId")}
    return {**reference, **{name: value for name, value in root.items() if value}}


def _keep(item: dict[str, Any]) -> dict[str, Any]:
    return item
