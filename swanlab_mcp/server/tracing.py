"""Traces: one OpenTelemetry span per request to SwanLab, below the SDK's span of the call; not sent by default."""

from __future__ import annotations

from opentelemetry import trace

from swanlab_mcp import __version__
from swanlab_mcp.core.observation import Event, SentRequest

__all__ = ["trace_event"]

_tracer = trace.get_tracer("swanlab_mcp", __version__)


def trace_event(event: Event) -> None:
    """Record a request as a span: its method, endpoint, status and time, never a name or an argument."""
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
