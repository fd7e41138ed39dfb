"""When jobs run: cron lines, time zones, and clocks that jump."""

from __future__ import annotations

import itertools
import math
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from skitai.errors import ConfigError
from skitai.schedules.triggers import (
    CronTimes,
    CronTrigger,
    IntervalTrigger,
    StartTrigger,
    find_zone,
)

HOUR = 3600.0
DAY = 24 * HOUR


def moment(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def following(expression: str, start: str, zone: str, count: int) -> list[str]:
    """The next moments, as the clocks of the zone show them."""
    times, at, found = CronTimes(expression, zone), moment(start, zone), []
    for _ in range(count):
        at = times.after(at)
        found.append(datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %m-%d %H:%M %Z"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 3 * * *", ["Fri 11-20 03:30", "Sat 11-21 03:30"]),
        ("*/20 * * * *", ["Thu 11-19 10:20", "Thu 11-19 10:40", "Thu 11-19 11:00"]),
        ("5,35 9-10 * * *", ["Thu 11-19 10:05", "Thu 11-19 10:35", "Fri 11-20 09:05"]),
        ("0 22-23/1 * * mon-fri", ["Thu 11-19 22:00", "Thu 11-19 23:00", "Fri 11-20 22:00"]),
        ("0 0 * * SUN", ["Sun 11-22 00:00", "Sun 11-29 00:00"]),
        ("0 0 * * 7", ["Sun 11-22 00:00"]),
        ("0 12 1 jan,jul *", ["Fri 01-01 12:00", "Thu 07-01 12:00"]),
        ("0 0 29 2 *", ["Tue 02-29 00:00"]),
        ("0 6 13 * fri", ["Fri 11-20 06:00", "Fri 11-27 06:00"]),
        ("0 0 L * *", ["Mon 11-30 00:00", "Thu 12-31 00:00"]),
        ("@hourly", ["Thu 11-19 11:00", "Thu 11-19 12:00"]),
        ("@daily", ["Fri 11-20 00:00"]),
        ("@midnight", ["Fri 11-20 00:00"]),
        ("@weekly", ["Sun 11-22 00:00"]),
        (" @Monthly ", ["Tue 12-01 00:00"]),
        ("@yearly", ["Fri 01-01 00:00"]),
        ("@annually", ["Fri 01-01 00:00"]),
    ],
)
def test_lines_come_at_their_times(expression, expected):
    found = following(expression, "2026-11-19T10:00:00", "UTC", len(expected))
    assert found == [f"{text} UTC" for text in expected]


def test_the_time_between_two_seconds_belongs_to_the_first():
    times = CronTimes("* * * * *", "UTC")
    assert times.after(moment("2026-11-19T10:00:59.999")) == moment("2026-11-19T10:01:00")
    assert times.after(moment("2026-11-19T10:01:00")) == moment("2026-11-19T10:02:00")
    assert times.before(moment("2026-11-19T10:01:00")) == moment("2026-11-19T10:00:00")
    assert times.before(moment("2026-11-19T10:01:00.500")) == moment("2026-11-19T10:01:00")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # From 02:00 on clocks show 03:00.
        ("30 2 * * *", ["Sun 03-29 03:00 CEST", "Mon 03-30 02:30 CEST"]),
        ("0,30 2 * * *", ["Sun 03-29 03:00 CEST", "Mon 03-30 02:00 CEST"]),
        ("30 1,3 * * *", ["Sun 03-29 01:30 CET", "Sun 03-29 03:30 CEST", "Mon 03-30 01:30 CEST"]),
        ("30 * * * *", ["Sun 03-29 00:30 CET", "Sun 03-29 01:30 CET", "Sun 03-29 03:30 CEST"]),
    ],
)
def test_the_hour_that_spring_leaves_out(expression, expected):
    found = following(expression, "2026-03-29T00:00:00", "Europe/Berlin", len(expected))
    assert found == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # At 03:00 clocks show 02:00 again.
        ("30 2 * * *", ["Sun 10-25 02:30 CEST", "Mon 10-26 02:30 CET"]),
        ("30 */1 * * *", ["Sun 10-25 02:30 CEST", "Sun 10-25 02:30 CET", "Sun 10-25 03:30 CET"]),
        ("0 2,3 * * *", ["Sun 10-25 02:00 CEST", "Sun 10-25 03:00 CET", "Mon 10-26 02:00 CET"]),
    ],
)
def test_the_hour_that_autumn_repeats(expression, expected):
    found = following(expression, "2026-10-25T01:45:00", "Europe/Berlin", len(expected))
    assert found == expected


def test_a_time_of_the_repeated_hour_does_not_come_again_when_it_is_asked_for_there():
    times = CronTimes("30 2 * * *", "Europe/Berlin")
    second = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert times.after(second) == moment("2026-10-26T02:30", "Europe/Berlin")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "*/15 * * * *", "0 */2 * * *", "15 1-3 * * *"]
)
def test_moments_always_go_on(zone, expression):
    times, at = CronTimes(expression, zone), moment("2026-01-01T00:00:00", zone)
    moments = [at := times.after(at) for _ in range(800)]
    assert all(one < other for one, other in itertools.pairwise(moments))
    assert all(times.after(one - 1e-3) == one for one in moments)


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("61 * * * *", "", "Bad minute"),
        ("* * * * funday", "", "minute, hour, day of month, month, day of week"),
        ("0 0 31 2 *", "", "cron expression '0 0 31 2 *'"),
        ("* * * *", "", "has 4 fields, not 5"),
        ("0 0 * * * *", "", "for seconds there is skitai.sched"),
        ("", "", "has 0 fields"),
        ("@fortnightly", "", "@hourly, @daily"),
        ("* * * * *", "Europe/Atlantis", "timezone 'Europe/Atlantis' is not in"),
        ("* * * * *", "../../etc/passwd", "is not in the machine's database"),
    ],
)
def test_what_is_no_line_is_refused(expression, zone, words):
    with pytest.raises(ConfigError) as caught:
        CronTimes(expression, zone)
    assert words in str(caught.value)


