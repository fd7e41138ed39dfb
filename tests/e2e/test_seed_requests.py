"""The seed's chapter "Processing Request", each example as it is written there."""

from __future__ import annotations

import os
import re

import pytest
from live_service import eventually
from seed_request_apps import FILES

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(FILES)


# Request life cycle hooks and events


def test_request_life_cycle_hooks(service, browser):
    before = browser("/counts").json()
    assert browser("/works").text == "opened"
    assert browser("/fails").status_code == 500
    after = browser("/counts").json()
    assert after["total"] - before["total"] == 3
    assert after["failed"] - before["failed"] == 1
    assert after["success"] - before["success"] == 2  # the counts themselves, before
    assert after["last"] == "ZeroDivisionError"
    assert after["opened"] == 1  # that of this request
    service.wait_for_log(r"processing time: 0\.\d{5} seconds\.")


def test_request_life_cycle_events(service, browser):
    browser("/counts")
    browser("/works")
    browser("/fails")
    events = browser("/counts").json()["events"]
    assert events == [
        "finish_request", "teardown_request",  # of the first
        "before_request", "finish_request", "teardown_request",
        "before_request", "failed_request", "teardown_request",
        "before_request",
    ]  # fmt: skip
    service.wait_for_log("on_failed_request.* failed")


def test_composed_processors(browser):
    response = browser("/chained/")
    assert (response.text, response.headers["X-Custom"]) == ("index--", "some-value")
    assert browser("/chained/?wrong").status_code == 400
    assert browser("/chained/?stop").text == "stopped--"


# Request object


def test_request_object(service, browser):
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Seed/1"}
    answer = browser("/p/object/3?q=1", "POST", headers=headers, data='{"name": "Hans"}').json()
    host = f"host: 127.0.0.1:{service.port}"
    assert host in [line.lower() for line in answer.pop("headers")]
    mntopt = answer["routable"].pop("mntopt")
    assert mntopt["point"] == "/p"
    assert answer == {
        "method": "POST",
        "uri": "/p/object/3?q=1",
        "version": "1.1",
        "scheme": "http",
        "args": {"id": 3, "q": "1", "name": "Hans"},
        "env": "/p/object/3",
        "g": "opened",
        "split": ["/p/object/3", None, "?q=1", None],
        "header": "application/json; charset=utf-8",
        "body": '{"name": "Hans"}',
        "remote_addr": "127.0.0.1",
        "user_agent": "Seed/1",
        "content_type": "application/json",
        "main_type": "application",
        "sub_type": "json",
        "routed": True,
        "routable": {"methods": ["GET", "POST"], "content_types": []},
        "options": {"methods": ["GET", "POST"], "custom": 1},
        "agent": "Seed/1",
    }


