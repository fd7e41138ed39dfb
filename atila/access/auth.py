"""Who sends a request: basic, digest and bearer authentication (seed, WWW-Authentication).

``Authentication`` collects what an app declares; when it is frozen, ``Authenticators`` gives each
route its ``Authenticator``, which endpoints ask before hooks run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from atila.access.digest import DigestScheme
from atila.access.passwords import CHALLENGE, BasicScheme, User, account_of, quoted
from atila.errors import ConfigError, HTTPError
from atila.failures import as_http_error
from atila.steps import Kind, Step, add_guard, guards_of, inline, step_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.access.passwords import Account, Scheme
    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields

F = TypeVar("F", bound="Callable[..., Any]")

KINDS = ("basic", "digest", "bearer")
_REALM = re.compile(r"[ -~]+")
_BEARER_TOKEN = re.compile(r"[!-~]+")  # wider than RFC 6750, 2.1, for tokens of an app's own making


class Claims(dict[str, Any]):
    """What a bearer token says: ``was.request.user`` after bearer authentication.

    Claims are items and attributes; an attribute for a claim that isn't there is None.

    Attributes:
        name: the claim ``username``, else ``name``, else ``sub``.
    """

    @property
    def name(self) -> Any:
        return self.get("username") or self.get("name") or self.get("sub")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name)

    def __str__(self) -> str:
        return str(self.name or "")


class Authenticator:
    """Authentication of one kind, for the routes of an app that ask for it.

    Attributes:
        kind: ``"basic"``, ``"digest"`` or ``"bearer"``.
        step: sets ``was.request.user``, or raises ``HTTPError`` 401 when the headers for that are
            in ``was.response``.
    """

    __slots__ = ("_challenge", "kind", "step")

    def __init__(self, kind: str, challenge: Callable[[], Fields], step: Step) -> None:
        self.kind = kind
        self.step = step
        self._challenge = challenge

    def challenge_without_credentials(self, exchange: Exchange) -> Fields | None:
        """The headers of a 401 for a request that has no credentials of this kind; else None.

        Cheap, for the loop, before a body is read.
        """
        given = exchange.request.headers.get("authorization", "")
        return None if credentials(given, self.kind) else self._challenge()


class Authentication:
    """What an app declares about its users.

    Attributes:
        authorization_handler: ``f(was, username)`` gives an account; None: ``app.users`` does.
        bearer_handler: ``f(was, token)``; None: tokens are JWT.
    """

    __slots__ = ("authorization_handler", "bearer_handler")

    def __init__(self) -> None:
        self.authorization_handler: Callable[..., Any] | None = None
        self.bearer_handler: Callable[..., Any] | None = None


class Authenticators:
    """The authenticators of an app's routes, at most one of each kind; made when it is frozen.

    Routes share them: a client that may use one route needs no second challenge for the next.
    """

    __slots__ = ("_app", "_made")

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._made: dict[str, Authenticator] = {}

    def of(self, route: Route) -> Authenticator | None:
        """How a route authenticates; None when it doesn't.

        Raises ``ConfigError`` for settings that can't work.
        """
        kind = kind_of(self._app, route)
        if kind is None:
            return None
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = self._make(kind)
        return made

    def _make(self, kind: str) -> Authenticator:
        app = self._app
        realm = app.realm
        if not isinstance(realm, str) or not _REALM.fullmatch(realm):
            raise ConfigError(f"app.realm={realm!r} must be printable ASCII text")
        if kind == "bearer":
            if app.auth.bearer_handler is None and not app.salt:
                raise ConfigError(
                    f"app {app.name!r} authenticates by bearer tokens: set app.securekey, with "
                    "which they are signed, or check them in a @app.bearer_handler"
                )
            return BearerScheme(realm, app.auth.bearer_handler).authenticator()
        look_up = self._look_up()
        if kind == "basic":
            return _by_password(BasicScheme(realm), look_up)
        only_md5 = app.auth.authorization_handler is None and has_encrypted(app.users)
        return _by_password(DigestScheme(realm, app.salt, app.opaque, only_md5), look_up)

    def _look_up(self) -> Step:
        """What gives the account of a name, called with ``was`` and the name."""
        handler = self._app.auth.authorization_handler
        if handler is not None:
            return step_of(handler)
        users: Any = self._app.users
        get = getattr(users, "get", None)
        if not callable(get):
            raise ConfigError(
                f"app.users={users!r} must have a method get(username), as a dictionary has, "
                "or use @app.authorization_handler"
            )
        if users == {}:
            self._app.logger.warning(
                "app %s: nobody can log in, app.users is empty and there is no "
                "@app.authorization_handler",
                self._app.name,
            )
        if getattr(type(users), "get", None) is dict.get:
            return inline(lambda was, name: users.get(name))
        return Step(lambda was, name: get(name), step_of(get).kind)


def kind_of(app: Atila, route: Route) -> str | None:
    """How the senders of a route's requests prove who they are; None when they needn't.

    ``@app.authorization_required`` wins over the route's option, that over the option of the
    module's mount, that over the app. An option that is False lets everybody in.

    Raises ``ConfigError`` for an unknown kind.
    """
    demanded = {
        guard.kind for guard in guards_of(route.function) if isinstance(guard, Authorization)
    }
    if len(demanded) > 1:
        raise ConfigError(
            f"route {route.rule.text!r} has several @app.authorization_required: keep one"
        )
    if demanded:
        return demanded.pop()
    for where, options in (("route", route.options), ("mount", route.mntopt)):
        if options.get("authenticate") is not None:
            return _kind(app, options["authenticate"], f"{where} {route.rule.text!r}")
    return _kind(app, app.authenticate, "app")


def _kind(app: Atila, given: Any, where: str) -> str | None:
    if given is None or given is False:
        return None
    if given is True:
        given = app.authenticate if isinstance(app.authenticate, str) else "digest"
    return check_kind(given, f"{where}: authenticate={given!r}")


def has_encrypted(users: Any) -> bool:
    """Whether a dictionary of users has one whose password is an MD5."""
    accounts = users.values() if isinstance(users, dict) else ()
    return any(
        isinstance(account, (tuple, list)) and len(account) > 1 and account[1]
        for account in accounts
    )


class Authorization:
    """The guard of ``@app.authorization_required``; ``kind_of`` reads it."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @property
    def facts(self) -> tuple[str, Any]:
        return "authorization", self.kind

    def compile(self, app: Atila, route: Route | None) -> None:
        """Nothing: authentication comes before everything else."""
        if route is None:
            raise ConfigError(
                "@app.authorization_required is for handlers: for all requests of an app set "
                f"app.authenticate = {self.kind!r}"
            )


