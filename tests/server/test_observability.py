"""The shared server's metrics, traces, readiness, draining and tool subsets."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from swanlab_mcp.client.cloud.endpoints import name_endpoint
from swanlab_mcp.core import observation
from swanlab_mcp.server import tracing
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.server.metrics import Metrics
from swanlab_mcp.server.table import TOOLS
from swanlab_mcp.settings import Settings
from tests.cli.test_command import environ, run
from tests.client.cloud.test_faults import CALLS, build_world
from tests.conftest import session
from tests.fake_swanlab import Fault, State, build_sample_state
from tests.server.test_shared_server import ACCEPT, ask, bearer, message, names, serve, team, url

__all__ = ["team", "url"]

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"


def post(url: str, method: str, path: str = "/mcp", **params: Any) -> Any:
    headers: dict[str, str] = {**ACCEPT, **bearer("test-key"), **params.pop("headers", {})}
    with httpx.Client(timeout=20) as http:
        return http.post(f"{url}{path}", json=message(method, **params), headers=headers)


def list_names(url: str, path: str = "/mcp", **headers: str) -> list[str]:
    answer = post(url, "tools/list", path, headers=headers)
    return [tool["name"] for tool in answer.json()["result"]["tools"]]


@contextmanager
def observed() -> Iterator[Metrics]:
    metrics = Metrics()
    observation.observe(metrics.observe)
    try:
        yield metrics
    finally:
        observation.stop_observing(metrics.observe)


def read(metrics: Metrics) -> dict[str, float]:
    """Return the samples that Prometheus would read, by name and labels."""
    port = metrics.serve("127.0.0.1", 0)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_calls_requests_logins_and_refusals(settings: Settings, team: State) -> None:
    with observed() as metrics, serve(settings, metrics=metrics, limits=Limits(rate=3)) as url:
        assert names(ask(url)) == names(ask(url)) == ["project1"]
        assert post(url, "tools/call", name="invented", arguments={}).json()["result"]["isError"]
        assert post(url, "tools/list").status_code == 429
        assert httpx.get(f"{url}/elsewhere", headers={"host": "evil.example"}).status_code == 421
        found = read(metrics)
    assert found["swanlab_mcp_calls_total['list_projects', 'ok']"] == 2
    assert found["swanlab_mcp_calls_total['error', 'other']"] == 1
    assert found["swanlab_mcp_call_seconds_count['list_projects']"] == 2
    assert found["swanlab_mcp_refusals_total['rate']"] == found["swanlab_mcp_refusals_total['host']"] == 1
    assert found["swanlab_mcp_sign_ins_total['200']"] == 1
    assert found["swanlab_mcp_swanlab_requests_total['/project/{}', '200', 'GET']"] == 1
    assert found["swanlab_mcp_cache_reads_total['hit']"] >= 1 <= found["swanlab_mcp_cache_reads_total['miss']"]
    assert found["swanlab_mcp_callers[]"] == 1
    assert found["swanlab_mcp_slots_in_use[]"] == 0
    assert found["swanlab_mcp_open_connections[]"] >= 0
    assert found["process_resident_memory_bytes[]"] > 10**7
    assert len(team.calls) == 2


@pytest.mark.anyio
async def test_no_label_or_span_contains_a_name_or_an_id(settings: Settings, state: State) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before, tracing._tracer = tracing._tracer, provider.get_tracer("test")
    try:
        with observed() as metrics:
            async with session(settings) as client:
                for tool, arguments in CALLS.items():
                    await client.call_tool(tool, arguments)
            found = [key for key in read(metrics) if "swanlab_requests" in key]
    finally:
        tracing._tracer = before
    spans = exporter.get_finished_spans()
    assert len(spans) == len(state.calls)
    assert {span.kind.name for span in spans} == {"CLIENT"}
    texts = [*found, *(span.name for span in spans), *(str(dict(span.attributes or {})) for span in spans)]
    hidden = [part for call in state.calls for part in call.raw_path.split("/") if re.search(r"\d|house|small", part)]
    assert len({*hidden} - {"house"}) > 5
    for text in texts:
        assert not [part for part in {*hidden} - {"house"} if part in re.findall(r"[\w.-]+", text)], text
    # each endpoint has its own time series, because all words of the API are known
    assert {name_endpoint(call.raw_path).count("{}") for call in state.calls} <= {0, 1, 2, 3}


@pytest.fixture
def state(request: pytest.FixtureRequest) -> State:
    return build_world() if "label" in request.node.name else build_sample_state()


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/api/project/team/kites/runs", "/project/{}/{}/runs"),
        ("/swan/api/project/team", "/project/{}"),
        ("/storage/team/kites/file.png", "download"),
        ("/api/house/metrics/scalar/export", "/house/metrics/scalar/export"),
    ],
)
def test_endpoints_have_no_names(path: str, endpoint: str) -> None:
    assert name_endpoint(path, "/swan" if path.startswith("/swan") else "") == endpoint


def test_dashboard_queries_metrics_that_exist(settings: Settings) -> None:
    with observed() as metrics, serve(settings, metrics=metrics) as url:
        ask(url)
        httpx.get(f"{url}/mcp")
        known = {key.partition("[")[0] for key in read(metrics)}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) >= 10
    for query in queries:
        used = re.findall(r"\b(?:swanlab_mcp|process)_\w+", query)
        assert used, query
        assert {*used} <= known, query
    own = {name for name in known if name.startswith("swanlab_mcp")}
    shown = {name for query in queries for name in re.findall(r"\bswanlab_mcp_\w+", query)}
    assert {name for name in own if not name.endswith(("_created", "_sum", "_count"))} == shown


def test_server_is_ready_only_while_swanlab_answers_and_it_is_not_shutting_down(
    settings: Settings, state: State
) -> None:
    with serve(settings) as url:
        assert httpx.get(f"{url}/ready").json() == {"status": "ready"}
        count = len(state.calls)
        assert count == 1
        # many probes cost SwanLab a single request
        assert {httpx.get(f"{url}/ready").status_code for _ in range(5)} == {200}
        assert len(state.calls) == count
    state.faults = [Fault("/", status=503)]
    with serve(settings) as url:
        answer = httpx.get(f"{url}/ready", timeout=30)
        assert answer.status_code == 503
        assert "503" in answer.json()["reason"]
        assert httpx.get(f"{url}/health").status_code == 200


def test_read_only_address_and_header_select_tools(settings: Settings) -> None:
    writes = Settings(**{**vars(settings), "allow_writes": True, "confirmation_secret": "s" * 40})
    with serve(writes) as url:
        everything = list_names(url)
        assert "delete_project" in everything
        assert list_names(url, "/mcp/readonly") == [entry.name for entry in TOOLS]
        chosen = {"x-mcp-tools": "rank_experiments, list_projects"}
        assert list_names(url, **chosen) == ["list_projects", "rank_experiments"]
        assert list_names(url) == everything
        refused = post(url, "tools/call", "/mcp/readonly", name="delete_project", arguments={"project": "project1"})
        assert "read-only" in refused.json()["result"]["content"][0]["text"]
        refused = post(url, "tools/call", name="get_logs", arguments={}, headers=chosen)
        assert refused.json()["result"]["isError"]
        assert names(post(url, "tools/call", name="list_projects", arguments={}, headers=chosen)) == ["project1"]
        unknown = post(url, "tools/list", headers={"x-mcp-tools": "rank_experiment"})
        assert unknown.status_code == 400
        assert "rank_experiments" in unknown.text


def test_process_offers_the_tools_of_its_option() -> None:
    listed = run("--demo", "--tools", "get_logs,list_metrics", "tools")
    assert re.findall(r"^\w+", listed.stdout, re.MULTILINE) == ["get_logs", "list_metrics"]
    wrong = run("--demo", "--tools", "get_log", "tools")
    assert wrong.returncode == 2
    assert "get_logs" in wrong.stderr


def accepts(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


CONFIGURATOR = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

class Configurator:
    def configure(self):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        trace.set_tracer_provider(provider)
"""


