"""What a mistake looks like at the prompt: one message that names it, and exit code 2."""

from __future__ import annotations

import os
import socket

import pytest
from live_service import run_script, write_files

import skitai

pytestmark = pytest.mark.e2e

GOOD = "import skitai\nimport myapp\nskitai.mount('/', myapp)\nskitai.run({})\n"
HOOKS = "from atila import Atila\n\ndef __app__():\n    return Atila(__name__)\n\n"


def failing(**sources: str) -> dict[str, str]:
    return {
        "serve.py": sources.get("serve", GOOD.format("port=0")),
        "myapp/__init__.py": sources.get("app", HOOKS),
        **{name: text for name, text in sources.items() if name.endswith(".py")},
    }


MISTAKES = {
    "app": (
        failing(app="def __app__():\n    return 1 / 0\n"), [],
        ["app 'myapp'", "ZeroDivisionError", "myapp/__init__.py", "line 2", "return 1 / 0"],
    ),
    "mount": (
        failing(app=HOOKS + "def __mount__(app, mntopt):\n    mntopt['nothing']\n"), [],
        ["app 'myapp'", "KeyError: 'nothing'", "myapp/__init__.py", "line 7"],
    ),
    "setup": (
        failing(app=HOOKS + "def __setup__(app, mntopt):\n    raise ValueError('no\\nluck')\n"),
        [], ["app 'myapp'", "ValueError: no luck", "myapp/__init__.py", "line 7"],
    ),
    "config": (
        failing(app=HOOKS + "def __config__(pref):\n    raise RuntimeError('no disk')\n"), [],
        ["__config__ of 'myapp'", "RuntimeError: no disk", "myapp/__init__.py", "line 7"],
    ),
    "exit": (
        failing(app="import sys\ndef __app__():\n    sys.exit('give up')\n"), [],
        ["app 'myapp'", "give up", "myapp/__init__.py", "line 3"],
    ),
    "syntax": (
        failing(serve="import skitai\nskitai.mount('/', 'bad.py')\nskitai.run()\n",
                **{"bad.py": "from atila import Atila\ndef broken(:\n    pass\n"}), [],
        ["SyntaxError", "bad.py", "line 2"],
    ),
    "syntax in a service": (
        failing(app=HOOKS + "def __setup__(app, mntopt):\n    from . import services\n",
                **{"myapp/services.py": "def broken(:\n"}), [],
        ["app 'myapp'", "SyntaxError", "myapp/services.py", "line 1"],
    ),
    "missing module": (
        failing(app=HOOKS + "def __setup__(app, mntopt):\n    import no_such_module\n"), [],
        ["app 'myapp'", "no_such_module", "myapp/__init__.py", "line 7"],
    ),
    "bad route": (
        failing(app=HOOKS + "def __mount__(app, mntopt):\n    app.route('a')(lambda was: '')\n"),
        [], ["route 'a' must start with '/'", "myapp/__init__.py", "line 7"],
    ),
    "unknown option": (failing(), ["--wrokers=2"], ["--wrokers", "did you mean '--workers'?"]),
    "wrong option value": (failing(), ["--workers=0"], ["workers", "'0'", "from 1 to 256"]),
    "option without value": (failing(), ["--port"], ["--port", "expected one argument"]),
    "command": (failing(), ["restrat"], ["'restrat'", "did you mean 'restart'?"]),
    "wrong value": (failing(serve=GOOD.format("threads='many'")), [], ["threads", "'many'"]),
    "unknown keyword": (
        failing(serve=GOOD.format("worker=2")), [], ["'worker'", "did you mean 'workers'?"],
    ),
    "wrong address": (failing(serve=GOOD.format("ip='1.2.3'")), [], ["address", "1.2.3"]),
    "nothing mounted": (
        failing(serve="import skitai\nskitai.run(port=0)\n"), [], ["nothing is mounted"],
    ),
    "missing directory": (
        failing(serve="import skitai\nskitai.mount('/', 'public')\nskitai.run(port=0)\n"), [],
        ["public", "does not exist", "serve.py, line 2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_failing_start_is_explained_once_and_ends_with_code_2(tmp_path, mistake):
    sources, words, texts = MISTAKES[mistake]
    write_files(tmp_path, sources)
    done = run_script(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    for text in texts:
        assert text in done.stderr
    assert done.stdout == ""
    assert "Traceback (most recent call last)" not in done.stderr
    assert os.path.dirname(skitai.__file__) not in done.stderr
    assert sum(texts[0] in line for line in done.stderr.splitlines()) == 1


def test_a_start_that_fails_in_several_workers_is_reported_once(tmp_path):
    write_files(tmp_path, failing(app="def __app__():\n    return 1 / 0\n"))
    done = run_script(tmp_path, "--workers=3")
    assert done.returncode == 2
    assert done.stderr.count("ZeroDivisionError") == 1


def test_a_port_in_use_is_reported(tmp_path):
    write_files(tmp_path, failing())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_script(tmp_path, f"--port={port}")
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_mistake_in_the_launch_script_itself_is_pythons_to_report(tmp_path):
    write_files(tmp_path, failing(app="def broken(:\n"))
    done = run_script(tmp_path)
    assert done.returncode == 1
    assert 'myapp/__init__.py", line 1' in done.stderr
    assert os.path.dirname(skitai.__file__) not in done.stderr


def test_help_ends_with_code_0(tmp_path):
    write_files(tmp_path, failing())
    done = run_script(tmp_path, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--port", "--workers", "--threads", "--devel"))
    assert done.stderr == ""