def test_unknown_agents(service):
    response = service.raw(b"GET /p/object/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b'"agent":"Unknown Agent"' in response.content


# Routing and parameters


def test_restrictions(browser):
    assert browser("/p/hello-get").text.startswith("get ")
    assert browser("/p/hello-get", "POST").status_code == 405
    assert browser("/p/hello-json", "POST", json={"a": 1}).json() == {"a": 1}
    assert browser("/p/hello-json", "POST", data={"a": 1}).status_code == 406


def test_request_parameters(browser):
    fields = {"name": "Hans Roh", "birth_year": "1999"}
    assert browser("/p/hello", "POST", data=fields).text.startswith("Hans Roh 1999 None")
    fields["gender"] = "male"
    assert browser("/p/hello", "POST", json=fields).text.startswith("Hans Roh 1999 male")
    assert browser("/p/hello", "POST", json={"name": "Hans"}).status_code == 400
    assert browser("/p/hello", "POST", json={**fields, "more": 1}).status_code == 400
    assert browser("/p/hello", "OPTIONS").status_code == 204
    assert browser("/p/hello").status_code == 405
    text = browser("/p/hello-data", "POST", json={"name": "Hans", "age": 5}).text
    assert text.replace("&#39;", "'").endswith("{'age': 5}")


@pytest.mark.parametrize("id", ["123", "me", "notme", "new"])
def test_typed_parameters(id, browser):
    value = int(id) if id.isdigit() else id
    assert browser(f"/p/required/{id}?detail=no").json() == {"id": value, "detail": "no"}
    assert browser(f"/p/profiles/{id}?detail=no").text == f"<li>{id} is {id}</li>"


def test_optional_parameters(browser):
    assert browser("/p/profiles?detail=no").text == "<li>None is None</li>"
    assert browser("/p/required?detail=no").status_code == 404
    assert browser("/p/profiles/somebody").status_code == 404


def test_of_conflicting_parameters_the_latter_wins(browser):
    assert browser("/p/conflicts/1").json() == {"id": 1}
    assert browser("/p/conflicts/1", "POST", json={"id": 2}).json() == {"id": 2}
    assert browser("/p/conflicts/1", "POST", data={"id": 3}).json() == {"id": "3"}


# Parameter and validation


@pytest.mark.parametrize(
    ("detail", "value"),
    [("True", True), ("yes", True), ("y", True), ("t", True), ("f", False), ("n", False)],
)
def test_inspected_booleans(detail, value, browser):
    answer = browser(f"/p/inspected/7?detail={detail}").json()
    assert answer == {"id": 7, "detail": value}


def test_what_inspection_refuses(browser):
    response = browser("/p/inspected/7?detail=maybe")
    assert (response.status_code, response.json()["code"]) == (400, 40050)
    assert browser("/p/inspected").json() == {"id": None, "detail": False}


GOOD = {"name": "Hans Roh", "mobile": "010-123-4567"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"gender": ""}, {"gender": None}),
        ({"birth_year": 1999, "gender": "male"}, {"birth_year": 1999, "gender": "male"}),
        ({"birth_year": 1899}, None),
        ({"birth_year": 3000}, None),
        ({"gender": "other"}, None),
        ({"name": "Han"}, None),
        ({"name": "H" * 64}, {"name": "H" * 64}),
        ({"name": "H" * 65}, None),
        ({"mobile": "1"}, None),
        ({"mobile": None}, None),
        ({"mobile": None, "email": "hans@example.com"}, {"email": "hans@example.com"}),
        ({"email": "no address"}, None),
        ({"resume": "<b>me</b>"}, {"resume": "&lt;b&gt;me&lt;/b&gt;"}),
        ({"detail": True}, {"detail": True}),
    ],
    ids=range(15),
)
def test_keyword_arguments_of_inspect(fields, expected, browser):
    sent = {key: value for key, value in {**GOOD, **fields}.items() if value is not None}
    response = browser("/p/signup", "POST", json=sent)
    if expected is None:
        assert (response.status_code, response.json()["code"]) == (400, 40050)
    else:
        answer = response.json()
        assert {key: answer[key] for key in expected} == expected


def test_text_of_a_form_is_converted(browser):
    fields = {**GOOD, "detail": "yes", "birth_year": "1999"}
    answer = browser("/p/signup", "POST", data=fields).json()
    assert (answer["detail"], answer["birth_year"]) == (True, 1999)


def test_safes(browser):
    assert browser("/p/safe", "POST", json={"resume": "<b>me</b>"}).text == "<b>me</b>"
    evil = {"resume": "<script>alert ()</script>"}
    assert browser("/p/safe", "POST", json=evil).status_code == 400


def test_file_upload(browser, tmp_path):
    files = {"file": ("/../my file.txt", b"content", "text/plain")}
    for _ in range(2):
        told = browser("/p/upload", "POST", files=files, data={"into": str(tmp_path)}).json()
        path = told.pop("path")
        eventually(lambda path=path: not os.path.exists(path), "the end of the temporary file")
        assert told == {
            "name": "my_file.txt",
            "size": 7,
            "mimetype": "text/plain",
            "ext": ".txt",
            "read": "content",
            "copied": "content",
        }
    assert [path.name for path in tmp_path.iterdir()] == ["my_file.txt"]
    assert (tmp_path / "my_file.txt").read_text() == "content"


# Cookie, session, message box


