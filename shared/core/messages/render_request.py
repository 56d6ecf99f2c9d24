"""What a caller may ask for: the one place where a message on `render-requests` becomes a value."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Struct, field

from shared.core.validation.declared import At, Declared
from shared.core.validation.shapes import (
    Boolean,
    BooleanOr,
    Choice,
    ConstOrObject,
    Converted,
    Labels,
    ListOf,
    ObjectOf,
    Problem,
    ShapeError,
    Text,
    Whole,
)
from shared.core.values.lanes import ASKABLE, GATEWAY, STANDARD
from shared.core.values.money import micros_from_usd, usd
from shared.core.values.parameters import (
    IMAGE_SEARCH,
    OUTPUT_FORMATS,
    SAFETY_CATEGORIES,
    SAFETY_THRESHOLDS,
    THINKING,
    Grounding,
    Thinking,
)

MESSAGE_LIMIT_BYTES = 256 * 1024
PROMPT_LIMIT = 32_000
REFERENCE_LIMIT = 14

SIZES = ("512", "1K", "2K", "4K")
PURPOSES = ("draft", "default", "final")
PRIORITIES = ("interactive", "normal", "bulk")

DEFAULT_TENANT = "default"
ID_LIMIT, TENANT_LIMIT = 128, 64
"""Characters."""
ID_PATTERN = r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:-]*"
ID_WORDS = "letters, digits and . _ : -, starting with a letter or digit, without '..'"

INVISIBLE = (
    r"\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that show nothing, for a character class of a regular expression: controls, spaces, zero-width and filler
characters (Unicode 16: White_Space, Default_Ignorable_Code_Point, Cc, U+2800)."""
VISIBLE_PATTERN = rf"[{INVISIBLE}]*[^{INVISIBLE}][\s\S]*"
LABEL_KEY_PATTERN = r"[^_][\s\S]*|_(?:[^_][\s\S]*)?|[\s\S]*[^_]_?"
"""Does not begin and end with two underscores: the store reserves such field names."""


class InvalidRequest(Exception):
    """The message cannot be a render request. It is recorded, answered and never retried."""

    def __init__(self, problems: tuple[Problem, ...], request_id: str | None, tenant: str | None = None) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems
        self.request_id = request_id
        """The id that the message names, if it is valid: the rejection is announced under it."""
        self.tenant = tenant
        """The tenant it names, or `default` if it names none; None if what it names is not a valid tenant."""


def _lane_hint(value: object) -> str | None:
    if value != GATEWAY:
        return None
    return 'A gateway cannot be requested: consent with "allow": {"gateway": true}, and the worker decides when.'


def _size_hint(value: object) -> str | None:
    if isinstance(value, str) and value.upper() in SIZES:
        return f'Write "{value.upper()}": the K is a capital letter.'
    if isinstance(value, int) and str(value) in SIZES:
        return f'Write it as a string: "{value}".'
    return None


EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""A deadline in UTC: its offset may move it outside the years that can be read again."""


def _moment(text: str) -> datetime:
    return min(max(datetime.fromisoformat(text.upper()).astimezone(UTC), EARLIEST), LATEST)


def _moment_text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


_REQUEST_ID = Text(
    1,
    ID_LIMIT,
    ID_PATTERN,
    f"1 to {ID_LIMIT} {ID_WORDS}",
    description=f"The caller's idempotency key, unique within its tenant: {ID_WORDS}.",
)
_TENANT = Text(
    1,
    TENANT_LIMIT,
    ID_PATTERN,
    f"1 to {TENANT_LIMIT} {ID_WORDS}",
    description=f"Who pays: {ID_WORDS}. Ids are per tenant.",
)
_SIZE = Choice(SIZES, _size_hint)
_NAME = Text(1, 128)
_SAFETY = ObjectOf(
    {category: Choice(SAFETY_THRESHOLDS) for category in SAFETY_CATEGORIES},
    description="The provider's thresholds by category. Checked at intake: not every API takes every category.",
)


class ReferenceUri(Struct, frozen=True):
    uri: Annotated[str, Text(1, 2048, r"(gs|https|file)://[\S]+", "a gs://, https:// or file:// URI")]
    mime_type: Annotated[
        str | None,
        Choice(
            ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
            description="Default: read from the bytes.",
        ),
    ] = None


class Floor(Struct, frozen=True):
    """The lowest model and size that the caller accepts; None = the catalogue's default for the purpose."""

    image_size: Annotated[str | None, _SIZE] = None
    model: Annotated[str | None, _NAME] = None


