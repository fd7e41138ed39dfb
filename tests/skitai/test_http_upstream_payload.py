"""What stubs are called with, as a request: paths, queries, bodies, forms with files."""

from __future__ import annotations

import asyncio
import io
import os
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_http_server import Conversation, ScriptedServer

from skitai.upstream.http.backend import HttpBackend
from skitai.upstream.http.form_body import FileBody, FormBody
from skitai.upstream.http.payload import build_request
from skitai.upstream.http.target import add_query, format_path, join_path
from skitai.wire.http1_client import encode_request
from skitai.wire.multipart import UploadedFile, parse_multipart

# -- targets


@pytest.mark.parametrize(
    ("path", "values", "target"),
    [
        ("/profiles/{}?limit={}", (100, 10), "/profiles/100?limit=10"),
        ("@myapi/profiles/{}?limit={}", (100, 10), "/profiles/100?limit=10"),
        ("@myapi", (), ""),
        ("profiles", (), "/profiles"),
        ("", (), ""),
        ("/", (), "/"),
        ("?a=1", (), "?a=1"),
        ("/a#b", (), "/a"),
        ("/{}", ("a/b?c=d&e#f",), "/a%2Fb%3Fc%3Dd%26e%23f"),
        ("/?q={}", ("a&b=c d+e",), "/?q=a%26b%3Dc%20d%2Be"),
        ("/{}", ("한글",), "/%ED%95%9C%EA%B8%80"),
        ("/{}", ("a%2Fb",), "/a%252Fb"),
        ("/{}", ("a\r\nX: 1",), "/a%0D%0AX%3A%201"),
        ("/{}", ("{}",), "/%7B%7D"),
        ("/{}", (b"\xff",), "/%FF"),
        ("/{}", (True,), "/True"),
        ("/{}", ("",), "/"),
        ("/{}", ("...",), "/..."),
        ("/{}.json", ("..",), "/...json"),
        ("/한글 a%20b", (), "/%ED%95%9C%EA%B8%80%20a%20b"),
        ("/../a", (), "/../a"),
        ("/../{}", ("a",), "/../a"),
    ],
)
def test_values_in_paths(path, values, target):
    assert format_path(path, values) == target


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/{}", ()),
        ("/{}", (1, 2)),
        ("/", (1,)),
        ("/{}", ("..",)),
        ("/{}/b", (".",)),
        ("/a/.{}", (".",)),
        ("/a/{}{}", (".", ".")),
        ("/%2{}%2{}/x", ("e", "E")),
        ("{}", ("..",)),
        ("/{}?x", ("..",)),
        ("/{}", ({"a": 1},)),
        ("/{}", ([1],)),
    ],
)
def test_values_that_do_not_fit_or_lead_elsewhere(path, values):
    with pytest.raises(ValueError, match="path"):
        format_path(path, values)


