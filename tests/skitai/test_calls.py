"""What an app may say of the tasks of an upstream, whoever answers them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from skitai.service import Service
from skitai.sql import Statement
from skitai.tasks.status import STA_NORMAL
from skitai.upstream.calls import Calls, Options, Owner
from skitai.upstream.interface import Member
from skitai.upstream.kinds import DB_SQLITE3
from skitai.upstream.place import Place
from skitai.upstream.sqlite.backend import SqliteBackend
from tests.skitai.task_loop import running_loop
from tests.skitai.upstream_driving import reaching


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


@pytest.mark.parametrize(
    ("members", "updated"), [(["a.db", "empty.db"], ["city"]), (["empty.db"], [])]
)
def test_a_change_at_any_of_all_members_updates_its_keys(tmp_path, members, updated):
    with reaching() as reach:
        reach.shared.register("city")
        reach.aliases.add("@a", DB_SQLITE3, str(tmp_path / "a.db"))
        reach.db("@a").execute("create table city (name text)").commit()
        reach.aliases.add("@all", DB_SQLITE3, [str(tmp_path / name) for name in members])
        database = reach.upstreams.database(reach.owner, True, "@all", rm_cache="city")
        task = database.execute("insert into city values ('x')")
        task.dispatch()
        assert reach.updated == updated
        assert (reach.shared["city"] > 0) == bool(updated)


class Request:
    """A request as a framework has one: it owns the tasks that are started for it."""

    def __init__(self, reach: Any) -> None:
        self.tasks: list[Any] = []
        self._reach = reach

    def db(self, alias: str, **options: Any) -> Any:
        owner = Owner(own=self.own, updated=[].extend)
        return self._reach.upstreams.database(owner, False, alias, **options)

    def own(self, task: Any) -> None:
        self.tasks.append(task)


def _execute(request: Any) -> None:
    assert request.db("@lite").execute("select ? as x", 1).fetch() == [{"x": 1}]


def _build(request: Any) -> None:
    db = request.db("@lite", filter=len, use_cache=True, cache=60, callback=lambda task: task.data)
    for _ in range(2):
        assert db.select("city").filter(id=1).execute().fetch() == 1


def _change(request: Any) -> None:
    request.db("@lite", rm_cache="city").update("city").set(name="b").all().execute().commit()


def _cancel(request: Any) -> None:
    task = request.db("@lite", timeout=60).execute(
        "with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n"
    )
    task.cancel()
    task.dispatch()


@pytest.mark.parametrize("use", [_execute, _build, _change, _cancel])
def test_a_request_that_used_a_database_is_freed_without_the_collector(tmp_path, use):
    with reaching() as reach:
        reach.shared.register("city")
        reach.aliases.add("@lite", DB_SQLITE3, str(tmp_path / "a.db"))
        reach.db("@lite").execute("create table city (id integer primary key, name text)").commit()
        reach.db("@lite").insert("city").set(name="a").execute().commit()

        def answer() -> weakref.ref[Any]:
            request = Request(reach)
            use(request)
            return weakref.ref(request)

        answer()
        gc.collect()
        gc.disable()
        try:
            request = answer()
            for _ in range(20):
                reach.thread.run(asyncio.sleep(0.001))  # what the loop has yet to do
                if request() is None:
                    break
            assert request() is None, gc.get_referrers(request())
        finally:
            gc.enable()
