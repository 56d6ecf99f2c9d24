"""Google's Firestore and Pub/Sub emulators from the gcloud SDK, for as long as a `with` block lasts.

with firestore_emulator() as host: ...   # "127.0.0.1:41234", to be put into FIRESTORE_EMULATOR_HOST
with pubsub_emulator() as host: ...      # likewise PUBSUB_EMULATOR_HOST
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

START_TIMEOUT = timedelta(minutes=3)
FIRST_ANSWER_TIMEOUT = timedelta(minutes=1)
STOP_TIMEOUT = timedelta(seconds=5)
_COMMON_ROOTS = (
    "/usr/lib/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "~/google-cloud-sdk",
)
FIRESTORE = "platform/cloud-firestore-emulator/cloud_firestore_emulator"
PUBSUB = "platform/pubsub-emulator/bin/cloud-pubsub-emulator"
FIRST_READS = {
    FIRESTORE: "v1/projects/renderlane-first/databases/(default)/documents/first/read",
    PUBSUB: "v1/projects/renderlane-first/topics",
}
"""A first read loads what every read needs: a second on a fast machine, on a slow one the whole time-out of a call."""


class EmulatorMissing(Exception):
    """What is not installed, and how to install it."""


class EmulatorFailed(Exception):
    """An emulator is installed but did not answer; the message ends with its output."""


@contextmanager
def firestore_emulator() -> Iterator[str]:
    with _running("cloud-firestore-emulator", FIRESTORE) as host:
        yield host


@contextmanager
def pubsub_emulator() -> Iterator[str]:
    with _running("pubsub-emulator", PUBSUB) as host:
        yield host


def _find(component: str, program: str) -> Path:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise EmulatorMissing(f"the {component} needs Java: install openjdk-17-jre-headless or newer")
    for root in _sdk_roots():
        if (root / program).is_file():
            return root / program
    raise EmulatorMissing(
        f"the gcloud SDK has no {component}: gcloud components install {component}, "
        f"or apt-get install google-cloud-cli-{component}"
    )


def _sdk_roots() -> Iterator[Path]:
    for root in _COMMON_ROOTS:
        yield Path(root).expanduser()
    gcloud = shutil.which("gcloud")
    if gcloud is not None:  # last: it takes a second to say
        answer = subprocess.run(
            [gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, check=False
        )
        if answer.stdout.strip():
            yield Path(answer.stdout.strip())


@contextmanager
def _running(component: str, program: str) -> Iterator[str]:
    path = _find(component, program)
    host = f"127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory(prefix="renderlane-emulator-") as folder:
        output = Path(folder) / "output"
        process = _start(_command(path, host), output, Path(folder))
        try:
            _wait_until_it_answers(component, f"http://{host}/{FIRST_READS[program]}", process, output)
            yield host
        finally:
            _stop(process)


def _command(path: Path, host: str) -> list[str]:
    address, _, port = host.rpartition(":")
    start = ["start"] if path.name == "cloud_firestore_emulator" else []
    return [str(path), *start, f"--host={address}", f"--port={port}"]


_GUARDED = '("$@"; kill -TERM 0) & cat >/dev/null; kill -TERM 0'
"""The emulator, and a reader of our pipe: whichever way this process ends, the pipe closes and the group with it."""


def _start(command: Sequence[str], output: Path, folder: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as sink:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, "emulator", *command],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,  # the shells and their Java are one group, ended together
        )


def _wait_until_it_answers(component: str, url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT.total_seconds()
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > give_up_at:
            tail = output.read_text(errors="replace")[-2000:]
            raise EmulatorFailed(f"the {component} did not answer {url}:\n{tail}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    """Both emulators answer plain HTTP on their gRPC port."""
    try:
        with urllib.request.urlopen(url, timeout=FIRST_ANSWER_TIMEOUT.total_seconds()):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    for end, patience in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, STOP_TIMEOUT)):
        try:
            os.killpg(process.pid, end)
        except ProcessLookupError:
            break
        try:
            process.wait(patience.total_seconds())
        except subprocess.TimeoutExpired:
            continue
        if not _group_lives(process.pid):
            break
    process.wait()


def _group_lives(group: int) -> bool:
    """The shells may end before their Java does."""
    give_up_at = time.monotonic() + STOP_TIMEOUT.total_seconds()
    while time.monotonic() < give_up_at:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
