"""The Signatures port for the Gemini API: the form of the signature says which way it was signed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from shared.adapters.signatures import headers as stamps
from shared.adapters.signatures.shared_secret import SharedSecret
from shared.adapters.signatures.token import Tokens
from shared.ports.signatures import NotGenuine, Verdict

GOOGLE = "https://generativelanguage.googleapis.com"
HERE = ("127.0.0.1", "localhost", "::1")
KEYS_PATH = "/.well-known/jwks.json"


def keys_address(base_url: str | None) -> str:
    """Google's, or that of a stand-in on this machine. What a proxy in front of Google serves, Google has signed."""
    is_here = base_url is not None and urlsplit(base_url).hostname in HERE
    return (base_url if base_url is not None and is_here else GOOGLE).rstrip("/") + KEYS_PATH


class GeminiSignatures:
    """`tokens` None: no webhook address is sent with calls; `secret` None: no webhook is registered."""

    def __init__(self, tokens: Tokens | None, secret: SharedSecret | None) -> None:
        self._tokens = tokens
        self._secret = secret

    def glance(self, headers: Mapping[str, str], now: datetime) -> NotGenuine | None:
        stamped = stamps.read(headers, now)
        if isinstance(stamped, NotGenuine):
            return stamped
        checks = self._tokens if stamped.is_token else self._secret
        return None if checks is not None else NotGenuine("unconfigured")

    async def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
        stamped = stamps.read(headers, now)
        if isinstance(stamped, NotGenuine):
            return stamped
        if stamped.is_token and self._tokens is not None:
            return await self._tokens.verify(stamped, now)
        if not stamped.is_token and self._secret is not None:
            return self._secret.verify(stamped, body)
        return NotGenuine("unconfigured")
