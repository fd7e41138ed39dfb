"""Databases by alias as apps get them: options, statements, transactions, rows, the cache."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from skitai.errors import HTTPError
from skitai.sql import SqlError
from skitai.tasks.errors import TaskCancelled, gateway_code
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL
from skitai.upstream.aliases import UnknownAlias
from skitai.upstream.kinds import DB_PGSQL, DB_SQLITE3, PROTO_HTTP
from tests.skitai.upstream_driving import reaching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.skitai.upstream_driving import Reach


@pytest.fixture
def reach(tmp_path: Path) -> Iterator[Reach]:
    with reaching() as found:
        found.aliases.add("@lite", DB_SQLITE3, str(tmp_path / "a.db"))
        found.db("@lite").execute("create table city (id integer primary key, name text)").commit()
        found.db("@lite").insert("city").set([{"name": "a"}, {"name": "b"}]).execute().commit()
        yield found


# Statements


def test_texts_take_values_one_by_one_or_as_one_sequence(reach):
    db = reach.db("@lite")
    assert db.execute("select ? as x, ? as y", 1, "z").one() == {"x": 1, "y": "z"}
    assert db.execute("select ? as x, ? as y", (1, "z")).one() == {"x": 1, "y": "z"}
    assert db.execute("select ? as x", [5]).one().x == 5


def test_lists_of_statements_run_as_one_and_give_the_last_rows(reach):
    db = reach.db("@lite")
    task = db.execute(
        [db.insert("city").set(name="c"), "delete from city where id = 1", db.select("city")]
    )
    assert [row.name for row in task.fetch()] == ["b", "c"]


def test_a_list_with_a_mistake_changes_nothing(reach):
    db = reach.db("@lite")
    task = db.execute([db.delete("city").all(), "select * from nowhere"])
    assert task.dispatch().status == STA_NORMAL
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        task.fetch()
    assert len(db.select("city").execute().fetch()) == 2


def test_anything_that_has_a_query_like_that_of_django_is_a_statement(reach):
    class Query:
        def sql_with_params(self) -> tuple[str, tuple[int]]:
            return "select name from city where id = ?", (2,)

    class QuerySet:
        query = Query()

    assert reach.db("@lite").execute(QuerySet()).one() == {"name": "b"}


@pytest.mark.parametrize("wrong", ["", "  ", [], 7, None, object()])
def test_what_is_no_statement_is_refused_at_once(reach, wrong):
    with pytest.raises(SqlError):
        reach.db("@lite").execute(wrong)


def test_values_without_a_text_are_refused(reach):
    db = reach.db("@lite")
    with pytest.raises(SqlError, match="placeholders"):
        db.execute(db.select("city"), 1)


def test_with_gives_the_database_itself(reach):
    with reach.db("@lite") as db:
        task = db.select("city").execute()
    assert len(task.fetch()) == 2


# Options


def test_options_of_tasks(reach):
    calls: list[Any] = []
    done = threading.Event()

    def callback(task: Any) -> None:
        calls.append(task.status)
        done.set()

    db = reach.db("@lite", meta={"a": 1}, filter=len, timeout=5, callback=callback)
    task = db.execute("select * from city")
    assert (task.fetch(), task.meta) == (2, {"a": 1})
    assert done.wait(10)
    assert calls == [STA_NORMAL]
    assert reach.owned[-1] is task


def test_a_callback_that_fails_keeps_nobody_back(reach, caplog):
    task = reach.db("@lite", callback=lambda task: 1 / 0).execute("select 1 as x")
    assert task.one() == {"x": 1}
    caplog.clear()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("timeout", 0),
        ("timeout", "x"),
        ("timeout", float("nan")),
        ("use_cache", 7),
        ("rm_cache", [1]),
        ("rm_cache", 5),
    ],
)
def test_options_that_can_not_be_meant_are_refused(reach, option, value):
    with pytest.raises(ValueError, match=option):
        reach.db("@lite", **{option: value})


def test_unknown_options_and_aliases_are_refused(reach):
    with pytest.raises(TypeError, match="timout"):
        reach.db("@lite", timout=3)
    with pytest.raises(UnknownAlias, match="@lite"):
        reach.db("@lit")


def test_a_service_is_no_database_and_the_reverse(reach):
    reach.aliases.add("@api", PROTO_HTTP, "127.0.0.1:1")
    with pytest.raises(TypeError, match=r"was.stub\('@api'\)"):
        reach.db("@api")
    with pytest.raises(TypeError, match=r"was.db\('@lite'\)"):
        reach.upstreams.stub(reach.owner, False, "@lite")


def test_aliases_of_an_app_hide_those_of_the_service(reach, tmp_path):
    reach.owner.aliases.add("@lite", DB_SQLITE3, str(tmp_path / "other.db"))
    assert reach.db("@lite").execute("select * from city").dispatch().error is not None


def test_a_database_can_be_named_by_its_server(reach):
    db = reach.db("127.0.0.1:1", dbname="x", auth=("u", "p:@/"), dbtype=DB_PGSQL)
    assert db.execute("select 1").dispatch().status == STA_NETERR
    assert db.dialect == "postgresql"


# The result cache


def rows(reach: Reach, **options: Any) -> Any:
    return reach.db("@lite", **options).execute("select random() as x").one().x


def test_a_result_is_kept_until_its_key_is_updated(reach):
    reach.shared.register("cities", "others")
    first = rows(reach, use_cache="cities")
    assert rows(reach, use_cache="cities") == first
    assert rows(reach) != first
    rows(reach, rm_cache="others")
    assert rows(reach, use_cache="cities") == first
    rows(reach, rm_cache=["cities", "others"])
    assert rows(reach, use_cache="cities") != first
    assert reach.updated == ["others", "cities", "others"]


def test_a_failed_change_updates_no_key(reach):
    reach.shared.register("cities")
    first = rows(reach, use_cache="cities")
    reach.db("@lite", rm_cache="cities").execute("delete from nowhere").dispatch()
    assert rows(reach, use_cache="cities") == first


def test_a_result_is_kept_for_some_seconds_on_demand(reach):
    db = reach.db("@lite", use_cache=True)
    first = db.execute("select random() as x").fetch(cache=60)
    assert db.execute("select random() as x").fetch() == first
    db.execute("select random() as x").fetch(cache=0)
    assert db.execute("select random() as x").fetch() != first
    assert rows(reach, use_cache=True, cache=60) == rows(reach, use_cache=True)


def test_nobody_can_change_what_another_gets_from_the_cache(reach):
    db = reach.db("@lite", use_cache=True)
    mine = db.execute("select * from city").fetch(cache=60)
    mine[0].name = "changed"
    mine.append("more")
    theirs = db.execute("select * from city").fetch()
    assert [row.name for row in theirs] == ["a", "b"]


def test_values_of_different_types_are_different_results(reach):
    db = reach.db("@lite", use_cache=True)
    seen = [
        db.execute("select typeof(?) as x", value).fetch(cache=60)[0].x
        for value in (1, 1.0, "1", b"1", None)
    ]
    assert seen == ["integer", "real", "text", "blob", "null"]


def test_changes_are_never_taken_from_the_cache(reach):
    db = reach.db("@lite", use_cache=True)
    for _ in range(2):
        db.execute("insert into city (name) values ('c')").fetch(cache=60)
    assert len(db.execute("select * from city where name = 'c'").fetch()) == 2


# Transactions


def test_a_thread_sees_what_its_transaction_did_and_others_do_not(reach):
    with reach.db("@lite", transaction=True) as tx:
        assert tx.insert("city").set(name="c").execute().rowcount == 1
        result = tx.select("city").order_by("id").execute()
        assert result.fetchall()[-1] == (3, "c")
        assert result.fetchone(as_dict=True) == {"id": 1, "name": "a"} == result.fetch1()
        assert (len(result.fetchmany(2)), len(result.fetchn(2))) == (2, 2)
        assert result.field_names == ["id", "name"]
        assert len(reach.db("@lite").select("city").execute().fetch()) == 2
        tx.commit()
    assert len(reach.db("@lite").select("city").execute().fetch()) == 3


def test_a_statement_that_fails_is_raised_at_once_and_by_commit(reach):
    with reach.db("@lite").transaction() as tx:
        tx.insert("city").set(name="c").execute()
        with pytest.raises(sqlite3.OperationalError):
            tx.execute("select * from nowhere")
        with pytest.raises(sqlite3.OperationalError):
            tx.commit()
        tx.rollback()
        tx.insert("city").set(name="d").execute()
        tx.commit()
    names = [row.name for row in reach.db("@lite").select("city").execute().fetch()]
    assert names == ["a", "b", "d"]


def test_a_violated_constraint_is_a_conflict_in_one(reach):
    with reach.db("@lite").transaction() as tx:
        task = reach.db("@lite").execute("insert into city values (1, 'x')")
        with pytest.raises(HTTPError) as raised:
            task.one()
        assert raised.value.code == 409
        with pytest.raises(sqlite3.IntegrityError):
            tx.execute("insert into city values (1, 'x')")


def test_a_closed_transaction_can_not_be_used(reach):
    tx = reach.db("@lite").transaction()
    tx.close()
    with pytest.raises(RuntimeError, match="closed"):
        tx.execute("select 1")
    tx.close()
    assert tx.done


def test_a_cursor_commits_each_statement(reach):
    with reach.db("@lite", cursor=True) as cursor:
        cursor.insert("city").set(name="c").execute()
    assert len(reach.db("@lite").select("city").execute().fetch()) == 3


def test_coroutines_await_the_statements_of_a_transaction(reach):
    async def main() -> list[str]:
        async with reach.db("@lite").transaction() as tx:
            tx.insert("city").set(name="c").execute()
            task = await tx.select("city").execute()
            await tx.commit()
            return [row.name for row in task.fetch()]

    assert reach.thread.run(main()) == ["a", "b", "c"]


def test_a_commit_that_nobody_waited_with_for_a_failure_fails(reach):
    async def main() -> None:
        async with reach.db("@lite").transaction() as tx:
            tx.execute("select * from nowhere")
            task = await tx.commit()
            task.fetch()

    with pytest.raises(sqlite3.OperationalError):
        reach.thread.run(main())


def test_a_transaction_whose_client_leaves_is_undone(reach):
    tx = reach.db("@lite").transaction()
    tx.insert("city").set(name="c").execute()
    assert tx in reach.owned
    tx.cancel()
    # The writer is free again: this waits for it.
    reach.db("@lite").insert("city").set(name="d").execute().commit()
    names = [row.name for row in reach.db("@lite").select("city").execute().fetch()]
    assert names == ["a", "b", "d"]


def test_threads_may_not_enter_on_the_loop(reach):
    def enter() -> None:
        with reach.db("@lite").transaction():
            raise AssertionError

    with pytest.raises(RuntimeError, match="async with"):
        reach.thread.call(enter)


# Streams of rows

MANY = (
    "with recursive n (i) as (select 1 union all select i + 1 from n where i < 100) select i from n"
)


def test_threads_iterate_over_rows(reach):
    stream = reach.db("@lite").stream(MANY, size=7)
    assert [row.i for row in stream] == list(range(1, 101))
    assert stream.done


def test_coroutines_iterate_over_rows(reach):
    async def main() -> list[int]:
        return [row.i async for row in reach.db("@lite").stream(MANY, size=7)]

    assert reach.thread.run(main()) == list(range(1, 101))


def test_batches_are_tasks(reach):
    stream = reach.db("@lite").stream(MANY, size=60)
    sizes = [len(stream.fetchmany().fetch()) for _ in range(4)]
    assert sizes == [60, 40, 0, 0]


def test_a_stream_that_is_given_up_gives_its_connection_back(reach):
    with reach.db("@lite").stream(MANY, size=7) as stream:
        assert next(iter(stream)).i == 1
    reach.db("@lite").execute("drop table city").commit()


def test_a_stream_of_what_can_not_be_read_fails_as_a_statement_does(reach):
    with pytest.raises(sqlite3.OperationalError) as raised:
        list(reach.db("@lite").stream("select * from nowhere"))
    assert gateway_code(raised.value) == 502

    async def main() -> None:
        async for _ in reach.db("@lite").stream("select * from nowhere"):
            raise AssertionError

    with pytest.raises(sqlite3.OperationalError):
        reach.thread.run(main())
    with pytest.raises(ValueError, match="size"):
        reach.db("@lite").stream(MANY, size=0)


# Cancelling and the end


def test_a_cancelled_statement_is_interrupted(reach):
    endless = MANY.replace("i < 100", "i < 1e15").replace("select i from n", "select max(i) from n")
    task = reach.db("@lite", timeout=60).execute(endless)
    task.cancel()
    with pytest.raises(TaskCancelled):
        task.fetch()
    assert reach.db("@lite").execute("select 1 as x").one() == {"x": 1}


def test_closing_ends_everything(reach):
    before = threading.active_count()
    reach.thread.run(reach.upstreams.close())
    assert threading.active_count() <= before
    assert reach.db("@lite").execute("select 1").dispatch().status in (STA_NETERR, STA_REQFAIL)


def test_unnamed_places_are_bounded(reach):
    for port in range(1, 100):
        reach.db(f"127.0.0.1:{port}", dbname="x")
    assert len(reach.upstreams._unnamed) == 64


def test_functions_and_commands(reach):
    upstreams = reach.upstreams
    assert upstreams.in_thread(lambda a, b=0: a + b, (1,), {"b": 2}).fetch() == 3
    task = upstreams.in_thread(max, (), {"args": (1, 2), "meta": {"m": 1}, "filter": str})
    assert (task.fetch(), task.meta) == ("2", {"m": 1})
    assert upstreams.in_process(max, (1, 2), {}).fetch() == 2
    assert upstreams.run_command("echo a", None, None, str.strip).fetch() == "a"
    with pytest.raises(SystemError, match="code:3"):
        upstreams.run_command("exit 3", None, None, None).fetch()
    with pytest.raises(TypeError, match="function"):
        upstreams.in_thread("no function", (), {})


def test_a_function_sees_the_context_of_its_caller(reach):
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable")
    variable.set("mine")
    assert reach.upstreams.in_thread(variable.get, (), {}).fetch() == "mine"


def test_a_crash_in_a_thread_is_no_failure_of_a_gateway(reach):
    with pytest.raises(ZeroDivisionError) as raised:
        reach.upstreams.in_thread(lambda: 1 / 0, (), {}).fetch()
    assert gateway_code(raised.value) is None


def test_a_stop_iteration_of_a_function_does_not_get_lost(reach):
    with pytest.raises(RuntimeError, match="StopIteration"):
        reach.upstreams.in_thread(next, (iter(()),), {}).fetch()


def test_the_deadline_of_a_function_counts_for_those_who_wait(reach):
    release = threading.Event()
    task = reach.upstreams.in_thread(release.wait, (), {"args": (30,), "timeout": 0.05})
    with pytest.raises(TimeoutError):
        task.fetch()
    release.set()


def test_asking_every_member_is_one_task(reach, tmp_path):
    paths = [str(tmp_path / "a.db"), str(tmp_path / "other.db")]
    reach.aliases.add("@both", DB_SQLITE3, paths)
    task = reach.upstreams.database(reach.owner, True, "@both").execute("select * from city")
    first, second = task.dispatch()
    assert (len(first.data), second.status_code) == (2, 500)
    assert task.members.status == [STA_NORMAL, STA_NORMAL]
    for ask in (task.fetch, task.result, task.commit, task.reraise):
        with pytest.raises(sqlite3.OperationalError):
            ask()
    with pytest.raises(sqlite3.OperationalError):
        task.dispatch(reraise=True)

    async def main() -> Any:
        return len(await task)

    with pytest.raises(TypeError):
        reach.thread.run(main())


def test_waiting_for_a_task_in_a_coroutine_blocks_nobody(reach):
    async def main() -> list[int]:
        db = reach.db("@lite")
        tasks = [db.execute("select ? as x", number) for number in range(50)]
        done = await asyncio.gather(*[_await(task) for task in tasks])
        return [task.one().x for task in done]

    assert reach.thread.run(main()) == list(range(50))


async def _await(task: Any) -> Any:
    return await task