class AuthDecorators:
    """``@app.authorization_handler`` and its like."""

    auth: Authentication

    def authorization_handler(self, function: F) -> F:
        """Look accounts up by ``f(was, username)``, instead of in ``app.users``.

        It returns the password, ``(password, encrypted)``, ``(password, encrypted, info)``, or None
        for somebody unknown. It may be a coroutine function.
        """
        self.auth.authorization_handler = _callable(function, "authorization_handler")
        return function

    def bearer_handler(self, function: F) -> F:
        """Check bearer tokens by ``f(was, token)`` instead of as JWT (seed, Bearer Authentication).

        It sets ``was.request.user``. It refuses a token by raising ``was.Error``, or by returning a
        text that says what is wrong. It may be a coroutine function.
        """
        self.auth.bearer_handler = _callable(function, "bearer_handler")
        return function

    def authorization_required(self, kind: str) -> Callable[[F], F]:
        """Let only authenticated clients use a handler.

        Parameters:
            kind: ``"basic"``, ``"digest"`` or ``"bearer"``, in any case.

        Raises ``ConfigError`` for another kind.
        """
        guard = Authorization(check_kind(kind, f"@app.authorization_required({kind!r})"))

        def decorate(function: F) -> F:
            add_guard(function, guard)
            return function

        return decorate


def check_kind(kind: Any, where: str) -> str:
    """The kind in lower case. Raises ``ConfigError`` for what is none."""
    lowered = kind.lower() if isinstance(kind, str) else ""
    if lowered not in KINDS:
        raise ConfigError(f"{where} must be one of {', '.join(KINDS)}")
    return lowered


