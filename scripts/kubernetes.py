"""Lint and render the chart in deploy/helm with Helm, validate the manifests, and write them to deploy/kubernetes.

  python scripts/kubernetes.py [--check]

With `--check`, write nothing, and fail if the manifests in the repository differ from the chart. This script requires
the packages helm-python-sdk (Helm 4 as a library) and kubernetes-validate. To install them, run
`scripts/kubernetes.sh --install FOLDER`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm"
PLAIN = ROOT / "deploy" / "kubernetes"
RELEASE = "swanlab-mcp"
# the oldest Kubernetes version that Chart.yaml allows, and the newest version that the validator supports
VERSIONS = ("1.28", "1.37")
_FIRST_LINES = """\
# Generated from deploy/helm {digest} by scripts/kubernetes.sh: change the chart, not this file.
# Replace mcp.example.org and the image, then: kubectl apply -f {name}
"""
_SECRET = {
    "create": True,
    "confirmation": "c" * 32,
    "sharedKey": "k",
    "keyMap": "a@example.org k",
    "proxySecret": "p" * 32,
}
# the values for the manifests in the repository; manifests with other values are only validated
PLAIN_VALUES: dict[str, dict[str, Any]] = {
    "swanlab-mcp.yaml": {},
    "swanlab-mcp-writes.yaml": {"allowWrites": True},
}
OTHER_VALUES: tuple[dict[str, Any], ...] = (
    {"sharedKey": True, "allowWrites": True, "sso": {"enabled": True}, "secret": _SECRET},
    {"autoscaling": {"enabled": False}, "ingress": {"enabled": False}, "networkPolicy": {"enabled": False}},
    {"apiHost": "https://swanlab.example.org", "certificates": {"configMap": "ca"}, "options": ["--lang", "zh"]},
    {"rate": 60, "trustedProxies": ["10.244.0.0/16"], "nodeSelector": {"disk": "fast"}},
    {"tolerations": [{"key": "lab", "operator": "Exists"}]},
)


def compute_digest() -> str:
    """Return a hash of all files in the chart. The generated manifests contain this hash."""
    files = sorted(path for path in CHART.rglob("*") if path.is_file())
    parts = [f"{path.relative_to(CHART).as_posix()}\0".encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def render(values: dict[str, Any]) -> list[str]:
    """Lint the chart with `values`, and return the manifests. Raises ValueError for lint findings."""
    from helm_python import Chart, lint  # noqa: PLC0415 tests compute the digest without Helm

    report = lint(CHART, values, strict=True)
    if problems := [one["error"] for one in report["messages"] if one["severity"] > 1] + report["errors"]:
        raise ValueError("; ".join(problems))
    with Chart.load(CHART) as chart:
        rendered = chart.render(values, name=RELEASE, is_install=True)
    return [text.strip() for _, text in sorted(rendered.items()) if text.strip() and "\nkind: " in text]


def validate(manifests: list[str]) -> None:
    """Validate manifests against the strict schemas of Kubernetes. Raises an error from the validator."""
    import kubernetes_validate  # noqa: PLC0415 tests compute the digest without the validator

    for text in manifests:
        for version in VERSIONS:
            kubernetes_validate.validate(yaml.safe_load(text), version, strict=True)


def main() -> int:
    """Run the script. Return 1 if the manifests in the repository differ from the chart, otherwise 0."""
    for values in OTHER_VALUES:
        validate(render(values))
    status = 0
    PLAIN.mkdir(exist_ok=True)
    for name, values in PLAIN_VALUES.items():
        manifests = render(values)
        validate(manifests)
        text = _FIRST_LINES.format(digest=compute_digest(), name=name) + "---\n" + "\n---\n".join(manifests) + "\n"
        path = PLAIN / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path} is not what the chart renders: run scripts/kubernetes.sh", file=sys.stderr)
            status = 1
    count = len(OTHER_VALUES) + len(PLAIN_VALUES)
    print(f"helm lint and template: {count} sets of values hold; schemas of Kubernetes {' and '.join(VERSIONS)} hold")
    return status


if __name__ == "__main__":
    sys.exit(main())
