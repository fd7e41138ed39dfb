"""What answers look like under --devel: the tag in documents, what is left alone, the events."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from serving import Serving, Toy, answer, until

from skitai.devel.html import Policy, place_of
from skitai.devel.orders import FAILURE, HELLO, STYLE, open_channel, write_order
from skitai.devel.refresher import EVENTS, SCRIPT, Refresher
from skitai.handlers.asgi import ASGIApplication
from skitai.handlers.files import respond_file
from skitai.handlers.wsgi import WSGIApplication
from skitai.server.representation import Head

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from serving import Client, Response

    from skitai.server.exchange import Exchange

PAGE = b"<!doctype html><html><body><p>Hello</p></body></html>"
TAG = b'<script async src="/-/devel/refresh.js" data-state="'
HTML = "text/html; charset=utf-8"


class Refreshed:
    """An app with a refresher before it, as the worker puts it there."""

    def __init__(self, app: Any, channel: int = -1) -> None:
        self._app = app
        self._channel = channel
        self.refresher: Refresher

    def freeze(self, point: str, pool: Any) -> Any:
        return self._app.freeze(point, pool)

    def serving(self, **settings: Any) -> Serving:
        return _RefreshedServing(self, **settings)


class _RefreshedServing(Serving):
    def __enter__(self) -> Serving:
        super().__enter__()

        async def guard() -> None:
            app = self._app
            app.refresher = Refresher(self.loop, app._channel)
            self.server.dispatch = app.refresher.guard(self.server.dispatch)
            self.server.access_log = app.refresher.quiet(self.server.access_log)

        asyncio.run_coroutine_threadsafe(guard(), self.loop).result()
        return self

    def __exit__(self, *args: object) -> None:
        self.loop.call_soon_threadsafe(self._app.refresher.close)
        super().__exit__(*args)


def serving_of(run: Callable[[Exchange], Any], **settings: Any) -> Serving:
    app = Toy()
    app.loop("/", run)
    return Refreshed(app).serving(**settings)


def get(run: Callable[[Exchange], Any], *headers: str, **settings: Any) -> Response:
    with serving_of(run, **settings) as serving:
        return serving.get("/", *headers)


def page(body: bytes = PAGE, kind: str = HTML, **fields: str) -> Callable[[Exchange], None]:
    return lambda exchange: answer(exchange, body, kind=kind, **fields)


def without_tag(body: bytes) -> bytes:
    at = body.index(TAG)
    return body[:at] + body[body.index(b"</script>", at) + 9 :]


def test_a_document_gets_the_tag_in_front_of_the_end_of_its_body() -> None:
    response = get(page())
    assert without_tag(response.body) == PAGE
    assert response.body.endswith(b"</script></body></html>")
    assert int(response["Content-Length"]) == len(response.body)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"<html><BODY>a</BODY></html>", b"<html><BODY>a|</BODY></html>"),
        (b"<script>'</body>'</script></body>", b"<script>'</body>'</script>|</body>"),
        (b"<html><p>a</html>", b"<html><p>a|</html>"),
        (b"<html></body><!-- </body> -->", b"<html>|</body><!-- </body> -->"),
        (b"<html><script>'</body>'</script>", b"<html><script>'</body>'</script>|"),
        (b"<p>part</p><script>'</body>'</script>", None),
        (b" <!-- a --> <!DOCTYPE html>\n<p>a", b" <!-- a --> <!DOCTYPE html>\n<p>a|"),
        (b"<p>only a part</p>", None),
        (b"", None),
        ("<html>€</body>".encode("utf-16"), None),
    ],
)
def test_where_the_tag_belongs(body: bytes, place: bytes | None) -> None:
    at = place_of(body)
    assert (None if at is None else body[:at] + b"|" + body[at:]) == place


@pytest.mark.parametrize(
    ("run", "headers"),
    [
        (page(b"<p>part</p>"), ()),
        (page(kind="text/plain"), ()),
        (page(kind="application/json"), ()),
        (page(Content_Disposition="attachment; filename=a.html"), ()),
        (page(Signature="sig=:YQ==:"), ()),
        (page(), ("Sec-Fetch-Dest: empty",)),
        (page(), ("X-Requested-With: XMLHttpRequest",)),
    ],
)
def test_what_is_no_page_is_left_alone(
    run: Callable[[Exchange], None], headers: tuple[str, ...]
) -> None:
    assert TAG not in get(run, *headers).body


def test_pages_of_errors_and_of_frames_get_the_tag() -> None:
    assert TAG in get(lambda exchange: answer(exchange, PAGE, 500, HTML)).body
    assert TAG in get(page(), "Sec-Fetch-Dest: iframe").body


def test_what_was_said_of_other_bytes_is_left_out() -> None:
    response = get(page(Repr_Digest="sha-256=:YQ==:", Content_Disposition="inline"))
    assert TAG in response.body
    assert response.get("Repr-Digest") is None


def test_compression_comes_behind_the_tag() -> None:
    big = b"<html><body>" + b"word " * 2000 + b"</body></html>"
    response = get(page(big), "Accept-Encoding: gzip")
    assert response["Content-Encoding"] == "gzip"
    assert without_tag(gzip.decompress(response.body)) == big


def test_what_an_app_has_compressed_itself_gets_the_tag() -> None:
    response = get(page(gzip.compress(PAGE), Content_Encoding="gzip"))
    assert response.get("Content-Encoding") is None
    assert without_tag(response.body) == PAGE
    for packed, name in ((zlib.compress(PAGE), "deflate"), (b"no gzip", "gzip")):
        assert get(page(packed, Content_Encoding=name)).body == packed


def test_the_entity_tag_changes_with_the_state_and_is_still_good_for_304() -> None:
    dated = page(ETag='"a"', Last_Modified="Sat, 21 Nov 2026 20:00:00 GMT")
    with serving_of(dated) as serving:
        response = serving.get("/")
        assert response["ETag"].startswith('"a-')
        assert response.get("Last-Modified") is None
        assert serving.get("/", f"If-None-Match: {response['ETag']}").status == 304
        assert serving.get("/", 'If-None-Match: "a"').status == 200


def test_head_has_the_length_of_get() -> None:
    with serving_of(page()) as serving, serving.connect() as client:
        client.send("HEAD / HTTP/1.1", "Host: a")
        head = client.read("HEAD")
        assert head.body == b""
        assert head["Content-Length"] == serving.get("/")["Content-Length"]


def test_an_app_keeps_the_head_that_it_uses_again() -> None:
    head = Head(200, HTML, [("ETag", '"a"')])
    with serving_of(lambda exchange: exchange.respond(head, PAGE)) as serving:
        first, second = serving.get("/"), serving.get("/")
    assert first["ETag"] == second["ETag"]
    assert head.fields == [("ETag", '"a"')]


def test_a_stream_is_left_alone() -> None:
    def stream(exchange: Exchange) -> None:
        exchange.start(Head(200, HTML))
        exchange.write(PAGE)
        exchange.end()

    assert get(stream).body == PAGE


def test_a_document_of_known_length_is_one_however_it_comes() -> None:
    def pieces(exchange: Exchange) -> None:
        exchange.start(Head(200, HTML, length=len(PAGE)))
        exchange.write(PAGE[:10])
        exchange.write(PAGE[10:])
        exchange.end()

    assert without_tag(get(pieces).body) == PAGE


def test_a_crash_behind_the_first_piece_is_a_whole_error() -> None:
    def crash(exchange: Exchange) -> None:
        exchange.start(Head(200, HTML, length=len(PAGE)))
        exchange.write(PAGE[:10])
        raise RuntimeError("on purpose")

    response = get(crash)
    assert response.status == 500
    assert PAGE[:10] not in response.body


@pytest.mark.parametrize("size", [10, 100_000])
def test_documents_that_are_files_get_the_tag_and_other_files_are_asked_for_again(
    tmp_path: Path, size: int
) -> None:
    content = b"<html><body>" + b"a" * size + b"</body></html>"
    (tmp_path / "page").write_bytes(content)

    def file(kind: str) -> Callable[[Exchange], None]:
        def run(exchange: Exchange) -> None:
            descriptor = os.open(tmp_path / "page", os.O_RDONLY)
            respond_file(exchange, Head(200, kind), descriptor, os.fstat(descriptor))

        return run

    response = get(file(HTML))
    assert without_tag(response.body) == content
    assert response["ETag"].endswith('.0.0"')
    response = get(file("image/png"))
    assert response.body == content
    assert response["Cache-Control"] == "no-cache"
    part = get(file(HTML), "Range: bytes=0-5")
    assert (part.status, part.body) == (206, content[:6])


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", HTML), ("Content-Length", str(len(PAGE)))])
    return [PAGE]


def wsgi_pieces(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", HTML), ("Content-Length", str(len(PAGE)))])
    yield PAGE[:10]
    yield PAGE[10:]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """As frameworks send through a layer around their answers."""
    headers = [(b"content-type", HTML.encode()), (b"content-length", b"%d" % len(PAGE))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def test_apps_of_other_frameworks_get_the_tag(tmp_path: Path) -> None:
    home = str(tmp_path)
    for app in (
        WSGIApplication(wsgi, "a", None, home, True),
        WSGIApplication(wsgi_pieces, "a", None, home, True),
        ASGIApplication(asgi, "a", None, home, True),
    ):
        with Refreshed(app).serving() as serving, serving.connect() as client:
            for _ in range(2):
                assert without_tag(client.get("/").body) == PAGE
            client.send("HEAD / HTTP/1.1", "Host: a")
            assert client.read("HEAD").get("Content-Length") != str(len(PAGE))


# Policies


@pytest.mark.parametrize(
    ("policy", "forbidden", "nonce"),
    [
        ("default-src 'self'", "", ""),
        ("img-src 'none'; object-src 'none'", "", ""),
        ("script-src 'nonce-abc='; connect-src *", "", "abc="),
        ("script-src 'self' 'unsafe-inline'; connect-src 'none'", "connect-src", ""),
        ("default-src 'none'", "connect-src", ""),
        ("script-src 'sha256-abc'", "script-src", ""),
        ("script-src 'strict-dynamic' https:", "script-src", ""),
        ("script-src-elem 'self'; script-src 'none'", "", ""),
        ("sandbox", "sandbox", ""),
        ("sandbox allow-scripts", "", ""),
        ("default-src 'self', script-src 'none'", "script-src", ""),
    ],
)
def test_what_a_policy_says_of_the_script(policy: str, forbidden: str, nonce: str) -> None:
    found = Policy([("Content-Security-Policy", policy)])
    assert (found.forbidden, found.nonce) == (forbidden, nonce)


def test_a_policy_that_forbids_the_script_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    strict = page(Content_Security_Policy="default-src 'none'", ETag='"a"')
    with caplog.at_level(logging.WARNING), serving_of(strict) as serving:
        for _ in range(3):
            response = serving.get("/")
            assert response.body == PAGE
            assert response["ETag"] == '"a"'
    assert [record.getMessage().count("connect-src") for record in caplog.records] == [1]


def test_a_nonce_is_on_the_tag() -> None:
    response = get(page(Content_Security_Policy="script-src 'nonce-a+b='"))
    assert b' nonce="a+b="></script>' in response.body


# The script and its events


def test_the_script_is_served_and_other_methods_are_refused() -> None:
    with serving_of(page()) as serving, serving.connect() as client:
        response = client.get(SCRIPT)
        assert response["Content-Type"] == "text/javascript; charset=utf-8"
        assert b"EventSource" in response.body
        client.send(f"POST {SCRIPT} HTTP/1.1", "Host: a", "Content-Length: 0")
        assert client.read().status == 405


class Listening:
    """A page that listens, and the master that talks to it."""

    def __init__(self) -> None:
        self.master, self._worker = open_channel()
        os.set_blocking(self.master, True)
        self.order(HELLO, "s.0.0")
        self.app = Refreshed(self._toy(), self._worker)

    def _toy(self) -> Toy:
        app = Toy()
        app.loop("/", page())
        return app

    def order(self, kind: str, state: str, failure: dict[str, str] | None = None) -> None:
        write_order(self.master, {"kind": kind, "state": state, "failure": failure})

    def close(self) -> None:
        os.close(self.master)
        os.close(self._worker)


@pytest.fixture
def listening() -> Iterator[Listening]:
    made = Listening()
    yield made
    made.close()


def listen(client: Client) -> socket.socket:
    client.send(f"GET {EVENTS} HTTP/1.1", "Host: a")
    return client.socket


def event(sock: socket.socket) -> dict[str, Any]:
    """The next event; each comes in a chunk of its own."""
    data = b""
    while b"data: " not in data or not data.endswith(b"\n\n\r\n"):
        piece = sock.recv(65536)
        assert piece, "the stream has ended"
        data += piece
    found: dict[str, Any] = json.loads(data.rpartition(b"data: ")[2].strip())
    return found


def test_pages_are_told_what_the_master_tells(listening: Listening) -> None:
    with listening.app.serving() as serving, serving.connect() as client:
        sock = listen(client)
        assert event(sock) == {"kind": HELLO, "state": "s.0.0", "failure": None}
        assert b'data-state="s.0.0"' in serving.get("/").body
        listening.order(STYLE, "s.0.1")
        assert event(sock)["state"] == "s.0.1"
        assert b'data-state="s.0.1"' in serving.get("/").body


def test_a_page_that_comes_later_is_told_of_the_failure(
    listening: Listening, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("one\ntwo\n<b>three</b>\nfour\n")
    trace = f'Traceback (most recent call last):\n  File "{broken}", line 3\nSyntaxError: no'
    with listening.app.serving() as serving, serving.connect() as client:
        sock = listen(client)
        event(sock)
        listening.order(FAILURE, "s.0.0", {"reason": "SyntaxError: no\nmore", "trace": trace})
        told = event(sock)
        assert told["failure"] == {
            "title": "SyntaxError: no",
            "file": str(broken),
            "line": 3,
            "excerpt": [[1, "one"], [2, "two"], [3, "<b>three</b>"], [4, "four"]],
            "trace": trace,
        }
        with serving.connect() as late:
            assert event(listen(late)) == told


def test_streams_end_at_once_when_the_worker_drains(listening: Listening) -> None:
    with listening.app.serving() as serving, serving.connect() as client:
        sock = listen(client)
        event(sock)
        refresher = listening.app.refresher
        serving.loop.call_soon_threadsafe(refresher.close)
        while sock.recv(65536):
            pass
        until(lambda: serving.connections == 0, "the end of the connection")
        response = serving.get(EVENTS)  # the page asks again, and comes to the next worker
        assert (response.body, response["Connection"]) == (b":\n\n", "close")


def test_a_page_that_leaves_is_forgotten(listening: Listening) -> None:
    with listening.app.serving() as serving:
        with serving.connect() as client:
            event(listen(client))
            assert len(listening.app.refresher._streams) == 1
        until(lambda: not listening.app.refresher._streams, "the end of the stream")


def test_whoever_asks_a_worker_that_ends_for_a_page_is_sent_to_the_next() -> None:
    app = Toy()
    app.loop("/", page())
    app.loop("//other", page())
    refreshed = Refreshed(app)
    with refreshed.serving() as serving:
        asyncio.run_coroutine_threadsafe(_closed(refreshed), serving.loop).result()
        response = serving.get("/?a=1", "Sec-Fetch-Mode: navigate")
        assert (response.status, response["Location"]) == (307, "/?a=1")
        assert serving.get("/").status == 200
        assert serving.get("//other", "Sec-Fetch-Mode: navigate").status == 200


async def _closed(refreshed: Refreshed) -> None:
    refreshed.refresher.close()


def test_the_script_is_in_no_log() -> None:
    class Recorder:
        clock = staticmethod(lambda: 0.0)

        def __init__(self) -> None:
            self.paths: list[str] = []

        def record(self, exchange: Exchange) -> None:
            self.paths.append(exchange.request.path)

    recorder = Recorder()
    app = Toy()
    app.loop("/", page())
    with Refreshed(app).serving(log=recorder) as serving:
        serving.get(SCRIPT)
        serving.get("/")
    assert recorder.paths == ["/"]
