"""Publish render requests to Renderlane and wait for their results.

    with Client("my-project", subscription="shop-results-7f3a") as client:
        result = client.render(Request("spring-hero-001", "a lighthouse"), timeout=120)
        print(result.status, result.image_uri, result.cost_usd)

What a subscription is for, and whose results it holds, is told in `renderlane.client`.
"""

from __future__ import annotations

from renderlane.client import Client, having_prefix, of_tenant
from renderlane.errors import Closed, InvalidRequest, ListeningFailed, NoSubscription, NotInTime, Problem
from renderlane.request import Floor, Reference, Request
from renderlane.result import Delivered, NotAResult, Outcome, Requested, Result

__all__ = [
    "Client",
    "Closed",
    "Delivered",
    "Floor",
    "InvalidRequest",
    "ListeningFailed",
    "NoSubscription",
    "NotAResult",
    "NotInTime",
    "Outcome",
    "Problem",
    "Reference",
    "Request",
    "Requested",
    "Result",
    "having_prefix",
    "of_tenant",
]
