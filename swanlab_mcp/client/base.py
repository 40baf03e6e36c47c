"""The protocol that every backend implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
    Points,
    Project,
    Summary,
    User,
    Workspace,
)
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, Ref, WorkspaceRef

__all__ = ["Backend"]


class Backend(Protocol):
    """Answers about workspaces, projects, experiments and metrics.

    Every method raises a SwanLabError where it cannot answer; a list is whole, or a stretch that begins at `offset`
    with at most `limit` items (None: all) and whose `page.total` counts the whole list. What was guessed or repaired
    stands in `notes`.
    """

    @property
    def writes(self) -> int:
        """Return how many changes this client has requested; names that were listed before may be gone."""
        ...

    def get_secrets(self) -> tuple[str, ...]:
        """Return the API key and the session that questions are asked with, which no reply may hold."""
        ...

    async def get_username(self) -> str:
        """Return the workspace that is meant when none is named."""
        ...

    def get_link(self, ref: Ref) -> str:
        """Return the web address of a workspace, project or experiment; empty where there is none."""
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
        self, ref: ProjectRef, filters: Sequence[Filter], keys: Sequence[str] = ()
    ) -> ApiResponse[Narrowed]:
        """Return, with configs, a part of a project's experiments that holds all those that meet the filters.

        What else it holds, and what SwanLab judges otherwise than we do, the caller must sort out. The summaries of
        the metrics `keys` come along: of thousands of experiments that is quicker than one question after the other.
        """
        ...

    async def get_experiment(self, ref: ExperimentRef) -> ApiResponse[Experiment]:
        """Return one experiment by its cuid or slug, with its whole profile."""
        ...

    async def get_summary(self, ref: ExperimentRef) -> ApiResponse[Summary]:
        """Return every metric's last, smallest and largest value of one experiment, by its cuid or slug."""
        ...

    async def get_summaries(
        self, ref: ProjectRef, experiments: Sequence[Experiment], keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, Summary]]:
        """Return the summaries of listed experiments by their cuid, asked for in batches; of `keys` only, if any."""
        ...

    async def read_points(
        self, ref: ExperimentRef, keys: Sequence[str], *, exact: bool
    ) -> ApiResponse[dict[str, Points]]:
        """Return the points of metric keys in the order asked; a key that was never logged is absent.

        `exact` asks for every point; otherwise SwanLab may send a sample of up to 1,500.
        """
        ...

    async def list_keys(self, ref: ExperimentRef) -> ApiResponse[LoggedKeys]:
        """Return the keys of an experiment's scalar metrics, system metrics included, and of its media."""
        ...

    async def read_logs(self, ref: ExperimentRef, *, start: int | None, count: int) -> ApiResponse[LogPart]:
        """Return at most `count` log lines from line `start` on; `start` None: the last ones."""
        ...

    async def list_media(self, ref: ExperimentRef, key: str, *, step: int | None = None) -> ApiResponse[MediaPart]:
        """Return the steps at which a key has media, and the items at `step` (None: at the last one).

        A key without media, or without any at `step`, has no items.
        """
        ...

    async def read_media(
        self, ref: ExperimentRef, items: Sequence[MediaItem], *, limit: int
    ) -> ApiResponse[list[MediaFile]]:
        """Return the files of listed items in their order, each only if it has at most `limit` bytes."""
        ...

    def require_writable(self, ref: WorkspaceRef) -> None:
        """Raise NotAvailableOffline where nothing is ever written."""
        ...

    async def delete_experiment(self, ref: ExperimentRef) -> None:
        """Delete one experiment by its cuid; asks once, whatever comes back."""
        ...

    async def delete_project(self, ref: ProjectRef) -> None:
        """Delete a project with all its experiments; asks once, whatever comes back."""
        ...

    async def create_project(self, ref: ProjectRef, *, visibility: str, description: str) -> ApiResponse[Project]:
        """Create an empty project; asks once, whatever comes back."""
        ...

    async def aclose(self) -> None: ...
