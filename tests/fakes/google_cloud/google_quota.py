"""Cloud Quotas and Cloud Monitoring on a loopback port, answering with the bodies a test gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SERVICE = "generativelanguage.googleapis.com"
PROJECT = "shop-4711"


@dataclass(frozen=True)
class QuotaAnswer:
    body: Any
    status: int = 200


@dataclass
class GoogleQuota:
    pages: list[QuotaAnswer] = field(default_factory=list)
    """Of the quotas; the token of the next page is its number."""
    series: Mapping[str, QuotaAnswer] = field(default_factory=dict)
    """By metric and limit_name, `generate_requests_per_model/Id`; what is not here is an unknown metric."""
    requests: list[Request] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        parent = f"/v1/projects/{PROJECT}/locations/global/services/{SERVICE}"
        return Starlette(
            routes=[
                Route(f"{parent}/quotaInfos", self._quota_infos),
                Route(f"/v3/projects/{PROJECT}/timeSeries", self._time_series),
            ]
        )

    async def _quota_infos(self, request: Request) -> Response:
        self.requests.append(request)
        return _answer(self.pages[int(request.query_params.get("pageToken") or 0)])

    async def _time_series(self, request: Request) -> Response:
        self.requests.append(request)
        metric = request.query_params["filter"]
        for name, answer in self.series.items():
            kind, _, limit_name = name.partition("/")
            if f'"{SERVICE}/quota/{kind}/usage"' in metric and f'limit_name = "{limit_name}"' in metric:
                return _answer(answer)
        return _answer(error(404, "NOT_FOUND", "Cannot find metric(s) that match type."))


def info(quota_id: str, *rows: Mapping[str, Any], metric: str = "generate_requests_per_model") -> dict[str, Any]:
    """One QuotaInfo in the fields of the API's reference."""
    name = f"projects/{PROJECT}/locations/global/services/{SERVICE}/quotaInfos/{quota_id}"
    return {
        "name": name,
        "quotaId": quota_id,
        "metric": f"{SERVICE}/{metric}",
        "service": SERVICE,
        "refreshInterval": "minute",
        "containerType": "PROJECT",
        "dimensions": ["model"],
        "metricDisplayName": "Request limit per model",
        "quotaDisplayName": "Request limit per model per minute for a project",
        "metricUnit": "1",
        "quotaIncreaseEligibility": {"isEligible": True},
        "dimensionsInfos": list(rows),
        "serviceRequestQuotaUri": "https://example.com/quota",
    }


def value(number: int, **dimensions: str) -> dict[str, Any]:
    """One row: the API writes 64-bit numbers as text."""
    row: dict[str, Any] = {"details": {"value": str(number)}, "applicableLocations": ["global"]}
    return row | ({"dimensions": dimensions} if dimensions else {})


def page(*infos: Mapping[str, Any], following: int | None = None) -> QuotaAnswer:
    return QuotaAnswer({"quotaInfos": list(infos)} | ({} if following is None else {"nextPageToken": str(following)}))


def series(points: Mapping[str, int], model: str | None = None) -> dict[str, Any]:
    """`points` by the end of their interval."""
    return {
        "metric": {"labels": {"model": model}} if model else {},
        "resource": {"type": f"{SERVICE}/Location", "labels": {"project_id": PROJECT}},
        "metricKind": "DELTA",
        "valueType": "INT64",
        "points": [
            {"interval": {"startTime": end, "endTime": end}, "value": {"int64Value": str(count)}}
            for end, count in points.items()
        ],
    }


def counted(*series: Mapping[str, Any]) -> QuotaAnswer:
    return QuotaAnswer({"timeSeries": list(series), "unit": "1"})


def error(status: int, name: str, message: str, *details: Mapping[str, Any]) -> QuotaAnswer:
    members: dict[str, Any] = {"code": status, "message": message, "status": name}
    return QuotaAnswer({"error": members | ({"details": list(details)} if details else {})}, status)


def denied() -> QuotaAnswer:
    message = (
        f"Permission 'cloudquotas.quotas.get' denied on resource '//cloudquotas.googleapis.com/projects/{PROJECT}'"
    )
    return error(
        403,
        "PERMISSION_DENIED",
        f"{message} (or it may not exist).",
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IAM_PERMISSION_DENIED",
            "domain": "cloudquotas.googleapis.com",
            "metadata": {"permission": "cloudquotas.quotas.get", "resource": f"projects/{PROJECT}"},
        },
    )


def disabled(api: str) -> QuotaAnswer:
    place = f"https://console.developers.google.com/apis/api/{api}/overview?project={PROJECT}"
    message = (
        f"The API has not been used in project {PROJECT} before or it is disabled. Enable it by visiting {place} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems."
    )
    return error(
        403,
        "PERMISSION_DENIED",
        message,
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Google", "url": place}]},
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"service": api, "consumer": f"projects/{PROJECT}", "activationUrl": place},
        },
    )


def _answer(answer: QuotaAnswer) -> Response:
    content = answer.body if isinstance(answer.body, (str, bytes)) else json.dumps(answer.body)
    return Response(content, answer.status, media_type="application/json; charset=UTF-8")
