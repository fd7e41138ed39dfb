"""Encrypted connections."""

from __future__ import annotations

import asyncio

import pytest
from postgresql_driving import Database, ask, run
from postgresql_server import running_postgresql

from skitai.tasks.errors import Failure
from skitai.tasks.status import STA_NETERR

__all__ = ["run"]

ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def module_database():
    with running_postgresql(tls=True) as server:
        yield Database(server)


@pytest.fixture
def database(module_database):
    module_database.reset()
    return module_database


def connecting(database, **changes):
    async def main():
        async with database.backend(**changes) as backend:
            return await ask(backend, ENCRYPTED)

    return main()


def test_who_asks_for_tls_gets_it(run, database):
    authority = str(database.server.directory / "tls.crt")
    assert run(connecting(database, tls=True, verify=authority, host="localhost")) is True
    assert run(connecting(database, tls=True, verify=False)) is True
    assert run(connecting(database)) is False


@pytest.mark.parametrize(
    ("host", "verified"), [("localhost", False), ("127.0.0.1", True)], ids=["authority", "name"]
)
def test_a_certificate_that_does_not_fit_is_refused(run, database, host, verified):
    authority = str(database.server.directory / "tls.crt") if verified else True
    with pytest.raises(Failure, match="certificate") as caught:
        run(connecting(database, tls=True, verify=authority, host=host))
    assert (caught.value.status, caught.value.sent) == (STA_NETERR, False)


def test_big_statements_and_answers_pass(run, database):
    text = "x" * 5_000_000

    async def main():
        async with database.backend(tls=True, verify=False) as backend:
            big = await ask(backend, "select %s || 'y'", text)
            many = await asyncio.gather(
                *[ask(backend, "select repeat('z', 100000)") for _ in range(50)]
            )
            return big, {len(value) for value in many}

    assert run(main()) == (text + "y", {100000})


def test_statements_are_cancelled_at_the_server(run, database):
    async def main():
        async with database.backend(max_conns=1, tls=True, verify=False) as backend:
            pid = await ask(backend, "select pg_backend_pid()")
            call = asyncio.create_task(ask(backend, "select pg_sleep(30)"))
            await database.until_running("pg_sleep")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return pid == await ask(backend, "select pg_backend_pid()")

    assert run(main()) is True


def test_a_crash_is_noticed(run, database):
    async def main():
        async with database.backend(max_conns=1, tls=True, verify=False) as backend:
            await ask(backend, "select 1")
            await asyncio.to_thread(database.server.kill)
            database.server.start()
            return await ask(backend, ENCRYPTED)

    assert run(main()) is True
