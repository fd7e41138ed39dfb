"""The seed's chapters "Using Task" and "Coroutine", over real databases and services.

The server of MongoDB is a stand-in for the wire protocol where there is no ``mongod``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from live_service import LiveService, eventually, write_files
from seed_task_apps import APP, SERVE, UPSTREAM

from tests.skitai.mongo_process import running_mongodb
from tests.skitai.postgresql_server import running_postgresql
from tests.skitai.redis_process import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

TABLES = """
    create table my_table (id {serial}, name text);
    create table city (id {serial}, name text);
    create table users (id int primary key, name text, password text);
    insert into users values (1, 'Hans', 'secret'), (2, 'Roh', 'secret');
    create table foo (id int, from_wallet_id int, detail text, created_at int);
    insert into foo values (1, 8, 'x', 1), (2, 9, 'ReturnTx', 2), (3, 9, 'y', 3);
    create table tble (id int, name text);
"""
UPSTREAM_SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.mount("/", "upstream.py")
        skitai.run(workers=1, threads=8)
"""


PAGE = "{% for row in context.result %}{{ row.name }};{% endfor %}"
FETCHING_PAGE = """
{%- set rows = context.task1.fetch () %}{% for row in rows %}{{ row }},{% endfor %}
{%- set profile = context.task2.one () %}{{ profile }}"""


class World:
    """The service of the examples, and everything that it reaches."""

    def __init__(self, folder: Path, cleanup: contextlib.ExitStack) -> None:
        self.postgresql = cleanup.enter_context(running_postgresql())
        self.redis = cleanup.enter_context(running_redis())
        self.mongodb = cleanup.enter_context(running_mongodb())
        write_files(folder / "upstream", {"serve.py": UPSTREAM_SERVE, "upstream.py": UPSTREAM})
        self.upstream = LiveService(folder / "upstream")
        cleanup.callback(self.upstream.close)
        self.api = f"127.0.0.1:{self.upstream.port}"
        self._fill(folder / "project")
        self.service = LiveService(folder / "project")
        cleanup.callback(self.service.close)

    def _fill(self, folder: Path) -> None:
        pg = self.postgresql
        database = pg.new_database()
        rows = ", ".join(f"({number}, 'n{number}')" for number in range(1, 36))
        fill = f"insert into tble values {rows}"
        with pg.connect(database) as cursor:
            cursor.execute(TABLES.format(serial="serial primary key") + fill)
        address = f"{quote(pg.user)}:{quote(pg.password)}@127.0.0.1:{pg.port}/{database}"
        serve = SERVE.format(
            pg=address,
            mongo=f"127.0.0.1:{self.mongodb.port}",
            redis=f"127.0.0.1:{self.redis.port}",
            api=self.api,
        )
        write_files(
            folder,
            {
                "serve.py": serve,
                "myapp/__init__.py": APP,
                "myapp/templates/index.j2": PAGE,
                "myapp/templates/template.html": FETCHING_PAGE,
            },
        )
        with contextlib.closing(sqlite3.connect(folder / "sqlite3.db")) as connection:
            connection.executescript(TABLES.format(serial="integer primary key") + fill)
            connection.execute("insert into my_table (name) values ('Hans')")
            connection.commit()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with contextlib.ExitStack() as cleanup:
        yield World(tmp_path_factory.mktemp("world"), cleanup)


@pytest.fixture(scope="module")
def service(world: World) -> LiveService:
    return world.service


# Task


def test_http_stubs_and_rpc(browser):
    assert browser("/task/http").json() == {
        "get": {"id": 100, "name": "Hans", "limit": 10},
        "put": {"id": 100, "name": "Hans Roh", "type": "application/json"},
        "rpc": 1108,
        "json": 3,
    }


def test_postgresql_with_a_cte_that_writes(browser):
    answer = browser("/task/pg").json()
    assert answer["before"] == []
    assert [row["name"] for row in answer["after"]] == ["Hans"]


def test_sqlite(browser):
    assert browser("/task/sqlite").json() == {"rows": [{"id": 1, "name": "Hans"}]}


def test_mongodb_over_the_wire(browser):
    (found,) = browser("/task/mongo").json()["found"]
    assert (found["city"], found["name"], len(found["_id"])) == ("New York", "Hans", 24)


def test_redis(browser):
    answer = browser("/task/redis").json()
    assert (answer["foo"], type(answer["number"])) == ("bar", int)


def test_threads_processes_and_commands(browser):
    assert browser("/task/executors").json() == {"t": 3, "p": 7, "s": "hello\n"}


def test_masks(browser):
    assert browser("/task/mask").json() == {"results": [1, 1, 2]}


