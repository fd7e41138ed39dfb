"""Static mounts: answers GET and HEAD with files, before any app is asked.

Dispatch offers every GET and HEAD below a static prefix; what is not there goes on to the apps.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from skitai.handlers.files import send_parts
from skitai.handlers.static_files import ADD_SLASH
from skitai.server.representation import Head, add_vary, compressible
from skitai.wire.negotiation import choose_encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.static_files import StaticDirectory, StaticFile
    from skitai.server.exchange import Exchange

PACKED_ON_LOOP = 64 * 1024  # bytes; larger bodies are compressed in a thread
PACKED_AT_ALL = 2 * 1024 * 1024
_NOTHING_SET = Head(200)


class StaticHandler:
    """Serves the directories stacked on one prefix.

    Parameters:
        directory: finds the files.
        pool: compresses larger files that are asked for on the loop; None does it there.
        max_ages: seconds that clients may keep files without asking, by the beginning of their
            path; the longest one that fits counts.
    """

    __slots__ = ("_ages", "_directory", "_pool")

    def __init__(
        self,
        directory: StaticDirectory,
        pool: ThreadPool | None,
        max_ages: Mapping[str, int] | None = None,
    ) -> None:
        self._directory = directory
        self._pool = pool
        longest_first = sorted((max_ages or {}).items(), key=lambda age: -len(age[0]))
        self._ages = [
            (prefix.rstrip("/") + "/", ("Cache-Control", f"max-age={seconds}"))
            for prefix, seconds in longest_first
        ]

    def offer(self, exchange: Exchange) -> bool:
        """Answer with the file at the request's path, if there is one."""
        found = self._directory.find(exchange.request.path)
        if found is None:
            return False
        if found is ADD_SLASH:
            exchange.respond(Head(301, fields=[("Location", exchange.request.slashed())]), b"")
            return True
        return self._send(exchange, exchange.request.path, found, _NOTHING_SET)

    def send(self, exchange: Exchange, path: str, head: Head | None) -> bool:
        """Answer with the file at another path, if there is one.

        Parameters:
            head: status and headers of the app; those of the file that it lacks are added. None:
                nothing is answered.
        """
        found = self._directory.find(path)
        if found is None or found is ADD_SLASH:
            return False
        return head is None or self._send(exchange, path, found, head)

    def _send(self, exchange: Exchange, path: str, found: StaticFile, given: Head) -> bool:
        """Answer; False if the file vanished since it was looked up."""
        accepted = exchange.request.headers.get("accept-encoding")
        chosen = found
        if found.variants and accepted:
            chosen = found.variants.get(
                choose_encoding(accepted, tuple(found.variants)) or "", found
            )
        fields = [
            ("ETag", chosen.etag),
            ("Last-Modified", chosen.last_modified),
            ("Accept-Ranges", "bytes"),
        ]
        if self._ages:
            fields += [age for prefix, age in self._ages if f"{path}/".startswith(prefix)][:1]
        if given.fields:
            names = {name.lower() for name, _ in given.fields}
            fields = [pair for pair in fields if pair[0].lower() not in names]
            fields = [*given.fields, *fields]
        if chosen is not found:
            fields.append(("Content-Encoding", chosen.encoding))
        packs = self._packs(exchange, found)
        if found.variants or packs:
            add_vary(fields, "Accept-Encoding")
        content_type = given.content_type or found.content_type
        head = Head(given.status, content_type, fields, reason=given.reason)
        try:
            if chosen.content is not None:
                exchange.respond(head, chosen.content)
            elif packs and accepted and "range" not in exchange.request.headers:
                self._pack(exchange, head, found)
            else:
                send_parts(exchange, head, chosen.open(), chosen.size)
        except FileNotFoundError:
            return False
        return True

    def _packs(self, exchange: Exchange, found: StaticFile) -> bool:
        """Whether some clients get this file compressed."""
        settings = exchange.channel.server.settings
        return (
            settings.compress
            and not found.variants
            and settings.compress_min <= found.size <= PACKED_AT_ALL
            and compressible(found.content_type)
        )

    def _pack(self, exchange: Exchange, head: Head, found: StaticFile) -> None:
        with open(found.open(), "rb") as source:
            content = source.read()

        def respond(_: object) -> None:
            exchange.respond(head, content)

        if len(content) > PACKED_ON_LOOP and self._pool is not None and _on_loop():
            self._pool.resubmit(respond, None)
        else:
            respond(None)


def _on_loop() -> bool:
    """Whether this is the loop; an app may send a file from one of its threads."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
