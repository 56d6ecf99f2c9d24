from __future__ import annotations

from tests.emulators import firestore_host, pubsub_host

__all__ = ["firestore_host", "pubsub_host"]