def test_cookie(browser):
    response = browser("/s/cookie")
    assert response.text == "set"
    assert re.match(r"user_id=hansroh; path=/;?", response.headers["Set-Cookie"], re.IGNORECASE)
    assert browser("/s/cookie").text == "hansroh"


def test_cookie_options(browser):
    response = browser("/s/cookie/set?key=name&val=a%20b")
    lines = response.raw.headers.getlist("Set-Cookie")
    assert lines[0].lower().startswith("name=a+b; path=/")
    assert "expires" not in lines[0].lower()
    gone = next(line for line in lines if line.startswith("gone="))
    assert "expires=" in gone.lower()
    long = next(line for line in lines if line.startswith("long="))
    assert "expires=" in long.lower()
    assert "httponly" in long.lower()
    assert sorted(browser.cookies.keys()) == ["long", "name"]


def test_session(browser):
    assert browser("/s/session?hansroh=Hans").json() == {"user_id": "Hans", "impending": False}
    assert browser("/s/session/read").json() == {"user_id": "Hans"}
    assert browser("/s/session/touch").text == "touched"
    assert browser("/s/session/read").json() == {"user_id": "Hans"}
    assert browser("/s/session/expire").text == "expired"
    assert browser("/s/session/read").json() == {"user_id": None}


def test_session_expiry(browser):
    assert browser("/s/session/expiry?seconds=3600").json()["use_time"] < 60
    (cookie,) = [cookie for cookie in browser.cookies if cookie.name.startswith("ATLSES_")]
    assert cookie.value


def test_namespaced_session(browser):
    assert browser("/s/namespaced").json() == {"login": None}
    names = {cookie.name: cookie.path for cookie in browser.cookies}
    assert names["ATLSES_ADMIN"] == "/s"
    assert browser("/s/namespaced/read").json() == {"login": True}


def test_message_box(browser):
    page = browser("/s/msg")
    assert page.history[0].status_code == 302
    assert page.history[0].reason == "Object Moved"
    assert page.url.endswith("/s/showmsg?name=Hans+Roh")
    assert '<li class="flash"> This is Flash Message</li>' in page.text
    alarm = '<li class="alram"> This is Alert Message Kept by 60 seconds on every request</li>'
    assert alarm in page.text
    again = browser("/s/showmsg?name=Hans")
    assert "This is Flash Message" not in again.text
    assert alarm in again.text


def test_message_box_by_extra(browser):
    assert browser("/s/mbox").json() == {"found": [1]}
    assert browser("/s/mbox?key=item&val=2").json() == {"found": ["about 2"], "left": 1}


# Piping and URLs


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("1", '{"result":1}'),
        ("2", '{"result":1}'),
        ("3", '{"result":4}'),
        ("4", '{"result":"t"}'),
        ("5", "Page tOC Chapter 5"),
    ],
)
def test_piping(path, answer, browser):
    assert browser(f"/pipes/{path}").text == answer


def test_making_url(browser):
    assert browser("/h/index").json()["urls"] == [
        "/static/img/logo.png",
        "/pipes/1",
        "/pipes/pages/toc/1",
        "/pipes/pages/toc/1",
        "/index.htm",
    ]


# Helpers


def test_testing(browser):
    assert browser("/h/profile?name=root").text == "modified"
    response = browser("/h/profile?name=hans")
    assert (response.status_code, response.reason) == (403, "Permission Denied")
    assert browser("/h/refused").status_code == 403


def test_conditional_prework(service, browser):
    assert browser("/h/config").text == "first"
    path = service.folder / "myapp" / "config"
    before = path.stat().st_mtime_ns
    path.write_text("second")
    os.utime(path, ns=(before + 10**9, before + 10**9))
    assert browser("/h/config").text == "second"


def test_pre_and_postworks(browser):
    assert browser("/h/chain").text == "chained"
    assert browser("/h/done").text == "pre1|pre2|chain|post1"
    assert browser("/h/chain?stop=1").text == "aborted by pre2"
    assert browser("/h/done").text == "pre1|pre2|chain|post1"
