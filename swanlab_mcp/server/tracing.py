"""Record an OpenTelemetry span for each request to SwanLab, as a child of the SDK's span for the call.

Spans are exported only if the environment configures an exporter.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points

from opentelemetry import trace

from swanlab_mcp import __version__
from swanlab_mcp.core.observation import Event, SentRequest
from swanlab_mcp.settings import names_trace_exporter

__all__ = ["start_tracing", "trace_event"]

log = logging.getLogger(__name__)
_tracer = trace.get_tracer("swanlab_mcp", __version__)


def start_tracing() -> None:
    """Configure OpenTelemetry from its environment variables.

    Do nothing if the variables select no exporter, or if OpenTelemetry is not installed or is already configured.
    """
    if not names_trace_exporter() or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    try:
        for configurator in entry_points(group="opentelemetry_configurator"):
            configurator.load()().configure()
    except (ImportError, RuntimeError, ValueError) as error:
        log.warning("spans are not sent: %s", error)


def trace_event(event: Event) -> None:
    """Record a request to SwanLab as a span with the method, endpoint, status and time, but without user data."""
    if not isinstance(event, SentRequest):
        return
    start = int(event.started * 10**9)
    span = _tracer.start_span(
        f"SwanLab {event.method} {event.endpoint}",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "http.request.method": event.method,
            "url.template": event.endpoint,
            **({"http.response.status_code": event.status} if event.status else {}),
        },
        start_time=start,
    )
    if not event.status or event.status >= 400:
        span.set_status(trace.StatusCode.ERROR)
    span.end(start + int(event.seconds * 10**9))
