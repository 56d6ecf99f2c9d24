"""The settings that the running worker enforces, in place of this shell's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from shared import wiring
from shared.config import Settings
from shared.core.catalogue.catalogue import Catalogue
from shared.core.limits.enforced import Enforced, enforced
from shared.core.values.documents import Document
from shared.flows.pump_status import PUMP

if TYPE_CHECKING:
    from shared.ports.store import Store


async def read(store: Store, settings: Settings, models: Catalogue) -> Enforced:
    """As the worker wrote them; this shell's, if no worker of this release has run. Says on standard error if
    RENDERLANE_QUOTA is set here and differs. Raises InvalidSetting for a wrong value here."""
    own = Enforced(wiring.quota(settings, models).by_model, settings.capacity)
    pump = await store.get(PUMP)
    running = enforced(pump.data) if isinstance(pump, Document) else None
    if running is None:
        return own
    if os.environ.get("RENDERLANE_QUOTA", "").strip() and not _agree(own, running):
        click.echo("note: RENDERLANE_QUOTA of this shell is ignored: the worker enforces other limits", err=True)
    return running


def _agree(own: Enforced, running: Enforced) -> bool:
    """The worker's also holds limits of gateways, which come from the catalogue."""
    return all(running.quota.get(model) == limits for model, limits in own.quota.items())
