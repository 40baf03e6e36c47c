"""Choose the backend that answers: the cloud, the runs on this machine, or both by workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swanlab_mcp.core.i18n import say
from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    Filter,
    LoggedKeys,
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
from swanlab_mcp.core.refs import LOCAL
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.client.base import SwanLabClient

__all__ = ["CombinedClient", "open_client"]


class CombinedClient:
    """Ask `offline` about the workspace `local` and `cloud` about all others.

    Without an API key (`signed_in` is False) the local runs alone answer, where there are any.
    """

    def __init__(self, cloud: SwanLabClient, offline: SwanLabClient | None, *, signed_in: bool) -> None:
        self._cloud = cloud
        self._offline = offline
        self._signed_in = signed_in

    async def get_username(self) -> str:
        if self._offline and not self._signed_in:
            return await self._offline.get_username()
        return await self._cloud.get_username()

    def get_link(self, username: str, project: str = "", exp_cuid: str = "") -> str:
        return self._choose(username).get_link(username, project, exp_cuid)

    async def get_user(self) -> ApiResponse[User]:
        if self._offline and not self._signed_in:
            return await self._offline.get_user()
        return await self._cloud.get_user()

    async def get_workspace(self, username: str) -> ApiResponse[Workspace]:
        return await self._choose(username).get_workspace(username)

    async def get_project(self, username: str, project: str) -> ApiResponse[Project]:
        return await self._choose(username).get_project(username, project)

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]:
        if self._offline is None:
            return await self._cloud.list_workspaces()
        local = await self._offline.list_workspaces()
        if not self._signed_in:
            note = say("Not signed in to SwanLab: these are the runs on this machine alone.")
            return local.model_copy(update={"notes": [*local.notes, note]})
        answer = await self._cloud.list_workspaces()
        workspaces = [*(answer.data or []), *(local.data or [])]
        return ApiResponse(
            data=workspaces,
            page=Page(returned=len(workspaces), total=len(workspaces)),
            notes=[*answer.notes, *local.notes],
        )

    async def list_projects(
        self,
        username: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        search: str = "",
        sort: str = "",
        detail: bool = True,
    ) -> ApiResponse[list[Project]]:
        return await self._choose(username).list_projects(
            username, offset=offset, limit=limit, search=search, sort=sort, detail=detail
        )

    async def list_experiments(
        self, username: str, project: str, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]:
        return await self._choose(username).list_experiments(username, project, offset=offset, limit=limit)

    async def narrow_experiments(
        self, username: str, project: str, filters: Sequence[Filter], keys: Sequence[str] = ()
    ) -> ApiResponse[Narrowed]:
        return await self._choose(username).narrow_experiments(username, project, filters, keys)

    async def get_experiment(self, username: str, project: str, exp_cuid: str) -> ApiResponse[Experiment]:
        return await self._choose(username).get_experiment(username, project, exp_cuid)

    async def get_summary(self, username: str, project: str, exp_cuid: str) -> ApiResponse[Summary]:
        return await self._choose(username).get_summary(username, project, exp_cuid)

    async def get_summaries(
        self, username: str, project: str, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        return await self._choose(username).get_summaries(username, project, experiments, keys)

    async def read_points(
        self, username: str, project: str, exp_cuid: str, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        return await self._choose(username).read_points(username, project, exp_cuid, keys, exact=exact)

    async def list_keys(self, username: str, project: str, exp_cuid: str) -> ApiResponse[LoggedKeys]:
        return await self._choose(username).list_keys(username, project, exp_cuid)

    async def read_logs(
        self, username: str, project: str, exp_cuid: str, *, start: int | None, count: int
    ) -> ApiResponse[LogPart]:
        return await self._choose(username).read_logs(username, project, exp_cuid, start=start, count=count)

    async def list_media(
        self, username: str, project: str, exp_cuid: str, key: str, *, step: int | None = None
    ) -> ApiResponse[MediaPart]:
        return await self._choose(username).list_media(username, project, exp_cuid, key, step=step)

    async def read_media(
        self, username: str, project: str, exp_cuid: str, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        return await self._choose(username).read_media(username, project, exp_cuid, items, limit=limit)

    def get_secrets(self) -> tuple[str, ...]:
        return self._cloud.get_secrets()

    def require_writable(self, username: str) -> None:
        self._choose(username).require_writable(username)

    async def delete_experiment(self, username: str, project: str, exp_cuid: str) -> None:
        await self._choose(username).delete_experiment(username, project, exp_cuid)

    async def delete_project(self, username: str, project: str) -> None:
        await self._choose(username).delete_project(username, project)

    async def create_project(
        self, username: str, project: str, *, visibility: str, description: str
    ) -> ApiResponse[Project]:
        return await self._choose(username).create_project(
            username, project, visibility=visibility, description=description
        )

    async def aclose(self) -> None:
        await self._cloud.aclose()
        if self._offline:
            await self._offline.aclose()

    def _choose(self, username: str) -> SwanLabClient:
        return self._offline if self._offline and username == LOCAL else self._cloud


def open_client(settings: Settings, *, is_cached: bool = False) -> SwanLabClient:
    """Return who answers: SwanLab, the runs on this machine (workspace `local`), or both side by side.

    Costs nothing but imports; the first question opens files and connections. What SwanLab answered is kept for a
    while if `is_cached`.
    """
    # imported here, because a server that has just started must not wait for what the first question needs
    from swanlab_mcp.client.local import OfflineClient

    offline = OfflineClient(settings.log_dirs) if settings.log_dirs else None
    if settings.demo and offline:
        return offline
    from swanlab_mcp.client.cloud.api import CloudClient
    from swanlab_mcp.client.cloud.transport import Transport

    cloud: SwanLabClient = CloudClient(Transport(settings), settings.web_host)
    if is_cached:
        from swanlab_mcp.client.cache import CachedClient

        cloud = CachedClient(cloud)
    return CombinedClient(cloud, offline, signed_in=bool(settings.api_key))
