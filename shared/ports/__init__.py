"""What the flows need from the world, in our words. Each port has at least two adapters and one contract suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct, field

from shared.core.accounting.account_cap import Account
from shared.core.provider.kept_image import KeepRules
from shared.core.values.lanes import BATCH, VERTEX
from shared.core.values.release import Release

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.accounting.budget import Budget
    from shared.core.catalogue.catalogue import Catalogue
    from shared.core.limits.quota import Quota
    from shared.core.routing.background_proof import Setting
    from shared.core.routing.vertex import VertexUse
    from shared.ports.clock import Clock
    from shared.ports.flags import FlagSource
    from shared.ports.images import Formats, Images, References, Room, Spool
    from shared.ports.lanes import Batches, Interactions, Lane
    from shared.ports.messaging import Topics
    from shared.ports.quota import LiveQuotaSource
    from shared.ports.signatures import Signatures
    from shared.ports.store import Store
    from shared.ports.telemetry import Signals
    from shared.ports.webhooks import Webhooks


class Leaving(Struct, eq=False):
    """Whether this process was told to end: it begins no call that it could not finish."""

    begun: bool = False


def _no_signatures() -> Signatures:
    from shared.ports.signatures import NoSignatures

    return NoSignatures()


class Ports(Struct, frozen=True, eq=False):
    """Everything a flow may touch, built once per process by `shared.wiring`."""

    store: Store
    topics: Topics
    images: Images
    spool: Spool
    references: References
    formats: Formats
    """For an image that the provider does not send in the requested format."""
    lanes: Mapping[str, Lane]
    """By lane name: those that answer at once."""
    interactions: Interactions
    """Background calls of Google's lanes."""
    batches: Batches
    webhooks: Webhooks
    live_quota: LiveQuotaSource
    flag_source: FlagSource
    signals: Signals
    clock: Clock
    chance: Callable[[], float]
    """Uniform in [0, 1)."""
    fresh: Callable[[int], str]
    """This many random hexadecimal digits."""
    catalogue: Catalogue
    quota: Quota
    capacity: int
    """Attempts that the whole fleet can carry at once."""
    boot: str
    """The name of this process; never reused by another."""
    project: str
    key_kind: str
    room: Room
    release: Release = Release()
    probe_every: timedelta = timedelta(0)
    """Between two requests of the prober; zero = none."""
    keep_rules: KeepRules = KeepRules()
    """For a paid image that cannot be stored."""
    signatures: Signatures = field(default_factory=_no_signatures)
    """Of the provider's webhooks."""
    background: Setting = "off"
    """Which calls run in the background."""
    has_webhooks: bool = False
    """Webhooks say when an interaction has ended; without them it is looked at more often."""
    webhooks_name_attempts: bool = False
    """They return which attempt each is about, so that one whose id was lost with its worker is found."""
    interactive_per_minute: int | None = None
    """That one tenant may have accepted per minute; None = no bound."""
    default_budget: Budget | None = None
    """For every tenant without a budget of its own."""
    gateways: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By model id, the names of the gateways in use that could serve it, in the catalogue's order."""
    vertex: VertexUse = "fallback"
    """Which requests the Vertex lane takes, if `lanes` has it."""
    account: Account = Account()
    """The billing account of the Gemini API, as far as it is configured."""
    vertex_project: str = ""
    """The project that the Vertex lane's calls are billed to."""
    reported: dict[str, float] = field(default_factory=dict)
    """When, by the monotonic clock, this process last reported a document that it had to skip; by path."""
    leaving: Leaving = field(default_factory=Leaving)

    @property
    def gateways_in_use(self) -> frozenset[str]:
        return frozenset(name for names in self.gateways.values() for name in names)

    @property
    def vertex_in_use(self) -> VertexUse | None:
        """None if there is no Vertex lane."""
        return self.vertex if VERTEX in self.lanes else None

    @property
    def open_lanes(self) -> tuple[str, ...]:
        """The names of all lanes that a route may take."""
        return tuple(self.lanes) if self.vertex == "only" else (*self.lanes, BATCH)
