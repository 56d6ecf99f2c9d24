"""The Cloud Quotas and Cloud Monitoring APIs of the simulated project, as far as a reader of limits asks them.

They tell the simulator's own limits as they are now, and what was used of them. Faults are set by the control API:
POST /control/quota-api {"fault": "denied"}; DELETE takes it back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scripts.simulator.engine.simulation import QuotaApiFault, Simulation
from scripts.simulator.provider.bill import RecordedCall
from scripts.simulator.provider.quota_problems import METRIC_PREFIX, OF_DIMENSION, QuotaMetric

SERVICE = "generativelanguage.googleapis.com"
PAGE_SIZE = 3
"""Quotas a page where the caller names no size: few, so that callers meet a second page."""
UNLIMITED = -1
NOT_ADMITTED = (401, 402, 403, 404, 429)
"""HTTP statuses of calls that were refused at the door and used no quota."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fault: QuotaApiFault


class BadQuery(ValueError):
    """A query that the simulated Monitoring does not understand."""


def routes(simulation: Simulation) -> list[Route]:
    parent = f"/v1/projects/{{project}}/locations/global/services/{SERVICE}"
    return [
        Route(f"{parent}/quotaInfos", _guarded(simulation, "cloudquotas.googleapis.com", quota_infos), methods=["GET"]),
        Route("/v3/projects/{project}/timeSeries", _guarded(simulation, "monitoring.googleapis.com", time_series)),
        Route("/control/quota-api", _control(simulation), methods=["GET", "POST", "DELETE"]),
    ]


def quota_infos(simulation: Simulation, request: Request) -> dict[str, Any]:
    infos = [_info(simulation, request.path_params["project"], *pair) for pair in OF_DIMENSION.items()]
    size = int(request.query_params.get("pageSize") or PAGE_SIZE)
    start = int(request.query_params.get("pageToken") or 0)
    end = start + size
    page: dict[str, Any] = {"quotaInfos": infos[start:end]}
    return page | ({"nextPageToken": str(end)} if end < len(infos) else {})


def _info(simulation: Simulation, project: str, dimension: str, metric: QuotaMetric) -> dict[str, Any]:
    rows = [
        {
            "dimensions": {"model": model},
            "details": {"value": str(_value(simulation, model, dimension))},
            "applicableLocations": ["global"],
        }
        for model in _served(simulation)
    ]
    if simulation.quota_api_fault == "missing_dimensions":
        rows = [{name: value for name, value in rows[0].items() if name != "dimensions"}]
    return {
        "name": f"projects/{project}/locations/global/services/{SERVICE}/quotaInfos/{metric.quota_id}",
        "quotaId": metric.quota_id,
        "metric": METRIC_PREFIX + metric.name,
        "service": SERVICE,
        "refreshInterval": "day" if dimension == "rpd" else "minute",
        "containerType": "PROJECT",
        "dimensions": ["model"],
        "dimensionsInfos": rows,
    }


def _value(simulation: Simulation, model: str, dimension: str) -> int:
    if simulation.quota_api_fault == "unlimited":
        return UNLIMITED
    value: int | None = getattr(simulation.limits.limits(model), dimension)
    return UNLIMITED if value is None else value


def _served(simulation: Simulation) -> list[str]:
    return [model.id for model in simulation.models.by_id.values() if model.status != "gone"]


def time_series(simulation: Simulation, request: Request) -> dict[str, Any]:
    """Sums by model over alignment periods that end with the interval, newest first, as ALIGN_SUM gives them."""
    dimension, limit_name = _dimension_and_limit(request.query_params.get("filter", ""))
    try:
        start, end = (datetime.fromisoformat(request.query_params[f"interval.{item}Time"]) for item in ("start", "end"))
        period = timedelta(seconds=float(request.query_params["aggregation.alignmentPeriod"].rstrip("s")))
    except (KeyError, ValueError) as cause:
        raise BadQuery(f"interval or alignment period: {cause}") from cause
    if request.query_params.get("aggregation.groupByFields") != "metric.labels.model" or period < timedelta(minutes=1):
        raise BadQuery("only sums by metric.labels.model over a minute or more are simulated")
    used = _used(simulation.ledger.since(0), dimension, start, end, period)
    return {"timeSeries": [_series(model, limit_name, points, end, period) for model, points in used.items()]}


