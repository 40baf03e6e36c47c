"""The protocol that every backend implements."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    Filter,
    LoggedKeys,
    LogPart,
    MediaFile,
    MediaItem,
    MediaPart,
    Members,
    Narrowed,
    Points,
    Project,
    Summary,
    User,
    Workspace,
)
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, Ref, WorkspaceRef
from swanlab_mcp.core.server_info import ServerInfo, ServerRows

__all__ = ["FIRST", "Backend", "FurtherKeys"]

T = TypeVar("T")

# the logged keys of this many experiments represent those of the full list
FIRST = 3


class FurtherKeys(NamedTuple):
    """Additional metric keys whose summaries a question needs: `choose` selects them from the logged keys.

    The `likely` keys are requested before the logged keys are known.
    """

    choose: Callable[[Sequence[str]], Sequence[str]]
    likely: Sequence[str]

    def add(self, keys: Sequence[str], first: Mapping[str, Summary]) -> list[str]:
        """Return the keys, and those that `choose` adds from the full summaries of the `first` few experiments."""
        logged = list(dict.fromkeys(key for summary in first.values() for key in summary))
        return list(dict.fromkeys([*keys, *self.choose(logged)]))


class Backend(Protocol):
    """Read access to workspaces, projects, experiments and metrics, and some writes.

    Every method raises SwanLabError on failure. A list is complete, or contains at most `limit` items (`None`: all)
    from `offset` on. `page.total` counts the complete list. `notes` mention guesses and repairs.
    """

    @property
    def writes(self) -> int:
        """Return how many changes this client has requested. A change may remove names that were listed earlier."""
        ...

    def get_secrets(self) -> tuple[str, ...]:
        """Return the API key and the session used for requests; no reply may contain them."""
        ...

    async def get_username(self) -> str:
        """Return the default workspace."""
        ...

    def get_link(self, ref: Ref) -> str:
        """Return the URL of a workspace, project or experiment, or "" if it has none."""
        ...

    async def get_user(self) -> ApiResponse[User]: ...

    async def get_workspace(self, ref: WorkspaceRef) -> ApiResponse[Workspace]: ...

    async def get_project(self, ref: ProjectRef) -> ApiResponse[Project]: ...

    async def list_workspaces(self) -> ApiResponse[list[Workspace]]: ...

    async def list_projects(
        self,
        ref: WorkspaceRef,
        *,
        offset: int = 0,
        limit: int | None = None,
        search: str = "",
        sort: str = "",
        detail: bool = True,
    ) -> ApiResponse[list[Project]]: ...

    async def list_experiments(
        self, ref: ProjectRef, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Experiment]]: ...

    async def narrow_experiments(
        self,
        ref: ProjectRef,
        filters: Sequence[Filter],
        keys: Sequence[str] = (),
        further: FurtherKeys | None = None,
        known: Sequence[Experiment] = (),
    ) -> ApiResponse[Narrowed]:
        """Return a project's experiments, with configs, or only a part that includes every match of the filters.

        The caller must apply the filters again, because the result may include other experiments and SwanLab compares
        differently. The result includes summaries of the metrics `keys`, which is faster than a second request if there
        are thousands of experiments. The backend may add `further` keys that the first experiments logged. It does not
        read the configs of `known` experiments again.
        """
        ...

    async def list_members(self, ref: ProjectRef, condition: Filter) -> Members | None:
        """Return the experiments that meet a condition on pin, baseline or updated, or `None` if this is unknown."""
        ...

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        """Return an experiment by its cuid or slug, with its full profile."""
        ...

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        """Return the last, smallest and largest value of every metric of an experiment, by its cuid or slug."""
        ...

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Return the summaries of experiments by cuid, fetched in batches. If `keys` are given, return only these."""
        ...

    async def read_points(
        self, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        """Return the points of the metric keys in the given order, without keys that were never logged.

        With `exact`, every point is returned; otherwise SwanLab may send a sample of up to 1,500.
        """
        ...

    async def get_experiments(self, refs: Sequence[ExperimentRef]) -> list[Experiment]:
        """Return the experiments with their full profiles, in order."""
        ...

    async def read_series(
        self, refs: Sequence[ExperimentRef], keys: Sequence[str], *, exact: bool
    ) -> list[dict[str, Points]]:
        """Call `read_points` for each of several listed experiments, and return the results without notes."""
        ...

    async def list_keys(self, ref: ExperimentRef, *, with_media: bool = True) -> ApiResponse[LoggedKeys]:
        """Return the keys of an experiment's scalar metrics, including system metrics, and of its media.

        Without `with_media`, the media keys may be missing.
        """
        ...

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        """Return at most `count` log lines from line `start` on, or the last lines if `start` is `None`."""
        ...

    async def list_media(self, ref: ExperimentRef, key: str, *, step: int | None = None) -> ApiResponse[MediaPart]:
        """Return the steps at which a key has media, and the items at `step` (`None`: at the last step).

        The items are empty if the key has no media at `step`, or none at all.
        """
        ...

    async def read_media(
        self, ref: ExperimentRef, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        """Return the files of the listed items in order. Files of more than `limit` bytes have no content."""
        ...

    async def keep(
        self,
        ref: ExperimentRef,
        name: Hashable,
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        weigh: Callable[[T], int],
    ) -> ApiResponse[T]:
        """Return the answer that `question` derives from an experiment, which may be cached until it changes.

        `name` is unique among the derived answers about an experiment. `weigh` returns the answer's size in bytes.
        """
        ...

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Raise NotAvailableOffline if this backend is read-only."""
        ...

    async def delete_experiment(self, ref: ExperimentRef) -> None:
        """Delete an experiment by its cuid. A request that may have arrived is never repeated."""
        ...

    async def delete_project(self, ref: ProjectRef) -> None:
        """Delete a project with all its experiments. A request that may have arrived is never repeated."""
        ...

    async def create_project(self, ref: ProjectRef, *, visibility: str, description: str) -> ApiResponse[Project]:
        """Create an empty project. A request that may have arrived is never repeated."""
        ...

    async def get_server_info(self) -> ApiResponse[ServerInfo]:
        """Return the plan and usage of a self-hosted server. Raises PermissionDenied without a root key."""
        ...

    async def list_on_server(
        self, rows: ServerRows, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Any]]:
        """Return all users, projects or workspaces on the server. Raises the same errors as `get_server_info`."""
        ...

    async def aclose(self) -> None: ...
