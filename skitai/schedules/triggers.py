"""When a job runs: ``CronTrigger``, ``IntervalTrigger``, ``StartTrigger``.

Nothing here looks at a clock: whoever asks tells the time, on the clock of the wall (seconds since
the epoch) and on the one that nobody sets (monotonic seconds).
"""

from __future__ import annotations

import math
import os
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Protocol

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from cronsim import CronSim

REBOOT = "@reboot"
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = "minute, hour, day of month, month, day of week"
LOCAL_ZONE = "/etc/localtime"
SET_BACK = 1.0  # seconds; less than that is a clock that is being corrected
ENOUGH = 0.9  # of the time between two runs: less is too soon after the last one


class Trigger(Protocol):
    """Says when a job is due."""

    def due(self, wall: float, monotonic: float) -> bool:
        """Whether a run is due. Runs that were missed are one."""

    def time_left(self, wall: float, monotonic: float) -> float:
        """Seconds until the next run, infinite when there is none."""


class CronTimes:
    """The moments of a cron line.

    What differs from real time in a zone is as in Debian's cron: with ``*`` in minute or hour a
    line goes on as if nothing was. Any other runs once: what falls into the hour that is left out
    in spring runs at its end, and what falls into the repeated hour of autumn at its first time.

    Parameters:
        expression: five fields, or a name such as ``@daily``; not ``@reboot``.
        timezone: name of a zone, as in ``Europe/Berlin``; empty for that of the machine.

    Raises ``ConfigError`` for what is none, and for what never comes.
    """

    def __init__(self, expression: str, timezone: str = "") -> None:
        from cronsim import CronSim, CronSimError  # services without cron jobs don't need it

        self._sim = CronSim
        self._fields = _fields_of(expression)
        self._zone = find_zone(timezone)
        try:
            self._iterate(0.0, reverse=False).__next__()
        except CronSimError as exc:
            raise ConfigError(
                f"cron expression {expression!r}: {exc}; its fields are {FIELDS}, e.g. "
                "'30 3 * * mon-fri'"
            ) from None
        except StopIteration:
            raise ConfigError(
                f"cron expression {expression!r} never comes: give a day that its month has"
            ) from None

    def after(self, moment: float) -> float:
        """The first moment after another, both in seconds since the epoch; infinite for none."""
        for found in self._iterate(moment, reverse=False):
            at = found.timestamp()
            # It may be one that is over, as its time of the day comes a second time in autumn.
            if at > moment:
                return at
        return math.inf

    def before(self, moment: float) -> float:
        """The last moment before another; minus infinity for none."""
        # Not from within a minute: cronsim 2.6 would leave that out.
        for found in self._iterate(math.ceil(moment / 60) * 60, reverse=True):
            at = found.timestamp()
            if at < moment:
                return at
        return -math.inf

    def _iterate(self, moment: float, *, reverse: bool) -> CronSim:
        return self._sim(self._fields, datetime.fromtimestamp(moment, self._zone), reverse=reverse)


class CronTrigger:
    """Runs at the moments of a cron line.

    When the clock has jumped forwards, or the machine was asleep, the runs of that time are one.
    When it was set back, a run is left out that would come sooner after the last one than the line
    wants: nothing runs twice, and nobody waits until the clock has caught up.

    Parameters:
        times: of the line.
        since: up to when runs have been started, in seconds since the epoch.
        wall, monotonic: now.
    """

    def __init__(self, times: CronTimes, since: float, wall: float, monotonic: float) -> None:
        self._times = times
        self._next = times.after(min(since, wall))
        self._ran: float | None = None
        self._offset = wall - monotonic

    def due(self, wall: float, monotonic: float) -> bool:
        """See ``Trigger``."""
        offset = wall - monotonic
        if self._offset - offset > SET_BACK:
            self._begin_anew(wall, monotonic)
        self._offset = offset
        if wall < self._next:
            return False
        self._ran = monotonic
        self._next = self._times.after(wall)
        return True

    def time_left(self, wall: float, monotonic: float) -> float:
        """See ``Trigger``."""
        return max(0.0, self._next - wall)

    def _begin_anew(self, wall: float, monotonic: float) -> None:
        at = self._times.after(wall)
        while self._ran is not None and at < math.inf:
            elapsed = monotonic + (at - wall) - self._ran
            if elapsed >= ENOUGH * (at - self._times.before(at)):
                break
            at = self._times.after(at)
        self._next = at


class IntervalTrigger:
    """Runs every so many seconds, counted from the start of the service.

    Parameters:
        seconds: between two runs; the first one is as long after the start.
        started: when the service started, monotonic.
        since: up to when runs have been started, monotonic.
    """

    def __init__(self, seconds: float, started: float, since: float) -> None:
        self._seconds = seconds
        self._started = started
        self._next = self._after(since)

    def due(self, wall: float, monotonic: float) -> bool:
        """See ``Trigger``."""
        if monotonic < self._next:
            return False
        self._next = self._after(monotonic)
        return True

    def time_left(self, wall: float, monotonic: float) -> float:
        """See ``Trigger``."""
        return max(0.0, self._next - monotonic)

    def _after(self, moment: float) -> float:
        passed = math.floor((moment - self._started) / self._seconds)
        at = self._started + (max(passed, 0) + 1) * self._seconds
        return at if at > moment else at + self._seconds


class StartTrigger:
    """Runs once, at the start of the service: ``@reboot``.

    Parameters:
        first: the service has just started; else it has run.
    """

    def __init__(self, first: bool) -> None:
        self._waits = first

    def due(self, wall: float, monotonic: float) -> bool:
        """See ``Trigger``."""
        waits, self._waits = self._waits, False
        return waits

    def time_left(self, wall: float, monotonic: float) -> float:
        """See ``Trigger``."""
        return 0.0 if self._waits else math.inf


def find_zone(name: str) -> tzinfo:
    """A time zone. Raises ``ConfigError`` for a name that nobody knows.

    Parameters:
        name: as in the database of zones; empty for the one of the machine: ``TZ``, or
            ``/etc/localtime``, or UTC.
    """
    from zoneinfo import ZoneInfo

    wanted = name or os.environ.get("TZ", "").removeprefix(":")
    if not wanted:
        try:
            with open(LOCAL_ZONE, "rb") as file:
                return ZoneInfo.from_file(file, "localtime")
        except (OSError, ValueError):
            wanted = "UTC"
    try:
        if os.path.isabs(wanted):
            with open(wanted, "rb") as file:
                return ZoneInfo.from_file(file, wanted)
        return ZoneInfo(wanted)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        what = f"timezone {name!r}" if name else f"the time zone TZ={wanted!r} of the environment"
        raise ConfigError(
            f"{what} is not in the machine's database of zones: give one as "
            "timezone='Europe/Berlin', or install tzdata"
        ) from None


def _fields_of(expression: str) -> str:
    """The five fields of an expression."""
    text = expression.strip()
    fields = MACROS.get(text.lower(), text)
    if fields.startswith("@"):
        raise ConfigError(
            f"cron expression {expression!r}: the names are {', '.join((*MACROS, REBOOT))}"
        )
    if len(fields.split()) != 5:
        raise ConfigError(
            f"cron expression {expression!r} has {len(fields.split())} fields, not 5: {FIELDS}, "
            "e.g. '30 3 * * mon-fri'; for seconds there is skitai.sched(seconds, job)"
        )
    return fields
