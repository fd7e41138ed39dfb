"""What kind of app a callable of another framework is: WSGI, ASGI, or a function that makes one.

`skitai.targets` asks to refuse early what can't be mounted, `Mount` to know how to host it.
"""

from __future__ import annotations

import functools
import inspect
from enum import Enum
from typing import Any

from skitai.errors import ConfigError

SHAPES = "a WSGI app takes (environ, start_response), an ASGI app is async and takes " + (
    "(scope, receive, send), a function that makes an app takes nothing"
)


class Interface(Enum):
    """How an app is called."""

    WSGI = "WSGI"
    ASGI = "ASGI"
    FACTORY = "factory"


def interface_of(target: Any) -> Interface:
    """Find out how an app is called, by what it takes (PEP 3333; ASGI 3.0).

    Parameters:
        target: a function or another callable.

    Raises `ConfigError` for anything that can be no app, naming it and the fix.
    """
    if isinstance(target, type):
        raise ConfigError(f"{target!r} is a class: mount an instance of it")
    if not callable(target):
        raise ConfigError(f"{target!r} is no app: {SHAPES}")
    is_async = _is_async(target)
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # it is written in C and says nothing
        return Interface.ASGI if is_async else Interface.WSGI
    if is_async:
        if _takes(signature, 3):
            return Interface.ASGI
        raise ConfigError(f"{target!r} is async and takes {signature}: {SHAPES}")
    takes_anything = any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values())
    if _takes(signature, 0) and not takes_anything:
        return Interface.FACTORY
    if _takes(signature, 2):
        return Interface.WSGI
    if _takes(signature, 3):
        return Interface.ASGI
    if _takes(signature, 1):
        raise ConfigError(
            f"{target!r} takes one argument, as ASGI 2 had it: make it ASGI 3, "
            "async def app(scope, receive, send), or wrap it in asgiref's double_to_single_callable"
        )
    raise ConfigError(f"{target!r} takes {signature}: {SHAPES}")


def name_of(target: Any) -> str:
    """The name of an app: its own, else that of its function or class."""
    for name in (getattr(target, "name", None), getattr(target, "__name__", None)):
        if isinstance(name, str) and name:
            return name
    return type(target).__name__.lower()


def _is_async(target: Any) -> bool:
    while isinstance(target, functools.partial):
        target = target.func
    method = getattr(target, "__call__", None)  # noqa: B004  # its kind is wanted, too
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(method)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*(None for _ in range(count)))
    except TypeError:
        return False
    return True
