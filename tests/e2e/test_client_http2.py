"""The test client's HTTP/2, and its HTTP/1.1 by name."""

from __future__ import annotations

import socket
import sys
import threading

import pytest
import requests
from client_project import APP, serving
from live_service import eventually

import skitai
from skitai.errors import SkitaiError
from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

SERVE = f"""{APP}
    if __name__ == "__main__":
        skitai.mount("/", app)
        SETUP
        skitai.run(address="127.0.0.1")
"""


@pytest.fixture(scope="module", params=["tls", "plain"])
def service(request, tmp_path_factory):
    folder, tls = tmp_path_factory.mktemp("http2"), request.param == "tls"
    with serving(folder, {"serve.py": SERVE}, tls=tls) as service:
        yield service


@pytest.fixture
def client(service):
    before = set(threading.enumerate())
    with skitai.test_client(port=service.port, ssl=service.tls) as client:
        yield client
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_json_and_forms_are_sent_over_http2(client, method):
    ask = getattr(client.http2, method)
    answer = ask("/echo", json={"text": "milk"}, headers={"X-Extra": "1"})
    assert (answer.status_code, answer.reason) == (200, "OK")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == answer.data
    assert answer.data == {
        "method": method.upper(), "given": {"text": "milk"}, "version": "2.0", "extra": "1",
    }  # fmt: skip
    assert ask("/echo", {"text": "ü"}).data["given"] == {"text": "ü"}
    pieces = iter([b'{"text":', b'"a"}'])
    answer = ask("/echo", pieces, {"Content-Type": "application/json"})
    assert answer.data["given"] == {"text": "a"}


def test_other_methods_and_large_answers(client):
    assert client.h2.get("/echo?a=1", params={"b": 2}).data["given"] == {"a": "1", "b": "2"}
    assert client.h2.delete("/echo").data["method"] == "DELETE"
    assert client.h2.head("/echo").status_code == 200
    assert client.h2.get("/nowhere").status_code == 404
    assert client.h2.get("/large").text == "0123456789" * 100_000


def test_http_is_1_1(client):
    assert client.http.get("/echo").data["version"] == "1.1"
    assert [answer.text for answer in client.http.get(["/who", "/who"])] == ["nobody"] * 2


def test_a_list_is_asked_for_together_over_one_connection(client):
    answers = client.http2.get([f"/peer?n={number}" for number in range(8)])
    pairs = [answer.text.split() for answer in answers]
    assert [number for number, _ in pairs] == [str(number) for number in range(8)]
    assert len({port for _, port in pairs} | {client.http2.get("/port").text}) == 1
    assert client.http2.get([]) == []


def test_cookies_and_headers_are_those_of_the_client(client):
    assert client.http2.get("/login?user=momo").text == "momo"
    assert client.get("/who").text == "momo"
    client.set_default_header("X-Extra", "2")
    assert client.http2.get("/echo").data["extra"] == "2"
    client.get("/login?user=nana")
    assert client.http2.get("/who").text == "nana"


def test_fields_need_not_be_ascii(client):
    assert client.http2.get("/echo", headers={"X-Extra": "Grüße"}).data["extra"] == "Grüße"


def test_silence_is_a_timeout_and_the_next_request_is_answered(client):
    with pytest.raises(requests.ReadTimeout):
        client.http2.get("/silent", timeout=0.2)
    assert client.http2.get("/who").text == "nobody"


def test_certificates_are_verified_on_demand(client, service):
    if not service.tls:
        pytest.skip("this service has no certificate")
    authority = str(service.folder / "ca.pem")
    url = f"https://localhost:{client.port}/who"
    assert client.http2.get(url, verify=authority).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        client.http2.get(url, verify=requests.certs.where())


def test_after_its_end_a_client_says_so(client):
    http2 = client.http2
    assert http2.get("/who").status_code == 200
    client.stop()
    with pytest.raises(SkitaiError, match="has been stopped"):
        http2.get("/who")
    with skitai.test_client(port=client.port) as other:
        pass
    with pytest.raises(SkitaiError, match="has been stopped"):
        _ = other.http2


def test_a_service_that_is_not_there_is_named():
    with (
        skitai.test_client(port=free_port()) as client,
        pytest.raises(requests.ConnectionError, match="nothing listens at http://"),
    ):
        client.http2.get("/")


def test_what_does_not_speak_http2_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            skitai.test_client(port=listener.getsockname()[1]) as client,
            pytest.raises(requests.ConnectionError, match="over HTTP/2"),
        ):
            client.http2.get("/")
        thread.join()


def test_a_client_that_nobody_stops_leaves_no_thread(service):
    before = set(threading.enumerate())
    client = skitai.test_client(port=service.port, ssl=service.tls)
    client.http2.get("/who")
    assert set(threading.enumerate()) > before
    del client
    eventually(lambda: set(threading.enumerate()) <= before, "the end of the thread")


def test_missing_packages_are_named(client, monkeypatch):
    for name in ("h2", "httpx"):
        monkeypatch.delitem(sys.modules, "skitai.testing.http2", raising=False)
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(SkitaiError, match=rf"the package {name}: pip install skitai\[test\]"):
            _ = client.http2
        monkeypatch.undo()
