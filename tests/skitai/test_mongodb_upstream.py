"""Calls of the MongoDB driver: on ``mongod``, or on a stand-in that speaks its wire protocol.

Which one it was is in the name of each test. The driver and the sockets are the real ones.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import pickle
import uuid
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import bson
import pytest
import uvloop
from certificates import make_certificates
from mongo_process import REAL, MongoProcess, running_mongodb
from pymongo import InsertOne, UpdateOne, WriteConcern, errors
from tcp_server import TcpServer, relay_to

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError, PoolExhausted, RequestFailed
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT
from skitai.upstream.commands import Command
from skitai.upstream.interface import Member
from skitai.upstream.mongodb.backend import MongodbBackend
from skitai.upstream.mongodb.results import json_form
from skitai.upstream.slots import EXPIRED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    Use = Callable[[MongodbBackend], Coroutine[Any, Any, Any]]

CITIES = [
    {"_id": 1, "name": "New York", "state": "NY", "people": 8},
    {"_id": 2, "name": "Buffalo", "state": "NY", "people": 3},
    {"_id": 3, "name": "Boston", "state": "MA", "people": 6},
]


@pytest.fixture(scope="module", params=["mongod" if REAL else "stand-in for mongod"])
def server() -> Iterator[MongoProcess]:
    with running_mongodb() as process:
        yield process


@asynccontextmanager
async def backend_on(member: Member, max_conns: int = 4, **options: Any) -> AsyncIterator[Any]:
    backend = MongodbBackend(member, max_conns, **options)
    try:
        yield backend
    finally:
        await backend.close()


async def ask(backend: MongodbBackend, name: str, *args: Any, **kwargs: Any) -> Any:
    return (await backend.call(Command(name, args, kwargs))).data


def on(server: MongoProcess, use: Use, path: str = "", **options: Any) -> Any:
    """Run ``use`` with a backend on a database of its own."""

    async def main() -> Any:
        member = server.member(path or f"test_{uuid.uuid4().hex}")
        async with backend_on(member, **options) as backend:
            result = await use(backend)
            for name in await ask(backend, "list_collection_names"):
                await ask(backend, "drop", name)
            return result

    return uvloop.run(main())


def on_cities(server: MongoProcess, *calls: Command) -> list[Any]:
    """What the calls give where ``CITIES`` are in the collection ``cities``."""

    async def use(backend: MongodbBackend) -> list[Any]:
        await ask(backend, "insert_many", "cities", [dict(city) for city in CITIES])
        return [(await backend.call(call)).data for call in calls]

    found: list[Any] = on(server, use)
    return found


def command(name: str, *args: Any, **kwargs: Any) -> Command:
    return Command(name, args, kwargs)


def failure(server: MongoProcess, name: str, *args: Any, **kwargs: Any) -> Failure:
    """How a call fails; the next one must work."""

    async def use(backend: MongodbBackend) -> Failure:
        with pytest.raises(Failure) as caught:
            await ask(backend, name, *args, **kwargs)
        assert await ask(backend, "find", {}) == []
        return caught.value

    failed: Failure = on(server, use, max_conns=1)
    return failed


# -- reading


def test_documents_are_a_list_of_dictionaries(server):
    (found,) = on_cities(server, command("find", "cities", {"state": "NY"}))
    assert found == CITIES[:2]
    assert type(found[0]) is dict


def test_options_of_the_driver_are_passed_on(server):
    options = {"sort": [("people", -1)], "limit": 2, "skip": 1, "projection": {"_id": 0, "name": 1}}
    (found,) = on_cities(server, command("find", "cities", {}, **options))
    assert found == [{"name": "Boston"}, {"name": "Buffalo"}]


def test_single_documents_and_counts(server):
    one, none, counted, about, names = on_cities(
        server,
        command("find_one", "cities", {"name": "Boston"}),
        command("find_one", "cities", {"name": "Paris"}),
        command("count_documents", "cities", {"state": "NY"}),
        command("estimated_document_count", "cities"),
        command("distinct", "cities", "state"),
    )
    assert one == CITIES[2]
    assert none is None
    assert (counted, about) == (2, 3)
    assert sorted(names) == ["MA", "NY"]


def test_aggregations_are_a_list(server):
    pipeline = [
        {"$group": {"_id": "$state", "people": {"$sum": "$people"}}},
        {"$sort": {"_id": 1}},
    ]
    (found,) = on_cities(server, command("aggregate", "cities", pipeline))
    assert found == [{"_id": "MA", "people": 6}, {"_id": "NY", "people": 11}]


def test_many_documents_come_in_several_batches(server):
    async def use(backend):
        await ask(backend, "insert_many", [{"_id": n} for n in range(2500)])
        found = await ask(backend, "find", {}, batch_size=100, sort=[("_id", 1)])
        assert [document["_id"] for document in found] == list(range(2500))

    on(server, use)


def test_documents_without_end_are_refused_and_not_cut(server):
    async def use(backend):
        await ask(backend, "insert_many", [{"_id": n} for n in range(300)])
        with pytest.raises(Failure) as caught:
            await ask(backend, "find", {}, batch_size=10)
        assert isinstance(caught.value.error, RequestFailed)
        assert "more than 200 documents; give a limit" in str(caught.value.error)
        assert len(await ask(backend, "find", {}, limit=250)) == 250
        assert len(await ask(backend, "find", {}, None, 0, 299)) == 299
        assert len(await ask(backend, "find", {"_id": {"$lt": 200}})) == 200
        status = await ask(backend, "command", "serverStatus")
        assert status["metrics"]["cursor"]["open"]["total"] == 0

    on(server, use, max_items=200)


# -- which collection


def test_without_a_collection_the_last_part_of_the_path_is_used(server):
    async def use(backend):
        await ask(backend, "insert_one", {"_id": 1})
        await ask(backend, "insert_one", "other", {"_id": 2})
        assert await ask(backend, "find", {}) == [{"_id": 1}]
        assert await ask(backend, "find") == [{"_id": 1}]
        assert await ask(backend, "find", "other") == [{"_id": 2}]
        assert await ask(backend, "find", {}, collection="other") == [{"_id": 2}]
        assert await ask(backend, "find", filter={"_id": 2}, collection="other") == [{"_id": 2}]
        return sorted(await ask(backend, "list_collection_names"))

    assert on(server, use, "mycollection") == ["mycollection", "other"]
    assert on(server, use, "mydb/mine") == ["mine", "other"]


def test_texts_that_are_no_collection_are_told_from_those_that_are(server):
    async def use(backend):
        await ask(backend, "insert_many", [{"name": "a"}, {"name": "b"}])
        await ask(backend, "insert_one", "other", {"name": "c"})
        assert sorted(await ask(backend, "distinct", "name")) == ["a", "b"]
        assert await ask(backend, "distinct", "name", {"name": "b"}) == ["b"]
        assert await ask(backend, "distinct", "other", "name") == ["c"]
        assert await ask(backend, "distinct", "other", "name", {"name": "x"}) == []
        assert await ask(backend, "create_index", "name") == "name_1"
        assert await ask(backend, "create_index", [("name", 1)]) == "name_1"
        assert await ask(backend, "create_index", "other", "name", unique=True) == "name_1"
        assert await ask(backend, "create_index", "other", [("x", -1)]) == "x_-1"
        assert sorted(await ask(backend, "index_information", "other")) == [
            "_id_",
            "name_1",
            "x_-1",
        ]
        assert await ask(backend, "drop_index", "other", "x_-1") is None
        assert await ask(backend, "drop_index", "name_1") is None
        indexes = await ask(backend, "list_indexes", "other")
        assert [index["name"] for index in indexes] == ["_id_", "name_1"]
        await ask(backend, "rename", "other", "third")
        assert await ask(backend, "count_documents", "third", {}) == 1

    on(server, use)


# -- writing


def test_results_of_writing_are_rows(server):
    async def use(backend):
        one = await ask(backend, "insert_one", {"_id": "a", "n": 1})
        assert one == {"inserted_id": "a"}
        assert one.inserted_id == "a"
        many = await ask(backend, "insert_many", [{"_id": "b", "n": 1}, {"_id": "c", "n": 5}])
        assert many.inserted_ids == ["b", "c"]
        done = await ask(backend, "update_many", {"n": 1}, {"$inc": {"n": 1}})
        assert done == {"matched_count": 2, "modified_count": 2, "upserted_id": None}
        assert (await ask(backend, "replace_one", {"_id": "a"}, {"n": 9})).modified_count == 1
        upserted = await ask(backend, "update_one", {"_id": "d"}, {"$set": {"n": 0}}, upsert=True)
        assert upserted.upserted_id == "d"
        assert await ask(backend, "delete_many", {"n": {"$gt": 4}}) == {"deleted_count": 2}
        requests = [InsertOne({"_id": "e"}), UpdateOne({"_id": "b"}, {"$set": {"n": 7}})]
        bulk = await ask(backend, "bulk_write", requests)
        assert (bulk.inserted_count, bulk.modified_count, bulk.deleted_count) == (1, 1, 0)
        for result in (one, many, done, upserted, bulk):
            assert pickle.loads(pickle.dumps(result)) == result

    on(server, use)


def test_finding_and_changing_at_once(server):
    before, gone, left = on_cities(
        server,
        command("find_one_and_update", "cities", {"_id": 1}, {"$set": {"people": 9}}),
        command("find_one_and_delete", "cities", {"_id": 2}),
        command("distinct", "cities", "people"),
    )
    assert (before, gone) == (CITIES[0], CITIES[1])
    assert sorted(left) == [6, 9]


def test_what_is_not_acknowledged_is_an_empty_row(server):
    async def use(backend):
        options = backend._client.get_database(
            backend._database.name, write_concern=WriteConcern(0)
        )
        backend._database = options
        assert await ask(backend, "insert_one", {"_id": 1}) == {}

    on(server, use)


def test_older_names_mean_what_they_meant(server):
    async def use(backend):
        assert (await ask(backend, "insert", "x", {"_id": 1, "n": 1})).inserted_id == 1
        assert (await ask(backend, "insert", "x", [{"_id": 2, "n": 1}])).inserted_ids == [2]
        assert await ask(backend, "findone", "x", {"_id": 2}) == {"_id": 2, "n": 1}
        assert len(await ask(backend, "findall", "x", {"n": 1})) == 2
        assert (await ask(backend, "update", "x", {"n": 1}, {"$set": {"n": 2}})).modified_count == 2
        assert (
            await ask(backend, "updateone", "x", {"n": 2}, {"$set": {"n": 3}})
        ).matched_count == 1
        assert (await ask(backend, "updateone", "x", {"_id": 2}, {"m": 3})).matched_count == 1
        assert await ask(backend, "findone", "x", {"_id": 2}) == {"_id": 2, "m": 3}
        assert (await ask(backend, "upsert", "x", {"_id": 7}, {"$set": {"n": 7}})).upserted_id == 7
        assert (await ask(backend, "upsertone", "x", {"_id": 8}, {"n": 8})).upserted_id == 8
        assert (await ask(backend, "delete", "x", {"_id": {"$gt": 6}})).deleted_count == 2
        for name in ("get_more", "kill_cursors"):
            with pytest.raises(Failure) as caught:
                await ask(backend, name, "x", 1)
            assert caught.value.status == STA_REQFAIL

    on(server, use)


def test_commands_of_the_database(server):
    async def use(backend):
        assert (await ask(backend, "command", "ping"))["ok"] == 1
        assert await ask(backend, "create_collection", "log") == "log"
        assert [found["name"] for found in await ask(backend, "list_collections")] == ["log"]
        await ask(backend, "drop_collection", "log")
        assert await ask(backend, "list_collection_names") == []

    on(server, use)


def test_values_come_back_as_they_were(server):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=123000)
    document = {
        "_id": bson.ObjectId(),
        "when": now,
        "bytes": b"\xff\x00",
        "uuid": uuid.uuid4(),
        "decimal": bson.Decimal128("12.50"),
        "large": 2**40,
        "list": [1, "zwei", None, True, 4.5],
        "nested": {"schlüssel": "값 🙂"},
    }

    async def use(backend):
        await ask(backend, "insert_one", dict(document))
        return await ask(backend, "find_one", {"_id": document["_id"]})

    assert on(server, use) == document


# -- what goes wrong


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("fnd", ({},), "MongoDB has no command 'fnd', did you mean 'find'?"),
        ("FIND", ({},), "did you mean 'find'?"),
        ("_command", (), "no command"),
        ("__class__", (), "no command"),
        ("client", (), "no command"),
        ("with_options", (), "no command"),
        ("mycollection", (), "no command"),
        ("next", (), "no command"),
        ("watch", (), "it has no end"),
        ("find_raw_batches", (), "raw documents are not supported"),
        ("find", (3,), "filter must be an instance of dict"),
        ("find", ({}, "a", "b"), "must be"),
        ("count_documents", (), "missing 1 required positional argument: 'filter'"),
        ("insert_one", ({"x": object()},), "cannot encode object"),
        ("insert_one", ({"x": Decimal("1")},), "cannot encode object"),
        ("insert_one", ({"x": 2**70},), "8-byte ints"),
        ("insert_many", ([],), "non-empty list"),
        ("update_one", ({}, {"x": 1}), "only works with $ operators"),
        ("find", ("a..b", {}), "collection names"),
        ("insert_one", ({"x": "y" * 17_000_000},), "too large"),
    ],
)
def test_what_can_not_be_sent_is_refused(server, name, args, text):
    failed = failure(server, name, *args)
    assert isinstance(failed.error, RequestFailed)
    assert (failed.status, failed.sent) == (STA_REQFAIL, False)
    assert text in str(failed.error)


def test_errors_of_the_server_are_the_drivers(server):
    async def use(backend):
        await ask(backend, "insert_one", {"_id": 1})
        with pytest.raises(Failure) as caught:
            await ask(backend, "insert_one", {"_id": 1})
        assert isinstance(caught.value.error, errors.DuplicateKeyError)
        assert (caught.value.status, caught.value.sent) == (STA_NORMAL, True)
        with pytest.raises(Failure) as caught:
            await ask(backend, "insert_many", [{"_id": 2}, {"_id": 1}])
        assert isinstance(caught.value.error, errors.BulkWriteError)
        with pytest.raises(Failure) as caught:
            await ask(backend, "command", "noSuchCommand")
        assert isinstance(caught.value.error, errors.OperationFailure)
        assert caught.value.error.code == 59

    on(server, use)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "name the database, as in 'localhost/mydb'"),
        ("my db", "Bad database name"),
        ("a$b", "Bad database name"),
        ("mydb/a..b", "collection names"),
        ("mydb?maxPoolSize=many", "(?i)maxpoolsize"),
        ("mydb?readPreference=sometimes", "sometimes"),
        ("mydb?noSuchOption=1", "(?i)nosuchoption"),
    ],
)
def test_a_path_that_is_none_fails_at_the_start(path, text):
    async def main():
        MongodbBackend(Member("127.0.0.1", 1, path))

    with pytest.raises(ConfigError, match=text):
        uvloop.run(main())


def test_certificates_that_are_not_there_fail_at_the_start(tmp_path):
    async def main():
        MongodbBackend(Member("127.0.0.1", 1, "db", tls=True), verify=str(tmp_path / "none"))

    with pytest.raises(ConfigError, match="there is no such file"):
        uvloop.run(main())


# -- who connects to what


def test_user_and_password_are_checked_by_the_stand_in():
    with running_mongodb("häns@x", "s3:cr/t") as server:

        async def main():
            good = server.member("admin", "häns@x", "s3:cr/t")
            elsewhere = server.member("mydb?authSource=admin", "häns@x", "s3:cr/t")
            for member in (good, elsewhere):
                async with backend_on(member) as backend:
                    await ask(backend, "insert_one", {"a": 1})
            bad = server.member("admin", "häns@x", "wrong")
            no_user_there = server.member("mydb", "häns@x", "s3:cr/t")
            nobody = server.member("admin")
            for member in (bad, no_user_there, nobody):
                async with backend_on(member) as backend:
                    with pytest.raises(Failure) as caught:
                        await ask(backend, "find", {})
                    assert isinstance(caught.value.error, errors.OperationFailure)
                    assert caught.value.status == STA_NORMAL
                    assert caught.value.sent == (member is nobody)
                    assert "s3:cr/t" not in str(caught.value.error)

        uvloop.run(main())


def test_connections_are_encrypted_when_the_member_says_so(server, tmp_path):
    ca_file, context = make_certificates(tmp_path)

    async def main():
        async with TcpServer(relay_to(server.port), context) as front:
            member = Member("localhost", front.port, "tls", tls=True)
            for verify in (str(ca_file), False):
                async with backend_on(member, verify=verify) as backend:
                    await ask(backend, "insert_one", {"a": 1})
                    await ask(backend, "drop")
            async with backend_on(member, verify=True) as strict:
                with pytest.raises(Failure) as caught:
                    await ask(strict, "find", {})
                assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.error)
                assert (caught.value.status, caught.value.sent) == (STA_NETERR, False)

    asyncio.run(main())


# -- connections


def test_no_more_connections_than_allowed(server):
    async def main():
        async with TcpServer(relay_to(server.port)) as front:
            member = Member("127.0.0.1", front.port, "limits")
            async with backend_on(member, 3) as backend:
                await ask(backend, "insert_one", {})
                slow = {"$where": "sleep(30) || true"}
                jobs = [asyncio.ensure_future(ask(backend, "find", slow)) for _ in range(12)]
                await asyncio.sleep(0)
                assert backend.busy == 12
                await asyncio.gather(*jobs)
                assert backend.busy == 0
                assert front.open <= 3 + 2  # two watch the server
                await ask(backend, "drop")

    uvloop.run(main())


def test_who_waits_too_long_for_a_connection_is_told_so(server):
    async def use(backend):
        await ask(backend, "insert_one", {})
        slow = asyncio.ensure_future(ask(backend, "find", {"$where": "sleep(10000) || true"}))
        waiting = asyncio.ensure_future(ask(backend, "find", {}))
        await asyncio.sleep(0)
        waiting.cancel(EXPIRED)
        with pytest.raises(Failure) as caught:
            await waiting
        assert isinstance(caught.value.error, PoolExhausted)
        assert (caught.value.status, caught.value.sent) == (STA_TIMEOUT, False)
        slow.cancel()
        await asyncio.wait({slow})
        assert slow.cancelled()

    on(server, use, max_conns=1)


def test_a_closed_backend_answers_nothing_and_keeps_nothing(server):
    async def main():
        backend = MongodbBackend(server.member("closing"), 2)
        await ask(backend, "insert_one", {})
        slow = {"$where": "sleep(10000) || true"}
        running = [asyncio.ensure_future(ask(backend, "find", slow)) for _ in range(5)]
        await asyncio.sleep(0.05)
        await backend.close()
        for result in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(result, Failure)
            assert isinstance(result.error, NetworkError)
            assert result.status == STA_NETERR
        with pytest.raises(Failure):
            await ask(backend, "find", {})
        assert backend.busy == 0
        assert len(asyncio.all_tasks()) == 1
        await backend.close()

    uvloop.run(main())


def test_thousands_of_calls_leave_nothing_behind(server):
    async def use(backend):
        async def some(count: int) -> None:
            for at in range(count):
                await ask(backend, "find_one", {"_id": 1})
                if not at % 50:
                    with pytest.raises(Failure):
                        await ask(backend, "insert_one", {"_id": 1})

        await ask(backend, "insert_one", {"_id": 1})
        await asyncio.gather(*(some(10) for _ in range(8)))
        gc.collect()
        before, tasks = len(gc.get_objects()), len(asyncio.all_tasks())
        await asyncio.gather(*(some(375) for _ in range(8)))
        gc.collect()
        assert len(gc.get_objects()) - before < 500
        assert len(asyncio.all_tasks()) <= tasks + 1

    on(server, use, max_conns=8)


# -- JSON


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (bson.ObjectId("6b01b8a43615663795272a44"), "6b01b8a43615663795272a44"),
        (bson.Decimal128("12.50"), "12.50"),
        (bson.Binary(b"\xff\x00", 128), "/wA="),
        (bson.Regex("^a", "i"), "^a"),
        (bson.DBRef("cities", 1), {"$ref": "cities", "$id": 1}),
        (
            bson.Timestamp(0, 1),
            datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc),
        ),
    ],
)
def test_values_of_bson_have_a_json_form(value, form):
    assert json_form(value) == form


@pytest.mark.parametrize("value", [object(), bson.MinKey(), 1j])
def test_values_without_a_json_form_are_refused(value):
    with pytest.raises(TypeError, match="has no JSON form"):
        json_form(value)
