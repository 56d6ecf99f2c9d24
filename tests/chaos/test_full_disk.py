"""A disk of the one-machine home that is really full: nothing is lost, nothing bought twice, and it goes on by itself.

Two ways. A small file system of its own (where this account may mount one) is filled to the last byte: the disk says
"no space", and how much is free. A limit on the size of files (RLIMIT_FSIZE, anywhere on Linux) is set on the running
process: every write fails, though the disk says that there is room.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from scripts.bench.chaos import checker
from scripts.bench.chaos.killer import all_announced, read_accounts, tidied
from scripts.bench.harness import rig
from scripts.local.disk_guard import ACTOR
from scripts.local.upstream import Upstream, until
from shared.flows.operations import flags
from shared.ports.messaging import TopicsUnavailable

SIZE_MB = 112
"""More than the 64 MB that a start demands."""
WITHIN = 120.0
AT_ONCE = 6


async def _until(is_so: Callable[[], Awaitable[bool]], what: str, within: float = WITHIN) -> None:
    assert await until(is_so, within, longest=0.1), what


class _Story:
    """A worker under load, and what its caller was told."""

    def __init__(self, home: Path, provider: rig.Process, log: Path) -> None:
        self.provider = provider
        self.environment = {
            "RENDERLANE_HOME": str(home),
            "GEMINI_API_KEY": "AQ.chaos",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
            "RENDERLANE_QUOTA": f"*=concurrency:{AT_ONCE}",
            "RENDERLANE_CAPACITY": "12",
        }
        self.client = Upstream.of(self.environment)
        self.acknowledged: list[str] = []
        self.refused = 0
        self._log = log
        self._numbers = iter(range(10_000))

    async def submit(self, count: int) -> None:
        for _ in range(count):
            name = f"r-{next(self._numbers):04}"
            try:
                await self.client.publish([{"request_id": name, "prompt": f"picture {name}"}])
            except TopicsUnavailable:
                self.refused += 1
            else:
                self.acknowledged.append(name)

    async def works(self) -> None:
        """Some have ended, and calls are under way."""

        async def holds() -> bool:
            ended = sum((await self.client.ended(10_000)).values())
            return ended >= 4 and ended < len(self.acknowledged) - AT_ONCE

        await _until(holds, "the worker renders nothing")

    async def is_refused(self) -> None:
        """Published until the topics take nothing more."""

        async def holds() -> bool:
            await self.submit(1)
            return self.refused > 0

        await _until(holds, "a full disk still takes messages", 30)

    def log(self) -> str:
        return self._log.read_text("utf-8")

    async def check(self) -> None:
        """By the independent reader: all ended well, announced once, and paid once."""
        await self.client.wait_for(len(self.acknowledged), WITHIN)
        await all_announced(self.client)
        left, _ = await tidied(self.provider.url)
        report = checker.check(await read_accounts(self.client, self.acknowledged, self.provider.url, left))
        assert not report.problems
        assert report.by_status == {"succeeded": len(self.acknowledged)}
        assert report.paid_twice <= report.unknown_attempts, "bought twice, and not noticed"
        assert report.paid_twice == 0


@contextmanager
def _story(home: Path, log: Path) -> Iterator[tuple[_Story, subprocess.Popen[str], str]]:
    with rig.simulator(latency="uniform:0.5,1.5") as provider:
        story = _Story(home, provider, log)
        command = [str(Path(sys.executable).parent / "renderlane"), "up", "--port", "0"]
        popen = rig.begin(command, story.environment, errors=log)
        try:
            yield story, popen, rig.ready(popen).url
        finally:
            rig.end(popen)


def _may_mount(place: Path) -> bool:
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "tmpfs", str(place)],
        capture_output=True, check=False,
    )  # fmt: skip
    return mounted.returncode == 0


@contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """Whether there is one: containers may refuse to mount, and the other way proves the rest there."""
    try:
        mounted = os.geteuid() == 0 and _may_mount(place)
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)  # a failed test may have it open


def _fill(ballast: Path) -> None:
    """To the last byte."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


@pytest.mark.slow
async def test_a_disk_that_fills_up_under_load_is_named_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with _small_disk(disk) as mounted:
        if not mounted:
            return  # the limit on files below holds the same promises everywhere; what names the disk has unit tests
        ballast, home = disk / "ballast", disk / "home"
        with _story(home, tmp_path / "log") as (story, _, url):
            await story.client.listen()
            await story.submit(40)
            await story.works()
            _fill(ballast)

            async def paused() -> bool:
                return any(flag.actor == ACTOR for flag in (await flags.read_own(story.client.store)).flags.values())

            await _until(paused, f"no pause by the disk: {story.log()}")
            assert f"bytes free at {home}" in story.log()
            async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
                page = (await http.get(f"{url}/console/")).text
            assert "Paused by disk" in page
            assert str(home) in page
            _fill(ballast)  # the reserve, too
            await story.is_refused()
            ballast.unlink()

            async def goes_on() -> bool:
                return not await paused()

            await _until(goes_on, f"still paused: {story.log()}")
            await story.submit(5)
            await story.check()
        events = (home / "events.jsonl").read_text("utf-8")
        assert '"runbook": "disk-full"' in events or "events were lost" in story.log()
        assert "disk_has_room" in events
        await story.client.close()


@pytest.mark.slow
async def test_a_process_whose_every_write_fails_for_a_while_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    with _story(tmp_path / "home", tmp_path / "log") as (story, popen, url):
        await story.client.listen()
        await story.submit(40)
        await story.works()
        resource.prlimit(popen.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

        refusals: list[str] = []

        async def refuses() -> bool:
            async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
                body = {"request_id": "by-api", "prompt": "a picture"}
                answer = await http.post(f"{url}/v1/requests", json=body)
            assert answer.status_code in (202, 503), answer.text
            refusals.append(answer.text)
            return answer.status_code == 503

        await _until(refuses, "the API takes what cannot be written", 30)
        assert "state.db" in refusals[-1], refusals[-1]

        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            assert (await http.get(f"{url}/v1/requests/{story.acknowledged[0]}")).status_code == 200
        resource.prlimit(popen.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:

            async def takes() -> bool:
                answer = await http.post(f"{url}/v1/requests", json={"request_id": "by-api", "prompt": "a picture"})
                return answer.status_code == 202

            await _until(takes, "the API does not recover", 30)
        story.acknowledged.append("by-api")
        await story.submit(5)
        await story.check()
    await story.client.close()
