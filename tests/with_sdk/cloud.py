"""A fake SwanLab on loopback that accepts any request of an SDK and returns minimal responses."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LOGIN = {
    "sid": "sid",
    "expiredAt": "2099-01-01T00:00:00.000Z",
    "userInfo": {"username": "tester", "name": "Tester"},
}
_ANYTHING: dict[str, Any] = {
    "cuid": "c1",
    "slug": "s1",
    "name": "with-sdk",
    "username": "tester",
    "path": "tester/with-sdk",
    "createdAt": "2026-11-24T00:00:00.000Z",
    "group": {"username": "tester"},
    "_count": {"experiments": 0},
    "urls": [],
    "flagId": "1",
    # SDK 0.6 uploads media to this server, too
    "expiredTime": 4_102_444_800,
    "prefix": "media",
    "bucket": "media",
    "region": "here",
    "pathStyle": True,
    "credentials": {"tmpSecretId": "id", "tmpSecretKey": "key", "sessionToken": "token"},
}


class _Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        anything = {**_ANYTHING, "endPoint": f"http://{self.headers['host']}"}
        body = json.dumps(_LOGIN if "login" in self.path else anything).encode()
        is_new = self.command == "POST" and "login" not in self.path
        self.send_response(201 if is_new else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name is the base class's
        pass


@contextmanager
def serve() -> Generator[str, None, None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
