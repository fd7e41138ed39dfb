"""URLs of upstreams, the backends that are kept for them, and headers that proxies pass on."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from scripted_http_server import Conversation, ScriptedServer, always_ok

from skitai.errors import ConfigError
from skitai.upstream.http.client import HttpClient, parse_url
from skitai.upstream.http.proxy_headers import request_headers, response_headers
from skitai.upstream.http.request import HttpRequest


@pytest.mark.parametrize(
    ("url", "name", "target"),
    [
        ("http://a", "a:80/", "/"),
        ("http://a/", "a:80/", "/"),
        ("HTTPS://A.example:8443/b/c?d=e&f#g", "a.example:8443/", "/b/c?d=e&f"),
        ("https://a?b", "a:443/", "/?b"),
        ("http://[::1]:81/x", "::1:81/", "/x"),
        ("http://a/é b?ü=%20", "a:80/", "/%C3%A9%20b?%C3%BC=%20"),
        ("http://u:p@a/", "a:80/", "/"),
    ],
)
def test_urls(url, name, target):
    parsed = parse_url(url)
    assert (parsed.member.name, parsed.target) == (name, target)
    assert parsed.member.tls is url.lower().startswith("https")


def test_credentials_in_urls():
    member = parse_url("http://us%40er:p%3Aw@a/").member
    assert (member.user, member.password) == ("us@er", "p:w")
    assert parse_url("http://user@a/").member.password is None
    assert parse_url("http://a/").member.user is None


@pytest.mark.parametrize(
    "url",
    ["", "a", "/a", "//a/b", "ftp://a/", "http://", "http:///a", "http://a:b/", "http://a:99999/"]
    + ["http://a/\r\nX: 1", "http://a\n/", "http://[::1/", "@alias/a", "file:///etc/passwd"],
)
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match=r"URL|[Pp]ort|IPv6"):
        parse_url(url)


def test_a_url_with_a_strange_host():
    async def main():
        with pytest.raises(ConfigError):
            HttpClient().backend_for("http://a b/")

    asyncio.run(main())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_origins_share_connections_and_credentials_do_not(run):
    seen = []

    async def script(client: Conversation) -> None:
        while True:
            received = await client.request()
            seen.append((client.number, received.line, received.headers.get("authorization")))
            await client.answer()

    async def main():
        async with ScriptedServer(script) as server:
            client = HttpClient()
            for text in ("/a?b", "/c", "u:p@/d", "/e"):
                user, _, target = text.rpartition("@")
                url = f"http://{user + '@' if user else ''}127.0.0.1:{server.port}{target}"
                parsed = parse_url(url)
                backend = client.backend_for(parsed)
                assert backend is client.backend_for(url)
                await backend.call(HttpRequest("GET", parsed.target, []))
            assert len(client) == 2
            await client.close()
            assert len(client) == 0
            await server.until(lambda: server.open == 0)

    run(main())
    assert seen == [
        (1, "GET /a?b HTTP/1.1", None),
        (1, "GET /c HTTP/1.1", None),
        (2, "GET /d HTTP/1.1", "Basic dTpw"),
        (1, "GET /e HTTP/1.1", None),
    ]


def test_origins_are_limited_and_those_forgotten_close_their_connections():
    async def main():
        async with ScriptedServer(always_ok) as server:
            client = HttpClient(max_origins=3)

            def origin(user: int) -> str:
                return f"http://{user}@127.0.0.1:{server.port}/"

            backends = [client.backend_for(origin(user)) for user in range(3)]
            for backend in backends:
                await backend.call(HttpRequest("GET", "/", []))
            client.backend_for(origin(0))  # used last now
            client.backend_for(origin(3))
            assert len(client) == 3
            await server.until(lambda: server.open == 2)
            assert backends[1].connections == 0
            assert client.backend_for(origin(0)) is backends[0]
            assert client.backend_for(origin(2)) is backends[2]
            # Who still has a forgotten one can use it, but it keeps nothing.
            assert (await backends[1].call(HttpRequest("GET", "/", []))).content == b"ok"
            await server.until(lambda: server.open == 2)
            await client.close()

    asyncio.run(main())


def test_origins_in_use_are_forgotten_last():
    async def main():
        go_on = asyncio.Event()

        async def script(client: Conversation) -> None:
            await client.request()
            await go_on.wait()
            await client.answer()

        async with ScriptedServer(script) as server:
            client = HttpClient(max_origins=2)

            def ask(user: int):
                backend = client.backend_for(f"http://{user}@127.0.0.1:{server.port}/")
                return backend, asyncio.ensure_future(backend.call(HttpRequest("GET", "/", [])))

            first, job = ask(0)
            await server.until(lambda: server.open == 1)
            client.backend_for("http://unused/")
            client.backend_for("http://other/")
            assert client.backend_for(f"http://0@127.0.0.1:{server.port}/") is first
            _, second = ask(1)
            await server.until(lambda: server.open == 2)
            _, third = ask(2)  # all are in use: the oldest goes on without being kept
            assert len(client) == 2
            go_on.set()
            for reply in await asyncio.gather(job, second, third):
                assert reply.content == b"ok"
            await server.until(lambda: server.open == 0)
            await client.close()

    asyncio.run(main())


# -- proxies


def relayed(fields, peer="10.0.0.9", scheme="https", **more) -> list[tuple[str, str]]:
    return request_headers(fields, peer, scheme, **more)


OURS = [
    ("Via", "1.1 skitai"),
    ("X-Forwarded-For", "10.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "front:81"),
]


def test_a_request_is_passed_on_without_what_belongs_to_its_connection():
    fields = [
        ("host", "front:81"),
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("connection", "keep-alive, X-Mine, TE"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMA"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("expect", "100-continue"),
        ("authorization", "Bearer x"),
        ("accept-encoding", "gzip"),
    ]
    assert relayed(fields) == [
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("authorization", "Bearer x"),
        ("accept-encoding", "gzip"),
        *OURS,
    ]


def test_the_host_can_be_kept():
    assert relayed([("Host", "front:81")], keep_host=True) == [("Host", "front:81"), *OURS]


def test_chains_of_proxies_are_continued():
    fields = [
        ("Host", "inner"),
        ("Via", "1.0 a"),
        ("via", "2 b"),
        ("X-Forwarded-For", "1.2.3.4, 5.6.7.8"),
        ("X-Forwarded-For", "9.9.9.9"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil"),
    ]
    assert relayed(fields, version="2") == [
        ("Via", "1.0 a, 2 b, 2 skitai"),
        ("X-Forwarded-For", "1.2.3.4, 5.6.7.8, 9.9.9.9, 10.0.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "inner"),
    ]
    assert relayed(fields, trusted=True)[2:] == [
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil"),
    ]
    assert relayed([], peer="", trusted=True) == [
        ("Via", "1.1 skitai"),
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-Proto", "https"),
    ]


def test_a_client_can_not_take_away_what_others_rely_on():
    fields = [
        ("Host", "front:81"),
        (
            "Connection",
            "close, X-Forwarded-For, x-forwarded-host, Cookie, Authorization, Host, Via",
        ),
        ("Cookie", "a=1"),
        ("Authorization", "x"),
        ("X-Forwarded-For", "1.1.1.1"),
        ("Via", "1.1 a"),
    ]
    assert relayed(fields) == [
        ("Cookie", "a=1"),
        ("Authorization", "x"),
        ("Via", "1.1 a, 1.1 skitai"),
        ("X-Forwarded-For", "1.1.1.1, 10.0.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "front:81"),
    ]


def test_an_answer_is_passed_on_with_order_and_duplicates():
    fields = [
        ("Server", "x"),
        ("Set-Cookie", "a"),
        ("Connection", "close, X-Hop, Set-Cookie"),
        ("X-Hop", "1"),
        ("set-cookie", "b"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "0012"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "x"),
    ]
    assert response_headers(fields) == (
        [("Server", "x"), ("Set-Cookie", "a"), ("set-cookie", "b"), ("Content-Encoding", "gzip")],
        12,
    )
    assert response_headers([("Transfer-Encoding", "chunked")]) == ([], None)
