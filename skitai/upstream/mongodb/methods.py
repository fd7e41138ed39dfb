"""Which methods of pymongo an app may call, on what, and by which other names. Pure.

The first argument may be the name of a collection: ``find("city", {...})``, ``find({...})``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from skitai.upstream.commands import refused, unknown_command

if TYPE_CHECKING:
    from skitai.upstream.commands import Command

KIND = "MongoDB"


def _methods(owner: type) -> set[str]:
    names = [name for name in dir(owner) if not name.startswith("_")]
    return {name for name in names if inspect.iscoroutinefunction(getattr(owner, name))}


_REFUSED = {
    "watch": "it has no end, and so can't be a task",
    "aggregate_raw_batches": "raw documents are not supported",
    "find_raw_batches": "raw documents are not supported",
}
OF_COLLECTION = (_methods(AsyncCollection) | {"find"}) - set(_REFUSED)
OF_DATABASE = _methods(AsyncDatabase) - OF_COLLECTION - set(_REFUSED)

# Names of older engines, and what they are here.
_OLDER: dict[str, tuple[str, dict[str, Any]]] = {
    "findone": ("find_one", {}),
    "findall": ("find", {}),
    "insert": ("insert_one", {}),  # or insert_many
    "update": ("update_many", {}),
    "updateone": ("update_one", {}),  # or replace_one
    "upsert": ("update_many", {"upsert": True}),
    "upsertone": ("update_one", {"upsert": True}),  # or replace_one
    "delete": ("delete_many", {}),
}

# Methods whose own first parameter is a text. With the name of a collection before it, there are
# two texts, or a text and a list of keys.
_TEXT_FIRST = {
    "distinct",
    "create_index",
    "drop_index",
    "rename",
    "drop_search_index",
    "update_search_index",
    "list_search_indexes",
}


@dataclass(slots=True)
class Call:
    """A call as the driver takes it.

    Attributes:
        method: of the collection, or of the database where ``collection`` is None.
        limit: how many documents the app wants at most; 0 if it doesn't say.
    """

    method: str
    collection: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    limit: int = 0


def resolve(command: Command, collection: str) -> Call:
    """What a command means.

    Parameters:
        collection: used when the command has none, neither first nor as ``collection=``.

    Raises ``Failure`` for what is no method.
    """
    method, extra = _OLDER.get(command.name, (command.name, {}))
    if method in _REFUSED:
        raise refused(KIND, method, _REFUSED[method])
    if method in OF_DATABASE:
        return Call(method, None, command.args, command.kwargs)
    if method not in OF_COLLECTION:
        raise unknown_command(KIND, command.name, (*OF_COLLECTION, *OF_DATABASE, *_OLDER))
    args, kwargs = command.args, {**extra, **command.kwargs}
    named = kwargs.pop("collection", None)
    if named is None and _begins_with_collection(method, args):
        named, args = args[0], args[1:]
    if command.name in _OLDER:
        method = _by_arguments(command.name, method, args)
    limit = _limit(args, kwargs) if method == "find" else 0
    return Call(method, collection if named is None else named, args, kwargs, limit)


def _begins_with_collection(method: str, args: tuple[Any, ...]) -> bool:
    if not args or not isinstance(args[0], str):
        return False
    if method in _TEXT_FIRST:
        return len(args) > 1 and isinstance(args[1], (str, list, tuple))
    return True


def _by_arguments(name: str, method: str, args: tuple[Any, ...]) -> str:
    """Older names did for one and for many documents, for operators and for whole documents."""
    if name == "insert" and args and isinstance(args[0], (list, tuple)):
        return "insert_many"
    if name in ("updateone", "upsertone") and len(args) > 1 and isinstance(args[1], dict):
        if not any(str(key).startswith("$") for key in args[1]):
            return "replace_one"
    return method


def _limit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    limit = kwargs.get("limit", args[3] if len(args) > 3 else 0)
    return abs(limit) if isinstance(limit, int) else 0
