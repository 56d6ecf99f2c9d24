"""How the provider signs what it sends to webhooks: by RS256 tokens (dynamic), or by shared secrets (static).

Dynamic: https://ai.google.dev/gemini-api/docs/webhooks names RS256, `kid`, the key set's address and an audience; what
issuer and audience are is not written there. Static: https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://generativelanguage.googleapis.com"
KEYS_PATH = "/.well-known/jwks.json"
TOKEN_LIFETIME = timedelta(minutes=5)
SECRET_PREFIX = "whsec_"
GRACE = timedelta(hours=24)
"""For which a rotated secret may still sign."""


class SigningKey:
    """A key pair for tokens. It is made, and what makes it is imported, at its first use: a tenth of a second each."""

    def __init__(self) -> None:
        self._private: rsa.RSAPrivateKey | None = None

    @property
    def kid(self) -> str:
        numbers = self._pair().public_key().public_numbers()
        return hashlib.sha256(str(numbers.n).encode()).hexdigest()[:16]

    def jwks(self) -> dict[str, Any]:
        """The public half, as served."""
        from jwt.algorithms import RSAAlgorithm

        key = RSAAlgorithm.to_jwk(self._pair().public_key(), as_dict=True)
        return {"keys": [key | {"kid": self.kid, "alg": "RS256", "use": "sig"}]}

    def token(self, claims: Mapping[str, Any], *, kid: str | None = None) -> str:
        import jwt

        return jwt.encode(dict(claims), self._pair(), algorithm="RS256", headers={"kid": kid or self.kid})

    def _pair(self) -> rsa.RSAPrivateKey:
        if self._private is None:
            from cryptography.hazmat.primitives.asymmetric import rsa

            self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._private


class Secret(Struct, frozen=True):
    """A shared secret of a registered webhook."""

    text: str
    """`whsec_` and base64."""
    expires_at: datetime | None = None
    """Set when another one has taken its place."""

    @classmethod
    def new(cls) -> Secret:
        return cls(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode())

    def signature(self, message_id: str, timestamp: int, body: bytes) -> str:
        """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
        key = base64.b64decode(self.text.removeprefix(SECRET_PREFIX))
        digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        return "v1," + base64.b64encode(digest).decode()


def claims(uri: str, at: datetime, message_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Of a token for one delivery. The audience is the webhook's own address."""
    return {
        "iss": ISSUER,
        "aud": uri,
        "iat": int(at.timestamp()),
        "exp": int((at + TOKEN_LIFETIME).timestamp()),
        "jti": message_id,
        **event,
    }
