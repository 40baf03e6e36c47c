"""A Python API with the same method names as SwanLab's OpenApi, built on the operations behind the MCP tools."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, cast

from swanlab_mcp.core.frames import RecordDict
from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    LogLine,
    Media,
    MetricKey,
    Project,
    RecordList,
    User,
    Workspace,
)
from swanlab_mcp.core.planned_changes import Change
from swanlab_mcp.openapi.calls import check_text, choose_argument, replace_data
from swanlab_mcp.openapi.questions import Questions
from swanlab_mcp.operations import (
    administration,
    changes,
    experiments,
    logs,
    media,
    metric_keys,
    metrics,
    projects,
    summaries,
    workspaces,
)
from swanlab_mcp.operations.columns import WHOLE_CONFIG
from swanlab_mcp.present.frames import join_by_step

__all__ = ["OpenApi"]


class OpenApi(Questions):
    """Query SwanLab from Python with blocking calls that each return an ApiResponse.

    If `api_key` is not given, the key is looked up in the same way as in `swanlab.login()`. `host` is the API host of a
    self-hosted server. `log_dir` is one or more folders with runs on disk, which appear in the workspace `local`.
    `timeout` is in seconds per call. If `demo` is true, only the embedded runs are read, without an account or the
    network.

    SwanLab and network errors are returned as `code` and `errmsg`, where code 0 means that there was no response. The
    language of messages is set by `SWANLAB_MCP_LANG` to en, zh or auto (the language of the environment). Arguments of
    the wrong type raise TypeError. Lists are always complete. Calls work in scripts, notebooks and running event loops,
    and closing is optional.
    """

    def list_workspaces(self) -> ApiResponse[RecordList[dict[str, str]]]:
        """List the user's workspaces as dicts with name, username and role."""
        answer = self._ask(workspaces.list_workspaces, page=0)
        found = None if answer.data is None else [workspace.model_dump() for workspace in answer.data]
        return replace_data(answer, None if found is None else RecordList(found))

    def get_user(self) -> ApiResponse[User]:
        """Get the logged-in user: username, name and profile."""
        return self._ask(workspaces.get_user)

    def get_workspace(self, username: str = "") -> ApiResponse[Workspace]:
        """Get one workspace (default: the user's own), including the user's role in the workspace."""
        return self._ask(workspaces.get_workspace, username=check_text(username, "username"))

    def get_server_info(self, rows: str = "") -> ApiResponse[Any]:
        """Get a self-hosted server's plan, seats and usage, and its number of users, projects and workspaces.

        If `rows` is "users", "projects" or "workspaces", return that list instead. The API key must be a root key.
        """
        if not rows:
            return self._ask(administration.get_server_info)
        return self._ask_list(cast("Any", administration.get_server_info), rows=check_text(rows, "rows"), page=0)

    def get_project(self, project: str, username: str = "") -> ApiResponse[Project]:
        """Get one project with its statistics."""
        return self._ask(
            projects.get_project, project=check_text(project, "project"), username=check_text(username, "username")
        )

    def list_projects(self, username: str = "", detail: bool = True) -> ApiResponse[RecordList[Project]]:
        """List all projects in a workspace (default: the user's own), with statistics if `detail` is true."""
        return self._ask_list(projects.list_projects, username=check_text(username, "username"), detail=detail, page=0)

    def list_project_exps(self, project: str, username: str = "") -> ApiResponse[RecordList[Experiment]]:
        """List all experiments in a project. `profile` contains only the config."""
        return self._ask_list(
            experiments.list_project_exps,
            project=check_text(project, "project"),
            username=check_text(username, "username"),
            fields=WHOLE_CONFIG,
            page=0,
        )

    def get_experiment(
        self, project: str, exp_cuid: str = "", username: str = "", *, user: str = "", exp_id: str = ""
    ) -> ApiResponse[Experiment]:
        """Get one experiment with its full profile. `user` and `exp_id` are aliases of `username` and `exp_cuid`."""
        return self._ask(
            experiments.get_experiment,
            project=check_text(project, "project"),
            exp_cuid=choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            username=choose_argument(username, user, "username", "user", needed=False),
        )

    def get_exp_summary(
        self, project: str, exp_cuid: str = "", username: str = "", *, exp_id: str = "", keys: Sequence[str] = ()
    ) -> ApiResponse[RecordDict]:
        """Get the last `step` and `value` of every metric, and its `min` and `max` as dicts with step and value.

        `keys` selects metrics and may contain wildcards. Each metric also has `avg`, `median` and `stdDev` if the
        SwanLab server provides them.
        """
        answer = self._ask(
            summaries.get_exp_summary,
            project=check_text(project, "project"),
            exp_cuid=choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            username=check_text(username, "username"),
            keys=[check_text(key, "keys") for key in keys],
        )
        found = None if answer.data is None else {key: one.model_dump() for key, one in answer.data.items()}
        return replace_data(answer, None if found is None else RecordDict(found))

    def list_metrics(
        self, project: str, exp_cuid: str = "", username: str = "", *, exp_id: str = ""
    ) -> ApiResponse[RecordList[MetricKey]]:
        """List all keys that an experiment logged: scalars, system metrics and media."""
        return self._ask_list(
            metric_keys.list_metrics,
            project=check_text(project, "project"),
            exp_cuids=[choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id")],
            username=check_text(username, "username"),
            kind="all",
            page=1,
            size=sys.maxsize,
        )

    def get_logs(
        self,
        project: str,
        exp_cuid: str = "",
        username: str = "",
        *,
        exp_id: str = "",
        start: int | None = None,
        count: int = 100,
        search: str = "",
        pattern: str = "",
        context: int = 2,
        level: str = "all",
        from_traceback: bool = False,
    ) -> ApiResponse[RecordList[LogLine]]:
        """Get the last `count` log lines, the lines from `start` onwards, or the lines matching a string or pattern."""
        return self._ask_list(
            logs.get_logs,
            project=check_text(project, "project"),
            exp_cuid=choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            username=check_text(username, "username"),
            start=start,
            count=count,
            search=check_text(search, "search"),
            pattern=check_text(pattern, "pattern"),
            context=context,
            level=check_text(level, "level"),
            from_traceback=from_traceback,
        )

    def get_media(
        self,
        project: str,
        exp_cuid: str = "",
        keys: str | Sequence[str] = "*",
        username: str = "",
        *,
        exp_id: str = "",
        steps: Sequence[int] = (),
    ) -> ApiResponse[RecordList[Media]]:
        """Get the media files recorded at the given steps (default: the last step of each key).

        `pictures` in the response contains the images, scaled down to the size that assistants receive. `picture` in a
        row is the 1-based position of the row's image in `pictures`.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        return self._ask_list(
            media.get_media,
            project=check_text(project, "project"),
            exp_cuid=choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            keys=[check_text(key, "keys") for key in wanted],
            username=check_text(username, "username"),
            steps=steps,
            page=0,
        )

    def get_metrics(
        self,
        exp_id: str = "",
        keys: str | Sequence[str] = "*",
        project: str = "",
        username: str = "",
        *,
        exp_cuid: str = "",
    ) -> ApiResponse[Any]:
        """Get every point of the given metrics, joined by step.

        If pandas is installed, `data` is a DataFrame with the index `step`, one column per key, and NaN for missing
        points. Otherwise, `data` is a dict of columns, starting with `step`, with None for missing points. A metric
        called step is in the column `metric/step`.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        answer = self._ask(
            metrics.get_metrics,
            project=check_text(project, "project"),
            exp_cuids=[choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id")],
            keys=[check_text(key, "keys") for key in wanted],
            username=check_text(username, "username"),
            mode="exact",
        )
        return replace_data(answer, None if answer.data is None else join_by_step(answer.data))

    def get_exp_state(
        self, project: str, exp_id: str = "", username: str = "", *, exp_cuid: str = ""
    ) -> ApiResponse[str]:
        """Get the state of an experiment, for example FINISHED or RUNNING."""
        answer = self.get_experiment(project, exp_cuid, username, exp_id=exp_id)
        return replace_data(answer, None if answer.data is None else answer.data.state)

    def create_project(
        self, name: str, username: str = "", *, description: str = "", visibility: str = "PRIVATE"
    ) -> ApiResponse[Project]:
        """Create an empty project, PRIVATE or PUBLIC, and return it."""
        answer = self._change(
            changes.create_project,
            project=check_text(name, "name"),
            username=check_text(username, "username"),
            description=check_text(description, "description"),
            visibility=check_text(visibility, "visibility"),
        )
        return self.get_project(name, username) if answer.data is not None else replace_data(answer, None)

    def delete_experiment(
        self, project: str, exp_cuid: str = "", username: str = "", *, user: str = "", exp_id: str = ""
    ) -> ApiResponse[dict[str, Any]]:
        """Delete an experiment permanently, without confirmation. On success, `data` is empty."""
        return self._change(
            changes.delete_experiments,
            project=check_text(project, "project"),
            exp_cuids=[choose_argument(exp_cuid, exp_id, "exp_cuid", "exp_id")],
            username=choose_argument(username, user, "username", "user", needed=False),
        )

    def delete_project(self, project: str, username: str = "") -> ApiResponse[dict[str, Any]]:
        """Delete a project and its experiments permanently, without confirmation. On success, `data` is empty."""
        return self._change(
            changes.delete_project, project=check_text(project, "project"), username=check_text(username, "username")
        )

    list_experiments, get_summary = list_project_exps, get_exp_summary

    def __enter__(self) -> OpenApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OpenApi(host={self._settings.api_host!r})"

    def _change(
        self, operation: Callable[..., Coroutine[Any, Any, ApiResponse[Change]]], **arguments: Any
    ) -> ApiResponse[dict[str, Any]]:
        """Apply a change without asking, because the caller wrote the call deliberately.

        The first call is a dry run, which returns the confirmation token for the second call.
        """
        answer = self._ask(operation, **arguments)
        if answer.data is not None:
            answer = self._ask(operation, **arguments, confirmation=answer.data.confirmation)
        return replace_data(answer, None if answer.data is None else {})