def credentials(header: str, kind: str) -> str:
    """What stands behind the scheme in an Authorization header; empty for another scheme."""
    scheme, _, rest = header.partition(" ")
    return rest.strip() if scheme.lower() == kind else ""


def refuse(was: Was, fields: Fields, error: HTTPError | None = None) -> NoReturn:
    """Answer 401 with these headers."""
    for name, value in fields:
        was.response.add_header(name, value)
    raise error or HTTPError(401)


def _callable(function: F, name: str) -> F:
    if not callable(function):
        raise ConfigError(f"@app.{name} must decorate a function, not {function!r}")
    return function


# -- names and passwords


def _by_password(scheme: Scheme, look_up: Step) -> Authenticator:
    find: Callable[..., Any] = look_up.run

    def read(was: Was) -> Any:
        request = was.exchange.request
        text = credentials(request.headers.get("authorization", ""), scheme.name)
        given = scheme.read(text, request) if text else None
        if given is None:
            refuse(was, scheme.challenge())
        return given

    def accept(was: Was, given: Any, account: Account | None) -> None:
        challenge = scheme.check(given, was.exchange.request, account)
        if challenge is not None:
            refuse(was, challenge)
        was.request.user = User(given.username, scheme.realm, account.info if account else None)

    def run(was: Was) -> None:
        given = read(was)
        accept(was, given, account_of(find(was, given.username)))

    async def run_async(was: Was) -> None:
        given = read(was)
        accept(was, given, account_of(await find(was, given.username)))

    step = Step(run_async if look_up.kind is Kind.ASYNC else run, look_up.kind)
    return Authenticator(scheme.name, scheme.challenge, step)


# -- bearer tokens


class BearerScheme:
    """The scheme Bearer (RFC 6750), whose tokens a handler of the app checks, or that are JWT."""

    def __init__(self, realm: str, handler: Callable[..., Any] | None) -> None:
        self._start = f"Bearer realm={quoted(realm)}"
        self._check: Callable[..., Any] = _check_jwt if handler is None else handler
        self._kind = Kind.INLINE if handler is None else step_of(handler).kind

    def authenticator(self) -> Authenticator:
        """What the routes get."""
        run = self._run_async if self._kind is Kind.ASYNC else self._run
        return Authenticator("bearer", self.challenge, Step(run, self._kind))

    def challenge(self, error: str = "") -> Fields:
        """The headers of a 401."""
        return [(CHALLENGE, f"{self._start}, error={quoted(error)}" if error else self._start)]

    def _run(self, was: Was) -> None:
        token = self._read(was)
        try:
            result = self._check(was, token)
        except (HTTPError, AssertionError) as exc:
            self._fail(was, exc)
        self._judge(was, result)

    async def _run_async(self, was: Was) -> None:
        token = self._read(was)
        try:
            result = await self._check(was, token)
        except (HTTPError, AssertionError) as exc:
            self._fail(was, exc)
        self._judge(was, result)

    def _read(self, was: Was) -> str:
        token = credentials(was.exchange.request.headers.get("authorization", ""), "bearer")
        if not _BEARER_TOKEN.fullmatch(token):
            refuse(was, self.challenge())
        return token

    def _judge(self, was: Was, result: Any) -> None:
        if isinstance(result, str):
            refuse(was, self.challenge(result), HTTPError(401, result))

    def _fail(self, was: Was, exc: Exception) -> NoReturn:
        """Tell a client that was refused how to do better, unless the handler did."""
        error = as_http_error(exc)
        if error is None or error.code != 401:
            raise exc
        told = was.response.get_header(CHALLENGE)
        refuse(was, [] if told else self.challenge(error.explain), error)


def _check_jwt(was: Was, token: str) -> str | None:
    """Take the claims of a token; what is wrong with it otherwise."""
    claims: dict[str, Any] = was.decode_jwt(token)
    if "err" in claims:
        return str(claims["err"]) or "invalid token"
    was.request.user = Claims(claims)
    return None
