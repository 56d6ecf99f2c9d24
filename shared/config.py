"""The environment, read once: every variable with its meaning, its default and what a wrong value is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from msgspec import Struct, field

from shared.core.limits.quota import InvalidQuota, Quota
from shared.core.messages.render_request import ID_WORDS, named_tenant
from shared.core.observability.otel_values import wrong_value
from shared.core.routing.background_proof import Setting
from shared.core.routing.vertex import VERTEX_USES, VertexUse
from shared.core.validation.addresses import without_secrets
from shared.core.validation.numbers import whole_number
from shared.core.values.money import micros_from_usd
from shared.core.values.release import Release

API_AUDIENCE, API_CALLERS = "RENDERLANE_API_AUDIENCE", "RENDERLANE_API_CALLERS"
INTERACTIVE = "RENDERLANE_INTERACTIVE_PER_MINUTE"
API_ORIGINS = "RENDERLANE_API_ORIGINS"
GATEWAY_KEY = "RENDERLANE_GATEWAY_KEY_"
GATEWAYS = "RENDERLANE_GATEWAYS"
"""Before a gateway's name in capitals, with `_` for `-`."""
WEBHOOK_URL_ALLOWED = "an https:// address without credentials; http:// for this machine only"
EMULATORS = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")


class InvalidSetting(Exception):
    """An environment variable has a value that cannot be used; names it, what was found and what is allowed. Of an
    address it shows neither user nor query.
    """

    def __init__(self, text: str) -> None:
        super().__init__(without_secrets(text))


class SqliteSettings(Struct, frozen=True):
    path: Path


class FirestoreSettings(Struct, frozen=True):
    project: str
    database: str


class LocalTopicsSettings(Struct, frozen=True):
    pass


class PubsubSettings(Struct, frozen=True):
    project: str


class LiveQuotaOff(Struct, frozen=True):
    """Limits come from RENDERLANE_QUOTA and from what rejections name."""

    by: Literal["default", "setting"]


class LiveQuotaOn(Struct, frozen=True):
    reads: Literal["limits", "limits and usage"]
    server: str | None
    """`http://HOST:PORT` of another server that speaks Cloud Quotas and Monitoring; None = Google's."""


class Vertex(Struct, frozen=True):
    """The Vertex lane."""

    project: str
    location: str
    use: VertexUse
    base_url: str | None
    """None = Google's own, by the location."""


Exported: TypeAlias = Literal["traces", "metrics"]


