"""What an error of Google's client libraries means for a reader of quotas."""

from __future__ import annotations

import re
from typing import Any

from shared.ports.quota import QuotaUnreadable

LONGEST_MESSAGE = 300
"""Characters."""
IT_PASSES = "It is asked again in a minute. If it stays so, check the way to the server."


def unreadable(error: Exception, *, api: str, server: str, role: str) -> QuotaUnreadable:
    """`api` is Google's name of the API, `server` the address that is called, `role` the one that may read there."""
    import requests
    from google.api_core import exceptions
    from google.auth import exceptions as auth
    from google.protobuf import json_format  # type: ignore[import-untyped]

    match error:
        case exceptions.GoogleAPICallError():
            code, remedy = _answered(error.code, error.reason, api, role)
            return QuotaUnreadable(code, _one_line(re.sub(r"^[A-Z]+ \S+: ", "", str(error.message))), remedy)
        case TimeoutError() | requests.exceptions.Timeout():
            return QuotaUnreadable("unreachable", f"no answer from {server} in time", IT_PASSES)
        case requests.exceptions.RequestException() | auth.TransportError():
            return QuotaUnreadable("unreachable", f"no connection to {server} ({type(error).__name__})", IT_PASSES)
        case auth.GoogleAuthError():
            remedy = "Run as a service account, or `gcloud auth application-default login` on your own machine."
            return QuotaUnreadable("no credentials", _one_line(str(error)), remedy)
        case json_format.ParseError():
            remedy = f"What answers there is not {api}: check RENDERLANE_LIVE_QUOTA and proxies."
            return QuotaUnreadable("refused", f"{server} answered with something else", remedy)
        case _:
            remedy = "A fault of ours or of the library: please report it."
            return QuotaUnreadable("broken", _one_line(f"{type(error).__name__}: {error}"), remedy)


def _answered(status: Any, reason: str | None, api: str, role: str) -> tuple[str, str]:
    """Code and remedy; `reason` is that of google.rpc.ErrorInfo."""
    if reason == "SERVICE_DISABLED":
        return "disabled", f"gcloud services enable {api}"
    if status == 403:
        return "denied", f"Grant {role} on the project to the account that runs `watch`."
    if status == 401:
        return "no credentials", "Run as a service account whose credentials are valid."
    if status == 429 or (isinstance(status, int) and status >= 500):
        return "unreachable", IT_PASSES
    return "refused", "Check GOOGLE_CLOUD_PROJECT: it must be the project of the key."


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_MESSAGE]
