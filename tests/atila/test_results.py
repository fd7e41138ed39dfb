"""What handlers return, and the responses that it becomes."""

from __future__ import annotations

import asyncio
import io
import os
from collections import deque

import pytest
from driving import HTML, Driver

from atila import API, Atila, File, HTTPError

PAGE = "text/html; charset=utf-8"
JSON = "application/json"


def returning(make, **options) -> Driver:
    """An app whose route ``/`` returns ``make(was)``."""
    app = Atila("returning")

    @app.route("/")
    def handler(was):
        return make(was)

    return Driver(app, **options)


def answer(make, **options):
    return returning(make, **options).get("/")


# Text and bytes


@pytest.mark.parametrize(
    ("result", "body"),
    [("Grüße", "Grüße".encode()), (b"\x00\xff", b"\x00\xff"), (bytearray(b"ab"), b"ab")],
)
def test_text_and_bytes_are_html(result, body):
    got = answer(lambda was: result)
    assert (got.status, got["Content-Type"], got.body) == (200, PAGE, body)
    assert got["Content-Length"] == str(len(body))


@pytest.mark.parametrize("result", ["", b""])
def test_an_empty_result_has_no_type(result):
    got = answer(lambda was: result)
    assert (got.status, got["Content-Type"], got["Content-Length"]) == (200, None, "0")


def test_subclasses_are_what_they_extend():
    class Text(str):
        pass

    class Pairs(dict):
        pass

    assert answer(lambda was: Text("a")).text == "a"
    assert answer(lambda was: Pairs(a=1)).json == {"a": 1}


def test_status_and_headers_are_set_before_returning():
    def make(was):
        was.response.set_status("201 Created")
        was.response.set_header("X-Server", "skitai")
        was.response["Content-Type"] = "text/plain"
        return "hello"

    got = answer(make)
    assert (got.status, got.reason, got["X-Server"]) == (201, "Created", "skitai")
    assert got.all("Content-Type") == ["text/plain"]


def test_a_status_may_have_its_own_reason():
    got = answer(lambda was: was.response("488 Not My Fault", "x"))
    assert (got.status, got.reason) == (488, "Not My Fault")


@pytest.mark.parametrize("status", ["abc", "20", "2000 OK", "99 Low", "200 a\r\nb", 0, None])
def test_what_is_no_status_is_a_crash(status, log):
    assert answer(lambda was: was.response.set_status(status) or "x").status == 500
    assert "ValueError" in log.text


# JSON


@pytest.mark.parametrize(
    "result", [{}, {"a": [1, None, True, 1.5, "ü"]}, [], [1, {"b": 2}], (1, 2), {"": {}}]
)
def test_containers_are_json(result):
    got = answer(lambda was: result)
    assert (got.status, got["Content-Type"]) == (200, JSON)
    assert got.json == (list(result) if isinstance(result, tuple) else result)


def test_json_is_compact_and_not_escaped():
    assert answer(lambda was: {"ü": "한/<"}).text == '{"ü":"한/<"}'


# was.API


@pytest.mark.parametrize(
    ("api", "status", "data"),
    [
        (API(), 200, {}),
        (API({"a": 1}), 200, {"a": 1}),
        (API(a=1, b=2), 200, {"a": 1, "b": 2}),
        (API({"a": 1, "b": 1}, b=2), 200, {"a": 1, "b": 2}),
        (API("201 Created"), 201, {}),
        (API("201 Created", {"data": 1}, data=2), 201, {"data": 2}),
        (API("201 Created", data=1), 201, {"data": 1}),
        (API(201, {"a": 1}), 201, {"a": 1}),
        (API(None, {"a": 1}), 200, {"a": 1}),
        (API(None), 200, {}),
        (API("200 OK", None, a=1), 200, {"a": 1}),
        (API("404 Not Found", a=1), 404, {"a": 1}),
        (API(status=5, data={}, self="me"), 200, {"status": 5, "data": {}, "self": "me"}),
    ],
    ids=range(13),
)
def test_forms_of_api(api, status, data):
    got = answer(lambda was: api)
    assert (got.status, got["Content-Type"], got.json) == (status, JSON, data)


