"""What the stages of a tick act through."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from shared.core.admission.planning import Planner
from shared.flows.background.ways import Ways
from shared.flows.batch.collect import Collecting
from shared.flows.clock import ServerTime
from shared.flows.collect.net import Net
from shared.flows.pump.breakers import Breakers
from shared.flows.pump.budgets import Budgets
from shared.flows.pump.deadlines import Overdue
from shared.flows.pump.dormant import Dormant
from shared.flows.pump.queue_fronts import QueueFronts
from shared.ports import Ports


class TickPorts(Struct, frozen=True):
    """One per lead. What is remembered here is a cache: losing it costs reads, and changes no decision."""

    ports: Ports
    time: ServerTime
    """The one clock of the lead."""
    fronts: QueueFronts
    planner: Planner
    ways: Ways
    dormant: Dormant
    overdue: Overdue
    budgets: Budgets
    breakers: Breakers
    collecting: Collecting
    net: Net

    @classmethod
    def of(cls, ports: Ports, time: ServerTime) -> Self:
        fronts, planner = QueueFronts(ports), Planner()
        dormant = Dormant(ports, fronts)
        return cls(
            ports=ports,
            time=time,
            fronts=fronts,
            planner=planner,
            ways=Ways(ports),
            dormant=dormant,
            overdue=Overdue(ports, time, fronts, planner),
            budgets=Budgets(ports, dormant),
            breakers=Breakers(ports),
            collecting=Collecting(ports),
            net=Net(ports),
        )
