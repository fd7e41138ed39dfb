"""Continuous load: client threads on keep-alive connections that check every answer they get."""

from __future__ import annotations

import collections
import http.client
import threading
from typing import TYPE_CHECKING

from live_service import PATIENCE, eventually

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Load:
    """Asks ``/who?token=…`` without pause while the ``with`` block runs.

    A connection is opened again only when the server has announced its end with
    ``Connection: close``; there are no second tries. The answer must be ``<token> <pid>``.

    Attributes:
        answers: how often each worker answered, by pid.
        failures: what went wrong, one entry for each failed request.
    """

    def __init__(self, port: int, threads: int = 4) -> None:
        self.port = port
        self.answers: collections.Counter[int] = collections.Counter()
        self.failures: list[str] = []
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_on, args=(number,)) for number in range(threads)
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

    def _ask_on(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        asked = 0
        while not self._enough.is_set():
            asked += 1
            try:
                self._ask(connection, f"t{number}-{asked}")
            except (OSError, http.client.HTTPException, AssertionError) as exc:
                self.failures.append(f"t{number}-{asked}: {exc!r}")
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, token: str) -> None:
        # http.client opens the connection itself when there is none or the last response ended it.
        connection.request("GET", f"/who?token={token}")
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, f"{response.status} {text}"
        echoed, _, pid = text.partition(" ")
        assert echoed == token, f"{token} was answered with {text!r}"
        self.answers[int(pid)] += 1
