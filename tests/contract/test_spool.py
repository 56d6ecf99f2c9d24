"""What every spool promises: a kept image outlives its process, and comes back whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.adapters.object_storage.disk_spool import DiskSpool
from shared.adapters.object_storage.object_spool import ObjectSpool
from shared.core.provider.call import Picture
from shared.ports.images import ImagesUnavailable, Spool
from tests.fakes.google_cloud import gcs
from tests.fakes.loopback import serving

KEY = "web/2026-11-22/spring-hero-001/1.jpg"
PICTURE = Picture(b"\xff\xd8\xff one\n two", "image/jpeg", 1024, 768)
FACTS = {"model": "gemini-3-pro-image", "usage_image_out": "1120", "empty": "", "words": "größer"}


@pytest.fixture(params=["disk", "bucket"])
async def spools(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Spool]]:
    """Makes the same spool again, as another process would."""
    if request.param == "disk":
        made: list[Spool] = []

        def on_disk() -> Spool:
            made.append(DiskSpool(tmp_path / "not yet" / "spool"))
            return made[-1]

        yield on_disk
        for spool in made:
            spool.close()
        return
    async with serving(gcs.Gcs().app) as server:
        yield lambda: ObjectSpool("gs://pictures/kept", gcs.options(server))


async def test_a_kept_image_is_found_by_the_key_of_its_attempt(spools: Callable[[], Spool]) -> None:
    kept = await spools().keep(KEY, PICTURE, FACTS)
    assert (kept.key, kept.facts) == (KEY, FACTS)
    again = await spools().find("web/2026-11-22/spring-hero-001/1.")
    assert again == kept
    assert await spools().read(kept) == PICTURE


async def test_only_its_own_attempt_finds_it(spools: Callable[[], Spool]) -> None:
    await spools().keep(KEY, PICTURE, FACTS)
    for other in (
        "web/2026-11-22/spring-hero-001/11.",
        "web/2026-11-22/spring-hero-00/1.",
        "web/2026-11-22/"[:-1] + ".",
    ):
        assert await spools().find(other) is None


async def test_the_same_image_may_be_kept_twice(spools: Callable[[], Spool]) -> None:
    assert await spools().keep(KEY, PICTURE, FACTS) == await spools().keep(KEY, PICTURE, FACTS)


async def test_what_is_dropped_is_gone_and_may_be_dropped_again(spools: Callable[[], Spool]) -> None:
    kept = await spools().keep(KEY, PICTURE, FACTS)
    await spools().drop(kept)
    await spools().drop(kept)
    assert await spools().find(KEY) is None
    with pytest.raises(ImagesUnavailable):
        await spools().read(kept)


async def test_a_torn_file_is_no_image(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path)
    kept = await spool.keep(KEY, PICTURE, FACTS)
    (path,) = tmp_path.iterdir()
    assert kept.place == path.as_uri()
    whole = path.read_bytes()
    for size in (0, 1, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert await spool.find(KEY) is None
        with pytest.raises(ImagesUnavailable):
            await spool.read(kept)
    spool.close()


async def test_a_disk_that_takes_nothing_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = DiskSpool(tmp_path / "spool")
    with pytest.raises(ImagesUnavailable, match="check free space and access"):
        await spool.keep(KEY, PICTURE, FACTS)
    spool.close()


async def test_a_bucket_that_is_away_says_so() -> None:
    async with serving(gcs.Gcs(forbidden=True).app) as server:
        with pytest.raises(ImagesUnavailable, match="check RENDERLANE_SPOOL"):
            await ObjectSpool("gs://pictures/kept", gcs.options(server)).keep(KEY, PICTURE, FACTS)


@pytest.mark.parametrize("url", ["s3://x", "gs://", "gs://b?x", "http://x"])
def test_another_place_than_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="gs://BUCKET"):
        ObjectSpool(url)


WITHOUT_DESCRIPTORS = """
import asyncio, os, resource, sys
from pathlib import Path
from shared.adapters.object_storage.disk_spool import DiskSpool
from shared.core.provider.call import Picture

async def story():
    await asyncio.to_thread(int)  # its threads need no descriptor, its loop has them already
    spool = DiskSpool(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for number in (1, 2, 3):
        kept = await spool.keep(f"t/{number}.jpg", Picture(b"bytes", "image/jpeg", 1, 1), {"model": "m"})
        assert (await spool.read(kept)).data == b"bytes"
    print(len(taken) > 10)

asyncio.run(story())
"""


def test_images_are_kept_when_the_process_has_no_file_descriptor_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_DESCRIPTORS, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (0, "True"), ended.stderr
    assert len(list(tmp_path.iterdir())) == 3
