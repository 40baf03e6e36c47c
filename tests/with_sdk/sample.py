"""Record three short runs with the real SDK for tests/offline_runs, and save the logged data.

Start sample.py FOLDER with the SDK's Python, in an empty FOLDER whose path contains no private names. The runs are
"first" and "second" (a script that seeds Python's random numbers, run twice) and "broken", which raises an error.
truth.json has the format that tests/client/local/test_runs.py reads.
"""

# the SDK is in another environment
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import hashlib
import json
import math
import random
import subprocess
import sys
import time
from pathlib import Path
from struct import pack
from typing import Any

import swanlab

STEPS = 40
NAMES = ("first", "second", "broken")
VERSION = tuple(map(int, swanlab.__version__.split(".")[:3]))


def describe(points: list[tuple[int, float]]) -> dict[str, Any]:
    finite = [(value, step) for step, value in points if math.isfinite(value)]
    odd = [step for step, value in points if not math.isfinite(value)]
    values = [math.nan if math.isnan(value) else value for _, value in points]
    packed = b"".join(pack("<qd", step, value) for (step, _), value in zip(points, values, strict=True))
    return {
        "n": len(points),
        "last_step": points[-1][0],
        "last": points[-1][1],
        "min": min(finite)[0],
        "min_step": min(finite, key=lambda one: one[0])[1],
        "max": max(finite)[0],
        "max_step": max(finite, key=lambda one: one[0])[1],
        "non_finite": len(odd),
        "first_non_finite_step": odd[0] if odd else None,
        "sha256": hashlib.sha256(packed).hexdigest(),
    }


def record(folder: Path, number: int) -> None:
    """Record one run, and save the logged data next to the run's folder."""
    name, is_broken = NAMES[number], NAMES[number] == "broken"
    config: dict[str, Any] = {"lr": 0.1 / (number + 1), "layers": [64, 64], "optimizer": {"name": "sgd"}}
    random.seed(7)
    given: dict[str, Any] = {"project": "samples", "config": config, "description": f"the {name} run"}
    given |= {"mode": "local" if VERSION < (0, 6, 2) else "offline"}
    is_old = VERSION < (0, 8)
    given |= {"experiment_name": name, "logdir": str(folder)} if is_old else {"name": name, "log_dir": str(folder)}
    before = set(folder.glob("run-*"))
    swanlab.init(**given)
    points: dict[str, list[tuple[int, float]]] = {}
    printed: list[str] = []
    for step in range(STEPS // 2 if is_broken else STEPS):
        values = {"train/loss": 2 * math.exp(-step / (10 + number)), "grad norm": math.inf if step == 5 else 1.0 + step}
        if step % 4 == 0:
            values["val/acc"] = 1 - math.exp(-step / 20)
            line = f"step {step}: accuracy {values['val/acc']:.3f}"
            # SDK 0.5 cuts the last character off each line in local mode
            printed.append(line[:-1] if (0, 5) <= VERSION < (0, 6) else line)
            print(line, flush=True)
        swanlab.log(values, step=step)
        for key, value in values.items():
            points.setdefault(key, []).append((step, value))
    (run,) = set(folder.glob("run-*")) - before
    truth = {
        # a seeded script of SDK 0.6 and 0.7 gives every run the same id
        "id": run.name if is_old else run.name.rpartition("-")[2],
        "project": "samples",
        "name": name,
        "description": f"the {name} run",
        "tags": [],
        "group": None,
        "job_type": None,
        "sdk": swanlab.__version__,
        "state": "CRASHED" if is_broken else "FINISHED",
        "error": {"message": "no space left (made up)"} if is_broken else None,
        "config": config,
        "printed": printed,
        "media": {},
        "partial": False,
        "metrics": {key: describe(logged) for key, logged in points.items()},
    }
    (folder / f"truth-{number}.json").write_text(json.dumps(truth), encoding="utf-8")
    if is_broken:
        raise RuntimeError("no space left (made up)")
    swanlab.finish()


def main() -> None:
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        record(folder, int(sys.argv[2]))
        return
    runs: list[dict[str, Any]] = []
    for number in range(len(NAMES)):
        subprocess.run([sys.executable, *sys.argv, str(number)], check=False)
        part = folder / f"truth-{number}.json"
        runs.append(json.loads(part.read_text(encoding="utf-8")))
        part.unlink()
        time.sleep(1.1)  # folder names have a resolution of one second
    (folder / "truth.json").write_text(json.dumps({"runs": runs}, indent=1), encoding="utf-8")


main()
