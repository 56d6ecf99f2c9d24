"""Proof that a form was sent by the person who was given it: a signature over cookie and identity."""

from __future__ import annotations

import hashlib
import hmac
import re

from msgspec import Struct

NONCE = re.compile(r"[0-9a-f]{32}")


class FormTokens(Struct, frozen=True):
    key: bytes

    def __repr__(self) -> str:
        """Without the key."""
        return "FormTokens()"

    def token(self, actor: str, nonce: str) -> str:
        """The token in a form for that identity in the browser that has the cookie `nonce`."""
        return hmac.new(self.key, f"{nonce}\n{actor}".encode(), hashlib.sha256).hexdigest()

    def holds(self, token: str, actor: str, nonce: str) -> bool:
        return NONCE.fullmatch(nonce) is not None and hmac.compare_digest(
            token.encode(), self.token(actor, nonce).encode()
        )
