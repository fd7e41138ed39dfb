"""Options that a launch script adds to its command line (engine README, custom options)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skitai.errors import ConfigError
from skitai.options import parse
from skitai.own_options import OwnOptions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def given(monkeypatch):
    """Set the words of the command line."""

    def given(*words):
        monkeypatch.setattr(sys, "argv", ["serve.py", *words])

    given()
    return given


@pytest.fixture
def options(given):
    options = OwnOptions()
    options.add_option("-m", "--mode=NAME", "how to work", "fast")
    options.add_option("-v", "--verbose", "say more")
    options.add_option(None, "--limit=N", "most of them, 100%", 10)
    options.add_option(None, "--rate=X", default=0.5)
    options.add_option("-f", "--file=PATH")
    return options


def test_values_and_switches(options, given):
    given("--mode=slow", "--verbose", "--limit", "5", "--rate=2", "-f", "a.txt", "--port=80")
    assert options["--mode"] == "slow"
    assert options["--verbose"] is True
    assert (options["--limit"], options["--rate"]) == (5, 2.0)
    assert type(options["--rate"]) is float
    assert options["--file"] == "a.txt"


def test_short_and_long_names_are_one(options, given):
    given("-m", "slow", "-v")
    assert options["-m"] == options["--mode"] == "slow"
    assert "-v" in options
    assert "--verbose" in options
    given("-mslow")
    assert options["--mode"] == "slow"


def test_defaults_and_what_was_not_given(options):
    assert dict(options) == {"-m": "fast", "--mode": "fast", "--limit": 10, "--rate": 0.5}
    assert len(options) == 4
    assert "--verbose" not in options
    assert "--file" not in options
    assert options.get("--file") is None
    assert options.get("--file", "none.txt") == "none.txt"
    with pytest.raises(KeyError):
        options["--file"]


def test_get_option_takes_the_first_that_has_a_value(options, given):
    given("--file=b.txt")
    assert options.get_option("--verbose", "-f", "--mode") == "b.txt"
    assert options.get_option("--verbose") is None
    assert options.get_option("--unknown") is None


def test_the_last_of_several_wins(options, given):
    given("--mode=a", "-m", "b")
    assert options["--mode"] == "b"


def test_other_words(options, given):
    given("--mode=slow", "in.csv", "out.csv", "--verbose")
    assert options.argv == ["in.csv", "out.csv"]


@pytest.mark.parametrize("word", ["--limit=many", "--limit=1.5", "--rate=x", "--mode"])
def test_values_of_another_kind_are_refused(options, given, word):
    given(word)
    with pytest.raises(ConfigError, match=word.partition("=")[0]):
        options.get_option("--mode")


@pytest.mark.parametrize(
    ("short", "long"),
    [("m", "--mode"), ("-mm", "--mode"), ("-m", "mode"), ("-m", "--mode="), ("-1", "--one"),
     (None, "---three"), ("--x", "--xx"), (None, "-m")],
)  # fmt: skip
def test_names_that_are_none(given, short, long):
    with pytest.raises(ConfigError, match=r"give a letter and a word"):
        OwnOptions().add_option(short, long)


@pytest.mark.parametrize(("short", "long"), [("-m", "--other"), (None, "--mode"), ("-d", "--dd")])
def test_names_that_are_taken(options, short, long):
    with pytest.raises(ConfigError, match=r"option .* is taken: choose another name"):
        options.add_option(short, long)


@pytest.mark.parametrize("long", ["--port=N", "--help", "--devel", "--nginx-conf=D", "--force"])
def test_names_that_the_engine_has(given, long):
    options = OwnOptions()
    options.add_option(None, long)
    with pytest.raises(ConfigError, match=r"option --[a-z-]+ is taken: choose another name"):
        parse([], "serve.py", {}, options.known())


# Beside the engine's own


def test_the_engine_lets_them_through(options):
    line = parse(
        ["--mode=slow", "--port=80", "-v", "--limit", "5", "in.csv", "start"],
        "serve.py",
        {},
        options.known(),
    )
    assert (line.settings, line.command) == ({"port": "80"}, "start")
    assert line.words == ("--mode=slow", "--port=80", "-v", "--limit", "5", "in.csv")


def test_misspelt_ones_get_a_hint(options):
    with pytest.raises(ConfigError, match="did you mean '--verbose'"):
        parse(["--verbos1"], "serve.py", {}, options.known())


SCRIPT = """
import skitai
from atila import Atila

skitai.add_option("-m", "--mode=NAME", "how to work, 100%", "fast")
skitai.add_option(None, "--dry", "only look")
print("mode", skitai.get_option("--mode", "-m"), skitai.options.get("--dry"), flush=True)
skitai.mount("/", Atila("app"))
skitai.run(name="app")
"""


def run(tmp_path, *words):
    (tmp_path / "serve.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, "-W", "error", "serve.py", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SKITAI_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.e2e
def test_help_shows_them_beside_the_others(tmp_path):
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    own = done.stdout.partition("options of this script:")[2]
    assert all(word in own for word in ("--mode", "-m", "NAME"))
    assert "how to work, 100%" in own
    assert "only look" in own
    for word in ("--port", "--nginx-conf DOMAIN", "--force", "install", "uninstall", "reload"):
        assert word in done.stdout


@pytest.mark.e2e
def test_a_script_reads_them_before_it_runs(tmp_path):
    done = run(tmp_path, "--mode=slow", "--dry", "status")
    assert done.stdout.splitlines() == ["mode slow True", "app [stopped]"]
    wrong = run(tmp_path, "--mod=slow", "--nothing", "status")
    assert (wrong.returncode, "unknown option '--nothing'" in wrong.stderr) == (2, True)