@pytest.mark.parametrize(
    "arguments", [([1],), ({"a": 1}, {"b": 1}), ("200 OK", [1]), (True,), (1.5,), (None, None, 1)]
)
def test_other_arguments_of_api_are_refused(arguments):
    with pytest.raises(TypeError, match=r"was\.API takes a status and a dictionary, not "):
        API(*arguments)


def test_an_api_can_be_changed_before_it_is_returned():
    def make(was):
        api = was.API(a=1)
        api["b"] = api["a"] + 1
        api.set("c", api.get("missing", 3))
        return api

    assert answer(make).json == {"a": 1, "b": 2, "c": 3}


def test_an_api_does_not_change_the_dictionary_it_was_made_from():
    shared = {"a": 1}
    API(shared)["b"] = 2
    API("200 OK", shared, c=3)
    assert shared == {"a": 1}


def test_the_status_of_api_wins_and_the_response_keeps_its_headers():
    def make(was):
        was.response.set_status(202)
        was.response.add_header("X-A", "1")
        was.response.add_header("X-A", "2")
        return was.API("201 Created") if "api" in was.request.URL else was.API()

    assert answer(make).status == 202
    app = Atila("both")
    app.route("/")(lambda was, api=0: make(was))
    got = Driver(app).get("/?api")
    assert (got.status, got.all("X-A")) == (201, ["1", "2"])


# was.response(...)


def test_response_sets_everything_at_once():
    def make(was):
        return was.response("201 Created", "body", headers=[("Content-Type", "text/x"), ("A", "1")])

    got = answer(make)
    assert (got.status, got["Content-Type"], got["A"], got.text) == (201, "text/x", "1", "body")
    got = answer(lambda was: was.response(202, {"a": 1}, headers={"A": "2"}))
    assert (got.status, got["Content-Type"], got["A"], got.json) == (202, JSON, "2", {"a": 1})


def test_response_without_a_body():
    got = answer(lambda was: was.response())
    assert (got.status, got.body) == (200, b"")
    got = answer(lambda was: was.response("204 No Content"))
    assert (got.status, got.body, got["Content-Length"]) == (204, b"", None)
    got = answer(lambda was: was.response("404 Not Found"))
    assert (got.status, got.json) == (404, {"code": 40400, "message": "not found"})


def test_response_without_a_body_keeps_its_headers():
    headers = {"WWW-Authenticate": 'Bearer realm="App"'}
    got = answer(lambda was: was.response("401 Unauthorized", headers=headers))
    assert (got.status, got["WWW-Authenticate"]) == (401, 'Bearer realm="App"')


def test_headers_are_set_added_read_and_removed():
    def make(was):
        response = was.response
        response.add_header("X-A", 1)
        response.add_header("x-a", 2)
        response.set_header("X-B", "old")
        response.set_header("x-b", "new")
        response["X-C"] = "3"
        response["X-D"] = "4"
        response.del_header("X-c")
        del response["x-d"]
        response.set_header("Content-Type", "text/a")
        return [
            response.get_header("X-A"),
            response.get_header("Accept", "none"),
            response.get_header("Accept"),
            response["x-B"],
            response["content-TYPE"],
            response.status_code,
        ]

    got = answer(make)
    assert got.json == ["1", "none", None, "new", "text/a", 200]
    assert (got.all("X-A"), got["X-B"], got["X-C"], got["X-D"]) == (["1", "2"], "new", None, None)


