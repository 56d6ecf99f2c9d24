"""The image beside a source deploy of the same bundle: size, and time from exec to the first answer, in turn.

The image's steps are performed by hand (scripts/deployment/image_by_hand.py): what it adds to its base image is
measured, not the base. A source deploy is compiled as Google's buildpack does it (`compileall -f`), whose exporter
then sets every time to 1980: its byte code is stale, and each start compiles again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from scripts.bench.coldstart import server
from scripts.bench.harness import rig
from scripts.deployment import image_by_hand
from scripts.deployment.image_by_hand import ByHand

FUNCTIONS = ("intake", "pump", "render")
EXPORTED_AT = 315532801
"""1980-01-01 00:00:01: https://buildpacks.io/docs/for-app-developers/concepts/reproducibility/"""


def source_deploy(image: ByHand, folder: Path) -> Path:
    """The bundle as a source deploy runs it."""
    with zipfile.ZipFile(image.bundle.path) as archive:
        archive.extractall(folder)
    python = image.root / "venv/bin/python"
    subprocess.run([str(python), "-m", "compileall", "-f", "-q", "."], cwd=folder, check=True)
    for path in folder.rglob("*"):
        os.utime(path, (EXPORTED_AT, EXPORTED_AT))
    return folder


def start(image: ByHand, folder: Path, function: str, more: Mapping[str, str] | None = None) -> float:
    """Milliseconds from exec to the first answer of a server that runs as the image's user."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = server.environment(has_key=function == "render") | image.environment | {"FUNCTION_TARGET": function}
    program = str(image.root / "venv/bin" / image.entry[0])
    began = time.monotonic()
    user = image.user if os.getuid() == 0 else None
    process = subprocess.Popen(
        [program, *image.entry[1:], "--port", str(port), "--host", "127.0.0.1"],
        cwd=folder,
        env=environment | dict(more or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    try:
        server.answered(f"http://127.0.0.1:{port}", function)
        return 1000 * (time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(timeout=30)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    root = Path(tempfile.mkdtemp(prefix="renderlane-image-"))
    root.chmod(0o755)
    try:
        image = image_by_hand.build(root)
        source = source_deploy(image, root / "source")
        sizes = {place: image.bytes_of(place) for place in image_by_hand.PLACES}
        took: dict[tuple[str, str], list[float]] = {}
        for number in range(chosen.rounds + 1):
            for function in FUNCTIONS:
                for name, folder in (("image", image.app), ("source deploy", source)):
                    seconds = start(image, folder, function)
                    if number:  # the first round only warms the disk
                        took.setdefault((function, name), []).append(seconds)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    rows = [
        [function, *(f"{statistics.median(took[function, name]):,.0f}" for name in ("image", "source deploy"))]
        for function in FUNCTIONS
    ]
    print(f"image: {sizes['/venv'] / 1e6:.1f} MB of requirements and {sizes['/app'] / 1e6:.1f} MB of code on its base;")
    print(f"bundle: {image.bundle.bytes / 1e6:.2f} MB zipped, {image.bundle.unpacked_bytes / 1e6:.1f} MB unpacked")
    title = f"exec to first answer, ms, median of {chosen.rounds}, as user {image.user}"
    rig.print_table(title, ["function", "image", "source deploy"], rows)
    report = {f"{function}, {name}": values for (function, name), values in took.items()}
    rig.write_json(chosen.json, {"bytes": sizes, "bundle_bytes": image.bundle.bytes, "took_ms": report})
    return 0


if __name__ == "__main__":
    sys.exit(main())
