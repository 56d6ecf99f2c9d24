"""A stand-in for Cloud Storage: the part of its XML API that obstore speaks, on a loopback port, kept in memory.

PUT with `x-goog-if-generation-match: 0`, GET, HEAD and list (ListObjectsV2) with prefix and delimiter;
`x-goog-meta-*` headers come back as they were sent. Point obstore at it with `options()`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes.loopback import Loopback

MODIFIED = "Sun, 22 Nov 2026 12:00:00 GMT"


@dataclass(frozen=True)
class StoredObject:
    data: bytes
    headers: Mapping[str, str]
    """`content-type` and `x-goog-meta-*`, as they were sent."""


@dataclass
class Gcs:
    objects: dict[str, StoredObject] = field(default_factory=dict)
    """By `bucket/key`."""
    forbidden: bool = False
    """Answer everything with 403."""

    @property
    def app(self) -> Starlette:
        keyed = Route("/{bucket}/{key:path}", self._object, methods=["PUT", "GET", "HEAD", "DELETE"])
        return Starlette(routes=[Route("/{bucket}", self._list, methods=["GET"]), keyed])

    async def _object(self, request: Request) -> Response:
        name = f"{request.path_params['bucket']}/{request.path_params['key']}"
        if self.forbidden:
            return _error(403, "AccessDenied")
        if request.method == "PUT":
            return self._put(name, await request.body(), request)
        if request.method == "DELETE":
            existed = self.objects.pop(name, None) is not None
            return Response(status_code=204) if existed else _error(404, "NoSuchKey")
        stored_object = self.objects.get(name)
        if stored_object is None:
            return _error(404, "NoSuchKey")
        headers = {
            **stored_object.headers,
            "etag": _etag(stored_object),
            "last-modified": MODIFIED,
            "x-goog-generation": "1",
        }
        if request.method == "HEAD":
            return Response(headers={**headers, "content-length": str(len(stored_object.data))})
        return Response(stored_object.data, headers=headers)

    def _put(self, name: str, data: bytes, request: Request) -> Response:
        if request.headers.get("x-goog-if-generation-match") == "0" and name in self.objects:
            return _error(412, "PreconditionFailed")
        kept = {k: v for k, v in request.headers.items() if k == "content-type" or k.startswith("x-goog-meta-")}
        self.objects[name] = StoredObject(data, kept)
        return Response(headers={"etag": _etag(self.objects[name]), "x-goog-generation": "1"})

    async def _list(self, request: Request) -> Response:
        if self.forbidden:
            return _error(403, "AccessDenied")
        bucket = request.path_params["bucket"]
        prefix, delimiter = request.query_params.get("prefix", ""), request.query_params.get("delimiter", "")
        contents, folders = "", set()
        for name, stored_object in sorted(self.objects.items()):
            in_bucket, _, key = name.partition("/")
            if in_bucket != bucket or not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            contents += (
                f"<Contents><Key>{escape(key)}</Key><Size>{len(stored_object.data)}</Size>"
                f"<LastModified>2026-11-22T12:00:00.000Z</LastModified><ETag>{escape(_etag(stored_object))}</ETag></Contents>"
            )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders)
        body = f"<?xml version='1.0'?><ListBucketResult>{contents}{common}</ListBucketResult>"
        return Response(body, media_type="application/xml")


def options(server: Loopback) -> dict[str, Any]:
    """What obstore's GCSStore needs to speak to the stand-in."""
    account = {"gcs_base_url": server.url, "disable_oauth": True, "client_email": "", "private_key": ""}
    return {
        "config": {"service_account_key": json.dumps(account | {"private_key_id": ""})},
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }


def _etag(stored_object: StoredObject) -> str:
    return f'"{hashlib.md5(stored_object.data, usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str) -> Response:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Response(body, status_code=status, media_type="application/xml")
