"""Options that a launch script adds to its command line (engine README, custom options).

``skitai.add_option`` and ``skitai.get_option`` are methods of `OwnOptions`; ``options.parse`` lets
them through, and shows them in ``--help``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHORT = re.compile(r"-[A-Za-z]")
_LONG = re.compile(r"--[A-Za-z][\w-]*")


@dataclass(frozen=True)
class OwnOption:
    """One option.

    Attributes:
        flags: long name, then the short one if there is one; with their dashes.
        metavar: name of its value, empty for a switch.
        about: one line for ``--help``.
        default: value when it is not given; a number makes the value one.
    """

    flags: tuple[str, ...]
    metavar: str
    about: str
    default: Any

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Let a parser, or a group of its options, know it.

        Raises ``ConfigError`` when that has an option of this name.
        """
        kind: dict[str, Any] = {"action": "store_true"}
        if self.metavar:
            number = type(self.default) in (int, float)
            kind = {"metavar": self.metavar, "type": type(self.default) if number else str}
        about = self.about.replace("%", "%%")
        try:
            parser.add_argument(*self.flags, dest=self.flags[0], help=about, **kind)
        except argparse.ArgumentError:
            raise ConfigError(
                f"option {self.flags[0]} is taken: choose another name for add_option"
            ) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


class OwnOptions(Mapping[str, Any]):
    """The options of a script, and what the command line gives them.

    A mapping of names with dashes, long or short, to values: ``"--mode" in options``,
    ``options["--mode"]``, ``options.get("-m")``. Only what was given, or has a default, is in it; a
    switch that was given is True.
    """

    def __init__(self) -> None:
        self._options: list[OwnOption] = []

    def add_option(
        self, short: str | None, long: str, desc: str | None = None, default: Any = None
    ) -> None:
        """Add an option to the command line; before it is read and before ``skitai.run``.

        Parameters:
            short: ``"-m"``, or None.
            long: ``"--mode=VALUE"`` for an option with a value, ``"--verbose"`` for a switch.
            desc: one line for ``--help``.
            default: value when the option is not given; a number makes the given one a number.

        Raises ``ConfigError`` for a name that is none, or is taken.
        """
        name, mark, metavar = long.partition("=")
        wrong = (short is not None and not _SHORT.fullmatch(short)) or not _LONG.fullmatch(name)
        if wrong or (mark and not metavar):
            raise ConfigError(
                f"option {short!r}, {long!r}: give a letter and a word, as in "
                "add_option('-m', '--mode=VALUE', 'what to do')"
            )
        option = OwnOption((name, short) if short else (name,), metavar, desc or "", default)
        taken = {flag for one in self._options for flag in one.flags}
        for flag in option.flags:
            if flag in taken or flag in ("-d", "-h"):
                raise ConfigError(f"option {flag} is taken: choose another name")
        self._options.append(option)

    def get_option(self, *names: str) -> Any:
        """Return the value of the first of these options that has one, else None.

        Raises ``ConfigError`` for a value that is none of the option's.
        """
        return next((values[name] for name in names if name in (values := self._values())), None)

    def __getitem__(self, name: str) -> Any:
        return self._values()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    @property
    def argv(self) -> list[str]:
        """The words of the command line that are neither options nor their values."""
        _, rest = self._read()
        return [word for word in rest if not word.startswith("-")]

    def known(self) -> Sequence[OwnOption]:
        """The options that were added."""
        return self._options

    def _values(self) -> dict[str, Any]:
        given, _ = self._read()
        values: dict[str, Any] = {}
        for option in self._options:
            value = given.get(option.flags[0], option.default)
            if value is not None and value is not False:
                values.update(dict.fromkeys(option.flags, value))
        return values

    def _read(self) -> tuple[dict[str, Any], list[str]]:
        parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
        for option in self._options:
            option.add_to(parser)
        given, rest = parser.parse_known_args(sys.argv[1:])
        return vars(given), rest
