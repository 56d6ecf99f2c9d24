"""The image's software bill of materials: CycloneDX, from the bundle's locked requirements with their hashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
from msgspec import Struct

from scripts.deployment import contents
from scripts.deployment.place import ROOT

PATH = Path("build/sbom.cdx.json")


class Sbom(Struct, frozen=True):
    path: Path
    components: int


def make(path: Path, root: Path = ROOT) -> Sbom:
    """The same bytes from the same lock. Raises CalledProcessError with what the tool said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = (
        sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON", "--sv", "1.5",
        "--pyproject", str(root / "pyproject.toml"), "-o", str(path), "-",
    )  # fmt: skip
    # Hashes of the lock stand on lines of their own, which the tool reads as pip does.
    subprocess.run(command, input=contents.requirements(root), text=True, capture_output=True, check=True)
    return Sbom(path, len(json.loads(path.read_text("utf-8"))["components"]))


@click.command(help="Write the bill of materials of the image.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / PATH, help="The JSON file.")
def main(out: Path) -> None:
    made = make(out)
    click.echo(f"{made.path}: {made.components} components")


if __name__ == "__main__":
    main(prog_name="./scripts/sbom")