def test_tasks_as_list_and_by_name(browser):
    profile = {"id": 100, "name": "Hans", "limit": 10}
    assert browser("/tasks/list").json() == {"a": [], "b": profile, "c": 3}
    answer = browser("/tasks/named").json()
    assert answer["files"] == "a_b\n"
    assert {row["password"] for row in answer["result"]} == {"****"}


def test_coroutines(browser, world):
    profile = {"id": 100, "name": "Hans", "limit": 0}
    assert browser("/coroutine/2", params={"url": f"http://{world.api}"}).json() == profile
    expected = {"a": "Example Domain", "b": "mask", "c": "mask", "d": "ls\n"}
    assert browser("/coroutine").json() == expected


# Map, load balancing, cache


def test_map_merges_what_all_members_answer(browser):
    profile = {"id": 100, "name": "Hans", "limit": 10}
    expected = {"results": [profile] * 2, "fetched": [profile] * 2, "codes": [200, 200]}
    assert browser("/map/merge").json() == expected


def test_load_balancing_is_like_a_single_call(browser):
    assert browser("/map/lb").json() == {"id": 100, "name": "Hans", "limit": 10}


def test_results_are_kept_until_their_key_is_updated_by_any_worker(browser):
    def ask() -> set[tuple[str, float]]:
        """What the workers answer; over new connections, to reach both."""
        rows = [
            browser("/query", headers={"Connection": "close"}).json()["rows"][0] for _ in range(12)
        ]
        return {(row["name"], row["chance"]) for row in rows}

    first = ask()
    assert len(first) <= 2, "each worker has asked once"
    assert ask() <= first | ask()
    assert browser("/update").text == "updated"
    second = ask()
    assert {name for name, _ in second} == {"Hans!"}
    assert len(second) <= 2


def test_an_update_clears_what_several_keys_keep(browser):
    one = {"Connection": "keep-alive"}
    before = browser("/query2", headers=one).json()
    assert browser("/query2", headers=one).json() == before
    browser("/setlu")
    assert browser("/query2", headers=one).json() != before


def test_setlu_is_an_event(browser):
    assert browser("/setlu").json() == {"heard": ["something"]}


def test_every_worker_notices_an_update(browser):
    fresh = {"Connection": "close"}
    for _ in range(20):
        browser("/checked", headers=fresh)
    assert "X-Cleared" not in browser("/checked", headers=fresh).headers
    browser("/setlu")
    seen = [browser("/checked", headers=fresh).headers.get("X-Cleared") for _ in range(30)]
    assert 1 <= seen.count("tables.users") <= 2


# Making response


def test_then(browser):
    assert browser("/then/db").json() == {"result": [{"id": 1, "name": "Hans"}], "a": None}
    assert browser("/then/process").json() == {"result": 2.0, "a": 1}
    assert browser("/then/thread").json() == {"result": 2.0, "a": None}


@pytest.mark.parametrize("path", ["/datalist/api", "/datalist/map"])
def test_map_is_the_same_as_fetch(path, browser):
    assert browser(path).json() == {"result": [{"id": 1, "name": "Hans"}]}


def test_map_of_many(browser):
    answer = browser("/bench/sp").json()
    assert answer["files"] == "1\n"
    assert [row["id"] for row in answer["result"]] == [2, 1]
    assert answer["record_count"] == {"cnt": 2}


def test_filters_and_pages(browser):
    answer = browser("/map/filter").json()
    assert answer["files"] == "a_b\n"
    for path in ("/page", "/page/mapped"):
        assert browser(path, headers={"Accept": "text/html"}).text.endswith("Roh;")
        data = browser(path, headers={"Accept": "application/json"}).json()
        assert {row["password"] for row in data["result"]} == {"****"}
    assert browser("/mapped").json()["more"] == 1


def test_csv_is_streamed_from_the_database(browser):
    lines = browser("/download_csv").text.splitlines()
    assert lines[0] == "ID, NAME"
    assert lines[1:] == [f'{number}, "n{number}"' for number in range(1, 36)]


def test_tasks_in_a_template(browser, world):
    assert browser("/template", params={"api": f"http://{world.api}"}).text == "1,2,Roh"


def test_thread_future_and_producer(browser):
    assert browser("/thread_future").json() == {"result": 4.0}
    assert browser("/threaproducer").text.count("[") == 3


# Proxying


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_proxy_passes_everything_on(method, browser):
    body = {"data": b"x" * 3000} if method in ("POST", "PUT", "PATCH") else {}
    response = browser("/proxy/echo?a=1&b=%20", method, headers={"TE": "trailers"}, **body)
    assert response.status_code == 202
    assert response.headers["X-Twice"] == "1, 2"
    answer = response.json()
    assert answer["method"] == method
    assert answer["query"] == {"a": "1", "b": " "}
    assert answer["size"] == (3000 if body else 0)
    assert (answer["forwarded"], answer["connection"]) == ("127.0.0.1", None)