class Settings(Struct, frozen=True):
    home: Path
    """Folder of the one-machine home."""
    project: str
    store: SqliteSettings | FirestoreSettings
    topics: LocalTopicsSettings | PubsubSettings
    images: str
    """`file:///path` or `gs://BUCKET[/PREFIX]`."""
    spool: str
    """Where paid images are kept that cannot be stored; as `images`."""
    keep_paid: timedelta
    """For how long such an image is tried to be stored."""
    references: tuple[str, ...]
    """Allowed URI prefixes beside the image store itself."""
    catalogue: Path | None
    """None = the catalogue of the bundle."""
    quota: Quota
    live_quota: LiveQuotaOff | LiveQuotaOn
    flag_provider: str | None
    """`module:attribute` of an OpenFeature provider, whose flags are read beside our own."""
    capacity: int
    api_key: str | None
    base_url: str | None
    vertex: Vertex | None = None
    """None = there is no Vertex lane."""
    tier: str | None = None
    """Of the billing account; None = nobody has said."""
    monthly_cap_micros: int | None = None
    """Of the billing account, where it is not that of its tier."""
    gateway_keys: Mapping[str, str] = field(default_factory=dict)
    """By what stands behind RENDERLANE_GATEWAY_KEY_ in lower case, `-` as `_`."""
    gateways: tuple[str, ...] = ()
    """In use beside those that have a key here, in the same form: the worker that renders has theirs."""
    exports: frozenset[Exported] = frozenset()
    """What goes out by OTLP."""
    sampler: str | None = None
    """Named by OTEL_TRACES_SAMPLER; None = every trace is kept."""
    default_budget_micros: int | None = None
    """Per day, of every tenant without a budget of its own; None = no limit."""
    confirmed_live: bool = False
    """`renderlane up` may start with a real key without asking."""
    interactive_per_minute: int | None = None
    """Interactive requests of one tenant that are accepted in a minute; None = no bound."""
    api_audience: str | None = None
    """Of the identity tokens that the API accepts; None = the API serves this machine only."""
    api_callers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The tenants of each account that may call the API, by e-mail address; `*` is every tenant."""
    api_origins: tuple[str, ...] = ()
    """Of web pages that may call the API from a browser; none = no page may."""
    console_audience: str | None = None
    """Of Identity-Aware Proxy in front of the console; None = the console serves this machine only."""
    release: Release = Release()
    probe_every: timedelta = timedelta(0)
    """Between two requests of the prober; zero = none."""
    deliveries: int = 40
    """That a pull worker takes at once."""
    background: Setting = "auto"
    webhook_url: str | None = None
    """The public address of the function `arrive`; None = interactions are polled only."""
    webhook_secret: str | None = None
    """Of the static webhook that is registered with the provider; dynamic ones need none."""
    webhook_audiences: tuple[str, ...] = ()
    """Of tokens that sign webhooks; none = the webhook's own address. `*` = any."""
    webhook_issuers: tuple[str, ...] = ()
    """Of tokens that sign webhooks; none = the provider's own address. `*` = any."""

    def __repr__(self) -> str:
        """Without keys."""
        return f"Settings({self.home}, {self.project})"

    @property
    def traces(self) -> Path:
        """The file of the one-machine home's spans."""
        return self.home / "traces.jsonl"

    @property
    def one_machine(self) -> bool:
        """Both store and topics are in the SQLite file."""
        return isinstance(self.store, SqliteSettings) and isinstance(self.topics, LocalTopicsSettings)

    @property
    def calls_google(self) -> bool:
        """A provider is named, by a key, by an address or by the Vertex lane alone; else the simulator answers."""
        return self.api_key is not None or self.base_url is not None or self.only_vertex

    @property
    def pays(self) -> bool:
        """Calls may be billed: a key is set, or credentials are used for real."""
        return self.api_key is not None or self._calls_real_vertex

    @property
    def is_live(self) -> bool:
        """Calls that may be billed leave this machine: they do not go to a stand-in at an http:// address."""
        with_key = self.api_key is not None and not (self.base_url or "").startswith("http://")
        return with_key or self._calls_real_vertex

    @property
    def _calls_real_vertex(self) -> bool:
        """With credentials, and not at a stand-in."""
        real = self.vertex is not None and not (self.vertex.base_url or "").startswith("http://")
        return real and self.calls_google

    @property
    def only_vertex(self) -> bool:
        return self.vertex is not None and self.vertex.use == "only"

    @classmethod
    def read(cls, environment: Mapping[str, str], here: Path) -> Settings:
        """Raises InvalidSetting. `here` is the current folder."""
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        for name in EMULATORS:
            emulator_host(name, given.get(name, ""))
        home = here / _expanded(given.get("RENDERLANE_HOME", ".renderlane"), given)
        store = _store(given.get("RENDERLANE_STORE", f"sqlite:///{home / 'state.db'}"), here)
        topics = _topics(given.get("RENDERLANE_TOPICS", "local"))
        if isinstance(topics, LocalTopicsSettings) and not isinstance(store, SqliteSettings):
            raise _wrong(
                "RENDERLANE_TOPICS",
                given.get("RENDERLANE_TOPICS", "local (the default)"),
                "pubsub://PROJECT where RENDERLANE_STORE is firestore://…: local topics live in the SQLite file",
            )
        project = _project(given, store, topics)
        on_one_machine = isinstance(store, SqliteSettings)
        references = given.get("RENDERLANE_REFERENCES", f"{here.as_uri()}/" if on_one_machine else "")
        images = _images(given.get("RENDERLANE_IMAGES", (home / "images").absolute().as_uri()))
        return cls(
            home=home,
            project=project,
            store=store,
            topics=topics,
            images=images,
            spool=_spool(given.get("RENDERLANE_SPOOL"), home, images, on_one_machine=on_one_machine),
            keep_paid=_hours("RENDERLANE_KEEP_PAID_HOURS", given.get("RENDERLANE_KEEP_PAID_HOURS", "24")),
            references=_references(references),
            catalogue=_catalogue(given.get("RENDERLANE_CATALOGUE"), here),
            quota=_quota(given.get("RENDERLANE_QUOTA", "")),
            live_quota=_live_quota(given, store, project),
            flag_provider=_provider(given.get("RENDERLANE_FLAG_PROVIDER")),
            capacity=_whole("RENDERLANE_CAPACITY", given.get("RENDERLANE_CAPACITY", "200")),
            api_key=given.get("GEMINI_API_KEY"),
            base_url=_base_url(given.get("GOOGLE_GEMINI_BASE_URL")),
            vertex=_vertex(given),
            tier=given.get("RENDERLANE_TIER"),
            monthly_cap_micros=_cap(given.get("RENDERLANE_MONTHLY_CAP")),
            gateway_keys={
                _as_in_keys(name.removeprefix(GATEWAY_KEY)): key
                for name, key in given.items()
                if name.startswith(GATEWAY_KEY)
            },
            gateways=tuple(_as_in_keys(word) for word in given.get(GATEWAYS, "").split(",") if word.strip()),
            exports=frozenset(item for item in get_args(Exported) if _is_exported(item, given)),
            sampler=given.get("OTEL_TRACES_SAMPLER"),
            default_budget_micros=_dollars("RENDERLANE_DEFAULT_BUDGET", given.get("RENDERLANE_DEFAULT_BUDGET")),
            confirmed_live=_confirmed(given.get("RENDERLANE_CONFIRM", "")),
            interactive_per_minute=_whole(INTERACTIVE, given[INTERACTIVE]) if INTERACTIVE in given else None,
            api_audience=_api_audience(given),
            api_callers=_callers(given.get(API_CALLERS, "{}")),
            api_origins=_api_origins(given),
            console_audience=_audience(given.get("RENDERLANE_CONSOLE_AUDIENCE")),
            probe_every=_minutes("RENDERLANE_PROBE_MINUTES", given.get("RENDERLANE_PROBE_MINUTES", "0")),
            deliveries=_whole("RENDERLANE_DELIVERIES", given.get("RENDERLANE_DELIVERIES", "40")),
            release=Release(_build(given.get("RENDERLANE_RELEASE", "")), given.get("K_REVISION", "")),
            background=_background(given.get("RENDERLANE_BACKGROUND", "auto")),
            webhook_url=_webhook_url(given.get("RENDERLANE_WEBHOOK_URL")),
            webhook_secret=_webhook_secret(given.get("RENDERLANE_WEBHOOK_SECRET")),
            webhook_audiences=_names(given.get("RENDERLANE_WEBHOOK_AUDIENCE", "")),
            webhook_issuers=_names(given.get("RENDERLANE_WEBHOOK_ISSUER", "")),
        )


