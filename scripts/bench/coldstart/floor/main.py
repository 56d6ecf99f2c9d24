"""The floor: functions that do nothing but load the libraries which ours must use, and answer."""

from __future__ import annotations

import functions_framework.aio
from google.cloud.firestore import AsyncClient
from google.pubsub_v1 import PublisherAsyncClient
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.requests import Request
from starlette.responses import Response

USED = (AsyncClient, PublisherAsyncClient, OTLPSpanExporter, TracerProvider, BatchSpanProcessor)


@functions_framework.aio.http
async def floor(request: Request) -> Response:
    return Response(status_code=204)


@functions_framework.aio.http
async def floor_with_genai(request: Request) -> Response:
    """What the first call of the Interactions API loads, too."""
    from google import genai

    name = type(genai.Client(api_key="AQ.bench").aio.interactions).__name__
    return Response(name, status_code=200)
