"""Read the last, smallest and largest values of metrics for many experiments at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from swanlab_mcp.client.cloud.answers import NOT_OFFERED
from swanlab_mcp.client.cloud.transport import Transport
from swanlab_mcp.client.cloud.wire import read_summary
from swanlab_mcp.client.values import is_object
from swanlab_mcp.core.concurrency import run_aside
from swanlab_mcp.core.errors import SwanLabError, UnexpectedResponse
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.models import Summary

__all__ = ["Summaries"]


class Summaries:
    """Reads summaries of experiments from the server that `transport` connects to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._is_legacy = False

    async def read(self, references: list[dict[str, Any]], keys: Sequence[str] = ()) -> dict[str, Summary]:
        """Return the summaries by cuid. If `keys` is not empty, return only those metrics. Raises SwanLabError."""
        answer = await self._query(references, keys)
        if not is_object(answer):
            raise UnexpectedResponse(
                gettext("SwanLab's response about metrics is not an object."),
                hint=gettext("Try again; if the error persists, report it."),
            )
        requested = {
            reference[name] for reference in references for name in ("experimentId", "rootExpId") if name in reference
        }
        if answer and not requested & set(answer):
            raise UnexpectedResponse(
                gettext("SwanLab returned metrics of other experiments."), hint=gettext("Send the request again.")
            )
        summaries: dict[str, Summary] = {}
        for reference in references:
            cuid = reference["experimentId"]
            # a server may store a clone's metrics under its root experiment
            found = answer.get(cuid) or answer.get(reference.get("rootExpId", ""))
            read = partial(read_summary, found, keys)
            summaries[cuid] = await run_aside(read, 0 if keys or not is_object(found) else len(found))
        return summaries

    async def find_last_steps(self, reference: dict[str, Any], keys: Sequence[str]) -> dict[str, int]:
        """Return the last step of each key, if known, or {} if the server does not support summaries."""
        try:
            summary = (await self.read([reference], keys))[reference["experimentId"]]
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            return {}
        return {key: one.step for key, one in summary.items() if one.step is not None}

    async def _query(self, references: list[dict[str, Any]], keys: Sequence[str]) -> Any:
        """Query in the current format. If the server does not support it, switch to the legacy format for good."""
        path = ("house", "metrics", "summaries")
        if self._is_legacy:
            return await self._transport.query(*path, body=references)
        try:
            return await self._transport.query(
                *path, body={"experiments": references, **({"keys": list(keys)} if keys else {})}
            )
        except SwanLabError as error:
            if error.status not in NOT_OFFERED:
                raise
            answer = await self._transport.query(*path, body=references)
            self._is_legacy = True
            return answer
