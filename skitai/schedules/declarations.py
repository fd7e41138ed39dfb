"""What a launch script declares: ``skitai.background_task``, ``skitai.cron``, ``skitai.sched``.

The service has one ``Schedules``; the process of jobs carries out what is in it.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skitai.config import SAFE_WORD
from skitai.errors import ConfigError
from skitai.schedules.triggers import (
    REBOOT,
    CronTimes,
    CronTrigger,
    IntervalTrigger,
    StartTrigger,
    Trigger,
    find_zone,
)

if TYPE_CHECKING:
    from pathlib import Path

Command = str | Sequence[str]

MOST_JOBS = 100
SKIP, QUEUE, ALLOW = OVERLAPS = ("skip", "queue", "allow")
STOP_TIMEOUT = 10.0  # seconds
SHORTEST = 0.1  # seconds between the runs of a job
# A word of these alone is no program of its own; all other text that needs a shell has a sign.
BUILTINS = frozenset(
    ("cd", "command", "eval", "exec", "exit", "export", "set", "trap", "ulimit", "umask", "wait")
)
SHELL_SIGNS = re.compile(r"[|&;<>()$`*?\[\]#~%{}!=\n]")


@dataclass(frozen=True)
class Moment:
    """When the process of jobs begins its work.

    Attributes:
        wall, monotonic: now, in seconds.
        started: when the service started, monotonic.
        since_wall, since_monotonic: up to when another process before has started runs; the same
            as now if there was none.
        first: there was none.
    """

    wall: float
    monotonic: float
    started: float
    since_wall: float
    since_monotonic: float
    first: bool


@dataclass(frozen=True)
class Job:
    """Something that runs once per service.

    Attributes:
        name: unique.
        command: a program and its arguments, or text for ``/bin/sh``; None for a function.
        function: runs in a process of its own; None for a command.
        when: for people: ``always``, ``every 5 s`` or the cron line.
        trigger: makes what says when it is due; None when it always runs.
        overlap: what becomes of a run that is due while the one before goes on.
        timeout: seconds after which a run is ended; infinite for none.
        jitter: seconds that a run may begin later, by chance.
        stop_timeout: seconds between SIGTERM and SIGKILL.
        cwd: where it runs.
        env: variables in addition to those of the service.
        takes_was: the function is called with a ``was``.
        app: the name of the app that it is of; empty for the first one that has any.
    """

    name: str
    command: str | tuple[str, ...] | None
    function: Callable[..., Any] | None
    when: str
    trigger: Callable[[Moment], Trigger] | None
    overlap: str = SKIP
    timeout: float = math.inf
    jitter: float = 0.0
    stop_timeout: float = STOP_TIMEOUT
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    takes_was: bool = False
    app: str = ""


class Schedules:
    """The jobs of a service, in the order they were declared.

    Parameters:
        directory: gives the one that commands run in, absolute.
        may_declare: whether the service has not begun to run.
    """

    def __init__(self, directory: Callable[[], Path], may_declare: Callable[[], bool]) -> None:
        self._directory = directory
        self._may_declare = may_declare
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def background_task(
        self,
        name: str,
        command: Command,
        *,
        stop_timeout: float = STOP_TIMEOUT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Keep a command running beside the workers, once per service.

        It starts when the service is ready, and again when it ends, whatever its exit code: at
        once, then after a pause that grows up to 5 seconds. A reload restarts it. Its output goes
        to the log. With the service it ends, and all that it has started.

        Parameters:
            name: for the log; letters, digits, ``.``, ``_`` and ``-``, unique among all jobs.
            command: a program and its arguments, or text as for a shell. It runs in the directory
                of the launch script; a program ``*.py`` runs by the interpreter of the service.
            stop_timeout: seconds between SIGTERM and SIGKILL when it has to end. Default: 10.
            env: variables in addition to those of the service.

        Raises `ConfigError` for what can't be, and after ``skitai.run``.
        """
        what = f"skitai.background_task({name!r})"
        self._add(
            Job(
                self._checked_name(what, name), self._program(what, command), None, "always", None,
                stop_timeout=_seconds(what, "stop_timeout", stop_timeout, 10),
                cwd=str(self._directory()), env=_variables(what, env),
            )
        )  # fmt: skip

    def cron(
        self,
        expression: str,
        job: Command | Callable[[], Any] | None = None,
        *,
        name: str | None = None,
        timezone: str = "",
        **options: Any,
    ) -> Any:
        """Run a command or a function at the times of a cron line, once per service.

        Parameters:
            expression: minute, hour, day of month, month and day of week, with names, lists, ranges
                and steps: ``"*/10 8-18 * * mon-fri"``. Or ``@hourly``, ``@daily``, ``@weekly``,
                ``@monthly``, ``@yearly``; ``@reboot`` runs once, when the service is ready.
            job: a command, see `background_task`, or a function, plain or ``async``, which runs in
                a process of its own: without arguments, or with ``was``, by which it has databases,
                services and mail as a request has. Left out: decorates a function.
            name: for the log, unique. Default: that of the function or the program.
            timezone: in which the times are meant, as in ``"Europe/Berlin"``. Default: that of the
                machine.
            overlap: what becomes of a run while the one before goes on: ``"skip"`` leaves it out
                (default), ``"queue"`` lets one wait, ``"allow"`` starts it, up to 10 at once.
            timeout: seconds after which a run is ended. Default: none.
            jitter: a run begins up to so many seconds later, by chance. Default: 0.
            stop_timeout: seconds between SIGTERM and SIGKILL. Default: 10.
            env: variables in addition to those of the service, for a command.
            app: the app whose ``was`` a function gets, by its name. Default: the first one.

        Returns ``job``. Raises `ConfigError` for what can't be, and after ``skitai.run``.
        """
        what = f"skitai.cron({expression!r})"
        if not isinstance(expression, str):
            raise ConfigError(f"{what}: the expression is text, e.g. '30 3 * * *'")
        if not isinstance(timezone, str):
            raise ConfigError(f"{what}: timezone={timezone!r} must be a name: 'Europe/Berlin'")
        trigger: Callable[[Moment], Trigger]
        if expression.strip().lower() == REBOOT:
            if timezone:
                find_zone(timezone)
            trigger = _at_start
        else:
            times = CronTimes(expression, timezone)
            trigger = lambda now: CronTrigger(times, now.since_wall, now.wall, now.monotonic)  # noqa: E731 - it closes over times
        when = f"{expression.strip()} {timezone}".rstrip()
        return self._add_scheduled(what, job, name, when, trigger, options)

    def sched(
        self,
        seconds: float,
        job: Command | Callable[[], Any] | None = None,
        *,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        """Run a command or a function every so many seconds, once per service.

        The first run is as long after the start; the rhythm stays when a run takes long, and
        through reloads.

        Parameters:
            seconds: at least 0.1.
            job, name, options: as for `cron`.

        Returns ``job``. Raises `ConfigError` for what can't be, and after ``skitai.run``.
        """
        what = f"skitai.sched({seconds!r})"
        every = _seconds(what, "seconds", seconds, 60)
        if every < SHORTEST:
            raise ConfigError(f"{what}: seconds={seconds!r} must be at least {SHORTEST}: give 60")
        return self._add_scheduled(
            what, job, name, f"every {every:g} s",
            lambda now: IntervalTrigger(every, now.started, now.since_monotonic), options,
        )  # fmt: skip

    def check_apps(self, names: Sequence[str]) -> None:
        """Raise `ConfigError` for a job of an app that is not mounted.

        Parameters:
            names: of those that are.
        """
        for job in self:
            if job.app and job.app not in names:
                raise ConfigError(
                    f"job {job.name!r}: app={job.app!r} is not mounted, there are "
                    f"{', '.join(map(repr, names)) or 'none'}"
                )

    # Making jobs

    def _add_scheduled(
        self,
        what: str,
        job: Command | Callable[[], Any] | None,
        name: str | None,
        when: str,
        trigger: Callable[[Moment], Trigger],
        options: Mapping[str, Any],
    ) -> Any:
        settings = _options(what, options)
        if job is None:
            return lambda function: self._add_scheduled(
                what, _callable(what, function), name, when, trigger, options
            )
        command = function = None
        if callable(job):
            function = job
            settings["takes_was"] = _takes_was(what, job)
            if settings["env"]:
                raise ConfigError(f"{what}: env is for commands, a function has the service's")
        else:
            command = self._program(what, job)
        if settings["app"] and not settings.get("takes_was"):
            raise ConfigError(f"{what}: app={settings['app']!r} is for functions that take was")
        own_name = self._checked_name(what, _name_of(job) if name is None else name)
        self._add(
            Job(
                own_name, command, function, when, trigger, cwd=str(self._directory()), **settings
            )
        )  # fmt: skip
        return job

    def _add(self, job: Job) -> None:
        if len(self._jobs) == MOST_JOBS:
            raise ConfigError(
                f"job {job.name!r} is one too many, a service may have {MOST_JOBS}: let one job do "
                "what several did"
            )
        self._jobs[job.name] = job

    def _checked_name(self, what: str, name: object) -> str:
        if not self._may_declare():
            raise ConfigError(f"{what} comes after skitai.run(): call it in the script before that")
        if not isinstance(name, str) or not SAFE_WORD.fullmatch(name):
            raise ConfigError(
                f"{what}: name={name!r} must be up to 64 letters, digits, '.', '_' and '-': give "
                "one as name='nightly-report'"
            )
        if name in self._jobs:
            raise ConfigError(
                f"{what}: name={name!r} is taken by the job that runs {self._jobs[name].when}: "
                f"give another, e.g. name='{name[:62]}-2'"
            )
        return name

    def _program(self, what: str, command: object) -> str | tuple[str, ...]:
        """What to run: a program and its arguments, or text that needs a shell."""
        if isinstance(command, str):
            try:
                words = shlex.split(command)
            except ValueError as exc:
                raise ConfigError(f"{what}: command {command!r} can't be read: {exc}") from None
        elif isinstance(command, Sequence) and all(isinstance(word, str) for word in command):
            words = [*command]
        else:
            raise ConfigError(
                f"{what}: {command!r} is neither a command, as text or a list of texts, nor a "
                "function"
            )
        if not words or not words[0]:
            raise ConfigError(f"{what}: command {command!r} is empty: give a program")
        if not all(_is_text(word) for word in words):
            raise ConfigError(f"{what}: command {command!r} has signs that no command may have")
        if words[0].endswith(".py"):
            if not (self._directory() / words[0]).is_file():
                raise ConfigError(
                    f"{what}: {words[0]!r} is not in {self._directory()}: give its path from there"
                )
            if not isinstance(command, str) or not SHELL_SIGNS.search(command):
                return (sys.executable, *words)
            return f"{shlex.quote(sys.executable)} {command}"
        if isinstance(command, str) and (SHELL_SIGNS.search(command) or words[0] in BUILTINS):
            return command
        return (self._found(what, words[0]), *words[1:])

    def _found(self, what: str, program: str) -> str:
        path = str(self._directory() / program) if os.path.dirname(program) else program
        if shutil.which(path) is None:
            raise ConfigError(
                f"{what}: there is no program {program!r}: install it, or give its path from "
                f"{self._directory()}"
            )
        return path


def _at_start(now: Moment) -> Trigger:
    return StartTrigger(now.first)


def _options(what: str, given: Mapping[str, Any]) -> dict[str, Any]:
    known = ("overlap", "timeout", "jitter", "stop_timeout", "env", "app")
    for key, value in given.items():
        if key not in known:
            raise ConfigError(
                f"{what}: unknown option {key!r} with value {value!r}, there are name, timezone "
                f"(of cron) and {', '.join(known)}"
            )
    overlap = given.get("overlap", SKIP)
    if overlap not in OVERLAPS:
        raise ConfigError(f"{what}: overlap={overlap!r} must be one of {', '.join(OVERLAPS)}")
    app = "" if given.get("app") is None else given["app"]
    if not isinstance(app, str):
        raise ConfigError(f"{what}: app={app!r} must be the name of an app that is mounted")
    timeout = given.get("timeout")
    return {
        "overlap": overlap,
        "timeout": math.inf
        if timeout is None
        else _seconds(what, "timeout", timeout, 300, above=True),
        "jitter": _seconds(what, "jitter", given.get("jitter", 0), 30),
        "stop_timeout": _seconds(what, "stop_timeout", given.get("stop_timeout", STOP_TIMEOUT), 10),
        "env": _variables(what, given.get("env")),
        "app": app,
    }


def _seconds(
    what: str, setting: str, value: object, example: float, *, above: bool = False
) -> float:
    wrong = isinstance(value, bool) or not isinstance(value, (int, float))
    if wrong or not 0 <= value < math.inf or (above and value == 0):  # type: ignore[operator]  # a number
        floor = "above 0" if above else "of at least 0"
        raise ConfigError(
            f"{what}: {setting}={value!r} must be a number of seconds {floor}, e.g. {example:g}"
        )
    return float(value)  # type: ignore[arg-type]  # a number


def _variables(what: str, env: object) -> dict[str, str]:
    if env is None:
        return {}
    pairs = env.items() if isinstance(env, Mapping) else [(None, None)]
    if not all(_is_text(word) for pair in pairs for word in pair):
        raise ConfigError(f"{what}: env={env!r} must be a dict of texts, e.g. {{'LEVEL': '3'}}")
    variables = dict(pairs)
    for name in variables:
        if not name or "=" in name:
            raise ConfigError(f"{what}: env has {name!r}, which is no name of a variable")
    return variables


def _is_text(word: object) -> bool:
    """Whether the system can take it as an argument or in the environment."""
    try:
        return isinstance(word, str) and b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        return False


def _callable(what: str, function: object) -> Callable[[], Any]:
    if not callable(function):
        raise ConfigError(f"{what} must decorate a function, not {function!r}")
    return function


def _takes_was(what: str, function: Callable[..., Any]) -> bool:
    """Whether a function wants a ``was``. Raises ``ConfigError`` when it wants something else."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{what}: {_name_of(function)} is a generator and would never run")
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function of C that does not tell
        return False
    if "was" in signature.parameters and _can_take(signature, None):
        return True
    if not _can_take(signature):
        raise ConfigError(
            f"{what}: {_name_of(function)} is called without arguments, or with was: bind others "
            "by functools.partial"
        )
    return False


def _can_take(signature: inspect.Signature, *args: object) -> bool:
    try:
        signature.bind(*args)
    except TypeError:
        return False
    return True


def _name_of(job: Any) -> str:
    """The name of a function or of a program."""
    if callable(job):
        inner = getattr(job, "func", job)  # of a partial
        return str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    words = shlex.split(job) if isinstance(job, str) else list(job)
    stem = os.path.basename(words[0]).removesuffix(".py") if words else ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:64]
