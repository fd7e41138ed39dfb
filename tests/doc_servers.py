"""Servers that examples of documents reach: usual addresses become those of real ones."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Files = dict[str, str]
    # Starts a server until the stack is closed; gives what stands for an address.
    Start = Callable[[ExitStack], str]


def _postgresql(stack: ExitStack) -> str:
    from tests.skitai.postgresql_server import running_postgresql

    server = stack.enter_context(running_postgresql())
    return f"{server.address}/{server.new_database()}"


def _redis(stack: ExitStack) -> str:
    from tests.skitai.redis_process import running_redis

    return f"127.0.0.1:{stack.enter_context(running_redis()).port}"


def _mongodb(stack: ExitStack) -> str:
    from tests.skitai.mongo_process import running_mongodb

    return f"127.0.0.1:{stack.enter_context(running_mongodb()).port}"


def _smtp(stack: ExitStack) -> str:
    from tests.skitai.smtp_server import running_smtp

    return f"127.0.0.1:{stack.enter_context(running_smtp()).port}"


_SERVERS: list[tuple[re.Pattern[str], Start]] = [
    (re.compile(r"(?:\w+:\w+@)?localhost:5432/\w+"), _postgresql),
    (re.compile(r"\blocalhost:6379\b"), _redis),
    (re.compile(r"\blocalhost:27017\b"), _mongodb),
    (re.compile(r"\blocalhost:2525\b"), _smtp),
]


@contextmanager
def with_servers(files: Files) -> Iterator[Files]:
    """The files of a project with the addresses of servers, which run as long as the block does.

    Those of PostgreSQL have an empty database and a user of their own, all are empty.
    """
    with ExitStack() as stack:
        for address, start in _SERVERS:
            if any(address.search(text) for text in files.values()):
                running = start(stack)
                files = {name: address.sub(running, text) for name, text in files.items()}
        yield files
