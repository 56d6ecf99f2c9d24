"""References come from allowed places only; no spelling of a URI gets around that."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import sys
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from shared.adapters.object_storage.image_store import ObjectImages
from shared.adapters.object_storage.references import AllowedReferences, _length
from shared.adapters.payloads.reference_uri import is_public
from shared.core.provider.call import Picture, Reference
from shared.ports.images import ReferenceUnusable
from tests.fakes.google_cloud import gcs
from tests.fakes.loopback import Loopback, serving
from tests.fakes.scripted_gemini import a_png

PNG = a_png()
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xd9"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 a webp.."
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
HEIF = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"


@dataclass
class Clock:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def references(allowed: Sequence[str], images: ObjectImages | None = None, **options: Any) -> AllowedReferences:
    clock = Clock()
    return AllowedReferences(allowed, images, **({"monotonic": clock.monotonic, "sleep": clock.sleep} | options))


# Allowed or not, without fetching


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://example.com", "https://example.com/a.png"),
        ("https://example.com/", "https://EXAMPLE.com:443/a.png?signature=s"),
        ("https://example.com/assets", "https://example.com/assets/deep/a%20b.png"),
        ("https://example.com:8443", "https://example.com:8443/a.png"),
        ("gs://bucket", "gs://bucket/deep/a.png"),
        ("gs://bucket/in/", "gs://bucket/in/a.png"),
    ],
)
def test_a_uri_under_an_allowed_prefix_passes(prefix: str, uri: str) -> None:
    references([prefix]).check(uri, "web")


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://example.com", "http://example.com/a.png"),
        ("https://example.com", "https://example.com.evil.org/a.png"),
        ("https://example.com", "https://example.com@evil.org/a.png"),
        ("https://example.com", "https://evil.org#@example.com/a.png"),
        ("https://example.com", "https://evil.org\\@example.com/a.png"),
        ("https://example.com", "https://user:secret@example.com/a.png"),
        ("https://example.com", "https://example.com:8443/a.png"),
        ("https://example.com", "https://sub.example.com/a.png"),
        ("https://example.com", "https:///a.png"),
        ("https://example.com", "https:example.com/a.png"),
        ("https://example.com", "//example.com/a.png"),
        ("https://example.com", "https://example.com:port/a.png"),
        ("https://example.com", "https://[example.com/a.png"),
        ("https://example.com", "https://exämple.com/a.png"),
        ("https://example.com", "https://example.com/a b.png"),
        ("https://example.com", "https://example.com/a\n.png"),
        ("https://example.com/assets", "https://example.com/assets-old/a.png"),
        ("https://example.com/assets", "https://example.com/a.png"),
        ("https://example.com/assets", "https://example.com/assets/../a.png"),
        ("https://example.com/assets", "https://example.com/assets/%2e%2e/a.png"),
        ("https://example.com/assets", "https://example.com/assets/..%2fa.png"),
        ("https://example.com/assets", "https://example.com/assets/..%5ca.png"),
        ("https://example.com/assets", "https://example.com/assets/..;/a.png"),
        ("https://example.com/assets", "https://example.com/assets/.;x=1/a.png"),
        ("https://example.com/assets", "https://example.com/assets/%252e%252e/a.png"),
        ("https://example.com/assets", "https://example.com/assets/..%252fa.png"),
        ("gs://bucket/in", "gs://bucket/out/a.png"),
        ("gs://bucket/in", "gs://bucket/in/../out/a.png"),
        ("gs://bucket", "gs://bucket2/a.png"),
        ("gs://bucket", "gs:///a.png"),
        ("gs://bucket", "s3://bucket/a.png"),
        ("file:///srv", "file://host/srv/a.png"),
        ("file:///srv", "file:///etc/passwd"),
        ("file:///srv", "file:///srv/../etc/passwd"),
        ("file:///srv", "file:///srv/%2e%2e/etc/passwd"),
        ("file:///srv", "file:srv/a.png"),
        ("file:///srv", "/srv/a.png"),
        ("file:///srv", "data:image/png;base64,AAAA"),
        ("file:///srv", ""),
    ],
)
def test_a_uri_that_only_looks_allowed_is_refused(prefix: str, uri: str) -> None:
    with pytest.raises(ReferenceUnusable, match="allowed"):
        references([prefix]).check(uri, "web")


def test_nothing_is_allowed_by_default() -> None:
    for uri in ("https://example.com/a.png", "gs://bucket/a.png", "file:///a.png"):
        with pytest.raises(ReferenceUnusable, match="add its prefix to RENDERLANE_REFERENCES"):
            references([]).check(uri, "web")


@pytest.mark.parametrize(
    "prefix", ["http://example.com", "example.com", "ftp://x", "https://", "https://u@example.com", ""]
)
def test_a_prefix_that_is_none_is_refused_at_once(prefix: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        references([prefix])


def test_an_error_says_no_more_of_a_uri_than_scheme_host_and_path() -> None:
    for uri in (
        "https://user:secret@evil.org/path?signature=secret#secret",
        "https://evil.org/path/secret@x?signature=secret",
        "https://evil.org/path;?signature=secret",
    ):
        with pytest.raises(ReferenceUnusable) as refused:
            references(["https://example.com"]).check(uri, "web")
        assert "https://evil.org" in str(refused.value)
        assert "secret" not in str(refused.value)


@given(uri=st.text(max_size=60) | st.text(max_size=40).map(lambda rest: f"https://example.com{rest}"))
def test_any_text_is_allowed_or_refused(uri: str) -> None:
    try:
        references(["https://example.com/assets"]).check(uri, "web")
    except ReferenceUnusable:
        return
    assert uri.lower().startswith(("https://example.com/assets", "https://example.com:"))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("2002:808:808::", False),
        ("2001:0:808:808::", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::c058:6301", False),
        ("64:ff9b:1::808:808", False),
        ("64:ff9b:1:ffff:a:b:7f00:1", False),
        ("::127.0.0.1", False),
        ("::8.8.8.8", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:0:127.0.0.1", False),
        ("::ffff:0:8.8.8.8", False),
        ("::ffff:192.88.99.1", False),
        ("fec0::1", False),
        ("feff:ffff::1", False),
        ("192.88.99.1", False),
        ("192.0.0.9", False),
        ("198.18.0.1", False),
        ("203.0.113.1", False),
        ("240.0.0.1", False),
        ("100::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("ff02::1", False),
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
    ],
)
def test_a_private_address_is_known_in_every_disguise(address: str, public: bool) -> None:
    assert is_public(address) is public


# file://


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "refs"
    inside.mkdir()
    (inside / "a.png").write_bytes(PNG)
    (tmp_path / "outside.png").write_bytes(PNG)
    return inside


async def test_a_local_file_under_an_allowed_folder_is_read(folder: Path) -> None:
    reference = await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/a.png", "web", "image/png")
    assert reference == Reference("image/png", PNG)


async def test_a_symlink_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "way-out.png").symlink_to(folder.parent / "outside.png")
    (folder / "up").symlink_to(folder.parent)
    (folder / "fine.png").symlink_to(folder / "a.png")
    allowed = references([folder.as_uri()])
    for name in ("way-out.png", "up/outside.png", "../outside.png", "%2e%2e/outside.png"):
        with pytest.raises(ReferenceUnusable, match="in no allowed place"):
            await allowed.fetch(f"{folder.as_uri()}/{name}", "web", None)
    assert (await allowed.fetch(f"{folder.as_uri()}/fine.png", "web", None)).data == PNG


async def test_an_allowed_folder_may_itself_be_a_symlink(folder: Path) -> None:
    (folder.parent / "alias").symlink_to(folder)
    allowed = references([f"file://{folder.parent}/alias"])
    assert (await allowed.fetch(f"file://{folder.parent}/alias/a.png", "web", None)).data == PNG


async def test_what_is_no_plain_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    for name in ("pipe.png", "", "missing.png"):
        with pytest.raises(ReferenceUnusable, match=r"plain file|check that the file exists"):
            await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/{name}", "web", None)


async def test_a_changed_local_file_is_read_anew(folder: Path) -> None:
    allowed = references([folder.as_uri()])
    await allowed.fetch(f"{folder.as_uri()}/a.png", "web", None)
    (folder / "a.png").write_bytes(JPEG)
    assert (await allowed.fetch(f"{folder.as_uri()}/a.png", "web", None)).mime_type == "image/jpeg"


# What the bytes are


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (PNG, None, "image/png"),
        (JPEG, "image/jpeg", "image/jpeg"),
        (WEBP, "image/webp", "image/webp"),
        (HEIC, "image/heic", "image/heic"),
        (HEIF, "image/heif", "image/heif"),
        (HEIF, "image/heic", "image/heif"),
    ],
)
async def test_the_type_is_that_of_the_bytes(folder: Path, data: bytes, declared: str | None, expected: str) -> None:
    (folder / "a").write_bytes(data)
    assert (await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/a", "web", declared)).mime_type == expected


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"<svg/>", "an SVG drawing"),
        (b'<?xml version="1.0"?>\n<svg>', "an SVG drawing"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"%PDF-1.7", "a PDF"),
        (b'{"error": 404}', "JSON text"),
        (b"\0\0\0\x18ftypmp42", "a video"),
        (b"\xff\xd8", "no image"),
    ],
)
async def test_what_is_no_image_is_refused_with_what_it_is(folder: Path, data: bytes, word: str) -> None:
    (folder / "a").write_bytes(data)
    with pytest.raises(ReferenceUnusable, match=f"a is {word}; use png, jpeg, webp, heic or heif"):
        await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/a", "web", None)


GIF = b"GIF89a\x01\0\x01\0\0\0\0;"
BMP = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(GIF, "image/gif"), (BMP, "image/bmp"), (b"II*\0\x08\0\0\0", "image/tiff"), (AVIF, "image/avif")],
)
async def test_an_image_that_perhaps_no_model_takes_is_named_by_its_type(
    folder: Path, data: bytes, expected: str
) -> None:
    (folder / "a").write_bytes(data)
    assert (await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/a", "web", None)).mime_type == expected


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP, GIF, HEIC + b"\0\0\0\x10mdat12345678"])
async def test_a_torn_image_is_refused_before_anybody_is_paid_for_it(folder: Path, data: bytes) -> None:
    (folder / "a").write_bytes(data[:-1])
    with pytest.raises(ReferenceUnusable, match="a ends in the middle of the image; put the whole file there"):
        await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/a", "web", None)


async def test_a_size_is_told_without_reading(folder: Path, cloud: tuple[gcs.Gcs, Loopback], web: Web) -> None:
    cloud[0].objects["bucket/a.png"] = gcs.StoredObject(PNG, {})
    web.answers = [Response(PNG)]
    allowed = web.references(folder.as_uri(), "gs://bucket", web.url, gcs_options=gcs.options(cloud[1]))
    for uri in (f"{folder.as_uri()}/a.png", "gs://bucket/a.png", f"{web.url}/a.png?signature=s"):
        assert await allowed.size(uri, "web") == len(PNG)
    assert [request.method for request in web.requests] == ["HEAD"]
    for uri in (f"{folder.as_uri()}/missing.png", "gs://bucket/missing.png"):
        assert await allowed.size(uri, "web") is None
    with pytest.raises(ReferenceUnusable, match="in no allowed place"):
        await allowed.size("https://evil.org/a.png", "web")


async def test_no_more_is_read_than_is_asked_for(folder: Path, cloud: tuple[gcs.Gcs, Loopback], web: Web) -> None:
    cloud[0].objects["bucket/a.png"] = gcs.StoredObject(PNG, {})
    web.answers = [Response(PNG)]
    allowed = web.references(folder.as_uri(), "gs://bucket", web.url, gcs_options=gcs.options(cloud[1]))
    for uri in (f"{folder.as_uri()}/a.png", "gs://bucket/a.png", f"{web.url}/a.png"):
        with pytest.raises(ReferenceUnusable, match="larger than 20 bytes"):
            await allowed.fetch(uri, "web", None, 20)


async def test_a_wrong_declaration_names_both_types(folder: Path) -> None:
    with pytest.raises(ReferenceUnusable, match="declared image/jpeg but is image/png; correct mime_type"):
        await references([folder.as_uri()]).fetch(f"{folder.as_uri()}/a.png", "web", "image/jpeg")


async def test_a_file_that_is_too_large_is_refused(folder: Path) -> None:
    (folder / "large.png").write_bytes(PNG + bytes(1000))
    with pytest.raises(ReferenceUnusable, match="larger than 1,000 bytes"):
        await references([folder.as_uri()], limit_bytes=1000).fetch(f"{folder.as_uri()}/large.png", "web", None)


# gs:// and the image store


@pytest.fixture
async def cloud() -> AsyncIterator[tuple[gcs.Gcs, Loopback]]:
    bucket = gcs.Gcs()
    async with serving(bucket.app) as server:
        yield bucket, server


async def test_an_object_of_an_allowed_bucket_is_read(cloud: tuple[gcs.Gcs, Loopback]) -> None:
    cloud[0].objects["bucket/in/a.png"] = gcs.StoredObject(PNG, {})
    allowed = references(["gs://bucket/in"], gcs_options=gcs.options(cloud[1]))
    assert (await allowed.fetch("gs://bucket/in/a.png", "web", "image/png")).data == PNG


async def test_an_object_that_is_missing_forbidden_or_too_large_is_refused(cloud: tuple[gcs.Gcs, Loopback]) -> None:
    bucket, server = cloud
    bucket.objects["bucket/a.png"] = gcs.StoredObject(PNG + bytes(1000), {})
    allowed = references(["gs://bucket"], gcs_options=gcs.options(server), limit_bytes=1000)
    with pytest.raises(ReferenceUnusable, match="larger than 1,000 bytes"):
        await allowed.fetch("gs://bucket/a.png", "web", None)
    with pytest.raises(ReferenceUnusable, match="check that the object exists"):
        await allowed.fetch("gs://bucket/missing.png", "web", None)
    bucket.forbidden = True
    with pytest.raises(ReferenceUnusable, match="service account may read it"):
        await allowed.fetch("gs://bucket/a.png", "web", None)


async def test_images_of_other_tenants_are_no_references(tmp_path: Path) -> None:
    images = ObjectImages((tmp_path / "home" / "images").as_uri())
    stored = await images.put("web/d/r/1.png", Picture(PNG, "image/png", 8, 4), {})
    for prefixes in ([], [tmp_path.as_uri()], [images.root]):  # an allowed folder above does not open the store
        allowed = references(prefixes, images)
        allowed.check(stored.uri, "web")
        for uri in (stored.uri, stored.uri.replace("/web/", "/%77eb/"), stored.uri.replace("/web/", "/shop/../web/")):
            with pytest.raises(ReferenceUnusable, match="image of another tenant"):
                allowed.check(uri, "shop")
            with pytest.raises(ReferenceUnusable, match="image of another tenant"):
                await allowed.fetch(uri, "shop", None)
        with pytest.raises(ReferenceUnusable, match="image of another tenant"):
            allowed.check(stored.uri, "we")  # a tenant whose name begins alike
    (tmp_path / "link").symlink_to(tmp_path / "home" / "images" / "web")
    with pytest.raises(ReferenceUnusable, match="image of another tenant"):
        references([tmp_path.as_uri()], images).check(f"{tmp_path.as_uri()}/link/d/r/1.png", "shop")
    references([f"{images.root}/web"], images).check(stored.uri, "shop")  # opened to all by name


def test_images_of_other_tenants_in_a_bucket_are_no_references() -> None:
    images = ObjectImages("gs://images/prod")
    allowed = references(["gs://images", "gs://assets"], images)
    allowed.check("gs://images/prod/web/d/r/1.png", "web")
    allowed.check("gs://images/elsewhere/1.png", "web")
    allowed.check("gs://assets/web/d/r/1.png", "shop")
    for uri in ("gs://images/prod/web/d/r/1.png", "gs://images/prod/%77eb/d/r/1.png", "gs://images/prod"):
        with pytest.raises(ReferenceUnusable, match="image of another tenant"):
            allowed.check(uri, "shop")


async def test_an_image_of_our_own_store_is_always_allowed(tmp_path: Path) -> None:
    images = ObjectImages((tmp_path / "images").as_uri())
    stored = await images.put("web/d/r/1.png", Picture(PNG, "image/png", 8, 4), {})
    allowed = references([], images)
    allowed.check(stored.uri, "web")
    assert (await allowed.fetch(stored.uri, "web", "image/png")).data == PNG
    with pytest.raises(ReferenceUnusable, match="in no allowed place"):
        await allowed.fetch(f"{images.root}/../secret.png", "web", None)
    with pytest.raises(ReferenceUnusable, match="was not deleted"):
        await allowed.fetch(stored.uri.replace("1.png", "2.png"), "web", None)


# https://


@dataclass
class Web:
    """An HTTPS server whose answers a test sets; its certificate is for `localhost` and 127.0.0.1."""

    answers: list[Response] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    trusted: ssl.SSLContext | None = None

    async def get(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]

    def references(self, *allowed: str, **options: Any) -> AllowedReferences:
        return references(allowed or [self.url], **({"tls": self.trusted} | options))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def web(certificate: Path) -> AsyncIterator[Web]:
    web = Web()
    app = Starlette(routes=[Route("/{path:path}", web.get)])
    async with serving(app, ssl_certfile=certificate, ssl_keyfile=certificate) as server:
        web.url = server.url.replace("127.0.0.1", "localhost")
        web.trusted = ssl.create_default_context(cafile=str(certificate))
        yield web


async def test_an_allowed_address_is_fetched_with_its_query_and_its_host(web: Web) -> None:
    web.answers = [Response(PNG)]
    reference = await web.references().fetch(f"{web.url}/a.png?signature=s%2B1", "web", "image/png")
    assert reference.data == PNG
    assert str(web.requests[0].url) == f"{web.url}/a.png?signature=s%2B1"


async def test_a_redirect_is_not_followed(web: Web) -> None:
    web.answers = [RedirectResponse(f"{web.url}/b.png"), Response(PNG)]
    with pytest.raises(ReferenceUnusable, match="HTTP 307; name the final address"):
        await web.references().fetch(f"{web.url}/a.png", "web", None)
    assert len(web.requests) == 1


async def test_a_body_that_unpacks_without_end_is_cut_off(web: Web) -> None:
    """300 MB of zeros in a few hundred kB, though nothing packed was asked for."""
    web.answers = [Response(gzip.compress(PNG + bytes(300_000_000), 1), headers={"content-encoding": "gzip"})]
    tracemalloc.start()
    try:
        with pytest.raises(ReferenceUnusable, match="larger than 1,000 bytes"):
            await web.references(limit_bytes=1000).fetch(f"{web.url}/a.png", "web", None)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


async def test_a_body_without_end_is_cut_off(web: Web) -> None:
    web.answers = [Response(PNG + bytes(5_000_000))]
    with pytest.raises(ReferenceUnusable, match="larger than 1,000 bytes"):
        await web.references(limit_bytes=1000).fetch(f"{web.url}/a.png", "web", None)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refusal_is_not_asked_twice_and_tells_no_query(web: Web, status: int) -> None:
    web.answers = [Response(status_code=status)]
    with pytest.raises(ReferenceUnusable, match=f"HTTP {status}; check its access") as refused:
        await web.references().fetch(f"{web.url}/a.png?signature=secret", "web", None)
    assert "secret" not in str(refused.value)
    assert len(web.requests) == 1


async def test_a_hiccup_is_asked_again(web: Web) -> None:
    clock = Clock()
    web.answers = [Response(status_code=503), Response(PNG)]
    assert (await web.references(sleep=clock.sleep).fetch(f"{web.url}/a.png", "web", None)).data == PNG
    assert clock.slept == [1.0]


async def test_a_server_that_stays_ill_is_given_up_after_three_times(web: Web) -> None:
    web.answers = [Response(status_code=503)]
    with pytest.raises(ReferenceUnusable, match=r"could not be fetched \(HTTP 503\); check that its server answers"):
        await web.references().fetch(f"{web.url}/a.png", "web", None)
    assert len(web.requests) == 3


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as mute:  # connects, and never says a word
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        allowed = references([url], tls=ssl.create_default_context(), timeout=timedelta(seconds=0.2))
        with pytest.raises(ReferenceUnusable, match="ConnectTimeout"):
            await allowed.fetch(f"{url}/a.png", "web", None)


async def test_an_untrusted_certificate_is_refused(web: Web) -> None:
    web.answers = [Response(PNG)]
    with pytest.raises(ReferenceUnusable, match="ConnectError"):
        await web.references(tls=ssl.create_default_context()).fetch(f"{web.url}/a.png", "web", None)
    assert not web.requests


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::1"]])
async def test_a_public_name_with_a_private_address_is_refused(web: Web, addresses: list[str]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("cdn.example.com", 443)
        return addresses

    with pytest.raises(ReferenceUnusable, match="resolves to a private address"):
        await web.references("https://cdn.example.com", resolve=resolve).fetch(
            "https://cdn.example.com/a.png", "web", None
        )


async def test_the_name_is_looked_up_once_and_the_checked_address_is_asked(web: Web) -> None:
    looked_up = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["192.0.2.1"]

    web.answers = [Response(PNG)]
    await web.references(resolve=resolve).fetch(f"{web.url}/a.png", "web", None)
    assert looked_up == ["localhost"]


async def test_an_unknown_host_is_given_up() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    with pytest.raises(ReferenceUnusable, match="its host is not known"):
        await references(["https://gone.example.com"], resolve=resolve).fetch(
            "https://gone.example.com/a.png", "web", None
        )


# Not fetched again


async def test_a_reference_is_fetched_once_for_ten_minutes(web: Web) -> None:
    clock = Clock()
    web.answers = [Response(PNG)]
    allowed = web.references(monotonic=clock.monotonic)
    for moment, fetches in ((0.0, 1), (599.0, 1), (600.0, 2)):
        clock.now = moment
        await allowed.fetch(f"{web.url}/a.png", "web", None)
        assert len(web.requests) == fetches


async def test_the_cache_holds_no_more_than_its_bytes_and_drops_what_was_not_used(web: Web) -> None:
    web.answers = [Response(PNG)]
    allowed = web.references(cache_bytes=2 * len(PNG))
    for name in ("a", "b", "a", "c", "a"):
        await allowed.fetch(f"{web.url}/{name}", "web", None)
    assert [request.url.path for request in web.requests] == ["/a", "/b", "/c"]
    await allowed.fetch(f"{web.url}/b", "web", None)
    assert len(web.requests) == 4


async def test_an_image_larger_than_the_cache_is_not_kept(web: Web) -> None:
    web.answers = [Response(PNG)]
    allowed = web.references(cache_bytes=10)
    await allowed.fetch(f"{web.url}/a", "web", None)
    await allowed.fetch(f"{web.url}/a", "web", None)
    assert len(web.requests) == 2


@pytest.mark.parametrize(
    ("stated", "length"), [("", None), ("12", 12), ("-1", None), ("9" * 15, int("9" * 15)), ("9" * 5_000, sys.maxsize)]
)
def test_a_stated_length_is_read_however_long_it_is(stated: str, length: int | None) -> None:
    assert _length({"content-length": stated}) == length
