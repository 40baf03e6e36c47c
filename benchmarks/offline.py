"""Measure how fast runs on disk are read, and how much memory that requires.

python benchmarks/offline.py [--sdk-python PYTHON] [--points 500000] [--runs 1000] [--repetitions 5]

The benchmark parses a complete file, lists 1,000 runs and polls a growing file. Parsing is compared with the SDK's own
reader, for which PYTHON must be an interpreter that can import swanlab. The files are generated in the format of SDK
0.10.3. Each measurement runs in a new process. The two readers alternate, so that a busy machine slows both, and the
result is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack
from zlib import crc32

from swanlab_mcp.client.local import OfflineClient
from swanlab_mcp.client.local.run import Run
from swanlab_mcp.core.refs import ExperimentRef, ProjectRef

BLOCK = 32768
KEYS = ("train/loss", "train/acc", "grad_norm", "lr", "val/loss")

SDK_READER = """
import sys, time
from swanlab.sdk.internal.core_python.store import DataStoreReader
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
began = time.perf_counter()
reader = DataStoreReader()
reader.open(sys.argv[1])
series = {}
for data in reader:
    record = Record()
    record.ParseFromString(data)
    if record.HasField("scalar"):
        point = record.scalar
        time_ms = point.timestamp.seconds * 1000 + point.timestamp.nanos // 1000000
        series.setdefault(point.key, []).append((point.step, point.value.number, time_ms))
