"""Log files: several writers, rotation by date, and disks that fail."""

from __future__ import annotations

import json
import logging
import os
import pwd
import re
import subprocess
import sys
import time

import pytest

from skitai import log
from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.log import files
from skitai.log.files import LogFile
from skitai.log.lines import JsonFormatter, file_of, prepare
from skitai.server.access_log import _matcher

DAY = 86_400


@pytest.fixture
def restored():
    loggers = [(item, item.handlers[:], item.propagate) for item in (log.engine, log.lines.app)]
    level = log.engine.level
    yield
    for item, handlers, propagate in loggers:
        for handler in item.handlers:
            if handler not in handlers:
                handler.close()
        item.handlers[:], item.propagate = handlers, propagate
    log.engine.setLevel(level)


@pytest.fixture
def make(tmp_path):
    made = []

    def open_one(kind="request", keep=30, **options):
        made.append(LogFile(str(tmp_path), kind, keep, **options))
        return made[-1]

    yield open_one
    for file in made:
        file.close()


@pytest.fixture
def on(monkeypatch):
    """Let log files believe in another date."""

    def set_date(day, clock="120000"):
        shown = {"%Y%m%d": day, "%H%M%S": clock}
        real = time.strftime

        def strftime(form, *moment):
            return real(form, *moment) if moment else shown.get(form, real(form))

        monkeypatch.setattr(files.time, "strftime", strftime)

    return set_date


def names(path):
    return sorted(item.name for item in path.iterdir())


def test_a_day_later_the_file_has_its_date(tmp_path, make, on):
    file = make()
    on("20240501")
    file.write(b"a\n")
    on("20240502")
    file.write(b"b\n")
    assert names(tmp_path) == ["request-20240501.log", "request.log"]
    assert (tmp_path / "request-20240501.log").read_bytes() == b"a\n"
    assert (tmp_path / "request.log").read_bytes() == b"b\n"


def test_the_server_log_is_rotated_once_a_month(tmp_path, make, on):
    file = make("server", monthly=True)
    for day in ("20240501", "20240531", "20240601"):
        on(day)
        file.write(day.encode() + b"\n")
    assert names(tmp_path) == ["server-20240531.log", "server.log"]
    assert (tmp_path / "server.log").read_bytes() == b"20240601\n"


def test_several_processes_rotate_once(tmp_path, make, on):
    first, second, third = make(), make(), make()

    def write(day, text, *writers):
        on(day)
        for file in writers:
            file.write(text)
            moment = time.mktime(time.strptime(day, "%Y%m%d"))
            os.utime(tmp_path / "request.log", (moment, moment))

    write("20240501", b"old\n", first, second, third)
    write("20240502", b"new\n", second, first)
    write("20240503", b"newest\n", third, first)  # the third has slept for a day
    assert names(tmp_path) == ["request-20240501.log", "request-20240502.log", "request.log"]
    assert (tmp_path / "request-20240501.log").read_bytes() == b"old\n" * 3
    assert (tmp_path / "request-20240502.log").read_bytes() == b"new\n" * 2
    assert (tmp_path / "request.log").read_bytes() == b"newest\n" * 2


def test_a_file_of_an_earlier_run_is_rotated_at_the_first_line(tmp_path, make):
    path = tmp_path / "request.log"
    path.write_bytes(b"old\n")
    os.utime(path, (time.time() - 3 * DAY,) * 2)
    day = time.strftime("%Y%m%d", time.localtime(time.time() - 3 * DAY))
    make().write(b"new\n")
    assert names(tmp_path) == [f"request-{day}.log", "request.log"]


def test_a_name_that_is_taken_gets_the_time(tmp_path, make, on):
    (tmp_path / "request-20240501.log").write_bytes(b"before\n")
    file = make()
    on("20240501")
    file.write(b"a\n")
    on("20240502", "000001")
    file.write(b"b\n")
    assert (tmp_path / "request-20240501-000001.log").read_bytes() == b"a\n"
    assert (tmp_path / "request-20240501.log").read_bytes() == b"before\n"


def test_a_clock_that_jumps_back_loses_nothing(tmp_path, make, on):
    file = make()
    for day in ("20240502", "20240501", "20240502"):
        on(day)
        file.write(day.encode() + b"\n")
    found = sorted(path.read_bytes() for path in tmp_path.iterdir())
    assert found == [b"20240501\n", b"20240502\n", b"20240502\n"]


