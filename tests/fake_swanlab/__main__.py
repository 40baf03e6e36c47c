"""Serve a fake SwanLab on 127.0.0.1: python -m tests.fake_swanlab [--port N] [--latency MS] [--experiments N]."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from tests.fake_swanlab.app import create_app
from tests.fake_swanlab.state import build_sample_state


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_swanlab", description=__doc__)
    parser.add_argument("--port", type=int, default=8787)
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
    sys.stderr.write(f"SWANLAB_API_HOST=http://127.0.0.1:{arguments.port} SWANLAB_API_KEY={state.users[0].api_key}\n")
    uvicorn.run(create_app(state), host="127.0.0.1", port=arguments.port, log_level="warning", lifespan="off")


main()
