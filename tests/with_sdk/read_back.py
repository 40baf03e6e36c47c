"""Print the data of a run file from the SDK's own reader; check.py starts this with the SDK's Python.

read_back.py FILE: prints {"points": {key: [[step, value, Unix ms], ...]}, "lines": [...]}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.sdk.internal.core_python.store import DataStoreReader


def main() -> None:
    reader = DataStoreReader()
    reader.open(sys.argv[1])
    points: dict[str, list[Any]] = {}
    lines: list[str] = []
    for data in reader:
        record = Record()
        record.ParseFromString(data)
        if record.HasField("scalar"):
            scalar = record.scalar
            moment = scalar.timestamp.seconds * 1000 + scalar.timestamp.nanos // 1_000_000
            points.setdefault(scalar.key, []).append((scalar.step, scalar.value.number, moment))
        elif record.HasField("log"):
            lines.append(record.log.line)
    print(json.dumps({"points": points, "lines": lines}))


main()