def _expanded(text: str, given: Mapping[str, str]) -> str:
    """With `~` as the account's own folder: a shell expands it, systemd and .env files do not."""
    if text != "~" and not text.startswith("~/"):
        return text
    if "HOME" not in given:
        raise _wrong("RENDERLANE_HOME", text, "a path without ~ where HOME is not set")
    return f"{given['HOME']}{text[1:]}"


def _as_in_keys(name: str) -> str:
    """A gateway's name as the names of variables allow it."""
    return name.strip().lower().replace("-", "_")


def _store(text: str, here: Path) -> SqliteSettings | FirestoreSettings:
    allowed = "sqlite:///path or firestore://PROJECT[/DATABASE]"
    if text.startswith("sqlite:///") and text != "sqlite:///":
        return SqliteSettings(here / text.removeprefix("sqlite://").replace("//", "/", 1))
    if text.startswith("firestore://"):
        project, _, database = text.removeprefix("firestore://").partition("/")
        if project and "/" not in database:
            return FirestoreSettings(project, database or "(default)")
    raise _wrong("RENDERLANE_STORE", text, allowed)


def _topics(text: str) -> LocalTopicsSettings | PubsubSettings:
    if text == "local":
        return LocalTopicsSettings()
    project = text.removeprefix("pubsub://")
    if text.startswith("pubsub://") and project and "/" not in project:
        return PubsubSettings(project)
    raise _wrong("RENDERLANE_TOPICS", text, "local or pubsub://PROJECT")


def _project(given: Mapping[str, str], store: object, topics: object) -> str:
    named = next(
        (place.project for place in (store, topics) if isinstance(place, (FirestoreSettings, PubsubSettings))), "local"
    )
    project = given.get("GOOGLE_CLOUD_PROJECT", named)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.:_-]{0,62}", project, re.IGNORECASE):
        raise _wrong("GOOGLE_CLOUD_PROJECT", project, "a project id: letters, digits and hyphens")
    return project


