"""Spans by OTLP to any collector, or to Google's telemetry endpoint with application default credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from shared.adapters.process.proxies import is_loopback
from shared.adapters.telemetry.span_file import nanoseconds
from shared.core.observability.otel_values import QUEUE_SIZE, timeout_seconds
from shared.core.observability.spans import Span
from shared.core.values.trace_context import Place

GOOGLE = "telemetry.googleapis.com"
SCOPE = InstrumentationScope("renderlane")


class OtlpSpans:
    """The variables OTEL_EXPORTER_OTLP_*, OTEL_BSP_* and OTEL_RESOURCE_ATTRIBUTES mean what OpenTelemetry says."""

    def __init__(self, resource: Mapping[str, str], exporter: SpanExporter | None = None) -> None:
        self._resource = resource_of(resource)
        queue = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip() else QUEUE_SIZE
        self._processor = BatchSpanProcessor(
            exporter or OTLPSpanExporter(session=session_of("TRACES"), timeout=timeout_of("TRACES")),
            max_queue_size=queue,
        )

    def write(self, span: Span) -> None:
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.place),
                parent=_context(span.place.beside(span.parent_id)) if span.parent_id else None,
                resource=self._resource,
                attributes=span.attributes,
                links=[Link(_context(link)) for link in span.links],
                kind=SpanKind[span.stage.kind],
                status=Status(StatusCode.ERROR, span.failed) if span.failed else Status(),
                start_time=nanoseconds(span.started_at),
                end_time=nanoseconds(span.ended_at),
                instrumentation_scope=SCOPE,
            )
        )

    def flush(self) -> None:
        self._processor.force_flush()

    def close(self) -> None:
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def resource_of(measured: Mapping[str, str]) -> Resource:
    """What the variables say goes over what the worker knows of itself."""
    named = Resource.create({})
    defaults = {key: value for key, value in named.attributes.items() if str(value).startswith("unknown_service")}
    overrides = {key: value for key, value in named.attributes.items() if key not in defaults}
    return Resource({**measured, **overrides})


def timeout_of(what: str) -> float | None:
    """Seconds for one export, as the variables say; None = the SDK's default of ten."""
    names = (f"OTEL_EXPORTER_OTLP_{what}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    return next((timeout_seconds(os.environ[name]) for name in names if os.environ.get(name, "").strip()), None)


def session_of(what: str) -> Any:
    """Google's endpoint gets credentials; a collector on this machine is reached without a proxy; else None."""
    names = (f"OTEL_EXPORTER_OTLP_{what}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not is_loopback(endpoint):
        return google_session(what)
    import requests

    session = requests.Session()
    session.trust_env = False
    return session


def google_session(what: str) -> Any:
    """A session that carries application default credentials, where the endpoint is Google's; else None."""
    names = (f"OTEL_EXPORTER_OTLP_{what}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if urlsplit(endpoint).hostname != GOOGLE:
        return None
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


class NamedSampler:
    """The sampler that OTEL_TRACES_SAMPLER names, asked once for each trace."""

    def __init__(self) -> None:
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler

    def __call__(self, trace_id: str, caller: Place | None) -> bool:
        parent = None if caller is None else set_span_in_context(NonRecordingSpan(_context(caller)))
        decision = self._sampler.should_sample(parent, int(trace_id, 16), "request").decision
        return decision is Decision.RECORD_AND_SAMPLE


def _context(place: Place) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(place.trace_id, 16), int(place.span_id, 16), is_remote=True, trace_flags=flags)