def test_a_removed_content_type_is_that_of_the_result_again():
    def make(was):
        was.response.content_type = "text/plain"
        was.response.del_header("Content-Type")
        return "x"

    assert answer(make)["Content-Type"] == PAGE


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_framing_is_left_to_the_engine(name):
    got = answer(lambda was: was.response("200 OK", "body", headers=[(name, "chunked")]))
    assert (got.text, got["Content-Length"]) == ("body", "4")
    assert "chunked" not in [value for _, value in got.headers]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nSet-Cookie: a=1"),
        ("X-A", "1\nSet-Cookie: a=1"),
        ("X-A", "1\0"),
        ("X-A", "한"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("X-A\r\nB", "1"),
        ("", "1"),
        ("Content-Type", "text/html\r\nSet-Cookie: a=1"),
    ],
)
def test_unsafe_headers_are_refused(name, value, log):
    got = answer(lambda was: was.response("200 OK", "x", headers=[(name, value)]))
    assert (got.status, got["Set-Cookie"], got["X-A"]) == (500, None, None)
    assert "ValueError" in log.text or "UnicodeEncodeError" in log.text


def test_unsafe_headers_are_refused_on_errors_and_streams_too(log):
    def failing(was):
        was.response.add_header("X-A", "1\r\nSet-Cookie: a=1")
        raise was.Error("404 Not Found")

    assert answer(failing).status == 500

    def streaming(was):
        was.response.add_header("X-A", "1\r\nSet-Cookie: a=1")
        return iter(["a"])

    got = answer(streaming)
    assert (got.status, got["Set-Cookie"]) == (500, None)


# Files


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "page.txt"
    file.write_bytes(b"0123456789")
    return file


def test_a_file_is_sent_with_its_validators(page):
    got = answer(lambda was: was.File(str(page)))
    assert (got.status, got["Content-Type"]) == (200, "application/octet-stream")
    assert (got.body, got["Content-Length"]) == (b"0123456789", "10")
    assert got["ETag"]
    assert got["Last-Modified"]
    assert got["Content-Disposition"] is None
    assert answer(lambda was: was.File(page, "text/x"))["Content-Type"] == "text/x"


