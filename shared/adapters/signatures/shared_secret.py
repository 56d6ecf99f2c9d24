"""Static webhooks: HMAC-SHA256 by the secret that registration showed once (Standard Webhooks).

The library signs and we compare: its own `verify` reads the machine's clock, and raises ValueError for a signature
without a comma.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from shared.adapters.signatures.headers import Stamped
from shared.ports.signatures import Genuine, NotGenuine, Verdict

MOST_SIGNATURES = 10
"""Per webhook: one of each secret that has not been revoked."""


class SharedSecret:
    """Raises ValueError for a malformed secret, without repeating it."""

    def __init__(self, secret: str) -> None:
        try:
            base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("found text that is not base64; allowed: whsec_ and base64, as it was shown") from error
        self._secret = secret

    def verify(self, stamped: Stamped, body: bytes) -> Verdict:
        from standardwebhooks import Webhook

        try:
            expected = Webhook(self._secret).sign(stamped.id, stamped.at, body.decode("utf-8"))
        except UnicodeDecodeError:
            return NotGenuine("malformed")
        signatures = stamped.signature.split(" ")[:MOST_SIGNATURES]
        # All of them are compared, so that the time taken reveals nothing.
        matches = [hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures]
        return Genuine("static") if any(matches) else NotGenuine("signature")