def test_without_a_zone_it_is_that_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", ":Asia/Kolkata")
    assert find_zone("") == ZoneInfo("Asia/Kolkata")
    monkeypatch.setenv("TZ", "Nowhere/Land")
    with pytest.raises(ConfigError, match="TZ='Nowhere/Land'"):
        find_zone("")
    monkeypatch.delenv("TZ")
    local = datetime(2026, 7, 1, tzinfo=timezone.utc)
    assert local.astimezone(find_zone("")).utcoffset() == local.astimezone().utcoffset()


# Triggers


class Clock:
    """Time as it passes, and as somebody sets it."""

    def __init__(self, start: str) -> None:
        self.wall = moment(start)
        self.monotonic = 5000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def trigger(self, expression: str, since: float | None = None) -> CronTrigger:
        times = CronTimes(expression, "UTC")
        return CronTrigger(times, since or self.wall, self.wall, self.monotonic)

    def runs(self, trigger: CronTrigger, seconds: float, step: float = 10.0) -> list[str]:
        """When it is due in a time, as the clock then shows."""
        found = []
        for _ in range(math.ceil(seconds / step)):
            self.passes(step)
            if trigger.due(self.wall, self.monotonic):
                found.append(datetime.fromtimestamp(self.wall, timezone.utc).strftime("%d %H:%M"))
        return found


def test_a_line_runs_at_each_of_its_times_once():
    clock = Clock("2026-11-19T09:58:55")
    trigger = clock.trigger("*/2 * * * *")
    assert trigger.time_left(clock.wall, clock.monotonic) == 65
    assert clock.runs(trigger, 300) == ["19 10:00", "19 10:02"]


def test_runs_that_were_missed_are_one():
    clock = Clock("2026-11-19T10:00:30")
    trigger = clock.trigger("* * * * *")
    clock.wall += 3 * HOUR  # it was asleep, or the clock was set
    assert clock.runs(trigger, 120) == ["19 13:00", "19 13:01", "19 13:02"]


def test_what_was_due_while_no_process_of_jobs_was_there_runs_once():
    clock = Clock("2026-11-19T10:00:30")
    trigger = clock.trigger("* * * * *", since=clock.wall - 200)
    assert trigger.time_left(clock.wall, clock.monotonic) == 0
    assert clock.runs(trigger, 60) == ["19 10:00", "19 10:01"]


def test_a_clock_that_is_set_back_lets_nothing_run_twice():
    clock = Clock("2026-11-19T09:59:30")
    daily, hourly = clock.trigger("0 10 * * *"), clock.trigger("0 * * * *")
    assert clock.runs(daily, 60) == ["19 10:00"]
    clock.passes(-60)
    assert clock.runs(hourly, 60) == ["19 10:00"]
    clock.wall -= 300
    assert clock.runs(daily, 2 * HOUR) == []
    clock.passes(-2 * HOUR)
    assert clock.runs(hourly, 1.5 * HOUR) == ["19 11:00"]


def test_lines_that_run_often_do_not_wait_until_a_clock_has_caught_up():
    clock = Clock("2026-11-19T09:59:30")
    trigger = clock.trigger("*/5 * * * *")
    assert clock.runs(trigger, 400) == ["19 10:00", "19 10:05"]
    clock.wall -= 5 * HOUR
    assert clock.runs(trigger, 600) == ["19 05:10", "19 05:15"]


def test_a_clock_that_was_wrong_by_years_is_no_reason_to_wait_for_years():
    clock = Clock("2036-11-19T09:59:30")
    trigger = clock.trigger("0 10 * * *")
    assert clock.runs(trigger, 60) == ["19 10:00"]
    clock.wall = moment("2026-11-19T09:50:00")
    assert clock.runs(trigger, 2.5 * DAY, 60) == ["20 10:00", "21 10:00"]


def test_a_clock_that_is_corrected_by_less_than_a_second_changes_nothing():
    clock = Clock("2026-11-19T09:59:55")
    trigger = clock.trigger("* * * * *")
    assert clock.runs(trigger, 5, 5) == ["19 10:00"]
    clock.wall -= 0.9
    assert clock.runs(trigger, 30) == []


def test_an_interval_keeps_its_rhythm():
    trigger = IntervalTrigger(10, started=100.0, since=100.0)
    assert trigger.time_left(0, 100.0) == 10
    assert not trigger.due(0, 109.9)
    assert trigger.due(0, 110.4)
    assert trigger.time_left(0, 110.4) == pytest.approx(9.6)
    assert trigger.due(0, 147.0), "missed runs are one"
    assert not trigger.due(0, 149.0)
    assert trigger.due(0, 150.0)


def test_an_interval_goes_on_in_the_next_process_of_jobs():
    assert IntervalTrigger(10, started=100.0, since=118.0).time_left(0, 119.0) == 1
    assert IntervalTrigger(10, started=100.0, since=118.0).due(0, 121.0), "due in between"
    assert IntervalTrigger(3600, started=100.0, since=3700.0).time_left(0, 3700.0) == 3600
    assert IntervalTrigger(0.1, started=100.0, since=100.3).due(0, 100.5)


def test_what_runs_at_the_start_runs_then_only():
    first, later = StartTrigger(True), StartTrigger(False)
    assert first.time_left(0, 0) == 0
    assert first.due(0, 0)
    assert not first.due(0, 0)
    assert first.time_left(0, 0) == math.inf
    assert not later.due(0, 0)
