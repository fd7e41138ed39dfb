"""Static mounts: answers GET and HEAD with files, before any app is asked.

Dispatch offers every GET and HEAD below a static prefix; what is not there goes on to the apps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.handlers.files import send_parts
from skitai.handlers.static_files import ADD_SLASH
from skitai.server.representation import Head, compressible
from skitai.wire.negotiation import choose_encoding

if TYPE_CHECKING:
    from skitai.executors.threads import ThreadPool
    from skitai.handlers.static_files import StaticDirectory, StaticFile
    from skitai.server.exchange import Exchange

PACKED_ON_LOOP = 64 * 1024  # bytes; larger bodies are compressed in a thread
PACKED_AT_ALL = 2 * 1024 * 1024


class StaticHandler:
    """Serves the directories stacked on one prefix.

    Parameters:
        directory: finds the files.
        pool: compresses larger files; None does it on the loop.
    """

    __slots__ = ("_directory", "_pool")

    def __init__(self, directory: StaticDirectory, pool: ThreadPool | None) -> None:
        self._directory = directory
        self._pool = pool

    def offer(self, exchange: Exchange) -> bool:
        found = self._directory.find(exchange.request.path)
        if found is None:
            return False
        if found is ADD_SLASH:
            exchange.respond(Head(301, fields=[("Location", exchange.request.slashed())]), b"")
            return True
        try:
            self._send(exchange, found)
        except FileNotFoundError:
            return False  # it vanished between look-up and open
        return True

    def _send(self, exchange: Exchange, found: StaticFile) -> None:
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
        if chosen is not found:
            fields.append(("Content-Encoding", chosen.encoding))
        packs = self._packs(exchange, found)
        if found.variants or packs:
            fields.append(("Vary", "Accept-Encoding"))
        head = Head(200, found.content_type, fields)
        if chosen.content is not None:
            exchange.respond(head, chosen.content)
        elif packs and accepted and "range" not in exchange.request.headers:
            self._pack(exchange, head, found)
        else:
            send_parts(exchange, head, chosen.open(), chosen.size)

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

        if len(content) > PACKED_ON_LOOP and self._pool is not None:
            self._pool.resubmit(respond, None)
        else:
            respond(None)
