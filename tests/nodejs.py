"""Node.js for tests: skipped where it is missing, its packages installed once from the lock file, without scripts."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WANTED = ROOT / "tests/node"
FILES = ("package.json", "package-lock.json", ".npmrc")
LEAST_MAJOR = 20


def node() -> str:
    """The program; skips the test without Node.js of a supported version."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < LEAST_MAJOR:
        pytest.skip(f"Node.js {version.strip()} is older than {LEAST_MAJOR}")
    return program


def npm() -> str:
    program = shutil.which("npm")
    if program is None:
        pytest.skip("npm is not installed")
    return program


def packages() -> Path:
    """A folder below build/ with `node_modules` as tests/node/package-lock.json has it."""
    node()
    program = npm()
    digest = hashlib.sha256(b"".join((WANTED / name).read_bytes() for name in FILES)).hexdigest()[:12]
    folder = ROOT / "build" / f"node-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            for name in FILES:
                shutil.copy(WANTED / name, folder / name)
            command = [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if ended.returncode:
                pytest.skip(f"npm could not install the packages of tests/node: {ended.stderr[-300:]}")
            (folder / "complete").touch()
    return folder
