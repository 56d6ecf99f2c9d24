"""Who calls the API behind Cloud Run: the account in the identity token that Cloud Run has checked.

A private service (no `allUsers`) is reached only with a token that Cloud Run has verified for `roles/run.invoker`. It
then takes the signature away before it hands the header on ("Authenticating service-to-service", Cloud Run
documentation): the service can read the claims, and nobody can use the token again. A token that still has a signature
is one that Cloud Run has not looked at, and is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.ports.identity import Caller, CallerInfo, NotIdentified

REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")
SKEW_SECONDS = 30
FIELD = "authorization"
LONGEST = 8192
REMEDY = (
    "Send `Authorization: Bearer $(gcloud auth print-identity-token --audiences=AUDIENCE)` of an account that may call"
)


class CloudRunCallers:
    """`tenants` has the tenants of each account, by e-mail address."""

    def __init__(
        self,
        audience: str,
        tenants: Mapping[str, Sequence[str]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._audience = audience
        self._tenants = {account.lower(): tuple(names) for account, names in tenants.items()}
        self._now = now

    async def caller(self, call: CallerInfo) -> Caller:
        account = self._account(call.assertion or "")
        tenants = self._tenants.get(account.lower())
        if not tenants:
            raise NotIdentified(
                FIELD,
                f"the account {account[:128]!r}, which has no tenant",
                "one that RENDERLANE_API_CALLERS names",
                "Ask the operators to add it",
            )
        return Caller(account, tenants)

    def _account(self, header: str) -> str:
        claims = self._claims(header)
        email = claims.get("email")
        if claims.get("aud") != self._audience:
            raise _refused("a token for another audience", self._audience)
        if claims.get("iss") not in ISSUERS:
            raise _refused("a token of another issuer", ISSUERS[0])
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or expires + SKEW_SECONDS < self._now().timestamp():
            raise _refused("a token that has expired", "one of the last hour")
        if (
            not isinstance(email, str)
            or not email
            or not email.isprintable()
            or claims.get("email_verified") is not True
        ):
            raise _refused("a token without a verified e-mail address", "one with the claim `email`")
        return email

    @staticmethod
    def _claims(header: str) -> Mapping[str, Any]:
        scheme, _, token = header.partition(" ")
        parts = token.strip().split(".")
        if scheme.lower() != "bearer" or len(parts) != 3 or len(token) > LONGEST:
            raise _refused("no identity token" if not header else "a header that holds no identity token", "one")
        if parts[2] != REMOVED:
            raise _refused("a token that Cloud Run has not checked", "one that it has, by the header `Authorization`")
        try:
            padded = parts[1] + "=" * (-len(parts[1]) % 4)
            claims = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, RecursionError) as error:
            raise _refused("a token that cannot be read", "an identity token") from error
        if not isinstance(claims, dict):
            raise _refused("a token without claims", "an identity token")
        return claims


def _refused(given: str, allowed: str) -> NotIdentified:
    return NotIdentified(FIELD, given, allowed, REMEDY)
