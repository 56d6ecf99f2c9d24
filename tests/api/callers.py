"""Callers of the API in tests: tokens as Cloud Run hands them on, and a client for each."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
from starlette.applications import Starlette

from functions.api.app import app
from functions.api.places import MOST
from shared.adapters.identity.cloud_run import REMOVED, CloudRunCallers
from shared.wiring import Worker

AUDIENCE = "https://renderlane.example.com"
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
ACCOUNTS: Mapping[str, Sequence[str]] = {
    "web@p.iam.gserviceaccount.com": ["web"],
    "evil@p.iam.gserviceaccount.com": ["evil"],
    "two@p.iam.gserviceaccount.com": ["shop", "web"],
    "ops@example.com": ["*"],
}


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(account: str, signature: str = REMOVED, **claims: Any) -> str:
    payload = {
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": account, "email_verified": True,
        "exp": int(NOW.timestamp()) + 3600, "sub": "1",
    }  # fmt: skip
    return f"{encoded({'alg': 'RS256'})}.{encoded(payload | claims)}.{signature}"


def bearer(account: str, **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(account, **claims)}"}


def of_cloud(worker: Worker, most_waiting: int = MOST) -> Starlette:
    return app(worker, CloudRunCallers(AUDIENCE, ACCOUNTS, lambda: NOW), most_waiting=most_waiting)


def client(worker: Worker, account: str | None = None, application: Starlette | None = None) -> httpx2.AsyncClient:
    """Of an API in the cloud; without an account it sends no token."""
    application = application or of_cloud(worker)
    transport = httpx2.ASGITransport(app=application, raise_app_exceptions=True)
    headers = bearer(account) if account is not None else {}
    return httpx2.AsyncClient(transport=transport, base_url=AUDIENCE, headers=headers)
