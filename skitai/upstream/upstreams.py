"""``Upstreams``: all databases, services and executors of one worker.

The worker makes it; the ``was`` of frameworks starts its tasks through it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from skitai.executors.subprocesses import end_commands, run_subprocess
from skitai.tasks.executed import execute
from skitai.tasks.reply import Reply
from skitai.tasks.task import Task
from skitai.upstream.aliases import Aliases, parse_reference
from skitai.upstream.backends import make_backend
from skitai.upstream.calls import PLAIN, Calls, Options
from skitai.upstream.databases import CommandDatabase, SqlDatabase
from skitai.upstream.http.backend import HttpBackend
from skitai.upstream.http.url import parse_url
from skitai.upstream.interfaces import sql_dialect
from skitai.upstream.kinds import DB_PGSQL, PROTO_HTTP
from skitai.upstream.place import Place
from skitai.upstream.services import JsonRpcStub, Stub, XmlRpcStub, send
from skitai.upstream.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.config import ExecutorConfig
    from skitai.executors.processes import ProcessExecutor
    from skitai.executors.threaded import ThreadExecutor
    from skitai.stores.locks import SharedLock, SharedLocks
    from skitai.stores.result_cache import ResultCache
    from skitai.stores.shared import SharedSlots
    from skitai.tasks.loops import TaskLoop
    from skitai.upstream.aliases import Alias
    from skitai.upstream.calls import Owner
    from skitai.upstream.grpc.stub import GrpcStub
    from skitai.upstream.interface import Backend, Member

log = logging.getLogger("skitai")

# Upstreams that are named by a URL instead of an alias; the one used longest ago is forgotten.
MAX_UNNAMED = 64
CLOSE_SECONDS = 2.0
# Of was.Subprocess, at a time; others wait for their turn.
MAX_COMMANDS = 64


class Upstreams:
    """What a worker reaches.

    Parameters:
        loop: of the worker; this object is made there.
        aliases: of the service.
        shared, locks: over all workers.
        executors: sizes and limits.
        cache: results.

    Attributes:
        aliases: of the service.
        threads, processes: executors of ``was.Thread`` and ``was.Process``.
    """

    def __init__(
        self,
        loop: TaskLoop,
        aliases: Aliases,
        shared: SharedSlots,
        locks: SharedLocks,
        executors: ExecutorConfig,
        cache: ResultCache,
    ) -> None:
        self.loop = loop
        self.shared = shared
        self.cache = cache
        self.aliases = aliases
        self._locks = locks
        self._executors = executors
        self.threads: ThreadExecutor = executors.threads()
        self.processes: ProcessExecutor = executors.processes()
        self._places: dict[Alias, Place] = {}
        self._grpc_places: dict[Alias, Place] = {}
        self._unnamed: OrderedDict[Any, Place] = OrderedDict()
        self._lock = threading.Lock()
        self._commands = Slots(MAX_COMMANDS, "commands")

    # -- databases

    def database(
        self,
        owner: Owner,
        several: bool,
        server: str,
        dbname: str | None = None,
        auth: tuple[str, str] | None = None,
        dbtype: str = DB_PGSQL,
        transaction: bool = False,
        cursor: bool = False,
        **options: Any,
    ) -> Any:
        """A database (seed, PostgreSQL / SQLite3; MongoDB; Redis).

        Parameters:
            server: ``"@alias"``; or ``host:port``, with ``dbname``, ``auth`` and ``dbtype``.
            transaction, cursor: one connection, see ``was.transaction`` and ``was.cursor``.
            options: see ``skitai.upstream.calls.Options``.

        Raises ``UnknownAlias``; ``TypeError`` for an unknown option, for an alias that is no
        database, and for a transaction of what is no SQL database.
        """
        if server[:1] == "@":
            place, _ = self._find(owner, server)
        else:
            place = self._unnamed_database(server, dbname, auth, dbtype)
        calls = self._calls(place, owner, several, Options(**options) if options else PLAIN)
        dialect = sql_dialect(place.kind)
        if dialect is None:
            if transaction or cursor:
                raise TypeError(f"{place.name} is no SQL database, it has no transactions")
            if not place.kind.startswith("*"):
                raise TypeError(f"{place.name} is a service: was.stub({server!r})")
            return CommandDatabase(calls)
        database = SqlDatabase(calls, dialect, owner.templates)
        if transaction:
            return database.transaction()
        return database.cursor() if cursor else database

    # -- services

    def stub(self, owner: Owner, several: bool, base: str, **options: Any) -> Stub:
        """A service over HTTP (seed, HTTP Based Protocols); ``base`` is an alias or a URL."""
        return Stub(*self._service(owner, several, base, options))

    def xmlrpc(self, owner: Owner, several: bool, base: str, **options: Any) -> XmlRpcStub:
        """A service that speaks XML-RPC."""
        return XmlRpcStub(*self._service(owner, several, base, options))

    def jsonrpc(self, owner: Owner, several: bool, base: str, **options: Any) -> JsonRpcStub:
        """A service that speaks JSON-RPC."""
        return JsonRpcStub(*self._service(owner, several, base, options))

    def grpc(
        self, owner: Owner, several: bool, base: str, compress: str = "", **options: Any
    ) -> GrpcStub:
        """A gRPC service; ``base`` is an alias or a URL, and behind it ``/package.Service``."""
        from skitai.upstream.grpc.stub import GrpcStub  # most services ask for none

        place, path = self._grpc_place(owner, base)
        options.setdefault("use_cache", True)
        calls = self._calls(place, owner, several, Options(**options))
        return GrpcStub(calls, path, compress)

    def request(
        self,
        owner: Owner,
        several: bool,
        method: str,
        uri: str,
        data: Any = None,
        **options: Any,
    ) -> Task:
        """One request; ``uri`` is ``"@alias/path"`` or a URL."""
        calls, path = self._service(owner, several, uri, options)
        return send(calls, "", method, path, () if data is None else (data,), {})

    def service(self, owner: Owner, base: str) -> tuple[Place, str]:
        """The place and the path that an alias or a URL stands for."""
        if base[:1] == "@":
            place, path = self._find(owner, base)
            if place.kind.startswith("*"):
                raise TypeError(f"{place.name} is a database: was.db({base!r})")
            return place, path
        return self._unnamed_service(base)

    def mounted(self, name: str) -> tuple[Alias, Place]:
        """An alias of the service, for a mount. Raises ``UnknownAlias``."""
        alias = self.aliases.find(name)
        place = self._places.get(alias)
        if place is None:
            place = self._places.setdefault(alias, _place_of(alias))
        return alias, place

    def _service(
        self, owner: Owner, several: bool, base: str, options: dict[str, Any]
    ) -> tuple[Calls, str]:
        place, path = self.service(owner, base)
        options.setdefault("use_cache", True)
        return self._calls(place, owner, several, Options(**options)), path

    # -- executors

    def in_thread(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Task:
        """Call a function in a thread; see ``skitai.tasks.executed.execute``."""
        timeout = self._executors.zombie_timeout
        return execute(self.loop, self.threads, timeout, function, args, kwargs, True)

    def in_process(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Task:
        """Call a function in another process."""
        timeout = self._executors.zombie_timeout
        return execute(self.loop, self.processes, timeout, function, args, kwargs, False)

    def run_command(
        self,
        command: str | list[str],
        timeout: float | None,
        meta: dict[str, Any] | None,
        filter: Callable[[Any], Any] | None,
    ) -> Task:
        """Run a command."""
        seconds = self._executors.zombie_timeout if timeout is None else timeout

        async def work() -> Reply:
            await self._commands.acquire()
            try:
                return Reply(await run_subprocess(command, None))
            finally:
                self._commands.release()

        return Task(self.loop, work, seconds, meta, filter)

    def lock(self, name: str) -> SharedLock:
        """A lock of all workers."""
        return self._locks.get(name)

    # -- places

    def _calls(self, place: Place, owner: Owner, several: bool, options: Options) -> Calls:
        return Calls(self.loop, place, options, owner, self.cache, self.shared, several)

    def _find(self, owner: Owner, reference: str) -> tuple[Place, str]:
        """The place of an alias, which may be one of the app alone, and what follows its name."""
        name, path = parse_reference(reference)
        alias = self.aliases.find(name, owner.aliases)
        place = self._places.get(alias)
        if place is None:
            place = self._places.setdefault(alias, _place_of(alias))
        return place, path

    def _grpc_place(self, owner: Owner, base: str) -> tuple[Place, str]:
        """The place of a service whose members are asked over gRPC, and what follows its name."""
        from skitai.upstream.grpc.stub import grpc_place

        if base[:1] != "@":
            member, path = parse_url(base)
            key = (PROTO_HTTP, member)
            place = self._known(key) or self._remember(key, grpc_place(member.name, [member]))
            return place, path
        name, path = parse_reference(base)
        alias = self.aliases.find(name, owner.aliases)
        if alias.kind != PROTO_HTTP:
            raise TypeError(
                f"@{name} is no service: define it with skitai.PROTO_HTTP or PROTO_HTTPS"
            )
        found = self._grpc_places.get(alias)
        if found is None:
            made = grpc_place(f"@{alias.name}", alias.members, alias.max_conns, alias.verify)
            found = self._grpc_places.setdefault(alias, made)
        return found, path

    def _unnamed_database(
        self, server: str, dbname: str | None, auth: tuple[str, str] | None, kind: str
    ) -> Place:
        """The place of a database that is named by its server."""
        key = (server, dbname, auth, kind)
        place = self._known(key)
        if place is None:
            text = (
                f"{quote(auth[0], safe='')}:{quote(auth[1], safe='')}@{server}" if auth else server
            )
            aliases = Aliases()
            aliases.add("unnamed", kind, f"{text}/{dbname}" if dbname else text)
            place = self._remember(key, _place_of(aliases.find("unnamed")))
        return place

    def _unnamed_service(self, url: str) -> tuple[Place, str]:
        """The place of the origin of a URL, and what follows it."""
        member, target = parse_url(url)
        place = self._known(member)
        if place is None:

            def make(member: Member) -> Backend:
                return HttpBackend(member)

            place = self._remember(member, Place(member.name, PROTO_HTTP, [member], make))
        return place, target

    def _known(self, key: Any) -> Place | None:
        with self._lock:
            place = self._unnamed.get(key)
            if place is not None:
                self._unnamed.move_to_end(key)
            return place

    def _remember(self, key: Any, place: Place) -> Place:
        with self._lock:
            place = self._unnamed.setdefault(key, place)
            if len(self._unnamed) > MAX_UNNAMED:
                # What runs there goes on; its connections are closed when they have been idle.
                self._unnamed.popitem(last=False)
        return place

    def conditions(self) -> list[dict[str, Any]]:
        """How the members of aliases do, of those that were asked; on the loop."""
        places = [*self._places.values(), *self._grpc_places.values()]
        return [condition for place in places for condition in place.conditions()]

    # -- the end

    async def close(self) -> None:
        """Close all connections, for a moment; what still runs fails."""
        named = (*self._places.values(), *self._grpc_places.values())
        places = [*named, *self._unnamed.values()]
        closing = [asyncio.ensure_future(place.close()) for place in places]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        for closed in closing:
            if not closed.done():
                closed.cancel()
            elif closed.exception() is not None:
                log.error("closing an upstream failed", exc_info=closed.exception())

    def stop(self, timeout: float) -> None:
        """End the executors, what they run fails; in a thread. It may be called again.

        Parameters:
            timeout: seconds that running jobs have to end.
        """
        self.threads.stop(timeout)
        self.processes.stop(timeout)
        end_commands(timeout)


def _place_of(alias: Alias) -> Place:
    def make(member: Member) -> Backend:
        return make_backend(alias.kind, member, alias.max_conns, alias.verify)

    return Place(f"@{alias.name}", alias.kind, alias.members, make)
