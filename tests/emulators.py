"""Fixtures `firestore_host` and `pubsub_host`: each emulator starts once per test process, when first asked for.

A conftest imports the fixtures it offers. Tests keep apart by project id: both emulators take any.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest

from scripts.local.emulators import EmulatorMissing, firestore_emulator, pubsub_emulator

_hosts: dict[str, str] = {}


@pytest.fixture(scope="session")
def firestore_host(request: pytest.FixtureRequest) -> str:
    return _host(request.config, "firestore", firestore_emulator)


@pytest.fixture(scope="session")
def pubsub_host(request: pytest.FixtureRequest) -> str:
    return _host(request.config, "pubsub", pubsub_emulator)


def _host(config: pytest.Config, name: str, start: Callable[[], AbstractContextManager[str]]) -> str:
    """Kept in the process, not in the fixture: two conftests that import it must not start two."""
    if name not in _hosts:
        stack = ExitStack()
        try:
            _hosts[name] = stack.enter_context(start())
        except EmulatorMissing as error:
            if os.environ.get("RENDERLANE_TEST_ALL") == "1":
                pytest.fail(str(error))
            pytest.skip(str(error))
        config.add_cleanup(stack.close)
    return _hosts[name]
