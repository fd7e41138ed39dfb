"""Type hints and converters of paths as JSON Schema (2020-12, which OpenAPI 3.1 takes as it is)."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from atila.routing.converters import CONVERTERS
from skitai.wire.multipart import UploadedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Schema: TypeAlias = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"
FILE: Schema = {"type": "string", "format": "binary"}
NULL: Schema = {"type": "null"}

# What the text in a path is. Typed ones also take the words `me`, `notme` and `new`, which only
# mean something where an app says so: they are left out.
_IN_PATH: dict[Callable[[str], Any], Schema] = {
    CONVERTERS["string"]: {"type": "string", "minLength": 1},
    CONVERTERS["int"]: {"type": "integer", "minimum": 0},
    CONVERTERS["float"]: {"type": "number", "minimum": 0},
    CONVERTERS["uuid"]: {"type": "string", "format": "uuid"},
    CONVERTERS["path"]: {"type": "string"},
}


class Schemas:
    """The schemas of all hints of an app, in which types with names are references.

    Parameters:
        hints: resolved type hints. Those that have no schema are left out.

    Attributes:
        components: name to schema, for ``components/schemas``.
    """

    def __init__(self, hints: Iterable[Any]) -> None:
        known = [hint for hint in hints if _generate([hint]) is not None]
        made, self.components = _generate(known) or ((), {})
        # By identity: hints need not be hashable. They are kept, so no other object gets their id.
        self._made = {id(hint): (hint, schema) for hint, schema in zip(known, made, strict=True)}

    def of(self, hint: Any) -> Schema:
        """A copy of the schema of one of the hints; empty where there is none."""
        found = self._made.get(id(hint))
        return copy.deepcopy(found[1]) if found else {}

    def properties(self, schema: Schema) -> Schema | None:
        """The object behind a schema, following a reference; None for what is no object."""
        reference = schema.get("$ref", "")
        target = self.components.get(reference.rpartition("/")[2], schema)
        return target if target.get("type") == "object" and "properties" in target else None


def path_schema(convert: Callable[[str], Any]) -> Schema:
    """What a parameter of a path is, by its converter."""
    return dict(_IN_PATH[convert])


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if not schema or schema.get("type") == "null" or NULL in schema.get("anyOf", ()):
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), NULL]}


def has_file(schema: Schema) -> bool:
    """Whether a value or one of its items is an uploaded file."""
    inner = [schema.get("items") or {}, *schema.get("anyOf", ())]
    return schema.get("format") == "binary" or any(map(has_file, filter(None, inner)))


def _generate(hints: list[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]] | None:
    try:
        made, components = msgspec.json.schema_components(
            hints, schema_hook=_custom, ref_template=REFERENCE
        )
    except Exception:  # types are code of the app: their errors are not limited
        return None
    return made, components


def _custom(kind: type) -> Schema:
    if inspect.isclass(kind) and issubclass(kind, UploadedFile):
        return FILE
    raise NotImplementedError
