"""What Python users rely on, as a snapshot: a breaking change is seen in the diff."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import swanlab_mcp

SNAPSHOT = Path(__file__).parent / "public_api.txt"


def describe(name: str) -> list[str]:
    value = getattr(swanlab_mcp, name)
    if not inspect.isclass(value):
        return [f"{name}: {type(value).__name__}"]
    lines = [f"class {name}({', '.join(base.__name__.partition('[')[0] for base in value.__bases__)})"]
    if hasattr(value, "model_fields"):
        own = inspect.get_annotations(value)
        lines += [f"    {field}: {own[field]}" for field in value.model_fields if field in own]
    if "__init__" in vars(value):
        lines.append(f"    __init__{inspect.signature(value.__init__)}")
    for method, function in vars(value).items():
        if not method.startswith("_") and inspect.isfunction(function):
            lines.append(f"    {method}{inspect.signature(function)}")
    return lines


def test_the_public_api_is_that_last_reviewed() -> None:
    shown = "\n".join(line for name in swanlab_mcp.__all__ for line in describe(name)) + "\n"
    if os.environ.get("UPDATE_PUBLIC_API") and not os.environ.get("CI"):
        SNAPSHOT.write_text(shown, encoding="utf-8")
    assert SNAPSHOT.read_text(encoding="utf-8") == shown, "review, then rewrite with UPDATE_PUBLIC_API=1"
