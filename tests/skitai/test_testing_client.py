"""The test client against small servers in real processes: launching, requests, leaving nothing."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

import skitai
from skitai.errors import ConfigError, SkitaiError, StartupError
from skitai.testing import TestClient, test_client
from skitai.testing.launcher import free_port
from skitai.testing.output import KEPT, CapturedOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

PATIENCE = 20.0  # seconds; far more than anything here takes
SERVER = Path(__file__).with_name("small_server.py")
VERBS = ["get", "post", "put", "patch", "delete", "options"]


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)
    return result


def is_gone(pid: int) -> bool:
    """Whether no such process and no such process group is left, not even a zombie."""
    for probe in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):
            probe(pid, 0)
            return False
    return True


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


@pytest.fixture
def temp_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of all temporary files."""
    root = tmp_path / "t"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    return root


# Launching


def test_launch_starts_the_script_and_with_stops_it(script: str) -> None:
    with skitai.test_client(script, port=0) as client:
        pid = client.pid
        assert pid is not None
        assert psutil.Process(pid).cmdline()[0] == sys.executable
        assert client.returncode is None
        assert client.get("/hello").text == "Grüße"
    assert client.returncode == -signal.SIGTERM
    assert is_gone(pid)
    assert client.pid == pid


def test_script_gets_its_arguments_the_port_and_the_options(script: str) -> None:
    with test_client(f"{script} --polite", port=0, devel=True, max_things=7, certificate=None,
                     stubborn=False, quiet=None) as client:  # fmt: skip
        facts = client.get("/echo").data
    port = str(client.port)
    words = [script, "--polite", "--port", port, "--devel", "--max-things", "7"]
    assert facts["argv"] == words
    assert facts["cwd"] == os.getcwd()
    assert client.url == f"http://127.0.0.1:{port}"
    assert client.returncode == 0


def test_script_may_have_spaces_in_its_path_and_its_arguments(script: str) -> None:
    os.mkdir("a b")
    os.rename(script, "a b/serve it.py")
    with test_client("a b/serve it.py", port=0) as client:
        assert client.get("/echo").data["argv"][0] == "a b/serve it.py"
    with test_client("'a b/serve it.py' --certificate ''", port=0) as client:
        assert client.get("/echo").data["argv"][:3] == ["a b/serve it.py", "--certificate", ""]


def test_port_may_be_text_and_launch_a_partial(script: str) -> None:
    launch = partial(skitai.test_client, port=str(free_port()), silent=True)
    with launch(f"../{Path.cwd().name}/{script}", devel=True) as client:
        assert client.get("/echo").data["options"]["devel"] is True