class RenderRequest(Struct, frozen=True):
    """One request. Each field declares its JSON: parser, schema, stored form and hash follow from it."""

    request_id: Annotated[str, _REQUEST_ID]
    prompt: Annotated[
        str,
        Text(
            1,
            PROMPT_LIMIT,
            VISIBLE_PATTERN,
            f"1 to {PROMPT_LIMIT:,} characters, at least one of them visible",
            secret=True,
            description="At least one character must be visible (no white space, control or zero-width character).",
            remedy="Describe what the image should show.",
        ),
    ]
    tenant: Annotated[str, _TENANT] = DEFAULT_TENANT
    purpose: Annotated[str, Choice(PURPOSES, description="Selects the model if `model` is not set.")] = "default"
    model: Annotated[
        str | None,
        Text(
            1,
            128,
            description="Model id or alias (checked at intake); a retired model is replaced by its successor."
            " A deprecated one is called, with a note in the receipt.",
        ),
    ] = None
    image_size: Annotated[
        str,
        Choice(
            SIZES,
            _size_hint,
            "Checked at intake; a size that the model does not offer is delivered one size larger.",
        ),
    ] = "1K"
    aspect_ratio: Annotated[
        str | None,
        Text(
            3,
            5,
            r"[0-9]{1,2}:[0-9]{1,2}",
            "a ratio such as 16:9",
            description="Such as 16:9. Default: the model's own. Checked at intake against the model.",
        ),
    ] = None
    references: Annotated[
        tuple[ReferenceUri, ...],
        ListOf(
            Declared(ReferenceUri),
            REFERENCE_LIMIT,
            "Checked at intake against the model's limit and the allowed addresses.",
        ),
    ] = ()
    lane: Annotated[
        str,
        Choice(ASKABLE, _lane_hint, "Checked at intake: the lane must be available and the model must offer it."),
    ] = STANDARD
    priority: Annotated[str, Choice(PRIORITIES)] = "normal"
    deadline: Annotated[
        datetime | None,
        Converted(
            Text(
                20,
                35,
                r"2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
                r"(\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])",
                "a date and time with offset, such as 2026-12-01T12:00:00Z, of the years 2000 to 2999",
                description="Latest start, such as 2026-12-01T12:00:00Z; after it the request expires unpaid."
                " A real day of 2000 to 2999.",
                remedy="Use such a time, or omit the deadline.",
            ),
            _moment,
            _moment_text,
        ),
    ] = None
    max_cost_micros: Annotated[
        int | None,
        At("max_cost_usd"),
        Converted(
            Text(
                1,
                14,
                r"(?!0*(\.0*)?$)[0-9]{1,6}(\.[0-9]{1,6})?",
                'dollars above zero as a string, at most six decimals, such as "0.30"',
                description='Maximum cost of all attempts together: dollars as text, such as "0.30".',
            ),
            micros_from_usd,
            usd,
        ),
    ] = None
    floor: Annotated[
        Floor | Literal["exact"],
        ConstOrObject(
            "exact",
            Declared(Floor),
            'The worst route that is still wanted; "exact" forbids every step down. The model is checked at intake.',
        ),
    ] = Floor()
    allow_gateway: Annotated[
        bool, At("allow.gateway"), Boolean("Prompt and references may be sent to a third-party gateway.")
    ] = False
    allow_batch: Annotated[bool, At("allow.batch"), Boolean("The request may take a day.")] = False
    allow_vertex: Annotated[
        bool | None,
        At("allow.vertex"),
        Boolean(
            "The request may go to Vertex AI, the same models in Google Cloud."
            " Default: as the worker is configured, usually yes."
        ),
    ] = None
    escalates: Annotated[
        str | None,
        Text(
            1,
            ID_LIMIT,
            ID_PATTERN,
            f"1 to {ID_LIMIT} {ID_WORDS}",
            description="Id of the request, of the same tenant, whose image was not good enough.",
        ),
    ] = None
    group: Annotated[str | None, Text(1, 128, description="Name shared by related requests.")] = None
    grounding: Annotated[
        Grounding,
        BooleanOr(
            (IMAGE_SEARCH,),
            'Ground the image in search results; searches are charged. true: web pages; "image": images too.'
            " Checked at intake: not every model can search.",
        ),
    ] = False
    labels: Annotated[
        Mapping[str, str],
        Labels(
            32,
            Text(
                1,
                63,
                LABEL_KEY_PATTERN,
                "1 to 63 characters that do not begin and end with __ (such as __name__)",
            ),
            Text(0, 255),
        ),
    ] = field(default_factory=dict)
    thinking: Annotated[
        Thinking | None,
        Choice(
            THINKING,
            description="How much the model thinks first; thoughts are charged as text. Default: by purpose, from the"
            " catalogue. A model without that level takes the nearest one, and the receipt says so.",
        ),
    ] = None
    safety: Annotated[
        Mapping[str, str],
        At(omit_empty=True),
        _SAFETY,
    ] = field(default_factory=dict)
    system_instruction: Annotated[
        str | None,
        Text(
            1,
            PROMPT_LIMIT,
            VISIBLE_PATTERN,
            f"1 to {PROMPT_LIMIT:,} characters, at least one of them visible",
            secret=True,
            description="What holds for the image beside the prompt: a style, a brand's rules. Charged as input.",
            remedy="Write what should hold, or leave it out.",
        ),
    ] = None
    output_format: Annotated[
        str | None,
        Choice(
            OUTPUT_FORMATS,
            description="Default: as the provider sends it. What it does not send is converted by the worker, and the"
            " receipt says what that loses.",
        ),
    ] = None
    output_quality: Annotated[
        int | None,
        Whole(1, 100, "Of a jpeg or webp. Checked at intake: only together with such an output_format."),
    ] = None

    def __repr__(self) -> str:
        """Without the prompt."""
        return f"RenderRequest({self.request_id!r})"

    @classmethod
    def parse(cls, payload: object) -> "RenderRequest":
        """The request in a decoded JSON value. Raises InvalidRequest with every problem found."""
        try:
            return REQUEST.parse(payload, "")
        except ShapeError as error:
            raise InvalidRequest(error.problems, named_id(payload), named_tenant(payload)) from error

    @classmethod
    def restored(cls, content: Mapping[str, Any]) -> "RenderRequest":
        """A request from the JSON that `to_json` wrote. It was accepted once: today's rules do not apply to it."""
        return REQUEST.read(content)

    def to_json(self) -> dict[str, Any]:
        """The request as JSON with its defaults filled in; `parse` returns the same value."""
        return REQUEST.write(self)

    @property
    def content_hash(self) -> str:
        """Equal for equal parsed values: the same id with the same hash is the same request.

        A field at its default counts as one left out, so a new optional field changes no hash of an old message.
        """
        return hash_of_content(self.to_json(), type(self))


