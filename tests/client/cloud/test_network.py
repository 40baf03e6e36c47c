"""Proxies, certificates and causes of failed connections, on real loopback sockets."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpcore  # noqa: F401 # pyright: ignore[reportUnusedImport] it looks for socksio only when it is imported
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.cli.main import main
from swanlab_mcp.client.cloud.network import find_destination, is_exempt
from swanlab_mcp.core.errors import UnexpectedResponse
from tests.fake_swanlab import Fault, State, create_app, serve
from tests.fake_swanlab.server import listen


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")


def closed_port() -> int:
    with listen() as listener:
        return listener.getsockname()[1]


@contextmanager
def answering(reply: bytes, context: ssl.SSLContext | None = None) -> Generator[tuple[int, list[bytes]], None, None]:
    """Accept connections, read once from each and send `reply`. Yield the port and the received data."""
    seen: list[bytes] = []
    with listen() as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                seen.append(b"")
                try:
                    with context.wrap_socket(connection, server_side=True) if context else connection as stream:
                        seen[-1] = stream.recv(65536)
                        stream.sendall(reply)
                except OSError:
                    connection.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def make_certificate(folder: Path, name: str = "127.0.0.1", days: int = 30) -> tuple[ssl.SSLContext, Path]:
    """Return a server context with a self-signed certificate that is valid for `days` days, and its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.timezone.utc)
    alternative = x509.DNSName(name) if name.isalpha() else x509.IPAddress(ipaddress.ip_address(name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, private = folder / "server.pem", folder / "server.key"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return context, path


def check(capsys: pytest.CaptureFixture[str], host: str, *, works: bool = False) -> str:
    """Run `check` for a host, and return its output."""
    with pytest.raises(SystemExit) as ended:
        main(["check", "--host", host])
    assert ended.value.code == (0 if works else 1)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert "nternal error" not in shown.out + shown.err
    return shown.out


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("*", "a.example", 443),
        ("example.com", "example.com", 443),
        ("example.com", "API.example.com", 443),
        (".example.com", "api.example.com", 443),
        ("*.example.com", "api.example.com", 443),
        ("example.com:8443", "example.com", 8443),
        ("example.com:443", "example.com", None),
        ("https://example.com", "example.com", 443),
        ("localhost", "localhost", 1),
        ("10.0.0.0/8", "10.1.2.3", 1),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", 1),
        ("127.0.0.1", "127.0.0.1", 1),
        ("::1", "::1", 1),
        ("[::1]", "::1", 1),
        ("[::1]:8000", "::1", 8000),
        ("::1/128", "::1", 1),
        ("fd07::/64", "fd07::9", 1),
        ("[fd07::]/64", "[fd07::9]", 1),
        ("FD07:0:0::/64", "fd07::9", 1),
        ("fe80::/10", "fe80::1%eth0", 1),
        ("127.0.0.0/8", "::ffff:127.0.0.1", 1),
    ],
)
def test_no_proxy_covers_names_addresses_and_networks(entry: str, host: str, port: int | None) -> None:
    assert is_exempt(entry, "https", host, port)


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("example.com", "notexample.com", 443),
        ("example.com:8443", "example.com", 443),
        ("http://example.com", "example.com", 443),
        ("10.0.0.0/8", "11.0.0.1", 1),
        ("10.0.0.0/8", "10.example.com", 1),
        ("fd07::/64", "fd08::9", 1),
        ("fd07::/200", "fd07::9", 1),
        ("::1", "127.0.0.1", 1),
        ("[::1", "::1", 1),
        ("", "example.com", 1),
        (".", "example.com", 1),
    ],
)
def test_no_proxy_excludes_other_hosts(entry: str, host: str, port: int) -> None:
    assert not is_exempt(entry, "https", host, port)


