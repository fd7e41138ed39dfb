"""The command line of every launch script, and the environment (SKITAIENV) it chooses.

``Service.run`` parses it; ``skitai.is_devel`` looks at it before that.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.config import ALIASES, SAFE_WORD, SETTING_FIELDS, SWITCH, closest, option_of
from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skitai.own_options import OwnOption

ENVIRONMENT = "SKITAIENV"
DEVEL = "DEVEL"
PRODUCTION = "PRODUCTION"

COMMANDS = {
    "start": "serve in the background (-d for short)",
    "stop": "end the service in the background when it has finished what it serves",
    "restart": "stop and start",
    "reload": "let new workers with the present code take over, without a failed request",
    "status": "tell whether it runs in the background; exit code 0, or 3 when it does not",
    "routes": "print what is mounted, and the routes of all apps",
    "install": "write a systemd unit that serves with the given options, and enable it",
    "update": "write the unit anew, with the given options",
    "remove": "stop and disable the service and delete its unit (or: uninstall)",
}
SYNONYMS = {"uninstall": "remove"}
INSTALLING = ("install", "update", "remove", "nginx-conf")
NGINX_OPTIONS = {
    "nginx_domain": ("--nginx-conf", "DOMAIN", "collect static files, configure nginx, and end"),
    "nginx_certificate": ("--nginx-certificate", "FILE", "certificate for nginx, in PEM form"),
    "nginx_key": ("--nginx-key", "FILE", "its private key"),
}
_WRITERS = "install, update, remove or --nginx-conf=DOMAIN"
_UNSET = {"name": "taken from the script's place", "user": "who starts it"}


@dataclass(frozen=True)
class CommandLine:
    """What the words after the script's name asked for.

    Attributes:
        settings: only the options that were given, as text, for ``Settings.load``.
        environment: the name chosen by ``--devel`` or ``--deploy``, or None.
        command: one of `COMMANDS`, ``nginx-conf``, or empty to serve in the foreground.
        dry_run: only print what would be written.
        force: what was edited may be replaced.
        disable_static: leave static files to somebody else.
        nginx_domain, nginx_certificate, nginx_key: for the configuration of nginx.
        words: all of them but the command.
    """

    settings: dict[str, Any]
    environment: str | None
    command: str = ""
    dry_run: bool = False
    disable_static: bool = False
    words: tuple[str, ...] = ()
    force: bool = False
    nginx_domain: str = ""
    nginx_certificate: str = ""
    nginx_key: str = ""

    @property
    def installs(self) -> bool:
        """Whether it is about the service on this machine, and not about a process."""
        return self.command in INSTALLING


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def parse(
    argv: Sequence[str],
    prog: str,
    script_defaults: Mapping[str, Any],
    own: Sequence[OwnOption] = (),
) -> CommandLine:
    """Read the words after the script's name.

    Long options take ``--port=80`` or ``--port 80``; unambiguous prefixes are accepted
    (engine README, command line). ``--help`` prints all options and exits with code 0.

    Parameters:
        argv: the words, without the script's name.
        prog: the script's name, for messages.
        script_defaults: keywords of ``skitai.run``; shown as defaults by ``--help``.
        own: options that the script has added.

    Raises `ConfigError` for an unknown or ambiguous option, a missing value, an unknown command or
    two of them, and for an option of the script that has a name of the engine's.
    """
    parser = _build_parser(prog, script_defaults)
    group = parser.add_argument_group("options of this script") if own else parser
    for option in own:
        option.add_to(group)
    given, extras = parser.parse_known_args(argv)
    words = [word for word in extras if word != "--"]
    command = _take_command(words, given, own)
    nginx = {name: getattr(given, name) for name in NGINX_OPTIONS if name in given}
    if nginx and command != "nginx-conf":
        raise ConfigError("--nginx-certificate and --nginx-key need --nginx-conf=DOMAIN")
    for word in words:
        _refuse(word, own)
    for name in ("dry_run", "force"):
        if name in given and command not in INSTALLING:
            raise ConfigError(
                f"{option_of(name)} is for commands that write files: give it with {_WRITERS}"
            )
    settings = {key: value for key, value in vars(given).items() if key in SETTING_FIELDS}
    return CommandLine(
        settings,
        _chosen_environment(given),
        command,
        "dry_run" in given,
        "disable_static" in given,
        _without_command(argv, command),
        "force" in given,
        **nginx,
    )


def _take_command(words: list[str], given: argparse.Namespace, own: Sequence[OwnOption]) -> str:
    """Take the command out of ``words``; a script with options of its own may have more words."""
    found = [word for word in words if word in COMMANDS or word in SYNONYMS]
    if "background" in given:
        found.append("start")
    if "nginx_domain" in given:
        found.append("nginx-conf")
    if len(found) > 1:
        raise ConfigError(f"commands {found[0]!r} and {found[1]!r}: give one")
    words[:] = [word for word in words if word not in found and not (own and word[0] != "-")]
    return SYNONYMS.get(found[0], found[0]) if found else ""


def _without_command(argv: Sequence[str], command: str) -> tuple[str, ...]:
    """The words that start the same service in the foreground."""
    if not command:
        return tuple(argv)
    names = {command, "-d", *(old for old, new in SYNONYMS.items() if new == command)}
    last = max((at for at, word in enumerate(argv) if word in names), default=-1)
    once = ("--dry-run", "--force")
    return tuple(word for at, word in enumerate(argv) if at != last and word not in once)


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
        usage="%(prog)s [options] [command]",
        description="Options win over what the script gives to skitai.run().",
        epilog="commands (none: serve in the foreground):\n"
        + "\n".join(f"  {name:9} {about}" for name, about in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        argument_default=argparse.SUPPRESS,
    )
    if add_help:
        parser.add_argument("--help", "-h", action="help", help="show this and exit")
    defaults = {ALIASES.get(key, key): value for key, value in script_defaults.items()}
    for name, item in SETTING_FIELDS.items():
        if not item.metadata["option"] or name == "devel":
            continue
        words = [name, *(alias for alias, meant in ALIASES.items() if meant == name)]
        default = defaults.get(name, item.default)
        shown = default if default != "" else _UNSET.get(name)
        about = item.metadata["about"] + ("" if shown is None else f" (default: {shown})")
        flags = [option_of(word) for word in words]
        parser.add_argument(*flags, dest=name, metavar="VALUE", help=about.replace("%", "%%"))
    choice = parser.add_mutually_exclusive_group()
    shown = "on" if _is_true(defaults.get("devel", False)) else "off"
    about = f"{SETTING_FIELDS['devel'].metadata['about']} (default: {shown})"
    choice.add_argument("--devel", action="store_true", help=about)
    choice.add_argument(
        "--deploy", metavar="NAME", help=f"value of {ENVIRONMENT} (default: {PRODUCTION})"
    )
    parser.add_argument("-d", action="store_true", dest="background", help="as the command start")
    parser.add_argument(
        "--disable-static", action="store_true", help="leave static files to a server in front"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help=f"{_WRITERS}: print what would be written, and do nothing",
    )
    parser.add_argument(
        "--force", action="store_true", help=f"{_WRITERS}: replace what was edited, too"
    )
    for dest, (flag, metavar, about) in NGINX_OPTIONS.items():
        parser.add_argument(flag, dest=dest, metavar=metavar, help=about)
    return parser


def _refuse(word: str, own: Sequence[OwnOption]) -> NoReturn:
    if not word.startswith("-"):
        raise ConfigError(f"unknown command {word!r}: {closest(word, [*COMMANDS, *SYNONYMS])}")
    option = word.partition("=")[0]
    options = [name for name, item in SETTING_FIELDS.items() if item.metadata["option"]]
    known = [option_of(name).lstrip("-") for name in options]
    known += [one.flags[0].lstrip("-") for one in own]
    known += ["deploy", "disable-static", "dry-run", "force", "help"]
    known += [flag.lstrip("-") for flag, _, _ in NGINX_OPTIONS.values()]
    hint = closest(option.lstrip("-"), [*known, *ALIASES], prefix="--")
    raise ConfigError(f"unknown option {option!r}: {hint}")
