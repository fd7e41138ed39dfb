"""The measuring: rounds over all contenders, each started anew, checked, warmed up and driven.

Called by `benchmarks.command`; what it returns is turned into tables by `benchmarks.report`.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.launcher import Answer, LaunchError, Memory, Server, ask, free_port
from benchmarks.load import Load, LoadError, drive
from benchmarks.rows import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Contender
    from benchmarks.plan import Plan
    from benchmarks.rows import Case, Request, Row

WARM_UP_SECONDS = 1
# Frameworks differ in how they refuse wrong input.
REFUSALS = (400, 422)


class WrongAnswer(Exception):
    """A contender answered something else than the row asks for."""


@dataclass(frozen=True)
class Sample:
    """One row of one contender in one round.

    `microseconds` is the servers' CPU time for one request; the shares are CPU time of server and
    load generator over the time that passed; latencies are in milliseconds.
    """

    per_second: float
    microseconds: float
    server_share: float
    client_share: float
    p50: float
    p99: float
    faults: dict[str, int]


@dataclass
class Outcome:
    """Everything measured of one contender; `failures` gives a reason for each row not run."""

    contender: Contender
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    startups: list[float] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)


def measure(
    plan: Plan, *, root: Path, cores: tuple[int, int], say: Callable[[str], None]
) -> list[Outcome]:
    """Run the plan; a contender or row that fails is not tried in later rounds.

    `cores` are the one of the servers and the one of the load generator; `say` gets the progress.
    """
    outcomes = [Outcome(contender) for contender in plan.contenders]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        for number in range(1, plan.rounds + 1):
            for outcome in outcomes:
                rows = [
                    row
                    for row in outcome.contender.rows()
                    if row in plan.rows and row.name not in outcome.failures
                ]
                if not rows:
                    continue
                try:
                    _visit(outcome, rows, plan, root, cores, Path(scratch))
                except LaunchError as exc:
                    outcome.failures.update({row.name: str(exc) for row in rows})
                say(f"round {number}/{plan.rounds}  {_progress(outcome, rows)}")
    return outcomes


def check(row: Row, get: Callable[[Request], Answer]) -> Request:
    """Raise WrongAnswer unless `get` gives the right answer in each case of the row.

    Returns the request to time, with the cookies that were set meanwhile.
    """
    cookies: dict[str, str] = {}
    for case in row.cases:
        request = case.request
        try:
            answer = get(request.with_cookies(cookies))
        except (OSError, http.client.HTTPException) as exc:
            raise WrongAnswer(f"no answer to {request.target}: {exc!r}") from exc
        wrong = _wrong(answer, case, row.content_type)
        if wrong:
            sent = f" with {request.body}" if request.body else ""
            raise WrongAnswer(f"wrong answer to {request.target}{sent}: {wrong}")
        cookies.update(answer.cookies)
    return row.request.with_cookies(cookies)


def _wrong(answer: Answer, case: Case, content_type: str) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    if case.answer is REFUSED:
        return "" if answer.status in REFUSALS else f"status {answer.status}, not refused"
    if answer.status != 200:
        return f"status {answer.status}"
    if answer.content_type != content_type:
        return f"type {answer.content_type!r}"
    if _decode(answer.body, like=case.answer) != case.answer:
        return f"body {answer.body[:80]!r}"
    return ""


def sample(load: Load, server_seconds: float) -> Sample:
    """Turn one run of the load generator and the servers' CPU time in it into a Sample."""
    return Sample(
        per_second=load.requests / load.seconds,
        microseconds=server_seconds / load.requests * 1e6,
        server_share=server_seconds / load.seconds,
        client_share=load.client_seconds / load.seconds,
        p50=load.p50,
        p99=load.p99,
        faults=load.faults,
    )


def _visit(
    outcome: Outcome,
    rows: list[Row],
    plan: Plan,
    root: Path,
    cores: tuple[int, int],
    scratch: Path,
) -> None:
    """Start the contender, measure start-up and memory, then each row; raises LaunchError."""
    contender, port = outcome.contender, free_port()
    server_core, client_core = cores
    command = [sys.executable, *(word.format(port=port) for word in contender.command)]
    with Server(
        command,
        port=port,
        core=server_core,
        folder=root,
        log=scratch / f"{contender.name}.log",
        environment=contender.environment,
    ) as server:
        outcome.startups.append(server.wait(rows[0].request))
        outcome.memories.append(server.memory())
        for row in rows:
            _run(outcome, row, server, plan, client_core)


def _run(outcome: Outcome, row: Row, server: Server, plan: Plan, core: int) -> None:
    """Check and warm up the row, then drive it and keep the sample or the reason for none."""
    try:
        request = check(row, lambda request: ask(server.port, request))
        _drive(server, request, plan, core, WARM_UP_SECONDS)
        taken = _drive(server, request, plan, core, plan.seconds)
    except (WrongAnswer, LoadError) as exc:
        outcome.failures[row.name] = str(exc)
    else:
        outcome.samples.setdefault(row.name, []).append(taken)


def _drive(server: Server, request: Request, plan: Plan, core: int, seconds: int) -> Sample:
    before = server.cpu_seconds()
    load = drive(server.port, request, seconds=seconds, connections=plan.connections, core=core)
    return sample(load, server.cpu_seconds() - before)


def _decode(body: bytes, like: object) -> object:
    """Read a JSON body unless bytes are expected; what is no JSON stays bytes."""
    if isinstance(like, bytes):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return body


def _progress(outcome: Outcome, rows: list[Row]) -> str:
    """Return what the round gave: a figure for each row, or one reason if all failed alike."""
    reasons = {outcome.failures.get(row.name) for row in rows}
    if len(reasons) == 1 and None not in reasons:
        return f"{outcome.contender.name:20} not run: {reasons.pop()}"
    parts = []
    for row in rows:
        if row.name in outcome.failures:
            parts.append(f"{row.name} not run: {outcome.failures[row.name]}")
        else:
            parts.append(f"{row.name} {outcome.samples[row.name][-1].per_second:,.0f}/s")
    return f"{outcome.contender.name:20} {', '.join(parts)}"
