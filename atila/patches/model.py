"""What makes a model of Django one of ours: class methods that begin statements."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from django.db import models

import skitai.current
from atila.patches.facts import facts_of
from atila.patches.statements import Statements, database_of
from atila.patches.validation import validated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atila.patches.statements import ModelDelete, ModelInsert, ModelSelect, ModelUpdate
    from skitai.upstream.transactions import Transaction

skitai.current.want()


class ModelMethods:
    """What ``Model`` adds to a model of Django: class methods that begin statements.

    ``objects`` is Django's own manager still. The class methods are for functions that answer a
    request, or what these call: there they know who asks. Elsewhere their statements can be looked
    at, but not executed.

    Attributes:
        _alias: alias of the database.
    """

    _alias = "@rdb"

    @classmethod
    def add(
        cls, payload: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, /, **named: Any
    ) -> ModelInsert:
        """Begin an insert.

        Parameters:
            payload: values by field; or several of such.
            named: more values, for all rows.

        Raises Django's ``ValidationError`` for values that can't be; see ``validate``.
        """
        return Statements(cls).add(payload, **named)

    @classmethod
    def get(cls, /, *conditions: Any, **named: Any) -> ModelSelect:
        """Begin a select.

        Parameters:
            conditions: ``Q``, ``F``; anything else is the primary key.
            named: as in ``filter``; one whose value is None drops out.

        Raises ``SqlError`` for a primary key that is None, and as ``filter`` does.
        """
        return Statements(cls).get(*conditions, **named)

    @classmethod
    def set(cls, payload: Mapping[str, Any], /, *conditions: Any, **named: Any) -> ModelUpdate:
        """Begin an update.

        Parameters:
            payload: values by field.
            conditions, named: as of ``get``; without any, ``all()`` has to follow.

        Raises ``ValidationError`` as ``add`` does, and ``SqlError`` as ``get`` does.
        """
        return Statements(cls).set(payload, *conditions, **named)

    @classmethod
    def remove(cls, /, *conditions: Any, **named: Any) -> ModelDelete:
        """Begin a delete. Parameters, and what it raises: ``get``; or ``all()`` has to follow."""
        return Statements(cls).remove(*conditions, **named)

    @classmethod
    def with_(cls, alias: Any, cte: Any = None) -> Statements:
        """Begin with a WITH clause; go on with ``get``, ``set``, ``add``, ``remove``, ``fromcte``.

        Parameters: see ``skitai.sql.Builder.with_``.
        """
        return Statements(cls).with_(alias, cte)

    @classmethod
    def fromcte(cls, alias: str) -> ModelSelect:
        """Begin a select from a part of WITH that has rows of this model."""
        return Statements(cls).fromcte(alias)

    @classmethod
    def alias(cls, tbl: str) -> ModelSelect:
        """Begin a select where the table has another name, for joins."""
        return Statements(cls).alias(tbl)

    @classmethod
    def db(cls, **options: Any) -> Any:
        """The database of the model: ``was.db(cls._alias, **options)``."""
        return database_of(cls, **options)

    @classmethod
    def transaction(cls, **options: Any) -> Transaction:
        """A transaction: ``was.transaction(cls._alias, **options)``; it executes statements."""
        transaction: Transaction = database_of(cls, **options).transaction()
        return transaction

    @classmethod
    def get_table_name(cls) -> str:
        """The table, quoted where SQL needs it."""
        return facts_of(cls).table

    @classmethod
    def get_columns(cls) -> list[str]:
        """The columns, in the order of the fields."""
        return [field.column for field in facts_of(cls).fields]

    @classmethod
    def get_pk(cls) -> str:
        """The column of the primary key."""
        return str(facts_of(cls).pk.column)

    @classmethod
    def get_fks(cls) -> dict[str, str]:
        """The columns of foreign keys by field."""
        return {f.name: f.column for f in facts_of(cls).fields if f.remote_field is not None}

    @classmethod
    def validate(cls, payload: Mapping[str, Any], create: bool = False) -> dict[str, Any]:
        """The values of a statement by column, checked; see ``atila.patches.validation``.

        Parameters:
            payload: values by field.
            create: it is for a new row: fields that are missing get their defaults.

        Raises Django's ``ValidationError`` with the messages by field.
        """
        return validated(facts_of(cls), payload, create)

    @staticmethod
    def utcnow() -> datetime:
        """Now, in UTC, with its zone."""
        return datetime.now(timezone.utc)


def make_model() -> Any:
    """The class ``Model``. Django must know its apps, and is asked once."""

    class Model(ModelMethods, models.Model):  # type: ignore[misc]
        """A model of Django, with migrations, validation and admin, whose statements are tasks."""

        __module__ = "atila.patches.djangopatch"

        class Meta:
            abstract = True

    Model.__qualname__ = "Model"
    return Model
