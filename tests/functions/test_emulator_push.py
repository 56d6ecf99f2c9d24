"""Pub/Sub's own push: from the real emulator to a function, and on record in the real Firestore emulator."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from shared.adapters.google_cloud.firestore_store import FirestoreStore
from shared.adapters.google_cloud.pubsub_topics import PubsubTopics
from shared.core.messages.topics import RENDER_REQUESTS, SUBSCRIPTIONS
from shared.core.values.documents import Absent, Document
from tests.functions.test_functions_framework import started


@pytest.mark.emulator
@pytest.mark.slow
async def test_the_emulators_push_reaches_intake_and_the_request_is_on_record(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = f"push-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
    monkeypatch.setenv("RENDERLANE_STORE", f"firestore://{project}")
    monkeypatch.setenv("RENDERLANE_TOPICS", f"pubsub://{project}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    topics, store = PubsubTopics(project), FirestoreStore(project)
    await topics.ensure(SUBSCRIPTIONS)
    with started("intake", tmp_path) as url:
        await asyncio.to_thread(_subscribe_by_push, project, url)
        await topics.publish(RENDER_REQUESTS, b'{"request_id": "pushed-1", "prompt": "a lighthouse"}')
        document: Document | Absent = await store.get("requests/pushed-1")
        for _ in range(600):
            if isinstance(document, Document):
                break
            await asyncio.sleep(0.1)
            document = await store.get("requests/pushed-1")
    await topics.close()
    await store.close()
    assert isinstance(document, Document), "the push did not arrive within 60 s"
    assert document.data["status"] == "queued"
    assert document.data["message_id"]


def _subscribe_by_push(project: str, url: str) -> None:
    from google.cloud import pubsub_v1

    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.create_subscription(
            request={
                "name": subscriber.subscription_path(project, "by-push"),
                "topic": f"projects/{project}/topics/{RENDER_REQUESTS}",
                "push_config": {"push_endpoint": url},
            }
        )