def test_environment_reaches_the_script(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(script).write_text("import os; raise SystemExit(os.environ['WHO'])")
    monkeypatch.setenv("WHO", "the test")
    with pytest.raises(StartupError, match="the test"):
        test_client(script, port=0)


def test_output_is_captured_and_stays_after_the_stop(script: str) -> None:
    with test_client(f"{script} --polite", port=0) as client:
        assert client.log() == f"serving {client.port}\n"
        client.get("/hello")
        assert '"GET /hello HTTP/1.1" 200' in client.output
    assert client.output.endswith("bye\n")
    assert client.log(4) == "bye\n"


def test_output_goes_through_when_not_silent(
    script: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with test_client(script, port=0, silent=False) as client:
        assert client.log() == ""
    assert f"serving {client.port}" in capfd.readouterr().out


def test_output_is_kept_in_temp_dir(script: str, tmp_path: Path) -> None:
    with test_client(script, port=0, temp_dir=tmp_path) as client:
        assert client.pid is not None
        kept = os.readlink(f"/proc/{client.pid}/fd/1")
    assert kept.startswith(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [script]


def test_captured_output_gives_whole_lines_of_the_end() -> None:
    output = CapturedOutput(None)
    with output._file as file:
        line = "ä" * 20 + "\n"
        os.write(file.fileno(), line.encode() * (KEPT // 20))
        assert output.text(100) == line * 2
        assert output.text(0) == ""
        output.close()
    assert output.text(100) == line * 2
    assert KEPT - 100 < len(output.text(10 * KEPT).encode()) <= KEPT + 1


def test_free_ports_differ_and_can_be_had() -> None:
    assert len({free_port() for _ in range(5)}) > 1


# Launching what can't be launched


def test_missing_script_is_named(script: str) -> None:
    os.remove(script)
    with pytest.raises(ConfigError, match=r"script='serve.py --x'.*no such file.*" + os.getcwd()):
        test_client("serve.py --x", port=0)
    with pytest.raises(ConfigError, match="no such file"):
        test_client("", port=0)
    with pytest.raises(ConfigError, match="can't be split"):
        test_client("serve.py 'x", port=0)
    with pytest.raises(ConfigError, match="no such file"):
        test_client(Path("a directory"), port=0)


def test_crash_at_start_is_reported_with_exit_code_and_output(script: str) -> None:
    Path(script).write_text("print('one'); import nowhere_to_be_found")
    with pytest.raises(StartupError) as caught:
        test_client(script, port=0)
    message = str(caught.value)
    assert "serve.py ended with exit code 1" in message
    assert "one\n" in message
    assert "No module named 'nowhere_to_be_found'" in message


def test_only_the_end_of_a_long_output_is_reported(script: str) -> None:
    Path(script).write_text("print('first'); print('x\\n' * 100_000); raise SystemExit('last')")
    with pytest.raises(StartupError) as caught:
        test_client(script, port=0)
    assert len(str(caught.value)) < 20_000
    assert "first" not in str(caught.value)
    assert str(caught.value).endswith("last")


def test_end_without_an_error_and_without_output_is_reported(script: str) -> None:
    Path(script).write_text("")
    with pytest.raises(StartupError, match="ended with exit code 0; it printed nothing"):
        test_client(script, port=0)


def test_end_by_a_signal_is_reported(script: str) -> None:
    Path(script).write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(StartupError, match=r"was killed by signal 9 \(Killed\)"):
        test_client(script, port=0)


def test_wrong_option_is_reported_in_the_words_of_the_script(script: str) -> None:
    with pytest.raises(StartupError, match="unrecognized arguments: --wrokers 2"):
        test_client(script, port=0, wrokers=2)


def test_strangers_on_the_port_are_never_attached_to(script: str, client: TestClient) -> None:
    with pytest.raises(StartupError, match=f"port {client.port} can't be had"):
        test_client(script, port=client.port)
    assert client.get("/hello").status_code == 200


def test_script_that_never_says_ready_is_given_up(script: str, temp_root: Path) -> None:
    before = set(psutil.Process().children())
    with pytest.raises(StartupError) as caught:
        test_client(script, port=0, quiet=True, children=1, startup_timeout=1)
    message = str(caught.value)
    assert "serve.py did not get ready within 1 s" in message
    assert "READY=1 on $NOTIFY_SOCKET" in message
    assert "startup_timeout=" in message
    assert set(psutil.Process().children()) == before
    assert os.listdir(temp_root) == []


def test_failed_launch_in_the_open_is_reported_without_output(
    script: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(script).write_text("raise SystemExit('no')")
    with pytest.raises(StartupError, match="ended with exit code 1$"):
        test_client(script, port=0, silent=False)
    assert capfd.readouterr().err == "no\n"


@pytest.mark.parametrize("port", [-1, 65536, "http", None, ""])
def test_wrong_port_is_named(script: str, port: Any) -> None:
    with pytest.raises(ConfigError, match=f"port={port!r} is no port: give 1 to 65535, or 0"):
        test_client(script, port=port)
    with pytest.raises(ConfigError, match=f"port={port!r} is no port"):
        test_client(port=port)


def test_wrong_temp_dir_is_named(script: str) -> None:
    with pytest.raises(ConfigError, match="temp_dir='nowhere'"):
        test_client(script, port=0, temp_dir="nowhere")


def test_too_long_a_temporary_directory_is_named(script: str, temp_root: Path) -> None:
    deep = temp_root / ("x" * 100)
    deep.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(deep))
        with pytest.raises(StartupError, match="set TMPDIR to a directory with a shorter path"):
            test_client(script, port=0)
    assert os.listdir(deep) == []


# Stopping


def test_stop_leaves_no_process_and_no_file(script: str, temp_root: Path) -> None:
    client = test_client(f"{script} --polite", port=0, children=2)
    assert client.pid is not None
    family = [client.pid, *client.get("/echo").data["children"]]
    descriptors = len(os.listdir("/proc/self/fd"))
    client.stop()
    assert all(is_gone(pid) for pid in family)
    assert client.returncode == 0
    assert os.listdir(temp_root) == []
    assert len(os.listdir("/proc/self/fd")) < descriptors
    client.stop()


def test_stop_kills_what_does_not_end(script: str) -> None:
    client = test_client(f"{script} --stubborn", port=0, children=1, stop_timeout=0.2)
    assert client.pid is not None
    child = client.get("/echo").data["children"][0]
    client.stop()
    assert client.returncode == -signal.SIGKILL
    assert is_gone(client.pid)
    assert is_gone(child)


def test_stop_of_a_server_that_has_ended_by_itself_ends_its_children(script: str) -> None:
    with test_client(script, port=0, children=1) as client:
        assert client.pid is not None
        child = client.get("/echo").data["children"][0]
        os.kill(client.pid, signal.SIGKILL)
        assert eventually(lambda: client.returncode, "the end") == -signal.SIGKILL
        assert psutil.pid_exists(child)
    assert is_gone(client.pid)
    assert is_gone(child)


def test_stop_works_when_somebody_else_has_reaped_the_server(script: str) -> None:
    with test_client(script, port=0) as client:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        os.waitpid(client.pid, 0)
        assert client.returncode is not None
    assert is_gone(client.pid)


def test_error_inside_with_stops_the_server(script: str) -> None:
    with pytest.raises(ZeroDivisionError), test_client(script, port=0) as client:
        raise ZeroDivisionError
    assert client.returncode is not None


def test_garbage_collection_stops_the_server(script: str) -> None:
    client = test_client(script, port=0)
    pid = client.pid
    assert pid is not None
    assert client.axios.get("/hello").ok
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client
        gc.collect()
    assert is_gone(pid)


def run_python(source: str, *flags: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(skitai.__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, *flags, "-c", source],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_end_of_the_interpreter_stops_the_server(script: str) -> None:
    source = f"import skitai; c = skitai.test_client({script!r}, 0); c.get('/'); print(c.pid)"
    ended = run_python(source, "-W", "error", "-X", "dev")
    assert ended.stderr == ""
    assert is_gone(int(ended.stdout))


def test_fork_of_the_test_does_not_stop_the_server(script: str) -> None:
    with test_client(script, port=0) as client:
        pid = os.fork()
        if pid == 0:
            try:
                client.stop()
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert client.get("/hello").status_code == 200


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
    assert last.endswith(f"{SkitaiError.__name__}: skitai.test_client needs the package requests: "
                         "pip install skitai[test]")  # fmt: skip


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
