"""OpenApi: a Python interface named like SwanLab's, backed by the operations of the MCP tools."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.i18n import say, speak
from swanlab_mcp.core.models import (
    ApiResponse,
    Experiment,
    Filter,
    LogLine,
    Media,
    MetricKey,
    Project,
    RecordList,
    User,
    Workspace,
)
from swanlab_mcp.core.planned_changes import Change
from swanlab_mcp.core.validation import describe_fault
from swanlab_mcp.operations import (
    changes,
    experiments,
    finding,
    logs,
    media,
    metric_keys,
    metrics,
    projects,
    summaries,
    workspaces,
)
from swanlab_mcp.operations.arguments import Filters
from swanlab_mcp.operations.columns import WHOLE_CONFIG
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.operations.own_metrics import use_own_metrics
from swanlab_mcp.present.frames import join_by_step
from swanlab_mcp.present.words import present
from swanlab_mcp.settings import Settings, load_settings

__all__ = ["OpenApi"]

T = TypeVar("T")


class OpenApi:
    """Query SwanLab from Python with blocking calls that each return an ApiResponse.

    Without `api_key` the key is found as `swanlab.login()` finds it. `host` is the API host of a self-hosted server,
    `log_dir` one or several folders of runs on disk (workspace `local`), `timeout` the most seconds per call. With
    `demo` only the embedded runs are read, without account or network. SwanLab and network errors are returned as
    `code` and `errmsg` (code 0: no response), in the language of `SWANLAB_MCP_LANG` (en, zh, or auto: the
    environment's); wrong types raise TypeError. Lists are complete. Works in scripts, notebooks and running event
    loops; closing is optional.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        host: str = "",
        log_dir: str | Path | Sequence[str | Path] = (),
        timeout: float | None = None,
        demo: bool = False,
    ) -> None:
        folders = (log_dir,) if isinstance(log_dir, (str, Path)) else log_dir
        settings = load_settings(api_key=api_key or "", host=host, log_dirs=folders, timeout=timeout, demo=demo)
        self._settings = use_own_metrics(settings)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: SwanLabClient | None = None

    def list_workspaces(self) -> ApiResponse[list[dict[str, str]]]:
        """List the user's workspaces as dicts of name, username and role."""
        answer = self._ask(workspaces.list_workspaces, page=0)
        found = None if answer.data is None else [workspace.model_dump() for workspace in answer.data]
        return _replace(answer, found)

    def get_user(self) -> ApiResponse[User]:
        """Get the logged-in user: username, name and profile."""
        return self._ask(workspaces.get_user)

    def get_workspace(self, username: str = "") -> ApiResponse[Workspace]:
        """Get one workspace (default: the user's own) with the user's role there."""
        return self._ask(workspaces.get_workspace, username=_text(username, "username"))

    def get_project(self, project: str, username: str = "") -> ApiResponse[Project]:
        """Get one project with its statistics."""
        return self._ask(projects.get_project, project=_text(project, "project"), username=_text(username, "username"))

    def list_projects(self, username: str = "", detail: bool = True) -> ApiResponse[RecordList[Project]]:
        """List all projects of a workspace (default: the user's own), with statistics if `detail`."""
        return self._ask_list(projects.list_projects, username=_text(username, "username"), detail=detail, page=0)

    def list_project_exps(self, project: str, username: str = "") -> ApiResponse[RecordList[Experiment]]:
        """List all experiments of a project; `profile` holds the config only."""
        return self._ask_list(
            experiments.list_project_exps,
            project=_text(project, "project"),
            username=_text(username, "username"),
            fields=WHOLE_CONFIG,
            page=0,
        )

    def get_experiment(
        self, project: str, exp_cuid: str = "", username: str = "", *, user: str = "", exp_id: str = ""
    ) -> ApiResponse[Experiment]:
        """Get one experiment with its whole profile; `user` and `exp_id` are aliases of `username` and `exp_cuid`."""
        return self._ask(
            experiments.get_experiment,
            project=_text(project, "project"),
            exp_cuid=_choose(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            username=_choose(username, user, "username", "user", needed=False),
        )

    def get_exp_summary(
        self, project: str, exp_cuid: str = "", username: str = "", *, exp_id: str = "", keys: Sequence[str] = ()
    ) -> ApiResponse[dict[str, dict[str, Any]]]:
        """Get every metric's last `step` and `value`, and its `min` and `max` as dicts of step and value.

        `keys` (also with wildcards) chooses metrics. `avg`, `median` and `stdDev` are present if SwanLab returns them.
        """
        answer = self._ask(
            summaries.get_exp_summary,
            project=_text(project, "project"),
            exp_cuid=_choose(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            username=_text(username, "username"),
            keys=[_text(key, "keys") for key in keys],
        )
        metrics = None if answer.data is None else {key: one.model_dump() for key, one in answer.data.items()}
        return _replace(answer, metrics)

    def find_experiments(
        self,
        project: str,
        filters: Sequence[Filter | dict[str, Any] | Sequence[dict[str, Any]]] = (),
        *,
        sort: str = "",
        descending: bool = False,
        username: str = "",
    ) -> ApiResponse[RecordList[Experiment]]:
        """Find the experiments that match every filter (dicts of field, op and value); a list of filters means or."""
        try:
            conditions = TypeAdapter(Filters).validate_python([*filters])
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            name = ".".join(map(str, ("filters", *wrong["loc"])))
            with speak(self._settings.language):
                return ApiResponse(code=400, errmsg=say("{name} {problem}.", name=name, problem=describe_fault(wrong)))
        return self._ask_list(
            finding.find_experiments,
            project=_text(project, "project"),
            filters=conditions,
            sort=_text(sort, "sort"),
            descending=descending,
            username=_text(username, "username"),
            fields=WHOLE_CONFIG,
        )

    def list_metrics(
        self, project: str, exp_cuid: str = "", username: str = "", *, exp_id: str = ""
    ) -> ApiResponse[RecordList[MetricKey]]:
        """List all keys of an experiment: scalars, system metrics and media."""
        return self._ask_list(
            metric_keys.list_metrics,
            project=_text(project, "project"),
            exp_cuids=[_choose(exp_cuid, exp_id, "exp_cuid", "exp_id")],
            username=_text(username, "username"),
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
        """Get the last `count` log lines, the lines from `start` on, or the lines that match a text or pattern."""
        return self._ask_list(
            logs.get_logs,
            project=_text(project, "project"),
            exp_cuid=_choose(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            username=_text(username, "username"),
            start=start,
            count=count,
            search=_text(search, "search"),
            pattern=_text(pattern, "pattern"),
            context=context,
            level=_text(level, "level"),
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
        """Get the files of media keys at steps (default: the last step of each key).

        `pictures` of the response holds the images, scaled as for an assistant; `picture` of a row is the number of its
        image, from 1.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        return self._ask_list(
            media.get_media,
            project=_text(project, "project"),
            exp_cuid=_choose(exp_cuid, exp_id, "exp_cuid", "exp_id"),
            keys=[_text(key, "keys") for key in wanted],
            username=_text(username, "username"),
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
        """Get every point of metric keys, joined by step.

        If pandas is installed, `data` is a DataFrame (index `step`, one column per key, NaN for missing points).
        Otherwise it is a dict of columns, `step` first, with None for missing points. A metric named step gets the
        column `metric/step`.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        answer = self._ask(
            metrics.get_metrics,
            project=_text(project, "project"),
            exp_cuids=[_choose(exp_cuid, exp_id, "exp_cuid", "exp_id")],
            keys=[_text(key, "keys") for key in wanted],
            username=_text(username, "username"),
            mode="exact",
        )
        return _replace(answer, None if answer.data is None else join_by_step(answer.data))

    def get_exp_state(
        self, project: str, exp_id: str = "", username: str = "", *, exp_cuid: str = ""
    ) -> ApiResponse[str]:
        """Get the state of an experiment, for example FINISHED or RUNNING."""
        answer = self.get_experiment(project, exp_cuid, username, exp_id=exp_id)
        return _replace(answer, None if answer.data is None else answer.data.state)

    def create_project(
        self, name: str, username: str = "", *, description: str = "", visibility: str = "PRIVATE"
    ) -> ApiResponse[Project]:
        """Create an empty project, PRIVATE or PUBLIC, and return it."""
        answer = self._change(
            changes.create_project,
            project=_text(name, "name"),
            username=_text(username, "username"),
            description=_text(description, "description"),
            visibility=_text(visibility, "visibility"),
        )
        return self.get_project(name, username) if answer.data is not None else _replace(answer, None)

    def delete_experiment(
        self, project: str, exp_cuid: str = "", username: str = "", *, user: str = "", exp_id: str = ""
    ) -> ApiResponse[dict[str, Any]]:
        """Delete an experiment permanently and without confirmation; after success `data` is an empty dict."""
        return self._change(
            changes.delete_experiments,
            project=_text(project, "project"),
            exp_cuids=[_choose(exp_cuid, exp_id, "exp_cuid", "exp_id")],
            username=_choose(username, user, "username", "user", needed=False),
        )

    def delete_project(self, project: str, username: str = "") -> ApiResponse[dict[str, Any]]:
        """Delete a project and its experiments permanently, without confirmation; then `data` is an empty dict."""
        return self._change(
            changes.delete_project, project=_text(project, "project"), username=_text(username, "username")
        )

    list_experiments, get_summary = list_project_exps, get_exp_summary

    def close(self) -> None:
        """Close connections and the background thread; the next call reopens them."""
        with self._starting:
            loop, client, self._loop, self._client = self._loop, self._client, None, None
        if loop and client:
            asyncio.run_coroutine_threadsafe(client.aclose(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

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
        """Make a change with the confirmation of its own dry run, because the caller wrote the call deliberately."""
        answer = self._ask(operation, **arguments)
        if answer.data is not None:
            answer = self._ask(operation, **arguments, confirmation=answer.data.confirmation)
        return _replace(answer, None if answer.data is None else {})

    def _ask_list(
        self, operation: Callable[..., Coroutine[Any, Any, ApiResponse[list[T]]]], **arguments: Any
    ) -> ApiResponse[RecordList[T]]:
        answer = self._ask(operation, **arguments)
        return _replace(answer, None if answer.data is None else RecordList(answer.data))

    def _ask(self, operation: Callable[..., Coroutine[Any, Any, ApiResponse[T]]], **arguments: Any) -> ApiResponse[T]:
        loop, client = self._start()
        question = keep_deadline(_present(operation(client, **arguments)), self._settings.timeout)
        # the background task needs the language of this thread
        with speak(self._settings.language):
            future = asyncio.run_coroutine_threadsafe(question, loop)
        try:
            return future.result().model_copy(update={"page": None})
        except SwanLabError as error:
            with speak(self._settings.language):
                return ApiResponse(code=error.status, errmsg=str(error))
        finally:
            future.cancel()  # after an interrupt, no request may continue in the background

    def _start(self) -> tuple[asyncio.AbstractEventLoop, SwanLabClient]:
        with self._starting:
            if self._loop is None or self._client is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="swanlab-openapi", daemon=True).start()
                self._client = asyncio.run_coroutine_threadsafe(_open(self._settings), self._loop).result()
            return self._loop, self._client


async def _present(question: Coroutine[Any, Any, ApiResponse[T]]) -> ApiResponse[T]:
    return present(await question)


async def _open(settings: Settings) -> SwanLabClient:
    return open_client(settings)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _replace(answer: ApiResponse[Any], data: T | None) -> ApiResponse[T]:
    return cast("ApiResponse[T]", answer.model_copy(update={"data": data}))


def _choose(one: str, other: str, name: str, other_name: str, *, needed: bool = True) -> str:
    """Return the value given under either of two names. Raises TypeError for two or, if `needed`, for none."""
    if one and other and one != other:
        raise TypeError(f"{name} and {other_name} are two names of one argument; give one of them")
    if needed and not (one or other):
        raise TypeError(f"{name} is missing")
    return _text(one or other, name)


def _text(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value
