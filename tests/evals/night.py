"""A simulated night: a scripted agent has 4 simulated GPUs for 16 planned runs, in a project with 24 finished runs.

Time passes only while the agent waits, because the fake SwanLab advances the running experiments when
wait_for_experiments lists them.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.fake_swanlab import BEGINNING, Fault, State
from tests.fake_swanlab.state import Experiment

__all__ = ["BEST", "DUPLICATES", "Night", "build_night", "run_agent"]

LENGTH = 100
FIRST_LOOK = 40
GPUS = 4
KEY = "val/loss"
BEST = "plan-9"
# plans that were run before with other key names, nested keys, or the logarithm of the rate
DUPLICATES: Mapping[str, dict[str, Any]] = {
    "plan-2": {"learning_rate": 0.03, "optim": "sgd", "width": 64, "seed": 7},
    "plan-5": {"optimizer": {"lr": 0.01, "name": "adam"}, "width": 32, "seed": 8},
    "plan-8": {"width": 128, "optimizer": "sgd", "lr": 0.003, "seed": 9},
    "plan-13": {"config": {"lr": 0.3, "optimizer": "adam", "width": 64}, "seed": 10},
}


@dataclass
class Night:
    """The project, the plans in order, and the simulated clock."""

    state: State
    plans: dict[str, dict[str, Any]]
    levels: dict[str, float]
    source: random.Random
    advance_by: int = 0
    used: int = 0
    started: dict[str, Experiment] = field(default_factory=dict[str, Experiment])

    def start(self, name: str) -> None:
        """Start a planned run, as the agent's training script would."""
        moment = BEGINNING + timedelta(days=2, minutes=len(self.started))
        project = self.state.projects[-1]
        self.started[name] = self.state.add_experiment(
            project, name, cuid=name, state="RUNNING", config=self.plans[name], metrics={KEY: []}, created_at=moment
        )

    def stop(self, name: str) -> None:
        self.started[name].state = "ABORTED"

    def advance(self) -> None:
        """Advance the running experiments, but only once per wait."""
        steps, self.advance_by = self.advance_by, 0
        for name, one in self.started.items():
            if one.state != "RUNNING":
                continue
            done = len(one.metrics[KEY])
            until = min(LENGTH, done + steps)
            one.metrics[KEY] = [*one.metrics[KEY], *draw(self.source, self.levels[name], done, until)]
            self.used += until - done
            if until == LENGTH:
                one.state = "FINISHED"


def draw(source: random.Random, level: float, start: int, end: int) -> list[tuple[int, float]]:
    return [(step, level + 2 * math.exp(-step / 15) + source.gauss(0, 0.004)) for step in range(start, end)]


def build_night(state: State, seed: int) -> Night:
    """Add 24 finished experiments, including 4 repeats of the baseline, and plan 16 more, including 4 duplicates."""
    source = random.Random(seed)
    project = state.add_project(state.workspaces[0], "night", cuid="night")
    grid = [
        (lr, how, width) for lr in (0.003, 0.01, 0.03, 0.1, 0.3) for how in ("sgd", "adam") for width in (32, 64, 128)
    ]
    tried = [(0.03, "sgd", 64), (0.01, "adam", 32), (0.003, "sgd", 128), (0.3, "adam", 64)]
    others = [one for one in grid if one not in tried]
    source.shuffle(others)
    history = [*tried, *others[:16]]
    settings = [*((one, 0) for one in history), *((history[4], seed) for seed in range(1, 5))]
    for index, ((lr, how, width), number) in enumerate(settings):
        level = 0.5 if number or index == 4 else 0.55 + source.random()
        config = {"lr": lr, "optimizer": how, "width": width, "seed": number}
        points = draw(source, level, 0, LENGTH)
        name = f"base-{number}" if number or index == 4 else f"old-{index}"
        state.add_experiment(project, name, cuid=name, config=config, metrics={KEY: points})
    new = [{"lr": lr, "optimizer": how, "width": width, "seed": 0} for lr, how, width in others[16:]]
    new += [{"lr": lr, "optimizer": "lion", "width": 64, "seed": 0} for lr in (0.003, 0.02, 0.2, 0.5)]
    names = [f"plan-{number}" for number in range(16)]
    plans = {name: DUPLICATES[name] if name in DUPLICATES else new.pop() for name in names}
    levels = {name: 0.25 if name == BEST else 0.6 + source.random() for name in names}
    return Night(state, plans, levels, source)


async def run_agent(client: Any, night: Night) -> tuple[list[str], int]:
    """Work through the plans, using only the tools. Return the experiments to keep, and the number of calls."""
    calls = 0
    cursor = ""

    async def ask(tool: str, **arguments: Any) -> tuple[Any, str]:
        nonlocal calls
        calls += 1
        result = await client.call_tool(tool, {"project": "night", **arguments})
        assert not result.is_error, result.content
        text = "\n".join(block.text for block in result.content if block.type == "text")
        return result.structured_content["data"], text

    async def wait(steps: int, *until: str) -> None:
        nonlocal cursor
        night.advance_by = steps
        _, text = await ask("wait_for_experiments", until=until, cursor=cursor, timeout=5)
        found = re.search(r"cursor=(\S+)", text)
        cursor = found[1] if found else cursor

    night.state.faults = [Fault("/night/runs$", then=night.advance)]
    waiting = list(night.plans)
    while waiting:
        batch: list[str] = []
        while waiting and len(batch) < GPUS:
            name = waiting.pop(0)
            rows, _ = await ask("find_similar_experiments", config=night.plans[name], size=1)
            if not rows[0]["near_duplicate"]:
                night.start(name)
                batch.append(name)
        await wait(FIRST_LOOK, f"step:{FIRST_LOOK - 1}", "crashed", "non_finite")
        for name in batch:
            found, _ = await ask("forecast_experiment", exp_cuid=name, metric=KEY)
            if found["advice"] == "kill":
                night.stop(name)
        if any(night.started[name].state == "RUNNING" for name in batch):
            await wait(LENGTH, "finished", "crashed", "non_finite")
    ended = [name for name, one in night.started.items() if one.state == "FINISHED"]
    compared, _ = await ask("compare_experiments", exp_cuids=ended, metrics=[KEY], baseline="base-0")
    kept = sum(one["decision"] == "keep" for one in compared["decisions"])
    ranked, _ = await ask("rank_experiments", metric=KEY, size=max(1, kept))
    return [row["cuid"] for row in ranked if kept], calls
