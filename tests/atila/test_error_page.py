"""The page that --devel shows for a crash: chain, source, variables, request, and no secrets."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import subprocess
import sys
import weakref

import pytest
from driving import HTML, Driver
from failing import KEY, driver_of, failures, plain, variables

from atila import Atila
from atila.debugging.editor import editor_link

HOSTILE = "</script><script>alert(1)</script>"


def marked(page):
    return [plain(each) for each in re.findall("<mark>(.*?)</mark>", page.text)]


def divide(a, b):
    return a / b + 1


def test_frames_have_source_and_variables():
    def handler(was, n=0):
        rows = {"n": n}
        return divide(7, rows["n"])

    page = driver_of(handler).html("/")
    assert failures(page) == ["ZeroDivisionError: division by zero"]
    names = re.findall(r"<summary><b>(\w+)</b>", page.text)
    assert names[:2] == ["divide", "handler"]
    shown = variables(page)
    assert (shown["a"], shown["b"], shown["rows"]) == ("7", "0", "{'n': 0}")
    assert '<details class="frame" id="e0f0" open>' in page.text
    assert re.search(r'<details class="others"><summary>\d calls? in atila</summary>', page.text)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code has no columns before 3.11")
def test_what_failed_is_marked_in_its_line():
    def handler(was):
        größe = {"ä": divide}
        return größe["ä"](1, 0)

    assert marked(driver_of(handler).html("/"))[:2] == ["a / b", 'größe["ä"](1, 0)']


def test_the_whole_chain_is_shown():
    def handler(was):
        try:
            try:
                divide(1, 0)
            except ZeroDivisionError:
                {}["x"]
        except KeyError as exc:
            raise ValueError("three") from exc

    page = driver_of(handler).html("/")
    assert failures(page) == [
        "ValueError: three",
        "KeyError: 'x'",
        "ZeroDivisionError: division by zero",
    ]
    assert re.findall('<h2 class="faint">(.*?)</h2>', page.text) == [
        "Raised from",
        "Raised while this was handled:",
    ]


def test_what_was_suppressed_stays_so():
    def handler(was):
        try:
            divide(1, 0)
        except ZeroDivisionError:
            raise ValueError("alone") from None

    assert failures(driver_of(handler).html("/")) == ["ValueError: alone"]


def test_notes_are_shown():
    def handler(was):
        exc = ValueError("noted")
        exc.__notes__ = ["first <b>", "token=abc"]
        raise exc

    text = driver_of(handler).html("/").text
    assert '<p class="note">first &lt;b&gt;</p><p class="note">token=********</p>' in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of 3.11")
def test_groups_have_their_members():
    def handler(was):
        group = __builtins__["ExceptionGroup"]
        raise group("both", [ValueError("a"), group("inner", [KeyError("b")])])

    page = driver_of(handler).html("/")
    assert [each.partition(":")[0] for each in failures(page)] == [
        "ExceptionGroup",
        "ValueError",
        "ExceptionGroup",
        "KeyError",
    ]
    assert page.text.count('class="nested"') == 3


def test_a_ring_of_causes_ends():
    def handler(was):
        one, two = ValueError("one"), ValueError("two")
        one.__cause__, two.__cause__ = two, one
        raise one

    assert failures(driver_of(handler).html("/")) == ["ValueError: one", "ValueError: two"]


def test_a_deep_recursion_is_cut_in_the_middle():
    def deeper(n):
        return deeper(n + 1)

    def handler(was):
        deeper(0)

    page = driver_of(handler).html("/")
    assert "calls in the middle are left out." in page.text
    assert len(page.body) < 500_000


def test_a_message_that_raises_is_told():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    def handler(was):
        raise Odd

    page = driver_of(handler).html("/")
    assert page.status == 500
    assert "its text raises RuntimeError" in page.text


def test_code_that_can_not_be_compiled_shows_its_line(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("a = 1\nb = (1 +\n")

    def handler(was):
        compile(broken.read_text(), str(broken), "exec")

    page = driver_of(handler).html("/")
    assert f"{broken}, line 2" in page.text
    assert '<span class="here"><i>2</i>b = ' in page.text


# -- secrets


def log_in(was):
    was.session.set("user_id", "user-number-77")
    return ""


def test_no_secret_is_on_the_page():
    def handler(was, **fields):
        database = f"postgres://app:{was.app.config.DB_PASSWORD}@host/db"
        headers = dict(was.exchange.request.headers)
        text = f"key {KEY} and {fields['card']['cvv']}"
        raise ValueError(f"{text} {database} {headers['x-api-key']} {fields['password']}")

    app = Atila("failing")
    app.securekey, app.config.DB_PASSWORD = KEY, "db-pass-word-77"
    app.route("/<token>", methods=["POST"])(handler)
    app.route("/login")(log_in)
    app.alias("@mydb", "*redis", "me:redis-pass-word-9@localhost:6379")
    driver = Driver(app, debug=True)
    cookie = driver.get("/login")["Set-Cookie"].partition(";")[0]
    headers = {
        **HTML,
        "Cookie": f"{cookie}; sid=cookie-value-1",
        "Authorization": "Bearer bearer-value-1",
        "X-Api-Key": "header-value-1",
        "Referer": "http://h/?token=referer-value-1",
        "Content-Type": "application/json",
    }
    body = b'{"password": "form-value-1", "card": {"cvv": "card-value-1", "n": 7}}'
    page = driver.request("POST", "/path-value-1?api_key=query-value-1&q=seen", headers, body)
    assert page.status == 500
    hidden = (
        r"(path|query|form|card|cookie|bearer|header|referer)-value-1|db-pass|redis-pass|user-n"
    )
    assert re.findall(hidden, page.text) == []
    assert cookie.partition("=")[2] not in page.text
    assert KEY not in page.text
    shown = variables(page)
    assert (shown["q"], shown["user_id"], shown["sid"]) == ("'seen'", "********", "********")
    assert shown["authorization"] == "Bearer ********"
    assert shown["card"].endswith("'n': 7}")
    assert shown["config.DB_PASSWORD"] == "********"
    told = driver.request("POST", "/path-value-1", {**headers, "Accept": "*/*"}, body).text
    assert re.findall(hidden, told) == []
    assert KEY not in told


def test_a_secret_of_a_variable_is_hidden_in_the_source_too():
    def handler(was):
        user = {"password": "0pen-sesame"}
        print_it = f"{user['password']}"
        raise ValueError(print_it + " 0pen-sesame")

    assert "0pen-sesame" not in driver_of(handler).html("/").text


# -- request


def test_the_request_is_shown():
    def handler(was, id, q):
        raise ValueError

    page = driver_of(handler, "/items/<int:id>").request(
        "GET", "/items/7?q=a%20b", {**HTML, "X-Thing": "yes"}
    )
    shown = variables(page)
    assert (shown["Method"], shown["HTTP version"], shown["Client"]) == ("GET", "1.1", "192.0.2.7")
    assert (shown["Rule"], shown["id"], shown["q"]) == ("/items/<int:id>", "7", "'a b'")
    assert shown["Function"].endswith(".handler")
    assert shown["x-thing"] == "yes"


def test_a_form_is_shown():
    def handler(was, **form):
        raise ValueError

    driver = driver_of(handler)
    page = driver.request(
        "POST", "/", {**HTML, "Content-Type": "application/x-www-form-urlencoded"}, b"a=1&b=x"
    )
    shown = variables(page)
    assert (shown["a"], shown["b"]) == ("'1'", "'x'")


def test_a_body_that_can_not_be_read_is_no_second_failure():
    def handler(was):
        raise ValueError

    app = Atila("failing")
    app.restrict_parameter_count = False
    app.route("/", methods=["POST"])(handler)
    driver = Driver(app, debug=True)
    headers = {**HTML, "Content-Type": "application/json"}
    page = driver.request("POST", "/", headers, b"{broken")
    assert failures(page) == ["ValueError"] or page.status == 400


@pytest.mark.parametrize("where", ["path", "query", "header", "form", "local", "message", "name"])
def test_nothing_is_markup(where):
    def handler(was, p="", **fields):
        local = HOSTILE if where == "local" else ""
        if where == "name":
            raise type(HOSTILE, (Exception,), {})(local)
        raise ValueError(HOSTILE if where == "message" else local)

    driver = driver_of(handler, "/<path:p>")
    headers = {**HTML, "Content-Type": "application/x-www-form-urlencoded"}
    if where == "header":
        headers["X-A"] = headers[f"X-{HOSTILE}"] = HOSTILE
    target = f"/{HOSTILE.replace('/', '%2F') if where == 'path' else 'x'}?q"
    if where == "query":
        target += f"={HOSTILE}&{HOSTILE}=1"
    body = f"a={HOSTILE}&{HOSTILE}=1".encode() if where == "form" else b"a=1"
    page = driver.request("POST", target, headers, body)
    assert page.status == 500
    assert "<script>" not in page.text


# -- where things fail


def test_an_async_function_shows_its_frames():
    async def inner(n):
        await asyncio.sleep(0)
        return 1 / n

    async def handler(was):
        return str(await inner(0))

    page = driver_of(handler).html("/")
    assert re.findall(r"<summary><b>(\w+)</b>", page.text)[:2] == ["inner", "handler"]
    assert variables(page)["n"] == "0"


def test_generators_show_where_they_failed():
    def handler(was):
        task = yield was.Mask(7)
        rows = task.fetch()
        raise ValueError(rows)

    page = driver_of(handler, coroutine=True).html("/")
    assert failures(page) == ["ValueError: 7"]
    assert variables(page)["rows"] == "7"


def test_a_stream_that_fails_before_its_first_piece_has_the_page():
    def handler(was):
        size = 7
        if size:
            raise ValueError(size)
        yield ""

    assert variables(driver_of(handler).html("/"))["size"] == "7"


def test_hooks_show_where_they_failed():
    app = Atila("hooked")
    app.route("/")(lambda was: "")

    @app.before_request
    def check(was):
        reason = "no way"
        raise OSError(reason)

    page = Driver(app, debug=True).html("/")
    assert variables(page)["reason"] == "'no way'"


# -- for programs, and elsewhere


def test_programs_get_the_lines_without_secrets():
    def handler(was):
        raise ValueError(f"{KEY} and token=abc")

    told = driver_of(handler).get("/").json
    assert told["traceback"][-1] == "ValueError: ******** and token=********"


@pytest.mark.parametrize(
    ("given", "link"),
    [
        ("vscode", "vscode://file//a%20b/c.py:7"),
        ("PyCharm", "pycharm://open?file=/a%20b/c.py&line=7"),
        ("my://x?f={file}&l={line}", "my://x?f=/a%20b/c.py&l=7"),
        ("", ""),
        ("javascript:alert('{file}')", ""),
        ("javascript:x//{file}", ""),
        ("vim", ""),
        ('x://{file}"', ""),
    ],
)
def test_places_lead_to_an_editor(monkeypatch, given, link):
    monkeypatch.setenv("SKITAI_EDITOR", given)
    assert editor_link("/a b/c.py", 7) == link
    assert editor_link("<string>", 7) == ""


class Tracked:
    pass


@pytest.mark.parametrize("async_", [False, True])
def test_nothing_of_a_failure_is_kept(async_):
    kept = []

    def fail():
        value = Tracked()
        kept.append(weakref.ref(value))
        try:
            raise KeyError("inner")
        except KeyError as exc:
            raise ValueError("outer") from exc

    async def waiting(was):
        fail()

    def handler(was):
        fail()

    driver = driver_of(waiting if async_ else handler)
    logging.disable()  # what captures records keeps their exceptions
    gc.disable()
    try:
        assert driver.html("/").status == 500
        alive = kept[-1]()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    assert alive is None


def test_a_function_that_goes_on_after_its_failure_was_shown_lets_its_values_go():
    def work():
        value = Tracked()
        yield weakref.ref(value)
        try:
            raise KeyError("it goes on")
        except KeyError as exc:
            yield exc
        del value
        yield None

    working = work()
    alive, shown = next(working), [next(working)]

    def handler(was):
        raise shown.pop()

    assert "value" in variables(driver_of(handler).html("/"))
    next(working)
    assert alive() is None


def test_a_service_without_devel_loads_nothing_of_it():
    code = """
import sys
sys.path.insert(0, "tests/atila")
from driving import HTML, Driver
from failing import KEY, driver_of, failures, plain, variables
from atila import Atila
app = Atila("plain")
app.route("/")(lambda was: 1 / 0)
driver = Driver(app)
assert driver.html("/").status == 500
assert driver.html("/missing").status == 404
assert driver.request("PUT", "/", HTML).status == 405
names = ("atila.debugging", "atila.routing.listing")
found = [name for name in sys.modules if name.startswith(names)]
assert not found, found
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
