"""Whatever a client sends to an app that uses every feature is answered as it should be."""

from __future__ import annotations

import importlib
import json
import xmlrpc.client
from pathlib import Path
from urllib.parse import quote, quote_from_bytes, urlencode
from xml.etree import ElementTree

import pytest
from driving import Driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atila.tokens.jwt_claims import encode_jwt
from skitai.wire.errors import MalformedRequest

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=cut"
JSON = "application/json"
# What bad input may be answered with; errors of the server are not among them.
ALLOWED = {200, 201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 406, 409, 410, 412, 413}
ALLOWED |= {414, 416, 417, 418, 421}
SENT_BY_APP = {
    "access-control-allow-credentials", "access-control-allow-headers",
    "access-control-allow-methods", "access-control-allow-origin", "access-control-max-age",
    "accept-ranges", "allow", "cache-control", "connection", "content-disposition",
    "content-encoding", "content-length", "content-range", "content-type", "etag", "expires",
    "last-modified", "location", "server", "set-cookie", "vary", "www-authenticate", "x-echo",
}  # fmt: skip

# Path, its methods, and the arguments that the route takes; those with ! are needed.
ROUTES = [
    ("/", "GET", ""),
    ("/echo", "GET POST", "name a was self"),
    ("/echo/{}", "GET POST", "name a was self"),
    ("/async/echo", "GET POST PUT PATCH", "status args self data"),
    ("/loop", "GET POST", "q"),
    ("/typed/{}", "GET POST", "amount key since color tag tag limit exact on"),
    ("/typed/7/{}/{}/{}", "GET POST", "since color tag"),
    ("/typed/7/0.5/12345678-1234-1234-1234-123456789012/{}", "GET POST", "exact on limit"),
    ("/books/{}", "POST", "title! dry"),
    ("/books/7", "POST", "title! year price at authors notes dry book"),
    (
        "/members",
        "POST PUT",
        "name! email! mobile birth_year gender about tags extra span key on weight page",
    ),
    ("/text", "POST", ""),
    ("/head", "GET POST", ""),
    ("/upload", "POST", "file! x"),
    ("/upload/async", "POST", "file! x"),
    ("/back", "POST", "file!"),
    ("/download", "GET POST", "name!"),
    ("/static-file/{}", "GET", ""),
    ("/file", "GET", ""),
    ("/long", "GET", ""),
    ("/etag", "GET POST", "version"),
    ("/redirect", "GET POST", "to!"),
    ("/header", "GET POST", "value! name"),
    ("/cookie", "GET POST", "name! value! path domain"),
    ("/error", "GET POST", "explain errno"),
    ("/fault", "GET POST", "message"),
    ("/type", "GET POST", "kind!"),
    ("/page", "GET POST", "title"),
    ("/log", "GET POST", "message category"),
    ("/session", "GET POST DELETE", "key value"),
    ("/session/visits", "GET POST", ""),
    ("/messages", "GET POST", "text category"),
    ("/tokens", "GET POST", "ott otp jwt"),
    ("/form", "GET", ""),
    ("/pay", "GET POST", "amount XSRF_TOKEN"),
    ("/user/basic", "GET POST", "a"),
    ("/user/digest", "GET POST", "a"),
    ("/user/bearer", "GET POST", "a"),
    ("/animals/{}", "GET POST DELETE", "id"),
    ("/profile", "GET POST", ""),
    ("/anybody", "GET POST", ""),
    ("/control", "GET POST", ""),
    ("/open", "GET POST OPTIONS", "a"),
    ("/host", "GET POST", ""),
    ("/gone/{}", "GET POST", ""),
    ("/stream", "GET POST", "number"),
    ("/stream/async", "GET POST", "number"),
    ("/work", "GET POST", "stop"),
    ("/pipe", "GET POST", "name a"),
    ("/links/{}", "GET POST", "name a"),
    ("/things/{}", "PUT PATCH DELETE", "name a"),
    ("/{}", "GET", "a"),
    ("*", "OPTIONS", ""),
    ("{}", "GET", "a"),
]
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE PROPFIND M-SEARCH".split()
SANE = {
    "amount": "5", "at": "2024-01-01T12:00:00", "birth_year": "1973", "color": "red", "dry": "yes",
    "email": "a@b.cd", "errno": "7", "exact": "1.50", "extra": '{"items": [{"count": 1}]}',
    "gender": "male", "key": "12345678-1234-1234-1234-123456789012", "limit": "5",
    "mobile": "010-123-4567", "notes": '{"a": [1]}', "number": "3", "on": "yes", "page": "1",
    "path": "/", "domain": "a.example", "since": "2024-01-01", "span": "1~5", "weight": "1.5",
    "year": "1973", "price": "1.50",
}  # fmt: skip
NASTY = [
    "", "0", "-1", "1e999", "nan", "9" * 50, "null", "true", "me", "notme", "new", "was", "self",
    "\0", "\r\nX-Evil: 1", "\x85\u2028", "\ud800", "é", "한", "\U0010ffff", "<script>", "&#x6a;",
    "../../etc/passwd", "..\\x", "%", "%00", "%zz", "%2e%2e", ";a=b", "//evil", "a" * 3000, '"',
    "\\", "'", "a,b", "1~5", "1|2", "2024-02-30", "javascript:alert(1)", "https://evil.example/",
    "{", "[",
]  # fmt: skip
HEADERS = {
    "accept": ["text/html", "text/xml", "*/*;q=0", "text/html;q=x", "," * 500, '"' * 200],
    "accept-encoding": ["gzip", "br;q=1.0", "identity;q=0, *;q=0"],
    "access-control-request-headers": ["x-a, x-b", ",,", "é", "a" * 500],
    "access-control-request-method": ["POST", "GET", "x", ""],
    "authorization": [
        "Basic", "Basic a", "Basic a2ltOnNlY3JldA==", "Basic w6lsYW46cMOkc3N3w7ZyZA==",
        "Basic bm8=", "Basic AAA6AA==", "Digest", 'Digest username="kim", realm="App"',
        'Digest username="kim", realm="App", nonce="x", uri="/user/digest", response="x", '
        'cnonce="x", nc=00000001, qop=auth', "Digest " + "a=b," * 300, "Bearer", "Bearer good",
        "Bearer é", 'Bearer a"b\\', "Bearer a.b.c", "Bearer e30.e30.", "Bearer W1tbW1s.e30.e30",
        "Bearer eyJhbGciOiJub25lIn0.e30.", "Other x",
    ],
    "content-type": ["a/b;charset=", 'x; a="', "text/plain", ";;", "a/b; charset*=utf-8''x"],
    "cookie": [
        "ATLSES_=x", "ATLSES_=AQ", "ATLSES_=Ag" + "A" * 80, "ATLMBX_=x.y", "ATLMBX_=WzEsW11d.x",
        "a=%00; b=%ff; =c; d", "XSRF_TOKEN=x", "; " * 300, "a" * 5000, '"=" ; ="',
        "XSRF_TOKEN=" + "a" * 43,
    ],
    "expect": ["100-continue", "everything"],
    "host": ["k.example", "good.example:80", "[::1]", "%00"],
    "if-match": ["*", '"x"', "x", 'W/"1"', '"' * 50],
    "if-modified-since": ["x", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 2024 99:99:99 GMT"],
    "if-none-match": ["*", '"' + "c" * 32 + '"', ",,,", '"a", ' * 50],
    "if-range": ["x", '"x"', "Thu, 01 Jan 1970 00:00:00 GMT"],
    "if-unmodified-since": ["x", "Sun, 01 Jan 2040 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"],
    "origin": [*["https://good.example"] * 9, "null", "https://evil.example", "http://", "x"],
    "range": ["bytes=0-", "bytes=-5", "bytes=5-1", "bytes=0-0,2-3", "bytes=" + "1-2," * 20, "x=1"],
    "referer": ["x"],
    "te": ["trailers"],
    "upgrade": ["websocket"],
    "user-agent": ["x"],
    "x-forwarded-for": ["1.2.3.4", "::1, x", "[::1]:80", ",,", "1" * 500],
    "x-gtxn-id": ["abc", "a b", "a" * 100],
    "x-level": ["user", "staff", "admin", "root", "é"],
    "x-ltxn-id": ["7", "-7", "9" * 50],
    "x-note": ['a; b="c\\', "a; b*=utf-8''%ff", "; =;", 'a; b="' + "\\" * 50],
    "x-xsrf-token": ["a" * 43, "é"],
}  # fmt: skip


def rarely(often, rare):
    """One of seven is rare."""
    return st.integers(0, 6).flatmap(lambda number: rare if number == 3 else often)


texts = st.sampled_from(NASTY) | st.text(max_size=8)
# As the parser hands headers on.
values = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30
).map(str.strip)
members = st.sampled_from("a name title items count books notes authors".split()) | texts
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=8,
)
kinds = st.none() | st.sampled_from(["text/plain", "a/b; charset=x", "multipart/mixed", "한", ""])


