"""``SocketEndpoint``: a route of ``@app.websocket`` compiled to what the engine runs for a request.

The handshake goes through hooks and guards as any request; what comes behind it is a conversation.
"""

from __future__ import annotations

import asyncio
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from atila.access.admission import Admission
from atila.access.cors import answers_preflight
from atila.binding import compile_call
from atila.context import is_watched
from atila.endpoints import RouteEndpoint
from atila.errors import HTTPError
from atila.hooks import compile_guards
from atila.pipeline import Pipeline
from atila.prework import after_steps
from atila.results.heads import head_of
from atila.steps import is_async, step_of
from atila.tasks.deferred import AsyncResult
from atila.websockets.conversation import Conversation, Plan, SocketWas
from atila.websockets.messages import codec_of
from atila.websockets.reporting import Report
from atila.websockets.talking import AsyncReport, Chat, Talk
from skitai.handlers.interface import Mode
from skitai.server.websocket.session import HandshakeRefused, WebSocket
from skitai.sockets import WS_CHATTY, WS_COROUTINE, WS_GROUPCHAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.access.auth import Authenticators
    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was
    from atila.websockets.declaring import Declaration
    from skitai.server.exchange import Exchange

SELF = ("self",)


class SocketEndpoint(RouteEndpoint):
    """A route that is a websocket, ready to run."""

    __slots__ = ("_app", "_bind", "_declaration", "_options", "_plan", "_route", "_start")

    _pipeline: Pipeline

    def __init__(
        self, app: Atila, route: Route, authenticators: Authenticators, declaration: Declaration
    ) -> None:
        self.missing = self.takes_body = self.streams_body = False
        self.mode = Mode.COROUTINE
        self.run = self._run
        self._app = app
        self._route = route
        self._declaration = declaration
        self._admission = admission = Admission(app, route, authenticators)
        self.cors = admission.cors
        self.preflights = answers_preflight(app, route)
        self.admit = self._admit if admission else None
        self.max_body = 0
        self._options = replace(declaration.options, origins=_origins(declaration, admission))
        self._bind = _compile_arguments(app, route, declaration)
        self._start = _conversation_of(declaration, route.function)
        self._plan = _plan(app, route, declaration)
        self._pipeline = Pipeline(
            app,
            admission.steps(),
            compile_guards(app, route.function, route),
            self._open,
            after_steps(route.function),
            awaits=True,
            in_thread=False,
        )

    async def _run(self, exchange: Exchange) -> None:
        """Answer a handshake."""
        was = SocketWas(self._app, exchange, self._route)
        try:
            await self._pipeline.run(was)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # nothing else would tell the client
            exchange.crash(exc)
        finally:
            conversation = was.conversation
            if conversation is not None and not conversation.accepted:
                conversation.abandon()
            if exchange.gone:
                exchange.release()

    async def result(self, was: Was) -> Any:
        """A websocket can't be called. Raises ``HTTPError`` 426."""
        raise HTTPError(426, "this is a WebSocket")

    async def _open(self, was: Any) -> Opening:
        """What the pipeline calls as the handler: all that comes before the 101."""
        try:
            websocket = WebSocket(was.exchange, self._options)
        except HandshakeRefused as refusal:
            if refusal.fields:
                was.response.fields += refusal.fields
            raise
        arguments = self._bind(was)
        room = self._declaration.room
        if room is not None and not isinstance(arguments.get(room), str):
            raise HTTPError(400, f"parameter {room} must be given once")
        conversation = self._start(self._plan, was, websocket, arguments)
        if room is not None:
            conversation.client.enter(self._route.name, arguments[room])
        await conversation.open()
        return Opening(conversation)


class Opening(AsyncResult):
    """The answer to a handshake that nothing has refused: the 101."""

    __slots__ = ("_conversation",)

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    async def send(self, was: Was) -> None:
        if was._request is not None:
            await was._request.save_session()
        self._conversation.accept(head_of(was, "").fields)

    def discard(self) -> None:
        """A hook has answered instead; the endpoint ends the conversation."""


def _plan(app: Atila, route: Route, declaration: Declaration) -> Plan:
    hooks = (declaration.onopen, declaration.onclose)
    opening, closing = (None if hook is None else step_of(hook) for hook in hooks)
    return Plan(
        app,
        route.function,
        declaration.kind is WS_GROUPCHAT,
        codec_of(declaration.encoding, app.encode),
        (opening, closing),
        app.pool if declaration.in_pool else None,
        is_watched(app),
    )


def _conversation_of(
    declaration: Declaration, function: Callable[..., Any]
) -> type[Report | Chat | Talk]:
    if declaration.kind is WS_CHATTY:
        return Chat
    if declaration.kind is WS_COROUTINE:
        return Talk
    return AsyncReport if is_async(function) else Report


def _origins(declaration: Declaration, admission: Admission) -> tuple[str, ...] | None:
    """Pages that may connect. By default CORS settings decide, for they have done so already."""
    if declaration.origins is not None:
        return declaration.origins
    return SELF if admission.cors is None else None


def _compile_arguments(
    app: Atila, route: Route, declaration: Declaration
) -> Callable[[Was], dict[str, Any]]:
    """The handler's arguments beside the message, bound once, by the rules of all routes.

    A hook may look at arguments that the handler doesn't take, so they are not refused then.
    """
    function, message = route.function, declaration.message
    signature = copy(route.signature)
    taken = None if signature.takes_any else frozenset(signature.names)
    if declaration.onopen is not None:
        signature.takes_any = True

    def gather(was: Was, /, **arguments: Any) -> dict[str, Any]:
        if taken is not None:
            return {name: value for name, value in arguments.items() if name in taken}
        if message in arguments:
            raise HTTPError(400, f"parameter {message} is not expected")
        return arguments

    gather.__wrapped__ = function  # type: ignore[attr-defined]  # whose hints are looked up
    gather.__qualname__ = function.__qualname__
    return compile_call(gather, signature, route.rule, app.restrict_parameter_count)
