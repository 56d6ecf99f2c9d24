"""Images in a folder (`file:///path`) or a Cloud Storage bucket (`gs://BUCKET[/PREFIX]`), through obstore.

An image is written once and carries its facts: in a bucket as object metadata, in a folder, where there is no such
thing, as a hidden sidecar. The sidecar is written first and names the digest of its bytes, so an image
never lacks its facts and never carries those of another one that lost the race for its key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import GCSStore, LocalStore

from shared.core.provider.call import Picture
from shared.core.values.late_pattern import late_pattern
from shared.ports.images import ImagesUnavailable, StoredImage

KEY = late_pattern(r"[A-Za-z0-9_-][A-Za-z0-9._:-]*(/[A-Za-z0-9_-][A-Za-z0-9._:-]*)*")
"""Segments begin with no dot: `..` is impossible, and names with a dot in front are free for sidecars."""
FACTS_ATTRIBUTE = "facts"
"""The metadata key (`x-goog-meta-facts`) that holds the facts as one ASCII JSON object: header names lose their case
and header values their spaces and accents, JSON keeps both."""
PATIENCE = {"max_retries": 3, "retry_timeout": timedelta(seconds=20), "backoff": {"max_backoff": timedelta(seconds=2)}}


class _Place(Protocol):
    """A folder or a bucket; keys are relative to it."""

    @property
    def store(self) -> LocalStore | GCSStore: ...

    async def create(self, key: str, data: bytes, content_type: str, facts: Mapping[str, str]) -> None:
        """Raises AlreadyExistsError."""
        ...

    async def look(self, key: str) -> tuple[int, dict[str, str]]:
        """Size in bytes and facts. Raises FileNotFoundError."""
        ...

    async def link(self, key: str, lasts: timedelta) -> str | None: ...


class ObjectImages:
    """The Images port on `url`: `file:///path` or `gs://BUCKET[/PREFIX]`.

    `options` goes to obstore's GCSStore as it is; a stand-in of Cloud Storage needs `service_account_key` in its
    `config` (JSON with `gcs_base_url` and `disable_oauth`: `skip_signature` alone still asks for a token to write) and
    `client_options` with `allow_http`. Without options the credentials are Google's application defaults.
    Raises ValueError for another kind of URL.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._place: _Place
        parts = urlsplit(url)
        prefix = unquote(parts.path)
        if parts.query or parts.fragment:
            raise ValueError(f"found {url!r}; allowed: no query and no fragment in the place of images")
        if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(prefix) > 1:
            folder = Path(prefix).resolve()
            self.root = folder.as_uri()
            self._place = _Folder(folder)
        elif parts.scheme == "gs" and parts.netloc:
            self.root = f"gs://{parts.netloc}{quote(prefix.rstrip('/'))}"
            self._place = _Bucket(parts.netloc, prefix.strip("/"), options or {})
        else:
            raise ValueError(f"found {url!r}; allowed: file:///path or gs://BUCKET[/PREFIX]")

    async def put(self, key: str, picture: Picture, facts: Mapping[str, str]) -> StoredImage:
        """Create-only: an existing key keeps its bytes and facts. Raises ImagesUnavailable; ValueError on a bad key."""
        _checked(key)
        with self._explained(f"store {key}"):
            try:
                await self._place.create(key, picture.data, picture.content_type, facts)
            except AlreadyExistsError:
                return await self._stored(key)
        return StoredImage(self._uri(key), key, len(picture.data), dict(facts))

    async def find(self, prefix: str) -> StoredImage | None:
        """The first image, by name, whose key begins with `prefix`. Raises ImagesUnavailable."""
        _checked(prefix.removesuffix("."))
        folder, _, name = prefix.rpartition("/")
        with self._explained(f"look for {prefix}"):
            listed = await obstore.list_with_delimiter_async(self._place.store, folder or None)
            names = sorted(item["path"] for item in listed["objects"])
            keys = [key for key in names if key.rpartition("/")[2].startswith(name) and KEY().fullmatch(key)]
            return await self._stored(keys[0]) if keys else None

    async def read(self, uri: str) -> bytes:
        """Raises ImagesUnavailable, also for a URI that is not of this store."""
        key = self._key(uri)
        with self._explained(f"read {key}"):
            result = await obstore.get_async(self._place.store, key)
            return bytes(await result.bytes_async())

    async def link(self, uri: str, lasts: timedelta) -> str | None:
        """A signed URL of Cloud Storage; None for a folder. Signing needs a key, or the right to sign as the account
        that this process runs as (`iam.serviceAccounts.signBlob`). Raises ImagesUnavailable.
        """
        key = self._key(uri)
        with self._explained(f"sign an address of {key}"):
            return await self._place.link(key, lasts)

    def owns(self, uri: str) -> bool:
        """Whether `read` would accept this URI; nothing is looked up."""
        return uri.startswith(f"{self.root}/") and KEY().fullmatch(unquote(uri[len(self.root) + 1 :])) is not None

    async def _stored(self, key: str) -> StoredImage:
        size, facts = await self._place.look(key)
        return StoredImage(self._uri(key), key, size, facts)

    def _uri(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _key(self, uri: str) -> str:
        if not self.owns(uri):
            raise ImagesUnavailable(
                f"{uri[:200]!r} is not in the image store {self.root}; check RENDERLANE_IMAGES against the request"
            )
        return unquote(uri[len(self.root) + 1 :])

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn every error of obstore into ImagesUnavailable with a remedy."""
        try:
            yield
        except FileNotFoundError as error:
            raise ImagesUnavailable(
                f"could not {doing}: nothing there in {self.root}; check that the image or bucket was not deleted"
            ) from error
        except (BaseError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ImagesUnavailable(
                f"could not {doing} in {self.root}: {reason}; check RENDERLANE_IMAGES, access to it and free space"
            ) from error


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._opened: LocalStore | None = None

    @property
    def store(self) -> LocalStore:
        """Opened at first use: a folder that cannot be made is an ImagesUnavailable of the call."""
        if self._opened is None:
            self._opened = LocalStore(prefix=self._path, mkdir=True)
        return self._opened

    async def create(self, key: str, data: bytes, content_type: str, facts: Mapping[str, str]) -> None:
        sidecar = await _sidecar(key, data)
        try:
            await obstore.put_async(self.store, sidecar, _written(facts), mode="create", use_multipart=False)
        except AlreadyExistsError:
            if not await self._exists(key):  # left by a write that died before its image: its facts are of no image
                await obstore.put_async(self.store, sidecar, _written(facts), use_multipart=False)
        await obstore.put_async(self.store, key, data, mode="create", use_multipart=False)

    async def look(self, key: str) -> tuple[int, dict[str, str]]:
        result = await obstore.get_async(self.store, key)
        data = bytes(await result.bytes_async())
        try:
            facts = await obstore.get_async(self.store, await _sidecar(key, data))
        except FileNotFoundError:
            return len(data), {}  # an image that was not stored by us
        return len(data), _facts(bytes(await facts.bytes_async()))

    async def _exists(self, key: str) -> bool:
        try:
            await obstore.head_async(self.store, key)
        except FileNotFoundError:
            return False
        return True

    async def link(self, key: str, lasts: timedelta) -> str | None:
        return None


class _Bucket:
    def __init__(self, bucket: str, prefix: str, options: Mapping[str, Any]) -> None:
        self._open = partial(GCSStore, bucket, prefix=prefix or None, **{"retry_config": PATIENCE, **options})
        self._opened: GCSStore | None = None

    @property
    def store(self) -> GCSStore:
        """Opened at first use: it reads the system's certificates, and most functions look at no image."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    async def create(self, key: str, data: bytes, content_type: str, facts: Mapping[str, str]) -> None:
        attributes = {"Content-Type": content_type, FACTS_ATTRIBUTE: json.dumps(dict(facts))}
        await obstore.put_async(self.store, key, data, attributes=attributes, mode="create", use_multipart=False)

    async def look(self, key: str) -> tuple[int, dict[str, str]]:
        result = await obstore.get_async(self.store, key, options={"head": True})
        return result.meta["size"], _facts(result.attributes.get(FACTS_ATTRIBUTE, "{}").encode())

    async def link(self, key: str, lasts: timedelta) -> str | None:
        return await obstore.sign_async(self.store, "GET", key, lasts)


async def _sidecar(key: str, data: bytes) -> str:
    folder, slash, name = key.rpartition("/")
    digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()[:16])
    return f"{folder}{slash}.{name}.{digest}.json"


def _written(facts: Mapping[str, str]) -> bytes:
    import msgspec  # not before the first picture

    return msgspec.json.encode(facts)


def _facts(text: bytes) -> dict[str, str]:
    """Raises ValueError (msgspec's) where something else than facts was stored."""
    import msgspec

    return msgspec.json.decode(text, type=dict[str, str])


def _checked(key: str) -> None:
    if not KEY().fullmatch(key):
        raise ValueError(
            f"found key {key[:200]!r}; allowed: segments of A-Z a-z 0-9 . _ : - joined by /, none beginning with a dot"
        )
