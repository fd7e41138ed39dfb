"""Request bodies that an endpoint reads while they come, over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from serving import Serving, Toy, answer

from skitai.errors import HTTPError

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
def app() -> Toy:
    """Reads all of a body at /stream, as an app does."""
    app = Toy()

    async def read(exchange: Exchange) -> None:
        size = 0
        try:
            while exchange.input is not None and (block := await exchange.input.read(1000)):
                size += len(block)
        except HTTPError as error:
            exchange.fail(error)
        else:
            answer(exchange, str(size).encode())

    app.coroutine("/stream", read, takes_body=False, streams_body=True)
    return app


def test_a_client_that_stops_in_the_middle_of_a_streamed_body_is_told(app: Toy) -> None:
    with Serving(app, network_timeout=0.1) as serving, serving.connect() as client:
        client.send("POST /stream HTTP/1.1", "Host: a", "Content-Length: 10", body=b"123")
        assert client.read().status == 408


def test_a_streamed_body_with_a_wrong_chunk_is_told(app: Toy) -> None:
    with Serving(app) as serving, serving.connect() as client:
        client.send("POST /stream HTTP/1.1", "Host: a", CHUNKED, body=b"3\r\none\r\n")
        client.write(b"zz\r\n")
        assert client.read().status == 400


def test_requests_behind_a_streamed_body_are_read(app: Toy) -> None:
    with Serving(app) as serving, serving.connect() as client:
        for size in (1000, 300_000, 1_000_000):
            client.send("POST /stream HTTP/1.1", "Host: a", f"Content-Length: {size}")
            client.write(b"x" * size)
            assert client.read().body == str(size).encode()
