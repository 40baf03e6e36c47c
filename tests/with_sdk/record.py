"""Record a run with the real SDK and save the logged data; check.py starts this with the SDK's Python.

record.py FOLDER MODE END: MODE is offline, local, online or disabled; END is finish, exit, crash, interrupt, kill,
files (with swanlab.save), resume (one run in two parts), share (one run by two processes), rank-crash (the same, but
one process crashes) or seeded (a script that seeds Python's random numbers, run twice). The runs are in FOLDER/swanlog.
"""

# the SDK is in another environment
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import swanlab

STEPS = 400
SHARED = ("share", "rank-crash")
VERSION = tuple(map(int, swanlab.__version__.split(".")[:3]))
IS_LEGACY = VERSION < (0, 8)
# these versions record only in local mode, into a database
IS_OLDEST = VERSION < (0, 6, 2)


def log_steps(truth: dict[str, Any], start: int = 0, end: int = STEPS, prefix: str = "") -> None:
    points: dict[str, list[tuple[int, float]]] = truth["points"]

    def log(step: int, values: dict[str, float]) -> None:
        named = {prefix + key: value for key, value in values.items()}
        swanlab.log(named, step=step)
        for key, value in named.items():
            points.setdefault(key, []).append((step, value))

    for step in range(start, end):
        loss = math.exp(-step / 90) + math.sin(step) / 50 + truth.get("shift", 0.0)
        log(step, {"train/loss": loss, "lr": 0.001 * (1 - step / STEPS)})
        if step % 20 == 0:
            log(step, {"val/acc": step / STEPS, "zero": 0.0})
            line = f"step {step} of {prefix}loss"
            # SDK 0.5 cuts the last character off each line in local mode
            truth["printed"].append(line[:-1] if (0, 5) <= VERSION < (0, 6) else line)
            print(line, flush=True)
        if step % 100 == 0 and not prefix:
            text = f"sample at {step}\nsecond line"
            swanlab.log({"sample": swanlab.Text(text, caption=f"step {step}")}, step=step)
            truth["texts"][str(step)] = [text, f"step {step}"]
    log(end, {"train/nan": math.nan})
    # steps out of order
    for step in (60, 20, 40):
        log(start + step, {"late": float(step)})


def record_twice(folder: Path, truth: dict[str, Any]) -> None:
    """Run this script twice, like a user who trains with several settings, and save the logged data of both."""
    parts: list[dict[str, Any]] = []
    for number in ("1", "2"):
        subprocess.run([sys.executable, *sys.argv, number], check=True)
        parts.append(json.loads((folder / f"truth-{number}.json").read_text(encoding="utf-8")))
        time.sleep(1.1)  # folder names have a resolution of one second
    (folder / "truth.json").write_text(json.dumps({**truth, "parts": parts, "folders": 2}), encoding="utf-8")


def main() -> None:
    folder, mode, end = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    truth: dict[str, Any] = {
        "sdk": swanlab.__version__,
        "is_legacy": IS_LEGACY,
        "is_oldest": IS_OLDEST,
        "end": end,
        "name": f"{mode}-{end}",
        "project": "with-sdk",
        "config": {"lr": 0.001, "layers": [1, 2], "nested": {"name": "mlp", "on": True}},
        "points": {},
        "printed": [],
        "texts": {},
        "files": {},
        "error": "",
        "folders": 2 if end in ("resume", *SHARED) else 1,
    }
    given: dict[str, Any] = {"project": truth["project"], "mode": mode, "config": truth["config"]}
    given |= (
        {"experiment_name": truth["name"], "logdir": str(folder / "swanlog")} if IS_LEGACY else {"name": truth["name"]}
    )
    if not IS_LEGACY:
        given["log_dir"] = str(folder / "swanlog")
    elif mode == "online":
        given["mode"] = "cloud"
    if end == "resume":
        given |= {"id": "resumed" * 3, "resume": "allow"}
    elif end in SHARED:
        given |= {"id": "shared0" * 3, "resume": "allow", "parallel": "shared"}
    if end == "rank-crash" and IS_LEGACY:
        sys.exit("this SDK has no ranks")
    other: Any = None
    is_second = "SECOND" in os.environ
    if end in SHARED and not is_second:
        # the second process has the same command, like a rank; it saves its logged data
        environment = {**os.environ, "SECOND": "1"}
        other = subprocess.Popen([sys.executable, *sys.argv], stdout=subprocess.DEVNULL, env=environment)

    if end == "files" and not hasattr(swanlab, "save"):
        sys.exit("this SDK has no swanlab.save")
    if end == "seeded":
        if len(sys.argv) == 4:
            record_twice(folder, truth)
            return
        number = int(sys.argv[4])
        if IS_OLDEST and number == 2:
            truth["name"] += "-2"  # the SDK adds numbers to equal names
        truth |= {"shift": float(number), "folders": 1}
        random.seed(7)
    swanlab.init(**given)

    def save_truth() -> None:
        (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")

    if end in SHARED:
        log_steps(truth, prefix="second/" if is_second else "")
        if end == "rank-crash":
            truth["error"] = "the second rank failed (made up)"
        if is_second:
            (folder / "second.json").write_text(json.dumps(truth["points"]), encoding="utf-8")
            if truth["error"]:
                raise RuntimeError(truth["error"])
        else:
            other.wait(timeout=120)  # ranks record at the same time
        swanlab.finish()
        if is_second:
            return
        truth["points"] |= json.loads((folder / "second.json").read_text(encoding="utf-8"))
        save_truth()
        return
    if end == "resume":
        log_steps(truth, 0, STEPS // 2)
        swanlab.finish()
        time.sleep(1.1)  # folder names have a resolution of one second
        swanlab.init(**given)
        log_steps(truth, STEPS // 2, STEPS)
        save_truth()
        swanlab.finish()
        return
    log_steps(truth)
    if end == "seeded":
        swanlab.finish()
        (folder / f"truth-{sys.argv[4]}.json").write_text(json.dumps(truth), encoding="utf-8")
        return
    if end == "files":
        notes = folder / "notes.md"
        notes.write_text("# Notes\nsecond line\n", encoding="utf-8")
        swanlab.save(str(notes), base_path=str(folder))
        truth["files"]["files/notes.md"] = notes.read_text(encoding="utf-8")
    truth["error"] = "out of memory (made up)" if end == "crash" else ""
    save_truth()
    if end == "crash":
        raise RuntimeError(truth["error"])
    if end == "interrupt":
        raise KeyboardInterrupt
    if end == "kill":
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    if end in ("finish", "files"):
        swanlab.finish()


main()
