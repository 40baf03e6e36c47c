"""Convert the results and errors of operations to tool results.

Secrets are masked, the size is limited, and the format depends on the host.
"""

from __future__ import annotations

import base64
from typing import Any, cast
from urllib.parse import quote

from mcp.types import CallToolResult, ImageContent, ResourceLink, TextContent
from pydantic import BaseModel

from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import ApiResponse, Picture
from swanlab_mcp.core.refs import ProjectRef
from swanlab_mcp.core.untrusted import shorten
from swanlab_mcp.present.text import Reply, Rows, fit
from swanlab_mcp.server.context import App
from swanlab_mcp.server.forms import KEEPS_RECORDS, sends_json, tabulate
from swanlab_mcp.server.table import ToolEntry

__all__ = ["REPORT", "describe_error", "make_error_result", "make_reply", "make_result"]

REPORT = "swanlab-report://{username}/{project}"
_LONGEST_ERROR = 4000


def make_reply(app: App, answer: ApiResponse[Any], **how: Any) -> Reply:
    """Return an answer as text and as structured data, with secrets masked and within the token limit.

    The keyword arguments `how` are passed on to `fit`.
    """
    records: Any = answer.data
    if (
        answer.page
        and isinstance(records, list)
        and all(isinstance(one, BaseModel) for one in cast("list[Any]", records))
    ):
        empty = answer.model_copy(update={"data": []})
        payload = {**empty.model_dump(mode="json", exclude_none=True), "data": Rows(cast("list[BaseModel]", records))}
    else:
        payload = answer.model_dump(mode="json", exclude_none=True)
    settings = app.settings
    return fit(payload, settings.max_output_tokens, is_masked=not settings.show_secrets, secrets=app.secrets, **how)


def make_result(
    entry: ToolEntry, answer: ApiResponse[Any], reply: Reply, meta: dict[str, Any] | None, *, has_links: bool = False
) -> CallToolResult:
    """Return the result of a tool call.

    `meta` is passed to the interactive view, never to the model. Set `has_links` if the client supports resource links.
    """
    text = TextContent(type="text", text=reply.text)
    links = [_link_report(answer.report)] if has_links and answer.report else []
    if not entry.shows_pictures:
        structured: dict[str, Any] | None = None
        if sends_json.get():
            structured = reply.structured if entry.name in KEEPS_RECORDS else tabulate(reply.structured)
        return CallToolResult(content=[text, *links], structured_content=structured, _meta=meta)
    rows: Any = reply.structured["data"]
    # omit the pictures of rows that were cut off
    shown = len(cast("list[Any]", rows)) if isinstance(rows, list) else None
    kept = [one for one in answer.pictures if shown is None or one.row < shown]
    return CallToolResult(content=[*map(_show, kept), text], _meta=meta)


def _link_report(ref: ProjectRef) -> ResourceLink:
    """Return a link to the report for clients to show to the user. The report is written when the link is opened."""
    return ResourceLink(
        type="resource_link",
        uri=REPORT.format(username=quote(ref.workspace, safe=""), project=quote(ref.project, safe="")),
        name=gettext("Report on {project}", project=shorten(ref.project)),
        mime_type="text/html",
    )


def _show(picture: Picture) -> ImageContent:
    return ImageContent(
        type="image", data=base64.b64encode(picture.content).decode("ascii"), mime_type=picture.mime_type
    )


def describe_error(error: SwanLabError, app: App | None = None) -> str:
    """Return an error as a single line of limited length, because the error may contain names chosen by others.

    If `app` is given, secrets are masked.
    """
    text = str(error)
    return shorten(app.mask(text) if app else text, _LONGEST_ERROR)


def make_error_result(error: SwanLabError, app: App) -> CallToolResult:
    text = describe_error(error, app)
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content={"code": error.status, "errmsg": text, "data": None} if sends_json.get() else None,
        is_error=True,
    )
