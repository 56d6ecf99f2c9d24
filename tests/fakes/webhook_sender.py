"""A provider that signs webhooks, written from the documented formats with nothing but cryptography's own primitives.

Tokens: RFC 7515 and 7517. Secrets: https://www.standardwebhooks.com. Neither the simulator nor the libraries that the
product checks with have a part in it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

URL = "https://worker.example/arrive"
ISSUER = "https://generativelanguage.googleapis.com"


def event(interaction_id: str = "v1_abc", kind: str = "interaction.completed", **more: Any) -> bytes:
    """The body of a webhook."""
    payload = {"type": kind, "version": "v1", "timestamp": "2026-11-22T12:00:00Z", "data": {"id": interaction_id}}
    return json.dumps(payload | more).encode()


@cache
def _pair(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TokenSender:
    """Signs by RS256; `number` tells one key pair from another."""

    def __init__(self, number: int = 1) -> None:
        self.kid = f"key-{number}"
        self._private = _pair(number)

    def key(self) -> dict[str, Any]:
        numbers = self._private.public_key().public_numbers()
        modulus, exponent = (_url(value.to_bytes(-(-value.bit_length() // 8))) for value in (numbers.n, numbers.e))
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "n": modulus, "e": exponent}

    def key_set(self) -> bytes:
        return json.dumps({"keys": [self.key()]}).encode()

    def token(self, claims: dict[str, Any], **head: Any) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid} | head
        signed = f"{_url(json.dumps(header).encode())}.{_url(json.dumps(claims).encode())}"
        signature = self._private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_url(signature)}"

    def headers(self, body: bytes, at: datetime, message_id: str = "msg_1", **changes: Any) -> dict[str, str]:
        """`changes` to the claims; None leaves one out."""
        now = int(at.timestamp())
        claims: dict[str, Any] = {"iss": ISSUER, "aud": URL, "iat": now, "exp": now + 300}
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": self.token(claims)}


class SecretSender:
    """Signs by HMAC-SHA256."""

    def __init__(self, key: bytes = b"0123456789abcdef01234567") -> None:
        self._key = key
        self.secret = f"whsec_{base64.b64encode(key).decode()}"

    def signature(self, body: bytes, at: datetime, message_id: str) -> str:
        signed = f"{message_id}.{int(at.timestamp())}.".encode() + body
        return "v1," + base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()

    def headers(self, body: bytes, at: datetime, message_id: str = "msg_1") -> dict[str, str]:
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self.signature(body, at, message_id),
        }


def long_ago(at: datetime) -> datetime:
    return at - timedelta(minutes=5, seconds=1)


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
