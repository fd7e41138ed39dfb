"""Requests of the test client to small servers in real processes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import requests
from processes import PATIENCE, eventually, run_python

from skitai.errors import ConfigError
from skitai.testing import TestClient, test_client
from skitai.testing.launcher import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SERVER = Path(__file__).with_name("small_server.py")
VERBS = ["get", "post", "put", "patch", "delete", "options"]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    running = test_client(SERVER, port=0)
    yield running
    running.stop()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server in the current directory of the test, which is empty else."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SERVER, "serve.py")
    return "serve.py"


# Attaching


def test_attached_client_uses_the_server_and_lets_it_live(client: TestClient) -> None:
    with test_client(port=client.port) as attached:
        assert attached.get("/hello").text == "Grüße"
        assert attached.pid is None
        assert attached.returncode is None
        assert attached.output == ""
    attached.stop()
    assert client.get("/hello").status_code == 200


def test_dry_client_starts_nothing(client: TestClient) -> None:
    with test_client("nowhere.py", port=client.port, dry=True, workers=2) as dry:
        assert dry.pid is None
        assert dry.get("/hello").status_code == 200
    assert client.returncode is None


def test_attached_client_without_a_server_fails_at_the_first_request() -> None:
    with test_client(port=free_port()) as attached:
        with pytest.raises(requests.ConnectionError) as caught:
            attached.get("/")
        assert str(caught.value).startswith(f"nothing listens at {attached.url}: start the server")


def test_options_without_a_script_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"workers=, quic= is for a script"):
        test_client(workers=2, quic=1)


def test_port_0_can_not_be_attached_to() -> None:
    with pytest.raises(ConfigError, match="port=0 is no port: give the server's"):
        test_client(port=0)


# Requests


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_send_their_method_query_headers_and_body(client: TestClient, verb: str) -> None:
    send = getattr(client, verb)
    echo = send("/echo?a=1", b"body", {"X-Mine": "yes"}, params={"b": "2"}).json()
    assert echo["method"] == verb.upper()
    assert echo["path"] == "/echo?a=1&b=2"
    assert echo["headers"]["x-mine"] == "yes"
    assert echo["body"] == "body"
    assert send("/echo", json=[1]).json()["body"] == "[1]"
    assert send("/echo", headers=[("X-Mine", "pairs")]).json()["headers"]["x-mine"] == "pairs"


def test_head_has_no_body(client: TestClient) -> None:
    response = client.head("/hello")
    assert response.status_code == 200
    assert response.headers["x-method"] == "HEAD"
    assert response.content == b""


def test_dicts_are_sent_as_forms(client: TestClient) -> None:
    echo = client.post("/echo", {"a": 1, "b": ["x y", "ü"]}).data
    assert echo["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert echo["body"] == "a=1&b=x+y&b=%C3%BC"


def test_response_has_what_requests_gives_and_data(client: TestClient) -> None:
    response = client.get("/hello")
    assert (response.status_code, response.reason) == (200, "OK")
    assert response.url == f"{client.url}/hello"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "Grüße"
    assert response.content == response.data == "Grüße".encode()
    assert client.get("/binary").data == b"\x00\xff"
    assert client.get("/json").data["result"] == client.get("/json").json()["result"] == [1, 2]
    broken = client.get("/broken")
    assert broken.data == {}
    with pytest.raises(ValueError, match="JSON|Unterminated"):
        broken.json()


@pytest.mark.parametrize("verb", [*VERBS, "head"])
def test_redirects_are_followed(client: TestClient, verb: str) -> None:
    response = getattr(client, verb)("/redirect")
    assert response.url == f"{client.url}/echo"
    assert [step.status_code for step in response.history] == [302]
    assert response.history[0].data == b""
    assert getattr(client, verb)("/redirect", allow_redirects=False).status_code == 302


def test_urls_are_relative_to_the_server_or_absolute(client: TestClient) -> None:
    assert client.resolve("/a?b=c") == f"{client.url}/a?b=c"
    assert client.resolve("a") == f"{client.url}/a"
    assert client.resolve("") == f"{client.url}/"
    assert client.resolve("//a") == f"{client.url}//a"
    assert client.resolve("HTTPS://example.com/") == "HTTPS://example.com/"
    echo = client.get(f"http://localhost:{client.port}/echo").data
    assert echo["headers"]["host"] == f"localhost:{client.port}"
    assert client.get("echo").data["path"] == "/echo"


def test_cookies_are_kept_for_one_client(client: TestClient) -> None:
    with test_client(port=client.port) as first, test_client(port=client.port) as second:
        first.post("/login")
        assert first.get("/echo").data["headers"]["cookie"] == "who=me"
        assert first.session.cookies["who"] == "me"
        assert "cookie" not in second.get("/echo").data["headers"]


def test_default_headers_and_jwt(client: TestClient) -> None:
    with test_client(port=client.port) as other:
        other.set_default_header("X-Mine", "1")
        other.set_jwt("a.b.c")
        assert other.get_default_header("x-mine") == "1"
        assert other.get_default_header("X-None") is None
        assert other.get_default_header("X-None", "?") == "?"
        sent = other.get("/echo").data["headers"]
        assert (sent["x-mine"], sent["authorization"]) == ("1", "Bearer a.b.c")
        assert other.get("/echo", headers={"X-Mine": "2"}).data["headers"]["x-mine"] == "2"
        other.unset_default_header("X-Mine")
        other.unset_default_header("X-Mine")
        assert "x-mine" not in other.get("/echo").data["headers"]


def test_upload_sends_fields_and_files(client: TestClient, tmp_path: Path) -> None:
    picture = tmp_path / "tree.png"
    picture.write_bytes(b"\x89PNG")
    with picture.open("rb") as first, picture.open("rb") as second:
        fields = {
            "title": "Bäume",
            "year": 2021,
            "raw": b"\x00",
            "pictures": [first, second],
            "note": ("n.txt", "hi", "text/x-note"),
        }
        echo = client.upload("/echo", fields, {"X-Mine": "1"}).data
    assert echo["method"] == "POST"
    assert echo["headers"]["x-mine"] == "1"
    content_type = echo["headers"]["content-type"]
    boundary = content_type.removeprefix("multipart/form-data; boundary=")
    opening, *parts, closing = echo["body"].encode("latin-1").split(f"--{boundary}".encode())
    assert (opening, closing) == (b"", b"--\r\n")
    disposition = b"\r\nContent-Disposition: form-data; name="
    png = b'"pictures"; filename="tree.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n'
    assert parts == [
        disposition + '"title"\r\n\r\nBäume\r\n'.encode(),
        disposition + b'"year"\r\n\r\n2021\r\n',
        disposition + b'"raw"\r\n\r\n\x00\r\n',
        disposition + png,
        disposition + png,
        disposition + b'"note"; filename="n.txt"\r\nContent-Type: text/x-note\r\n\r\nhi\r\n',
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_axios_speaks_json(client: TestClient, verb: str) -> None:
    send = getattr(client.axios, verb)
    echo = send("/echo", {"a": [1, None]}).data
    assert echo["method"] == verb.upper()
    assert echo["body"] == '{"a": [1, null]}'
    assert echo["headers"]["content-type"] == echo["headers"]["accept"] == "application/json"
    echo = send("/echo", "[2]", {"Accept": "text/html"}).data
    assert echo["body"] == "[2]"
    assert echo["headers"]["accept"] == "text/html"


def test_proxies_from_the_environment_are_not_used(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert client.get("/hello").status_code == 200


def test_waiting_for_an_answer_is_bounded(client: TestClient) -> None:
    assert client.timeout == 30
    with pytest.raises(requests.Timeout):
        client.get("/silent", timeout=0.1)
    with test_client(port=client.port) as hasty:
        hasty.timeout = 0.1
        with pytest.raises(requests.Timeout):
            hasty.axios.get("/silent")


def test_request_to_a_server_that_has_crashed_tells_why(script: str) -> None:
    with test_client(script, port=0) as client:
        with pytest.raises(requests.ConnectionError):
            client.get("/crash")
        eventually(lambda: client.returncode, "the end")
        with pytest.raises(requests.ConnectionError) as caught:
            client.get("/hello")
    assert "serve.py ended with exit code 3; its output:" in str(caught.value)
    assert f"serving {client.port}" in str(caught.value)


def test_request_after_the_stop_never_reaches_a_stranger(script: str) -> None:
    port = free_port()
    with test_client(script, port=port) as client:
        pass
    with test_client(script, port=port) as stranger:
        with pytest.raises(requests.ConnectionError, match="serve.py was killed by signal 15"):
            client.get("/hello")
        assert stranger.get("/hello").status_code == 200


def test_request_to_a_script_that_does_not_listen_tells_so(script: str) -> None:
    Path(script).write_text(
        "import os, socket, time\n"
        "with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:\n"
        "    sender.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
        "time.sleep(3600)\n"
    )
    with (
        test_client(script, port=0) as client,
        pytest.raises(requests.ConnectionError, match=r"serve.py runs, but does not listen at"),
    ):
        client.get("/")


def test_threads_may_share_a_client(client: TestClient) -> None:
    answers: list[str] = []

    def ask(number: int) -> None:
        answers.append(client.get(f"/echo?{number}").data["path"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"/echo?{number}" for number in range(16))


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = str(tmp_path / "self-signed.pem")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=nobody.example", "-keyout", path, "-out", f"{path}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    with open(path, "a") as bundle:
        bundle.write(Path(f"{path}.crt").read_text())
    return path


def test_https_is_not_verified_and_does_not_warn(script: str, certificate: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with test_client(script, port=0, ssl=True, certificate=certificate) as client:
            assert client.url == f"https://127.0.0.1:{client.port}"
            assert client.get("/hello").text == "Grüße"
            assert client.get(f"https://localhost:{client.port}/hello").status_code == 200
            with pytest.raises(requests.exceptions.SSLError):
                client.get("/hello", verify=certificate)  # the name does not match


# The surroundings


def test_requests_is_loaded_when_it_is_used() -> None:
    source = (
        "import sys, skitai.testing\n"
        "assert 'requests' not in sys.modules\n"
        "skitai.test_client(port=1)\n"
        "assert 'requests' in sys.modules\n"
    )
    ended = run_python(source)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_missing_requests_is_named_with_the_command_that_helps() -> None:
    source = "import sys; sys.modules['requests'] = None; import skitai; skitai.test_client()"
    ended = run_python(source)
    last = ended.stderr.splitlines()[-1]
    assert last.endswith("skitai.test_client needs the package requests: pip install skitai[test]")


def test_importing_the_names_does_not_confuse_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from skitai import test_client\n"
        "from skitai.testing import TestClient\n"
        "def test_nothing():\n"
        "    assert test_client is TestClient\n"
    )
    source = (
        "import sys, pytest\n"
        f"sys.exit(pytest.main(['-W', 'error', '-q', '-p', 'no:cacheprovider', {str(tmp_path)!r}]))"
    )
    ended = run_python(source)
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_client_shows_what_it_is_bound_to(client: TestClient) -> None:
    assert repr(client) == f"<TestClient {client.url} {SERVER}>"
    assert repr(test_client(port=1)) == "<TestClient http://127.0.0.1:1>"


def test_socket_of_a_silent_server_is_closed_with_the_client(client: TestClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with test_client(port=listener.getsockname()[1]) as attached:
            with pytest.raises(requests.Timeout):
                attached.get("/", timeout=0.05)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(PATIENCE)
            received = b""
            while chunk := accepted.recv(4096):
                received += chunk
    assert received.startswith(b"GET / HTTP/1.1\r\n")


def test_answers_that_are_kept_do_not_keep_connections(client: TestClient) -> None:
    def connections() -> set[object]:
        found = psutil.Process().net_connections("tcp4")
        return {each.laddr for each in found if each.raddr and each.raddr.port == client.port}

    before = connections()
    attached = test_client(port=client.port)
    answer = attached.get("/hello")
    assert connections() > before
    attached.stop()
    assert connections() == before
    assert answer.text == "Grüße"
