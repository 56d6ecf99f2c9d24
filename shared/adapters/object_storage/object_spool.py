"""Paid images that could not be stored, as objects of a bucket: `gs://BUCKET[/PREFIX]`, through obstore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import GCSStore

from shared.adapters.object_storage import kept_file
from shared.adapters.object_storage.image_store import PATIENCE
from shared.core.provider.call import Picture
from shared.core.provider.kept_image import KeptImage
from shared.ports.images import ImagesUnavailable


class ObjectSpool:
    """The Spool port; `options` as for ObjectImages. Raises ValueError for another kind of URL."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "gs" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError(f"found {url!r}; allowed: file:///path or gs://BUCKET[/PREFIX]")
        self._url = url.rstrip("/")
        self._bucket, self._prefix = parts.netloc, unquote(parts.path).strip("/")
        self._options = options or {}
        self._opened: GCSStore | None = None

    async def keep(self, key: str, picture: Picture, facts: Mapping[str, str]) -> KeptImage:
        name = kept_file.name_of(key)
        with self._explained(f"keep {key}"):
            data = kept_file.written(key, picture, facts)
            with suppress(AlreadyExistsError):  # the same attempt's image; who may only create may not replace it
                await obstore.put_async(self._store, name, data, mode="create", use_multipart=False)
        return self._kept(name, key, facts)

    async def find(self, prefix: str) -> KeptImage | None:
        start = kept_file.name_of(prefix)
        with self._explained(f"look for {prefix}"):
            listed = await obstore.list_with_delimiter_async(self._store)
            names = sorted(item["path"] for item in listed["objects"] if item["path"].startswith(start))
            for name in names:
                with suppress(kept_file.BrokenFile):
                    key, _, facts = kept_file.read(await self._bytes(name))
                    return self._kept(name, key, facts)
        return None

    async def read(self, kept: KeptImage) -> Picture:
        with self._explained(f"read {kept.key}"):
            return kept_file.read(await self._bytes(kept_file.name_of(kept.key)))[1]

    async def drop(self, kept: KeptImage) -> None:
        with self._explained(f"remove {kept.key}"), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, kept_file.name_of(kept.key))

    def close(self) -> None:
        pass

    @property
    def _store(self) -> GCSStore:
        """Opened at first use, which most processes never need."""
        if self._opened is None:
            options = {"retry_config": PATIENCE, **self._options}
            self._opened = GCSStore(self._bucket, prefix=self._prefix or None, **options)
        return self._opened

    async def _bytes(self, name: str) -> bytes:
        return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

    def _kept(self, name: str, key: str, facts: Mapping[str, str]) -> KeptImage:
        return KeptImage(key, f"{self._url}/{name}", dict(facts))

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ImagesUnavailable(f"could not {doing} in {self._url}: {reason}; check RENDERLANE_SPOOL") from error
