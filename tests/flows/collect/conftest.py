"""The emulators, for what runs on the stores of both homes."""

from tests.emulators import firestore_host, pubsub_host

__all__ = ["firestore_host", "pubsub_host"]
