"""Run nginx with deploy/nginx.conf on loopback in front of workers."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CONFIGURATION", "adapt", "behind_nginx", "find_nginx"]

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nginx.conf"
_MAIN = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    # the test reads which worker answered
    add_header X-Worker $upstream_addr always;
    {site}
}}
"""


def find_nginx() -> str | None:
    """Return the path of nginx. Debian installs nginx in a folder that is not in a normal user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def adapt(text: str, port: int, workers: Sequence[int]) -> str:
    """Return the configuration in `text`, changed to use plain HTTP on a loopback port and the ports of `workers`."""
    text = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r"\n\s*ssl_certificate\w* [^;]*;", "", text)
    # raise the limit per address, because all callers in a test have the same address
    text = text.replace("limit_conn swanlab_mcp_callers 64;", "limit_conn swanlab_mcp_callers 1024;")
    first, *others = re.findall(r"\n\s*server 127\.0\.0\.1:\d+ [^\n]*", text)
    for line in others:
        text = text.replace(line, "")
    lines = [re.sub(r":\d+ ", f":{worker} ", first) for worker in workers]
    return text.replace(first, "".join(lines))


@contextmanager
def behind_nginx(workers: Sequence[int], folder: Path) -> Iterator[str]:
    """Run nginx in front of the workers on the given ports, and yield the base URL. `folder` is for nginx's files."""
    program = find_nginx()
    if program is None:
        raise RuntimeError("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    main = folder / "nginx.conf"
    site = adapt(CONFIGURATION.read_text(encoding="utf-8"), port, workers)
    main.write_text(_MAIN.format(folder=folder, site=site), encoding="utf-8")
    with subprocess.Popen([program, "-p", folder, "-c", main], stderr=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None and not _accepts(port):
                time.sleep(0.02)
            if process.poll() is not None:
                raise RuntimeError(f"nginx did not start: {process.stderr.read() if process.stderr else ''}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
