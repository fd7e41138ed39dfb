"""What an app may say of the tasks of an upstream, whoever answers them."""

from __future__ import annotations

import pytest

from skitai.service import Service
from skitai.sql import Statement
from skitai.tasks.status import STA_NORMAL
from skitai.upstream.calls import Calls, Options, Owner
from skitai.upstream.interface import Member
from skitai.upstream.kinds import DB_SQLITE3
from skitai.upstream.place import Place
from skitai.upstream.sqlite import SqliteBackend
from tests.skitai.task_loop import running_loop


@pytest.fixture
def thread():
    with running_loop() as thread:
        yield thread


@pytest.fixture
def place(thread):
    place = Place("@lite", DB_SQLITE3, [Member("", 0, ":memory:")], SqliteBackend)
    yield place
    thread.run(place.close())


def test_a_callback_hears_of_results_of_the_cache_too(thread, place):
    service, heard = Service(), []
    options = Options(callback=lambda task: heard.append(task.status), use_cache=True, cache=60)
    calls = Calls(thread.loop, place, options, Owner(), service.results, service.shared)
    for _ in range(2):
        calls.start(Statement("select 1", (), False), True, lambda: "key").commit()
    thread.call(lambda: None)  # the first one is told on the loop
    assert len(service.results) == 1
    assert heard == [STA_NORMAL, STA_NORMAL]