def test_a_proxy_passes_redirects_and_errors_on_as_they_are(browser):
    response = browser("/proxy/redirect", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (302, "/elsewhere")
    assert browser("/proxy/api/profiles/7").status_code == 404
    assert browser("/proxy/nowhere").status_code == 404


def test_head_of_a_proxied_resource(browser):
    response = browser("/proxy/api/profiles/100", "HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


def test_a_proxy_gives_up_after_its_timeout(browser):
    assert browser("/proxy/slow").status_code == 504


def test_a_proxy_streams_both_ways_in_constant_memory(browser, world):
    import psutil

    workers = [psutil.Process(pid) for pid in world.service.workers()]

    def down() -> int:
        with browser("/proxy/gigabyte", params={"size": 200 << 20}, stream=True) as response:
            return sum(len(piece) for piece in response.iter_content(1 << 20))

    def up() -> int:
        pieces = (b"x" * 65536 for _ in range(1600))
        return browser("/proxy_stream/count", "POST", data=pieces).json()["total"]

    assert (down(), up()) == (200 << 20, 65536 * 1600)
    before = sum(worker.memory_info().rss for worker in workers)
    assert (down(), up()) == (200 << 20, 65536 * 1600)
    assert sum(worker.memory_info().rss for worker in workers) - before < 24 << 20


# Failures


@pytest.mark.parametrize(
    ("kind", "status"), [("none", 410), ("many", 409), ("missing", 502), ("conflict", 409)]
)
def test_one_says_what_is_wrong(kind, status, browser):
    assert browser(f"/one/{kind}").status_code == status


def test_waiting_ignores_what_commit_reports(browser):
    assert browser("/wait").text == "waited"
    assert browser("/commit").status_code == 502


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("echo", 3, 202), ("nowhere", 3, 404), ("slow", 1, 504), ("redirect", 3, 302)],
)
def test_dispatch_never_raises(path, status, code, browser):
    answer = browser(f"/api_status/{path}").json()
    assert (answer["status"], answer["code"]) == (status, code)


@pytest.mark.parametrize(("path", "status"), [("nowhere", 502), ("slow", 504), ("echo", 200)])
def test_what_nobody_handles_is_a_failure_of_the_gateway(path, status, browser):
    assert browser(f"/api_fetch/{path}").status_code == status


def test_services_are_told_the_transaction_of_the_request(browser):
    known = {"X-Gtxn-Id": "chain-7", "X-Ltxn-Id": "1000"}
    answer = browser("/api_fetch/echo", headers=known).json()["data"]
    assert (answer["transaction"], answer["step"]) == ("chain-7", "1001")


# Transactions and streams of rows


@pytest.mark.parametrize("alias", ["@mypg", "@mylite"])
@pytest.mark.parametrize(("end", "left"), [("commit", 1), ("rollback", 0), ("nothing", 0)])
def test_transactions_keep_what_was_committed(alias, end, left, browser):
    answer = browser("/transaction", params={"alias": alias, "end": end}).json()
    assert answer == {"inside": 1, "after": left}


@pytest.mark.parametrize("alias", ["@mypg", "@mylite"])
def test_transactions_of_coroutines(alias, browser):
    assert browser("/transaction_async", params={"alias": alias}).json() == {"after": 1}


@pytest.mark.parametrize("alias", ["@mypg", "@mylite"])
@pytest.mark.parametrize("path", ["/rows", "/rows_async", "/rows_coroutine"])
def test_rows_are_read_while_they_are_sent(path, alias, browser):
    expected = "".join(f"{number}\n" for number in range(1, 36))
    assert browser(path, params={"alias": alias}).text == expected


# Faults


def ok(browser: Any, path: str) -> bool:
    return browser(path).status_code == 200


def test_redis_gone_is_502_at_once_and_the_worker_lives(browser, world):
    world.redis.kill()
    response = browser("/task/redis")
    assert response.status_code == 502
    assert response.elapsed.total_seconds() < 3
    assert ok(browser, "/task/mask")
    world.redis.start()
    eventually(lambda: ok(browser, "/task/redis"), "redis again")


def test_a_restarted_database_is_used_again_by_itself(browser, world):
    assert ok(browser, "/rows")
    world.postgresql.restart()
    eventually(lambda: ok(browser, "/rows"), "the database again")
    for _ in range(20):
        assert ok(browser, "/rows")


def test_an_upstream_that_is_gone_is_502(browser, world):
    assert browser("/api_fetch/echo").status_code == 200
    world.upstream.close()
    assert browser("/api_fetch/echo").status_code == 502
    assert browser("/proxy/echo").status_code == 502
    assert browser("/map/lb").status_code == 502
    assert ok(browser, "/task/mask")
