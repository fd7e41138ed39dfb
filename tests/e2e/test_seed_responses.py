"""The seed's chapters "Making Response", "Template Engine" and "Helpers of 'was'"."""

from __future__ import annotations

import hashlib
import re
import time
import xmlrpc.client

import jsonrpclib
import pytest
from seed_response_apps import FILES, KEY

from atila.was import generate_otp

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(FILES)


# Making response


def test_status_and_headers(browser):
    response = browser("/r/response")
    assert (response.status_code, response.reason, response.text) == (201, "Created", "201 Created")
    assert response.headers["X-Server"] == "skitai"
    assert "Accept" not in response.headers


@pytest.mark.parametrize("path", ["/r/etag", "/r/mtime"])
def test_cache_control(path, browser):
    response = browser(path)
    assert response.text == "content"
    headers = {}
    if path == "/r/etag":
        tag = f'"{hashlib.md5(b"CACHE_KEY").hexdigest()}"'
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == "max-age=3600"
        headers["If-None-Match"] = tag
    else:
        assert "Expires" in response.headers
        headers["If-Modified-Since"] = response.headers["Last-Modified"]
    response = browser(path, headers=headers)
    assert (response.status_code, response.content) == (304, b"")


def test_max_age(browser):
    assert browser("/r/max_age").headers["Cache-Control"] == "max-age=3600"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, {"code": 40000, "message": "bad request"}),
        (2, {"code": 40000, "message": "bad request", "more_info": "missing user ID"}),
        (3, {"code": 40011, "message": "bad request", "more_info": "missing user ID"}),
        (4, {"code": 40400, "message": "not found"}),
    ],
)
def test_http_error(number, expected, browser):
    response = browser(f"/r/error/{number}")
    assert (response.status_code, response.json()) == (expected["code"] // 100, expected)


def test_string(browser):
    response = browser("/r/string")
    assert (response.text, response.headers["X-Server"]) == ("hello", "Skitai")


@pytest.mark.parametrize("path", ["/r/api1", "/r/api2"])
def test_api_response(path, browser):
    assert browser(path).json() == {"name": "Hans Roh"}
    response = browser(path, headers={"Accept": "text/xml"})
    assert response.headers["Content-Type"].startswith("text/xml")
    ((data,), _) = xmlrpc.client.loads(response.content)
    assert data == {"name": "Hans Roh"}


def test_rendered_template(browser):
    assert browser("/r/rendered").text == "<!-- hello.j2 -->\n<h1>Hello Hans Roh</h1>"


def test_render_or_api(browser):
    assert browser("/r/render_or_api").text == "[1, 2]"
    headers = {"Accept": "application/json"}
    assert browser("/r/render_or_api", headers=headers).json() == {"result": [1, 2]}


def test_file(browser):
    response = browser("/r/file")
    assert response.content == b"\x00data"
    assert response.headers["Content-Type"] == "application/octet-stream"
    response = browser("/r/file/named")
    assert response.headers["Content-Disposition"] == 'attachment; filename="data.xlsx"'


def test_static(browser):
    response = browser("/r/logo")
    assert (response.content, response.headers["Content-Type"]) == (b"\x89PNG", "image/png")
    response = browser("/r/robots.txt")
    assert response.text == "User-Agent: *\n"
    assert response.headers["Content-Type"].startswith("text/plain")


def test_generator(browser):
    response = browser("/r/csv")
    assert (response.text, response.headers["Content-Type"]) == ("1,a\n2,b\n", "text/csv")


def test_redirecting(browser):
    response = browser("/r/moved", allow_redirects=False)
    assert (response.status_code, response.reason) == (302, "Object Moved")
    assert response.headers["Location"] == "/r/showmsg?name=Hans+Roh"
    assert browser("/r/moved").text == "Hans Roh"
    assert browser("/r/moved/static").text == "index"


def test_xmlrpc_response(service):
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{service.port}/r/") as stub:
        assert stub.add(156, 952) == 1108


def test_jsonrpc_response(service):
    stub = jsonrpclib.Server(f"http://127.0.0.1:{service.port}/r/")
    assert stub.add(156, 952) == 1108
    stub("close")()


# Template engine


def test_names_in_templates(browser):
    lines = browser("/t/index?choice=pears").text.splitlines()
    assert lines[0] == "Hans choices item pears."
    assert lines[1] == '<a href="/t/checkout?choice=2">Proceed</a>'
    assert lines[2] == "Apples myapp 200"
    assert "choices item N/A." in browser("/t/index").text


def test_customizing_jinja2(browser):
    assert browser("/t/customised").text.split() == ["GET", "token", "olleH", "word1"]


def test_custom_error_templates(service, browser):
    headers = {"Accept": "text/html"}
    page = browser("/r/error/2", headers=headers)
    assert page.status_code == 400
    assert "<h1>400 Bad Request</h1>\n<p>missing user ID</p>" in page.text
    assert f"<div>URL: http://127.0.0.1:{service.port}/r/error/2</div>" in page.text
    assert re.search(r"<div>Time: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT</div>", page.text)
    assert "<h1>500 Internal Server Error</h1>" in browser("/t/crash", headers=headers).text
    page = browser("/nothing", headers=headers)
    assert page.status_code == 404
    assert page.text == f"nothing at http://127.0.0.1:{service.port}/nothing"
    # This works only if client's Accept header contains text/html
    assert browser("/nothing").json() == {"code": 40400, "message": "not found"}


# Helpers of was


def test_logging_and_traceback(service, browser):
    txnid = browser("/h/log", headers={"X-Gtxn-Id": "seed-1", "X-Ltxn-Id": "1004"}).text
    assert txnid == "seed-1/1005"
    service.wait_for_log(rf"called index \[{txnid}\]")
    service.wait_for_log(rf"\[error:w0\] exception occured \[{txnid}\]")
    service.wait_for_log(r"ZeroDivisionError")
    service.wait_for_log(rf"done index \[{txnid}\]")


def test_csrf_token(browser):
    page = browser("/h/form").text
    found = re.search(r'<input [^>]*name="(\w+)"[^>]*value="([^"]+)"', page)
    assert found is not None, page
    name, token = found.groups()
    assert name == "XSRF_TOKEN"
    fields = {"username": "hans", name: token}
    assert browser("/h/posted", "POST", data=fields).text == "posted by hans"
    assert browser("/h/posted", "POST", data={"username": "hans"}).status_code == 400
    assert browser("/h/posted", "POST", data={**fields, name: "0"}).status_code == 400
    assert browser("/h/verified", "POST", data={name: token}).text == "verified"
    assert browser("/h/verified", "POST", headers={"X-XSRF-TOKEN": token}).text == "verified"
    assert browser("/h/verified", "POST").status_code == 400


def test_jwt_token(browser):
    token = browser("/h/make_jwt").text
    headers = {"Authorization": f"Bearer {token}"}
    assert browser("/h/verify_token", headers=headers).text == "example.com"
    headers["Authorization"] += "x"
    assert browser("/h/verify_token", headers=headers).text == "invalid signature"


def test_one_time_password(browser):
    assert browser("/h/admin-task", headers={"X-OTP": generate_otp(KEY)}).text == "done"
    assert browser("/h/admin-task", headers={"X-OTP": generate_otp("other")}).status_code == 403
    response = browser("/h/admin-task")
    assert (response.status_code, response.reason) == (403, "Unauthorized")


def test_one_time_token(browser):
    began = time.monotonic()
    url = browser("/h/password-reset?name=hans").text
    assert url.startswith("/h/password-reset?token=")
    assert browser(url).text == "hans"
    assert browser(url).status_code == 400  # revoked
    assert browser("/h/password-reset?token=made-up").status_code == 400
    assert time.monotonic() - began < 60