def _spool(text: str | None, home: Path, images: str, *, on_one_machine: bool) -> str:
    """On one machine a folder of the home; elsewhere, where none is named, a folder beside the images."""
    if text is None:
        on_disk = on_one_machine or images.startswith("file:")
        return (home / "spool").absolute().as_uri() if on_disk else f"{images}/kept"
    return _images(text, "RENDERLANE_SPOOL")


def _images(text: str, name: str = "RENDERLANE_IMAGES") -> str:
    parts = urlsplit(text)
    good = (parts.scheme == "file" and not parts.netloc and parts.path not in ("", "/")) or (
        parts.scheme == "gs" and parts.netloc
    )
    if not good:
        raise _wrong(name, text, "file:///path or gs://BUCKET[/PREFIX]")
    return text.rstrip("/")


def _references(text: str) -> tuple[str, ...]:
    prefixes = tuple(name.strip() for name in text.split(",") if name.strip())
    for prefix in prefixes:
        parts = urlsplit(prefix)
        place = parts.path if parts.scheme == "file" else parts.netloc
        if parts.scheme not in ("file", "gs", "https") or not place:
            raise _wrong(
                "RENDERLANE_REFERENCES", prefix, "URI prefixes with file://, gs:// or https://, separated by commas"
            )
    return prefixes


def _catalogue(text: str | None, here: Path) -> Path | None:
    if text is None:
        return None
    path = here / text
    if not path.is_file():
        raise _wrong("RENDERLANE_CATALOGUE", text, "the path of a readable TOML file")
    return path


def _quota(text: str) -> Quota:
    try:
        return Quota.parse(text)
    except InvalidQuota as error:
        raise InvalidSetting(f"RENDERLANE_QUOTA: {error}") from error


def _live_quota(given: Mapping[str, str], store: object, project: str) -> LiveQuotaOff | LiveQuotaOn:
    name, allowed = (
        "RENDERLANE_LIVE_QUOTA",
        "off, limits or limits,usage; the latter two may end with @http://HOST:PORT",
    )
    text = given.get(name)
    if text is None:
        in_the_cloud = isinstance(store, FirestoreSettings) and "FIRESTORE_EMULATOR_HOST" not in given
        return LiveQuotaOn("limits", server=None) if in_the_cloud else LiveQuotaOff("default")
    what, at, server = text.partition("@")
    words = tuple(word.strip() for word in what.split(","))
    if words == ("off",) and not at:
        return LiveQuotaOff("setting")
    if words not in (("limits",), ("limits", "usage")) or (at and not _is_server(server)):
        raise _wrong(name, text, allowed)
    if not server and project == "local":
        raise _wrong(
            name, text, f"{what} with GOOGLE_CLOUD_PROJECT, whose quota is read, or @http://HOST:PORT at its end"
        )
    return LiveQuotaOn("limits" if len(words) == 1 else "limits and usage", server.rstrip("/") or None)


def emulator_host(name: str, text: str) -> str | None:
    """HOST:PORT of an emulator, also from an http:// address; None where nothing is named. Raises InvalidSetting."""
    host = text.strip().removeprefix("http://").rstrip("/")
    if not host:
        return None
    match = re.fullmatch(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", host)
    if match is None or not 1 <= int(match[1]) <= 65_535:
        raise _wrong(name, text, "HOST:PORT, e.g. 127.0.0.1:8085; leave it unset for Google's own")
    return host


def _is_server(text: str) -> bool:
    """Plain HTTP without credentials: a stand-in on this machine or beside it."""
    match = re.fullmatch(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})/?", text)
    return match is not None and 1 <= int(match[1]) <= 65_535


