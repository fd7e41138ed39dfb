"""Services from outside: scripts that are wrong end with one message, places and environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_app import APP, App

import skitai
from skitai.errors import ConfigError
from skitai.service import Service

ROOT = Path(__file__).resolve().parents[2]
TINY = APP + "import skitai\nskitai.mount('/', App())\n"


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["serve.py"])
    monkeypatch.delenv("SKITAIENV", raising=False)
    return Service(tmp_path)


def run_script(directory, source, *words, stdin=False, **environ):
    """Run a launch script in a fresh interpreter, with warnings as errors."""
    environment = {key: value for key, value in os.environ.items() if key != "SKITAIENV"}
    environment |= {"PYTHONPATH": str(ROOT), **environ}
    (directory / "serve.py").write_text(source)
    command = [sys.executable, "-W", "error", "-" if stdin else "serve.py", *words]
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        input=source if stdin else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(directory, source, *words, **environ):
    """Return what a script that must end with exit code 2 writes to standard error."""
    done = run_script(directory, source, *words, **environ)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.rstrip("\n")


# Wrong scripts


@pytest.mark.parametrize(
    ("conf", "words", "message"),
    [
        (
            "workers='x'",
            [],
            "workers must be a whole number from 1 to 256, not 'x': "
            "give --workers=4 or skitai.run(workers=4)",
        ),
        ("port=70000", [], "port must be a whole number from 0 to 65535, not 70000: "),
        ("", ["--port=x"], "port must be a whole number from 0 to 65535, not 'x': "),
        ("port=5", ["--port="], "port must be a whole number from 0 to 65535, not '': "),
        ("wokers=3", [], "unknown setting 'wokers' with value 3: did you mean 'workers'?"),
        (
            "ip='1.2.3'",
            [],
            "address must be an IPv4 or IPv6 address, a host name or unix:/path/of/a.socket, "
            "not '1.2.3'",
        ),
        ("devel='perhaps'", [], "devel must be True or False, not 'perhaps'"),
        ("", ["--thread"], "argument --threads: expected one argument; see serve.py --help"),
        ("", ["--prot=1"], "unknown option '--prot': did you mean '--port'?"),
        ("", ["strat"], "unknown command 'strat': did you mean 'start'?"),
        ("", ["--devel", "--deploy=x"], "not allowed with"),
    ],
)
def test_wrong_settings_end_with_one_line(tmp_path, conf, words, message):
    text = refusal(tmp_path, f"{TINY}skitai.run({conf})", *words)
    assert text.startswith("serve.py: ")
    assert message in text
    assert "\n" not in text


def test_wrong_environment_is_named(tmp_path):
    text = refusal(tmp_path, f"{TINY}skitai.run()", SKITAIENV="a b")
    assert text.startswith("serve.py: SKITAIENV must be one word")


def test_service_without_mounts_is_refused(tmp_path):
    assert refusal(tmp_path, "import skitai\nskitai.run()") == (
        "serve.py: nothing is mounted: call skitai.mount('/', app) before skitai.run()"
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("skitai.mount('/', 'nowhere')", "mount target 'nowhere' is no directory and no Python"),
        ("skitai.mount('/', 'serv')", "mount target 'serv' is no directory"),
        ("skitai.mount('/', 'http://x')", "mount target 'http://x' is no path: give the service"),
        ("skitai.mount('shop', App())", "mount point must begin with '/', not 'shop': give"),
        ("skitai.mount('/', skitai)", "module 'skitai' has no __app__(): add"),
        ("skitai.preference().set_static('/', 'nowhere')", "set_static 'nowhere': directory"),
        ("skitai.preference(path='nowhere')", "path 'nowhere': directory"),
    ],
)
def test_wrong_statements_end_with_the_line_of_the_script(tmp_path, statement, message):
    text = refusal(tmp_path, f"{APP}\nimport skitai\n{statement}\nskitai.run()")
    line = len(APP.splitlines()) + 3
    assert text.startswith(f"serve.py, line {line}: {message}")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import skitai\nskitai.is_devel()\nraise skitai.ConfigError('x: fix it')", "x: fix it"),
        ("import skitai\n\nskitai.add_option('x', 'y')", "option 'x', 'y': give a letter and"),
        ("import skitai\n\nskitai.cron('* *', 'true')", "cron expression '* *' has 2 fields"),
        ("import skitai\n\nskitai.config_executors(workers='x')", "config_executors: workers='x'"),
        (
            "from atila import Atila\n\nAtila('x').route('/<int:')(lambda was: 1)",
            "route '/<int:' has a broken parameter: write <name> or <int:n>",
        ),
    ],
)
def test_an_error_before_anything_is_mounted_is_one_line_too(tmp_path, source, message):
    text = refusal(tmp_path, source)
    assert text.startswith(f"serve.py, line 3: {message}")
    assert "\n" not in text


def test_an_error_that_comes_by_way_of_a_library_has_the_line_of_the_script(tmp_path):
    source = "import skitai\nskitai.add_option('-m', '--mode=M')\nskitai.get_option('-m')"
    text = refusal(tmp_path, source, "--mode")
    assert text == "serve.py, line 3: argument --mode/-m: expected one argument"


def test_other_exceptions_of_a_script_are_shown_as_they_come(tmp_path):
    done = run_script(tmp_path, "import skitai\nsys = 1 / 0")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_failing_config_hook_shows_the_users_frames(tmp_path):
    (tmp_path / "shop.py").write_text("def __app__(): pass\ndef __config__(pref):\n    1/0\n")
    text = refusal(tmp_path, "import skitai, shop\nskitai.mount('/', shop)\nskitai.run()")
    first, *frames = text.splitlines()
    assert first == (
        "serve.py, line 2: __config__ of 'shop' failed: "
        "ZeroDivisionError: division by zero (shop.py, line 3)"
    )
    assert "shop.py" in frames[0]
    assert len([line for line in frames if line.startswith("  File")]) == 1


def test_errors_of_other_kinds_are_shown_as_ever(tmp_path):
    done = run_script(tmp_path, f"{TINY}1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


@pytest.mark.parametrize("provider", ["app-of-a-fil", "app-of-a-file"])
def test_subscription_needs_another_app(tmp_path, provider):
    source = f"{TINY}skitai.mount('/b', App(), name='b', subscribe='{provider}')\n"
    source += "skitai.mount('/c', App(), name='c', subscribe='c')\nskitai.run()"
    text = refusal(tmp_path, source)
    wrong = "b" if provider == "app-of-a-fil" else "c"
    assert text.startswith(f"serve.py: app {wrong!r} can't subscribe to ")


def test_second_run_is_refused(tmp_path):
    source = "try:\n    skitai.run(port='x')\nexcept SystemExit:\n    skitai.run()"
    text = refusal(tmp_path, TINY + source)
    assert "skitai.run() was called already" in text.splitlines()[-1]


def test_forged_worker_seat_is_refused(tmp_path):
    text = refusal(tmp_path, f"{TINY}skitai.run()", SKITAI_SEAT="{}")
    assert "SKITAI_SEAT='{}' is not the seat of a worker" in text


def test_help_exits_with_success(tmp_path):
    done = run_script(tmp_path, f"{TINY}skitai.run(port=81)", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: serve.py [options]")
    assert "(default: 81)" in done.stdout
    assert done.stderr == ""


# Places


def test_places_belong_to_the_launch_script(tmp_path):
    (tmp_path / "sub").mkdir()
    source = "import skitai\nprint(skitai.getswd(), skitai.abspath('a', '../b'), skitai.joinpath())"
    (tmp_path / "sub" / "go.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    expected = f"{tmp_path}/sub {tmp_path}/sub/b {tmp_path}/sub\n"
    for command in (["sub/go.py"], ["-m", "sub.go"]):
        output = subprocess.check_output(
            [sys.executable, *command], cwd=tmp_path, env=environment, text=True
        )
        assert output == expected


def test_link_to_a_script_counts_as_the_script(tmp_path):
    (tmp_path / "go.py").write_text("import skitai\nprint(skitai.getswd())")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").symlink_to(tmp_path / "go.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.check_output(
        [sys.executable, "bin/go"], cwd=tmp_path, env=environment, text=True
    )
    assert output == f"{tmp_path}\n"


def test_script_from_standard_input_is_at_the_current_directory(tmp_path):
    source = "import os, skitai\nos.chdir('/')\nprint(skitai.getswd())"
    assert run_script(tmp_path, source, stdin=True).stdout == f"{tmp_path}\n"


def test_abspath(service, tmp_path):
    assert service.abspath() == service.getswd() == str(tmp_path)
    assert service.abspath("a/../b", "c") == str(tmp_path / "b" / "c")
    assert service.abspath("/etc//x/..") == "/etc"


@pytest.mark.parametrize("form", ["script", "module", "code"])
def test_script_can_be_started_again_from_anywhere(tmp_path, form):
    source = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from skitai.script import restart_command\n"
        "if 'AGAIN' in os.environ:\n"
        "    print(os.getpid() == int(os.environ['AGAIN']), os.getcwd(), sys.argv[1:])\n"
        "    sys.exit()\n"
        "here = Path.cwd()\n"
        "os.chdir('/')\n"
        "command = restart_command(here)\n"
        "os.execve(command[0], command, {**os.environ, 'AGAIN': str(os.getpid())})\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "go.py").write_text(source)
    words = {"script": ["sub/go.py"], "module": ["-m", "sub.go"], "code": ["-c", source]}[form]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.check_output(
        [sys.executable, "-W", "error", *words, "--port=1", "x y"],
        cwd=tmp_path,
        env=environment,
        text=True,
    )
    assert output == f"True {tmp_path} ['--port=1', 'x y']\n"


# Environment and settings


def test_environment_is_known_before_run(service, monkeypatch):
    assert (service.is_devel(), service.isproduction()) == (False, True)
    monkeypatch.setenv("SKITAIENV", "DEVEL")
    assert service.is_devel()
    monkeypatch.setattr(sys, "argv", ["serve.py", "--deploy=qa", "--nonsense"])
    assert (service.is_devel(), service.isproduction()) == (False, False)
    monkeypatch.setattr(sys, "argv", ["serve.py", "--devel"])
    assert service.is_devel()


SETTLE = """
import os, skitai
from skitai.supervisor import master

