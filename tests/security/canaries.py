"""Secrets that nobody else has, one for each setting or field that can hold one, and the search for them."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

API_KEY = "AQ.canary-api-key-5b1fd2a7c9"
GATEWAY_KEY = "sk-canary-gateway-key-7d03ee51b8"
STATIC_SECRET = "whsec_" + base64.b64encode(b"canary-of-a-static-signing-secret").decode()
COLLECTOR_TOKEN = "canary-collector-token-90aa4c62"
OTHER_KEY = "AIzaCanaryOfAnotherGoogleProduct0123456"
URL_SIGNATURE = "canary0signature0of0a0signed0url0e4f1"
URL_PASSWORD = "canary-password-in-a-url-3c8e"
HOOK_TOKEN = "canary-token-of-a-receiver-1f77d0"
PROMPT = "canary zebra crossing a wet street at dawn 4711"
SYSTEM = "canary instruction never to draw umbrellas 0815"
MISPLACED = "canary words in a wrong field 2342"
"""Told to the publisher as what was found, and to no log."""

SECRETS: Mapping[str, str] = {
    "GEMINI_API_KEY": API_KEY,
    "RENDERLANE_GATEWAY_KEY_LAOZHANG": GATEWAY_KEY,
    "RENDERLANE_WEBHOOK_SECRET": STATIC_SECRET,
    "OTEL_EXPORTER_OTLP_HEADERS": COLLECTOR_TOKEN,
    "GOOGLE_API_KEY": OTHER_KEY,
    "signature of a reference's address": URL_SIGNATURE,
    "password in a reference's address": URL_PASSWORD,
    "token in a receiver's address": HOOK_TOKEN,
}
"""By where they stand."""
SETTINGS = tuple(name for name in SECRETS if name.isupper())
PROMPTS: Mapping[str, str] = {"prompt": PROMPT, "system instruction": SYSTEM}
"""They may stand where a person asked for them."""


def disguises(secret: str) -> Iterator[bytes]:
    """As it is, and as JSON, an address, a page, base64 or an encoded word could carry it."""
    for text in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret), secret.upper()):
        yield text.encode()
    bare = secret.removeprefix("whsec_").encode()
    yield bare
    for shift in range(3):  # what stands before it in what was encoded moves its letters
        encoded = base64.b64encode(b"\0" * shift + bare)
        yield encoded[4 if shift else 0 :].rstrip(b"=")[:-2]


def holds(output: bytes, secret: str) -> bool:
    if output.startswith(b"\x1f\x8b"):
        output = gzip.decompress(output)
    return any(disguise in output for disguise in disguises(secret))


def found_in(outputs: Mapping[str, bytes], secret: str) -> list[str]:
    """The names of the outputs that hold it."""
    return sorted(name for name, output in outputs.items() if holds(output, secret))
