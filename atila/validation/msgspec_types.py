"""What a type is, as ``msgspec.inspect`` describes it: asked once, when conversions are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import inspect as mi

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTS = (mi.ListType, mi.SetType, mi.FrozenSetType, mi.VarTupleType)
_ARRAYS = (*_LISTS, mi.TupleType, mi.NamedTupleType, mi.AnyType)
_OBJECTS = (mi.StructType, mi.DataclassType)
_MAX_CHOICES = 10

WORDS: dict[type, str] = {
    mi.IntType: "a whole number",
    mi.FloatType: "a number",
    mi.DecimalType: "a number",
    mi.StrType: "text",
    mi.BoolType: "true or false",
    mi.NoneType: "null",
    mi.UUIDType: "a UUID",
    mi.DateType: "a date such as 2026-01-31",
    mi.DateTimeType: "a date with time such as 2026-01-31T12:00:00Z",
    mi.TimeType: "a time such as 12:00:00",
    mi.TimeDeltaType: "a duration such as P3DT12H",
    mi.BytesType: "base64 text",
    mi.ByteArrayType: "base64 text",
    mi.MemoryViewType: "base64 text",
    **dict.fromkeys(_LISTS, "a list"),
    mi.TupleType: "a list",
    mi.NamedTupleType: "a list",
}


def words_for(node: mi.Type) -> str:
    """A type in plain words, after "must be"."""
    if isinstance(node, mi.Metadata):
        return words_for(node.type)
    if isinstance(node, mi.UnionType):
        return " or ".join(dict.fromkeys(words_for(member) for member in node.types))
    if isinstance(node, mi.LiteralType):
        return choices(node.values)
    if isinstance(node, mi.EnumType):
        return choices([member.value for member in node.cls])
    return WORDS.get(type(node), "an object")


def choices(values: Any) -> str:
    """``"one of a, b, c"``; long lists are cut."""
    names = [str(value) for value in values]
    if len(names) == 1:
        return names[0]
    cut = [*names[:_MAX_CHOICES], "…"] if len(names) > _MAX_CHOICES else names
    return f"one of {', '.join(cut)}"


def is_list(node: mi.Type) -> bool:
    """Whether values are lists, so that a single text is a list of one."""
    return isinstance(_inner(node), _LISTS)


def takes_list(node: mi.Type) -> bool:
    """Whether a list may be a value."""
    node = _inner(node)
    if isinstance(node, mi.UnionType):
        return any(takes_list(member) for member in node.types)
    return isinstance(node, _ARRAYS)


def is_object(node: mi.Type) -> bool:
    """Whether values are objects with declared members, so that a whole body may be one."""
    node = _inner(node)
    if isinstance(node, mi.UnionType):
        return all(is_object(member) for member in node.types)
    return isinstance(node, _OBJECTS) and not getattr(node, "array_like", False)


def unchecked(node: Any) -> Iterator[type]:
    """Classes within the type that msgspec knows nothing of."""
    seen: set[int] = set()
    nodes = [node]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, mi.CustomType):
            yield node.cls
        elif isinstance(node, mi.RawType):
            yield memoryview
        for name in ("type", "item_type", "key_type", "value_type"):
            nodes += filter(None, [getattr(node, name, None)])
        nodes += getattr(node, "types", ())
        nodes += getattr(node, "item_types", ())
        nodes += [field.type for field in getattr(node, "fields", ())]


def _inner(node: mi.Type) -> mi.Type:
    while isinstance(node, mi.Metadata):
        node = node.type
    return node