class Printer:
    def __init__(self, settings, listeners, serve_worker, **options):
        self.settings, self.options = settings, options

    def run(self):
        watch = self.options["watch_paths"]
        print(self.settings, os.environ["SKITAIENV"], os.getcwd(), watch and watch())
        return 7

master.Supervisor = Printer
"""


def settled(directory, conf, *words, **environ):
    done = run_script(directory, f"{SETTLE}{TINY}skitai.run(port=0, {conf})", *words, **environ)
    assert done.returncode == 7, done.stderr
    return done.stdout


def test_run_exits_with_the_code_of_the_supervisor_in_the_scripts_directory(tmp_path):
    output = settled(tmp_path, "name='shop', workers='3'")
    assert "name='shop'" in output
    assert "workers=3" in output
    assert "devel=False" in output
    assert f" PRODUCTION {tmp_path} None\n" in output


def test_devel_runs_one_worker_and_watches(tmp_path):
    output = settled(tmp_path, "workers=3", "--devel")
    assert "workers=1" in output
    assert "devel=True" in output
    assert f" DEVEL {tmp_path} ['{tmp_path}']\n" in output
    assert "workers=2" in settled(tmp_path, "workers=3", "--devel", "--workers=2")


@pytest.mark.parametrize(
    ("conf", "words", "environ", "environment"),
    [
        ("devel=True", [], {}, "DEVEL"),
        ("", [], {"SKITAIENV": "DEVEL"}, "DEVEL"),
        ("", ["--deploy=qa"], {"SKITAIENV": "DEVEL"}, "QA"),
        ("devel=True", ["--deploy=qa"], {}, "QA"),
        ("devel=False", [], {"SKITAIENV": "DEVEL"}, "PRODUCTION"),
    ],
)
def test_environment_and_devel_agree(tmp_path, conf, words, environ, environment):
    output = settled(tmp_path, conf, *words, **environ)
    assert f" {environment} {tmp_path} " in output
    assert f"devel={environment == 'DEVEL'})" in output


def test_service_is_named_after_its_script(tmp_path):
    directory = tmp_path / "my shop"
    directory.mkdir()
    assert "name='my-shop-serve'" in settled(directory, "")


# The package


def test_version_is_that_of_the_project():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'version = { attr = "skitai.__version__" }' in text
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", skitai.__version__)


def test_functions_of_the_package_act_on_one_service():
    owners = {
        getattr(skitai, name).__self__
        for name in ("mount", "run", "preference", "pref", "abspath", "joinpath", "getswd")
    }
    assert len(owners) == 1
    assert skitai.isdevel == skitai.is_devel


def test_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = skitai.nothing


def test_importing_the_package_starts_nothing_and_only_shows_its_errors_plainly(tmp_path):
    source = (
        "import logging, os, sys\n"
        "before = (dict(os.environ), list(sys.path), os.getcwd())\n"
        "import skitai\n"
        "assert before == (dict(os.environ), list(sys.path), os.getcwd())\n"
        "assert not logging.getLogger('skitai').handlers\n"
        "assert not {'asyncio', 'uvloop', 'httptools', 'jinja2'} & set(sys.modules)\n"
    )
    done = run_script(tmp_path, source)
    assert (done.returncode, done.stderr) == (0, "")


def test_misuse_in_a_test_is_an_ordinary_exception(service):
    with pytest.raises(ConfigError):
        service.mount("nowhere", App())
