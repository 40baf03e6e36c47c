"""Serve the fake SwanLab on 127.0.0.1: python -m tests.fake_swanlab [--port N] [--latency MS] [--experiments N]."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

import uvicorn

from tests.fake_swanlab.app import create_app
from tests.fake_swanlab.server import listen
from tests.fake_swanlab.state import build_sample_state


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_swanlab", description=__doc__)
    parser.add_argument("--port", type=int, default=8787, help="0: a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="of every answer")
    parser.add_argument("--experiments", type=int, default=0, metavar="N", help="in a project 'many'")
    arguments = parser.parse_args()
    state = build_sample_state()
    state.latency = arguments.latency / 1000
    if arguments.experiments:
        project = state.add_project(state.workspaces[0], "many")
        for number in range(arguments.experiments):
            losses = [(step, 2.0 / (1 + step + number % 7)) for step in range(20)]
            state.add_experiment(project, f"run-{number}", config={"lr": 0.1 / (1 + number)}, metrics={"loss": losses})
    listener = listen(arguments.port)
    host = f"http://127.0.0.1:{listener.getsockname()[1]}"
    sys.stderr.write(f"SWANLAB_API_HOST={host} SWANLAB_API_KEY={state.users[0].api_key}\n")
    sys.stderr.flush()
    server = uvicorn.Server(uvicorn.Config(create_app(state), log_level="warning", lifespan="off"))
    with suppress(KeyboardInterrupt):
        server.run([listener])


if __name__ == "__main__":
    main()