def _provider(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", text):
        raise _wrong("RENDERLANE_FLAG_PROVIDER", text, "module:attribute of an OpenFeature provider")
    return text


def _audience(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"/projects/[0-9]+(/[A-Za-z0-9._-]+)+", text):
        allowed = "/projects/NUMBER/locations/REGION/services/NAME or /projects/NUMBER/global/backendServices/ID"
        raise _wrong("RENDERLANE_CONSOLE_AUDIENCE", text, allowed)
    return text


def _build(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,63}", text):
        raise _wrong("RENDERLANE_RELEASE", text, "at most 63 letters, digits, dots, hyphens and underscores")
    return text


def _background(text: str) -> Setting:
    words: dict[str, Setting] = {word: word for word in get_args(Setting)}
    if text not in words:
        raise _wrong("RENDERLANE_BACKGROUND", text, "auto, on or off")
    return words[text]


def _webhook_url(text: str | None) -> str | None:
    """HTTPS; plain HTTP on this machine alone, where a stand-in of the provider calls back."""
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong("RENDERLANE_WEBHOOK_URL", text, WEBHOOK_URL_ALLOWED) from None
    is_here = parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")
    if not host or parts.username or parts.fragment or not (parts.scheme == "https" or is_here):
        raise _wrong("RENDERLANE_WEBHOOK_URL", text, WEBHOOK_URL_ALLOWED)
    return text


def _webhook_secret(text: str | None) -> str | None:
    """Never repeats what it found."""
    if text is not None and not re.fullmatch(r"whsec_[A-Za-z0-9+/]{16,}={0,2}", text):
        form = f"{len(text)} characters" if text.startswith("whsec_") else "text without the prefix whsec_"
        raise InvalidSetting(
            f"RENDERLANE_WEBHOOK_SECRET: found {form}; allowed: whsec_ and base64, as the provider showed it "
            "once, when the webhook was registered"
        )
    return text


def _confirmed(text: str) -> bool:
    if text not in ("", "live"):
        raise _wrong("RENDERLANE_CONFIRM", text, "live, or nothing")
    return text == "live"


def _names(text: str) -> tuple[str, ...]:
    """Separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _api_audience(given: Mapping[str, str]) -> str | None:
    audience = given.get(API_AUDIENCE)
    if audience is not None and not re.fullmatch(r"[!-~]{1,512}", audience):
        raise _wrong(API_AUDIENCE, audience, "the audience of identity tokens, such as https://renderlane.example.com")
    if (audience is None) != (API_CALLERS not in given):
        missing, named = (API_AUDIENCE, API_CALLERS) if audience is None else (API_CALLERS, API_AUDIENCE)
        raise _wrong(missing, "nothing", f"a value wherever {named} has one")
    return audience


def _api_origins(given: Mapping[str, str]) -> tuple[str, ...]:
    """Origins as browsers write them. Where the API has no audience it serves this machine, and its pages only."""
    is_local = given.get(API_AUDIENCE) is None
    name = r"(localhost|127\.0\.0\.1|\[::1\])" if is_local else r"[a-z0-9][a-z0-9.-]{0,252}"
    pattern = rf"http://{name}(:\d{{1,5}})?" if is_local else rf"https://{name}(:\d{{1,5}})?"
    allowed = "http://localhost:3000" if is_local else "https://shop.example.com"
    origins = tuple(part.strip() for part in given.get(API_ORIGINS, "").split(",") if part.strip())
    for origin in origins:
        if re.fullmatch(pattern, origin) is None:
            where = ", of this machine, while RENDERLANE_API_AUDIENCE is not set" if is_local else ""
            raise _wrong(API_ORIGINS, origin, f"origins such as {allowed}, separated by commas{where}")
    return origins


def _callers(text: str) -> dict[str, tuple[str, ...]]:
    allowed = (
        'JSON such as {"shop@my-project.iam.gserviceaccount.com": ["shop"]}: accounts, each with its tenants, or ["*"]'
    )
    try:
        accounts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(API_CALLERS, text[:200], allowed) from error
    if not isinstance(accounts, dict):
        raise _wrong(API_CALLERS, text[:200], allowed)
    for account, tenants in accounts.items():
        if not isinstance(tenants, list) or not tenants or not re.fullmatch(r"[^@\s]+@[^@\s]+", account):
            raise _wrong(API_CALLERS, f"{account}: {json.dumps(tenants)}"[:200], allowed)
        wrong = [tenant for tenant in tenants if tenant != "*" and named_tenant({"tenant": tenant}) is None]
        if wrong:
            raise _wrong(API_CALLERS, f"{account}: {wrong[0]!r}"[:200], f"1 to 64 {ID_WORDS}, or *")
    return {account: tuple(tenants) for account, tenants in accounts.items()}


def _whole(name: str, text: str) -> int:
    number = whole_number(text)
    if number is None or not 1 <= number <= 1_000_000:
        raise _wrong(name, text, "a whole number of at least 1")
    return number


def _minutes(name: str, text: str) -> timedelta:
    number = whole_number(text)
    if number is None or (number != 0 and not 5 <= number <= 1440):
        raise _wrong(name, text, "0, or a whole number of minutes from 5 to 1440")
    return timedelta(minutes=number)


def _dollars(name: str, text: str | None) -> int | None:
    """In micro-dollars."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise _wrong(name, text, "dollars per tenant and day, such as 25 or 25.50; unset for no limit")
    return micros_from_usd(text)


def _hours(name: str, text: str) -> timedelta:
    number = whole_number(text)
    if number is None or not 1 <= number <= 720:  # an ended request is kept that long
        raise _wrong(name, text, "a whole number of hours from 1 to 720")
    return timedelta(hours=number)


def _base_url(text: str | None) -> str | None:
    if text is not None and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc):
        raise _wrong("GOOGLE_GEMINI_BASE_URL", text, "an http:// or https:// address")
    return text


