"""The request log over real connections: one line a request, nothing forged, nothing lost."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time

import pytest
from serving import Gate, Serving, Toy, answer, happens, until

from skitai.server import access_log
from skitai.server.access_log import AccessLog

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[request:w3\] 127\.0\.0\.1 (?P<method>\S+) (?P<target>.+) "
    r"HTTP/(?P<version>\S+) (?P<received>\d+) (?P<status>\d{3}) (?P<sent>\d+) [\d.]+ms "
    r'"(?P<agent>.*)" (?P<host>\S+) "(?P<referer>.*)"'
)


@pytest.fixture
def written(tmp_path):
    """An access log and a function that ends it and gives its lines."""
    descriptor = os.open(tmp_path / "log", os.O_CREAT | os.O_RDWR)
    log = AccessLog(descriptor, "w3")

    def lines():
        log.close()
        return [LINE.fullmatch(line) for line in (tmp_path / "log").read_text().splitlines()]

    yield log, lines
    os.close(descriptor)


def test_every_answer_gets_a_line_with_what_was_asked_and_sent(written):
    log, lines = written
    app = Toy()
    app.loop("/a", lambda exchange: answer(exchange, b"hello", 201))
    with Serving(app, log=log) as serving:
        client = serving.connect()
        client.get("/a?x=1", "User-Agent: me", "Referer: http://r/")
        client.send("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", body=b"abc")
        client.read("POST")
        client.get("/none")
    found = lines()
    first = found[0].groupdict()
    assert (first["method"], first["target"], first["status"]) == ("GET", "/a?x=1", "201")
    assert (first["sent"], first["agent"], first["referer"]) == ("5", "me", "http://r/")
    assert (found[1]["received"], found[1]["host"]) == ("3", "h")
    assert found[2]["status"] == "404"


def test_a_header_can_not_forge_a_line(written):
    log, lines = written
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b""))
    with Serving(app, log=log) as serving:
        serving.connect().get("/", 'User-Agent: "x" 200 \x85\x9b forged')
    (line,) = lines()
    assert line["agent"] == r"\x22x\x22 200 \x85\x9b forged"


def test_a_json_line_is_one_line_whatever_a_client_sends(tmp_path):
    descriptor = os.open(tmp_path / "log", os.O_CREAT | os.O_RDWR)
    log = AccessLog(descriptor, "w3", as_json=True)
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b""))
    with Serving(app, log=log) as serving:
        serving.connect().get("/?a=1", 'User-Agent: "\\ \x85 }', "X-Gtxn-Id: a", "X-Ltxn-Id: 1")
    log.close()
    os.close(descriptor)
    (text,) = (tmp_path / "log").read_text().splitlines()
    line = json.loads(text)
    assert line["agent"] == '"\\ \x85 }'
    assert (line["status"], line["transaction"], line["process"]) == (200, "a/1", "w3")
    assert isinstance(line["milliseconds"], float)


def test_lines_follow_a_clock_that_was_set(written, monkeypatch):
    log, _ = written
    epoch = log._epoch
    monkeypatch.setattr(access_log, "time", SetClock)
    until(lambda: abs(log._epoch - epoch - 3600) < 60, "the log believes in the old time")


class SetClock:
    """``time``, an hour later."""

    perf_counter = staticmethod(time.perf_counter)

    @staticmethod
    def time():
        return time.time() + 3600


def test_long_fields_are_cut(written):
    log, lines = written
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b""))
    with Serving(app, log=log) as serving:
        serving.connect().get("/", "User-Agent: " + "\x85" * 60_000, "Referer: " + "r" * 1024)
    (line,) = lines()
    assert line["agent"] == r"\x85" * access_log.LONGEST + "..."
    assert line["referer"] == "r" * 1024


def test_lines_that_nobody_reads_are_dropped_and_counted(monkeypatch, caplog):
    monkeypatch.setattr(access_log, "MAX_WAITING", 10)
    monkeypatch.setattr(logging.getLogger("skitai"), "propagate", True)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"full\n" * 100)
    os.set_blocking(writer, True)
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b""))
    log = AccessLog(writer, "w3")
    with Serving(app, log=log) as serving:
        client = serving.connect()
        for _ in range(100):
            client.get("/")
        os.set_blocking(reader, False)
        text = b""

        def ended():
            nonlocal text
            with contextlib.suppress(BlockingIOError):
                text += os.read(reader, 1 << 20)
            return "are lost" in caplog.text

        until(ended, "nobody told of the lost lines")
    log.close()
    os.close(writer)
    os.set_blocking(reader, True)
    while data := os.read(reader, 1 << 20):
        text += data
    os.close(reader)
    lost = sum(int(count) for count in re.findall(r"(\d+) lines of the access log", caplog.text))
    assert text.count(b" GET / ") + lost == 100
    assert lost > 0


def test_a_client_that_leaves_early_is_logged_as_499(written):
    log, lines = written
    app, gate = Toy(), Gate("gate")
    app.thread("/slow", gate)
    with Serving(app, log=log) as serving:
        client = serving.connect()
        client.send("GET /slow HTTP/1.1", "Host: x")
        assert happens(gate.entered)
        client.reset()
        until(lambda: serving.connections == 0, "the connection stayed")
        gate.opened.set()
    (line,) = lines()
    assert (line["status"], line["sent"]) == ("499", "0")
