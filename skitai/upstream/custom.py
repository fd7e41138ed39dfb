"""``Interface``: a connection to a kind of database that an app brings itself.

Public in ``skitai.dbi``; ``custom_backend`` makes and uses the objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from skitai.tasks.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Collection

    from skitai.upstream.commands import Command
    from skitai.upstream.interface import Member


class ServerError(TaskError):
    """The server answered that something went wrong; the connection can be used again."""


class Interface:
    """One connection to a server (seed, Adding Custom Database Interface).

    A subclass is made known with ``skitai.add_database_interface("*name", Class)``, and an alias of
    that type uses it. The engine makes an object for each connection, without arguments, when no
    other is free; it calls ``connect`` once, ``execute`` for one command at a time, and ``close``.
    All of it happens on the event loop, so nothing may block. Deadlines and clients that leave
    cancel what runs, and the connection is closed.

    What ``connect`` and ``execute`` may raise:

    - ``ServerError``, one of ``errors``: the server has refused it. The app gets that exception,
      and the connection stays if it is ``usable``.
    - ``OSError``, ``EOFError``: the connection is broken, and is closed. The app gets that too;
      another member of the alias is asked where that can't harm.
    - ``RequestFailed``, ``NotImplementedError``: nothing was sent, the command isn't possible.
    - anything else is an error in the program: the client gets a 500, the connection is closed.

    Attributes:
        dialect: of SQL, for interfaces of SQL databases only: see ``skitai.dbi.rdbms``.
        default_port: for members that name none.
        commands: the names that are commands, so that others are refused with a hint. By default
            every name is one.
        errors: exceptions, beside ``ServerError``, that say what the server answered.
        member: host, port, path, user, password, and whether to encrypt; set before ``connect``.
        verify: how certificates are checked, as the alias says.
    """

    dialect: ClassVar[str | None] = None
    default_port: ClassVar[int] = 0
    commands: ClassVar[Collection[str]] = ()
    errors: ClassVar[tuple[type[Exception], ...]] = ()

    member: Member
    verify: bool | str = True

    async def connect(self) -> None:
        """Connect to ``member``, within 5 seconds."""
        raise NotImplementedError(f"{type(self).__name__}.connect is missing")

    async def execute(self, command: Command) -> Any:
        """Run a command: ``db.get("foo", ttl=3)`` has name, ``args`` and ``kwargs``.

        Returns what ``task.fetch()`` gives.
        """
        raise NotImplementedError(f"{type(self).__name__}.execute is missing")

    async def close(self) -> None:
        """Close the connection; also one that could not be made."""

    def usable(self) -> bool:
        """Whether a connection that nobody uses can be used again; it must not wait."""
        return True
