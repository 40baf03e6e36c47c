"""The shared server's Prometheus metrics, which are served at a separate address."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from swanlab_mcp.core.observation import CacheRead, Event

__all__ = ["Metrics"]

_LOGIN = "/login/api_key"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60)


class Metrics:
    """The server's counters, histograms and gauges.

    Labels contain tools, outcomes, reasons, endpoints and statuses, but never user data such as names or arguments.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "swanlab_mcp_calls", "Answered calls by tool and outcome", ("tool", "outcome"), registry=self.registry
        )
        self._call_seconds = Histogram(
            "swanlab_mcp_call_seconds", "Time of calls by tool", ("tool",), registry=self.registry, buckets=_SECONDS
        )
        self._refusals = Counter(
            "swanlab_mcp_refusals", "Requests refused before MCP, by reason", ("reason",), registry=self.registry
        )
        self._requests = Counter(
            "swanlab_mcp_swanlab_requests",
            "Requests to SwanLab by endpoint and status; status 0 means no response",
            ("method", "endpoint", "status"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "swanlab_mcp_swanlab_request_seconds",
            "Time of requests to SwanLab by endpoint",
            ("method", "endpoint"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._sign_ins = Counter(
            "swanlab_mcp_sign_ins", "Logins at SwanLab by status", ("status",), registry=self.registry
        )
        self._cache_reads = Counter(
            "swanlab_mcp_cache_reads", "Lookups in the caches of responses", ("result",), registry=self.registry
        )

    def observe(self, event: Event) -> None:
        """Count a request to SwanLab or a cache lookup."""
        if isinstance(event, CacheRead):
            self._cache_reads.labels("hit" if event.is_hit else "miss").inc()
            return
        self._requests.labels(event.method, event.endpoint, str(event.status)).inc()
        self._request_seconds.labels(event.method, event.endpoint).observe(event.seconds)
        if event.endpoint == _LOGIN:
            self._sign_ins.labels(str(event.status)).inc()

    def count_call(self, tool: str, outcome: str, seconds: float) -> None:
        """Count a call. `tool` is a known tool or method, or "other" for all unknown names."""
        self._calls.labels(tool, outcome).inc()
        self._call_seconds.labels(tool).observe(seconds)

    def count_refusal(self, reason: str) -> None:
        self._refusals.labels(reason).inc()

    def add_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge. `read` returns its value, and is called from another thread for each Prometheus request."""
        Gauge(f"swanlab_mcp_{name}", text, registry=self.registry).set_function(read)

    def serve(self, host: str, port: int) -> int:
        """Serve /metrics from a background thread and return the port. Raises OSError if the address is unavailable."""
        server, _ = start_http_server(port, host, self.registry)
        return server.server_port
