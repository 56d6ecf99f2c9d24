"""Dynamic webhooks: an RS256 token in the signature's header, by a key of the provider's set.

https://ai.google.dev/gemini-api/docs/webhooks shows the key set, RS256 and "your configured audience", without saying
what audience and issuer are. So both are settings, and a token that fails by them tells the operator what it had.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.adapters.signatures.headers import Stamped
from shared.adapters.signatures.key_set import KeySet
from shared.ports.signatures import Genuine, NotGenuine, Verdict

ANY = "*"
"""As an allowed audience or issuer: any, or none at all."""
SKEW = timedelta(seconds=60)
LONGEST_LIFE = timedelta(hours=25)
"""A token that claims to be valid for longer is only accepted for this time from its issue."""
_LONGEST_KEY_ID = 256
_READ_ELSEWHERE: Any = {
    "verify_signature": True,
    "verify_exp": False,  # by the time that is given here
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Tokens:
    def __init__(self, keys: KeySet, audiences: Collection[str], issuers: Collection[str]) -> None:
        self._keys = keys
        self._audiences = frozenset(audiences)
        self._issuers = frozenset(issuers)

    async def verify(self, stamped: Stamped, now: datetime) -> Verdict:
        """Raises SignaturesUnavailable."""
        import jwt
        from jwt.exceptions import InvalidSignatureError, PyJWTError

        try:
            head = jwt.get_unverified_header(stamped.signature)
        except (PyJWTError, ValueError, RecursionError):
            return NotGenuine("malformed")
        kid = head.get("kid")
        if head.get("alg") != "RS256" or not isinstance(kid, str) or len(kid) > _LONGEST_KEY_ID:
            return NotGenuine("malformed")
        key = await self._keys.key(kid, now)
        if key is None:
            return NotGenuine("key")
        try:
            claims = jwt.decode(stamped.signature, key, algorithms=["RS256"], options=_READ_ELSEWHERE)
        except InvalidSignatureError:
            return NotGenuine("signature")
        except (PyJWTError, ValueError, RecursionError):
            return NotGenuine("malformed")
        return self._judge(claims, now)

    def _judge(self, claims: dict[str, Any], now: datetime) -> Verdict:
        """From a token with a valid signature."""
        ends_at, began_at = _moment(claims.get("exp")), _moment(claims.get("iat"))
        if ends_at is None:
            return NotGenuine("malformed", "the token has no exp")
        if now > ends_at + SKEW or (began_at is not None and not -SKEW <= now - began_at <= LONGEST_LIFE):
            return NotGenuine("stale", "the token has expired, or is not valid yet")
        issuer = claims.get("iss")
        if ANY not in self._issuers and not (isinstance(issuer, str) and issuer in self._issuers):
            return NotGenuine("issuer", f"the token names the issuer {_shown(issuer)}")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if ANY not in self._audiences and not any(one in self._audiences for one in named if isinstance(one, str)):
            return NotGenuine("audience", f"the token names the audience {_shown(audience)}")
        return Genuine("dynamic", claims)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _shown(value: object) -> str:
    return repr(value)[:200] if value is not None else "nobody"
