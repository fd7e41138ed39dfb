"""The test client's HTTP/3."""

from __future__ import annotations

import signal
import socket
import sys
import threading

import psutil
import pytest
import requests
from client_project import APP
from live_service import LiveService, eventually, write_files
from tls_project import make_certificates, make_pair

import skitai
from skitai.errors import SkitaiError

pytestmark = pytest.mark.e2e

SERVE = f"""{APP}
    if __name__ == "__main__":
        skitai.mount("/", app)
        skitai.enable_ssl("server.pem")
        skitai.run(address="127.0.0.1", PORT)
"""


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_sockets():
    return psutil.Process().net_connections("udp")


def start(folder, quic):
    folder.mkdir(exist_ok=True)
    make_certificates(folder)
    write_files(folder, {"serve.py": SERVE.replace("PORT", quic)})
    return LiveService(folder)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = start(tmp_path_factory.mktemp("http3"), f"quic={free_udp_port()}")
    yield service
    service.close()


@pytest.fixture
def client(service):
    before = set(threading.enumerate())
    with skitai.test_client(port=service.port, ssl=True) as client:
        yield client
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_json_and_forms_are_sent_over_http3(client, method):
    ask = getattr(client.http3, method)
    answer = ask("/echo", json={"text": "milk"}, headers={"X-Extra": "1"})
    assert (answer.status_code, answer.reason) == (200, "OK")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == {
        "method": method.upper(), "given": {"text": "milk"}, "version": "3.0", "extra": "1",
    }  # fmt: skip
    assert ask("/echo", {"text": "ü"}).data["given"] == {"text": "ü"}


def test_other_methods_and_large_bodies(client):
    assert client.h3.get("/echo?a=1", params={"b": 2}).data["given"] == {"a": "1", "b": "2"}
    assert client.h3.delete("/echo").data["method"] == "DELETE"
    head = client.h3.head("/echo")
    assert (head.status_code, head.content, int(head.headers["Content-Length"]) > 0) == (
        200, b"", True,
    )  # fmt: skip
    assert client.h3.get("/nowhere").status_code == 404
    assert client.h3.get("/large").text == "0123456789" * 100_000
    sent = b"0123456789" * 100_000
    assert client.h3.post("/large", sent, {"Content-Type": "a/b"}).content == sent


def test_a_list_is_asked_for_together_over_one_connection(client):
    answers = client.http3.get([f"/peer?n={number}" for number in range(8)])
    pairs = [answer.text.split() for answer in answers]
    assert [number for number, _ in pairs] == [str(number) for number in range(8)]
    assert len({port for _, port in pairs} | {client.http3.get("/port").text}) == 1


def test_cookies_are_those_of_the_client(client):
    assert client.http3.get("/login?user=momo").text == "momo"
    assert client.get("/who").text == "momo"
    client.get("/login?user=nana")
    assert client.http3.get("/who").text == "nana"


def test_fields_need_not_be_ascii(client):
    assert client.http3.get("/echo", headers={"X-Extra": "Grüße"}).data["extra"] == "Grüße"


def test_silence_is_a_timeout_and_the_connection_lives(client):
    port = client.http3.get("/port").text
    with pytest.raises(requests.ReadTimeout):
        client.http3.get("/silent", timeout=0.2)
    assert client.http3.get("/port").text == port


def test_certificates_are_verified_on_demand(client, service, tmp_path):
    url = f"https://localhost:{client.port}/who"
    assert client.http3.get(url, verify=str(service.folder / "ca.pem")).status_code == 200
    other, _ = make_pair(tmp_path, "other")
    with pytest.raises(requests.exceptions.SSLError):
        client.http3.get(url, verify=str(other))
    with pytest.raises(requests.exceptions.SSLError):  # over QUIC, as the port is known
        client.http3.get(url, verify=str(other))


def test_a_service_without_http3_is_named(tmp_path):
    service = start(tmp_path / "project", "")
    try:
        with (
            skitai.test_client(port=service.port, ssl=True) as client,
            pytest.raises(requests.ConnectionError, match="announces no HTTP/3 in Alt-Svc"),
        ):
            client.http3.get("/who")
    finally:
        service.close()


def test_http3_without_tls_is_refused(service):
    with (
        skitai.test_client(port=service.port) as client,
        pytest.raises(requests.ConnectionError, match="give ssl=True"),
    ):
        client.http3.get("/who")


def test_an_ended_connection_is_made_anew(tmp_path):
    service = start(tmp_path / "project", f"quic={free_udp_port()}")
    try:
        with skitai.test_client(port=service.port, ssl=True) as client:
            assert client.http3.get("/who").text == "nobody"
            before = set(service.workers())
            service.send(signal.SIGHUP)
            eventually(lambda: not before & set(service.workers()), "new workers")

            def answered():
                try:
                    return client.http3.get("/who").text == "nobody"
                except requests.ConnectionError:
                    return False

            eventually(answered, "an answer")
            assert len(udp_sockets()) == 1
        assert udp_sockets() == []
    finally:
        service.close()


def test_a_silent_port_is_a_timeout(client):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        http3 = client.http3
        adapter = client._sessions["http3"].get_adapter("https://")
        adapter._places[f"127.0.0.1:{client.port}"] = deaf.getsockname()
        with pytest.raises(requests.ConnectTimeout):
            http3.get("/who", timeout=0.3)


def test_the_missing_extra_is_named(client, monkeypatch):
    monkeypatch.delitem(sys.modules, "skitai.testing.http3", raising=False)
    monkeypatch.setitem(sys.modules, "aioquic.asyncio.client", None)
    with pytest.raises(SkitaiError, match=r"the package aioquic.*: pip install skitai\[http3\]"):
        _ = client.http3
