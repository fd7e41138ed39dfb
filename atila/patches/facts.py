"""``Facts``: what statements have to know of a model: table, columns, forms of values.

Django and statements share the rows, so values are stored in the form that Django's own have.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.utils import timezone as django_timezone
from django.utils.duration import duration_microseconds

from skitai.errors import ConfigError
from skitai.sql import Builder, F, Q, V, const
from skitai.sql.names import column

if TYPE_CHECKING:
    from collections.abc import Callable

EXPRESSIONS = (Builder, F, Q, V, const)
NAME = re.compile(r"[^\W\d]\w*")
_NAMES = re.compile(r"[\w\s.,+-]*")
_PIECE = re.compile(r"(?P<before>\s*[+-]?\s*)(?P<name>[\w.]+)(?P<behind>(?:\s+\w+)*\s*)")
THIS = "this"


class Facts:
    """A model, as statements see it.

    Parameters:
        model: a subclass of ``django.db.models.Model``.

    Attributes:
        fields: those that are columns.
        names: fields by name, column and attribute: ``owner``, ``owner_id``, ``pk``.
        pk: the field of the primary key.
        table_name, table: its name, and the same quoted where SQL needs it.

    Raises ``ConfigError`` for an abstract model, and for one whose rows are in several tables.
    """

    def __init__(self, model: Any) -> None:
        meta = model._meta
        self.name = str(meta.label)
        if meta.abstract:
            raise ConfigError(f"{self.name} is abstract, it has no table")
        meta = meta.concrete_model._meta
        if meta.parents:
            raise ConfigError(
                f"{self.name} has its rows in several tables: inherit from an abstract model, or "
                "use its Django manager"
            )
        self.fields: list[Any] = list(meta.local_concrete_fields)
        self.pk: Any = meta.pk
        self.table_name = str(meta.db_table)
        self.table = self.table_name
        if '"' not in self.table:  # otherwise it is written as SQL
            self.table = quoted(self.table)
        self.names: dict[str, Any] = {"pk": self.pk}
        for field in self.fields:
            self.names.update({field.column: field, field.attname: field, field.name: field})
        self._odd = [
            name
            for name in (self.table_name, *[str(field.column) for field in self.fields])
            if name != name.lower()
        ]

    def check_for(self, dialect: str) -> None:
        """Raise ``ConfigError`` when statements can't name something in PostgreSQL."""
        if self._odd and dialect == "postgresql":
            raise ConfigError(
                f"{self.name}: {self._odd[0]!r} has capital letters, which PostgreSQL wants to be "
                "quoted everywhere: give db_table or db_column in small ones"
            )

    def column(self, name: str, this: str = "") -> str:
        """A name of a statement, where names of fields stand for their columns.

        Parameters:
            name: may have a table before it; ``this.`` is that of the model.
            this: its name in the statement.
        """
        before, dot, last = name.rpartition(".")
        if dot and before not in (THIS, self.table_name):
            return name
        field = self.names.get(last)
        column = last if field is None else str(field.column)
        if not dot:
            return column
        return f"{this or self.table_name}.{column}" if before == THIS else f"{before}.{column}"

    def columns(self, given: Any, this: str = "") -> Any:
        """The same for ``"id, -owner"``; what is more than names is left alone."""
        if not isinstance(given, str) or not _NAMES.fullmatch(given):
            return given
        pieces = []
        for piece in given.split(","):
            found = _PIECE.fullmatch(piece)
            if found is not None:
                names = self.column(found["name"], this).split(".")
                column = ".".join(map(quoted, names)) if all(names) else found["name"]
                piece = f"{found['before']}{column}{found['behind']}"
            pieces.append(piece)
        return ",".join(pieces)

    def conditions(
        self, parts: tuple[Any, ...], named: dict[str, Any], dialect: str, this: str = ""
    ) -> Q:
        """Conditions of ``filter``, with columns for fields and values as they are stored."""

        def translate(name: str, value: Any, plain: bool) -> tuple[str, Any]:
            before, _, last = name.rpartition(".")
            field = self.names.get(last) if before in ("", THIS, self.table_name) else None
            if field is not None and plain:
                value = stored(field, value, dialect)
            return self.column(name, this), value

        return Q(*parts, **named).translated(translate)


def quoted(name: str) -> str:
    """A name as it is written in SQL: reserved ones are quoted."""
    return column(name)[0] if NAME.fullmatch(name) else name


# The facts of a model, found once. Raises what ``Facts`` raises.
facts_of: Callable[[Any], Facts] = lru_cache(1024)(Facts)


def stored(field: Any, value: Any, dialect: str) -> Any:
    """A value in the form in which Django stores it; of a list, each.

    Parameters:
        field: the column's.
        dialect: ``"postgresql"`` or ``"sqlite"``.
    """
    if isinstance(value, (list, tuple)) and not isinstance(field, models.JSONField):
        return type(value)([stored(field, one, dialect) for one in value])
    if value is None or isinstance(value, EXPRESSIONS):
        return value
    if isinstance(value, models.Model):
        value = value.pk
    if isinstance(value, Enum):
        value = value.value
    field = target_of(field)
    if isinstance(field, models.JSONField):
        return json.dumps(value, cls=field.encoder)
    if isinstance(value, datetime):
        return _moment(value, dialect)
    if dialect == "sqlite":
        return _for_sqlite(field, value)
    return value


def target_of(field: Any) -> Any:
    """The field whose values a field has: of a foreign key, what it leads to."""
    while field.remote_field is not None:
        field = field.target_field
    return field


def _moment(value: datetime, dialect: str) -> Any:
    """A moment as Django keeps it: with a zone if ``USE_TZ``, which SQLite has not."""
    if not settings.USE_TZ:
        if django_timezone.is_aware(value):
            return django_timezone.make_naive(value, django_timezone.get_default_timezone())
        return value
    if django_timezone.is_naive(value):
        value = django_timezone.make_aware(value, django_timezone.get_default_timezone())
    if dialect == "sqlite":
        return value.astimezone(timezone.utc).replace(tzinfo=None)
    return value


def _for_sqlite(field: Any, value: Any) -> Any:
    if isinstance(field, models.UUIDField) and isinstance(value, str):
        try:
            value = UUID(value)
        except ValueError:
            return value
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, timedelta):
        return duration_microseconds(value)
    return value