@given(st.text(), st.sampled_from(["::1", "127.0.0.1", "a.example"]))
def test_no_entry_of_no_proxy_raises(entry: str, host: str) -> None:
    is_exempt(entry, "https", host, 443)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "::1, 127.0.0.0/8", "[::1] fd07::/64 127.0.0.1", "*"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_no_proxy_is_respected(
    exempt: str,
    variable: str,
    scheme: str,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", exempt)
    # without a proxy, proxy dependencies are not needed
    monkeypatch.setitem(sys.modules, "socksio", None)
    assert "login: works, as kites-test3" in check(capsys, host, works=True)


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_unreachable_proxy_is_named_without_its_password(
    scheme: str, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = closed_port()
    monkeypatch.setenv("HTTP_PROXY", f"{scheme}://me:canary@127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "::1,[::1],fd07::/64")
    shown = check(capsys, host)
    assert f"The proxy {scheme}://…@127.0.0.1:{port} from HTTP_PROXY cannot be reached" in shown
    assert "canary" not in shown


def test_proxy_refusal_is_quoted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        shown = check(capsys, "https://swan.example.com")
    assert "from HTTPS_PROXY refused the connection: 407 Proxy Authentication Required" in shown


def test_missing_socksio_names_the_extra(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "socksio", None)
    shown = check(capsys, host)
    assert "ALL_PROXY is a SOCKS proxy" in shown
    assert "pip install 'swanlab-mcp-server[socks]'" in shown


@pytest.mark.parametrize("address", ["http://[", "socks://127.0.0.1:1", "ftp://me:canary@x", "http://x:99999"])
def test_unusable_proxy_is_named(
    address: str, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    shown = check(capsys, host)
    assert re.search(r"HTTP_PROXY='.*' is not a usable proxy", shown)
    assert "canary" not in shown


def place_file(kind: str, folder: Path) -> Path:
    path = folder / "place"
    if kind == "a folder":
        path.mkdir()
    elif kind == "not PEM":
        path.write_text("no certificate")
    elif kind == "empty":
        path.write_text("")
    elif kind == "unreadable":
        path.symlink_to(path)  # root ignores file permissions
    return path


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        *((name, kind) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") for kind in ("missing", "not PEM", "empty")),
        *((name, "unreadable") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSLKEYLOGFILE")),
        *((name, "a folder") for name in ("SSL_CERT_FILE", "SSLKEYLOGFILE")),
        *(("SSL_CERT_DIR", kind) for kind in ("missing", "not PEM")),
        ("SSLKEYLOGFILE", "missing"),
    ],
)
def test_unusable_certificate_file_is_named(
    variable: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place_file(kind, tmp_path)
    if (variable, kind) == ("SSLKEYLOGFILE", "missing"):
        path /= "deeper"
    monkeypatch.setenv(variable, str(path))
    assert f"{variable}={path} cannot be used: " in check(capsys, f"https://127.0.0.1:{closed_port()}")


def test_plain_http_needs_no_certificates(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/does/not/exist")
    assert "login: works, as kites-test3" in check(capsys, host, works=True)


@pytest.mark.parametrize(
    ("name", "days", "expected"),
    [
        ("127.0.0.1", 30, "set SSL_CERT_FILE to a PEM file"),
        ("127.0.0.1", -1, "certificate has expired"),
        ("elsewhere", 30, "Use a host name that its certificate covers"),
    ],
)
def test_rejected_certificate_is_explained_after_a_single_attempt(
    name: str,
    days: int,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context, path = make_certificate(tmp_path, name, days)
    if expected != "set SSL_CERT_FILE to a PEM file":
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with answering(b"", context) as (port, seen):
        shown = check(capsys, f"https://127.0.0.1:{port}")
        assert f"The certificate of 127.0.0.1:{port} is not trusted" in shown
        assert expected in shown
        assert seen == [b""]


def test_missing_certificate_names_the_file_that_should_contain_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context, path = make_certificate(tmp_path)
    other = path.rename(tmp_path / "other.pem")
    context, path = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with answering(b"", context) as (port, _):
        assert f"REQUESTS_CA_BUNDLE={other}, which does not contain it" in check(capsys, f"https://127.0.0.1:{port}")
        # a self-signed certificate is its own CA
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert "is not trusted" not in check(capsys, f"https://127.0.0.1:{port}")


def test_plain_http_host_is_suggested_after_a_single_attempt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "key-canary")
    with answering(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") as (port, seen):
        assert f"use http://127.0.0.1:{port} as the host." in check(capsys, f"127.0.0.1:{port}")
        assert len(seen) == 1
        assert b"canary" not in seen[0]


def test_https_host_is_suggested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context, _ = make_certificate(tmp_path)
    with answering(b"", context) as (port, _):
        assert f"use https://127.0.0.1:{port} as the host." in check(capsys, f"http://127.0.0.1:{port}")
    reply = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 51\r\n\r\nThe plain HTTP request was sent to a HTTPS port    "
    with answering(reply) as (port, _):
        assert f"Use https://127.0.0.1:{port} as the host." in check(capsys, f"http://127.0.0.1:{port}")


def test_refusing_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    port = closed_port()
    assert f"127.0.0.1:{port} refused the connection" in check(capsys, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/files/x?sign=1", "http://10.0.0.5:8000/files/x?sign=1"),
        ("files/x", "http://10.0.0.5:8000/files/x"),
        ("//10.0.0.5:9000/x", "http://10.0.0.5:9000/x"),
        ("10.0.0.5:9000/x", "http://10.0.0.5:9000/x"),
        ("http://10.0.0.5:9000/x", "http://10.0.0.5:9000/x"),
        ("https://storage.example.com/x", "https://storage.example.com/x"),
    ],
)
def test_relative_download_url_of_a_self_hosted_server_is_resolved(address: str, expected: str) -> None:
    assert str(find_destination(address, "http://10.0.0.5:8000").url) == expected


@pytest.mark.parametrize(
    ("address", "api_host", "other"),
    [
        ("minio:9000?x=1", "http://10.0.0.5:8000", "http://minio:9000"),
        ("minio:9000#x", "http://10.0.0.5:8000", "http://minio:9000"),
        ("[::1]:9000/b", "http://10.0.0.5:8000", "http://[::1]:9000"),
        ("[::1]/b", "http://10.0.0.5:8000", "http://[::1]"),
        ("http://minio:9000/x", "http://10.0.0.5:8000", "http://minio:9000"),
        ("//minio:9000/x", "http://10.0.0.5:8000", "http://minio:9000"),
        ("http://swan.example.com/x", "https://swan.example.com", "http://swan.example.com"),
        ("ftp://10.0.0.5/x", "http://10.0.0.5:8000", "ftp://10.0.0.5"),
    ],
)
def test_refused_download_names_both_hosts_and_the_fix(address: str, api_host: str, other: str) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        find_destination(address, api_host)
    assert f"SwanLab at {api_host} returned an unencrypted download URL on {other}." in str(caught.value)
    assert "the storage's public address" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("[::1]:9000/b", "http://[::1]:9000/b"),
        ("[::1]:9000?x=1", "http://[::1]:9000?x=1"),
        ("b/[::1]:9000", "http://[::1]:8000/b/[::1]:9000"),
    ],
)
def test_ipv6_storage_without_a_scheme_is_a_host(address: str, expected: str) -> None:
    assert str(find_destination(address, "http://[::1]:8000").url) == expected


@pytest.mark.parametrize("storage", ["10.1.2.3:9000", "[fd00::1]:9000", "192.168.7.7"])
def test_private_storage_is_refused_with_both_hosts_and_the_fix(
    storage: str, host: str, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    state.faults = [Fault(path="/presigned/", body=json.dumps({"urls": [f"https://{storage}/x"]}).encode())]
    assert run_export(host) == 1
    error = capsys.readouterr().err
    address = storage if storage.endswith(":9000") else f"{storage}:443"
    assert f"SwanLab at 127.0.0.1 returned a download URL with the private address {address}." in error
    assert "set the storage's public address to the host name 127.0.0.1 (any port)" in error


def test_download_urls_without_a_host_use_the_api_host(
    host: str, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_export(host) == 0, capsys.readouterr().err
    path = state.get_calls("^/storage/")[0].raw_path
    Path("cuid1.csv").unlink()
    state.faults = [
        Fault(path="/presigned/", body=json.dumps({"urls": [f"{path}?signature=presigned-canary"]}).encode())
    ]
    assert run_export(host) == 0, capsys.readouterr().err
    assert len(state.get_calls("^/storage/")) >= 2


def test_storage_on_another_port_of_the_api_host_is_read(
    host: str, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_export(host) == 0, capsys.readouterr().err
    path = state.get_calls("^/storage/")[0].raw_path
    Path("cuid1.csv").unlink()
    with serve(create_app(state)) as storage:
        named = f"{storage.removeprefix('http://')}{path}?signature=presigned-canary"
        assert storage != host
        state.faults = [Fault(path="/presigned/", body=json.dumps({"urls": [named]}).encode())]
        assert run_export(host) == 0, capsys.readouterr().err
    assert Path("cuid1.csv").exists()


def run_export(host: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["export", "kites-test3/project1/cuid1", "--host", host, "--keys", "loss", "--no-cache"])
    assert isinstance(ended.value.code, int)
    return ended.value.code