def _cap(text: str | None) -> int | None:
    """In micro-dollars."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) or not micros_from_usd(text):
        raise _wrong("RENDERLANE_MONTHLY_CAP", text, "dollars above zero, such as 250; unset for that of the tier")
    return micros_from_usd(text)


def _vertex(given: Mapping[str, str]) -> Vertex | None:
    """Plain HTTP takes no credentials, so nothing but a stand-in on this machine answers there."""
    text, use = given.get("RENDERLANE_VERTEX"), given.get("RENDERLANE_VERTEX_ROUTE", "fallback")
    chosen = next((known_use for known_use in VERTEX_USES if known_use == use), None)
    if chosen is None:
        raise _wrong("RENDERLANE_VERTEX_ROUTE", use, ", ".join(VERTEX_USES))
    if text is None:
        if "RENDERLANE_VERTEX_ROUTE" in given:
            raise _wrong("RENDERLANE_VERTEX_ROUTE", use, "nothing where RENDERLANE_VERTEX is not set")
        return None
    match = re.fullmatch(r"([a-z0-9][a-z0-9.:-]{0,62})(?:/([a-z][a-z0-9-]{0,31}))?", text)
    if match is None:
        allowed = "PROJECT or PROJECT/LOCATION, for example my-project/global or my-project/europe-west4"
        raise _wrong("RENDERLANE_VERTEX", text, allowed)
    url = given.get("GOOGLE_VERTEX_BASE_URL")
    if url is not None and not (_is_https(url) or _is_of_this_machine(url)):
        raise _wrong("GOOGLE_VERTEX_BASE_URL", url, "an https:// address, or http:// of this machine for a stand-in")
    return Vertex(match[1], match[2] or "global", chosen, url)


def _is_https(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme == "https" and bool(parts.hostname) and parts.username is None


def _is_of_this_machine(text: str) -> bool:
    return _is_server(text) and urlsplit(text).hostname in ("localhost", "127.0.0.1", "::1")


def _is_exported(what: str, given: Mapping[str, str]) -> bool:
    """As OpenTelemetry reads its variables, but nothing is sent where no endpoint is named."""
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    word = what.upper()
    exporter = given.get(f"OTEL_{word}_EXPORTER", "otlp")
    if exporter not in ("otlp", "none"):
        raise _wrong(f"OTEL_{word}_EXPORTER", exporter, "otlp or none")
    endpoint = given.get(f"OTEL_EXPORTER_OTLP_{word}_ENDPOINT") or given.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if endpoint is None or exporter == "none":
        return False
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).netloc:
        raise _wrong("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, "an http:// or https:// address")
    protocol = given.get(f"OTEL_EXPORTER_OTLP_{word}_PROTOCOL") or given.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "http/protobuf"):
        raise _wrong("OTEL_EXPORTER_OTLP_PROTOCOL", protocol or "", "http/protobuf, to the collector's port 4318")
    wrong = wrong_value(given)
    if wrong is not None:
        raise _wrong(wrong.name, wrong.value, wrong.allowed)
    return True


def _wrong(name: str, value: str, allowed: str) -> InvalidSetting:
    return InvalidSetting(f"{name}: found {value!r}; allowed: {allowed}")
