"""What is known of flags, breakers and closed models where the command is called."""

from __future__ import annotations

from shared import wiring
from shared.config import Settings
from shared.core.catalogue import Catalogue
from shared.flows import known
from shared.flows.known import Known
from shared.ports import Store


async def read(store: Store, settings: Settings, catalogue: Catalogue) -> Known:
    """Needs no running worker. Raises InvalidSetting for a flag provider that cannot be made."""
    gateways = wiring.gateways_in_use(settings, catalogue)
    return await known.read(store, wiring.flag_source(settings, catalogue), catalogue, gateways)
