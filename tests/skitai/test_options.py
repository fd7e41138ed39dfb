"""The command line of launch scripts and the environment it chooses."""

from __future__ import annotations

import pytest

from skitai.errors import ConfigError
from skitai.options import choose_environment, parse, peek_environment


def settings_of(*words):
    return parse(words, "serve.py", {}).settings


def error_of(*words):
    with pytest.raises(ConfigError) as caught:
        parse(words, "serve.py", {})
    return str(caught.value)


def test_only_given_options_appear():
    line = parse([], "serve.py", {})
    assert line.settings == {}
    assert line.environment is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--port=80"], {"port": "80"}),
        (["--port", "80"], {"port": "80"}),
        (["--po", "80"], {"port": "80"}),
        (["--port=80", "--port=81"], {"port": "81"}),
        (["--workers=2", "--threads", "8"], {"workers": "2", "threads": "8"}),
        (["--name=shop"], {"name": "shop"}),
        (["--address=::1"], {"address": "::1"}),
        (["--ip", "::1"], {"address": "::1"}),
        (["--port=-1"], {"port": "-1"}),
        (["--devel"], {"devel": True}),
        (["--deploy=x"], {}),
    ],
)
def test_options(words, expected):
    assert settings_of(*words) == expected


def test_unknown_option_gets_the_closest_name():
    assert error_of("--prot=80") == "unknown option '--prot': did you mean '--port'?"
    assert error_of("--prot", "80") == "unknown option '--prot': did you mean '--port'?"


def test_unknown_option_without_a_neighbour_gets_the_list():
    assert error_of("--zzz") == (
        "unknown option '--zzz': known are --address, --deploy, --devel, --disable-static, "
        "--dry-run, --force, --group, --help, --ip, --max-memory, --max-requests, --name, "
        "--nginx-certificate, --nginx-conf, --nginx-key, --port, --quic, --threads, --user, "
        "--workers"
    )
    assert "--port" in error_of("-x")


def test_ambiguous_prefix_is_refused():
    assert "--de could match --devel, --deploy" in error_of("--de")


def test_option_without_value_is_refused():
    assert error_of("--port") == "argument --port: expected one argument; see serve.py --help"


def test_switch_with_value_is_refused():
    assert "--devel" in error_of("--devel=1")


@pytest.mark.parametrize(
    ("words", "command", "rest"),
    [
        (["start"], "start", []),
        (["-d"], "start", []),
        (["--port=80", "start"], "start", ["--port=80"]),
        (["start", "--port", "80"], "start", ["--port", "80"]),
        (["--name", "start", "start"], "start", ["--name", "start"]),
        (["--name=start"], "", ["--name=start"]),
        (["uninstall"], "remove", []),
        (["--workers=2", "install", "--dry-run"], "install", ["--workers=2"]),
        (["--disable-static", "update"], "update", ["--disable-static"]),
        ([], "", []),
    ],
)
def test_a_command_and_the_words_to_keep(words, command, rest):
    line = parse(words, "serve.py", {})
    assert (line.command, list(line.words)) == (command, rest)


def test_switches_that_are_no_settings():
    line = parse(["--disable-static", "--dry-run", "update"], "serve.py", {})
    assert (line.disable_static, line.dry_run) == (True, True)
    line = parse([], "serve.py", {})
    assert (line.disable_static, line.dry_run) == (False, False)


def test_an_unknown_command_gets_the_closest_name():
    assert error_of("strat") == "unknown command 'strat': did you mean 'start'?"
    assert "known are install, reload" in error_of("zzz")


def test_two_commands_are_refused():
    assert error_of("stop", "start") == "commands 'stop' and 'start': give one"
    assert error_of("-d", "status") == "commands 'status' and 'start': give one"


def test_devel_and_deploy_exclude_each_other():
    assert "not allowed with" in error_of("--devel", "--deploy=x")


def test_help_lists_all_options_with_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--help"], "serve.py", {"port": "81", "ip": "::1", "devel": True})
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: serve.py [options]")
    for option in ("--name", "--address", "--ip", "--workers", "--threads", "--deploy", "--help"):
        assert option in text
    assert "TCP port; 0: any free one (default: 81)" in text
    assert "address to listen on (default: ::1)" in text
    assert "worker processes (default: 1)" in text
    assert "debug pages and reload on save (default: on)" in text
    assert "name of the service (default: taken from the script's place)" in text
    assert "whom a service that root starts runs as (default: who starts it)" in text
    assert "its group; default: the user's own --workers" in text
    assert "install, update, remove or --nginx-conf=DOMAIN: replace what was edited, too" in text


def test_help_has_a_short_name(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["-h"], "serve.py", {})
    assert caught.value.code == 0
    assert "usage: serve.py [options]" in capsys.readouterr().out


def test_environment_of_the_command_line():
    assert parse(["--devel"], "serve.py", {}).environment == "DEVEL"
    assert parse(["--deploy=staging"], "serve.py", {}).environment == "STAGING"


@pytest.mark.parametrize("value", ["", "a b", "../x"])
def test_wrong_environment_name_is_refused(value):
    assert error_of(f"--deploy={value}").startswith("--deploy must be one word")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["--devel"], "DEVEL"),
        (["--dev", "--port=x", "nonsense", "--zzz"], "DEVEL"),
        (["--deploy", "qa"], "QA"),
        (["--devel", "--deploy=x"], None),
        (["--deploy=../x"], None),
        (["--help"], None),
        (["-h", "-x", "--port"], None),
    ],
)
def test_peeking_judges_nothing_else(words, expected):
    assert peek_environment(words) == expected


@pytest.mark.parametrize(
    ("chosen", "environ", "devel", "expected"),
    [
        (None, {}, None, "PRODUCTION"),
        (None, {"SKITAIENV": ""}, None, "PRODUCTION"),
        (None, {"SKITAIENV": "DEVEL"}, None, "DEVEL"),
        (None, {"SKITAIENV": "production"}, None, "PRODUCTION"),
        (None, {"SKITAIENV": "QA"}, None, "QA"),
        (None, {"SKITAIENV": "QA"}, False, "QA"),
        (None, {"SKITAIENV": "DEVEL"}, False, "PRODUCTION"),
        (None, {}, True, "DEVEL"),
        (None, {}, "yes", "DEVEL"),
        ("DEVEL", {"SKITAIENV": "QA"}, None, "DEVEL"),
        ("QA", {"SKITAIENV": "DEVEL"}, True, "QA"),
    ],
)
def test_environment_precedence(chosen, environ, devel, expected):
    assert choose_environment(chosen, environ, devel) == expected


def test_wrong_environment_variable_is_named():
    with pytest.raises(ConfigError, match="SKITAIENV must be one word"):
        choose_environment(None, {"SKITAIENV": "a b"})


def test_an_option_of_several_words_has_hyphens():
    assert settings_of("--max-requests=5", "--max-memory", "1 GB") == {
        "max_requests": "5", "max_memory": "1 GB",
    }  # fmt: skip
    assert "did you mean '--max-requests'" in error_of("--max_requests=5")
