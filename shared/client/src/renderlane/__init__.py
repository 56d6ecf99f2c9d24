"""Submit render requests to Renderlane and wait for their results, by HTTP or by Pub/Sub.

    from renderlane import HttpClient, Request

    view = HttpClient().render(Request("spring-hero-001", "a lighthouse"), timeout=120)
    print(view.status, view.image_url, view.cost_usd)

    with Client("my-project", subscription="shop-results-7f3a") as client:
        result = client.render(Request("spring-hero-001", "a lighthouse"), timeout=120)

`HttpClient` and `AsyncHttpClient` need nothing beside Python; `Client` needs google-cloud-pubsub, which the extra
`pubsub` installs. What a subscription is for, and whose results it holds, is told in `renderlane.client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from renderlane.errors import (
    ApiError,
    Closed,
    InvalidRequest,
    ListeningFailed,
    NoConnection,
    NoSubscription,
    NotInTime,
    Problem,
)
from renderlane.http_client import AsyncHttpClient, HttpClient, metadata_token
from renderlane.request import Floor, Reference, Request
from renderlane.result import Delivered, NotAResult, Outcome, Requested, Result
from renderlane.view import View

if TYPE_CHECKING:
    from renderlane.client import Client, having_prefix, of_tenant

OF_PUBSUB = ("Client", "having_prefix", "of_tenant")

__all__ = [
    "ApiError",
    "AsyncHttpClient",
    "Client",
    "Closed",
    "Delivered",
    "Floor",
    "HttpClient",
    "InvalidRequest",
    "ListeningFailed",
    "NoConnection",
    "NoSubscription",
    "NotAResult",
    "NotInTime",
    "Outcome",
    "Problem",
    "Reference",
    "Request",
    "Requested",
    "Result",
    "View",
    "having_prefix",
    "metadata_token",
    "of_tenant",
]


def __getattr__(name: str) -> Any:
    """What speaks Pub/Sub is loaded when it is first named: by HTTP nothing of Google is needed."""
    if name not in OF_PUBSUB:
        raise AttributeError(f"module 'renderlane' has no attribute {name!r}")
    try:
        from renderlane import client
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs google-cloud-pubsub: pip install 'renderlane[pubsub]'") from error
    return getattr(client, name)
