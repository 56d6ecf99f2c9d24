"""Makes build/bundle.zip: what runs in the cloud and nothing else, the same bytes from the same source.

It is what the image is built from (Dockerfile), and what a source deploy of a Cloud Function takes. Both compile it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import click
from msgspec import Struct

from scripts.deployment import contents

ROOT = Path(__file__).parents[2]
BEGINNING = (1980, 1, 1, 0, 0, 0)
FLOWS = {
    "intake": "shared.flows.intake.intake",
    "pump": "shared.flows.pump.loop",
    "render": "shared.flows.render.render",
    "collect": "shared.flows.collect.collect",
    "watch": "shared.flows.upkeep.watch",
    "bury": "shared.flows.upkeep.dead_letters",
    "deliver": "shared.flows.webhooks.deliver",
}
"""By function, the flow that it runs."""
MAIN = '''"""The functions, where the platform looks for them.

What this one needs is imported at once, with the garbage collector at rest: imports leave nothing behind.
"""

import gc

gc.disable()

import importlib
import os

import shared.adapters.google_cloud.firestore_store
import shared.adapters.google_cloud.pubsub_topics
from functions.main import {names}

__all__ = [{quoted}]
flow = {flows}.get(os.environ.get("FUNCTION_TARGET", ""))
if flow:
    importlib.import_module(flow)
gc.freeze()
gc.enable()
'''


class Bundle(Struct, frozen=True):
    path: Path
    digest: str
    """SHA-256 of the zip file."""
    files: int
    bytes: int
    unpacked_bytes: int
    targets: tuple[str, ...]


def make(path: Path, root: Path = ROOT) -> Bundle:
    """Raises OSError, and ValueError where lock and project do not agree."""
    targets = contents.targets(root)
    files = {str(file): (root / file).read_bytes() for file in contents.modules(root).values()}
    files |= {name: (root / name).read_bytes() for name in contents.data(root)}
    names, quoted = ", ".join(sorted(targets)), ", ".join(f'"{name}"' for name in sorted(targets))
    files["main.py"] = MAIN.format(names=names, quoted=quoted, flows=FLOWS).encode()
    files["requirements.txt"] = contents.requirements(root).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    _zip(path, files)
    data = path.read_bytes()
    unpacked = sum(map(len, files.values()))
    return Bundle(path, hashlib.sha256(data).hexdigest(), len(files), len(data), unpacked, tuple(sorted(targets)))


def _zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, BEGINNING)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


@click.command(help="Make the bundle that the functions run from.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "build/bundle.zip", help="The zip file.")
@click.option("--json", "as_json", is_flag=True, help="One object instead of lines.")
def main(out: Path, as_json: bool) -> None:
    made = make(out)
    if as_json:
        shown = {"path": str(made.path), "sha256": made.digest, "files": made.files, "bytes": made.bytes,
                 "unpacked_bytes": made.unpacked_bytes, "targets": made.targets}  # fmt: skip
        click.echo(json.dumps(shown))
        return
    click.echo(f"bundle   {made.path}: {made.bytes:,} bytes, {made.files} files of {made.unpacked_bytes:,} bytes")
    click.echo(f"sha-256  {made.digest}")
    click.echo(f"targets  {', '.join(made.targets)}")
    click.echo("cold start of each function: ./scripts/bench/run coldstart")


if __name__ == "__main__":
    main()
