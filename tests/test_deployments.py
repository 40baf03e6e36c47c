"""The files in deploy: the plain manifests are those of the chart, and the server accepts what they contain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import kubernetes
from scripts.nginx import CONFIGURATION, adapt
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
    # a server that may change data needs the secret that all workers share
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
    # preStop, drain and the last second
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


def test_nginx_file_is_adapted_for_tests_in_ports_and_encryption_only() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    adapted = adapt(text, 8080, [9001, 9002])
    assert re.findall(r"server 127\.0\.0\.1:(\d+)", adapted) == ["9001", "9002"]
    assert "listen 127.0.0.1:8080;" in adapted
    changed = {line.strip() for line in adapted.splitlines()} - {line.strip() for line in text.splitlines()}
    assert {line.split()[0] for line in changed} == {"listen", "server", "limit_conn"}
