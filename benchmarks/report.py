"""The report: medians, ratios and tables, as Markdown that is also readable in a terminal.

Called by `benchmarks.command` with what the suite measured.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.contenders import limit_of, ours_of
from benchmarks.environment import ROOT
from benchmarks.suite import WARM_UP_SECONDS, Outcome, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from benchmarks.environment import Cores
    from benchmarks.figures import Reading
    from benchmarks.plan import Plan
    from benchmarks.rows import Row

# Below this share of its core the server was not what held the figure down.
BUSY = 0.90
MEBIBYTE = 1024 * 1024
FIGURES_NOTE = (
    "Seconds are those until the last answer was read. Memory is the resident peak of the server's "
    "processes over what they held after their first answer."
)
NOTHING = "–"

ROW_HEADERS = (
    "contender",
    "req/s",
    "lowest–highest",
    "ours ÷ it",
    "it ÷ limit",
    "CPU µs/req",
    "its CPU ÷ ours",
    "server CPU",
    "p50 ms",
    "p99 ms",
    "remark",
)
RESOURCE_HEADERS = ("contender", "start-up ms", "USS MiB", "PSS MiB", "remark")
FIGURE_HEADERS = ("figure", "contender", "seconds", "more memory MiB", "remark")


def ratio(dividend: float | None, divisor: float | None) -> str:
    """Return the quotient with two decimals, or a dash if either is missing or zero."""
    if not dividend or not divisor:
        return NOTHING
    return f"{dividend / divisor:.2f}"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table; the first and the last column are text, others figures."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(headers))]
    text = {0, len(headers) - 1}
    rule = [
        "-" * width if index in text else "-" * (width - 1) + ":"
        for index, width in enumerate(widths)
    ]
    filled = [
        [
            cell.ljust(width) if index in text else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [filled[0], rule, *filled[1:]])


def explain(outcome: Outcome, failures: Mapping[str, str]) -> None:
    """Put the reason why a contender's package is not installed in place of what followed of it."""
    for name in outcome.contender.needs:
        if name in failures:
            reason = f"{name} could not be installed: {failures[name]}"
            outcome.failures = {row: reason for row in outcome.failures}
            return


