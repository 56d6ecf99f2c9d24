"""Short-lived addresses of images: signed for Cloud Storage, none for a folder."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.adapters.object_storage.image_store import ObjectImages
from shared.ports.images import ImagesUnavailable

ACCOUNT = "renderlane-api@p.iam.gserviceaccount.com"


def a_bucket() -> ObjectImages:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"client_email": ACCOUNT, "private_key": text, "private_key_id": "1", "type": "service_account"}
    return ObjectImages("gs://images/prod", {"config": {"service_account_key": json.dumps(account)}})


async def test_an_address_is_signed_for_one_image_and_so_long() -> None:
    link = await a_bucket().link("gs://images/prod/web/2026-11-22/abc/1.png", timedelta(minutes=15))
    assert link is not None
    parts = urlsplit(link)
    query = {name.lower(): values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc) == ("https", "storage.googleapis.com")
    assert parts.path == "/images/prod/web/2026-11-22/abc/1.png"
    assert query["x-goog-expires"] == "900"
    assert query["x-goog-credential"].startswith(ACCOUNT)
    assert len(query["x-goog-signature"]) > 100


async def test_an_image_elsewhere_is_not_signed() -> None:
    with pytest.raises(ImagesUnavailable, match="is not in the image store"):
        await a_bucket().link("gs://other/1.png", timedelta(minutes=15))


async def test_a_folder_has_no_address_for_others(tmp_path: Path) -> None:
    images = ObjectImages(tmp_path.as_uri())
    assert await images.link(f"{images.root}/web/d/r/1.png", timedelta(minutes=15)) is None