def test_only_the_last_ones_are_kept(tmp_path, make, on):
    file = make(keep=3)
    (tmp_path / "request-notes.log").write_bytes(b"mine")
    for day in range(1, 9):
        on(f"202405{day:02}")
        file.write(b"x\n")
    kept = [f"request-2024050{day}.log" for day in (5, 6, 7)]
    assert names(tmp_path) == [*kept, "request-notes.log", "request.log"]


def test_a_file_that_was_moved_is_opened_anew_when_told(tmp_path, make):
    file = make()
    file.write(b"a\n")
    (tmp_path / "request.log").rename(tmp_path / "moved")
    file.write(b"b\n")
    file.reopen()
    file.write(b"c\n")
    assert (tmp_path / "moved").read_bytes() == b"a\nb\n"
    assert (tmp_path / "request.log").read_bytes() == b"c\n"


FULL_DISK = """
import resource, signal, sys
from skitai.log.files import LogFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = LogFile(sys.argv[1], "request", 3)
file.write(b"first\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
for _ in range(3):
    file.write(b"lost line\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write(b"last\\n")
file.close()
"""


def test_a_full_disk_is_told_once_and_lost_lines_are_counted(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    told = done.stderr.splitlines()
    assert len(told) == 2, done.stderr
    assert "request.log can't be written (File too large): lines are lost" in told[0]
    assert "request.log is written again, 3 lines are lost" in told[1]
    # What had begun is a line of its own, and what follows is whole.
    assert (tmp_path / "request.log").read_bytes() == b"first\nlost\nlast\n"


def test_a_directory_that_vanishes_harms_nothing(tmp_path, capfd):
    file = LogFile(str(tmp_path / "gone"), "app", 3)
    file.write(b"x\n")
    (tmp_path / "gone").mkdir()
    file.write(b"y\n")
    file.close()
    assert (tmp_path / "gone" / "app.log").read_bytes() == b"y\n"
    assert "can't be written (No such file" in capfd.readouterr().err


def test_a_directory_that_can_not_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"log_path: .*file.* can't be written"):
        prepare(Settings(log_path=tmp_path / "file" / "logs"))


def test_only_the_named_logs_go_to_files(tmp_path):
    settings = Settings(log_path=tmp_path, file_loggings=["request"])
    assert file_of(settings, "app") is None
    assert file_of(settings, "request") is not None
    prepare(settings)
    assert names(tmp_path) == ["request.log"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_files_belong_to_whom_the_workers_run_as(tmp_path):
    prepare(Settings(log_path=tmp_path / "logs", user="nobody"))
    nobody = pwd.getpwnam("nobody").pw_uid
    paths = [tmp_path / "logs", *(tmp_path / "logs").iterdir()]
    assert len(paths) == 4
    assert {path.stat().st_uid for path in paths} == {nobody}


@pytest.mark.parametrize(
    ("name", "value"),
    [("file_loggings", "requests"), ("log_format", "xml"), ("log_off", ["css"]), ("log_off", "*")],
)
def test_wrong_settings_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be"):
        Settings(**{name: value})


def test_app_and_server_lines_go_to_their_files(tmp_path, restored):
    settings = Settings(log_path=tmp_path)
    log.install("w0", settings=settings)
    log.engine.info("from the engine")
    logging.getLogger("skitai.app").warning("from \x1b the app")
    log.reopen()
    log.engine.info("after")
    assert re.fullmatch(
        r"\S+ \S+ \[info:w0\] from the engine\n\S+ \S+ \[info:w0\] after\n",
        (tmp_path / "server.log").read_text(),
    )
    assert "[warning:w0] from" in (tmp_path / "app.log").read_text()


def test_json_lines_can_be_read_whatever_they_say():
    formatter = JsonFormatter("w1")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.makeLogRecord(
            {"msg": "a\n\x85b %s", "args": ("c",), "levelname": "ERROR", "exc_info": sys.exc_info()}
        )
    (text,) = formatter.format(record).splitlines()
    line = json.loads(text)
    assert (line["level"], line["process"], line["message"]) == ("error", "w1", "a\n\x85b c")
    assert line["exception"].endswith("ValueError: two\nlines")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", line["time"])


def test_patterns_of_silenced_paths():
    muted = _matcher(("*.css", "/health", "/img/*", "/*"))
    assert [muted(path) for path in ("/a.css", "/healthy", "/img/x", "/")] == [True] * 3 + [False]
    assert not _matcher(("*.css",))("/a.css.html")