def quote_plus(text):
    return quote_from_bytes(text.encode("utf-8", "surrogatepass"))


def value_of(name):
    return st.just(SANE.get(name, "Momo")) | texts


@st.composite
def fields(draw, names):
    """Arguments as a form has them: those that are needed, some others, and rarely any."""
    needed = [name[:-1] for name in names.split() if name.endswith("!")]
    others = [name for name in names.split() if not name.endswith("!")]
    chosen = list(needed)
    if others:
        chosen += draw(st.lists(st.sampled_from(others), max_size=4))
    if draw(st.integers(0, 9)) == 3:
        chosen = draw(st.lists(texts, max_size=4))
    return [(name, draw(value_of(name))) for name in chosen]


def write_form(pairs):
    return FORM, urlencode(pairs, errors="surrogatepass").encode()


def write_json(pairs):
    return JSON, json.dumps(dict(pairs)).encode()


@st.composite
def multiparts(draw, pairs):
    data = b""
    for name, value in pairs:
        lines = f'Content-Disposition: form-data; name="{name}"'
        file_name = draw(texts if name == "file" else rarely(st.none(), texts))
        if file_name is not None:
            lines += f'; filename="{file_name}"'
        kind = draw(kinds)
        if kind is not None:
            lines += f"\r\nContent-Type: {kind}"
        data += f"--cut\r\n{lines}\r\n\r\n{value}\r\n".encode("utf-8", "surrogatepass")
    end = draw(rarely(st.just(b"--cut--\r\n"), st.sampled_from([b"", b"--cut\r\n", b"--cut"])))
    return MULTIPART, data + end


