"""Who may use a handler: permissions, log-in, tests (seed, Custom Authentication and Testing).

The decorators leave guards on handlers; what a permission means is decided by the app's
``@app.permission_handler``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from atila.errors import ConfigError, HTTPError
from atila.failures import as_http_error
from atila.steps import Step, add_guard, is_async, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was

F = TypeVar("F", bound="Callable[..., Any]")

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
READING = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
ME = "me"  # the sender's own, for which the usual permissions are enough
NOT_ME = "notme"  # anybody's but the sender's: can be listed, not written


class Permissions:
    """What an app declares about permissions.

    Attributes:
        handler: ``f(was, perms)``; None until the app has one.
    """

    __slots__ = ("handler",)

    def __init__(self) -> None:
        self.handler: Callable[..., Any] | None = None

    def required(self, app: Atila, route: Route | None, decorator: str) -> Callable[..., Any]:
        """The handler. Raises ``ConfigError`` when the app has none."""
        if self.handler is None:
            place = f"route {route.rule.text!r}" if route is not None else "a hook"
            raise ConfigError(
                f"app {app.name!r}: @app.{decorator} of {place} needs a @app.permission_handler, "
                "a function (was, perms)"
            )
        return self.handler


class Permission:
    """The guard of ``@app.permission_required`` and ``@app.login_required``.

    Parameters:
        default: what is needed when no condition holds.
        by_argument: name of an argument to what is needed for a value other than ``me``.
        by_method: method to what is needed for it, beside what an argument asks for.
        decorator: its name, for messages.
    """

    __slots__ = ("_by_argument", "_by_method", "_decorator", "_default")

    def __init__(
        self,
        default: frozenset[str] = frozenset(),
        by_argument: dict[str, frozenset[str]] | None = None,
        by_method: dict[str, frozenset[str]] | None = None,
        decorator: str = "permission_required",
    ) -> None:
        self._default = default
        self._by_argument = by_argument or {}
        self._by_method = by_method or {}
        self._decorator = decorator

    @property
    def facts(self) -> tuple[str, Any]:
        conditions = (*self._by_argument.items(), *self._by_method.items())
        return "permission", sorted(self._default) + [
            f"{name}: {', '.join(sorted(perms)) or 'any'}" for name, perms in conditions
        ]

    def compile(self, app: Atila, route: Route | None) -> Step:
        """The step that asks the app's handler.

        Raises ``ConfigError`` when there is none, and for a condition on an argument that the route
        never has.
        """
        handler = app.permissions.required(app, route, self._decorator)
        if route is not None and app.restrict_parameter_count and not route.signature.takes_any:
            for name in self._by_argument:
                if name not in route.signature.names:
                    raise ConfigError(
                        f"@app.{self._decorator} of route {route.rule.text!r}: {name!r} is neither "
                        f"an argument of {route.name} nor a method"
                    )
        if self._by_argument or self._by_method:
            choose = self._chooser(route.signature.defaults if route is not None else {})
        else:
            default = self._default

            def choose(was: Was) -> set[str]:
                return set(default)  # its own: the handler may change it

        if is_async(handler):

            async def ask_async(was: Was) -> Any:
                return await handler(was, choose(was))

            return step_of(ask_async)

        def ask(was: Was) -> Any:
            return handler(was, choose(was))

        return step_of(ask)

    def _chooser(self, defaults: dict[str, Any]) -> Callable[[Was], set[str]]:
        by_argument = tuple(self._by_argument.items())
        by_method = dict(self._by_method)
        if "GET" in by_method:
            by_method.setdefault("HEAD", by_method["GET"])

        def choose(was: Was) -> set[str]:
            method = was.exchange.request.method
            chosen = by_method.get(method)
            for name, perms in by_argument:
                values = _values(was, name, defaults)
                if NOT_ME in values and method not in READING:
                    raise HTTPError(421, f"{method} is not for {name}={NOT_ME}")
                if any(value is not None and value != ME for value in values):
                    chosen = perms | (chosen or frozenset())
                    break
            return set(self._default if chosen is None else chosen)

        return choose


class Identification:
    """The guard of ``@app.identification_required``: ask, but let everybody in."""

    __slots__ = ()

    facts = ("identification", True)

    def compile(self, app: Atila, route: Route | None) -> Step:
        """The step. Raises ``ConfigError`` when the app has no permission handler."""
        handler = app.permissions.required(app, route, "identification_required")

        def forgive(exc: Exception) -> None:
            if as_http_error(exc) is None:
                raise exc

        if is_async(handler):

            async def identify_async(was: Was) -> None:
                try:
                    await handler(was, set())
                except (HTTPError, AssertionError) as exc:
                    forgive(exc)

            return step_of(identify_async)

        def identify(was: Was) -> None:
            try:
                handler(was, set())
            except (HTTPError, AssertionError) as exc:
                forgive(exc)

        return step_of(identify)


class TestPass:
    """The guard of ``@app.testpass_required``."""

    __slots__ = ("_test",)
    __test__ = False  # not one of pytest's

    def __init__(self, test: Callable[..., Any]) -> None:
        self._test = test

    @property
    def facts(self) -> tuple[str, Any]:
        return "testpass", getattr(self._test, "__name__", type(self._test).__name__)

    def compile(self, app: Atila, route: Route | None) -> Step:
        """The step: 403 for False, on for None and True, anything else is the response."""
        test = self._test

        def judge(result: Any) -> Any:
            if result is False:
                raise HTTPError("403 Permission Denied")
            return None if result is True else result

        if is_async(test):

            async def run_async(was: Was) -> Any:
                return judge(await test(was))

            return step_of(run_async)

        def run(was: Was) -> Any:
            return judge(test(was))

        return step_of(run)


class PermissionDecorators:
    """``@app.permission_required`` and its like."""

    permissions: Permissions

    def permission_handler(self, function: F) -> F:
        """Let ``f(was, perms)`` decide whether the sender has the permissions of a set.

        It refuses by raising ``was.Error``; what it returns, unless None, is the response. It may
        be a coroutine function. ``permission_check_handler`` is the same.
        """
        if not callable(function):
            raise ConfigError(f"@app.permission_handler must decorate a function, not {function!r}")
        self.permissions.handler = function
        return function

    permission_check_handler = permission_handler

    def permission_required(self, perms: Any = None, **conditions: Any) -> Any:
        """Ask the permission handler before a handler runs.

        Parameters:
            perms: one permission or several; none asks for a log-in only.
            conditions: permissions by the name of an argument, which are needed instead when that
                is there and not ``me``; and by method, which are needed beside those. A request
                that would write what belongs to ``notme`` is 421.

        Raises ``ConfigError`` for what are no permissions.
        """
        if callable(perms) and not conditions:  # @app.permission_required without a call
            return _guarded(perms, Permission())
        named = {name: _permissions(given) for name, given in conditions.items()}
        guard = Permission(
            _permissions(perms),
            {name: found for name, found in named.items() if name not in METHODS},
            {name: found for name, found in named.items() if name in METHODS},
        )
        return lambda function: _guarded(function, guard)

    def login_required(self, function: F) -> F:
        """Ask the permission handler with an empty set before a handler runs."""
        return _guarded(function, Permission(decorator="login_required"))

    def identification_required(self, function: F) -> F:
        """Call the permission handler with an empty set, and go on though it refuses.

        ``clarify_permission`` and ``clarify_login`` are the same.
        """
        return _guarded(function, Identification())

    clarify_permission = clarify_login = identification_required

    def testpass_required(self, test: Callable[..., Any]) -> Callable[[F], F]:
        """Call ``test(was)`` before a handler runs (seed, Testing).

        False is 403, None and True let the request in, anything else is the response. It may be a
        coroutine function. Raises ``ConfigError`` for what can't be called.
        """
        if not callable(test):
            raise ConfigError(f"@app.testpass_required({test!r}) must have a function (was)")
        return lambda function: _guarded(function, TestPass(test))


def _guarded(function: F, guard: Permission | Identification | TestPass) -> F:
    add_guard(function, guard)
    return function


def _permissions(given: Any) -> frozenset[str]:
    if given is None:
        return frozenset()
    names: Iterable[Any] = [given] if isinstance(given, str) else given
    try:
        names = list(names)
    except TypeError:
        names = [given]
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"@app.permission_required: {given!r} must be names of permissions")
    return frozenset(names)


def _values(was: Was, name: str, defaults: dict[str, Any]) -> list[Any]:
    """What a request has for an argument: the value, all of a list of them.

    A body wins over the path, but a handler may look at the path alone: then both are here.
    """
    exchange = was.exchange
    params = exchange.params or {}
    values = [params[name]] if name in params else []
    if values and exchange.body is None:
        return values  # without a body nothing else can win
    given = was.arguments().get(name, defaults.get(name))
    return values + (given if isinstance(given, list) else [given])
