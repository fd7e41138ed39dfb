"""What one run of the benchmark does: the command line's options, checked.

Standard library only: it is read before the benchmark's virtualenv exists.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.rows import FIGURES, ROWS, Figure, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS, SECONDS, CONNECTIONS = 5, 3, 64

Named = TypeVar("Named", Contender, Row | Figure)


@dataclass(frozen=True)
class Plan:
    """Whom to measure at what, how often, for how many seconds a row, over how many connections.

    Figures are measured once, of those contenders that have them.
    """

    contenders: tuple[Contender, ...] = CONTENDERS
    rows: tuple[Row, ...] = ROWS
    figures: tuple[Figure, ...] = FIGURES
    rounds: int = ROUNDS
    seconds: int = SECONDS
    connections: int = CONNECTIONS
    quick: bool = False

    def partial(self) -> bool:
        """Tell whether this run is too short or too narrow to stand as the day's result."""
        return self.quick or self.contenders != CONTENDERS or self.rows != ROWS

    def services(self) -> set[str]:
        """Return what has to run besides the contenders."""
        work = [row for one in self.contenders for row in one.rows() if row in self.rows]
        figures = [figure for _, figure in self.asked_figures()]
        return {one.service for one in (*work, *figures)} - {""}

    def asked_figures(self) -> list[tuple[Contender, Figure]]:
        """Return the figures to measure, and of whom."""
        return [
            (contender, figure)
            for contender in self.contenders
            for figure in contender.figures
            if figure in self.figures
        ]


def parse(arguments: Sequence[str]) -> Plan:
    """Read the command line; ends the process with a message and code 2 on a wrong value."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description="Measure skitai + atila and its peers: one server core, wrk on another.",
    )
    add = parser.add_argument
    add("--rounds", type=_positive, help=f"rounds over all contenders (default {ROUNDS})")
    add(
        "--duration",
        type=_positive,
        metavar="SECONDS",
        help=f"whole seconds of load for a row in a round (default {SECONDS})",
    )
    add(
        "--connections",
        type=_positive,
        default=CONNECTIONS,
        help="keep-alive connections of the load generator (default %(default)s)",
    )
    add("--only", metavar="NAME,NAME", help=f"of: {_names(CONTENDERS)}")
    add("--row", metavar="NAME,NAME", help=f"of: {_names((*ROWS, *FIGURES))}")
    add("--quick", action="store_true", help="1 round of 1 second, to see that everything runs")
    options = parser.parse_args(arguments)
    try:
        contenders = _choose("--only", options.only, CONTENDERS)
        chosen = _choose("--row", options.row, (*ROWS, *FIGURES))
    except ValueError as exc:
        parser.error(str(exc))
    contenders = tuple(one for one in contenders if {*one.rows(), *one.figures} & set(chosen))
    if not contenders:
        parser.error(f"--only {options.only} has nobody who can do --row {options.row}")
    return Plan(
        contenders=contenders,
        rows=tuple(one for one in chosen if isinstance(one, Row)),
        figures=tuple(one for one in chosen if isinstance(one, Figure)),
        rounds=options.rounds or (1 if options.quick else ROUNDS),
        seconds=options.duration or (1 if options.quick else SECONDS),
        connections=options.connections,
        quick=options.quick,
    )


def _choose(option: str, value: str | None, known: tuple[Named, ...]) -> tuple[Named, ...]:
    """Return the members of `known` that a comma-separated value names, in the order of `known`."""
    if value is None:
        return known
    names = {name.strip() for name in value.split(",")}
    unknown = sorted(names - {one.name for one in known})
    if unknown:
        raise ValueError(f"{option} knows no {', '.join(unknown)}; choose of: {_names(known)}")
    return tuple(one for one in known if one.name in names)


def _names(known: Sequence[Contender | Row | Figure]) -> str:
    return ", ".join(one.name for one in known)


def _positive(text: str) -> int:
    """Convert to a whole number above zero; argparse turns the error into its message."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
