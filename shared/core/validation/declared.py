"""A struct whose fields declare what JSON they come from: parser, schema and JSON follow from the declaration.

    deadline: Annotated[datetime | None, Converted(Text(...), make, back)] = None
    allow_batch: Annotated[bool, At("allow.batch"), Flag("...")] = False

The last shape of an annotation says what is valid; `At` says where a value stands if not under the field's own name. A
field without a default is required. The module of such a struct does not postpone its annotations: evaluating them from
text would cost each cold start some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from msgspec import NODEFAULT, Struct

from shared.core.validation.shapes import ConstOrObject, Converted, Labels, ListOf, ObjectOf, Shape

T = TypeVar("T", bound=Struct)


class At(Struct, frozen=True):
    """Where a value stands in the JSON: a name, or `object.name` of an object that groups several fields."""

    path: str = ""
    """Empty: the field's own name."""
    omit_empty: bool = False
    """An empty value is not written."""


class Member(Struct, frozen=True):
    """One declared field."""

    field: str
    group: str
    """The object that contains it; empty = the outermost."""
    name: str
    shape: Shape
    default: Any
    """NODEFAULT: required."""
    omit_empty: bool
    is_plain: bool
    """The value is its own JSON."""


class Declared(Generic[T]):
    """The shape of an object that becomes a struct. `groups` describes the objects that `At` names."""

    def __init__(self, kind: type[T], description: str = "", groups: Mapping[str, str] | None = None) -> None:
        self._kind = kind
        self.members = tuple(_members(kind))
        self._record = self._as_record(description, groups or {})

    def parse(self, value: object, at: str) -> T:
        """Raises ShapeError with every problem."""
        return self._made(self._record.parse(value, at), lambda _shape, part: part)

    def schema(self) -> dict[str, Any]:
        return self._record.schema()

    def read(self, content: Mapping[str, Any]) -> T:
        """From the JSON that `write` made, in this release or an earlier one. It was valid once and is not validated
        again."""
        return self._made(content, read)

    def write(self, value: T) -> dict[str, Any]:
        """The JSON with defaults filled in; `parse` returns the same value."""
        content: dict[str, Any] = {}
        for member in self.members:
            part = getattr(value, member.field)
            where = content.setdefault(member.group, {}) if member.group else content
            if part is not None and (part or not member.omit_empty):
                where[member.name] = part if member.is_plain else write(member.shape, part)
        return content

    def _made(self, content: Mapping[str, Any], convert: Any) -> T:
        values = {}
        for member in self.members:
            where = content.get(member.group, {}) if member.group else content
            if member.name in where:
                values[member.field] = convert(member.shape, where[member.name])
        return self._kind(**values)

    def _as_record(self, description: str, groups: Mapping[str, str]) -> ObjectOf:
        shapes: dict[str, Shape] = {}
        defaults: dict[str, Any] = {}
        for member in self.members:
            known_default = member.default is not NODEFAULT and member.default is not None
            default = write(member.shape, member.default) if known_default else None
            if not member.group:
                shapes[member.name] = member.shape
                defaults |= {member.name: default} if known_default and not member.omit_empty else {}
                continue
            group = shapes.setdefault(member.group, ObjectOf({}, description=groups.get(member.group, "")))
            assert isinstance(group, ObjectOf)
            shapes[member.group] = ObjectOf({**group.fields, member.name: member.shape}, description=group.description)
            defaults.setdefault(member.group, {}).update({member.name: default} if known_default else {})
        required = tuple(member.name for member in self.members if member.default is NODEFAULT and not member.group)
        return ObjectOf(shapes, required, defaults, description)


def _members(kind: type[Struct]) -> Iterator[Member]:
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    defaults = (NODEFAULT,) * required + kind.__struct_defaults__
    for field, default in zip(kind.__struct_fields__, defaults, strict=True):
        notes = getattr(kind.__annotations__[field], "__metadata__", ())
        shape = next((note for note in reversed(notes) if not isinstance(note, At)), None)
        if shape is None:
            raise TypeError(f"{kind.__name__}.{field} declares no shape: annotate it with one")
        at = next((note for note in notes if isinstance(note, At)), At())
        group, _, name = (at.path or field).rpartition(".")
        is_plain = not isinstance(shape, (Converted, ListOf, Declared, ConstOrObject, Labels, ObjectOf))
        factory = getattr(default, "factory", None)  # of `field(default_factory=...)`
        given = default if factory is None else factory()
        yield Member(field, group, name, shape, given, at.omit_empty, is_plain)


def write(shape: Shape, value: Any) -> Any:
    """A valid value as JSON."""
    match shape:
        case Converted():
            return shape.back(value)
        case ListOf():
            return [write(shape.item, item) for item in value]
        case Declared():
            return shape.write(value)
        case ConstOrObject():
            return value if value == shape.word else write(shape.other, value)
        case Labels() | ObjectOf():
            return dict(value)
        case _:
            return value


def read(shape: Shape, content: Any) -> Any:
    """A value from the JSON that `write` made."""
    match shape:
        case Converted():
            return shape.make(content)
        case ListOf():
            return tuple(read(shape.item, item) for item in content)
        case Declared():
            return shape.read(content)
        case ConstOrObject():
            return content if content == shape.word else read(shape.other, content)
        case _:
            return content
