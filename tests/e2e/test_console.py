"""The console command, and the project that it writes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from live_service import PATIENCE, LiveService

from skitai.commands import console
from skitai.commands.console import main

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = "import sys; from skitai.commands.console import main; sys.exit(main())"
PROJECT = [
    ".gitignore", "README.md", "myapp/__init__.py", "myapp/static/style.css",
    "myapp/templates/base.j2", "myapp/templates/index.j2", "pyproject.toml", "serve.py",
    "tests/conftest.py", "tests/test_myapp.py",
]  # fmt: skip


def types(folder, *words, code=CONSOLE):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    done = types(folder, "new", "myapp")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2:] == [
        "  cd myapp", "  python3 serve.py --devel", "  python3 -m pytest",
    ]  # fmt: skip
    return folder / "myapp"


def test_the_project_has_the_structure_of_the_documents(project):
    files = [path for path in project.rglob("*") if path.is_file() and ".pyc" not in path.name]
    assert sorted(str(path.relative_to(project)) for path in files) == PROJECT
    assert not any("APPNAME" in path.read_text() for path in files)


def test_the_project_passes_its_own_tests(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_project_runs_for_development(project):
    service = LiveService(project, devel=True)
    try:
        assert "It works" in service.get("/").text
    finally:
        service.close()


def test_the_project_is_written_as_our_own_code_is(project):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=100", "."],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "No module named" in done.stderr:
        pytest.skip("ruff is not installed")
    assert done.returncode == 0, done.stdout


def test_run_starts_the_script_that_is_here(project, tmp_path):
    done = types(project, "run", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: serve.py [options] [command]")
    done = types(tmp_path, "run", "--port=80")
    assert done.returncode == 2
    assert "there is no serve.py in" in done.stderr


# Refusals, in this process


def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "myapp").mkdir()
    assert main(["new", "myapp"]) == 0  # an empty directory is taken
    (tmp_path / "myapp" / "serve.py").write_text("mine")
    assert main(["new", "myapp"]) == 2
    assert (tmp_path / "myapp" / "serve.py").read_text() == "mine"
    assert "'myapp' exists and is not empty: nothing was written" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["new", "other", "file"]) == 2


def test_another_directory(tmp_path, capsys):
    assert main(["new", "shop", str(tmp_path / "my project")]) == 0
    assert (tmp_path / "my project" / "shop" / "__init__.py").exists()
    assert f"  cd '{tmp_path}/my project'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("My", "my"), ("my-app", "my_app"), ("1st", "myapp"), ("", "myapp"), ("class", "myclass"),
        ("../x", "myapp"), ("a b", "a_b"), ("x" * 41, "myapp"),
    ],
)  # fmt: skip
def test_names_that_can_not_be_imported(tmp_path, monkeypatch, capsys, name, better):
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    message = capsys.readouterr().err
    assert "can't be the name of an app" in message
    assert message.endswith(f"such as '{better}'\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["skitai", "atila", "json", "tests"])
def test_names_that_are_taken(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert f"choose another name, such as 'my{name}'" in capsys.readouterr().err


def test_a_place_that_can_not_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["new", "shop", str(tmp_path / "file" / "below")]) == 2
    assert "can't be written: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new"], "the following arguments are required: name; see skitai new --help"),
        (["nwe", "x"], "invalid choice: 'nwe'"),
        (["--nothing"], "unrecognized arguments: --nothing; see skitai --help"),
    ],
)
def test_mistakes_have_a_hint(capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_help_and_version(capsys):
    assert main([]) == 0
    assert "write a new project" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert re.fullmatch(r"skitai (\d+\.\d+\.\d+|\(not installed\))\n", capsys.readouterr().out)


def test_the_command_is_installed_with_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.scripts]\nskitai = "skitai.commands.console:main"\n' in text


def test_run_hands_signals_to_the_service(project):
    with subprocess.Popen(
        [sys.executable, "-c", CONSOLE, "run", "--port=0", "--address=127.0.0.1"],
        cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert "serving on" in process.stderr.readline()
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
    assert process.returncode == 0


def test_what_the_tests_need_is_named_where_it_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(console, "find_spec", lambda name: None)
    assert main(["new", "shop", str(tmp_path / "shop")]) == 0
    steps = capsys.readouterr().out.splitlines()
    assert steps[-2:] == ["  python3 -m pip install 'skitai[test]'", "  python3 -m pytest"]
