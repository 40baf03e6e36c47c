"""Search lines for a regular expression in a separate process with limits on time and memory.

This script is run by its file path, so it must import only the standard library.
"""

from __future__ import annotations

import json
import re
import sys

_CPU_SECONDS = 4
_MEMORY = 400_000_000  # bytes of address space; Python itself takes about 40 MB


def limit_resources() -> None:
    """Limit the memory and CPU time of this process. Where this is unsupported, only the parent's deadline applies."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def search(pattern: str, lines: list[str]) -> dict[str, object]:
    """Return the indices of the matching lines, or an error message if the pattern is invalid."""
    try:
        matches = re.compile(pattern, re.IGNORECASE).search
    except re.error as error:
        return {"error": error.msg}
    except (RecursionError, OverflowError) as error:
        return {"error": str(error)}
    return {"indices": [index for index, line in enumerate(lines) if matches(line)]}


if __name__ == "__main__":
    limit_resources()
    request = json.loads(sys.stdin.buffer.read())
    sys.stdout.write(json.dumps(search(request["pattern"], request["lines"])))
