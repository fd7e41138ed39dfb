"""``Conversation``: one socket with its handler, from the handshake to the last hook.

The endpoint makes one for each socket; how messages reach the handler is what its subclasses are
about: ``reporting`` and ``talking``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from atila.context import current
from atila.failures import FAILURES, as_http_error
from atila.invoking import in_pool
from atila.steps import Kind
from atila.tasks.owned import RequestTasks, owner_of
from atila.was import Was
from atila.websockets.client import ClientSocket
from atila.websockets.messages import Malformed
from skitai.tasks.awaitable import Awaitable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from atila.app import Atila
    from atila.routing.router import Route
    from atila.steps import Step
    from atila.websockets.messages import Codec
    from skitai.executors.threads import ThreadPool
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.server.websocket.session import WebSocket
    from skitai.upstream.calls import Owner

log = logging.getLogger("skitai")

INVALID_DATA = 1007
CRASHED = 1011
# What still runs for sockets: the loop keeps only weak references to tasks.
_running: set[asyncio.Task[None]] = set()


class Plan:
    """What all sockets of a route have in common; compiled when the worker starts.

    Attributes:
        function: the handler.
        group: what it sends goes to all members of the socket's room.
        codec: of the declared encoding.
        onopen, onclose: the hooks.
        pool: where plain functions run; None: on the loop.
        watched: ``current`` has to be set while code of the app runs.
    """

    __slots__ = ("app", "codec", "function", "group", "onclose", "onopen", "pool", "watched")

    def __init__(
        self,
        app: Atila,
        function: Callable[..., Any],
        group: bool,
        codec: Codec,
        hooks: tuple[Step | None, Step | None],
        pool: ThreadPool | None,
        watched: bool,
    ) -> None:
        self.app = app
        self.function = function
        self.group = group
        self.codec = codec
        self.onopen, self.onclose = hooks
        self.pool = pool
        self.watched = watched


class SocketWas(Was):
    """The ``was`` of a socket, from its handshake to its end.

    Attributes:
        websocket: the socket.
    """

    __slots__ = ("_tasks", "conversation", "websocket")

    websocket: ClientSocket

    def __init__(self, app: Atila, exchange: Exchange, route: Route | None) -> None:
        super().__init__(app, exchange, route)
        self._tasks: RequestTasks | None = None
        self.conversation: Conversation | None = None

    @property
    def task_owner(self) -> Owner:
        """Who the tasks of this socket belong to; they end with its last hook."""
        owner = self._owner
        if owner is None:
            self._tasks = RequestTasks()
            owner = self._owner = owner_of(self.app, self._tasks, self.request)
        return owner

    def cancel_tasks(self) -> None:
        """Nobody will ask for them any more."""
        if self._tasks is not None:
            self._tasks.cancel()

    def Input(self, max_buffer_size: int = 0) -> SocketInput:  # type: ignore[override]  # of a socket
        """The next message of the client: ``message = yield was.Input()``; None at the end.

        Parameters:
            max_buffer_size: of no meaning here, a message is whole.
        """
        return SocketInput(self)


class SocketInput(Awaitable):
    """The next message of a socket."""

    __slots__ = ("_was",)

    def __init__(self, was: SocketWas) -> None:
        self.meta: dict[str, Any] = {}
        self._was = was

    @property
    def done(self) -> bool:
        return False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._was.websocket.receive().__await__()

    def cancel(self) -> None:
        """A message that nobody waits for stays where it is."""


class Conversation:
    """A socket and its handler.

    Parameters:
        plan: of the route.
        was: of the handshake, and of the socket then.
        websocket: the engine's side.
        arguments: of the handler, from path and query.
    """

    __slots__ = ("accepted", "arguments", "client", "ended", "opened", "plan", "was", "websocket")

    def __init__(
        self, plan: Plan, was: SocketWas, websocket: WebSocket, arguments: dict[str, Any]
    ) -> None:
        self.plan = plan
        self.was = was
        self.websocket = websocket
        self.arguments = arguments
        self.accepted = False
        self.opened = False  # onopen is over, so onclose will be called
        self.ended = False
        self.client = was.websocket = ClientSocket(plan.app.websockets, websocket, plan.codec)
        was.conversation = self
        plan.app.websockets.add(self.client)

    # -- life (on the loop)

    async def open(self) -> None:
        """Run the hook before the handshake is answered. Raises what it raises."""
        hook = self.plan.onopen
        if hook is None:
            return

        def run(was: SocketWas) -> Any:
            result = hook.run(was)
            self.opened = True  # also when nobody waits for it any more
            return result

        if hook.kind is Kind.ASYNC:
            result = await hook.run(self.was)
            self.opened = True
        elif self.plan.pool is None:
            result = run(self.was)
        else:
            result = await in_pool(self.plan.pool, run, self.was)
        self.tell_all(result)

    def accept(self, fields: Fields | None) -> None:
        """Answer the handshake, with header fields such as cookies."""
        exchange = self.was.exchange
        self.websocket.accept(self.receive, self.closed, fields)
        self.accepted = self.opened = True
        # The socket has an end of its own; the task of the handshake is not kept until then.
        exchange.channel.server.loop.call_soon(_let_go, exchange)
        self.begin()

    def abandon(self) -> None:
        """There will be no socket: the handshake was refused, or the client left."""
        self.ended = True
        self.end()

    def begin(self) -> None:
        """The socket is open."""

    def receive(self, message: str | bytes) -> None:
        """A message came."""
        raise NotImplementedError

    def closed(self, code: int, reason: str) -> None:
        """The socket is gone, nothing comes any more."""
        raise NotImplementedError

    def end(self) -> None:
        """The handler is through, and the socket is gone."""
        if self.plan.onclose is not None and self.opened:
            spawn(self._say_goodbye(self.plan.onclose))
        else:
            self.finish()

    async def _say_goodbye(self, hook: Step) -> None:
        was, plan = self.was, self.plan
        try:
            if plan.watched:
                current.set(was)
            was.disown_tasks()
            was.request.session.reopen()
            if hook.kind is Kind.ASYNC:
                result = await hook.run(was)
            elif plan.pool is None:
                result = hook.run(was)
            else:
                result = await in_pool(plan.pool, hook.run, was)
            if plan.group:
                self.tell_all(result)
            await was.request.save_session()
        except FAILURES as exc:
            plan.app.logger.error("onclose failed [%s]", was.txnid(), exc_info=exc)
        finally:
            self.finish()

    def finish(self) -> None:
        """Free everything."""
        self.was.cancel_tasks()
        self.was.conversation = None
        self.client.source = None
        self.plan.app.websockets.remove(self.client)
        # The engine's side still knows this object: without a cycle all is freed at once.
        del self.was, self.client, self.websocket

    # -- messages

    def tell(self, value: Any) -> bool:
        """Send one value for the handler; False when the client does not keep up."""
        if self.plan.group:
            self.client.broadcast(value)
            return True
        return bool(self.client.send_result(value))

    def tell_all(self, result: Any) -> None:
        """Send what a hook has returned."""
        for value in self.plan.codec.split(result):
            self.tell(value)

    def decode(self, message: str | bytes) -> Any:
        """The handler's form of a message. Raises ``Malformed``, and closes the socket for it."""
        try:
            return self.plan.codec.decode(message)
        except Malformed as exc:
            self.client.close(INVALID_DATA, str(exc))
            raise

    def report(self, exc: BaseException) -> None:
        """Log what went wrong in the handler, and tell the client that something did."""
        app, error = self.plan.app, as_http_error(exc)
        text = "[ERROR]"
        if error is not None:
            text = f"[ERROR] {error}"
        else:
            request = self.was.exchange.request
            app.logger.error("%s failed [%s]", request.target, self.was.txnid(), exc_info=exc)
        if app.debug:
            from atila.debugging.error_page import traceback_lines  # only for --devel

            lines = "\n".join(traceback_lines(self.was, exc))
            text = f"{text}\n{lines}\n"
        # What a client sent may be in it, and have no form in UTF-8.
        self.client.send(text.encode("utf-8", "backslashreplace").decode())


def spawn(coroutine: Any) -> asyncio.Task[None]:
    """Run something for a socket on the loop."""
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def _let_go(exchange: Exchange) -> None:
    exchange.on_gone = None