def test_a_file_is_sent_in_ranges_and_not_twice(page):
    driver = returning(lambda was: File(page))
    got = driver.get("/", range="bytes=2-4")
    assert (got.status, got.body, got["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert driver.get("/", range="bytes=20-").status == 416
    got = driver.get("/", if_none_match=driver.get("/")["ETag"])
    assert (got.status, got.body) == (304, b"")
    got = driver.request("HEAD", "/")
    assert (got.status, got["Content-Length"], got.body) == (200, "10", b"")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("data.xlsx", 'attachment; filename="data.xlsx"'),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("über.txt", "attachment; filename=\"_ber.txt\"; filename*=UTF-8''%C3%BCber.txt"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("a\r\nX: b", "attachment; filename=\"a__X: b\"; filename*=UTF-8''a%0D%0AX%3A%20b"),
    ],
)
def test_a_file_is_offered_under_a_name(page, name, header):
    got = answer(lambda was: File(page, "text/plain", name))
    assert got["Content-Disposition"] == header


def test_headers_of_the_response_go_with_the_file(page):
    def make(was):
        was.response.set_header("Cache-Control", "no-store")
        return was.File(page, filename="a")

    got = answer(make)
    assert got["Cache-Control"] == "no-store"
    assert got["Content-Disposition"]


@pytest.mark.parametrize("name", ["missing", "page.txt/x", "", "a\0b", "x" * 300])
def test_a_missing_file_is_not_found(page, name):
    got = answer(lambda was: File(os.path.join(page.parent, name)))
    assert (got.status, got.json["more_info"]) == (404, "there is no such file")


def test_what_is_no_regular_file_is_not_found(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert answer(lambda was: File(tmp_path / "pipe")).status == 404


def test_an_open_file_is_sent_from_its_start_and_closed():
    opened = []

    def make(was, kind):
        file = io.BytesIO(b"content") if kind == "bytes" else io.StringIO("Grüße")
        file.seek(3)
        opened.append(file)
        return file

    got = answer(lambda was: make(was, "bytes"))
    assert (got.body, got["Content-Type"]) == (b"content", PAGE)
    assert answer(lambda was: make(was, "text")).text == "Grüße"
    got = answer(lambda was: File(make(was, "bytes"), "text/x", "a.txt"))
    assert (got.body, got["Content-Type"]) == (b"content", "text/x")
    assert got["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert all(file.closed for file in opened)


def test_a_stream_that_cannot_be_rewound_is_sent_from_where_it_is():
    class Readable:
        def read(self):
            return b"rest"

    def pipe(was):
        reader, writer = os.pipe()
        with open(writer, "wb") as file:
            file.write(b"piped")
        return open(reader, "rb")

    assert answer(lambda was: Readable()).body == b"rest"
    assert answer(pipe).body == b"piped"


# Generators and other streams


def test_a_generator_is_streamed():
    closed = []

    def make(was):
        try:
            yield "a"
            yield b"b"
            yield ""
            yield bytearray(b"c")
            yield memoryview(b"d")
        finally:
            closed.append(True)

    got = answer(make)
    assert (got.status, got["Content-Type"], got["Content-Length"]) == (200, PAGE, None)
    assert (got.body, got.writes, closed) == (b"abcd", [b"a", b"b", b"c", b"d"], [True])


def test_a_generator_may_be_the_handler_itself():
    app = Atila("generator")

    @app.route("/<name>")
    def handler(was, name):
        yield name
        yield was.request.path

    assert Driver(app).get("/x").text == "x/x"


def test_the_generator_of_the_seed_has_its_type():
    def make(was):
        def generate():
            for row in [["a", "b"], ["c", "d"]]:
                yield ",".join(row) + "\n"

        return was.response("200 OK", generate(), headers=[("Content-Type", "text/csv")])

    got = answer(make)
    assert (got["Content-Type"], got.text) == ("text/csv", "a,b\nc,d\n")


@pytest.mark.parametrize(
    "make",
    [
        lambda was: iter(["a", "b"]),
        lambda was: map(str.lower, "AB"),
        lambda was: (piece for piece in "ab"),
        lambda was: iterable(),
    ],
)
def test_iterators_are_streamed(make):
    assert answer(make).writes == [b"a", b"b"]


def iterable():
    class Pieces:
        def __iter__(self):
            return iter("ab")

    return Pieces()


def test_an_empty_generator_is_an_empty_body():
    got = answer(lambda was: iter(()))
    assert (got.status, got.body, got.broken) == (200, b"", False)


def test_the_generator_of_a_head_request_is_closed_after_its_first_piece():
    closed = []

    def make(was):
        try:
            yield "a"
            raise AssertionError
        finally:
            closed.append(True)

    got = returning(make).request("HEAD", "/")
    assert (got.status, got.body, got.broken, closed) == (200, b"", False, [True])


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_streams_wait_for_slow_clients(slow, asynchronous):
    app = Atila("slow")

    @app.route("/sync")
    def synchronous(was):
        yield from (str(at) for at in range(20))

    @app.route("/async")
    async def _(was):
        for at in range(20):
            yield str(at)

    got = Driver(app, slow=slow).get("/async" if asynchronous else "/sync")
    assert got.text == "".join(map(str, range(20)))


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_a_stream_ends_when_its_client_leaves(path, log):
    app, pulled, closed = Atila("leaving"), [], []

    @app.route("/sync")
    def synchronous(was):
        try:
            for at in range(20):
                pulled.append(at)
                yield "x"
        finally:
            closed.append(True)

    @app.route("/async")
    async def asynchronous(was):
        try:
            for at in range(20):
                pulled.append(at)
                yield "x"
        finally:
            closed.append(True)

    got = Driver(app, leave_after=3).get(path)
    assert (len(got.writes), pulled, closed) == (3, [0, 1, 2, 3], [True])
    assert not log.records


def test_pieces_of_another_type_are_a_crash(log):
    assert answer(lambda was: iter([1])).status == 500
    got = answer(lambda was: iter(["a", 1]))
    assert (got.status, got.writes, got.broken) == (200, [b"a"], True)
    assert log.text.count("a streamed body yields text or bytes, not int") == 2


# Coroutines


def asynchronous(handler) -> Driver:
    app = Atila("asynchronous")
    app.route("/")(handler)
    return Driver(app)


def test_coroutines_return_what_functions_do(tmp_path):
    (tmp_path / "f").write_text("file")
    results = ["text", b"bytes", {"a": 1}, [1], API("201 Created"), File(tmp_path / "f")]
    expected = [b"text", b"bytes", b'{"a":1}', b"[1]", b"{}", b"file"]
    for result, body in zip(results, expected, strict=True):

        async def at_once(was, result=result):
            return result

        async def later(was, result=result):
            await asyncio.sleep(0)
            return result

        assert asynchronous(at_once).get("/").body == body
        assert asynchronous(later).get("/").body == body


def test_a_coroutine_may_return_an_iterator():
    async def handler(was):
        return was.response("201 Created", (piece for piece in "ab"), {"Content-Type": "text/x"})

    got = asynchronous(handler).get("/")
    assert (got.status, got["Content-Type"], got.writes) == (201, "text/x", [b"a", b"b"])


def test_an_asynchronous_generator_sets_headers_before_its_first_piece():
    async def handler(was, name="x"):
        was.response.set_status(202)
        was.response.content_type = "text/csv"
        yield name
        yield b"more"

    driver = asynchronous(handler)
    got = driver.get("/?name=y")
    assert (got.status, got["Content-Type"], got.text) == (202, "text/csv", "ymore")
    assert driver.get("/?other=y").status == 400
    got = driver.request("HEAD", "/")
    assert (got.status, got.body) == (202, b"")


def test_an_asynchronous_generator_may_be_empty():
    async def handler(was):
        return
        yield

    got = asynchronous(handler).get("/")
    assert (got.status, got.body) == (200, b"")


# Redirects


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/a?b=c#d", "/a?b=c#d"),
        ("https://example.com/ü x", "https://example.com/%C3%BC%20x"),
        ("/a%20b", "/a%20b"),
        ("/a\r\nSet-Cookie: b=c", "/a%0D%0ASet-Cookie:%20b=c"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_redirects(url, location):
    got = answer(lambda was: was.redirect(url))
    assert (got.status, got.reason, got["Location"]) == (302, "Object Moved", location)
    assert (got["Cache-Control"], got.body) == ("max-age=0", b"")


def test_a_redirect_has_the_status_that_was_asked_for():
    assert answer(lambda was: was.redirect("/", "301 Moved Permanently")).status == 301
    assert answer(lambda was: was.redirect("/", status=307)).status == 307


def test_a_redirect_keeps_other_headers():
    def make(was):
        was.response.add_header("X-A", "1")
        return was.redirect("/x")

    assert answer(make)["X-A"] == "1"


# What is no response


@pytest.mark.parametrize(
    "result", [None, 5, True, 1.5, object(), {1}, range(3), deque("a"), {}.keys(), ValueError("x")]
)
def test_other_results_are_a_crash_that_names_the_handler(result, log):
    got = answer(lambda was: result)
    assert (got.status, got.json) == (500, {"code": 50000, "message": "internal server error"})
    kind = type(result).__name__
    assert f"handler returning.<locals>.handler returned {kind}, which is no response" in log.text


def test_a_coroutine_that_returns_nothing_is_a_crash(log):
    async def handler(was):
        pass

    assert asynchronous(handler).get("/").status == 500
    assert "handler returned NoneType, which is no response" in log.text


def test_an_error_may_be_returned():
    got = answer(lambda was: was.Error("409 Conflict", "again"))
    assert (got.status, got.json["more_info"]) == (409, "again")

    class Teapot(HTTPError):
        def __init__(self):
            super().__init__(418, "short and stout")

    assert answer(lambda was: Teapot()).status == 418
    page = returning(lambda was: Teapot()).request("GET", "/", HTML)
    assert "short and stout" in page.text
