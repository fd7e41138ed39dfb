"""Transactions that something happens to: deadlines, clients that leave, lost sessions."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from postgresql_driving import database, module_database

from skitai.tasks.errors import NetworkError, OperationTimeout, TaskCancelled, network_failure
from skitai.upstream.calls import Owner
from skitai.upstream.kinds import DB_PGSQL, DB_SQLITE3
from tests.skitai.upstream_driving import reaching

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["database", "module_database"]

ENDLESS = "with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n"


@pytest.fixture(params=["sqlite", "postgresql"])
def reach(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    """A database ``@db`` with an empty table ``city``."""
    with reaching() as found:
        if request.param == "sqlite":
            found.aliases.add("@db", DB_SQLITE3, str(tmp_path / "a.db"))
        else:
            member = request.getfixturevalue("database").member
            text = f"{member.user}:{member.password}@{member.host}:{member.port}/{member.path}"
            found.aliases.add("@db", DB_PGSQL, text)
        found.db("@db").execute("create table city (name text)").commit()
        yield found


def names(reach: Any) -> list[str]:
    return [row.name for row in reach.db("@db").select("city").order_by("name").execute().fetch()]


def test_a_commit_behind_a_statement_whose_deadline_passed_fails(reach):
    with reach.db("@db", transaction=True, timeout=0.3) as tx:
        tx.insert("city").set(name="a").execute()
        with pytest.raises(OperationTimeout):
            tx.execute(ENDLESS)
        with pytest.raises(OperationTimeout):
            tx.commit()
        tx.rollback()
        tx.insert("city").set(name="b").execute()
        tx.commit()
    assert names(reach) == ["b"]


def test_a_commit_says_what_went_wrong_first(reach):
    with reach.db("@db", transaction=True, timeout=0.3) as tx:
        tx.insert("city").set(name="a").execute()
        with pytest.raises(OperationTimeout):
            tx.execute(ENDLESS)
        with pytest.raises(Exception, match=r"broken off|rolled back|no such table"):
            tx.execute("select * from nowhere")
        with pytest.raises(OperationTimeout):
            tx.commit()


def test_a_commit_behind_a_statement_that_found_no_connection_fails(reach, monkeypatch):
    with reach.db("@db", transaction=True) as tx:
        cluster = tx._place.cluster

        async def fail(*_: object) -> None:
            raise network_failure(NetworkError("no route"), sent=False)

        with monkeypatch.context() as patch:
            patch.setattr(cluster, "use", fail)
            with pytest.raises(NetworkError):
                tx.insert("city").set(name="a").execute()
        tx.insert("city").set(name="b").execute()
        with pytest.raises(NetworkError):
            tx.commit()
    assert names(reach) == []


def test_a_commit_behind_the_end_fails(reach):
    with reach.db("@db", transaction=True) as tx:
        tx.insert("city").set(name="a").execute()
    with pytest.raises(RuntimeError, match="closed"):
        tx.commit()
    with pytest.raises(RuntimeError, match="closed"):
        tx.insert("city").set(name="a").execute()
    tx.rollback()
    tx.close()


def test_a_client_that_leaves_breaks_off_the_statement_that_a_thread_waits_for(reach):
    owned: list[Any] = []
    running = threading.Event()

    def own(task: Any) -> None:
        owned.append(task)
        if len(owned) == 2:
            running.set()

    owner = Owner(own=own)
    tx = reach.upstreams.database(owner, False, "@db", transaction=True, timeout=60)
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            tx.execute(ENDLESS)
        except BaseException as exc:
            outcome.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(5)
    for thing in owned:
        thing.cancel()
    thread.join(5)
    assert [type(error) for error in outcome] == [TaskCancelled]
    reach.db("@db").insert("city").set(name="free").execute().commit()


def test_a_filter_is_for_the_rows_of_statements_only(reach):
    async def main() -> Any:
        async with reach.db("@db", transaction=True, filter=len) as tx:
            await tx.insert("city").set(name="a").returning("name").execute()
            task = await tx.select("city").execute()
            (await tx.commit()).fetch()
            (await tx.rollback()).fetch()
            return task.fetch()

    assert reach.thread.run(main()) == 1


class Request:
    """A request as a framework has one: it owns the tasks that are started for it."""

    def __init__(self, reach: Any) -> None:
        self.tasks: list[Any] = []
        self._reach = reach

    def db(self, **options: Any) -> Any:
        return self._reach.upstreams.database(Owner(own=self.own), False, "@db", **options)

    def own(self, task: Any) -> None:
        self.tasks.append(task)


def _commit(request: Request) -> None:
    with request.db(transaction=True) as tx:
        tx.insert("city").set(name="a").execute()
        tx.commit()


def _iterate(request: Request) -> None:
    assert list(request.db().stream("select * from city")) == []


def _read_until_the_end(request: Request) -> None:
    stream = request.db().stream("select * from city")
    assert stream.fetchmany().fetch() == []


@pytest.mark.parametrize("use", [_commit, _iterate, _read_until_the_end])
def test_a_request_is_freed_without_the_collector(reach, use):
    def answer() -> weakref.ref[Any]:
        request = Request(reach)
        use(request)
        return weakref.ref(request)

    gc.disable()
    try:
        request = answer()
        for _ in range(50):
            reach.thread.run(asyncio.sleep(0.001))  # what the loop has yet to do
            if request() is None:
                break
        assert request() is None
    finally:
        gc.enable()