def hash_of_content(content: Mapping[str, Any], kind: type[RenderRequest] = RenderRequest) -> str:
    """The hash of a request as `to_json` wrote it, in this release or an earlier one: it need not be valid today."""
    chosen = _without_defaults(content, kind(request_id="", prompt="").to_json())
    canonical = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without_defaults(payload: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Without fields that equal their default, also within nested objects."""
    kept: dict[str, Any] = {}
    for name, value in payload.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            if inner := _without_defaults(value, default):
                kept[name] = inner
        elif value != default or type(value) is not type(default):
            kept[name] = value
    return kept


REQUEST = Declared(RenderRequest, groups={"allow": "Consent."})


class Cancel(Struct, frozen=True):
    """Cancels a request that has not started."""

    request_id: Annotated[str, At("cancel"), _REQUEST_ID]
    tenant: Annotated[str, _TENANT] = DEFAULT_TENANT
    """The request's tenant: a cancellation never affects another tenant's request."""


CANCEL = Declared(Cancel, "Cancels a request that has not started; `tenant` names its tenant (default: `default`).")

Message: TypeAlias = RenderRequest | Cancel


def parse_message(data: bytes) -> Message:
    """The request or cancellation in the data of one message. Raises InvalidRequest."""
    if len(data) > MESSAGE_LIMIT_BYTES:
        problem = Problem(
            "the message",
            f"{len(data):,} bytes",
            f"at most {MESSAGE_LIMIT_BYTES:,} bytes",
            "Put reference images in a bucket and name them by URI.",
        )
        raise InvalidRequest((problem,), None)
    payload = decode_message(data)
    if isinstance(payload, dict) and "cancel" in payload:
        try:
            return CANCEL.parse(payload, "")
        except ShapeError as error:
            raise InvalidRequest(error.problems, None, named_tenant(payload)) from error
    return RenderRequest.parse(payload)


def is_urgent(data: bytes) -> bool:
    """Whether a person waits for this request, as far as the unchecked message says so."""
    if b"interactive" not in data or len(data) > MESSAGE_LIMIT_BYTES:
        return False
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(payload, dict) and payload.get("priority") == "interactive"


def named_id(payload: object) -> str | None:
    """The request id that a payload names, if it is valid."""
    try:
        return _REQUEST_ID.parse(payload["request_id"], "request_id") if isinstance(payload, dict) else None
    except (KeyError, ShapeError):
        return None


def named_tenant(payload: object) -> str | None:
    """The tenant that a payload names, `default` if it names none; None if that is not a valid tenant."""
    try:
        return _TENANT.parse(payload.get("tenant", DEFAULT_TENANT), "tenant") if isinstance(payload, dict) else None
    except ShapeError:
        return None


def request_schema() -> dict[str, Any]:
    """JSON Schema of the data of a message on `render-requests`; written to shared/request.schema.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Renderlane message on render-requests",
        "description": f"At most {MESSAGE_LIMIT_BYTES:,} bytes of UTF-8 JSON; no field twice.",
        "oneOf": [REQUEST.schema(), CANCEL.schema()],
    }


