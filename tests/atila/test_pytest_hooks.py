"""``pytest --docs`` in real sessions of pytest, and the seed's example word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from skitai.testing.launcher import free_port

ROOT = Path(__file__).parents[2]

SERVE = """
import skitai
from atila import Atila

app = Atila(__name__)


@app.route("/apis/tickers")
def tickers(was):
    return was.API(tickers=[1, 2])


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5000)
"""
CONFTEST = """
from atila.pytest_hooks import * # HERE
import skitai

@pytest.fixture
def launch ():
    return partial (skitai.test_client, port = 30371, silent = False)

@pytest.fixture (scope = "module")
def client ():
    _client = skitai.test_client (port = 5000)
    yield _client
    _client.stop ()
"""
TESTS = """
def test_app (client):
    resp = client.get ('/apis/tickers')
    assert resp.status_code == 200

def test_app (launch):
    # launch test server on 30371 with --devel option
    with launch ('../serve.py', devel = True) as client:
        resp = client.get ('/apis/tickers')
        assert resp.status_code == 200
"""
# Keeps a record as the test client does, without a service.
RECORDING = """
import json, os

import pytest


def keep(name):
    spec = {"id": name, "doc": "", "parameter_requirements": {}, "auth_requirements": []}
    spec["routeopt"] = {"route": "/x", "args": [], "defaults": {}}
    answer = {"status": "200 OK", "type": "application/json", "data": {}}
    record = {"time": 1.0, "spec": spec, "method": "GET", "url": "/x"}
    record |= {"request": {"type": "", "data": None}, "response": answer}
    directory = os.environ.get("SKITAI_TEST_RECORDS")
    if directory:
        with open(f"{directory}/1.jsonl", "a") as file:
            file.write(json.dumps(record) + "\\n")


def test_keeps():
    keep("kept")


@pytest.mark.slow
def test_slow():
    keep("slow")
"""


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path = path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def session(folder, *arguments):
    """Run pytest there. Returns its exit code and output."""
    (folder.parent / "temporary").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TMPDIR": str(folder.parent / "temporary"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tests(tmp_path):
    write(tmp_path, tests__conftest=CONFTEST, tests__account__test_a=RECORDING)
    return tmp_path / "tests"


@pytest.mark.e2e
def test_the_example_of_the_seed(tmp_path):
    """As written, but for the ports."""
    port = str(free_port())
    conftest, serve = (text.replace("30371", port) for text in (CONFTEST, SERVE))
    write(tmp_path, serve=serve, tests__conftest=conftest, tests__test_app=TESTS)
    code, output = session(tmp_path / "tests", "--docs")
    document = tmp_path / "docs" / "api" / "index.md"
    assert (code, f"written: {document}" in output) == (0, True), output
    text = document.read_text()
    assert "1. [/apis/tickers](#tickers) [**`GET`**](#get-apistickers)\n" in text
    assert "> **_Response_**: `200 OK`  \n" in text
    assert "__spec__" not in text
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_directory_gives_its_name_to_the_document(tests):
    assert session(tests, "account", "--docs")[0] == 0
    api = tests.parent / "docs" / "api"
    assert [path.name for path in api.iterdir()] == ["account.md"]
    assert re.findall("^## (.*)", (api / "account.md").read_text(), re.M)[1:] == ["kept"]


def test_slow_tests_run_when_they_are_asked_for(tests):
    code, output = session(tests, "--docs", "--run-slow", "--strict-markers")
    assert (code, "2 passed" in output) == (0, True), output
    assert "## slow" in (tests.parent / "docs" / "api" / "index.md").read_text()


def test_from_the_directory_above_it_is_the_same_place(tests):
    assert session(tests.parent, "tests", "--docs")[0] == 0
    assert (tests.parent / "docs" / "api" / "index.md").is_file()


@pytest.mark.parametrize(
    ("more", "arguments", "says"),
    [
        ("def test_fails(): assert False", ["--docs"], "1 failed"),
        ("", ["--docs", "-k", "nothing_has_this_name"], "deselected"),
        ("", [], "1 passed, 1 skipped"),
    ],
)
def test_nothing_is_written_when_tests_fail_or_nobody_asks(tests, more, arguments, says):
    write(tests, test_more=more)
    _, output = session(tests, *arguments)
    assert says in output
    assert not (tests.parent / "docs").exists()
    assert list((tests.parent / "temporary").iterdir()) == []


def test_without_records_it_says_why(tests):
    write(tests, account__test_a="def test_nothing(): pass")
    code, output = session(tests, "--docs")
    assert code == 0
    assert "nothing was recorded: the services must run with --devel" in output


def test_several_conftest_files_may_have_the_hooks(tests):
    write(tests, account__conftest=textwrap.dedent("from atila.pytest_hooks import *"))
    code, output = session(tests, "account", "--docs")
    assert (code, output.count("API documents")) == (0, 1), output
    assert (tests.parent / "docs" / "api" / "account.md").is_file()
