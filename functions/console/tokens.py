"""Proof that a form was got from us by whoever sends it: a signature over the cookie's chance and the identity."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Tokens:
    key: bytes

    def token(self, actor: str, nonce: str) -> str:
        """What a form carries for that identity in the browser that holds the cookie `nonce`."""
        return hmac.new(self.key, f"{nonce}\n{actor}".encode(), hashlib.sha256).hexdigest()

    def holds(self, token: str, actor: str, nonce: str) -> bool:
        return NONCE.fullmatch(nonce) is not None and hmac.compare_digest(
            token.encode(), self.token(actor, nonce).encode()
        )
