"""Check the files in deploy. The manifests must match the chart, and the server must accept their options."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from scripts import kubernetes
from scripts.nginx import CONFIGURATION, adapt, behind_nginx, find_nginx
from swanlab_mcp import __version__
from swanlab_mcp.cli.parser import read_arguments
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.settings import DEFAULT_TIMEOUT

ROOT = Path(__file__).parents[1]
PLAIN = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name)
def test_plain_manifests_were_generated_from_this_chart(path: Path) -> None:
    assert f"deploy/helm {kubernetes.compute_digest()} by" in path.read_text(encoding="utf-8").splitlines()[0]
    assert path.name in kubernetes.PLAIN_VALUES


def test_digest_changes_with_each_file_of_the_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kubernetes.compute_digest()
    chart = shutil.copytree(kubernetes.CHART, tmp_path / "helm")
    monkeypatch.setattr(kubernetes, "CHART", chart)
    assert kubernetes.compute_digest() == before
    with (chart / "templates" / "service.yaml").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert kubernetes.compute_digest() != before


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name)
def test_manifests_are_hardened_and_fit_together(path: Path) -> None:
    found = load(path)
    assert {*found} == {
        "Deployment", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"
    }  # fmt: skip
    spec = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness")} == {"/health"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels == found["Service"]["spec"]["selector"]
    for kind, name in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert found[kind]["spec"][name]["matchLabels"] == labels
    (metric,) = found["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "swanlab_mcp_slots_in_use"
    backend = found["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == found["Service"]["metadata"]["name"]
    (env,) = container["env"]
    # the secret shared by all workers is required if the server may change data
    assert env["valueFrom"]["secretKeyRef"]["optional"] is ("--allow-writes" not in container["args"])


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name)
def test_server_accepts_the_arguments_of_the_manifests(path: Path) -> None:
    found = load(path)
    spec = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    arguments = read_arguments(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (arguments.http_port, arguments.metrics_port) == (ports["http"], ports["metrics"])
    assert arguments.allowed_host == [found["Ingress"]["spec"]["rules"][0]["host"]]
    # the grace period must cover preStop, draining and one more second
    assert spec["terminationGracePeriodSeconds"] > 5 + arguments.drain + 1
    assert container["image"].endswith(f":{__version__}")


def test_script_without_helm_gives_the_reason() -> None:
    script = ROOT / "scripts" / "kubernetes.sh"
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(["bash", script, "--check"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:20]) == (0, "kubernetes: skipped,")


def test_nginx_repeats_no_call_and_keeps_connections_for_less_time_than_a_worker() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    given = dict(re.findall(r"^\s*(\w+) ([^;{]+);$", text, re.MULTILINE))
    assert given["proxy_next_upstream"] == "error timeout"
    assert float(given["keepalive_timeout"].rstrip("s")) < Limits().idle_seconds
    assert float(given["proxy_read_timeout"].rstrip("s")) > DEFAULT_TIMEOUT
    assert given["client_max_body_size"] == "1m"
    assert given["proxy_set_header"] == "Host $http_host"


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_nginx_sends_requests_to_a_worker_as_soon_as_it_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [free.getsockname()[1], other.getsockname()[1]]
    with behind_nginx(ports, tmp_path) as url:
        # neither worker is running, as during a start or restart
        assert {httpx.get(f"{url}/health").status_code for _ in range(5)} == {502}
        with HTTPServer(("127.0.0.1", ports[0]), SimpleHTTPRequestHandler) as worker:
            serving = threading.Thread(target=worker.serve_forever)
            serving.start()
            try:
                assert {httpx.get(f"{url}/health").status_code for _ in range(3)} == {404}
            finally:
                worker.shutdown()
                serving.join()


def test_nginx_file_is_adapted_for_tests_in_ports_and_encryption_only() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    adapted = adapt(text, 8080, [9001, 9002])
    assert re.findall(r"server 127\.0\.0\.1:(\d+)", adapted) == ["9001", "9002"]
    assert "listen 127.0.0.1:8080;" in adapted
    changed = {line.strip() for line in adapted.splitlines()} - {line.strip() for line in text.splitlines()}
    assert {line.split()[0] for line in changed} == {"listen", "server", "limit_conn"}


def test_systemd_unit_and_nginx_have_the_same_ports_and_addresses() -> None:
    unit = (ROOT / "deploy" / "swanlab-mcp@.service").read_text(encoding="utf-8")
    nginx = CONFIGURATION.read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=\S+ (.*) \$OPTIONS$", unit, re.MULTILINE)
    workers = [read_arguments(command.replace("%i", number).split()) for number in "123"]
    assert re.findall(r"server 127\.0\.0\.1:(\d+)", nginx) == [str(one.http_port) for one in workers]
    assert len({port for one in workers for port in (one.http_port, one.metrics_port)}) == 6
    # nginx must send the caller's address, because the worker applies limits per address
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx
    assert all(one.trusted_proxy == ["127.0.0.1"] for one in workers)
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop) > workers[0].drain + 1
    # a fixed user, because a dynamic user cannot own the --key-map file
    assert "\nUser=swanlab-mcp\n" in unit
    assert "DynamicUser" not in unit


def test_steps_in_the_documentation_name_the_files_workers_and_metrics_of_deploy() -> None:
    for page in (ROOT / "docs" / "shared-server.md", ROOT / "docs" / "zh" / "shared-server.md"):
        text = page.read_text(encoding="utf-8")
        assert "systemctl enable --now swanlab-mcp@1 swanlab-mcp@2 swanlab-mcp@3\n" in text
        assert re.findall(r'"127\.0\.0\.1:(900\d)"', text) == ["9001", "9002", "9003"]
        named = set(re.findall(r"\bdeploy/[\w./@-]*\w", text))
        assert {"deploy/swanlab-mcp@.service", "deploy/nginx.conf", "deploy/compose.yml", "deploy/helm"} <= named
        assert [name for name in named if not (ROOT / name).exists()] == []


def test_compose_proxy_is_trusted_and_sends_a_request_of_a_stopped_worker_to_the_next() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text(encoding="utf-8"))
    arguments = read_arguments(compose["services"]["mcp"]["command"].split())
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    assert arguments.trusted_proxy == [network["subnet"]]
    assert compose["services"]["mcp"]["expose"] == [str(arguments.http_port), str(arguments.metrics_port)]
    # the worker's port must not be published
    assert "ports" not in compose["services"]["mcp"]
    caddy = compose["configs"]["caddyfile"]["content"]
    assert f"{arguments.allowed_host[0]} {{" in caddy
    assert "lb_try_duration 5s" in caddy
    (kept,) = re.findall(r"keepalive (\d+)s", caddy)
    assert int(kept) < Limits().idle_seconds


def test_limits_in_the_documentation_are_those_that_a_file_can_set() -> None:
    names = {one for one in vars(Limits()) if one not in {"large_body", "large_bodies"}}
    for page in (ROOT / "docs" / "shared-server.md", ROOT / "docs" / "zh" / "shared-server.md"):
        rows = re.findall(r"^\|.*\| ([^|]*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)} >= names
