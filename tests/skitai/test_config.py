"""Settings: defaults, conversion, precedence, and a clear error for everything wrong."""

from __future__ import annotations

import dataclasses

import pytest

from skitai.config import Settings
from skitai.errors import ConfigError

ADDRESSES = "an IPv4 or IPv6 address, a host name or unix:/path/of/a.socket"


def error_of(**run_kwargs):
    with pytest.raises(ConfigError) as caught:
        Settings.load(run_kwargs, {})
    return str(caught.value)


def test_defaults():
    settings = Settings.load({}, {})
    assert settings == Settings()
    assert (settings.address, settings.port, settings.workers) == ("0.0.0.0", 5000, 1)
    assert (settings.threads, settings.keep_alive, settings.backlog) == (4, 30.0, 2048)
    assert settings.max_upload_size == 256 * 1024 * 1024
    assert settings.devel is False
    assert settings.access_log is True


def test_settings_can_not_be_changed_by_those_who_read_them():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1


def test_command_line_wins_over_the_script():
    settings = Settings.load({"port": 1, "workers": 2}, {"port": "3"})
    assert (settings.port, settings.workers) == (3, 2)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("port", "5000", 5000),
        ("port", " 80 ", 80),
        ("port", 0, 0),
        ("threads", 0, 0),
        ("keep_alive", "2.5", 2.5),
        ("keep_alive", 2, 2.0),
        ("compress", "no", False),
        ("compress", "1", True),
        ("access_log", 0, False),
        ("devel", "True", True),
        ("address", "::1", "::1"),
        ("address", "[::1]", "::1"),
        ("address", "127.0.0.1", "127.0.0.1"),
        ("address", "localhost", "localhost"),
        ("address", "www.example.com", "www.example.com"),
        ("name", "my-app_1.0", "my-app_1.0"),
        ("name", "", ""),
    ],
)
def test_values_are_converted(name, given, expected):
    value = getattr(Settings.load({name: given}, {}), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("workers", "x", "a whole number from 1 to 256"),
        ("workers", 0, "a whole number from 1 to 256"),
        ("workers", "100000", "a whole number from 1 to 256"),
        ("workers", True, "a whole number from 1 to 256"),
        ("workers", 1.5, "a whole number from 1 to 256"),
        ("workers", None, "a whole number from 1 to 256"),
        ("port", 65536, "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("port", "80.0", "a whole number from 0 to 65535"),
        ("port", "", "a whole number from 0 to 65535"),
        ("port", "9" * 5000, "a whole number from 0 to 65535"),
        ("threads", -1, "a whole number of at least 0"),
        ("keep_alive", "soon", "a number of seconds of at least 0"),
        ("keep_alive", "nan", "a number of seconds of at least 0"),
        ("keep_alive", float("inf"), "a number of seconds of at least 0"),
        ("keep_alive", -0.1, "a number of seconds of at least 0"),
        ("keep_alive", False, "a number of seconds of at least 0"),
        ("header_timeout", 0, "a number of seconds above 0"),
        ("compress", "maybe", "True or False"),
        ("compress", 2, "True or False"),
        ("compress", [], "True or False"),
        ("name", "two words", "one word of letters, digits, '.', '_' and '-'"),
        ("name", "../x", "one word of letters, digits, '.', '_' and '-'"),
        ("name", "a\n", "one word of letters, digits, '.', '_' and '-'"),
        ("name", 5, "one word of letters, digits, '.', '_' and '-'"),
        ("address", "1.2.3", ADDRESSES),
        ("address", "256.1.1.1", ADDRESSES),
        ("address", "localhost:80", ADDRESSES),
        ("address", "a b", ADDRESSES),
        ("address", "", ADDRESSES),
        ("address", None, ADDRESSES),
    ],
)
def test_wrong_value_names_setting_value_and_fix(name, given, wanted):
    message = error_of(**{name: given})
    assert message.startswith(f"{name} must be {wanted}, not {given!r}: give ")
    assert f"skitai.run({name}=" in message


def test_wrong_value_tells_the_option_where_there_is_one():
    assert error_of(workers="x") == (
        "workers must be a whole number from 1 to 256, not 'x': "
        "give --workers=4 or skitai.run(workers=4)"
    )
    assert "--backlog" not in error_of(backlog="x")


def test_settings_made_directly_are_checked_too():
    with pytest.raises(ConfigError, match="port must be"):
        Settings(port=-1)


def test_unknown_setting_gets_the_closest_name():
    assert error_of(wokers=3) == "unknown setting 'wokers' with value 3: did you mean 'workers'?"


def test_unknown_setting_without_a_neighbour_gets_the_list():
    message = error_of(zzz=1)
    assert "known are access_log, address," in message


def test_ip_is_another_name_of_address():
    assert Settings.load({"ip": "127.0.0.1"}, {}).address == "127.0.0.1"
    assert Settings.load({"ip": "127.0.0.1"}, {"address": "::1"}).address == "::1"


def test_ip_and_address_together_are_refused():
    message = error_of(address="127.0.0.1", ip="::1")
    assert message == "address is given twice, '127.0.0.1' and '::1' (as ip): keep one"
