"""The arguments that questions share, each described once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

__all__ = [
    "Detail",
    "ExpCuid",
    "Keys",
    "PageNumber",
    "PageSize",
    "ProfilePart",
    "ProfileParts",
    "ProjectName",
    "ProjectSort",
    "Search",
    "Username",
]

Username = Annotated[
    str,
    Field(
        max_length=512,
        description="Workspace; empty: the signed-in user's own. 'local': runs on this machine",
        examples=["my-team", "local"],
    ),
]
ProjectName = Annotated[
    str,
    Field(
        max_length=1024,
        description="Project name, 'workspace/project', or the address of its page. "
        "May be empty where exp_cuid is a full path or address",
        examples=["digits-mlp", "my-team/digits-mlp"],
    ),
]
ExpCuid = Annotated[
    str,
    Field(
        max_length=2048,
        description="Experiment id (cuid or slug), its name if no other has it, "
        "'workspace/project/experiment', or the address of its page",
        examples=["l4q9h9qs", "lr-0.1"],
    ),
]
PageNumber = Annotated[
    int, Field(ge=0, le=1_000_000, description="Page, from 1; 0: as much of the whole list as fits", examples=[1, 2])
]
PageSize = Annotated[int, Field(ge=1, le=100, description="Items per page", examples=[20, 50])]
Search = Annotated[str, Field(max_length=512, description="Only names that contain this", examples=["digits"])]
ProjectSort = Annotated[
    Literal["", "create", "name"],
    Field(description="'create': newest first; 'name'; empty: most recently updated first"),
]
Detail = Annotated[bool, Field(description="Include the numbers of experiments and contributors")]
ProfilePart = Literal["config", "metadata", "requirements", "conda"]
ProfileParts = Annotated[
    Sequence[ProfilePart],
    Field(max_length=4, description="Only these parts of the profile; empty: all", examples=[["config"]]),
]
Keys = Annotated[
    Sequence[Annotated[str, Field(min_length=1, max_length=512)]],
    Field(
        max_length=100,
        description="Only these metrics; * and ? match any text and any character; empty: all",
        examples=[["val/*", "train/loss"]],
    ),
]
