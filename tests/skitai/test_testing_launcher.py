"""Launching small servers with the test client, failing at it, and leaving nothing behind."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import eventually, is_gone, run_python

import skitai
from skitai.errors import ConfigError, StartupError
from skitai.testing import test_client
from skitai.testing.launcher import free_port
from skitai.testing.output import KEPT, CapturedOutput

pytestmark = pytest.mark.e2e

SERVER = Path(__file__).with_name("small_server.py")


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
    assert client.log(6) == "bye\n"


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
    kept = output.text(10 * KEPT)
    assert set(kept.splitlines(keepends=True)) == {line}
    assert KEPT - 100 < len(kept.encode()) <= KEPT


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


def test_strangers_on_the_port_are_never_attached_to(script: str) -> None:
    with test_client(script, port=0) as stranger:
        with pytest.raises(StartupError, match=f"port {stranger.port} can't be had"):
            test_client(script, port=stranger.port)
        assert stranger.get("/hello").status_code == 200


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
