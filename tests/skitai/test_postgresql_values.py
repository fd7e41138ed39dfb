"""Values on their way to PostgreSQL and back."""

from __future__ import annotations

import asyncio
import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from uuid import UUID

import psycopg2
import psycopg2.errors
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql_driving import ask, database, module_database, run, statement

from skitai.sql.rows import Row
from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure
from skitai.tasks.status import STA_NORMAL

__all__ = ["database", "module_database", "run"]

KOREA = timezone(timedelta(hours=9))
ID = UUID("12345678-1234-5678-1234-567812345678")


class Color(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "text"),
        (True, "boolean"),
        (-(2**63), "bigint"),
        (-5, "int"),
        (-0.5, "double precision"),
        (-math.inf, "double precision"),
        (Decimal("-1.50"), "numeric"),
        ([-1, 2], "int[]"),
        (0.1, "double precision"),
        (math.inf, "double precision"),
        (Decimal("1234567890.1234567890"), "numeric"),
        (Decimal("-Infinity"), "numeric"),
        ('it\'s 100% \\ "quoted" ☂ 𝄞\n', "text"),
        ("", "text"),
        (bytes(range(256)), "bytea"),
        (b"", "bytea"),
        (ID, "uuid"),
        (date(2024, 2, 29), "date"),
        (time(23, 59, 59, 999999), "time"),
        (time(1, 2, 3, tzinfo=KOREA), "time with time zone"),
        (datetime(2024, 2, 29, 1, 2, 3, 456789), "timestamp"),
        (timedelta(days=-3, seconds=5, microseconds=7), "interval"),
        ([1, None, 3], "int[]"),
        ([[1, 2], [3, 4]], "int[]"),
        ([], "text[]"),
        (["a", "b,c", 'd"e', None], "text[]"),
        ([True, False], "boolean[]"),
        ([Decimal("1.50")], "numeric[]"),
        ([b"\x00\xff", None], "bytea[]"),
        ([ID, None], "uuid[]"),
        ([date(2024, 1, 2)], "date[]"),
        ([{"a": 1}, {"b": "it's"}], "jsonb[]"),
        ({"a": [1, 2.5, None, True, {"b": "\\ ' \" \n ☂"}], "": {}}, "jsonb"),
        ({"a": 1}, "json"),
        ({}, "jsonb"),
    ],
)
def test_a_value_comes_back_as_it_was(run, database, value, kind):
    async def main():
        async with database.backend() as backend:
            compared = await ask(backend, f"select %s::{kind} is not distinct from null", value)
            return compared, await ask(backend, f"select %s::{kind}", value)

    missing, back = run(main())
    assert back == value
    assert type(back) is type(value)
    assert missing == (value is None)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (datetime(2024, 2, 29, 1, 2, 3, 4, KOREA), "timestamptz", None),
        (bytearray(b"\x00a"), "bytea", b"\x00a"),
        (memoryview(b"\x00a"), "bytea", b"\x00a"),
        (Color.RED, "int", 1),
        (-Color.RED, "int", -1),
        (10**30, "numeric", Decimal(10**30)),
        (-5, "text", "-5"),
        (-1.5, "text", "-1.5"),
        (Decimal("-1E+2"), "text", "-100"),
        (Row(a=ID), "jsonb", {"a": str(ID)}),
        ({"n": Decimal("1.10"), "d": date(2024, 1, 2), 3: b"x"}, "jsonb",
         {"n": 1.10, "d": "2024-01-02", "3": "eA=="}),
    ],
)  # fmt: skip
def test_values_that_come_back_as_their_equals(run, database, value, kind, expected):
    async def main():
        async with database.backend() as backend:
            return await ask(backend, f"select %s::{kind}", value)

    assert run(main()) == (value if expected is None else expected)


def test_a_time_with_a_zone_keeps_its_moment_and_microseconds(run, database):
    moment = datetime(2024, 7, 1, 12, 30, 15, 123456, KOREA)

    async def main():
        async with database.backend() as backend:
            return await ask(backend, "select %s", moment)

    back = run(main())
    assert back == moment
    assert back.utcoffset() is not None
    assert back.microsecond == 123456


def test_not_a_number(run, database):
    async def main():
        async with database.backend() as backend:
            return await ask(backend, "select %s", math.nan), await ask(
                backend, "select %s", Decimal("NaN")
            )

    number, decimal = run(main())
    assert math.isnan(number)
    assert decimal.is_nan()


def test_a_tuple_is_the_right_side_of_in(run, database):
    async def main():
        async with database.backend() as backend:
            found = await backend.call(statement("select id from items where id in %s", (1, 3, 99)))
            uuids = await ask(backend, "select count(*) where %s in %s", ID, (ID,))
            return [row.id for row in found.data], uuids

    assert run(main()) == ([1, 3], 1)


def test_what_looks_like_sql_stays_a_value(run, database):
    evil = "'; drop table items; --"

    async def main():
        async with database.backend() as backend:
            await backend.call(statement("update items set name = %s where id = 1", evil))
            await backend.call(statement("select %s::jsonb", {evil: "\\'; drop table items; --"}))
            name = await ask(backend, "select name from items where id = 1")
            return name, await ask(backend, "select count(*) from items")

    assert run(main()) == (evil, 10)


def test_json_that_the_server_can_not_keep_is_its_error(run, database):
    async def main():
        async with database.backend() as backend:
            with pytest.raises(Failure) as caught:
                await ask(backend, "select %s", {"a": "\0"})
            return caught.value, await ask(backend, "select 1")

    failure, one = run(main())
    assert isinstance(failure.error, psycopg2.DataError)
    assert one == 1


def test_a_value_that_python_can_not_hold_is_an_error_of_the_data(run, database):
    async def main():
        async with database.backend(max_conns=1) as backend:
            with pytest.raises(Failure) as caught:
                await ask(backend, "select '0044-03-15 BC'::date")
            return caught.value, await ask(backend, "select 1")

    failure, one = run(main())
    assert isinstance(failure.error, psycopg2.DataError)
    assert (failure.status, failure.reason) == (STA_NORMAL, "Database Error")
    assert one == 1


def test_an_app_that_uses_psycopg2_itself_finds_it_unchanged(run, database):
    async def main():
        async with database.backend() as backend:
            await ask(backend, "select %s", {"a": 1})

    run(main())
    with database.cursor() as cursor:
        cursor.execute("select '\\x00'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid")
        binary, uuid = cursor.fetchone()
        assert type(binary) is memoryview
        assert type(uuid) is str
        with pytest.raises(psycopg2.ProgrammingError):
            cursor.execute("select %s", ({"a": 1},))


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
VALUES = st.tuples(
    TEXT,
    st.binary(),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.adjusted()) < 1000),
    st.datetimes(timezones=st.just(timezone.utc)),
    st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)),
    st.lists(TEXT | st.none()),
    st.dictionaries(TEXT, JSON, max_size=4),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_any_values_come_back_as_they_were(database, rows):
    sql = (
        "select %s::text a, %s::bytea b, %s::numeric c, %s::float8 d, %s::numeric e,"
        " %s::timestamptz f, %s::interval g, %s::text[] h, %s::jsonb i"
    )

    async def main():
        async with database.backend(max_conns=1) as backend:
            return [(await backend.call(Statement(sql, row, False))).data[0] for row in rows]

    for row, back in zip(rows, asyncio.run(main()), strict=True):
        assert tuple(back.values()) == row