@pytest.mark.parametrize(("exporter", "is_sent"), [("console", True), ("", False)])
def test_spans_are_sent_if_the_environment_names_an_exporter(
    host: str, tmp_path: Path, exporter: str, *, is_sent: bool
) -> None:
    # opentelemetry-distro registers its configurator in the same way
    (tmp_path / "lab_traces.py").write_text(CONFIGURATOR, encoding="utf-8")
    about = tmp_path / "lab_traces-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-traces\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[opentelemetry_configurator]\nlab = lab_traces:Configurator\n", "utf-8")
    variables = {**environ(), "PYTHONPATH": str(tmp_path), "OTEL_TRACES_EXPORTER": exporter}
    command = [sys.executable, "-m", "swanlab_mcp", "--host", host, "serve", "--transport", "http", "--http-port", "0"]
    with subprocess.Popen(command, env=variables, text=True, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr
            (url,) = re.findall(r"(http://\S+)/mcp", server.stderr.readline())
            assert httpx.get(f"{url}/ready").is_success
        finally:
            server.terminate()
            output = server.communicate()[1]
    assert ("SwanLab GET /user/profile" in output) is is_sent


def test_drain_lets_running_calls_finish(host: str, state: State) -> None:
    arrived, released = threading.Event(), threading.Event()
    state.faults = [Fault("/runs", until=released, then=arrived.set, times=1)]
    command = [sys.executable, "-m", "swanlab_mcp", "--host", host, "serve", "--transport", "http", "--http-port", "0"]
    options = ["--drain", "60", "--metrics-port", "0"]
    with subprocess.Popen([*command, *options], env=environ(), stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            metrics, url = sorted(re.findall(r"http://\S+", server.stderr.readline() + server.stderr.readline()))[::-1]
            if "/metrics" not in metrics:
                metrics, url = url, metrics
            url = url.removesuffix("/mcp")
            got: list[Any] = []
            calling = threading.Thread(
                target=lambda: got.append(
                    post(url, "tools/call", name="list_project_exps", arguments={"project": "project1"})
                )
            )
            calling.start()
            assert arrived.wait(30)
            assert "swanlab_mcp_slots_in_use 1.0" in httpx.get(metrics).text
            server.send_signal(signal.SIGTERM)
            while accepts(url):
                pass
            released.set()
            calling.join(30)
            assert not got[0].json()["result"].get("isError")
            assert server.wait(30) == 143
        finally:
            server.kill()
