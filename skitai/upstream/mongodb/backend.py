"""``MongodbBackend``: methods of collections on one MongoDB, by pymongo's asynchronous client.

Balancing makes one for each member of an alias. Loading this module loads the driver.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError, RequestFailed, network_failure
from skitai.tasks.reply import Reply
from skitai.upstream.commands import MAX_ITEMS, Command, database_failure, refused
from skitai.upstream.pool import CONNECT_SECONDS, IDLE_SECONDS
from skitai.upstream.slots import Slots

try:
    from bson.errors import InvalidDocument, InvalidStringData
    from pymongo import AsyncMongoClient, errors
    from pymongo.asynchronous.command_cursor import AsyncCommandCursor
    from pymongo.asynchronous.cursor import AsyncCursor
    from pymongo.uri_parser import parse_uri

    from skitai.upstream.mongodb.methods import KIND, Call, resolve
    from skitai.upstream.mongodb.results import plain
    from skitai.upstream.mongodb.watch import Watch
except ImportError as exc:
    raise ConfigError(
        "an alias of MongoDB needs its client: pip install 'skitai[mongodb]'"
    ) from exc

if TYPE_CHECKING:
    from skitai.upstream.interface import Member
    from skitai.upstream.mongodb.watch import Progress

MAX_CONNECTIONS = 32
# How often a server is asked whether it is there: so late is it noticed that it came back.
HEARTBEAT_SECONDS = 1.0
# How long work that was broken off may take to end, until it is broken off again. Sooner would
# be too soon: a second cancellation while the driver cleans up behind the first spoils its locks.
PATIENCE_SECONDS = 1.0

# What the driver raises before it sends anything.
_REFUSALS = (
    TypeError,
    ValueError,
    OverflowError,
    InvalidDocument,
    InvalidStringData,
    errors.InvalidName,
    errors.InvalidOperation,
    errors.ConfigurationError,
    errors.DocumentTooLarge,
)


class MongodbBackend:
    """One database of a MongoDB server, or of the replica set that the server belongs to.

    Parameters:
        member: of the alias; its ``path`` is ``database``, or ``database/collection``. Options of
            the driver may follow, ``mydb?authSource=admin&replicaSet=rs0``. Calls without the name
            of a collection use the last part: the collection, or one with the name of the database.
        max_conns: connections at the same time, 0 for no limit. Two more watch the server.
        verify: certificates of servers are checked with the authorities of the system (True), with
            those in this file, or not at all (False).
        max_items: documents that a call without a ``limit`` collects.
        connect_seconds: for making a connection, and for finding a server that can be used.
        idle_seconds: how long an unused connection is kept.

    Raises ``ConfigError`` for a path, an option or a file that can't be used.
    """

    def __init__(
        self,
        member: Member,
        max_conns: int = MAX_CONNECTIONS,
        verify: bool | str = True,
        max_items: int = MAX_ITEMS,
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        path, _, query = member.path.strip("/").partition("?")
        database, _, collection = path.partition("/")
        self._name = member.name
        self._max_items = max_items
        self._slots = Slots(max_conns, member.name)
        self._watch = Watch()
        self._connect_seconds = connect_seconds
        self._jobs: dict[asyncio.Task[Any], Progress] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Future[None] | None = None
        self._closed = False
        try:
            uri = _uri(member, database, query)
            parse_uri(uri, warn=False)  # the client itself ignores options that it doesn't know
            self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                uri,
                maxPoolSize=max_conns,
                maxIdleTimeMS=round(idle_seconds * 1000),
                connectTimeoutMS=round(connect_seconds * 1000),
                serverSelectionTimeoutMS=round(connect_seconds * 1000),
                heartbeatFrequencyMS=round(HEARTBEAT_SECONDS * 1000),
                serverMonitoringMode="poll",
                appname="skitai",
                tz_aware=True,
                uuidRepresentation="standard",
                event_listeners=self._watch.listeners,
                **_encryption(member, verify),
            )
            self._database = self._client[database]
            self._collection = (collection or database).strip("/")
            self._database.get_collection(self._collection)
        except (errors.PyMongoError, ValueError, TypeError) as exc:
            raise ConfigError(f"alias of MongoDB, {member.name}: {exc}") from exc
        self._watch.on_loss = self._break_off_waiting

    @property
    def busy(self) -> int:
        """Calls that run or wait here."""
        return self._slots.busy

    async def call(self, command: Command) -> Reply:
        """Run a method of a collection or of the database.

        Names, arguments and results: see ``skitai.upstream.mongodb.methods`` and
        ``mongodb_results``. What finds many gives a list.

        Raises ``Failure``, with the errors of ``pymongo.errors``; ``RequestFailed`` for what is no
        method, has other parameters, or finds more than ``max_items`` documents.
        """
        call = resolve(command, self._collection)
        await self._slots.acquire()
        try:
            await self._find_server()
            try:
                return Reply(await self._run(call))
            except Failure as failure:
                if not _was_closed_before(failure.error):
                    raise
            return Reply(await self._run(call))
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        self._closed = True
        stopping = NetworkError(f"{self._name}: the service stops")
        for job, progress in list(self._jobs.items()):
            progress.lost = progress.lost or stopping
            self._break_off(job, progress)
        while self._ending:
            await asyncio.wait(self._ending)
        if self._opening is not None:
            await asyncio.wait({self._opening})
        await self._client.close()

    # -- is anybody there?

    async def _find_server(self) -> None:
        """Let a call fail at once while no server answers; the driver would wait for one."""
        if self._closed:
            raise network_failure(NetworkError(f"{self._name}: the service stops"), False)
        watch = self._watch
        if watch.known is None:
            if self._opening is None:
                self._opening = asyncio.ensure_future(self._open())
            await watch.wait(self._connect_seconds)
        if watch.known is False:
            text = f"no connection to {self._name}: {watch.error}"
            raise network_failure(NetworkError(text), False) from watch.error

    async def _open(self) -> None:
        """Let the driver begin to look for servers; nobody may break that off."""
        await self._client.aconnect()

    def _break_off_waiting(self, error: BaseException) -> None:
        """No server answers any more: end the calls that have not been sent to one."""
        for job, progress in list(self._jobs.items()):
            if not progress.under_way and progress.lost is None:
                progress.lost = NetworkError(f"no connection to {self._name}: {error}")
                self._break_off(job, progress)

    # -- one call

    async def _run(self, call: Call) -> Any:
        """Run it in a task of its own, so that a cancellation reaches the driver only once."""
        progress, context = self._watch.begin()
        job = context.run(asyncio.ensure_future, self._perform(call))
        self._jobs[job] = progress
        job.add_done_callback(self._jobs.pop)
        try:
            await asyncio.wait({job})
        except asyncio.CancelledError:
            self._break_off(job, progress)
            await asyncio.wait({job})
            raise
        if job.cancelled():
            raise network_failure(progress.lost or NetworkError("cancelled"), progress.sent)
        error = job.exception()
        if error is not None:
            raise _failure(call, error, progress.sent) from error
        return job.result()

    def _break_off(self, job: asyncio.Task[Any], progress: Progress) -> None:
        if not progress.broken_off:
            progress.broken_off = True
            ending = asyncio.ensure_future(_end(job))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _perform(self, call: Call) -> Any:
        owner = self._database if call.collection is None else self._database[call.collection]
        result = getattr(owner, call.method)(*call.args, **call.kwargs)
        if inspect.isawaitable(result):
            result = await result
        if not isinstance(result, (AsyncCursor, AsyncCommandCursor)):
            return plain(result)
        limit = call.limit or self._max_items
        async with result as cursor:
            found = await cursor.to_list(limit + 1)
        if len(found) > limit:
            text = f"more than {limit} documents; give a limit, if you want that many"
            raise database_failure(RequestFailed(f"{KIND}, {call.method}: {text}"))
        return found


async def _end(job: asyncio.Task[Any]) -> None:
    """Cancel a job, and see that it ends.

    Before Python 3.12 ``asyncio.wait_for``, which the driver uses, may lose a cancellation.
    """
    while not job.done():
        job.cancel()
        await asyncio.wait({job}, timeout=PATIENCE_SECONDS)
    if not job.cancelled():
        job.exception()  # nobody else may ask for it


def _uri(member: Member, database: str, query: str) -> str:
    if not database:
        raise ConfigError(
            f"alias of MongoDB, {member.name}: name the database, as in 'localhost/mydb'"
        )
    host = f"[{member.host}]" if ":" in member.host else member.host
    user = ""
    if member.user:
        user = f"{quote_plus(member.user)}:{quote_plus(member.password or '')}@"
    return f"mongodb://{user}{host}:{member.port}/{quote(database, safe='')}?{query}"


def _encryption(member: Member, verify: bool | str) -> dict[str, Any]:
    if not member.tls:
        return {}
    if isinstance(verify, str):
        if not os.path.isfile(verify):
            raise ConfigError(
                f"verify={verify!r} for {member.name}: there is no such file; give the "
                "certificates of the authorities, True for those of the system, or False"
            )
        return {"tls": True, "tlsCAFile": verify}
    return {"tls": True, "tlsInsecure": not verify}


def _was_closed_before(error: BaseException) -> bool:
    """Whether the pool gave out a connection that was closed already: nothing was written."""
    cause = error.__cause__
    return isinstance(error, errors.AutoReconnect) and (
        isinstance(cause, OSError) and cause.args == ("Connection is closed",)
    )


def _failure(call: Call, error: BaseException, sent: bool) -> Failure:
    """What an error of the driver means for the task."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, errors.ConnectionFailure):
        return network_failure(error, sent)
    if isinstance(error, errors.OperationFailure):
        return database_failure(error, sent)
    if not sent and isinstance(error, _REFUSALS):
        return refused(KIND, call.method, error)
    if isinstance(error, errors.PyMongoError) and not isinstance(error, errors.ProtocolError):
        return database_failure(error, sent)
    # The driver could not read the answer, or make anything of it.
    return network_failure(error, sent)
