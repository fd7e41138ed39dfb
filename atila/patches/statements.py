"""Statements of a model: builders of ``skitai.sql`` that know its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atila.context import current
from atila.patches.facts import facts_of, stored
from atila.patches.validation import validated
from skitai.sql import Builders, Delete, F, Insert, Q, Select, SqlError, Update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from atila.patches.facts import Facts
    from skitai.sql.assigning import Returned
    from skitai.sql.builder import Builder
    from skitai.sql.filtering import Filtered

    class _Base(Filtered, Returned): ...

else:
    _Base = object


class Fields(_Base):
    """A statement whose conditions and columns may be named by fields.

    Attributes:
        facts: of the model; None for a statement around another one, which has only columns.
        this: what ``this__`` is.
    """

    facts: Facts | None = None
    this = ""

    def filter(self, /, *conditions: Any, **named: Any) -> Self:
        if self.facts is None:
            return super().filter(*conditions, **named)
        return super().filter(self._conditions(conditions, named))

    def exclude(self, /, *conditions: Any, **named: Any) -> Self:
        if self.facts is None:
            return super().exclude(*conditions, **named)
        return super().exclude(self._conditions(conditions, named))

    def returning(self, *columns: Any) -> Self:
        return super().returning(*self._columns_of(columns))

    def _conditions(self, conditions: tuple[Any, ...], named: dict[str, Any]) -> Q:
        assert self.facts is not None
        return self.facts.conditions(conditions, named, self._dialect.name, self.this)

    def _columns_of(self, columns: tuple[Any, ...]) -> list[Any]:
        facts = self.facts
        if facts is None:
            return list(columns)
        return [facts.columns(column, self.this) for column in columns]


def merged(values: Any, named: Mapping[str, Any]) -> Any:
    """A payload with more values; what is no dictionary is refused later."""
    if values is None:
        return named
    return {**values, **named} if named and isinstance(values, Mapping) else values


def row_of(
    facts: Facts | None, dialect: str, values: Mapping[str, Any], create: bool = False
) -> dict[str, Any]:
    """The values of a statement by column, checked, in the form in which they are stored."""
    assert facts is not None
    return {
        name: stored(facts.names[name], value, dialect) if name in facts.names else value
        for name, value in validated(facts, values, create).items()
    }


class ModelSelect(Fields, Select):
    """A select of a model's rows."""

    def get(self, *columns: Any) -> Self:
        return super().get(*self._columns_of(columns))

    def order_by(self, *columns: Any) -> Self:
        return super().order_by(*self._columns_of(columns))

    def group_by(self, *columns: Any) -> Self:
        return super().group_by(*self._columns_of(columns))


class ModelInsert(Insert):
    """An insert of rows of a model."""

    facts: Facts

    def add(self, payload: Any, named: dict[str, Any]) -> Self:
        """Take the rows, checked and completed."""
        facts, dialect = self.facts, self._dialect.name
        if isinstance(payload, (list, tuple)):
            rows = [row_of(facts, dialect, merged(row, named), True) for row in payload]
            return super().set(rows)
        return super().set(row_of(facts, dialect, merged(payload, named), True))

    def set(self, values: Any = None, /, **named: Any) -> Self:
        return super().set(row_of(self.facts, self._dialect.name, merged(values, named)))

    data = set

    def returning(self, *columns: Any) -> Self:
        return super().returning(*[self.facts.columns(column) for column in columns])

    def upflict(self, field: str = "", /, **updates: Any) -> Self:
        values = row_of(self.facts, self._dialect.name, updates) if updates else {}
        return super().upflict(self.facts.columns(field), **values)


class ModelUpdate(Fields, Update):
    """An update of rows of a model."""

    def set(self, values: Any = None, /, **named: Any) -> Self:
        return super().set(row_of(self.facts, self._dialect.name, merged(values, named)))

    data = set


class ModelDelete(Fields, Delete):
    """A delete of rows of a model."""


class Statements:
    """Begins statements of a model.

    Parameters:
        model: it.
        builders: what makes them; default: the database of the model.
    """

    def __init__(self, model: Any, builders: Any = None) -> None:
        self._model = model
        self._facts = facts_of(model)
        self._builders: Builders = database_of(model) if builders is None else builders
        self._facts.check_for(self._builders.dialect)

    def add(
        self,
        payload: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        /,
        **named: Any,
    ) -> ModelInsert:
        """See ``Model.add``."""
        insert: ModelInsert = self._begin(ModelInsert)
        return insert.add(payload, named)

    def get(self, /, *conditions: Any, **named: Any) -> ModelSelect:
        """See ``Model.get``."""
        select: ModelSelect = self._begin(ModelSelect)
        return select.filter(*self._parts(conditions), **named)

    def set(self, payload: Mapping[str, Any], /, *conditions: Any, **named: Any) -> ModelUpdate:
        """See ``Model.set``."""
        update: ModelUpdate = self._begin(ModelUpdate)
        return update.set(payload).filter(*self._parts(conditions), **named)

    def remove(self, /, *conditions: Any, **named: Any) -> ModelDelete:
        """See ``Model.remove``."""
        delete: ModelDelete = self._begin(ModelDelete)
        return delete.filter(*self._parts(conditions), **named)

    def with_(self, alias: Any, cte: Any = None) -> Statements:
        """See ``Model.with_``."""
        return Statements(self._model, self._builders.with_(alias, cte))

    def fromcte(self, alias: str) -> ModelSelect:
        """See ``Model.fromcte``."""
        select: ModelSelect = self._begin(ModelSelect, alias)
        select.this = alias
        return select

    def alias(self, tbl: str) -> ModelSelect:
        """See ``Model.alias``."""
        select: ModelSelect = self._begin(ModelSelect, self._facts.table, tbl)
        select.this = tbl
        return select

    def _begin(self, kind: Any, table: str = "", alias: str = "") -> Any:
        statement = self._builders.begin(kind, table or self._facts.table, alias)
        statement.facts = self._facts
        return statement

    def _parts(self, conditions: tuple[Any, ...]) -> list[Any]:
        """Conditions without names: what is none is the primary key."""
        found = []
        for one in conditions:
            if one is None:
                raise SqlError(f"{self._facts.name}: the primary key is None, which no row has")
            found.append(one if isinstance(one, (Q, F)) else Q(pk=getattr(one, "pk", one)))
        return found


class _NoRequest:
    """Stands for a database where no request is."""

    def run(self, builder: Builder) -> Any:
        raise RuntimeError(
            "statements of models are executed for a request, and here is none. Import the models "
            "at the top of a module of the app; elsewhere use was.db(), or their Django manager"
        )


def database_of(model: Any, **options: Any) -> Any:
    """The database of a model, for the request that is answered here.

    Where there is none its statements can be built, but not executed.

    Raises ``TypeError`` when the alias is no SQL database, and what ``was.db`` raises.
    """
    was = current.get()
    if was is None:
        from django.db import connection

        dialect = "sqlite" if connection.vendor == "sqlite" else "postgresql"
        return Builders(dialect, _NoRequest())
    database = was.db(model._alias, **options)
    if not isinstance(database, Builders):
        raise TypeError(f"{model._alias} of {model.__name__} is no SQL database")
    return database
