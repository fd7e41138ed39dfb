"""The command line of every launch script, and the environment (SKITAIENV) it chooses.

``Service.run`` parses it; ``skitai.is_devel`` looks at it before that.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.config import ALIASES, SAFE_WORD, SETTING_FIELDS, SWITCH, closest
from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENVIRONMENT = "SKITAIENV"
DEVEL = "DEVEL"
PRODUCTION = "PRODUCTION"


@dataclass(frozen=True)
class CommandLine:
    """What the words after the script's name asked for.

    ``settings`` holds only the options that were given, as text, for ``Settings.load``;
    ``environment`` is the name chosen by ``--devel`` or ``--deploy``, or None.
    """

    settings: dict[str, Any]
    environment: str | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def parse(argv: Sequence[str], prog: str, script_defaults: Mapping[str, Any]) -> CommandLine:
    """Read the words after the script's name.

    Long options take ``--port=80`` or ``--port 80``; unambiguous prefixes are accepted
    (engine README, command line). ``--help`` prints all options and exits with code 0.

    Parameters:
        argv: the words, without the script's name.
        prog: the script's name, for messages.
        script_defaults: keywords of ``skitai.run``; shown as defaults by ``--help``.

    Raises `ConfigError` for an unknown or ambiguous option, a missing value or a command.
    """
    given, extras = _build_parser(prog, script_defaults).parse_known_args(argv)
    for word in extras:
        if word != "--":
            _refuse(word, prog)
    settings = {key: value for key, value in vars(given).items() if key in SETTING_FIELDS}
    return CommandLine(settings, _chosen_environment(given))


def peek_environment(argv: Sequence[str]) -> str | None:
    """Return what ``--devel`` or ``--deploy`` choose, without judging the rest of the words.

    For ``__config__`` hooks, which run before ``skitai.run`` reads the command line.
    """
    try:
        given, _ = _build_parser("", {}, add_help=False).parse_known_args(argv)
        return _chosen_environment(given)
    except ConfigError:
        return None


def choose_environment(chosen: str | None, environ: Mapping[str, str], devel: object = None) -> str:
    """Decide SKITAIENV: command line, then ``skitai.run(devel=…)``, then the process environment.

    Parameters:
        chosen: the name from the command line, or None.
        environ: the process environment.
        devel: what ``skitai.run`` was given; None: nothing.

    Returns an upper-case name, ``PRODUCTION`` by default. Raises `ConfigError` for a wrong name.
    """
    if chosen is not None:
        return chosen
    inherited = environment_name(environ.get(ENVIRONMENT) or PRODUCTION, ENVIRONMENT)
    if devel is None:
        return inherited
    if _is_true(devel):
        return DEVEL
    return PRODUCTION if inherited == DEVEL else inherited


def environment_name(value: str, source: str) -> str:
    """Check the name of an environment and return it in upper case.

    Raises `ConfigError`, naming ``source``, when it is not one safe word.
    """
    if not SAFE_WORD.fullmatch(value):
        raise ConfigError(
            f"{source} must be one word of letters, digits, '.', '_' and '-', not {value!r}: "
            f"give {source}=STAGING"
        )
    return value.upper()


def _chosen_environment(given: argparse.Namespace) -> str | None:
    if "deploy" in given:
        return environment_name(given.deploy, "--deploy")
    return DEVEL if "devel" in given else None


def _is_true(devel: object) -> bool:
    try:
        return bool(SWITCH.convert(devel))
    except ValueError:
        return False  # Settings.load reports the wrong value


def _build_parser(
    prog: str, script_defaults: Mapping[str, Any], *, add_help: bool = True
) -> _Parser:
    parser = _Parser(
        prog=prog,
        usage="%(prog)s [options]",
        description="Options win over what the script gives to skitai.run().",
        add_help=False,
        argument_default=argparse.SUPPRESS,
    )
    if add_help:
        parser.add_argument("--help", action="help", help="show this and exit")
    defaults = {ALIASES.get(key, key): value for key, value in script_defaults.items()}
    for name, item in SETTING_FIELDS.items():
        if not item.metadata["option"] or name == "devel":
            continue
        words = [name, *(alias for alias, meant in ALIASES.items() if meant == name)]
        default = defaults.get(name, item.default)
        shown = "taken from the script's place" if default == "" else default
        about = f"{item.metadata['about']} (default: {shown})".replace("%", "%%")
        flags = [f"--{word}" for word in words]
        parser.add_argument(*flags, dest=name, metavar="VALUE", help=about)
    choice = parser.add_mutually_exclusive_group()
    shown = "on" if _is_true(defaults.get("devel", False)) else "off"
    about = f"{SETTING_FIELDS['devel'].metadata['about']} (default: {shown})"
    choice.add_argument("--devel", action="store_true", help=about)
    choice.add_argument(
        "--deploy", metavar="NAME", help=f"value of {ENVIRONMENT} (default: {PRODUCTION})"
    )
    return parser


def _refuse(word: str, prog: str) -> NoReturn:
    if not word.startswith("-"):
        raise ConfigError(f"command {word!r} is not available: start {prog} without it")
    option = word.partition("=")[0]
    known = [name for name, item in SETTING_FIELDS.items() if item.metadata["option"]]
    hint = closest(option.lstrip("-"), [*known, *ALIASES, "deploy", "help"], prefix="--")
    raise ConfigError(f"unknown option {option!r}: {hint}")
