"""The client for SwanLab's HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from swanlab_mcp.client.base import FurtherKeys
from swanlab_mcp.client.cloud.answers import NOT_OFFERED
from swanlab_mcp.client.cloud.fields import get_object, get_text, read_list, require
from swanlab_mcp.client.cloud.listed_summaries import SUMMARIES_AT_ONCE, ListedSummaries
from swanlab_mcp.client.cloud.metrics import MetricQueries
from swanlab_mcp.client.cloud.paging import HandOn
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import (
    read_experiment,
    read_project,
    read_reference,
    read_server_info,
    read_user,
    read_workspace,
    write_contradiction,
    write_filter,
    write_opposites,
)
from swanlab_mcp.core import progress
from swanlab_mcp.core.concurrency import gather, yield_often
from swanlab_mcp.core.errors import NotFound, PermissionDenied, SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    Filter,
    Members,
    Narrowed,
    Page,
    Project,
    Summary,
    User,
    Workspace,
)
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, Ref, WorkspaceRef
from swanlab_mcp.core.server_info import ServerInfo, ServerRows
from swanlab_mcp.core.untrusted import limit_value

__all__ = ["CloudClient"]

T = TypeVar("T")

_PROFILES_AT_ONCE = 20
_EXPERIMENTS_AT_ONCE = 32
# longer lists are read page by page instead, because this blocks other calls for less time
_MOST_SHOWN = 50_000
# number of projects whose ids are remembered after a workspace is listed
_MOST_REMEMBERED = 100


class CloudClient(MetricQueries):
    """A client for the SwanLab server that `transport` connects to. `web_host` is the host used in links."""

    def __init__(self, transport: Transport, web_host: str) -> None:
        super().__init__(transport)
        self._web_host = web_host
        self._writes = 0
        self._lacks_shows = False

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
        """Merge SwanLab's legacy and current workspace lists by username, and always include the personal workspace."""
        session = await self._transport.sign_in()
        answers = await gather(self._try_list("group", ""), self._try_list("user", session.username, "groups"))
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
        projects, total = await self._lists.read(path, params, read_project, offset, limit, gettext("projects"))
        self._references.remember_projects({ref.project(one.name): one for one in projects[:_MOST_REMEMBERED]})
        return ApiResponse(data=projects, page=Page(returned=len(projects), total=total))

    async def list_experiments(
        self, ref: ProjectRef, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        experiments, total = await self._read_experiments(ref, offset, limit)
        self._references.remember_experiments(ref, experiments)
        return ApiResponse(data=experiments, page=Page(returned=len(experiments), total=total))

    async def narrow_experiments(
        self,
        ref: ProjectRef,
        filters: Sequence[Filter],
        keys: Sequence[str] = (),
        further: FurtherKeys | None = None,
        known: Sequence[Experiment] = (),
    ) -> ApiResponse[Narrowed]:
        """Let SwanLab apply the filters that it supports, unless reading the full list is cheaper."""
        items = {id(one): item for one in filters if (item := write_filter(one))}
        if items and not self._lacks_shows:
            shown = await self._show_experiments(ref, list(items.values()))
            if shown is not None:
                found, summaries = await self._complete(ref, shown, keys, known)
                applied = [one for one in filters if id(one) in items]
                return ApiResponse(data=Narrowed(found, summaries, applied, is_whole=False, keys=keys))
        if not keys:
            answer = await self.list_experiments(ref)
            return ApiResponse(data=Narrowed(answer.data or (), {}))
        return ApiResponse(data=await self._list_summarised(ref, keys, further))

    async def list_members(self, ref: ProjectRef, condition: Filter) -> Members | None:
        """Find matching experiments by querying the condition, its opposite and an impossible condition.

        SwanLab adds the pinned experiments to every response, so the last query returns only those.
        """
        first, second = write_opposites(condition)

        async def ask(*filters: dict[str, Any]) -> set[str]:
            body: dict[str, Any] = {"filters": filters, "groups": [], "sorts": []}
            answer = await self._transport.query("project", ref.workspace, ref.project, "runs", "shows", body=body)
            listed = read_list(answer, gettext("experiments"))
            return {require(item, "cuid", gettext("an experiment")) for item in listed}

        try:
            accepted, refused, pinned = await gather(ask(first), ask(second), ask(*write_contradiction()))
        except SwanLabError as error:
            if error.status in NOT_OFFERED:
                return None
            raise
        if condition.field == "pin":
            # the response to `pin = false` includes the pinned experiments as well
            surplus, pinned = pinned, set[str]()
            accepted, refused = (accepted, refused - surplus) if condition.value else (accepted - surplus, refused)
        elif condition.op in ("<", ">"):
            accepted = accepted - refused
        else:
            refused = refused - accepted
        return Members(accepted - pinned, refused - pinned, pinned)

    async def _list_summarised(self, ref: ProjectRef, keys: Sequence[str], further: FurtherKeys | None) -> Narrowed:
        """Return all experiments in a project, fetching their summaries while more pages of the list are pending."""
        collected = ListedSummaries(self._references, self._summaries, ref, keys, further)
        experiments: list[Experiment] = []

        async def read_list_of_all() -> None:
            nonlocal experiments
            experiments, _ = await self._read_experiments(ref, 0, None, collected.take)

        async def look_up() -> None:
            await self._references.find_project_id(ref)

        await gather(read_list_of_all(), look_up())
        await collected.finish()
        # if the list was read twice, the second result may lack experiments from the first
        found = {one.cuid: collected.found[one.cuid] for one in experiments}
        return Narrowed(experiments, found, keys=collected.keys, first=collected.first)

    async def _read_experiments(
        self, ref: ProjectRef, offset: int, limit: int | None, hand_on: HandOn | None = None
    ) -> tuple[list[Experiment], int]:
        path = ("project", ref.workspace, ref.project, "runs")
        length = self._references.get_length(ref)
        return await self._lists.read(path, {}, read_experiment, offset, limit, gettext("experiments"), hand_on, length)

    async def _show_experiments(
        self, ref: ProjectRef, filters: Sequence[dict[str, Any]]
    ) -> dict[str, dict[str, Any]] | None:
        """Return the matches from `runs/shows`, or `None` if it is unsupported or reading the full list is cheaper."""
        body: dict[str, Any] = {"filters": filters, "groups": [], "sorts": []}
        try:
            answer = await self._transport.query("project", ref.workspace, ref.project, "runs", "shows", body=body)
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            # a 404 may also mean that the project does not exist, in which case this lookup raises NotFound
            self._references.forget(ref)
            await self._references.find_project_id(ref)
            self._lacks_shows = True
            return None
        items = {str(item.get("cuid")): item for item in read_list(answer, gettext("experiments"))}
        bare = sum("profile" not in item for item in items.values())
        return None if bare > _PROFILES_AT_ONCE or len(items) > _MOST_SHOWN else items

    async def _complete(
        self,
        ref: ProjectRef,
        shown: Mapping[str, Mapping[str, Any]],
        keys: Sequence[str],
        known: Sequence[Experiment],
    ) -> tuple[list[Experiment], dict[str, Summary]]:
        """Add missing configs to the matches from `runs/shows`, and return the matches with summaries of `keys`."""
        found = {cuid: read_experiment(item) async for cuid, item in yield_often(shown.items())}
        lacking = [cuid for cuid, item in shown.items() if "profile" not in item]
        whole = {one.cuid: one for one in known if one.cuid in lacking}
        bare = [ref.experiment(cuid) for cuid in lacking if cuid not in whole]
        summaries: dict[str, Summary] = {}

        async def read_profiles() -> None:
            for one in [*whole.values(), *await self.get_experiments(bare)]:
                config = {part: value for part, value in one.profile.items() if part == "config"}
                found[one.cuid] = one.model_copy(update={"profile": config})

        async def summarise(experiments: Sequence[Experiment]) -> None:
            if keys:
                summaries.update((await self.get_summaries(ref, experiments, keys)).data or {})

        await gather(read_profiles(), summarise(list(found.values())))
        return list(found.values()), summaries

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        item = await self._transport.get("project", ref.workspace, ref.project, "runs", ref.cuid)
        experiment = read_experiment(item)
        self._references.remember_experiment(ref, experiment)
        return ApiResponse(data=experiment)

    async def get_experiments(self, refs: Sequence[ExperimentRef]) -> list[Experiment]:
        room = asyncio.Semaphore(_EXPERIMENTS_AT_ONCE)

        async def read(ref: ExperimentRef) -> Experiment:
            async with room:
                answer = await self.get_experiment(ref)
            assert answer.data is not None
            return answer.data

        return await progress.follow("experiments", *map(read, refs))

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        async def ask(reference: dict[str, Any]) -> Summary:
            return (await self._summaries.read([reference]))[reference["experimentId"]]

        return ApiResponse(data=await self._references.ask(ref, ask))

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Fetch the summaries of 300 experiments per request, in parallel."""
        project_id = await self._references.find_project_id(ref)
        references = [read_reference(experiment, project_id) for experiment in experiments]
        self._references.remember(ref, references)
        batches = [
            references[start : start + SUMMARIES_AT_ONCE] for start in range(0, len(references), SUMMARIES_AT_ONCE)
        ]
        stage = progress.Stage("summaries", len(references))

        async def read(batch: list[dict[str, Any]]) -> dict[str, Summary]:
            answer = await self._summaries.read(batch, keys)
            if len(batches) > 1:
                await stage.advance(len(batch))
            return answer

        answers = await gather(*map(read, batches))
        return ApiResponse(data={cuid: summary for answer in answers for cuid, summary in answer.items()})

    @property
    def writes(self) -> int:
        return self._writes

    def get_secrets(self) -> tuple[str, ...]:
        return self._transport.secrets

    async def keep(
        self,
        ref: ExperimentRef,  # noqa: ARG002 nothing is cached
        name: Hashable,  # noqa: ARG002 nothing is cached
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        weigh: Callable[[T], int],  # noqa: ARG002 nothing is cached
    ) -> ApiResponse[T]:
        return await question()

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Accept every workspace, because SwanLab itself checks permissions."""

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
        """Forget the ids that a write may have invalidated, even if it is unknown whether the write succeeded."""
        self._writes += 1
        self._references.forget(ref)

    async def get_server_info(self) -> ApiResponse[ServerInfo]:
        info = await self._require_root()
        if info.expired:
            # SwanLab's own client requests nothing else in this case
            note = gettext("The licence has expired: users, projects and usage are unknown.")
            return ApiResponse(data=info, notes=[note])
        kinds: tuple[ServerRows, ...] = ("users", "projects", "workspaces")
        usage, *totals = await gather(
            self._transport.get("self_hosted", "summary"), *(self._read_server(kind, 0, 10) for kind in kinds)
        )
        counts = {kind: total for kind, (_, total) in zip(kinds, totals, strict=True)}
        return ApiResponse(data=info.model_copy(update={**counts, "usage": limit_value(get_object(usage))}))

    async def list_on_server(
        self, rows: ServerRows, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Any]]:
        await self._require_root()
        found, total = await self._read_server(rows, offset, limit)
        return ApiResponse(data=found, page=Page(returned=len(found), total=total))

    async def _read_server(self, rows: ServerRows, offset: int, limit: int | None) -> tuple[list[Any], int]:
        path, read, what = {
            "users": ("users", _read_listed_user, gettext("users")),
            "projects": ("projects", read_project, gettext("projects")),
            "workspaces": ("groups", read_workspace, gettext("workspaces")),
        }[rows]
        return await self._lists.read(("self_hosted", path), {}, read, offset, limit, what)

    async def _require_root(self) -> ServerInfo:
        """Return the licence. Raises NotFound if SwanLab is not self-hosted, or PermissionDenied without a root key."""
        try:
            about = get_object(await self._transport.get("self_hosted", "info"))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            about = dict[str, Any]()
        if about.get("enabled") is not True:
            raise NotFound(gettext("This SwanLab server is not self-hosted, or is too old to report this information."))
        if about.get("root") is not True:
            raise PermissionDenied(
                gettext("The API key is not a root key of this SwanLab server."),
                hint=gettext("Only the administrators of a self-hosted server may see its users, projects and usage."),
            )
        return read_server_info(about)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _try_list(self, *path: str) -> list[dict[str, Any]] | SwanLabError:
        try:
            return read_list(await self._transport.get(*path), gettext("workspaces"))
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            return error


def _read_listed_user(item: dict[str, Any]) -> User:
    return read_user(item, require(item, "username", gettext("a user")), get_text(item.get("name")))