@given(st.text(max_size=12), st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_values_stay_where_they_are(first, second):
    try:
        target = format_path("/a/{}/b?c={}&d=1", (first, second))
    except ValueError:
        assert first in (".", "..") or not (first + second).isprintable()  # surrogates
        return
    encode_request("GET", target, [])
    path, _, query = target.partition("?")
    assert path.count("/") == 3
    assert parse_qsl(query, keep_blank_values=True) == [("c", second), ("d", "1")]
    assert urlsplit("http://host" + target).netloc == "host"


@pytest.mark.parametrize(
    ("base", "target", "joined"),
    [
        ("", "", "/"),
        ("", "/a", "/a"),
        ("", "?a", "/?a"),
        ("/api", "", "/api"),
        ("/api/", "/a", "/api/a"),
        ("api", "/a", "/api/a"),
        ("/api", "?a", "/api?a"),
        ("/a b", "/c", "/a%20b/c"),
    ],
)
def test_bases_and_targets(base, target, joined):
    assert join_path(base, target) == joined


@pytest.mark.parametrize(
    ("target", "payload", "result"),
    [
        ("/", {}, "/"),
        ("/", {"a": 1, "b": None, "c": "x y&z"}, "/?a=1&c=x+y%26z"),
        ("/", {"a": [1, "b"], "c": ()}, "/?a=1&a=b"),
        ("/?x", {"a": 1}, "/?x&a=1"),
        ("/?", {"a": 1}, "/?a=1"),
        ("/?x&", {"a": 1}, "/?x&a=1"),
        ("/", {"é": "é", 1: True}, "/?%C3%A9=%C3%A9&1=True"),
        ("/", {"a": b"\xff"}, "/?a=%FF"),
        ("/", "a=1&b=é", "/?a=1&b=%C3%A9"),
        ("/", "", "/"),
    ],
)
def test_queries(target, payload, result):
    assert add_query(target, payload) == result


# -- requests


def test_the_examples_of_the_contract():
    request = build_request("get", "/api", "/profiles/{}?limit={}", (100, 10))
    assert (request.method, request.target) == ("GET", "/api/profiles/100?limit=10")
    assert request.headers == [("Accept", "application/json")]
    assert request.body is None

    request = build_request("put", "/api", "/profiles/{}", (100, {"name": "Hans Roh"}))
    assert (request.method, request.target) == ("PUT", "/api/profiles/100")
    assert request.headers == [
        ("Accept", "application/json"),
        ("Content-Type", "application/json"),
    ]
    assert request.body == b'{"name":"Hans Roh"}'


def test_keywords_are_fields_of_the_payload():
    assert build_request("get", "", "/", fields={"a": 1}).target == "/?a=1"
    request = build_request("get", "", "/x/{}", (5, {"a": 1, "b": 2}), {"b": 3})
    assert request.target == "/x/5?a=1&b=3"
    assert build_request("post", "", "/", ({"a": 1},), {"b": 2}).body == b'{"a":1,"b":2}'
    with pytest.raises(ValueError, match="need a dictionary"):
        build_request("post", "", "/", ([1],), {"b": 2})


@pytest.mark.parametrize("method", ["get", "head", "delete", "options", "trace"])
def test_methods_without_a_body_put_it_into_the_query(method):
    request = build_request(method, "", "/a?b=1", ({"c": [2, 3]},))
    assert (request.target, request.body) == ("/a?b=1&c=2&c=3", None)
    with pytest.raises(ValueError, match="fields for the query"):
        build_request(method, "", "/", (b"x",))


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_without_a_payload_there_is_no_body(method):
    for args in ((), (None,)):
        request = build_request(method, "", "/", args)
        assert (request.body, request.body_length) == (None, 0)
        assert request.headers == [("Accept", "application/json")]


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("payload", "kind", "body"),
    [
        ({"a": "é"}, "", '{"a":"é"}'.encode()),
        ([1, None], "", b"[1,null]"),
        (5, "", b"5"),
        ({1: MOMENT}, "", b'{"1":"2026-01-02T03:04:05+00:00"}'),
        ({"a": Decimal("1.5"), "b": UUID(int=1)}, "", None),
        ({"a": 1}, "application/vnd.api+json", b'{"a":1}'),
        ({"a": [1, 2], "b": "x y", "c": None}, "application/x-www-form-urlencoded", None),
        ("{}", "", b"{}"),
        ("é", "text/plain", "é".encode()),
        (b"\xff", "image/png", b"\xff"),
        (bytearray(b"a"), "", b"a"),
        (memoryview(b"a"), "", b"a"),
        ("", "", b""),
        ({}, "", b"{}"),
    ],
)
def test_bodies_by_type(payload, kind, body):
    headers = {"content-type": kind} if kind else None
    request = build_request("post", "", "/", (payload,), headers=headers)
    if body is None:
        body = (
            b"a=1&a=2&b=x+y"
            if "form" in kind
            else b'{"a":"1.5","b":"00000000-0000-0000-0000-000000000001"}'
        )
    assert request.body == body
    names = [name.lower() for name, _ in request.headers]
    assert names.count("content-type") == 1
    assert dict(request.headers).get("content-type", "application/json") == (
        kind or "application/json"
    )


def test_types_can_be_chosen():
    form = ("application/x-www-form-urlencoded", "text/html")
    request = build_request("post", "", "/", ({"a": 1},), request_type=form)
    assert request.body == b"a=1"
    assert request.headers == [("Accept", "text/html"), ("Content-Type", form[0])]
    request = build_request("get", "", "/", headers=[("ACCEPT", "*/*"), ("X", "1"), ("X", 2)])
    assert request.headers == [("ACCEPT", "*/*"), ("X", "1"), ("X", "2")]
    request = build_request("post", "", "/", ({"a": 1},), encode=lambda value: b"mine")
    assert request.body == b"mine"


@pytest.mark.parametrize(
    ("method", "payload", "kind"),
    [
        ("post", {"a": 1}, "text/xml"),
        ("post", [1], "application/x-www-form-urlencoded"),
        ("upload", [1], ""),
        ("upload", None, ""),
        ("upload", b"x", ""),
        ("upload", {"a": ("name",)}, ""),
        ("upload", {"a": ("name", 5)}, ""),
        ("upload", {"a": (1, b"x")}, ""),
        ("upload", {"a": ("name", b"x", "a/b\r\nX: 1")}, ""),
        ("upload", {"a": io.StringIO("x")}, ""),
        ("post", io.StringIO("x"), ""),
    ],
)
def test_what_can_not_be_sent(method, payload, kind):
    headers = {"Content-Type": kind} if kind else None
    with pytest.raises(ValueError, match=r"\w"):
        build_request(method, "", "/", (payload,), headers=headers)


