"""What is known about flags, breakers and closed models where the command is called."""

from __future__ import annotations

from shared import wiring
from shared.config import Settings
from shared.core.catalogue.catalogue import Catalogue
from shared.flows.operations import routing_snapshot
from shared.flows.operations.routing_snapshot import RoutingSnapshot
from shared.ports.store import Store


async def read(store: Store, settings: Settings, catalogue: Catalogue) -> RoutingSnapshot:
    """Needs no running worker. Raises InvalidSetting for a flag provider that cannot be made."""
    gateways = wiring.gateways_in_use(settings, catalogue)
    source = wiring.flag_source(settings, catalogue)
    return await routing_snapshot.read(store, source, catalogue, gateways, wiring.vertex_use(settings))