def bodies(pairs):
    """Content type and content with these arguments; rarely anything."""
    if any(name == "file" for name, _ in pairs):
        return multiparts(pairs)
    usual = st.sampled_from([write_form(pairs), write_json(pairs)]) | multiparts(pairs)
    anything = st.tuples(st.sampled_from([JSON, FORM, MULTIPART]), st.binary(max_size=60))
    return rarely(usual, json_values.map(lambda data: (JSON, json.dumps(data).encode())) | anything)


@st.composite
def targets(draw, path):
    while "{}" in path:
        given = draw(texts)
        ways = [quote(given, safe="", errors="replace"), quote(given, errors="ignore"), given]
        path = path.replace("{}", draw(st.sampled_from(ways)), 1)
    return draw(rarely(st.just(""), st.sampled_from(["/", "//", "/%2e%2e", "/."]))) + path


@st.composite
def requests(draw):
    """Method, target, headers and body."""
    path, methods, names = draw(st.sampled_from(ROUTES))
    method = draw(rarely(st.sampled_from(methods.split()), st.sampled_from(METHODS)))
    target, pairs, body = draw(targets(path)), draw(fields(names)), None
    chosen = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=3, unique=True))
    headers = {name: draw(rarely(st.sampled_from(HEADERS[name]), values)) for name in chosen}
    if pairs and "GET" in methods and draw(st.booleans()):
        write = draw(rarely(st.just(quote_plus), st.just(str)))
        target += "?" + "&".join(f"{write(name)}={write(value)}" for name, value in pairs)
    elif pairs or draw(st.booleans()):
        kind, body = draw(bodies(pairs))
        headers["content-type"] = draw(
            rarely(st.just(kind), st.sampled_from(HEADERS["content-type"]))
        )
        if "POST" in methods and draw(st.integers(0, 6)):
            method = "POST"
    # What the parser lets through.
    target = "".join(c for c in target if "!" <= c <= "~" or "\x80" <= c <= "\xff")
    return method, target.replace("#", ""), headers, body


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The module of the apps, with their files in ``home``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "e2e")
        made = importlib.import_module("hostile_app")
    made.home = tmp_path_factory.mktemp("hostile")
    for name, content in made.FILES.items():
        path = made.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return made


