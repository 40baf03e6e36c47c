"""Convert the results of operations to published records and sentences, in the caller's language."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from importlib import import_module
from types import UnionType
from typing import Any, get_args, get_type_hints

from swanlab_mcp.core.models import ApiResponse

__all__ = ["get_published_type", "present"]

Publisher = Callable[[ApiResponse[Any]], ApiResponse[Any]]

# maps each result class to the module whose `publish` function describes it; modules are imported on first use
_PUBLISHERS = {
    "Aggregation": "aggregation",
    "Awaited": "waiting",
    "Compared": "comparison",
    "DiagnosedExperiment": "diagnosis",
    "ForecastExperiment": "forecast",
    "SimilarExperiments": "similar",
    "TriedSettings": "exploring",
    "News": "news",
    "Plot": "plotting",
    "Ranking": "ranking",
}


def present(answer: ApiResponse[Any]) -> ApiResponse[Any]:
    """Return the published form of an answer. Answers that need no conversion are returned unchanged.

    Call this exactly once per answer, after setting the caller's language.
    """
    publish = _find_publisher(type(answer.data).__name__)
    return publish(answer) if publish else answer


def get_published_type(annotation: Any) -> Any:
    """Return the published form of an operation's return type, such as `ApiResponse[Diagnosis]`."""
    (found,) = annotation.__pydantic_generic_metadata__["args"] or (None,)
    if isinstance(found, UnionType):
        parts: list[Any] = [get_published_type(ApiResponse[one]) for one in get_args(found)]
        kinds: list[Any] = [part.__pydantic_generic_metadata__["args"][0] for part in parts]
        return ApiResponse[reduce(lambda one, two: one | two, kinds)]
    publish = _find_publisher(getattr(found, "__name__", ""))
    return get_type_hints(publish)["return"] if publish else annotation


def _find_publisher(finding: str) -> Publisher | None:
    home = _PUBLISHERS.get(finding)
    return import_module(f"swanlab_mcp.present.{home}").publish if home else None
