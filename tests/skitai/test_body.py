"""Request bodies while they arrive: in memory, on disk, and when the disk is full."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest
from serving import Serving, Toy, answer

from skitai.server.body import SPOOL_SIZE, RequestBody

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange


def body_of(*pieces: bytes) -> RequestBody:
    body = RequestBody(None)
    for piece in pieces:
        body.append(piece)
    return body


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"one",),
        (b"one", b"two", b"", b"three"),
        (b"x" * SPOOL_SIZE,),
        (b"x" * SPOOL_SIZE, b"y"),
        (b"a", b"x" * SPOOL_SIZE, b"b" * 1000, b"c"),
    ],
)
def test_bodies_are_read_as_they_came(pieces: tuple[bytes, ...]) -> None:
    body, whole = body_of(*pieces), b"".join(pieces)
    assert body.size == len(whole)
    assert (body.spool is not None) == (len(whole) > SPOOL_SIZE)
    for _ in range(2):
        assert body.read() == whole
        with body.open() as file:
            assert file.read(2) == whole[:2]
            assert file.read() == whole[2:]


def test_readers_do_not_share_a_position() -> None:
    body = body_of(b"x" * SPOOL_SIZE, b"end")
    first, second = body.open(), body.open()
    assert first.read(1) == b"x"
    assert second.read()[-3:] == b"end"
    assert first.read(1) == b"x"


def test_what_was_opened_survives_the_end_of_the_request() -> None:
    for size in (10, SPOOL_SIZE + 10):
        body = body_of(b"x" * size)
        with body.open() as file:
            body.close()
            assert body.read() == b""
            assert len(file.read()) == size


def test_bodies_of_tiny_pieces_take_no_more_memory_than_others() -> None:
    body = RequestBody(None)
    for _ in range(100_000):
        body.append(b"ab")
    assert sys.getsizeof(body._data) < 300_000
    assert body.read() == b"ab" * 100_000


def test_a_full_disk_is_a_server_error_for_that_request_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Toy()

    def size(exchange: Exchange) -> None:
        answer(exchange, str(exchange.body.size if exchange.body else 0).encode())

    app.thread("/", size, max_body=10_000_000)
    engine = logging.getLogger("skitai")
    monkeypatch.setattr(engine, "propagate", True)
    with Serving(app) as serving:

        def post(length: int) -> bytes:
            client = serving.connect()
            client.send("POST / HTTP/1.1", "Host: a", f"Content-Length: {length}")
            client.write(b"x" * length)
            response = client.read()
            return str(response.status).encode() + b" " + response.body[:7]

        def full(*args: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            assert post(SPOOL_SIZE + 1)[:3] == b"507"
        assert "No space left" in caplog.text
        assert post(SPOOL_SIZE + 1) == b"200 1048577"