@pytest.fixture(scope="module")
def main(hostile):
    """The main app and its client; at the end the hooks of its requests must add up."""
    app = hostile.main_app()
    yield Driver(app, home=hostile.home)
    count = {name: app.g.get(name, 0) for name in hostile.COUNTED}
    assert count["before"] == count["finish"] + count["failed"] > 0
    assert count["before"] == count["teardown"] == count["started"] == count["finished"]
    assert list(hostile.home.glob("uploads/*")) == []


@pytest.fixture(scope="module")
def second(hostile):
    return Driver(hostile.second_app(), home=hostile.home)


def check(answer, own_header=False):
    """The status is one for bad input, there are no headers but ours, and JSON is JSON."""
    assert answer.status in ALLOWED, (answer.status, answer.body)
    unknown = {name.lower() for name, _ in answer.headers} - SENT_BY_APP
    assert len(unknown) <= own_header, unknown  # the client chose one
    assert b"Traceback" not in answer.body
    if answer["Content-Type"] == JSON and answer.status not in (206, 304) and answer.body:
        json.loads(answer.body)


many = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(many, max_examples=500)
@given(requests())
def test_no_request_is_a_server_error(main, request):
    method, target, headers, body = request
    try:
        answer = main.request(*request)
    except MalformedRequest:
        return
    check(answer, own_header="/header" in target)


@settings(many, max_examples=150)
@given(
    st.sampled_from(["/me", "/plain/{}", "/login", "/stream", "/plain"]),
    st.sampled_from(["GET", "POST", "PUT", "OPTIONS"]),
    st.sampled_from(["good", "good", *HEADERS["authorization"]]),
    texts.flatmap(lambda text: bodies([("name", text)])),
    st.data(),
)
def test_no_request_to_a_closed_app_is_a_server_error(second, path, method, given, body, data):
    if given == "good":
        token = encode_jwt({"exp": 4e9, "username": "kim"}, b"the key of the second app")
        given = f"Bearer {token}" if path == "/me" else "Basic a2ltOnBhc3N3b3Jk"
    target = data.draw(targets(path))
    headers = {"Authorization": given, "Content-Type": body[0], "Accept": "text/html"}
    target = "".join(c for c in target if "!" <= c <= "~" or "\x80" <= c <= "\xff")
    try:
        check(second.request(method, target.replace("#", ""), headers, body[1]))
    except MalformedRequest:
        return


called = st.sampled_from(
    "echo async.echo loop members session.visits tokens upload stream user.basic typed.7 links.x "
    "system.multicall system.listMethods".split()
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | texts | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=8,
)


@settings(many, max_examples=200)
@given(called | texts, st.lists(plain_values, max_size=3), st.sampled_from(["/", "/user", "/echo"]))
def test_no_xml_rpc_call_is_a_server_error(main, method, params, path):
    text = xmlrpc.client.dumps(tuple(params), method, allow_none=True)
    answer = main.send(path, text.encode("utf-8", "surrogatepass"), "text/xml")
    check(answer)
    if answer["Content-Type"] == "text/xml":
        ElementTree.fromstring(answer.body)


@settings(many, max_examples=200)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "jsonrpc": st.just("2.0") | plain_values,
            "method": called | plain_values,
            "params": plain_values,
            "id": plain_values,
        },
    )
    | plain_values,
    st.booleans(),
)
def test_no_json_rpc_call_is_a_server_error(main, message, batch):
    body = json.dumps([message, message] if batch else message)
    check(main.send("/", body, "application/json-rpc"))
