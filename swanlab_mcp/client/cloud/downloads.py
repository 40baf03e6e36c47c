"""Download files from presigned URLs in SwanLab's storage, without sending the session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from itertools import cycle

from swanlab_mcp.client.cloud.answers import Answer, read_json
from swanlab_mcp.client.cloud.bodies import Response, read_body, read_whole
from swanlab_mcp.client.cloud.connections import BrokenConnection, Connections
from swanlab_mcp.client.cloud.destinations import resolve_destination
from swanlab_mcp.client.cloud.network import Destination, find_destination
from swanlab_mcp.client.cloud.retries import exchange
from swanlab_mcp.core.errors import ServerUnavailable, UnexpectedResponse
from swanlab_mcp.core.i18n import gettext, join_sentences
from swanlab_mcp.core.models import MediaFile
from swanlab_mcp.settings import Settings

__all__ = ["Storage"]

_LARGEST_DOWNLOAD = 2**30
_LONGEST_LINE = 2**20


class Storage:
    """Downloads files from the URLs that the server at `settings.api_host` returns.

    Downloads use separate connections, because the storage must not receive the session or its cookies.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = Connections()

    async def read_lines(self, url: str) -> AsyncGenerator[str, None]:
        """Yield the lines of a text file at a presigned URL. Raises SwanLabError on failure or for files above 1 GB."""
        async with self._open(url) as response, aclosing(read_body(response, _LARGEST_DOWNLOAD)) as pieces:
            headers = response.headers
            if headers.get("content-type", "").lower().startswith("text/html"):
                raise UnexpectedResponse(
                    gettext(
                        "{storage} answered with a web page instead of a file.",
                        storage=_name_storage(find_destination(url, self._settings.api_host)),
                    ),
                    hint=gettext("A proxy or login page may be answering instead: check the storage's public address."),
                )
            _require_end(headers)
            rest = b""
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line.removesuffix(b"\r").decode(errors="replace")
                if len(rest) > _LONGEST_LINE:
                    raise UnexpectedResponse(gettext("A download from SwanLab's storage has a line longer than 1 MB."))
            if rest:
                yield rest.decode(errors="replace")

    async def fetch(self, url: str, limit: int) -> MediaFile:
        """Return the file at a presigned URL, without its content if it exceeds `limit` bytes. Raises SwanLabError."""
        async with self._open(url) as response:
            _require_end(response.headers)
            reported = response.headers.get("content-length", "")
            size = int(reported) if reported.isdecimal() and "content-encoding" not in response.headers else None
            content = bytearray()
            if size is None or size <= limit:
                async with aclosing(read_body(response, _LARGEST_DOWNLOAD)) as pieces:
                    async for piece in pieces:
                        content += piece
                        if len(content) > limit:
                            break
                    else:
                        return MediaFile(bytes(content), len(content))
            return MediaFile(None, size)

    async def aclose(self) -> None:
        connections, self._connections = self._connections, Connections()
        await connections.aclose()

    @asynccontextmanager
    async def _open(self, url: str) -> AsyncGenerator[Response, None]:
        what = gettext("a download")
        connections = self._connections
        destination = find_destination(url, self._settings.api_host)
        request = connections.build_request("GET", destination.url)
        addresses = await resolve_destination(destination.host, destination.port, destination.own_host)
        if addresses:
            # connect to a checked address, because the name may resolve differently next time
            request.extensions = {**request.extensions, "sni_hostname": destination.host}
        turns = cycle(addresses)

        async def send() -> Answer:
            if addresses:
                request.url = request.url.copy_with(host=next(turns))
            async with AsyncExitStack() as sending:
                response = await sending.enter_async_context(connections.send(request))
                if not response.is_success:
                    answer = await read_whole(response, what)
                    # omit the path, because a download's URL is secret
                    return answer._replace(
                        address=f"{destination.url.scheme}://{destination.url.netloc.decode('ascii', 'replace')}"
                    )
                opened.push_async_exit(sending.pop_all())
                return Answer(response.status_code, response.headers, opened=response)
            raise AssertionError("unreachable: nothing is suppressed")

        try:
            async with AsyncExitStack() as opened:
                answer = await exchange(send, what, _name_storage(destination), backoff=self._settings.backoff)
                if answer.opened is None:
                    await read_json(answer, what)
                    raise AssertionError("unreachable: an answer without success raises")
                yield answer.opened
        except ServerUnavailable as error:
            # this machine could not resolve the name, and there is no proxy that would
            if not error.status and not addresses and destination.host != destination.own_host:
                fix = gettext("If the name is internal to that server, set the storage's public address there.")
                error.hint = join_sentences(error.hint, fix)
            raise
        except BrokenConnection as error:
            raise ServerUnavailable(
                gettext("SwanLab's storage closed the connection during a download ({kind}).", kind=error.kind),
                hint=gettext("Send the request again."),
                status=0,
            ) from error


def _require_end(headers: Mapping[str, str]) -> None:
    """Raise UnexpectedResponse if the headers make it impossible to detect that a download was cut short."""
    is_gzip = headers.get("content-encoding", "").strip().lower() == "gzip"
    if not (is_gzip or "content-length" in headers or "transfer-encoding" in headers):
        raise UnexpectedResponse(gettext("SwanLab's storage sent a download without a length."))


def _name_storage(destination: Destination) -> str:
    if destination.host == destination.own_host:
        return gettext("SwanLab's storage")
    storage = destination.url.netloc.decode("ascii", "replace")
    return gettext("SwanLab's storage ({storage}, given by {host})", storage=storage, host=destination.own_host)