def _dimension_and_limit(text: str) -> tuple[str, str]:
    """The dimension and the limit_name of a filter."""
    match = re.fullmatch(
        rf'metric\.type = "{SERVICE}/quota/([\w/]+)/usage" AND metric\.labels\.limit_name = "(.+)"', text
    )
    names = {(metric.name, metric.quota_id): dimension for dimension, metric in OF_DIMENSION.items()}
    dimension = names.get((match[1], match[2])) if match else None
    if match is None or dimension is None:
        raise BadQuery(f"no metric matches the filter {text}")
    return dimension, match[2]


def _used(
    calls: Iterable[RecordedCall], dimension: str, start: datetime, end: datetime, period: timedelta
) -> dict[str, Counter[int]]:
    """By model, and by the number of periods before the interval's end."""
    used: dict[str, Counter[int]] = {}
    for call in calls:
        if call.status in NOT_ADMITTED or not call.model or not start < call.received_at <= end:
            continue
        amount = call.usage.text_in + call.usage.image_in if dimension == "tpm" else 1
        used.setdefault(call.model, Counter())[(end - call.received_at) // period] += amount
    return used


def _series(model: str, limit_name: str, points: Mapping[int, int], end: datetime, period: timedelta) -> dict[str, Any]:
    return {
        "metric": {"labels": {"model": model}},
        "resource": {"type": f"{SERVICE}/Location"},
        "metricKind": "DELTA",
        "valueType": "INT64",
        "points": [
            {
                "interval": {
                    "startTime": _written(end - period * (ago + 1)),
                    "endTime": _written(end - period * ago),
                },
                "value": {"int64Value": str(points[ago])},
            }
            for ago in sorted(points)
        ],
    }


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _guarded(simulation: Simulation, api: str, read: Callable[[Simulation, Request], dict[str, Any]]) -> Endpoint:
    async def answer(request: Request) -> Response:
        project = request.path_params["project"]
        match simulation.quota_api_fault:
            case "denied":
                return _error(403, "PERMISSION_DENIED", f"Permission denied on resource project {project}.")
            case "disabled":
                message = f"{api} has not been used in project {project} before or it is disabled."
                return _error(403, "PERMISSION_DENIED", message, _disabled(project, api))
            case "down":
                return _error(503, "UNAVAILABLE", "The service is currently unavailable.")
            case "none" | "missing_dimensions" | "unlimited":
                pass
        try:
            return _json(read(simulation, request))
        except ValueError as error:
            return _error(400, "INVALID_ARGUMENT", str(error))

    return answer


def _control(simulation: Simulation) -> Endpoint:
    async def answer(request: Request) -> Response:
        match request.method:
            case "POST":
                try:
                    simulation.quota_api_fault = msgspec.json.decode(await request.body(), type=Switch).fault
                except msgspec.DecodeError as error:
                    allowed = ", ".join(get_args(QuotaApiFault))
                    return _json({"error": f'{error}; allowed: {{"fault": …}} with one of {allowed}'}, 400)
            case "DELETE":
                simulation.quota_api_fault = "none"
            case _:
                pass
        return _json({"fault": simulation.quota_api_fault})

    return answer


def _disabled(project: str, api: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": api, "consumer": f"projects/{project}"},
    }


def _error(
    code: int, status: Literal["PERMISSION_DENIED", "UNAVAILABLE", "INVALID_ARGUMENT"], message: str, *details: Any
) -> Response:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    return _json({"error": error | ({"details": list(details)} if details else {})}, code)


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
