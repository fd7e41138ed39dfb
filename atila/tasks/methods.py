"""What ``was`` starts tasks with, and answers with when they have ended (seed, Using Task).

Every ``was`` has ``TaskMethods``, also without a request; those with one have ``DeferredMethods``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.results.methods import prefers_data
from atila.tasks import input, mapping, proxy, threads
from atila.tasks.families import Family
from atila.tasks.owned import owner_of
from skitai.tasks.group import Tasks
from skitai.tasks.mask import Mask
from skitai.tasks.task import Task as AnyTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.response import Response
    from skitai.server.exchange import Exchange
    from skitai.upstream.calls import Owner
    from skitai.upstream.transactions import Transaction
    from skitai.upstream.upstreams import Upstreams


class TaskMethods:
    """Starts tasks."""

    __slots__ = ()

    app: Atila

    db = Family("database")
    asyncon = backend = postgresql = sqlite3 = redis = mongodb = db
    stub = Family("stub")
    xmlrpc = rpc = Family("xmlrpc")
    jsonrpc = Family("jsonrpc")
    grpc = Family("grpc")
    get = Family("request", "GET")
    post = Family("request", "POST")
    put = Family("request", "PUT")
    patch = Family("request", "PATCH")
    delete = Family("request", "DELETE")
    options = Family("request", "OPTIONS")
    upload = Family("request", "UPLOAD")

    Task = AnyTask
    Tasks = Tasks
    Mask = Mask

    @property
    def upstreams(self) -> Upstreams:
        """The databases and services of this worker, and where its tasks run.

        Raises ``RuntimeError`` where no worker is.
        """
        upstreams: Upstreams | None = self.app.peers.upstreams
        if upstreams is None:
            raise RuntimeError("there is no worker here that could run tasks")
        return upstreams

    @property
    def task_owner(self) -> Owner:
        """Who the tasks belong to; here nobody, a request breaks its own off with itself."""
        return owner_of(self.app)

    def transaction(self, alias: str, **options: Any) -> Transaction:
        """Several statements of a SQL database that are kept or undone together.

        Parameters: those of ``was.db``. Raises ``TypeError`` for other databases.
        """
        transaction: Transaction = self.db(alias, **options).transaction()
        return transaction

    def cursor(self, alias: str, **options: Any) -> Transaction:
        """Statements of a SQL database on one connection, each of which commits by itself."""
        cursor: Transaction = self.db(alias, **options).cursor()
        return cursor

    sdb = cursor

    # -- executors

    def Thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AnyTask:
        """Call a function in a thread (seed, Thread / Process / Subprocess).

        Parameters:
            args, kwargs: of the function. Without positional arguments ``args`` (a tuple),
                ``kwargs`` (a dictionary), ``timeout`` (seconds, 300), ``meta`` and ``filter`` are
                options instead.
        """
        return self._owned(self.upstreams.in_thread(function, args, kwargs))

    def Process(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AnyTask:
        """Call a function in another process. Parameters: ``Thread``.

        Function, arguments and result must be picklable: a function of a module, no lambda.
        """
        return self._owned(self.upstreams.in_process(function, args, kwargs))

    def Subprocess(
        self,
        cmd: str | list[str],
        meta: dict[str, Any] | None = None,
        filter: Callable[[Any], Any] | None = None,
        timeout: float | None = None,
    ) -> AnyTask:
        """Run a command; its standard output as text is the data.

        Parameters:
            cmd: for the shell; a list runs without one.
            timeout: seconds, 300 by default, after which it and all it started are killed.

        A status other than 0 is a ``SystemError`` with the status and the standard error.
        """
        return self._owned(self.upstreams.run_command(cmd, timeout, meta, filter))

    def _owned(self, task: AnyTask) -> AnyTask:
        own = self.task_owner.own
        if own is not None:
            own(task)
        return task

    # -- cache keys (seed, Cache Control)

    def setlu(self, name: str, /, *args: Any, x_ignore: bool = False, **kwargs: Any) -> None:
        """Say, to all workers, that what ``name`` stands for was updated just now.

        In this worker the event ``setlu:<name>`` is emitted, with the arguments.

        Parameters:
            name: given to ``skitai.register_g`` before.
            x_ignore: do nothing for a name that is not registered; else that is a ``KeyError``.
        """
        shared = self.upstreams.shared
        if x_ignore and name not in shared:
            return
        shared.touch(name)
        self.app.emit(f"setlu:{name}", *args, **kwargs)

    def getlu(self, *names: str) -> float:
        """When the newest update of these was, in seconds since the epoch.

        What was never updated counts as updated when the service started.
        """
        return self.upstreams.shared.updated(*names)

    def get_lock(self, name: str = "") -> Any:
        """A lock that all workers share, for ``with``."""
        return self.upstreams.lock(name)

    @property
    def lock(self) -> Any:
        """``get_lock()`` without a name."""
        return self.get_lock()


class DeferredMethods:
    """Makes responses of tasks."""

    __slots__ = ()

    if TYPE_CHECKING:
        exchange: Exchange

        @property
        def response(self) -> Response: ...

    def Map(self, *args: Any, **named: Any) -> mapping.Map:
        """The results of tasks as JSON, when they have ended (seed, Map).

        Parameters:
            args: a status line, if not 200; tasks that are waited for but not shown.
            named: tasks and other values by name; see ``skitai.tasks.naming.collect``.
                ``atila.tasks.mapping.Map`` says what ``__timeout``, ``__maxage``, ``__etag`` and
                ``__mtime`` mean.
        """
        return mapping.Map(args, named)

    def Mapped(self, *args: Any) -> mapping.Map:
        """``Map`` for a group: ``was.Mapped(tasks)``; a status line may come first."""
        return mapping.Map(*mapping.mapped(args))

    def render_or_Map(self, template: str, /, *args: Any, **named: Any) -> mapping.Map:
        """``Map`` for clients that prefer JSON, a page with the results for all others.

        Parameters:
            template: of the page; the results are in its ``context``, by name.
            args: as of ``Map``.
            named: tasks and constants by name, as of ``Map``.
        """
        self.response.add_vary("Accept")
        if prefers_data(self.exchange.request.headers.get("accept", "")):
            return mapping.Map(args, named)
        return mapping.PageOfMap(template, args, named)

    def render_or_Mapped(self, template: str, /, *args: Any) -> mapping.Map:
        """``render_or_Map`` for a group."""
        awaited, named = mapping.mapped(args)
        return self.render_or_Map(template, *awaited, **named)

    def ThreadPass(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> threads.ThreadPass:
        """Answer with what ``f(was, *args)`` returns, in a thread for long work.

        Parameters:
            args, kwargs: of the function; without positional ones, ``args=(…)`` and ``kwargs={…}``
                may name them.
        """
        if not args:
            args = tuple(kwargs.pop("args", ()))
            kwargs = dict(kwargs.pop("kwargs", kwargs))
        return threads.ThreadPass(function, args, kwargs)

    ThreadFuture = ThreadPass

    def Queue(
        self,
        producer: Callable[[threads.StreamQueue], Any],
        max_size: int = threads.QUEUE_SIZE,
        wait_timeout: float = threads.QUEUE_TIMEOUT,
        use_thread_pool: bool = True,
    ) -> threads.Queue:
        """Answer with a stream of what a thread puts into a queue (seed, Threaded Data Streaming).

        Parameters: ``atila.tasks.threads.Queue``.
        """
        return threads.Queue(producer, max_size, wait_timeout, use_thread_pool)

    def ProxyPass(
        self, alias: str, path: str | None = None, timeout: float = proxy.PROXY_TIMEOUT
    ) -> proxy.ProxyPass:
        """Answer with what an upstream answers to the same request (seed, ProxyPass).

        Parameters:
            alias: of a service, ``"@name"`` or ``"@name/base"``; or a URL.
            path: to ask for; default: that of the request. The query goes with it.
            timeout: seconds until the upstream begins to answer.
        """
        return proxy.ProxyPass(alias, path, timeout)

    def Input(self, max_buffer_size: int = input.BLOCK_SIZE) -> input.Input:
        """The next block of a streamed request body; see ``atila.tasks.input.Input``."""
        return input.Input(self.exchange, max_buffer_size)
