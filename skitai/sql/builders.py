"""``Builders``: where statements begin, as ``db.select(…)``. Databases of apps inherit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.builder import Builder
from skitai.sql.changes import Delete, Insert, Update
from skitai.sql.dialects import find_dialect
from skitai.sql.select import Select
from skitai.sql.templates import Sql, Template

if TYPE_CHECKING:
    from typing import TypeVar

    from skitai.sql.builder import Runner
    from skitai.sql.template_files import SqlTemplates

    B = TypeVar("B", bound=Builder)
    S = TypeVar("S", Select, Insert, Update, Delete)


class Builders:
    """Makes builders.

    Parameters:
        dialect: ``"postgresql"`` or ``"sqlite"``.
        runner: what executes them; None when there is no database.
        templates: those of files, as attributes: ``db.users.newest``.

    In all methods ``table`` is a name, ``"name alias"`` or a model.
    """

    def __init__(
        self, dialect: str, runner: Runner | None = None, templates: SqlTemplates | None = None
    ) -> None:
        self._dialect = find_dialect(dialect)
        self._runner = runner
        self._templates = templates
        self._with: Builder | None = None

    @property
    def dialect(self) -> str:
        """``"postgresql"`` or ``"sqlite"``."""
        return self._dialect.name

    def select(self, table: Any, alias: str = "") -> Select:
        """Begin a select. ``table`` may be a builder as well: a sub-select."""
        return self._begin(Select(self._dialect, self._runner, table, alias))

    def insert(self, table: Any, alias: str = "") -> Insert:
        """Begin an insert."""
        return self._begin(Insert(self._dialect, self._runner, table, alias))

    def update(self, table: Any, alias: str = "") -> Update:
        """Begin an update. It needs ``filter`` or ``all``."""
        return self._begin(Update(self._dialect, self._runner, table, alias))

    def delete(self, table: Any, alias: str = "") -> Delete:
        """Begin a delete. It needs ``filter`` or ``all``."""
        return self._begin(Delete(self._dialect, self._runner, table, alias))

    def with_(self, alias: Any, sql: Any = None) -> Builders:
        """Begin with a WITH clause; go on with ``select`` and so on. See ``Builder.with_``."""
        base = Builder(self._dialect, self._runner) if self._with is None else self._with.clone()
        other = Builders.__new__(Builders)
        other.__dict__.update(self.__dict__)
        other._with = base.with_(alias, sql)
        return other

    def template(self, text: str) -> Template:
        """Begin with SQL that has fields; see ``Template``."""
        return self._begin(Template(self._dialect, self._runner, text))

    from_string = template

    def sql(self, text: str = "", /, *values: Any, **names: Any) -> Sql:
        """Begin with SQL; its fields ``{}`` and ``{name}`` stand for the bound values."""
        return self._begin(Sql(self._dialect, self._runner, text, values, names))

    def begin(self, kind: type[S], table: Any, alias: str = "") -> S:
        """Begin a statement of a class of your own, derived from ``Select`` and so on."""
        return self._begin(kind(self._dialect, self._runner, table, alias))

    def _begin(self, builder: B) -> B:
        if self._with is not None:
            builder._ctes = self._with._ctes
            builder._recursive = self._with._recursive
        return builder

    def __getattr__(self, name: str) -> Any:
        templates = None if name.startswith("_") else self._templates
        if templates is not None:
            found = templates.find(name, self.template)
            if found is not None:
                return found
        known = f"; SQL templates: {', '.join(templates.names)}" if templates is not None else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{known}")