seconds = time.perf_counter() - began
import json, resource
points = sum(map(len, series.values()))
print(json.dumps([seconds, points, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def encode_varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_bytes(field: int, data: bytes) -> bytes:
    return encode_varint(field << 3 | 2) + encode_varint(len(data)) + data


def encode_time(milliseconds: float) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    return b"\x08" + encode_varint(int(seconds)) + b"\x10" + encode_varint(int(rest * 1_000_000) or 1)


def encode_records(points: int, name: str, *, finished: bool = True) -> Iterator[bytes]:
    """Yield the records of a run, which are a start record, points with five alternating keys, and an end record.

    If `finished` is false, the end record is omitted.
    """
    now = 1_795_420_000_000.0
    text = {1: "benchmark", 4: name, 10: name}
    start = b"".join(encode_bytes(field, value.encode()) for field, value in text.items())
    start += encode_bytes(12, encode_time(now))
    yield b"\x08" + encode_varint(-1) + encode_bytes(2, encode_time(now)) + encode_bytes(10, start)
    for number in range(points):
        step, index = divmod(number, len(KEYS))
        logged = encode_time(now + step * 37.25)
        value = b"\x09" + pack("<d", math.exp(-step / 20_000) + math.sin(number) / 50)
        scalar = encode_bytes(1, KEYS[index].encode()) + (b"\x10" + encode_varint(step) if step else b"")
        scalar += b"\x18\x01" + encode_bytes(4, logged) + encode_bytes(5, value)
        written = encode_bytes(2, encode_time(now + step * 37.25 + index / 8 + 1))
        yield b"\x08" + encode_varint(number + 1) + written + encode_bytes(13, scalar)
    if finished:
        end = b"\x08\x01" + encode_bytes(3, encode_time(now + points * 10))
        yield b"\x08" + encode_varint(-2) + encode_bytes(2, encode_time(now)) + encode_bytes(11, end)


def frame_records(records: Iterator[bytes], offset: int = 0) -> Iterator[bytes]:
    """Yield the contents of a run file. If `offset` is not 0, yield the bytes to append to a file of that size."""
    if not offset:
        yield b":SWL\xd6\xe1\x02"
        offset = 7
    for record in records:
        left, kind = record, 1
        while left:
            room = BLOCK - offset % BLOCK
            if room < 7:
                yield bytes(room)
                offset += room
                room = BLOCK
            part, left = left[: room - 7], left[room - 7 :]
            kind = (4 if kind in (2, 3) else 1) if not left else (3 if kind in (2, 3) else 2)
            yield pack("<IHB", crc32(part, crc32(bytes((kind,)))), len(part), kind) + part
            offset += 7 + len(part)


def write_run(folder: Path, name: str, points: int) -> Path:
    run = folder / f"run-20261123_080000-{name}"
    (run / "files").mkdir(parents=True)
    config = "".join(f"key{number}:\n  desc: ''\n  sort: {number}\n  value: 0.{number}\n" for number in range(20))
    (run / "files" / "config.yaml").write_text(config, encoding="utf-8")
    file = run / f"run-{name}.swanlab"
    with file.open("wb") as out:
        for part in frame_records(encode_records(points, name)):
            out.write(part)
    return file


def read_whole(file: Path) -> None:
    """Parse a complete file, and print the time in seconds, the number of points and the peak memory in MB.

    The output has the same format as the script that uses the SDK's reader.
    """
    began = time.perf_counter()
    run = Run(file)
    run.refresh()
    seconds = time.perf_counter() - began
    points = sum(len(series) for series in run.series.values())
    print(json.dumps([seconds, points, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def list_runs(folder: Path) -> None:
    """Print the times for listing all runs twice and for a call about one run, and the peak memory in MB."""

    async def ask() -> list[float]:
        client = OfflineClient([folder])
        seconds: list[float] = []
        for _ in range(2):
            began = time.perf_counter()
            answer = await client.list_experiments(ProjectRef("local", "benchmark"))
            seconds.append(time.perf_counter() - began)
            if answer.notes:
                raise RuntimeError(answer.notes)
        one = 0.0
        for _ in range(2):
            began = time.perf_counter()
            await client.get_summary(ExperimentRef("local", "benchmark", "many0000"))
            one = time.perf_counter() - began
        return [*seconds, one]

    print(json.dumps([*asyncio.run(ask()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def poll(file: Path) -> None:
    """Print the median time of a poll in seconds, when each poll finds 20 new points."""
    run = Run(file)
    run.refresh()
    size = file.stat().st_size
    records = list(encode_records(4000, "more", finished=False))[1:]
    seconds: list[float] = []
    with file.open("ab", buffering=0) as out:
        for index in range(0, len(records), 20):
            part = b"".join(frame_records(iter(records[index : index + 20]), size))
            size += len(part)
            out.write(part)
            began = time.perf_counter()
            run.refresh()
            seconds.append(time.perf_counter() - began)
    if run.assess_damage().indices:
        raise RuntimeError("the continuation was not read")
    print(json.dumps([statistics.median(seconds), max(seconds)]))


TASKS: dict[str, Callable[[Path], None]] = {"whole": read_whole, "list": list_runs, "poll": poll}


def measure(command: list[str]) -> list[float]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sdk-python", default="", help="a Python interpreter that can import swanlab")
    parser.add_argument("--points", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--task", nargs=2, metavar=("TASK", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        TASKS[given.task[0]](Path(given.task[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        file = write_run(root / "large", "large", given.points)
        commands = {"ours": [sys.executable, __file__, "--task", "whole", str(file)]}
        if given.sdk_python:
            commands["SDK's reader"] = [given.sdk_python, "-c", SDK_READER, str(file)]
        results: dict[str, list[list[float]]] = {name: [] for name in commands}
        for _ in range(given.repetitions):
            for name, command in commands.items():
                results[name].append(measure(command))
        medians = {name: statistics.median(one[0] for one in some) for name, some in results.items()}
        for name, some in results.items():
            memory = max(one[2] for one in some)
            print(f"{name:12} {some[0][1]:,.0f} points  median {medians[name]:.2f} s  peak memory {memory:.0f} MB")
        if given.sdk_python:
            ratio = medians["ours"] / medians["SDK's reader"]
            print(f"ratio of medians {ratio:.2f} (target: at most 1); memory target: at most 60 MB")
        median, worst = measure([sys.executable, __file__, "--task", "poll", str(file)])
        print(f"poll         median {1000 * median:.2f} ms  worst {1000 * worst:.2f} ms (target: at most 2 ms)")
        for number in range(given.runs):
            write_run(root / "many", f"many{number:04}", 280)
        cold, warm, one, memory = measure([sys.executable, __file__, "--task", "list", str(root / "many")])
        print(f"{given.runs} runs    first {cold:.2f} s  again {warm:.2f} s (target: at most 1)  {memory:.0f} MB")
        print(f"one of them  {1000 * one:.1f} ms")


if __name__ == "__main__":
    main()
