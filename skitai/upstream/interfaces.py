"""Databases that apps bring themselves: which class speaks for which type of alias."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from skitai.errors import ConfigError
from skitai.upstream.custom import Interface
from skitai.upstream.kinds import KINDS, dialect_of

if TYPE_CHECKING:
    from skitai.upstream.custom_backend import CustomBackend
    from skitai.upstream.interface import Member

DIALECTS = ("postgresql", "sqlite")

_interfaces: dict[str, type[Interface]] = {}


def add_database_interface(name: str, interface: type[Interface]) -> None:
    """Make a type of alias known (seed, Adding Custom Database Interface).

    Call it in the launch script, before the alias. The same call may be made again.

    Parameters:
        name: begins with ``*``, as in ``"*mydbi"``.
        interface: a class derived from ``skitai.dbi.Interface``, or from one of its own, such as
            ``skitai.dbi.asynredis.AsynConnect`` and ``skitai.dbi.rdbms.SqlConnect``.

    Raises ``ConfigError`` for another name, for one that is taken, and for what is no such class.
    """
    if not isinstance(name, str) or not name.startswith("*") or len(name) < 2:
        raise ConfigError(
            f"add_database_interface: the name {name!r} must begin with '*', as in '*mydbi'"
        )
    if not (isinstance(interface, type) and issubclass(interface, Interface)):
        raise ConfigError(
            f"add_database_interface: {interface!r} must be a class derived from "
            "skitai.dbi.Interface, or from another class of skitai.dbi"
        )
    _check(interface)
    known = _interfaces.get(name, interface)
    # A script that is loaded again brings the same class as another object.
    same = (known.__module__, known.__qualname__) == (interface.__module__, interface.__qualname__)
    if name in KINDS or not same:
        raise ConfigError(f"add_database_interface: {name!r} is taken: give another name")
    _interfaces[name] = interface


def interface_of(kind: str) -> type[Interface] | None:
    """The class of a type of alias; None when there is none."""
    return _interfaces.get(kind)


def sql_dialect(kind: str) -> str | None:
    """The dialect of SQL that a type of alias speaks, of an app's own too; None if it doesn't."""
    interface = _interfaces.get(kind)
    return dialect_of(kind) if interface is None else interface.dialect


def adapt(
    interface: type[Interface], member: Member, max_conns: int, verify: bool | str = True
) -> CustomBackend:
    """The backend of a member of such a type."""
    if interface.dialect is None:
        from skitai.upstream.custom_backend import CustomBackend

        return CustomBackend(interface, member, max_conns, verify)
    from skitai.upstream.custom_sql import CustomSqlBackend

    return CustomSqlBackend(interface, member, max_conns, verify)


def _check(interface: type[Interface]) -> None:
    place = f"add_database_interface: {interface.__name__}"
    try:
        inspect.signature(interface).bind()
    except TypeError:
        raise ConfigError(
            f"{place}.__init__ must work without arguments: the server is self.member in connect()"
        ) from None
    for method in ("connect", "execute", "close"):
        if not inspect.iscoroutinefunction(getattr(interface, method)):
            raise ConfigError(f"{place}.{method} must be async def")
    if interface.connect is Interface.connect:
        raise ConfigError(f"{place}.connect is missing")
    if interface.dialect not in (None, *DIALECTS):
        raise ConfigError(f"{place}.dialect is {interface.dialect!r}: give one of {DIALECTS}")
