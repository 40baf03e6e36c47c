"""Publish findings: turn the data that an operation found into records with sentences, in the language of the call."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, get_type_hints

from swanlab_mcp.core.models import ApiResponse

__all__ = ["get_published_type", "present"]

Publisher = Callable[[ApiResponse[Any]], ApiResponse[Any]]

# class of a finding: the module of this package whose `publish` words it; imported at its first use
_PUBLISHERS = {
    "Compared": "comparison",
    "DiagnosedExperiment": "diagnosis",
    "ForecastExperiment": "forecast",
    "SimilarExperiments": "similar",
    "News": "news",
    "Plot": "plotting",
    "Ranking": "ranking",
}


def present(answer: ApiResponse[Any]) -> ApiResponse[Any]:
    """Return an answer as it is published; answers that hold no finding pass unchanged.

    Call it where the language of the caller is set, once for each answer of an operation.
    """
    publish = _find_publisher(type(answer.data).__name__)
    return publish(answer) if publish else answer


def get_published_type(annotation: Any) -> Any:
    """Return the type that `present` makes of an operation's return type, such as ApiResponse[Diagnosis]."""
    arguments = annotation.__pydantic_generic_metadata__["args"]
    publish = _find_publisher(getattr(arguments[0], "__name__", "")) if arguments else None
    return get_type_hints(publish)["return"] if publish else annotation


def _find_publisher(finding: str) -> Publisher | None:
    home = _PUBLISHERS.get(finding)
    return import_module(f"swanlab_mcp.present.{home}").publish if home else None
