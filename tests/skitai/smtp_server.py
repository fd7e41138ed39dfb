"""A real SMTP server for tests, which keeps what it gets and refuses what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import warnings
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ssl import SSLContext


class SmtpServer:
    """What the server has got.

    Attributes:
        messages: those that were accepted.
        envelopes: sender and recipients of each.
        answers: by recipient, an answer instead of 250.
        data_answer: instead of 250 for all messages.
        hold: set unless deliveries have to wait before they are answered.
        begun: how many messages have arrived, also those that wait.
    """

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.logins: list[bytes] = []
        self.answers: dict[str, str] = {}
        self.data_answer = ""
        self.hold = threading.Event()
        self.hold.set()
        self.begun = 0
        self.port = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answers.get(address)
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.begun += 1
        while not self.hold.is_set():
            await asyncio.sleep(0.01)
        if self.data_answer:
            return self.data_answer
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        self.envelopes.append((envelope.mail_from, sorted(envelope.rcpt_tos)))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login + b":" + data.password)
        return AuthResult(success=data.password == b"secret", handled=False)


@contextlib.contextmanager
def running_smtp(
    port: int = 0, ssl: SSLContext | None = None, tls: SSLContext | None = None, login: bool = False
) -> Iterator[SmtpServer]:
    """A server in a thread.

    Parameters:
        ssl: TLS from the first byte.
        tls: STARTTLS is offered.
        login: a password is wanted.
    """
    served = SmtpServer()
    started, loop = threading.Event(), asyncio.new_event_loop()

    def factory() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SMTP(
                served, loop=loop, hostname="test", tls_context=tls, require_starttls=bool(tls),
                auth_required=login, auth_require_tls=bool(tls),
                authenticator=served.authenticate if login else None,
            )  # fmt: skip

    async def run() -> None:
        server = await loop.create_server(factory, "127.0.0.1", port, ssl=ssl)
        served.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(30)
    try:
        yield served
    finally:
        served.hold.set()
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
