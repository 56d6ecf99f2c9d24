"""What Pub/Sub accepts as a message, asked before sending, so that one machine refuses what the cloud would refuse.

Limits from Pub/Sub's quotas page; the size measured on the emulator too. ValueError: the caller has a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

MESSAGE_LIMIT_BYTES = 10_000_000
EXTENSION_LIMIT = timedelta(seconds=600)


def check_message(topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
    if not data and not attributes:
        raise ValueError(f"a message to {topic} has neither data nor attributes")
    if len(attributes) > 100:
        raise ValueError(f"a message to {topic} has {len(attributes)} attributes: at most 100 are allowed")
    sizes = {name: (len(name.encode()), len(value.encode())) for name, value in attributes.items()}
    for name, (name_bytes, value_bytes) in sizes.items():
        if not 1 <= name_bytes <= 256 or value_bytes > 1024:
            raise ValueError(
                f"attribute {name[:256]!r} of a message to {topic} has a name of {name_bytes} and a value of "
                f"{value_bytes:,} bytes: 1-256 and at most 1,024 are allowed"
            )
    size = len(data) + sum(name_bytes + value_bytes for name_bytes, value_bytes in sizes.values())
    if size > MESSAGE_LIMIT_BYTES:
        raise ValueError(f"a message to {topic} has {size:,} bytes: at most {MESSAGE_LIMIT_BYTES:,} are allowed")


def check_extension(by: timedelta) -> None:
    if not timedelta(0) <= by <= EXTENSION_LIMIT:
        raise ValueError(f"an ack deadline cannot be extended by {by}: 0-600 s are allowed")
