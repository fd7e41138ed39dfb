"""Rules of ``@app.inspect`` as JSON Schema. ``operations`` asks for each inspection of a route.

What a schema can't say (members of a value, patterns that only Python knows) is left to the answer
400.
"""

from __future__ import annotations

import json
import re
import typing
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from atila.documenting.exposure import plain
from atila.openapi.schemas import NULL, nullable
from atila.validation.field_paths import parse_keyword
from atila.validation.inspection_rules import GROUPS, OPTIONS

if TYPE_CHECKING:
    from atila.openapi.schemas import Schema

_OF_OPTIONS: dict[str, Schema] = {
    "ints": {"type": "integer"},
    "floats": {"type": "number"},
    "strings": {"type": "string"},
    "booleans": {"type": "boolean"},
    "lists": {"type": "array", "items": {}},
    "dicts": {"type": "object"},
    "ranges": {"type": "string", "pattern": r"^-?\d+~-?\d+$"},
    "emails": {"type": "string", "format": "email", "maxLength": 254},
    "uuids": {"type": "string", "format": "uuid"},
    "safes": {"type": "string"},
    "notags": {"type": "string"},
}
_BOUNDS = {
    "lte": "maximum",
    "lt": "exclusiveMaximum",
    "gte": "minimum",
    "gt": "exclusiveMinimum",
}
_SIZES = {"array": ("minItems", "maxItems"), "object": ("minProperties", "maxProperties")}
# Groups with names, lookbehind, inline flags and anchors of Python mean something else, or nothing,
# in ECMA 262, whose patterns JSON Schema has.
_ONLY_PYTHON = re.compile(r"\(\?(?![:=!])|\\[AZz]")


class Constraints:
    """What one inspection asks of parameters.

    Parameters:
        options: all keywords of ``@app.inspect`` but the scope.

    Attributes:
        required: names that must be there.
        groups: lists of names of which one must be there.
        schemas: name to schema.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.required: list[str] = []
        self.groups: list[list[str]] = []
        self.schemas: dict[str, Schema] = {}
        nones: list[str] = []
        lengths: list[tuple[str, str, Any]] = []
        for option, value in options.items():
            if option not in OPTIONS:
                self._add_keyword(option, value, lengths)
                continue
            names = value.split() if isinstance(value, str) else list(value or ())
            if option == "required":
                self.required = names
            elif option in GROUPS:
                self.groups.append(names)
            elif option == "nones":
                nones = names
            else:
                for name in names:
                    self._of(name).update(_OF_OPTIONS[option])
        for name, operator, operand in lengths:  # by now the types are known
            self._add_length(self._of(name), operator, operand)
        for name in nones:
            self.schemas[name] = nullable(self._of(name))

    def _of(self, name: str) -> Schema:
        return self.schemas.setdefault(name, {})

    def _add_keyword(self, keyword: str, value: Any, lengths: list[tuple[str, str, Any]]) -> None:
        name, path, of_length, operator = parse_keyword(keyword, keyword)
        if path:
            self._of(name)
        elif of_length:
            lengths.append((name, operator, value))
        elif operator:
            self._of(name).update(_compared(operator, value))
        else:
            self._of(name).update(_declared(value))

    def _add_length(self, schema: Schema, operator: str, operand: Any) -> None:
        least, most = _SIZES.get(schema.get("type", ""), ("minLength", "maxLength"))
        if operator == "between":
            schema[least], schema[most] = operand
        elif operator in ("gte", "gt"):
            schema[least] = operand + (operator == "gt")
        elif operator in ("lte", "lt"):
            schema[most] = operand - (operator == "lt")
        elif operator == "eq":
            schema[least] = schema[most] = operand


def _declared(value: Any) -> Schema:
    """``name=type``, ``name=[types]``, ``name=pattern``, ``name=value``."""
    if isinstance(value, (list, tuple)):
        kinds = [schema for schema in map(_of_type, value) if schema]
        return {"anyOf": kinds} if len(kinds) == len(value) else {}
    if isinstance(value, type) or typing.get_origin(value) is not None:
        return _of_type(value)
    return _compared("regex" if hasattr(value, "search") else "eq", value)


def _of_type(kind: Any) -> Schema:
    try:
        schema = msgspec.json.schema(kind)
    except Exception:  # types are code of the app: their errors are not limited
        return {}
    return {} if "$defs" in schema else schema


def _compared(operator: str, operand: Any) -> Schema:
    if operator in _BOUNDS:
        return {_BOUNDS[operator]: operand} if _is_number(operand) else {}
    if operator == "between":
        low, high = operand
        return {"minimum": low, "maximum": high} if _is_number(low) and _is_number(high) else {}
    if operator in ("in", "notin", "eq", "neq"):
        values = list(operand) if operator in ("in", "notin") else [operand]
        named = {"enum": [_value(value) for value in values]}
        return named if operator in ("in", "eq") else {"not": named}
    pattern = _pattern(operator, operand)
    if pattern is None:
        return {}
    return {"not": {"pattern": pattern}} if operator.startswith("not") else {"pattern": pattern}


def _pattern(operator: str, operand: Any) -> str | None:
    """A pattern that is searched for, as schemas and ``re.search`` do both."""
    if operator == "regex":
        compiled = re.compile(operand) if isinstance(operand, str) else operand
        flags = compiled.flags & ~re.UNICODE
        source = str(compiled.pattern)
        return None if flags or _ONLY_PYTHON.search(source) else source
    text = re.sub(r"[.*+?^${}()|\[\]\\/]", r"\\\g<0>", str(operand))
    if operator.endswith(("startswith", "startwith")):
        return f"^{text}"
    return f"{text}$" if operator.endswith(("endswith", "endwith")) else text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, (bool, Enum, Decimal))


def _value(value: Any) -> Any:
    return plain(value.value if isinstance(value, Enum) else value)


def merged(schema: Schema, more: Schema) -> Schema:
    """A schema that asks what both ask; a default that it may refuse becomes a remark."""
    if more and "default" in schema:
        rest = {key: value for key, value in schema.items() if key != "default"}
        remark = f"Default: {json.dumps(schema['default'])}."
        return {**merged(rest, more), "description": remark}
    if "$ref" in schema and more:
        return {"allOf": [schema, more]}
    if "anyOf" in schema and NULL in schema["anyOf"] and more:
        others = [merged(choice, more) for choice in schema["anyOf"] if choice != NULL]
        return {**schema, "anyOf": [*others, NULL]}
    return {**schema, **more}


def present(schema: Schema) -> Schema:
    """A schema for what must be there: neither null nor an empty text."""
    if schema.get("type", "string") != "string" or schema.keys() & {"enum", "anyOf", "minLength"}:
        return schema
    return {"not": {"type": "null"}, "minLength": 1, **schema}
