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

from benchmarks.files import provide
from benchmarks.launcher import Answer, LaunchError, Memory, Server, ask, free_port
from benchmarks.load import Load, LoadError, drive
from benchmarks.rows import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Contender
    from benchmarks.environment import Cores
    from benchmarks.plan import Plan
    from benchmarks.rows import Case, Request, Row
    from benchmarks.services import Services

WARM_UP_SECONDS = 1
# Frameworks differ in how they refuse wrong input.
REFUSALS = (400, 422)


class WrongAnswer(Exception):
    """A contender answered something else than the row asks for."""


@dataclass(frozen=True)
class Sample:
    """One row of one contender in one round.

    `microseconds` is the servers' CPU time for one request; the shares are CPU time of server, load
    generator and what the server asked over the time that passed; latencies are in milliseconds.
    """

    per_second: float
    microseconds: float
    server_share: float
    client_share: float
    p50: float
    p99: float
    faults: dict[str, int]
    service_share: float = 0.0


@dataclass
class Outcome:
    """Everything measured of one contender; `failures` gives a reason for each row not run."""

    contender: Contender
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    startups: list[float] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)


def measure(
    plan: Plan, *, root: Path, cores: Cores, services: Services, say: Callable[[str], None]
) -> list[Outcome]:
    """Run the plan's rows; a contender or row that fails is not tried in later rounds.

    `services` run already; `say` gets the progress.
    """
    outcomes = [_outcome(contender, services) for contender in plan.contenders]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        provide(Path(scratch))
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
                    _visit(outcome, rows, plan, root, cores, services, Path(scratch))
                except LaunchError as exc:
                    outcome.failures.update({row.name: str(exc) for row in rows})
                say(f"round {number}/{plan.rounds}  {_progress(outcome, rows)}")
    return outcomes


def _outcome(contender: Contender, services: Services) -> Outcome:
    """Return an empty outcome; rows whose service does not run have failed already."""
    lost = [row for row in contender.rows() if row.service in services.failures]
    return Outcome(contender, failures={row.name: services.failures[row.service] for row in lost})


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


def sample(load: Load, server_seconds: float, service_seconds: float = 0.0) -> Sample:
    """Turn one run of the load generator, and the CPU time of the others in it, into a Sample."""
    return Sample(
        per_second=load.requests / load.seconds,
        microseconds=server_seconds / load.requests * 1e6,
        server_share=server_seconds / load.seconds,
        client_share=load.client_seconds / load.seconds,
        p50=load.p50,
        p99=load.p99,
        faults=load.faults,
        service_share=service_seconds / load.seconds,
    )


def launch(
    contender: Contender, *, root: Path, core: int, services: Services, scratch: Path
) -> Server:
    """Start a contender on a free port; its output goes to a file in `scratch`."""
    port = free_port()
    place = {"port": port, "scratch": scratch}
    words = [word.format(**place) for word in contender.command]
    return Server(
        [sys.executable, *words],
        port=port,
        core=core,
        folder=root,
        log=scratch / f"{contender.name}.log",
        environment={
            **services.environment,
            **{name: value.format(**place) for name, value in contender.environment.items()},
        },
    )


def _visit(
    outcome: Outcome,
    rows: list[Row],
    plan: Plan,
    root: Path,
    cores: Cores,
    services: Services,
    scratch: Path,
) -> None:
    """Start the contender, measure start-up and memory, then each row; raises LaunchError."""
    contender, core = outcome.contender, cores.server
    with launch(contender, root=root, core=core, services=services, scratch=scratch) as server:
        outcome.startups.append(server.wait(rows[0].probe))
        outcome.memories.append(server.memory())
        for row in rows:
            _run(outcome, row, server, plan, cores.client, services)


def _run(
    outcome: Outcome, row: Row, server: Server, plan: Plan, core: int, services: Services
) -> None:
    """Check and warm up the row, then drive it and keep the sample or the reason for none."""

    def driven(seconds: int) -> Sample:
        before, asked = server.cpu_seconds(), services.cpu_seconds(row.service)
        load = drive(
            server.port,
            request,
            seconds=seconds,
            connections=plan.connections,
            core=core,
            generator=row.generator,
            size=row.size,
        )
        used = server.cpu_seconds() - before
        return sample(load, used, services.cpu_seconds(row.service) - asked)

    try:
        request = check(row, lambda request: ask(server.port, request))
        driven(WARM_UP_SECONDS)
        taken = driven(plan.seconds)
    except (WrongAnswer, LoadError) as exc:
        outcome.failures[row.name] = str(exc)
    else:
        outcome.samples.setdefault(row.name, []).append(taken)


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
