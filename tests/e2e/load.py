"""Continuous load: client threads that check every answer they get."""

from __future__ import annotations

import collections
import http.client
import threading
from typing import TYPE_CHECKING

from live_service import PATIENCE, eventually

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from typing_extensions import Self


class Load:
    """Asks ``/who?token=…`` without pause while the ``with`` block runs.

    A kept connection is opened again only when the server has announced its end with
    ``Connection: close``; there are no second tries. The answer must be ``<token> <pid>``.

    Parameters:
        keeping: threads that keep their connection.
        changing: threads that take a new connection for each request.
        tls: what connections are encrypted with.

    Attributes:
        answers: how often each worker answered, by pid.
        failures: what went wrong, one entry for each failed request.
    """

    def __init__(
        self,
        port: int,
        keeping: int = 4,
        changing: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self._tls = tls
        self.answers: collections.Counter[int] = collections.Counter()
        self.failures: list[str] = []
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_on, args=(number, number < keeping))
            for number in range(keeping + changing)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(len(self._threads))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, number: int) -> None:
        """Wait until so many more requests have been answered."""
        goal = self.answers.total() + number
        eventually(lambda: self.answers.total() >= goal, f"{number} answers")

    def _ask_on(self, number: int, keep: bool) -> None:
        connection = self._connection()
        asked = 0
        while not self._enough.is_set():
            asked += 1
            try:
                self._ask(connection, f"t{number}-{asked}", keep)
            except (OSError, http.client.HTTPException, AssertionError) as exc:
                self.failures.append(f"t{number}-{asked}: {exc!r}")
                connection.close()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=PATIENCE, context=self._tls
        )

    def _ask(self, connection: http.client.HTTPConnection, token: str, keep: bool) -> None:
        # http.client opens the connection itself when there is none or the last response ended it.
        headers = {} if keep else {"Connection": "close"}
        connection.request("GET", f"/who?token={token}", headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, f"{response.status} {text}"
        echoed, _, pid = text.partition(" ")
        assert echoed == token, f"{token} was answered with {text!r}"
        self.answers[int(pid)] += 1