def test_what_has_no_json_form_is_a_type_error():
    with pytest.raises(TypeError):
        build_request("post", "", "/", ({"a": 1 << 80},))


# -- bodies in pieces


async def collect(body) -> bytes:
    return b"".join([piece async for piece in body])


def test_open_files_are_bodies(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789" * 100_000)
    with path.open("rb") as file:
        file.seek(5)
        request = build_request("post", "", "/", (file,), headers={"Content-Type": "x/y"})
        assert request.body_length == 999_995
        assert request.repeatable is False
        for _ in range(2):  # another member may need it again
            assert asyncio.run(collect(request.body)) == path.read_bytes()[5:]


def test_files_that_can_not_be_rewound_have_no_length():
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        body = FileBody(pipe)
        assert body.length is None
        assert asyncio.run(collect(body)) == b"hello"


def test_a_file_that_grows_or_shrinks_meanwhile(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    with path.open("rb", buffering=0) as file:
        body = FileBody(file)
        path.write_bytes(b"1234567")
        assert asyncio.run(collect(body)) == b"12345"
        path.write_bytes(b"12")
        assert asyncio.run(collect(body)) == b"12"


def test_something_that_reads_text_is_refused():
    class Text:
        def read(self, size):
            return "text"

    with pytest.raises(ValueError, match="mode 'rb'"):
        asyncio.run(collect(FileBody(Text())))


def test_iterators_are_sent_in_chunks():
    async def body():
        yield b"x"

    request = build_request("post", "", "/", (body(),))
    assert request.body_length is None
    assert asyncio.run(collect(request.body)) == b"x"


def test_a_form_with_files(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG" * 1000)
    with path.open("rb") as file:
        form = FormBody(
            {
                "text": "é",
                "number": 5,
                "list": ["a", b"b"],
                "none": None,
                "file": file,
                "bytes": b"\xff",
                "named": ("b.txt", "text"),
                "typed": ("c", b"x", "a/b"),
                "open": ("d.json", io.BytesIO(b"{}")),
            }
        )
        data = asyncio.run(collect(form))
    assert len(data) == form.length
    assert form.whole() is None
    fields = parse_multipart(data, form.content_type)

    def described(value):
        if isinstance(value, UploadedFile):
            return (value.name, value.mimetype, value.file.read())
        return value

    got = {
        name: list(map(described, value)) if isinstance(value, list) else described(value)
        for name, value in fields.items()
    }
    assert got == {
        "text": "é",
        "number": "5",
        "list": ["a", ("list", "application/octet-stream", b"b")],
        "file": ("picture.png", "image/png", b"\x89PNG" * 1000),
        "bytes": ("bytes", "application/octet-stream", b"\xff"),
        "named": ("b.txt", "text/plain", b"text"),
        "typed": ("c", "a/b", b"x"),
        "open": ("d.json", "application/json", b"{}"),
    }


def test_names_can_not_break_a_form():
    form = FormBody({'a"\r\nX: 1': "v", "f": ('b"\r\nX: 1', b"x"), "한": ("글", b"y")})
    data = form.whole()
    assert data is not None
    assert b"\r\nX: 1" not in data
    assert b'name="a%22%0D%0AX: 1"' in data
    assert 'name="한"; filename="글"'.encode() in data
    assert len(data) == form.length


def test_a_form_with_an_endless_file_has_no_length():
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        request = build_request("upload", "", "/", ({"file": pipe},))
        assert request.body_length is None
        body = asyncio.run(collect(request.body))
        assert b'filename="file"' in body


def test_uploads_over_a_socket(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(3_000_000))
    got = []

    async def script(client: Conversation) -> None:
        while True:
            received = await client.request()
            got.append(parse_multipart(received.body, received.headers["content-type"]))
            await client.answer(b"{}", b"Content-Type: application/json")

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.member())
            with path.open("rb") as file:
                for _ in range(2):
                    request = build_request("upload", "/api", "/x", ({"a": 1, "file": file},))
                    assert request.method == "POST"
                    assert (await backend.call(request)).data == {}
                    file.seek(0)
            request = build_request("upload", "/api", "/x", ({"a": 1},))
            assert isinstance(request.body, bytes)
            await backend.call(request)
            await backend.close()

    asyncio.run(main())
    for form in got[:2]:
        assert form["a"] == "1"
        assert form["file"].name == "large.bin"
        assert form["file"].file.read() == path.read_bytes()
    assert got[2] == {"a": "1"}
