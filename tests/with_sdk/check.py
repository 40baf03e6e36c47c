"""Use real SDKs to record runs that end in different ways, and compare the data read with the data logged.

Run python -m tests.with_sdk.check PYTHON [PYTHON …] in the project's folder and environment. Each PYTHON is the
interpreter of an environment with the packages in requirements.txt (or with an older swanlab). The cloud is a fake
server on loopback. If the SDK's own reader can read a file, the reader's data is compared too. If there are
differences, the script prints them and exits with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.core.models import MediaItem
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef, WorkspaceRef
from tests.with_sdk.cloud import serve

HERE = Path(__file__).parent
ENDS = ("finish", "exit", "crash", "interrupt", "kill", "seeded")
WAYS = [
    *(("offline", end) for end in (*ENDS, "files")),
    ("local", "finish"),
    ("disabled", "finish"),
    *(("online", end) for end in ("finish", "resume", "share", "rank-crash")),
]
# before 0.6.2 only the local mode stores points on disk
OLDEST_WAYS = [("local", end) for end in ENDS]
STATES = {"crash": "CRASHED", "rank-crash": "CRASHED", "interrupt": "ABORTED", "kill": "UNKNOWN"}


def record(python: str, folder: Path, mode: str, end: str, host: str) -> dict[str, Any] | str:
    """Record a run and return the logged data, or the reason why it was not recorded."""
    folder.mkdir()
    (folder / "home").mkdir()
    command = [python, str(HERE / "record.py"), str(folder), mode, end]
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "SWANLAB_API_HOST": host,
        "SWANLAB_WEB_HOST": host,
        "SWANLAB_API_KEY": "a" * 21,
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=folder, env=environment
    )
    if (folder / "truth.json").exists():
        truth: dict[str, Any] = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        return truth
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def read_back(python: str, file: Path) -> dict[str, Any] | None:
    """Return the data from the SDK's own reader, or None if it fails."""
    command = [python, str(HERE / "read_back.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        return None
    received: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return received


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


async def compare(python: str, folder: Path, truth: dict[str, Any]) -> list[str]:
    """Return the differences between the logged data and the runs in a folder."""
    client = OfflineClient([folder / "swanlog"])
    if truth["name"] == "disabled-finish":
        return (
            [f"{truth['name']}: something was recorded"]
            if (await client.list_projects(WorkspaceRef("local"))).data
            else []
        )
    parts: list[dict[str, Any]] = truth.get("parts", [truth])
    listed = (await client.list_experiments(ProjectRef("local", truth["project"]))).data or []
    if [one.name for one in reversed(listed)] != [part["name"] for part in parts]:
        return [f"{truth['name']}: listed were {[one.name for one in listed]}"]
    faults: list[str] = []
    # the newest run is listed first
    for one, part in zip(reversed(listed), parts, strict=True):
        faults += await compare_experiment(client, one.cuid, part)
    files = [run.file for run in client._catalogue.runs]  # pyright: ignore[reportPrivateUsage] counts folders
    if len(files) != truth["folders"]:
        faults.append(f"{len(files)} folders instead of {truth['folders']}")
    if not truth["is_legacy"] and len(files) == 1:
        faults += await compare_readers(client, listed[0].cuid, truth, read_back(python, files[0]))
    print(f"  {truth['name']:18} {'differs' if faults else 'equal'}")
    return [f"{truth['name']}: {fault}" for fault in faults]


async def compare_experiment(client: OfflineClient, cuid: str, truth: dict[str, Any]) -> list[str]:
    """Return the differences between the logged data and an experiment."""
    project, is_killed = truth["project"], truth["end"] == "kill"
    answer = await client.get_experiment(ExperimentRef("local", project, cuid))
    experiment = answer.data
    assert experiment is not None
    faults: list[str] = []
    # SDKs before 0.8 store an interrupt as a crash
    is_crash = truth["is_legacy"] and truth["end"] == "interrupt"
    state = "CRASHED" if is_crash else STATES.get(truth["end"], "FINISHED")
    if experiment.state != state:
        faults.append(f"state {experiment.state} instead of {state}")
    if experiment.profile.get("config") != truth["config"]:
        faults.append(f"config {experiment.profile.get('config')}")
    if truth["error"] not in (experiment.error or ""):
        faults.append(f"error {experiment.error!r}")
    keys = (await client.list_keys(ExperimentRef("local", project, cuid))).data
    assert keys is not None
    points = (await client.read_points(ExperimentRef("local", project, cuid), keys.scalars, exact=True)).data or {}
    for key, logged in truth["points"].items():
        read = list(zip(points[key].steps, points[key].values, strict=True)) if key in points else []
        expected = sorted(logged)
        lacking = len(expected) - len(read)
        found = dict(read)
        wrong = [step for step, value in expected if step in found and not same(found[step], value)]
        if wrong or len(found) != len(read) or lacking < 0 or (lacking and not is_killed):
            faults.append(f"{key}: {len(read)} of {len(expected)} points, wrong at {wrong[:5]}")
    logs = (await client.read_logs(ExperimentRef("local", project, cuid), start=0, count=10_000)).data
    assert logs is not None
    messages = [line.message for line in logs.lines]
    lines = [line for line in truth["printed"] if any(line in message for message in messages)]
    if lines != truth["printed"] and not is_killed:
        faults.append(f"{len(lines)} of {len(truth['printed'])} lines")
    for step, (text, caption) in truth["texts"].items():
        part = (await client.list_media(ExperimentRef("local", project, cuid), "sample", step=int(step))).data
        if part is None or not part.items:
            faults += [] if is_killed else [f"no text at {step}"]
            continue
        files = (await client.read_media(ExperimentRef("local", project, cuid), part.items, limit=1 << 20)).data or []
        if (files[0].content, part.items[0].caption) != (text.encode(), caption):
            faults.append(f"text at {step}: {files[0].content!r}")
    for key, text in truth["files"].items():
        part = (await client.list_media(ExperimentRef("local", project, cuid), key)).data
        items: Sequence[MediaItem] = part.items if part else ()
        files = (await client.read_media(ExperimentRef("local", project, cuid), items, limit=1 << 20)).data or []
        if [one.content for one in files] != [text.encode()]:
            faults.append(f"{key}: {[one.content for one in files]}")
    for note in answer.notes:
        if "records read" in note:
            print(f"    {note}")
    return faults


async def compare_readers(
    client: OfflineClient, cuid: str, truth: dict[str, Any], expected: dict[str, Any] | None
) -> list[str]:
    """Return the differences from the SDK's own reader, which can stop at the first interleaved record."""
    if expected is None:
        return []
    ref = ExperimentRef("local", truth["project"], cuid)
    points = (await client.read_points(ref, list(expected["points"]), exact=True)).data or {}
    logs = (await client.read_logs(ref, start=0, count=10_000)).data
    messages = [line.message for line in logs.lines] if logs else []
    faults: list[str] = []
    for key, theirs in expected["points"].items():
        ours = {
            step: (value, moment)
            for step, value, moment in zip(points[key].steps, points[key].values, points[key].times, strict=True)
        }
        odd = [
            step
            for step, value, moment in theirs
            if step not in ours or not same(ours[step][0], value) or ours[step][1] != moment
        ]
        if odd:
            faults.append(f"{key}: the SDK's reader tells otherwise at {odd[:5]}")
    if expected["lines"] != messages[: len(expected["lines"])]:
        faults.append("the SDK's reader tells other log lines")
    return faults


def choose_ways(python: str) -> list[tuple[str, str]]:
    command = [python, "-c", "import importlib.metadata; print(importlib.metadata.version('swanlab'))"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    print(f"SDK {version}")
    return OLDEST_WAYS if tuple(map(int, version.split(".")[:3])) < (0, 6, 2) else WAYS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="+")
    faults: list[str] = []
    for python in parser.parse_args().python:
        with tempfile.TemporaryDirectory() as temporary, serve() as host:
            for mode, end in choose_ways(python):
                folder = Path(temporary) / f"{mode}-{end}"
                truth = record(python, folder, mode, end, host)
                if isinstance(truth, str):
                    print(f"  {mode}-{end}: {truth[:120]}")
                    # missing packages must not look like equal data
                    faults += [] if truth.startswith("this SDK has no ") else [f"{mode}-{end} was not recorded"]
                    continue
                about = f"SDK {truth['sdk']}, "
                faults += [about + fault for fault in asyncio.run(compare(python, folder, truth))]
    print("\n".join(faults) or "all equal")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
