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

# the keys logged by this many experiments are taken to represent the full list
FIRST = 3


class FurtherKeys(NamedTuple):
    """Additional metric keys whose summaries a call needs. `choose` selects these keys from the logged keys.

    The `likely` keys are requested before the logged keys are known.
    """

    choose: Callable[[Sequence[str]], Sequence[str]]
    likely: Sequence[str]

    def add(self, keys: Sequence[str], first: Mapping[str, Summary]) -> list[str]:
        """Return `keys` plus the keys that `choose` selects from the full summaries in `first`."""
        logged = list(dict.fromkeys(key for summary in first.values() for key in summary))
        return list(dict.fromkeys([*keys, *self.choose(logged)]))


class Backend(Protocol):
    """Read access to workspaces, projects, experiments and metrics, and a few write operations.

    Every method raises SwanLabError on failure. A method with `offset` and `limit` returns at most `limit` items
    starting at `offset`, or all of them if `limit` is `None`. `page.total` is the length of the complete list. `notes`
    report data that the backend had to guess or repair.
    """

    @property
    def writes(self) -> int:
        """Return how many changes this client has requested. Listed names may be outdated after each change."""
        ...

    def get_secrets(self) -> tuple[str, ...]:
        """Return the API key and the session id, which must not appear in any reply."""
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
        """Return the experiments in a project with their configs, or a subset that contains every match of the filters.

        The caller must apply the filters again, because the subset may contain other experiments, and SwanLab may
        compare values differently. The result includes the summaries of the metrics in `keys`, because a second
        request would be slow for thousands of experiments. The backend may add the `further` keys that the first
        experiments logged. It does not read the configs of the `known` experiments again.
        """
        ...

    async def list_members(self, ref: ProjectRef, condition: Filter) -> Members | None:
        """Return the experiments that meet a condition on `pin`, `baseline` or `updated`, or `None` if unknown."""
        ...

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        """Return an experiment with its full profile, by cuid or slug."""
        ...

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        """Return the last, smallest and largest value of every metric in an experiment, by cuid or slug."""
        ...

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Return the summaries by cuid, fetched in batches. If `keys` is not empty, return only those metrics."""
        ...

    async def read_points(
        self, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        """Return the points of each key, in the order of `keys`. Keys that were never logged are omitted.

        If `exact` is true, return every point. Otherwise, SwanLab may return a sample of up to 1,500 points per key.
        """
        ...

    async def get_experiments(self, refs: Sequence[ExperimentRef]) -> list[Experiment]:
        """Return the experiments with their full profiles, in order."""
        ...

    async def read_series(
        self, refs: Sequence[ExperimentRef], keys: Sequence[str], *, exact: bool
    ) -> list[dict[str, Points]]:
        """Call `read_points` for each experiment, and return the results in order, without notes."""
        ...

    async def list_keys(self, ref: ExperimentRef, *, with_media: bool = True) -> ApiResponse[LoggedKeys]:
        """Return an experiment's scalar keys, including system metrics, and its media keys.

        If `with_media` is false, the media keys may be missing.
        """
        ...

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        """Return at most `count` log lines starting at line `start`, or the last lines if `start` is `None`."""
        ...

    async def list_media(self, ref: ExperimentRef, key: str, *, step: int | None = None) -> ApiResponse[MediaPart]:
        """Return the steps at which a key has media, and the items at `step`. By default, `step` is the last step.

        `items` is empty if the key has no media at this step.
        """
        ...

    async def read_media(
        self, ref: ExperimentRef, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        """Return the files of the listed items in order. The content of a file larger than `limit` bytes is `None`."""
        ...

    async def keep(
        self,
        ref: ExperimentRef,
        name: Hashable,
        question: Callable[[], Coroutine[Any, Any, ApiResponse[T]]],
        weigh: Callable[[T], int],
    ) -> ApiResponse[T]:
        """Return the result of `question` for an experiment. It may be cached until the experiment changes.

        `name` identifies this result among the results cached for the experiment. `weigh` returns the size of the
        result in bytes.
        """
        ...

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Raise NotAvailableOffline if this backend is read-only."""
        ...

    async def delete_experiment(self, ref: ExperimentRef) -> None:
        """Delete an experiment by cuid. The request is not retried if it may have reached SwanLab."""
        ...

    async def delete_project(self, ref: ProjectRef) -> None:
        """Delete a project and all its experiments. The request is not retried if it may have reached SwanLab."""
        ...

    async def create_project(self, ref: ProjectRef, *, visibility: str, description: str) -> ApiResponse[Project]:
        """Create an empty project. The request is not retried if it may have reached SwanLab."""
        ...

    async def get_server_info(self) -> ApiResponse[ServerInfo]:
        """Return the plan and usage of a self-hosted server. Raises PermissionDenied if the key is not a root key."""
        ...

    async def list_on_server(
        self, rows: ServerRows, *, offset: int = 0, limit: int | None = None
    ) -> ApiResponse[list[Any]]:
        """Return all users, projects or workspaces on the server. Raises the same errors as `get_server_info`."""
        ...

    async def aclose(self) -> None: ...
