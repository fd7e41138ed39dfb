"""The settings of a service: names, types, defaults and ranges.

``Service.run`` builds one `Settings`; every room below receives it and only reads.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

SAFE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ALIASES = {"ip": "address"}
MOST_WORKERS = 256
"""More help no machine, and a reload, which has twice as many, needs descriptors for each."""

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_HOST_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+")
_URL_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_SIZE = re.compile(r"([0-9]+)(?: ?([KMG])I?B?)?", re.IGNORECASE)
_HSTS = re.compile(r"[0-9]+(; ?includeSubDomains)?(; ?preload)?", re.IGNORECASE)
_SWITCH_WORDS = {
    "1": True, "true": True, "yes": True, "on": True,
    "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """What a setting accepts.

    Parameters:
        wanted: the accepted values in words; completes the sentence "<setting> must be …".
        convert: returns the typed value; raises ``ValueError`` for anything not accepted.
    """

    wanted: str
    convert: Callable[[object], Any]


def whole_number(low: int, high: int | None = None) -> Rule:
    """Accept an ``int`` or its decimal text within ``low`` to ``high``, both included."""

    def convert(value: object) -> int:
        if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(value)
        if value < low or (high is not None and value > high):
            raise ValueError(value)
        return value

    span = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Rule(f"a whole number {span}", convert)


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def _convert_memory(value: object) -> int:
    found = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool) or found is None:
        raise ValueError(value)
    number = int(found[1]) * _UNITS[(found[2] or "").upper()]
    if 0 < number < LEAST_MEMORY:
        raise ValueError(value)
    return number


def _convert_jitter(value: object) -> int | None:
    return None if value is None else COUNT.convert(value)


LEAST_MEMORY = 2**24
"""Bytes that a worker needs before any app is in it; a limit below is a unit that was forgotten."""
MEMORY = Rule("a number of bytes such as '512 MB', at least '16 MB', or 0", _convert_memory)
COUNT = whole_number(0)
JITTER = Rule(f"{COUNT.wanted}, or None", _convert_jitter)
MIN_COMPRESSED = 1024
"""Bytes of a body below which compressing it never pays; the request path does not even look."""


def seconds(low: float = 0, *, above: bool = False) -> Rule:
    """Accept a finite number of seconds of at least ``low`` (``above``: greater than it)."""

    def convert(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(value)
        number = float(value)
        if not math.isfinite(number) or number < low or (above and number == low):
            raise ValueError(value)
        return number

    return Rule(f"a number of seconds {'above' if above else 'of at least'} {low:g}", convert)


def _convert_switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, str)) and str(value).strip().lower() in _SWITCH_WORDS:
        return _SWITCH_WORDS[str(value).strip().lower()]
    raise ValueError(value)


def _convert_word(value: object) -> str:
    if not isinstance(value, str) or (value and not SAFE_WORD.fullmatch(value)):
        raise ValueError(value)
    return value


def _convert_address(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    if value.startswith(UNIX_PREFIX) and value != UNIX_PREFIX and "\0" not in value:
        return value
    text = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if re.fullmatch(r"[0-9.]*|.*:.*", text):
        return str(ipaddress.ip_address(text))
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(value)
    return text


def _convert_host(value: object) -> str:
    if not isinstance(value, str) or (value and not _HOST_NAME.fullmatch(value)):
        raise ValueError(value)
    return value.lower().rstrip(".")


def _convert_path(value: object) -> str:
    if not isinstance(value, (str, PurePath)) or "\0" in str(value):
        raise ValueError(value)
    return str(value)


def _convert_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _convert_hsts(value: object) -> str:
    text = str(value)
    if isinstance(value, bool) or (text and not _HSTS.fullmatch(text)):
        raise ValueError(value)
    return "" if text == "0" else text


def _convert_mode(value: object) -> int:
    mode = int(value, 8) if isinstance(value, str) else value
    if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= 0o777:
        raise ValueError(value)
    return mode


SWITCH = Rule("True or False", _convert_switch)
WORD = Rule("one word of letters, digits, '.', '_' and '-'", _convert_word)
UNIX_PREFIX = "unix:"
ADDRESS = Rule(
    f"an IPv4 or IPv6 address, a host name or {UNIX_PREFIX}/path/of/a.socket", _convert_address
)
HOST_NAME = Rule("a host name", _convert_host)
PATH = Rule("the path of a file", _convert_path)
TEXT = Rule("text", _convert_text)
HSTS = Rule("seconds, and '; includeSubDomains' and '; preload' if wanted", _convert_hsts)
FILE_MODE = Rule("the mode of a file in octal digits, such as '660'", _convert_mode)


ANYBODY, UNIX_SOCKET = "*", "unix"


def _convert_networks(value: object) -> tuple[str, ...]:
    entries = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple, set, frozenset)):
        raise ValueError(value)
    return tuple(
        entry
        if entry in (ANYBODY, UNIX_SOCKET)
        else str(ipaddress.ip_network(entry if isinstance(entry, str) else "", strict=False))
        for entry in entries
    )


def one_of(*words: str) -> Rule:
    """Accept one of some words, in any case."""

    def convert(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise ValueError(value)
        return value.lower()

    return Rule(" or ".join(repr(word) for word in words), convert)


USER = Rule("the name of a user or a group", _convert_word)
NETWORKS = Rule(
    f"IP addresses or networks, '{UNIX_SOCKET}' for unix sockets or '{ANYBODY}' for everybody, "
    "separated by blanks",
    _convert_networks,
)


def _convert_words(value: object) -> tuple[str, ...]:
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, (list, tuple, set, frozenset)):
        raise ValueError(value)
    if not all(isinstance(word, str) and word.isprintable() for word in words):
        raise ValueError(value)
    return tuple(words)


def _convert_patterns(value: object) -> tuple[str, ...]:
    patterns = _convert_words(value)
    if not all(pattern[:1] in ("*", "/") and pattern.strip("*") for pattern in patterns):
        raise ValueError(value)
    return patterns


def _convert_paths(value: object) -> tuple[str, ...]:
    paths = (value,) if isinstance(value, (str, PurePath)) and value else value or ()
    if not isinstance(paths, (list, tuple, set, frozenset)) or "" in paths:
        raise ValueError(value)
    return tuple(_convert_path(path) for path in paths)


def words_of(*known: str) -> Rule:
    """Accept some of the known words, as a list or separated by blanks."""

    def convert(value: object) -> tuple[str, ...]:
        words = _convert_words(value)
        if not words or not set(words) <= set(known):
            raise ValueError(value)
        return tuple(word for word in known if word in words)

    return Rule("some of " + ", ".join(repr(word) for word in known), convert)


def _convert_url_path(value: object) -> str:
    if not isinstance(value, str) or (value and not _URL_PATH.fullmatch(value)):
        raise ValueError(value)
    return value


PATTERNS = Rule("paths such as '/health*' or '*.css', separated by blanks", _convert_patterns)
PATHS = Rule("the path of a file or a directory, or a list of them", _convert_paths)
URL_PATH = Rule(
    "the path of a URL such as '/-/health', without a slash at its end", _convert_url_path
)


def setting(
    default: Any,
    rule: Rule,
    about: str,
    *,
    option: bool = False,
    example: object = None,
    secret: bool = False,
) -> Any:
    """Declare one field of `Settings`.

    Parameters:
        default: the value when nobody gives one.
        rule: what is accepted.
        about: one line for ``--help`` and the documents.
        option: the command line has an option of this name.
        example: a value to show in error messages; default: the default.
        secret: its value is never shown.
    """
    shown = default if example is None else example
    metadata = {"rule": rule, "about": about, "option": option, "example": shown}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """How a service runs (seed, First App; times in seconds, sizes in bytes).

    Building one checks and converts every value; raises `ConfigError` for the first wrong one.
    """

    name: str = setting("", WORD, "name of the service", option=True, example="myapp")
    address: str = setting("0.0.0.0", ADDRESS, "address to listen on", option=True)
    port: int = setting(5000, whole_number(0, 65535), "TCP port; 0: any free one", option=True)
    quic: int = setting(
        0, whole_number(0, 65535), "UDP port of HTTP/3; 0: none", option=True, example=443
    )
    user: str = setting(
        "", USER, "whom a service that root starts runs as", option=True, example="www-data"
    )
    group: str = setting(
        "", USER, "its group; default: the user's own", option=True, example="www-data"
    )
    workers: int = setting(
        1, whole_number(1, MOST_WORKERS), "worker processes", option=True, example=4
    )
    threads: int = setting(
        4, whole_number(0), "request threads per worker; 0: apps run on the loop", option=True
    )
    keep_alive: float = setting(30.0, seconds(), "how long an idle client may stay connected")
    header_timeout: float = setting(10.0, seconds(above=True), "for the head of a request")
    network_timeout: float = setting(30.0, seconds(above=True), "inactivity within a request")
    drain_timeout: float = setting(30.0, seconds(), "for running requests at shutdown")
    start_timeout: float = setting(
        120.0, seconds(), "for a worker to be ready to serve; 0: any time"
    )
    max_requests: int = setting(
        0, COUNT, "a worker that served so many is replaced; 0: never", option=True, example=10000
    )
    max_requests_jitter: int | None = setting(
        None, JITTER, "up to so many more, at random; None: a tenth of them", example=100
    )
    max_memory: int = setting(
        0, MEMORY, "a worker with more memory is replaced; 0: never", option=True, example="512MB"
    )
    backlog: int = setting(2048, whole_number(1), "connections the system may hold for accept")
    max_upload_size: int = setting(268435456, whole_number(0), "body of a request")
    max_request_line: int = setting(8192, whole_number(64), "first line of a request")
    max_header_size: int = setting(65536, whole_number(256), "all headers of a request")
    max_headers: int = setting(128, whole_number(1), "number of headers of a request")
    max_connections: int = setting(10000, whole_number(1), "open connections per worker")
    max_queued: int = setting(1024, whole_number(1), "requests waiting for a thread, per worker")
    compress: bool = setting(True, SWITCH, "compress answers for clients that accept it")
    compress_min: int = setting(2048, whole_number(MIN_COMPRESSED), "smallest answer to compress")
    certfile: str = setting(
        "", PATH, "certificate and its chain in PEM form; with it the port speaks TLS",
        example="server.pem",
    )  # fmt: skip
    keyfile: str = setting("", PATH, "private key of certfile", example="server.key")
    passphrase: str = setting("", TEXT, "opens an encrypted private key", secret=True)
    ciphers: str = setting(
        "", TEXT, "OpenSSL's names of ciphers for TLS 1.2", example="ECDHE+AESGCM"
    )
    client_ca: str = setting(
        "", PATH, "authorities in PEM form; clients must show a certificate", example="clients.pem"
    )
    hsts: str = setting("", HSTS, "tell browsers to use https only", example=31536000)
    fws_address: str = setting("0.0.0.0", ADDRESS, "address of the port that redirects to https")
    fws_port: int = setting(
        0, whole_number(0, 65535), "port that redirects to https; 0: none", example=80
    )
    fws_to: int = setting(443, whole_number(1, 65535), "port that clients are redirected to")
    fws_domain: str = setting(
        "", HOST_NAME, "the only host; requests for others are redirected", example="example.com"
    )
    socket_mode: int = setting(0o660, FILE_MODE, "who may connect to a unix socket", example="660")
    proxy_protocol: bool = setting(False, SWITCH, "trusted proxies begin with a PROXY header")
    trusted_proxies: tuple[str, ...] = setting(
        "127.0.0.1 ::1 unix", NETWORKS, "whose word about clients is believed", example="10.0.0.0/8"
    )
    forwarded_header: str = setting(
        "x-forwarded", one_of("x-forwarded", "forwarded"), "which headers those proxies write"
    )
    forwarded_host: bool = setting(False, SWITCH, "believe them about the host, too")
    access_log: bool = setting(True, SWITCH, "log each request")
    log_path: str = setting(
        "", PATH, "directory of log files; empty: to the screen", example="/var/log/myapp"
    )
    file_loggings: tuple[str, ...] = setting(
        "request app server",
        words_of("request", "app", "server"),
        "logs that go to files there",
        example="request",
    )
    log_keep: int = setting(30, whole_number(1), "rotated files that are kept of each log")
    log_format: str = setting("text", one_of("text", "json"), "how log lines look", example="json")
    log_off: tuple[str, ...] = setting(
        (), PATTERNS, "paths whose requests are not logged", example="/health* *.css"
    )
    health_path: str = setting(
        "", URL_PATH, "tells load balancers whether to send requests", example="/-/health"
    )
    metrics_path: str = setting("", URL_PATH, "figures for Prometheus", example="/-/metrics")
    status_path: str = setting("", URL_PATH, "a page of live figures", example="/-/status")
    status_access: tuple[str, ...] = setting(
        "127.0.0.0/8 ::1 unix", NETWORKS, "who may ask for those three", example="10.0.0.0/8"
    )
    report_stuck: float = setting(
        0.0, seconds(), "log the stack of a function that runs longer; 0: never", example=10
    )
    report_blocked: float = setting(
        0.0, seconds(), "log the stack of what blocks the loop longer; 0: never", example=1
    )
    devel_refresh: bool = setting(True, SWITCH, "with --devel open pages follow what is saved")
    devel_watch: tuple[str, ...] = setting(
        (), PATHS, "with --devel saving these reloads, too", example=["settings.toml"]
    )
    devel: bool = setting(False, SWITCH, "debug pages and reload on save", option=True)

    def __post_init__(self) -> None:
        for item in fields(self):
            rule: Rule = item.metadata["rule"]
            value = getattr(self, item.name)
            try:
                converted = rule.convert(value)
            except ValueError:
                shown = repr(value) if item.repr else f"a {type(value).__name__}"
                raise ConfigError(
                    f"{item.name} must be {rule.wanted}, not {shown}: {_fix(item.name)}"
                ) from None
            object.__setattr__(self, item.name, converted)

    @classmethod
    def load(cls, run_kwargs: dict[str, Any], cli: dict[str, Any]) -> Settings:
        """Merge what the script gave with what the command line gave; the command line wins.

        Parameters:
            run_kwargs: keywords of ``skitai.run``; numbers may be text (``port="5000"``).
            cli: the options that were really given, by setting name.

        Raises `ConfigError` for an unknown name, a setting given twice or a wrong value.
        """
        return cls(**{**_canonical(run_kwargs), **_canonical(cli)})


def option_of(name: str) -> str:
    """The option of the command line for a setting that has one."""
    return "--" + name.replace("_", "-")


SETTING_FIELDS = {item.name: item for item in fields(Settings)}


def closest(word: str, known: list[str], prefix: str = "") -> str:
    """Return "did you mean …?" for a misspelt name, or the list of all that are known.

    ``prefix`` is put before each name that is shown (``--`` for options).
    """
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean '{prefix}{near[0]}'?"
    return f"known are {', '.join(prefix + name for name in sorted(known))}"


def _canonical(given: dict[str, Any]) -> dict[str, Any]:
    """Replace aliases by the names of `Settings`; refuse unknown and repeated ones."""
    settings: dict[str, Any] = {}
    for key, value in given.items():
        name = ALIASES.get(key, key)
        if name not in SETTING_FIELDS:
            hint = closest(key, [*SETTING_FIELDS, *ALIASES])
            raise ConfigError(f"unknown setting {key!r} with value {value!r}: {hint}")
        if name in settings:
            raise ConfigError(
                f"{name} is given twice, {settings[name]!r} and {value!r} (as {key}): keep one"
            )
        settings[name] = value
    return settings


def _fix(name: str) -> str:
    metadata = SETTING_FIELDS[name].metadata
    example = metadata["example"]
    call = f"skitai.run({name}={example!r})"
    if not metadata["option"]:
        return f"give {call}"
    flag = option_of(name)
    option = flag if isinstance(example, bool) else f"{flag}={example}"
    return f"give {option} or {call}"
