"""Spans to a collector, by OTLP over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from workflow_operator.history.errors import InvalidInput
from workflow_operator.tracing.spans import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_PATH = "/v1/traces"
_LAST_NANOSECOND = 2**63 - 1
_BATCH = 512


class Exporter(Protocol):
    def export(self, spans: Sequence[Span]) -> bool:
        """Send the spans, in this thread; False if the collector did not take all of them."""

    def close(self) -> None:
        """Wait for nothing more: an export that is under way gives up soon."""


def open_exporter(endpoint: str, identity: str) -> Exporter:
    """An exporter to a collector. Nothing is sent yet.

    The standard variables OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE and so on count too.

    Args:
        endpoint: base URL of the collector, as ``http://collector:4318``.
        identity: of this replica.

    Raises:
        InvalidInput: not such a URL, or OpenTelemetry is not installed.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(f"OTLP endpoint {endpoint!r}: expected a URL like http://collector:4318 (OTLP over HTTP)")
    try:
        return _OtlpExporter(endpoint.rstrip("/").removesuffix(_PATH) + _PATH, identity)
    except ImportError as error:
        raise InvalidInput(
            f"an OTLP endpoint is set, but {error.name} is not installed; install workflow-operator[tracing], or unset "
            "the endpoint"
        ) from error


class _OtlpExporter:
    def __init__(self, url: str, identity: str) -> None:
        # Not at the top: traces are off by default, and what they need may be missing.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        # It tells of each try and each failure; the tracer tells of an outage once.
        logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.CRITICAL)
        release = version("workflow-operator")
        self._success = SpanExportResult.SUCCESS
        self._exporter = OTLPSpanExporter(endpoint=url)
        self._scope = InstrumentationScope("workflow-operator", release)
        self._resource = Resource.create(
            {"service.name": "workflow-operator", "service.version": release, "service.instance.id": identity}
        )

    def export(self, spans: Sequence[Span]) -> bool:
        batches = [spans[start : start + _BATCH] for start in range(0, len(spans), _BATCH)]
        return all(self._exporter.export(list(map(self._readable, batch))) is self._success for batch in batches)

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

        def context(span_id: int) -> SpanContext:
            return SpanContext(span.trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        return ReadableSpan(
            name=span.name,
            context=context(span.span_id),
            parent=None if span.parent_id is None else context(span.parent_id),
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(each.name, each.attributes, _nanoseconds(each.time)) for each in span.moments],
            status=Status() if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=_nanoseconds(span.begin),
            end_time=_nanoseconds(span.end),
            instrumentation_scope=self._scope,
        )


def _nanoseconds(time: datetime) -> int:
    # A history can hold any date; one that the protocol cannot hold must not cost the traces sent with it.
    # Not by way of a float of nanoseconds, which cannot hold them.
    return min(max(0, int(time.timestamp() * 1_000_000) * 1000), _LAST_NANOSECOND)
