"""CloudClient: SwanLab's HTTP API as answers (wire page, sections 1 to 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote

from swanlab_mcp.client.cloud.answers import NOT_OFFERED
from swanlab_mcp.client.cloud.paging import LARGEST_PAGE, HandOn, PagedLists
from swanlab_mcp.client.cloud.references import References
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.wire import (
    PointsTable,
    is_object,
    read_columns,
    read_experiment,
    read_keys,
    read_list,
    read_log,
    read_log_line,
    read_media,
    read_project,
    read_reference,
    read_series,
    read_summary,
    read_text_field,
    read_urls,
    read_user,
    read_workspace,
    write_filter,
)
from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import gather
from swanlab_mcp.core.errors import NotFound, SwanLabError, UnexpectedResponse
from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    Filter,
    LoggedKeys,
    LogLine,
    LogPart,
    MediaFile,
    MediaItem,
    MediaPart,
    Narrowed,
    Page,
    Points,
    Project,
    Summary,
    User,
    Workspace,
)
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, Ref, WorkspaceRef
from swanlab_mcp.core.untrusted import shorten

__all__ = ["CloudClient"]

T = TypeVar("T")

_KEYS_AT_ONCE = 2000
_SERIES_AT_ONCE = 16
_REQUESTS_AT_ONCE = 4
_SAMPLE = 1500
_SHARD = 1000
_PROFILES_AT_ONCE = 20
_SUMMARIES_AT_ONCE = 300


class CloudClient:
    """Answers from the SwanLab server that `transport` reaches; links lead to `web_host`."""

    def __init__(self, transport: Transport, web_host: str) -> None:
        self._transport = transport
        self._lists = PagedLists(transport)
        self._references = References(transport)
        self._web_host = web_host
        self._writes = 0
        self._legacy_summaries = False
        self._lacks_shows = False
        self._legacy_series = False
        self._series_slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def get_username(self) -> str:
        return (await self._transport.sign_in()).username

    def get_link(self, ref: Ref) -> str:
        parts = [f"@{quote(ref.workspace, safe='')}"]
        if not isinstance(ref, WorkspaceRef):
            parts.append(quote(ref.project, safe="<>"))
        if isinstance(ref, ExperimentRef):
            parts += ["runs", quote(ref.cuid, safe="<>"), "chart"]
        return "/".join([self._web_host, *parts])

    async def get_user(self) -> ApiResponse[User]:
        session = await self._transport.sign_in()
        profile = await self._transport.get("user", "profile")
        return ApiResponse(data=read_user(profile, session.username, session.name))

    async def get_workspace(self, ref: WorkspaceRef) -> ApiResponse[Workspace]:
        return ApiResponse(data=read_workspace(await self._transport.get("group", ref.workspace)))

    async def get_project(self, ref: ProjectRef) -> ApiResponse[Project]:
        return ApiResponse(data=read_project(await self._transport.get("project", ref.workspace, ref.project)))

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]:
        """Merge the legacy and the current list by username and make sure of the personal workspace (section 2)."""
        session = await self._transport.sign_in()
        answers = await gather(
            self._try_list("group", ""),
            self._try_list("user", session.username, "groups"),
        )
        lists = [answer for answer in answers if not isinstance(answer, SwanLabError)]
        if not lists:
            raise next(answer for answer in answers if isinstance(answer, SwanLabError))
        found: dict[str, Workspace] = {}
        for workspace in (read_workspace(item) for items in lists for item in items):
            known = found.get(workspace.username, workspace)
            found[workspace.username] = Workspace(
                name=known.name or workspace.name, username=workspace.username, role=known.role or workspace.role
            )
        own = found.pop(session.username, None) or Workspace(name=session.name, username=session.username, role="OWNER")
        workspaces = [Workspace(name=own.name, username=own.username, role=own.role or "OWNER"), *found.values()]
        return ApiResponse(data=workspaces, page=Page(returned=len(workspaces), total=len(workspaces)))

    async def list_projects(
        self,
        ref: WorkspaceRef,
        *,
        offset: int = 0,
        limit: int | None = None,
        search: str = "",
        sort: str = "",
        detail: bool = True,
    ) -> ApiResponse[list[Project]]:
        params = {"detail": "true" if detail else "false"}
        params |= {name: value for name, value in (("search", search), ("sort", sort)) if value}
        path = ("project", ref.workspace)
        projects, total = await self._lists.read(path, params, read_project, offset, limit, say("projects"))
        return ApiResponse(data=projects, page=Page(returned=len(projects), total=total))

    async def list_experiments(
        self, ref: ProjectRef, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        experiments, total = await self._read_experiments(ref, offset, limit)
        return ApiResponse(data=experiments, page=Page(returned=len(experiments), total=total))

    async def narrow_experiments(
        self, ref: ProjectRef, filters: Sequence[Filter], keys: Sequence[str] = ()
    ) -> ApiResponse[Narrowed]:
        """Let SwanLab apply what it can; whatever it does not tell about configs is read where that costs less."""
        items = {id(one): item for one in filters if (item := write_filter(one))}
        if items and not self._lacks_shows:
            found = await self._show_experiments(ref, list(items.values()))
            if found is not None:
                applied = [one for one in filters if id(one) in items]
                told = await self.get_summaries(ref, found, keys) if keys else ApiResponse(data={})
                return ApiResponse(data=Narrowed(found, told.data or {}, applied, is_whole=False))
        if not keys:
            answer = await self.list_experiments(ref)
            return ApiResponse(data=Narrowed(answer.data or (), {}))
        return ApiResponse(data=await self._list_summarised(ref, keys))

    async def _list_summarised(self, ref: ProjectRef, keys: Sequence[str]) -> Narrowed:
        """Return all experiments of a project; summaries are asked for while further pages are on their way."""
        summaries: dict[str, Summary] = {}
        experiments: list[Experiment] = []
        waiting: list[dict[str, Any]] = []
        stage: progress.Stage | None = None

        async def summarise(items: list[dict[str, Any]], total: int, *, is_last: bool) -> None:
            nonlocal stage
            own = stage = stage or progress.Stage("summaries", total)
            waiting.extend(items)
            if is_last:
                # a list that is read again begins anew
                stage = None
            elif len(waiting) <= _SUMMARIES_AT_ONCE - LARGEST_PAGE:
                return
            batch = waiting.copy()
            waiting.clear()
            if not batch:
                return
            project_id = await self._references.find_project_id(ref)
            summaries.update(await self._read_summaries([read_reference(item, project_id) for item in batch], keys))
            if total > _SUMMARIES_AT_ONCE:
                await own.advance(len(batch))

        async def read_list_of_all() -> None:
            nonlocal experiments
            experiments, _ = await self._read_experiments(ref, 0, None, summarise)

        async def look_up() -> None:
            await self._references.find_project_id(ref)

        await gather(read_list_of_all(), look_up())
        # a list that is read again may have lost some
        return Narrowed(experiments, {one.cuid: summaries[one.cuid] for one in experiments})

    async def _read_experiments(
        self, ref: ProjectRef, offset: int, limit: int | None, hand_on: HandOn | None = None
    ) -> tuple[list[Experiment], int]:
        path = ("project", ref.workspace, ref.project, "runs")
        return await self._lists.read(path, {}, read_experiment, offset, limit, say("experiments"), hand_on)

    async def _show_experiments(self, ref: ProjectRef, filters: Sequence[dict[str, Any]]) -> list[Experiment] | None:
        """Return what `runs/shows` lets through, None where it is not offered or the whole list costs less."""
        body: dict[str, Any] = {"filters": filters, "groups": [], "sorts": []}
        try:
            answer = await self._transport.query("project", ref.workspace, ref.project, "runs", "shows", body=body)
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            # an unknown project is told by the list that is read instead
            await self._references.find_project_id(ref)
            self._lacks_shows = True
            return None
        items = {str(item.get("cuid")): item for item in read_list(answer, say("experiments"))}
        bare = [item for item in items.values() if "profile" not in item]
        if len(bare) > _PROFILES_AT_ONCE:
            return None
        found = {cuid: read_experiment(item) for cuid, item in items.items()}
        for one in await progress.follow(
            "experiments", *(self.get_experiment(ref.experiment(str(item["cuid"]))) for item in bare)
        ):
            if one.data:
                config = {part: value for part, value in one.data.profile.items() if part == "config"}
                found[one.data.cuid] = one.data.model_copy(update={"profile": config})
        return list(found.values())

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        return ApiResponse(
            data=read_experiment(await self._transport.get("project", ref.workspace, ref.project, "runs", ref.cuid))
        )

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        async def ask(reference: dict[str, Any]) -> Summary:
            return (await self._read_summaries([reference]))[reference["experimentId"]]

        return ApiResponse(data=await self._references.ask(ref, ask))

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Ask for 300 experiments at a time, in parallel; what servers send beyond the keys is dropped."""
        project_id = await self._references.find_project_id(ref)
        references = [read_reference(experiment, project_id) for experiment in experiments]
        batches = [
            references[start : start + _SUMMARIES_AT_ONCE] for start in range(0, len(references), _SUMMARIES_AT_ONCE)
        ]
        stage = progress.Stage("summaries", len(references))

        async def read(batch: list[dict[str, Any]]) -> dict[str, Summary]:
            answer = await self._read_summaries(batch, keys)
            if len(batches) > 1:
                await stage.advance(len(batch))
            return answer

        answers = await gather(*map(read, batches))
        return ApiResponse(data={cuid: summary for answer in answers for cuid, summary in answer.items()})

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        """Fetch the shards of 1,000 lines that are needed, once each; first find where the log ends."""
        known: dict[int, list[dict[str, Any]]] = {}
        total = await self._references.ask(ref, lambda one: self._count_log_lines(one, known))
        reference = await self._references.refer(ref)
        first = max(0, total - count) if start is None else min(start, total)
        stop = min(total, first + count)
        shards = range(first // _SHARD, -(-stop // _SHARD)) if stop > first else range(0)
        lacking = [shard for shard in shards if shard not in known]
        answers = await progress.follow("parts of the log", *(self._read_shard(reference, shard) for shard in lacking))
        known |= {shard: lines for shard, (lines, _) in zip(lacking, answers, strict=True)}
        shown = [
            (number, item)
            for shard in shards
            for number, item in enumerate(known[shard], shard * _SHARD)
            if first <= number < stop
        ]
        if len(shown) != stop - first:
            raise UnexpectedResponse(
                say(
                    "SwanLab gave {count} of the log's lines {first} to {last}.",
                    count=len(shown),
                    first=first,
                    last=stop - 1,
                ),
                hint=say("Ask again."),
            )

        def read() -> list[LogLine]:
            return [read_log_line(item, number) for number, item in shown]

        # of thousands of lines, other calls go on meanwhile
        lines = read() if len(shown) < _SHARD else await asyncio.to_thread(read)
        return ApiResponse(data=LogPart(lines, first, total))

    async def _read_shard(self, reference: dict[str, Any], shard: int) -> tuple[list[dict[str, Any]], int]:
        params = {**reference, "epoch": shard, "size": _SHARD}
        try:
            return read_log(await self._transport.get("house", "metrics", "log", params=params))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            raise _tell_old(error, say("log lines")) from error

    async def _count_log_lines(self, reference: dict[str, Any], known: dict[int, list[dict[str, Any]]]) -> int:
        """Return the log's length; some servers tell it, others only how many lines a shard has (section 8).

        `known` gets the shards that were read on the way.
        """
        known.clear()

        async def measure(shard: int) -> int:
            known[shard], _ = await self._read_shard(reference, shard)
            return len(known[shard])

        known[0], told = await self._read_shard(reference, 0)
        if told > _SHARD or len(known[0]) < _SHARD:
            return max(told, len(known[0]))
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

    async def list_keys(self, ref: ExperimentRef) -> ApiResponse[LoggedKeys]:
        async def ask(reference: dict[str, Any]) -> list[list[str]]:
            kinds = await gather(self._list_keys(reference, "scalar"), self._list_keys(reference, "media"))
            return kinds if any(kinds) else []

        scalars, media = await self._references.ask(ref, ask) or ((), ())
        return ApiResponse(data=LoggedKeys(scalars, media))

    async def _list_keys(self, reference: dict[str, Any], kind: str) -> list[str]:
        """Ask in the current form; servers that do not know it list their columns, from then on (section 5)."""
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
            items, _ = await self._lists.read(path, {}, _keep, 0, None, say("metric keys"))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            raise _tell_old(refused or error, say("metric keys")) from error
        self._legacy_series = True
        return [key for key, is_scalar in read_columns(items).items() if is_scalar == (kind == "scalar")]

    async def _list_current_keys(self, reference: dict[str, Any], kind: str) -> list[str]:
        asked = _as_root(reference)
        keys: list[str] = []
        cursor = ""
        while True:
            body = {"experiments": [asked], "limit": _KEYS_AT_ONCE, "cursor": cursor}
            found, cursor = read_keys(await self._transport.query("house", "metrics", kind, "keys", body=body))
            keys += found
            if not cursor:
                return keys

    async def read_points(
        self, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        """Ask for 16 keys at a time; a key without points is looked up among the keys that were logged."""

        async def read(reference: dict[str, Any], part: Sequence[str]) -> dict[str, Points]:
            async with self._series_slots:
                if not self._legacy_series:
                    try:
                        return await (self._export_points if exact else self._sample_points)(reference, part)
                    except SwanLabError as error:
                        if error.status not in NOT_OFFERED:
                            raise
                columns = await gather(*(self._read_column(reference, key) for key in part))
            return {key: points for column in columns for key, points in column.items()}

        parts = [keys[start : start + _SERIES_AT_ONCE] for start in range(0, len(keys), _SERIES_AT_ONCE)]

        async def ask(reference: dict[str, Any]) -> dict[str, Points]:
            found = {
                key: points
                for part in await progress.follow("parts of the metrics", *(read(reference, part) for part in parts))
                for key, points in part.items()
            }
            bare = [key for key in keys if not found.get(key, Points()).steps]
            logged = set(await self._list_keys(reference, "scalar")) if bare else set[str]()
            lost = [key for key in bare if key in logged and key not in found]
            if lost and exact:
                raise UnexpectedResponse(
                    say("SwanLab's export lacks the metric {key!r}.", key=shorten(lost[0])), hint=say("Ask again.")
                )
            return {key: found.get(key, Points()) for key in keys if key not in bare or key in logged}

        return ApiResponse(data=await self._references.ask(ref, ask))

    async def _read_column(self, reference: dict[str, Any], key: str) -> dict[str, Points]:
        """Return one key's points as old servers export them: all of them; nothing where there is no such key."""
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
        return {key: points for key, points in read_series(answer, _SAMPLE).items() if key in keys}

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
        """Ask for all addresses at once; the files of a clone lie under its root's ids.

        A file that is missing has neither content nor size, and a note.
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
                name = shorten(PurePosixPath(item.path).name)
                notes.append(
                    say(
                        "{key} at step {step}: SwanLab's storage has no file {name}.",
                        key=shorten(item.key),
                        step=item.step,
                        name=name,
                    )
                )
                return MediaFile(None, None)

        files = await progress.follow("files", *(fetch(url, item) for url, item in zip(urls, items, strict=True)))
        return ApiResponse(data=files, notes=notes)

    @property
    def writes(self) -> int:
        return self._writes

    def get_secrets(self) -> tuple[str, ...]:
        return self._transport.secrets

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Let SwanLab judge: whoever may write there, may."""

    async def delete_experiment(self, ref: ExperimentRef) -> None:
        try:
            await self._transport.change("DELETE", "project", ref.workspace, ref.project, "runs", ref.cuid)
        finally:
            self._note_write(ref)

    async def delete_project(self, ref: ProjectRef) -> None:
        try:
            await self._transport.change("DELETE", "project", ref.workspace, ref.project)
        finally:
            self._note_write(ref)

    async def create_project(self, ref: ProjectRef, *, visibility: str, description: str) -> ApiResponse[Project]:
        body = {"username": ref.workspace, "name": ref.project, "visibility": visibility}
        body |= {"description": description} if description else {}
        try:
            return ApiResponse(data=read_project(await self._transport.change("POST", "project", body=body)))
        finally:
            self._note_write(ref)

    def _note_write(self, ref: ProjectRef | ExperimentRef) -> None:
        """Forget what the write may have changed, whether or not it is known to be done."""
        self._writes += 1
        self._references.forget(ref)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _read_summaries(self, references: list[dict[str, Any]], keys: Sequence[str] = ()) -> dict[str, Summary]:
        answer = await self._query_summaries(references, keys)
        if not is_object(answer):
            raise UnexpectedResponse(
                say("SwanLab's answer about metrics is not an object."), hint=say("Try again; then report it.")
            )
        asked = {
            reference[name] for reference in references for name in ("experimentId", "rootExpId") if name in reference
        }
        if answer and not asked & set(answer):
            raise UnexpectedResponse(
                say("SwanLab's answer about metrics is about other experiments."), hint=say("Ask again.")
            )
        summaries: dict[str, Summary] = {}
        for reference in references:
            cuid = reference["experimentId"]
            # a server may file a clone's metrics under the experiment that it was cloned from
            summaries[cuid] = read_summary(answer.get(cuid) or answer.get(reference.get("rootExpId", "")), keys)
        return summaries

    async def _query_summaries(self, references: list[dict[str, Any]], keys: Sequence[str]) -> Any:
        """Ask in the current form; servers that do not know it get the legacy one, from then on (section 5)."""
        path = ("house", "metrics", "summaries")
        if self._legacy_summaries:
            return await self._transport.query(*path, body=references)
        try:
            return await self._transport.query(
                *path, body={"experiments": references, **({"keys": list(keys)} if keys else {})}
            )
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            answer = await self._transport.query(*path, body=references)
            self._legacy_summaries = True
            return answer

    async def _try_list(self, *path: str) -> list[dict[str, Any]] | SwanLabError:
        try:
            return read_list(await self._transport.get(*path), say("workspaces"))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            return error


def _tell_old(error: SwanLabError, what: str) -> SwanLabError:
    return type(error)(
        error.message,
        hint=say(
            "This SwanLab server does not tell {what}, it may be too old; get_exp_summary and get_experiment work.",
            what=what,
        ),
        status=error.status,
        trace_id=error.trace_id,
    )


def _as_root(reference: dict[str, Any]) -> dict[str, Any]:
    """Return a reference with the ids of a clone's root in the place of its own, as some calls want them."""
    root = {"projectId": reference.get("rootProId"), "experimentId": reference.get("rootExpId")}
    return {**reference, **{name: value for name, value in root.items() if value}}


def _keep(item: dict[str, Any]) -> dict[str, Any]:
    return item
