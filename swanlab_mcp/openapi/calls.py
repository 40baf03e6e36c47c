"""Run the async operations in a background thread, so that callers can use blocking calls."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from swanlab_mcp.client.routing import SwanLabClient, open_client
from swanlab_mcp.core.errors import InvalidArgument, SwanLabError
from swanlab_mcp.core.i18n import gettext, use_language
from swanlab_mcp.core.models import ApiResponse, RecordList
from swanlab_mcp.core.validation import describe_fault
from swanlab_mcp.operations.deadline import keep_deadline
from swanlab_mcp.operations.own_metrics import use_own_metrics
from swanlab_mcp.present.words import present
from swanlab_mcp.settings import Settings, load_settings

__all__ = ["Caller", "check_text", "choose_argument", "replace_data"]

T = TypeVar("T")

Operation = Callable[..., Coroutine[Any, Any, ApiResponse[Any]]]


class Caller:
    """Owns the client and the background thread of an OpenApi object."""

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

    def close(self) -> None:
        """Close all connections and stop the background thread. The next call restarts both."""
        with self._starting:
            loop, client, self._loop, self._client = self._loop, self._client, None, None
        if loop and client:
            asyncio.run_coroutine_threadsafe(client.aclose(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def _question(self, operation: Operation, **arguments: Any) -> ApiResponse[Any]:
        """Validate the arguments in the same way as for a tool call, and run the operation.

        For optional arguments, None and "" mean the default.
        """
        defaults = {name: one.default for name, one in inspect.signature(operation).parameters.items()}
        given = {
            name: value
            for name, value in arguments.items()
            if defaults[name] is inspect.Parameter.empty or (value is not None and value != "")
        }
        with use_language(self._settings.language):
            try:
                checked = {name: _check(operation, name, value) for name, value in given.items()}
            except InvalidArgument as error:
                return ApiResponse(code=error.status, errmsg=str(error))
        return self._ask(operation, **checked)

    def _question_list(self, operation: Operation, **arguments: Any) -> ApiResponse[RecordList[Any]]:
        answer = self._question(operation, **arguments)
        return replace_data(answer, None if answer.data is None else RecordList(answer.data))

    def _ask_list(
        self, operation: Callable[..., Coroutine[Any, Any, ApiResponse[list[T]]]], **arguments: Any
    ) -> ApiResponse[RecordList[T]]:
        answer = self._ask(operation, **arguments)
        return replace_data(answer, None if answer.data is None else RecordList(answer.data))

    def _ask(self, operation: Callable[..., Coroutine[Any, Any, ApiResponse[T]]], **arguments: Any) -> ApiResponse[T]:
        loop, client = self._start()
        # operations that wait for changes in SwanLab may take as long as their own timeout
        seconds = self._settings.timeout + cast("float", arguments.get("timeout", 0))
        question = keep_deadline(_present(operation(client, **arguments)), seconds)
        # create the background task in this thread's language
        with use_language(self._settings.language):
            future = asyncio.run_coroutine_threadsafe(question, loop)
        try:
            return future.result().model_copy(update={"page": None})
        except SwanLabError as error:
            with use_language(self._settings.language):
                return ApiResponse(code=error.status, errmsg=str(error))
        finally:
            future.cancel()  # stop the requests in the background if this thread was interrupted

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


@cache
def _make_adapter(operation: Operation, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(inspect.signature(operation, eval_str=True).parameters[name].annotation)


def _check(operation: Operation, name: str, value: Any) -> Any:
    """Convert an argument to the type that the operation expects. Raises InvalidArgument if that is impossible."""
    try:
        return _make_adapter(operation, name).validate_python(value)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, (name, *wrong["loc"])))
        raise InvalidArgument(gettext("{name} {problem}.", name=where, problem=describe_fault(wrong))) from error


def replace_data(answer: ApiResponse[Any], data: T | None) -> ApiResponse[T]:
    """Return a copy of an answer with its data replaced."""
    return cast("ApiResponse[T]", answer.model_copy(update={"data": data}))


def choose_argument(one: str, other: str, name: str, other_name: str, *, needed: bool = True) -> str:
    """Return the value of an argument that has two names.

    Raises TypeError if the two values differ, or if `needed` is true and both values are empty.
    """
    if one and other and one != other:
        raise TypeError(f"{name} and {other_name} are two names for the same argument; pass only one of them")
    if needed and not (one or other):
        raise TypeError(f"{name} is missing")
    return check_text(one or other, name)


def check_text(value: object, name: str) -> str:
    """Return a string unchanged, and "" for None. Raises TypeError for any other type."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value
