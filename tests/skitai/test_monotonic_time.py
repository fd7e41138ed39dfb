"""Whatever waits, measures or gives up does so by a clock that nobody can set."""

from __future__ import annotations

from pathlib import Path

SKITAI = Path(__file__).parents[2] / "skitai"
ROOMS = ("supervisor", "net", "server", "bus", "tasks", "executors", "upstream", "handlers")
# What they need the time of day for.
TIME_OF_DAY = {
    "server/clock.py": "the header Date",
    "server/access_log.py": "when a request came",
    "handlers/static_files.py": "how old a file is",
    "net/certificates.py": "whether a certificate has run out",
}


def test_rooms_with_timers_do_not_ask_for_the_time_of_day() -> None:
    asking = {
        str(path.relative_to(SKITAI))
        for room in ROOMS
        for path in (SKITAI / room).rglob("*.py")
        if "time.time()" in path.read_text() or "datetime.now" in path.read_text()
    }
    assert asking == set(TIME_OF_DAY)
