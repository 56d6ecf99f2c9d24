"""FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST as Google's clients take them: HOST:PORT, or not set at all."""

from __future__ import annotations

import os

from shared.adapters.process import proxies
from shared.config import emulator_host


def settled(name: str) -> str | None:
    """The emulator's HOST:PORT, None where Google's own is meant. The variable is put right: the clients read it too.

    Raises InvalidSetting.
    """
    host = emulator_host(name, os.environ.get(name, ""))
    if host is None:
        os.environ.pop(name, None)  # the clients take an empty one for an address
        return None
    os.environ[name] = host
    proxies.spare(host)
    return host
