"""Run a fake SwanLab with large amounts of data in a separate process."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import anyio
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swanlab_mcp.settings import Settings
from tests.fake_swanlab import BEGINNING, LogLine, Media, State, build_sample_state, create_app
from tests.fake_swanlab.server import listen

__all__ = ["KEYS", "MANY", "ME", "build", "start"]

ME = "kites-test3"
MANY = 3000
KEYS = [f"curve{number:02}" for number in range(32)]
POINTS = 500_000
LOG_LINES = 20_000


def build(latency: float = 0.0, *, is_large: bool = False) -> State:
    """Return a state with 3,000 finished experiments, and another project with a single experiment with 32 metrics.

    If `is_large` is true, add an experiment with 500,000 points and a 10 MB log.
    """
    state = build_sample_state()
    state.latency = latency
    ended = BEGINNING + timedelta(days=1)
    many = state.add_project(state.workspaces[0], "many")
    for number in range(MANY):
        losses = [(step, 2.0 / (1 + step + number % 7)) for step in range(20)]
        config = {"lr": 0.1 / (1 + number % 50), "seed": number % 4, "width": 64 + number % 3}
        state.add_experiment(
            many, f"run-{number}", cuid=f"r{number:04}", config=config, metrics={"loss": losses}, finished_at=ended
        )
    wide = state.add_project(state.workspaces[0], "wide")
    series = {key: [(step, step / 100) for step in range(200)] for key in KEYS}
    one = state.add_experiment(wide, "wide", cuid="wide1", metrics=series, finished_at=ended)
    one.logs = [LogLine(number, f"epoch {number} loss {1 / (1 + number):.4f}") for number in range(500)]
    one.media = {"sample": [Media(199, ["sample.txt"])]}
    state.files |= {f"{wide.cuid}/wide1/sample.txt": b"a recorded text\n" * 20}
    if is_large:
        large = state.add_project(state.workspaces[0], "large")
        points = [(step, 1 / (1 + step)) for step in range(POINTS)]
        one = state.add_experiment(large, "large", cuid="large1", metrics={"loss": points}, finished_at=ended)
        one.logs = [LogLine(number, f"step {number} " + "x" * 490) for number in range(LOG_LINES)]
    return state


def replay(app: ASGIApp, latency: float) -> ASGIApp:
    """Return an ASGI app that caches the responses of `app` and replays them to identical requests after `latency`.

    Replayed responses exclude the fake server's own work from the measurements.
    """
    known: dict[tuple[str, bytes, bytes, bytes], list[Message]] = {}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        name = (scope["method"], scope["raw_path"], scope["query_string"], body)
        if name in known:
            await anyio.sleep(latency)
            for message in known[name]:
                await send(message)
            return
        told: list[Message] = []

        async def listen_in(message: Message) -> None:
            told.append(message)
            await send(message)

        async def read() -> Message:
            return {"type": "http.request", "body": body}

        await app(scope, read, listen_in)
        # do not cache logins, because each caller needs a new session
        if told[0].get("status") == HTTPStatus.OK and b"/login/" not in scope["raw_path"]:
            known[name] = told

    return answer


@contextmanager
def start(latency_ms: float = 0.0, *, is_large: bool = False) -> Iterator[Settings]:
    """Serve the fake SwanLab in a new process, and yield settings that connect to it."""
    command = [sys.executable, __file__, "--latency", str(latency_ms), *(["--large"] if is_large else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            raise RuntimeError("the server has no pipe")
        host = server.stdout.readline().strip()
        try:
            yield Settings(
                api_host=host, web_host=host, api_key="test-key", key_source="SWANLAB_API_KEY", timeout=600.0
            )
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="of every response, in milliseconds")
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    state = build(given.latency / 1000, is_large=given.large)
    listener = listen()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = replay(create_app(state), state.latency)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
