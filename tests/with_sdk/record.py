"""Record one run with the real SDK and write down what was logged; started by check.py, by the SDK's own python.

record.py FOLDER MODE END: MODE is offline, local, online or disabled; END is finish, exit, crash, interrupt, kill,
resume (one run in two parts) or share (one run by two processes).
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import swanlab

STEPS = 400
IS_LEGACY = tuple(map(int, swanlab.__version__.split(".")[:2])) < (0, 8)


def log_steps(truth: dict[str, Any], start: int = 0, end: int = STEPS, prefix: str = "") -> None:
    points: dict[str, list[tuple[int, float]]] = truth["points"]

    def log(step: int, values: dict[str, float]) -> None:
        named = {prefix + key: value for key, value in values.items()}
        swanlab.log(named, step=step)
        for key, value in named.items():
            points.setdefault(key, []).append((step, value))

    for step in range(start, end):
        log(step, {"train/loss": math.exp(-step / 90) + math.sin(step) / 50, "lr": 0.001 * (1 - step / STEPS)})
        if step % 20 == 0:
            log(step, {"val/acc": step / STEPS, "zero": 0.0})
            line = f"step {step} of {prefix}loss"
            truth["printed"].append(line)
            print(line, flush=True)
        if step % 100 == 0 and not prefix:
            text = f"sample at {step}\nsecond line"
            swanlab.log({"sample": swanlab.Text(text, caption=f"step {step}")}, step=step)
            truth["texts"][str(step)] = [text, f"step {step}"]
    log(end, {"train/nan": math.nan})
    # steps out of order
    for step in (60, 20, 40):
        log(start + step, {"late": float(step)})


def main() -> None:
    folder, mode, end = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    truth: dict[str, Any] = {
        "sdk": swanlab.__version__,
        "is_legacy": IS_LEGACY,
        "end": end,
        "name": f"{mode}-{end}",
        "project": "with-sdk",
        "config": {"lr": 0.001, "layers": [1, 2], "nested": {"name": "mlp", "on": True}},
        "points": {},
        "printed": [],
        "texts": {},
        "error": "",
        "folders": 2 if end in ("resume", "share") else 1,
    }
    given: dict[str, Any] = {"project": truth["project"], "mode": mode, "config": truth["config"]}
    given |= {"experiment_name": truth["name"], "logdir": str(folder)} if IS_LEGACY else {"name": truth["name"]}
    if not IS_LEGACY:
        given["log_dir"] = str(folder)
    elif mode == "online":
        given["mode"] = "cloud"
    if end == "resume":
        given |= {"id": "resumed" * 3, "resume": "allow"}
    elif end == "share":
        given |= {"id": "shared0" * 3, "resume": "allow", "parallel": "shared"}
    if end == "share" and len(sys.argv) == 4:
        # the second process is this script again; it prints what it logged
        other = subprocess.Popen([sys.executable, *sys.argv, "second"], stdout=subprocess.PIPE, text=True)

    swanlab.init(**given)

    def write_down() -> None:
        (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")

    if end == "share":
        is_second = len(sys.argv) > 4
        log_steps(truth, prefix="second/" if is_second else "")
        swanlab.finish()
        if is_second:
            print("\n" + json.dumps({"points": truth["points"]}))
            return
        told = json.loads(other.communicate(timeout=120)[0].splitlines()[-1])
        truth["points"] |= told["points"]
        write_down()
        return
    if end == "resume":
        log_steps(truth, 0, STEPS // 2)
        swanlab.finish()
        time.sleep(1.1)  # folders are named by the second
        swanlab.init(**given)
        log_steps(truth, STEPS // 2, STEPS)
        write_down()
        swanlab.finish()
        return
    log_steps(truth)
    truth["error"] = "out of memory (made up)" if end == "crash" else ""
    write_down()
    if end == "crash":
        raise RuntimeError(truth["error"])
    if end == "interrupt":
        raise KeyboardInterrupt
    if end == "kill":
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "finish":
        swanlab.finish()


main()