def document(
    plan: Plan,
    outcomes: Sequence[Outcome],
    readings: Sequence[Reading],
    *,
    cores: Cores,
    now: datetime,
    machine: Mapping[str, str],
    versions: Mapping[str, str],
) -> str:
    """Return the whole report."""
    parts = [f"# Benchmark of {now:%Y-%m-%d %H:%M} UTC", _facts(machine, versions)]
    parts.append(_method(plan, cores))
    for row in plan.rows:
        parts += [f"## {row.title} (`{row.name}`)", row.note, row_table(row, outcomes)]
    if readings:
        parts.append(f"## Waiting and streaming\n\n{FIGURES_NOTE}\n\n{figure_table(readings)}")
    parts.append(f"## Start-up and memory\n\n{resource_table(outcomes)}")
    notes = warnings(plan.rows, outcomes)
    if notes:
        parts.append("## Warnings\n\n" + "\n".join(f"- {note}" for note in notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def row_table(row: Row, outcomes: Sequence[Outcome]) -> str:
    """Return one row of work: the fastest first, those not run last with the reason."""
    rates = {one.contender.name: _median(one, row, "per_second") for one in outcomes}
    costs = {one.contender.name: _median(one, row, "microseconds") for one in outcomes}
    ran, lost = [], []
    for outcome in outcomes:
        name, title = outcome.contender.name, outcome.contender.title
        rate, cost = rates[name], costs[name]
        samples = outcome.samples.get(row.name, [])
        if rate is None or cost is None:
            if row.name in outcome.failures:
                reason = f"not run: {outcome.failures[row.name]}"
                lost.append([title, *[NOTHING] * (len(ROW_HEADERS) - 2), _cell(reason)])
            continue
        lowest = min(one.per_second for one in samples)
        highest = max(one.per_second for one in samples)
        cells = [
            title,
            f"{rate:,.0f}",
            f"{lowest:,.0f}–{highest:,.0f}",
            ratio(rates.get(ours_of(row)), rate),
            ratio(rate, rates.get(limit_of(row))),
            f"{cost:.1f}",
            ratio(cost, costs.get(ours_of(row))),
            f"{median(one.server_share for one in samples):.0%}",
            f"{median(one.p50 for one in samples):.2f}",
            f"{median(one.p99 for one in samples):.2f}",
            _cell("; ".join(_remarks(outcome, row, samples))),
        ]
        ran.append((rate, cells))
    ran.sort(key=lambda pair: pair[0], reverse=True)
    return table(ROW_HEADERS, [*(cells for _, cells in ran), *lost])


def resource_table(outcomes: Sequence[Outcome]) -> str:
    """Return start-up time and memory, medians over the rounds, in the order of the contenders."""
    rows = []
    for outcome in outcomes:
        if outcome.startups:
            startup = f"{median(outcome.startups) * 1e3:.0f}"
            unique = f"{median(one.unique for one in outcome.memories) / MEBIBYTE:.1f}"
            shared = f"{median(one.proportional for one in outcome.memories) / MEBIBYTE:.1f}"
            rows.append([outcome.contender.title, startup, unique, shared, ""])
        else:
            reason = next(iter(outcome.failures.values()), "no row asked for")
            title = outcome.contender.title
            rows.append([title, *[NOTHING] * 3, _cell(f"not run: {reason}")])
    return table(RESOURCE_HEADERS, rows)


def figure_table(readings: Sequence[Reading]) -> str:
    """Return the figures that are no rates."""
    rows = []
    for one in readings:
        memory = NOTHING if one.memory is None else f"{one.memory / MEBIBYTE:.1f}"
        seconds = NOTHING if one.seconds is None else f"{one.seconds:.2f}"
        rows.append([one.figure.title, one.contender.title, seconds, memory, _cell(one.remark)])
    return table(FIGURE_HEADERS, rows)


def warnings(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> list[str]:
    """Return a sentence for each figure that something else than the server held down."""
    notes = []
    for row in rows:
        for outcome in outcomes:
            samples = outcome.samples.get(row.name)
            if not samples:
                continue
            server = median(one.server_share for one in samples)
            client = median(one.client_share for one in samples)
            service = median(one.service_share for one in samples)
            if server >= BUSY:
                continue
            asked = f", the {row.service} {service:.0%} of one" if row.service else ""
            if client >= BUSY:
                why = "the load generator was saturated, so its req/s are too low"
            elif client + service >= BUSY:
                why = f"the {row.service} held it down, so its req/s are too low"
            else:
                why = "other processes took the cores, or the server waited"
            notes.append(
                f"{row.name}, {outcome.contender.title}: the server used {server:.0%} of its core, "
                f"wrk {client:.0%} of its own{asked}: {why}. Compare the CPU time per request."
            )
    return notes


def _median(outcome: Outcome, row: Row, figure: str) -> float | None:
    samples = outcome.samples.get(row.name)
    return median(getattr(one, figure) for one in samples) if samples else None


def _remarks(outcome: Outcome, row: Row, samples: Sequence[Sample]) -> list[str]:
    """Return the contender's own remark, failed requests, and why later rounds are missing."""
    remarks = [outcome.contender.remark] if outcome.contender.remark else []
    faults: dict[str, int] = {}
    for one in samples:
        for kind, count in one.faults.items():
            faults[kind] = faults.get(kind, 0) + count
    remarks += [f"{count} requests {kind}" for kind, count in faults.items()]
    if row.name in outcome.failures:
        remarks.append(f"only {len(samples)} rounds: {outcome.failures[row.name]}")
    return remarks


def _facts(machine: Mapping[str, str], versions: Mapping[str, str]) -> str:
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    packages = ", ".join(f"{name} {value}" for name, value in versions.items())
    return "\n".join([*lines, f"- Versions: {packages}"])


def _method(plan: Plan, cores: tuple[int, int]) -> str:
    services = ", ".join(str(core) for core in cores.services)
    return (
        "## Method\n\n"
        f"Each contender runs one worker pinned to core {cores.server}; wrk asks with one thread "
        f"and {plan.connections} keep-alive connections from core {cores.client}; PostgreSQL and "
        f"the upstream of proxies run on core {services}. Access logs are off unless "
        f"the name says otherwise. Rounds: {plan.rounds}, interleaved: in each, every contender is "
        "started anew, timed from its start to its first answer, its memory read after that one "
        "answer; then for each row its answers are checked (status, type, body; cookies are kept "
        f"and sent back), and it is warmed up for {WARM_UP_SECONDS} s and driven for "
        f"{plan.seconds} s. Figures are medians over the rounds. `CPU µs/req` is user and system "
        "time of the server's processes for one request and the figure least disturbed by other "
        "work on the machine; `server CPU` is their share of the core while driven. `ours ÷ it` "
        "above 1 means that skitai + atila is faster. USS counts memory that belongs to one "
        "process alone, PSS adds shared pages once, both over all processes of the server."
    )


def _cell(text: str) -> str:
    """Keep a free text from breaking the table, and the place of this copy out of it."""
    return " ".join(text.replace(f"{ROOT}/", "").replace("|", "/").split())
