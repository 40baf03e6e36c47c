"""Route each request to a backend: SwanLab's cloud, or the runs on this machine."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Page, Workspace
from swanlab_mcp.core.refs import LOCAL, ExperimentRef, Ref, WorkspaceRef
from swanlab_mcp.settings import Settings

if TYPE_CHECKING:
    from swanlab_mcp.client.base import Backend
    from swanlab_mcp.client.cache import AnswerCache
    from swanlab_mcp.client.copies import FailedRank, LocalCopy
    from swanlab_mcp.client.local import OfflineClient

__all__ = ["SwanLabClient", "open_client"]

# shortly after the last demo run, so that "the last 7 days" always include the demo runs
_DEMO_CLOCK = 1_795_424_400_000
_PAUSE = 300.0


class SwanLabClient:
    """The backends for an account. The workspace `local` is on this machine; all other workspaces are in the cloud.

    If there is no API key, `signed_in` is false, and the default backend is this machine if it has log folders. If
    `stopped_clock` (in Unix milliseconds) is set, it replaces the current time.
    """

    def __init__(
        self,
        cloud: Backend | None,
        offline: OfflineClient | None,
        *,
        signed_in: bool,
        cache: AnswerCache | None = None,
        stopped_clock: int | None = None,
    ) -> None:
        self._signed_in = signed_in
        self.stopped_clock = stopped_clock
        self._cache = cache
        self._backends: list[Backend] = [one for one in (cloud, offline) if one]
        self._offline = offline
        self._can_compare = cloud is not None and signed_in
        self._silent_until = 0.0  # monotonic seconds
        self._local: Backend = offline or self._backends[0]
        self._others = self._backends[0]
        self._listed: Sequence[WorkspaceRef] = ()

    def at(self, ref: Ref) -> Backend:
        """Return the backend for a workspace, or for a project or experiment in it."""
        return self._local if ref.workspace == LOCAL else self._others

    @property
    def default(self) -> Backend:
        """Return the backend of the default workspace."""
        return self._others if self._signed_in else self._local

    def now(self) -> int:
        """Return the current time in Unix milliseconds. In the demo, it never changes."""
        return int(time.time() * 1000) if self.stopped_clock is None else self.stopped_clock

    @property
    def is_cloud_silent(self) -> bool:
        """Return whether the cloud recently failed to respond. If so, calls about runs on disk do not query it."""
        return time.monotonic() < self._silent_until

    def note_silence(self) -> None:
        """Remember for 5 minutes that the cloud did not respond."""
        self._silent_until = time.monotonic() + _PAUSE

    @property
    def may_have_copies(self) -> bool:
        """Return whether the same run may be both in the cloud and on this machine."""
        return self._offline is not None and self._can_compare

    async def find_copies(self, run_ids: Collection[str], *, with_steps: bool) -> dict[str, list[LocalCopy]]:
        """Return this machine's copies of cloud runs, by run id. Return {} if the user is not logged in."""
        if self._offline and self._can_compare:
            return await self._offline.find_copies(run_ids, with_steps=with_steps)
        return {}

    async def find_failed_rank(self, ref: ExperimentRef) -> FailedRank | None:
        """Return the failed rank that determines the state of a local multi-rank experiment, otherwise `None`."""
        return await self._offline.find_failed_rank(ref) if self._offline and ref.workspace == LOCAL else None

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]:
        if not self._signed_in:
            answer = await self._local.list_workspaces()
            if len(self._backends) == 1:
                return answer
            note = gettext("Not logged in to SwanLab: only the runs on this machine are shown.")
            return answer.model_copy(update={"notes": [*answer.notes, note]})
        answers = [await backend.list_workspaces() for backend in self._backends]
        workspaces = [workspace for answer in answers for workspace in answer.data or ()]
        self._listed = [WorkspaceRef(one.username) for one in workspaces]
        return ApiResponse(
            data=workspaces,
            page=Page(returned=len(workspaces), total=len(workspaces)),
            notes=[note for answer in answers for note in answer.notes],
        )

    async def guess_workspaces(self) -> Sequence[WorkspaceRef]:
        """Return the most recently listed workspaces, or the default workspace if none were listed."""
        return self._listed or [WorkspaceRef(await self.default.get_username())]

    def get_secrets(self) -> tuple[str, ...]:
        """Return the API key and the session id, which must not appear in any reply."""
        return tuple(secret for backend in self._backends for secret in backend.get_secrets())

    @property
    def cached_bytes(self) -> float:
        """Return the estimated size of all cached responses in bytes."""
        return self._cache.size if self._cache else 0

    def forget(self) -> None:
        """Drop the cached responses."""
        if self._cache:
            self._cache.forget()

    async def aclose(self) -> None:
        for backend in self._backends:
            await backend.aclose()


def open_client(settings: Settings, *, is_cached: bool = False) -> SwanLabClient:
    """Return a client for an account. If `is_cached` is true, SwanLab's responses are cached.

    No file or connection is opened until the first request.
    """
    # imported here to keep the server's start fast
    from swanlab_mcp.client.local import OfflineClient

    offline = OfflineClient(settings.log_dirs, settings.link_targets) if settings.log_dirs else None
    if settings.demo and offline:
        return SwanLabClient(None, offline, signed_in=False, stopped_clock=_DEMO_CLOCK)
    from swanlab_mcp.client.cloud.transport import Transport

    if is_cached:
        from swanlab_mcp.client.cloud.cached import CachedClient as Cloud
    else:
        from swanlab_mcp.client.cloud.api import CloudClient as Cloud
    cloud = Cloud(Transport(settings), settings.web_host)
    cache = getattr(cloud, "answers", None)
    return SwanLabClient(cloud, offline, signed_in=bool(settings.api_key), cache=cache)
