"""A Cloud Run service that orders posters from Renderlane and takes note of each result.

    POST /posters {"title": "..."}   publishes a render request, answers with its id
    POST /results                    the push subscription on render-results
    GET  /posters/ID                 the poster: ordered, or its result

Nobody waits: the result comes by push, whenever it is ready. Both ends may repeat a message, so every write may be
repeated: the id of a poster is made of its title, and a result replaces itself.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from typing import Any

from google.cloud import firestore, pubsub_v1
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PROJECT = os.environ["GOOGLE_CLOUD_PROJECT"]
TENANT = "posters"
publisher = pubsub_v1.PublisherClient()
posters = firestore.AsyncClient(PROJECT, database=os.environ.get("DATABASE", "(default)")).collection("posters")


async def order(request: Request) -> Response:
    title = (await request.json()).get("title")
    if not isinstance(title, str) or not title.strip():
        return JSONResponse({"error": "title: allowed: text with a visible character"}, 422)
    poster_id = f"poster-{hashlib.sha256(title.encode()).hexdigest()[:16]}"
    message = {
        "request_id": poster_id,
        "tenant": TENANT,
        "prompt": f"a poster for an event called {title!r}, flat colours, no text but the title",
        "aspect_ratio": "3:4",
        "purpose": "final",
        "max_cost_usd": "0.30",
    }
    await posters.document(poster_id).set({"title": title}, merge=True)
    topic = publisher.topic_path(PROJECT, "render-requests")
    await asyncio.wrap_future(publisher.publish(topic, json.dumps(message).encode()))
    return JSONResponse({"id": poster_id}, 202, {"location": f"/posters/{poster_id}"})


async def take_result(request: Request) -> Response:
    """A 2xx acknowledges; anything else has Pub/Sub deliver it again."""
    envelope = await request.json()
    result: dict[str, Any] = json.loads(base64.b64decode(envelope["message"]["data"]))
    kept = {name: result.get(name) for name in ("status", "image_uri", "cost_usd", "outcome", "finished_at")}
    await posters.document(result["request_id"]).set(kept, merge=True)
    return Response(status_code=204)


async def show(request: Request) -> Response:
    snapshot = await posters.document(request.path_params["poster_id"]).get()
    if not snapshot.exists:
        return JSONResponse({"error": "no such poster"}, 404)
    return JSONResponse({"status": "ordered", **snapshot.to_dict()})


app = Starlette(
    routes=[
        Route("/posters", order, methods=["POST"]),
        Route("/posters/{poster_id}", show),
        Route("/results", take_result, methods=["POST"]),
    ]
)