def decode_message(data: bytes) -> object:
    """The JSON value in the data of a message, read strictly. Raises InvalidRequest."""

    def refuse_constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")

    def refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields: dict[str, object] = {}
        for name, value in pairs:
            if name in fields:
                raise ValueError(f"field {name[:63]!r} appears twice")
            fields[name] = value
        return fields

    _refuse_encodings(data)
    try:
        payload: object = json.loads(
            data.decode("utf-8"), parse_constant=refuse_constant, object_pairs_hook=refuse_twice
        )
        json.dumps(payload, ensure_ascii=False).encode("utf-8")  # half a surrogate pair parses but cannot be stored
    except UnicodeError as error:
        raise _unreadable(
            "text that is not valid Unicode", "Write it as UTF-8, without unpaired surrogates."
        ) from error
    except RecursionError as error:
        raise _unreadable("JSON nested too deeply", "Write one flat JSON object.") from error
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise _unreadable(f"bytes that are not JSON ({reason})", "Write one JSON object, as UTF-8.") from error
    return payload


def _refuse_encodings(data: bytes) -> None:
    """What an editor or a shell may have done to JSON text, named for what it is."""
    if not data:
        remedy = "Publish the request as a JSON object in the message data, not in its attributes."
        raise _unreadable("bytes that are not JSON (Expecting value: there are none)", remedy)
    if data.startswith(_UTF8_MARK):
        raise _unreadable("UTF-8 with a byte order mark (BOM) before the JSON", _SAVE_AS)
    if data.startswith(_UTF16_MARKS) or b"\0" in data:
        raise _unreadable("text that is not valid Unicode in UTF-8: it looks like UTF-16 or UTF-32", _SAVE_AS)


_SAVE_AS = "Save it as UTF-8 without a byte order mark."
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def _unreadable(what: str, remedy: str) -> InvalidRequest:
    return InvalidRequest((Problem("the message", what, "UTF-8 JSON", remedy),), None)
