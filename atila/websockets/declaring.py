"""``@app.websocket``: which handlers are those of websockets, and what they ask for."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from atila.binding import Signature
from atila.errors import ConfigError
from skitai.server.websocket.session import SocketOptions
from skitai.sockets import WS_CHATTY, WS_COROUTINE, WS_GROUPCHAT, WS_REPORTY, SocketKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atila.routing.router import Route
    from atila.websockets.registry import Sockets

F = TypeVar("F", bound="Callable[..., Any]")

MAX_MESSAGE = SocketOptions.max_message
_KINDS = (WS_CHATTY, WS_COROUTINE, WS_REPORTY, WS_GROUPCHAT)
_ALL = SocketKind(sum(SocketKind))
_DECLARATION = "__atila_websocket__"
_ORIGINS = "is '*', 'self', an origin such as 'https://example.com', or a list of them"


@dataclass(frozen=True)
class Declaration:
    """What ``@app.websocket`` was given.

    Attributes:
        kind: one of the four kinds.
        in_pool: plain functions run in a thread.
        message: name of the parameter that gets the messages; None for handlers that fetch them.
        room: name of the parameter that gets the room; None where there are no rooms.
        origins: as given; None: the app's CORS settings decide, else pages of the host itself.
    """

    kind: SocketKind
    in_pool: bool
    options: SocketOptions
    encoding: str
    onopen: Callable[..., Any] | None
    onclose: Callable[..., Any] | None
    message: str | None
    room: str | None
    origins: tuple[str, ...] | None


class SocketDecorators:
    """Declares websockets, and sends to them."""

    websockets: Sockets
    _declared_sockets: list[Callable[..., Any]]

    def websocket(
        self,
        spec: int,
        timeout: float = 60,
        onopen: Callable[..., Any] | None = None,
        onclose: Callable[..., Any] | None = None,
        encoding: str = "text",
        *,
        subprotocols: str | Iterable[str] = (),
        origins: str | Iterable[str] | None = None,
        max_message: int = MAX_MESSAGE,
        compress: bool = True,
        ping: float = SocketOptions.ping,
    ) -> Callable[[F], F]:
        """Let a routed function serve a websocket (seed, Websocket).

        Parameters:
            spec: ``WS_REPORTY``, a function that is called for each message; ``WS_GROUPCHAT``, the
                same for a room; ``WS_CHATTY``, a generator that gets messages by ``yield``;
                ``WS_COROUTINE``, a generator that yields ``was.Input()`` and tasks, or an ``async
                def``. With ``| WS_NOPOOL`` plain functions run on the loop.
            timeout: seconds without a message after which the socket is closed; 0: never.
            onopen: ``f(was)``, called before the handshake is answered: what it sets in cookies
                and session goes out with it, and what it returns is the first message.
            onclose: ``f(was)``, called when the socket is closed and all messages are handled.
            encoding: ``"text"``, ``"json"`` or ``"xmlrpc"``: what messages are made of.
            subprotocols: what the app speaks; the first of the client's that is among them is
                agreed on (RFC 6455, 1.9).
            origins: pages that may connect, see ``SocketOptions``; default: those that the app's
                or the route's ``access_control_allow_origin`` lets in, else those of the host
                itself.
            max_message: bytes of a message of the client.
            compress: agree to compression (RFC 7692).
            ping: seconds of silence before the client is asked whether it is there; 0: never.

        Raises ``ConfigError`` for a function, an option or a combination that can't work.
        """
        kind = _kind(spec)
        in_pool = not int(spec) & SocketKind.NOPOOL
        options = SocketOptions(
            timeout=_seconds("timeout", timeout),
            max_message=_size(max_message),
            subprotocols=_names("subprotocols", subprotocols, "is a name, or a list of names"),
            compress=bool(compress),
            ping=_seconds("ping", ping),
        )
        allowed = None if origins is None else _names("origins", origins, _ORIGINS)
        for name, hook in (("onopen", onopen), ("onclose", onclose)):
            if hook is not None and not callable(hook):
                raise ConfigError(f"@app.websocket({name}={hook!r}) must be a function f(was)")

        def declare(function: F) -> F:
            message, room = _parameters(function, kind)
            declaration = Declaration(
                kind, in_pool, options, encoding, onopen, onclose, message, room, allowed
            )
            setattr(function, _DECLARATION, declaration)
            self._declared_sockets.append(function)
            return function

        return declare

    websocket_config = websocket

    def websocket_send(self, client_id: Any, message: Any) -> None:
        """Send a message to a client, whichever worker it is connected to (seed, Websocket).

        Parameters:
            client_id: its ``was.websocket.client_id``. Nothing happens when it is gone, or None.
            message: text, bytes, or what its socket's encoding takes.

        From any thread, also outside of requests.
        """
        self.websockets.send(client_id, message)

    def websocket_broadcast(self, room: str, message: Any, resource: Any = None) -> None:
        """Send a message to all members of a room, in all workers.

        Parameters:
            room: joined by ``was.websocket.join``.
            message: as for ``websocket_send``.
            resource: the function, or the resource id, of a group chat whose room it is.

        Raises ``NameError`` for an unknown resource.
        """
        scope = "" if resource is None else self.urls.find(resource).name  # type: ignore[attr-defined]  # of the app
        self.websockets.broadcast(scope, room, message)


def declaration_of(function: Callable[..., Any]) -> Declaration | None:
    """What ``@app.websocket`` has left on a function; None for other handlers."""
    return getattr(function, _DECLARATION, None)


def prepare_routes(declared: list[Callable[..., Any]], routes: Iterable[Route]) -> None:
    """Let the routes of websockets be those of their handshakes: GET, without the message.

    Raises ``ConfigError`` for a websocket that has no path, and for a route that can't be one.
    """
    routed = {id(route.function) for route in routes}
    for function in declared:
        if id(function) not in routed:
            raise ConfigError(
                f"{function.__qualname__} has @app.websocket but no path: write "
                "@app.route('/path') above it"
            )
    for route in routes:
        declaration = declaration_of(route.function)
        if declaration is not None:
            _prepare(route, declaration)


def _prepare(route: Route, declaration: Declaration) -> None:
    message, signature, rule = declaration.message, route.signature, route.rule
    if "GET" not in route.methods:
        raise ConfigError(
            f"route {rule.text!r}: methods={sorted(route.methods)} has no GET, by which websockets "
            "begin: leave methods out"
        )
    route.methods = frozenset(("GET",))  # a handshake is one, whatever HTTP version it comes by
    if message in rule.names:
        raise ConfigError(
            f"route {rule.text!r}: {message!r} is the parameter of "
            f"{route.function.__qualname__} that gets the messages, it can't be in the path"
        )
    if message in signature.names:
        signature.names.remove(message)
        signature.defaults.pop(message, None)
        signature.required -= {message}


def _kind(spec: Any) -> SocketKind:
    if isinstance(spec, int) and not isinstance(spec, bool) and not int(spec) & ~int(_ALL):
        kinds = [kind for kind in _KINDS if int(spec) & kind]
        if len(kinds) == 1:
            return kinds[0]
    raise ConfigError(
        f"@app.websocket({spec!r}): give one of WS_REPORTY, WS_CHATTY, WS_COROUTINE and "
        "WS_GROUPCHAT, and WS_NOPOOL or WS_THREADSAFE behind it: WS_REPORTY | WS_NOPOOL"
    )


def _parameters(function: Callable[..., Any], kind: SocketKind) -> tuple[str | None, str | None]:
    """The names of the parameters that get message and room."""
    label = getattr(function, "__qualname__", repr(function))
    inner = inspect.unwrap(function) if callable(function) else function
    generates = inspect.isgeneratorfunction(inner)
    if not callable(function):
        raise ConfigError(f"@app.websocket must decorate a function, not {function!r}")
    if kind is WS_CHATTY and not generates:
        raise ConfigError(
            f"websocket {label} is WS_CHATTY but no generator: write 'message = yield' in it, or "
            "declare it as WS_REPORTY, or as WS_COROUTINE if it is 'async def'"
        )
    if kind is WS_COROUTINE:
        waits = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
        if not (generates or waits):
            raise ConfigError(
                f"websocket {label} is WS_COROUTINE but neither a generator nor 'async def': write "
                "'message = yield was.Input()' in it, or declare it as WS_REPORTY"
            )
    if kind not in (WS_REPORTY, WS_GROUPCHAT):
        return None, None
    if inspect.isasyncgenfunction(inner):
        raise ConfigError(
            f"websocket {label} is an asynchronous generator: declare it as WS_COROUTINE"
        )
    names = Signature(function).names
    if not names:
        raise ConfigError(
            f"websocket {label} must take the message as its second argument: write "
            f"def {getattr(function, '__name__', 'f')}(was, message)"
        )
    if kind is WS_REPORTY:
        return names[0], None
    if len(names) < 2:
        raise ConfigError(
            f"websocket {label} is WS_GROUPCHAT: it must take message and room, as in "
            f"def {getattr(function, '__name__', 'f')}(was, message, room)"
        )
    return names[0], names[1]


def _seconds(name: str, given: Any) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < 1e9:
        return float(given)
    raise ConfigError(f"@app.websocket({name}={given!r}) must be seconds, 0 for no limit")


def _size(given: Any) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    raise ConfigError(f"@app.websocket(max_message={given!r}) must be a number of bytes")


def _names(option: str, given: Any, rule: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given or ())
    if all(isinstance(name, str) and name and " " not in name for name in names):
        return names
    raise ConfigError(f"@app.websocket({option}={given!r}): it {rule}")
