"""What every image store promises, on a folder and on a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.object_storage.image_store import ObjectImages
from shared.core.provider.call import Picture
from shared.ports.images import ImagesUnavailable
from tests.fakes.google_cloud import gcs
from tests.fakes.loopback import serving

KEY = "web/2026-11-22/spring-hero-001/1.jpg"
FACTS = {"model": "gemini-3-pro-image", "usage": '{"image_out": 1120}', "prompt": " größer, «leer» ", "empty": ""}


def a_picture(data: bytes = b"\xff\xd8\xffone", content_type: str = "image/jpeg") -> Picture:
    return Picture(data, content_type, 1024, 1024)


@dataclass
class Home:
    """One kind of store, and how to build it again as another process would."""

    url: str
    options: dict[str, object] | None = None

    def images(self) -> ObjectImages:
        return ObjectImages(self.url, self.options)


@pytest.fixture(params=["file", "gs", "gs with prefix"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    if request.param == "file":
        yield Home(f"file://{tmp_path}/made%20images")
        return
    async with serving(gcs.Gcs().app) as server:
        url = "gs://pictures" if request.param == "gs" else "gs://pictures/all/of them"
        yield Home(url, gcs.options(server))


async def test_a_stored_image_is_read_back_by_its_uri(home: Home) -> None:
    stored = await home.images().put(KEY, a_picture(), FACTS)
    assert (stored.key, stored.size_bytes, stored.facts) == (KEY, 6, FACTS)
    assert stored.uri.startswith(home.url.replace(" ", "%20"))
    assert stored.uri.endswith(KEY)
    assert await home.images().read(stored.uri) == b"\xff\xd8\xffone"


async def test_an_image_is_found_by_the_key_of_its_attempt_with_its_facts(home: Home) -> None:
    stored = await home.images().put(KEY, a_picture(), FACTS)
    assert await home.images().find("web/2026-11-22/spring-hero-001/1.") == stored


@pytest.mark.parametrize(
    "prefix",
    ["web/2026-11-22/spring-hero-001/2.", "web/2026-11-22/spring-hero-0/1.", "web/2026-11-21/spring-hero-001/1."],
)
async def test_another_attempt_or_request_is_not_found(home: Home, prefix: str) -> None:
    await home.images().put(KEY, a_picture(), FACTS)
    await home.images().put("web/2026-11-22/spring-hero-001/12.jpg", a_picture(), FACTS)
    assert await home.images().find(prefix) is None


async def test_attempt_1_is_not_taken_for_attempt_12(home: Home) -> None:
    await home.images().put("web/d/r/12.jpg", a_picture(), {"attempt": "12"})
    await home.images().put("web/d/r/1.png", a_picture(content_type="image/png"), {"attempt": "1"})
    stored_image = await home.images().find("web/d/r/1.")
    assert stored_image is not None
    assert (stored_image.key, stored_image.facts) == ("web/d/r/1.png", {"attempt": "1"})


async def test_an_existing_key_keeps_its_bytes_and_its_facts_and_is_returned(home: Home) -> None:
    first = await home.images().put(KEY, a_picture(b"\xff\xd8\xfffirst"), {"attempt": "first"})
    second = await home.images().put(KEY, a_picture(b"\xff\xd8\xffthe second"), {"attempt": "second"})
    assert second == first
    assert await home.images().read(first.uri) == b"\xff\xd8\xfffirst"
    stored_image = await home.images().find("web/2026-11-22/spring-hero-001/1.")
    assert stored_image == first


async def test_of_many_writers_of_one_key_one_wins_with_its_own_facts(home: Home) -> None:
    images = home.images()
    stored = await asyncio.gather(
        *(images.put(KEY, a_picture(b"\xff\xd8\xff%d" % n), {"writer": str(n)}) for n in range(20))
    )
    assert len({(stored_image.uri, stored_image.facts["writer"]) for stored_image in stored}) == 1
    assert await images.read(stored[0].uri) == b"\xff\xd8\xff" + stored[0].facts["writer"].encode()


async def test_a_large_image_is_stored_create_only_too(home: Home) -> None:
    data = b"\xff\xd8\xff" + bytes(12_000_000)
    stored = await home.images().put(KEY, a_picture(data), FACTS)
    assert (await home.images().put(KEY, a_picture(b"\xff\xd8\xffsmall"), {})).size_bytes == len(data)
    assert len(await home.images().read(stored.uri)) == len(data)


async def test_a_missing_image_is_reported_with_a_remedy(home: Home) -> None:
    images = home.images()
    with pytest.raises(ImagesUnavailable, match="check that the image or bucket was not deleted"):
        await images.read(f"{images.root}/web/2026-11-22/nobody/1.jpg")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "gs://elsewhere/web/1.jpg",
        "https://example.com/1.jpg",
        "{root}-other/1.jpg",
        "{root}/../1.jpg",
        "{root}/web/%2e%2e/%2e%2e/1.jpg",
        "{root}/web/..%2f1.jpg",
        "{root}//etc/passwd",
        "{root}",
        "",
    ],
)
async def test_only_uris_of_its_own_are_read(home: Home, uri: str) -> None:
    images = home.images()
    with pytest.raises(ImagesUnavailable, match="is not in the image store"):
        await images.read(uri.format(root=images.root))


@pytest.mark.parametrize("key", ["", "/abs/1.jpg", "../1.jpg", "web/../1.jpg", "web/.hidden", "web//1.jpg", "a b.jpg"])
async def test_a_key_that_could_leave_the_store_is_refused(home: Home, key: str) -> None:
    with pytest.raises(ValueError, match="allowed: segments"):
        await home.images().put(key, a_picture(), {})


@given(facts=st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))))
@settings(max_examples=20, deadline=None)
def test_any_facts_come_back_as_they_were_given(
    facts: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def there_and_back(url: str, options: dict[str, object] | None) -> None:
        await ObjectImages(url, options).put(KEY, a_picture(), facts)
        stored_image = await ObjectImages(url, options).find("web/2026-11-22/spring-hero-001/1.")
        assert stored_image is not None
        assert stored_image.facts == facts

    async def both() -> None:
        await there_and_back(tmp_path_factory.mktemp("images").as_uri(), None)
        async with serving(gcs.Gcs().app) as server:
            await there_and_back("gs://pictures", gcs.options(server))

    asyncio.run(both())


@pytest.fixture
async def cloud() -> AsyncIterator[tuple[gcs.Gcs, ObjectImages]]:
    bucket = gcs.Gcs()
    async with serving(bucket.app) as server:
        yield bucket, ObjectImages("gs://pictures", gcs.options(server))


async def test_a_bucket_holds_content_type_and_facts_as_metadata_of_one_object(
    cloud: tuple[gcs.Gcs, ObjectImages],
) -> None:
    bucket, images = cloud
    await images.put(KEY, a_picture(), {"attempt": "1"})
    [kept] = bucket.objects.values()
    assert kept.headers["content-type"] == "image/jpeg"
    assert kept.headers["x-goog-meta-facts"] == '{"attempt": "1"}'


async def test_a_bucket_that_may_not_be_used_is_reported_with_a_remedy(cloud: tuple[gcs.Gcs, ObjectImages]) -> None:
    bucket, images = cloud
    bucket.forbidden = True
    with pytest.raises(ImagesUnavailable, match="check RENDERLANE_IMAGES"):
        await images.put(KEY, a_picture(), {})
    with pytest.raises(ImagesUnavailable, match="check RENDERLANE_IMAGES"):
        await images.find("web/2026-11-22/spring-hero-001/1.")


async def test_a_folder_that_cannot_be_made_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("in the way")
    with pytest.raises(ImagesUnavailable, match="check RENDERLANE_IMAGES"):
        await ObjectImages(f"file://{tmp_path}/a-file/images").put(KEY, a_picture(), {})


async def test_facts_left_by_a_write_that_died_before_its_image_are_replaced(tmp_path: Path) -> None:
    first = await ObjectImages(tmp_path.as_uri()).put(KEY, a_picture(), {"attempt": "died"})
    (tmp_path / KEY).unlink()
    again = await ObjectImages(tmp_path.as_uri()).put(KEY, a_picture(), {"attempt": "lived"})
    assert (again.uri, again.facts) == (first.uri, {"attempt": "lived"})
    assert await ObjectImages(tmp_path.as_uri()).find("web/2026-11-22/spring-hero-001/1.") == again


@pytest.mark.parametrize("url", ["s3://b", "file://", "file://host/x", "gs://", "/plain/path", "gs://b/x?y", ""])
def test_another_kind_of_place_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        ObjectImages(url)
