"""The engine's log lines and where they go."""

from __future__ import annotations

import io
import logging
import re
import sys

import pytest

from skitai import log


@pytest.fixture
def restored():
    saved = (log.engine.handlers[:], log.engine.level, log.engine.propagate)
    yield
    log.engine.handlers[:], log.engine.propagate = saved[0], saved[2]
    log.engine.setLevel(saved[1])


def test_line_has_date_level_process_and_text(restored):
    stream = io.StringIO()
    log.install("w0", stream)
    log.engine.warning("%d workers", 3)
    logging.getLogger("skitai.part").info("below")
    log.engine.debug("not shown")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[warning:w0\] 3 workers", first)
    assert second.endswith("[info:w0] below")


def test_date_follows_the_record():
    formatter = log.LineFormatter("m")
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": 86400.9})
    later = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "created": 3 * 86400.0})
    assert formatter.format(record) != formatter.format(later)
    assert formatter.format(record) == formatter.format(record)


def test_exceptions_are_written_below_the_line(restored):
    stream = io.StringIO()
    log.install("m", stream)
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError:
        log.engine.exception("failed")
    assert "[error:m] failed\nTraceback" in stream.getvalue()
    assert stream.getvalue().endswith("ZeroDivisionError: oops\n")


def test_installing_again_replaces(restored):
    first, second = io.StringIO(), io.StringIO()
    log.install("m", first)
    log.install("w1", second)
    log.engine.info("x")
    assert first.getvalue() == ""
    assert second.getvalue().endswith("[info:w1] x\n")
    assert log.engine.propagate is False


def test_an_exception_that_can_not_be_written_is_named():
    class Strange(Exception):
        @property
        def __suppress_context__(self):
            raise KeyError("no context")

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log.LineFormatter("w0"))
    try:
        raise Strange
    except Strange:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    handler.handle(record)
    assert "failed\nStrange, whose traceback can't be written: KeyError" in stream.getvalue()
