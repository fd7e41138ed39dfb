"""Values that go into a file of SQLite and come back, and columns whose type is declared."""

from __future__ import annotations

import enum
import sqlite3
import warnings
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_files import opened, run, sql

from skitai.sql.statement import Statement
from skitai.tasks.errors import Failure
from skitai.upstream.sqlite.types import ColumnTypes
from skitai.upstream.sqlite.values import CONVERTERS, adapt, adapt_all, converter_of

# Python reads an offset of less than a second as none.
zones = st.integers(-23 * 3600, 23 * 3600).map(lambda seconds: timezone(timedelta(0, seconds)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
jsons = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner),
        max_leaves=5,
    ),
)
numbers = st.decimals(-(10**9), 10**9, places=4)
values = {
    "DATE": st.dates(),
    "DATETIME": moments | st.datetimes(timezones=zones),
    "TIMESTAMP": moments,
    "TIME": st.times(),
    "BOOLEAN": st.booleans(),
    "DECIMAL(14, 4)": numbers,
    "UUID": st.uuids(),
    "JSON": jsons,
    "INTEGER": st.integers(-(2**63), 2**63 - 1),
    "REAL": st.floats(allow_nan=False),
    "TEXT": st.text(st.characters(exclude_categories=["Cs"])),
    "BLOB": st.binary(),
}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_stored_in_a_column_of_its_type_comes_back(data):
    row = {kind: data.draw(st.none() | strategy, kind) for kind, strategy in values.items()}
    with sqlite3.connect(":memory:") as connection:
        columns = ", ".join(f"c{at} {kind}" for at, kind in enumerate(row))
        connection.execute(f"CREATE TABLE a ({columns})")
        places = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO a VALUES ({places})", adapt_all(list(row.values())))
        back = list(connection.execute("SELECT * FROM a").fetchone())
    connection.close()
    for at, kind in enumerate(row):
        converter = converter_of(kind)
        if converter is not None and back[at] is not None:
            back[at] = converter(back[at])
    assert dict(zip(row, back, strict=True)) == row
    assert [type(value) for value in back] == [type(value) for value in row.values()]


@given(st.sampled_from(sorted(CONVERTERS)), st.text() | st.integers() | st.floats() | st.binary())
def test_no_value_makes_a_converter_fail(kind, value):
    CONVERTERS[kind](value)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (datetime(2024, 2, 29, 12, 30, 1, 5), "2024-02-29 12:30:01.000005"),
        (
            datetime(2024, 2, 29, 1, 30, tzinfo=timezone(timedelta(hours=2))),
            "2024-02-28 23:30:00+00:00",
        ),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "0001-01-01 00:00:00+01:00"),
        (date(987, 1, 2), "0987-01-02"),
        (time(1, 2), "01:02:00"),
        (Decimal("1.10"), 1.1),
        (Decimal("1E+3"), 1000),
        (Decimal(2**63 - 1), 2**63 - 1),
        (Decimal(2**63), "9223372036854775808"),
        (Decimal("0.1234567890123456"), "0.1234567890123456"),
        (Decimal("1E-400"), "1E-400"),
        (Decimal("NaN"), "NaN"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [1, {"b": None}]}, '{"a":[1,{"b":null}]}'),
        ({"day": date(2024, 1, 2)}, '{"day":"2024-01-02"}'),
        (True, True),
        (b"\0", b"\0"),
        (enum.IntEnum("Size", "BIG").BIG, 1),
    ],
)
def test_values_are_stored_in_a_form_that_sqlite_understands(value, stored):
    assert adapt(value) == stored
    assert adapt_all([value]) == [stored]
    assert adapt_all({"a": value}) == {"a": stored}


def test_integers_of_other_libraries_are_integers():
    class Integer:
        def __index__(self):
            return 7

    assert adapt(Integer()) == 7


@pytest.mark.parametrize("value", [[1], (1,), {1}, frozenset()])
def test_arrays_are_refused(value):
    with pytest.raises(Failure, match="no arrays"):
        adapt(value)


@pytest.mark.parametrize(
    ("kind", "stored", "value"),
    [
        ("date", "2024-02-30", "2024-02-30"),
        ("date", "2024-02-03 10:00:00", "2024-02-03 10:00:00"),
        ("date", "20240203", "20240203"),
        ("date", 1700000000, 1700000000),
        ("timestamp", "now", "now"),
        ("timestamp", 1700000000.5, 1700000000.5),
        ("timestamp", "2024-01-02", datetime(2024, 1, 2)),
        ("timestamp", "2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, 0, timezone.utc)),
        ("timestamp with time zone", "2024-01-02 03:04", datetime(2024, 1, 2, 3, 4)),
        ("datetime(6)", "2024-01-02 03:04:05.000007", datetime(2024, 1, 2, 3, 4, 5, 7)),
        ("time", "3 o'clock", "3 o'clock"),
        ("boolean", 2, 2),
        ("boolean", "yes", "yes"),
        ("decimal", 1.1, Decimal("1.1")),
        ("decimal(9,2)", "x", "x"),
        ("uuid", "not one", "not one"),
        ("json", "{", "{"),
        ("json", "[1]", [1]),
    ],
)
def test_malformed_values_stay_as_they_are(kind, stored, value):
    converter = converter_of(kind)
    assert converter is not None
    assert converter(stored) == value
    assert type(converter(stored)) is type(value)


def test_types_without_converters_are_left_alone():
    assert [converter_of(kind) for kind in ("", "TEXT", "datelike", "NUMERIC", "INTEGER")] == [
        None
    ] * 5


TABLES = """
    CREATE TABLE a (id INTEGER PRIMARY KEY, day DATE, at TIMESTAMP, ok BOOLEAN, "odd ?" DATE);
    CREATE VIEW v AS SELECT day AS d, count(*) AS n FROM a GROUP BY day;
    INSERT INTO a VALUES (1, '2024-01-02', '2024-01-02 03:04:05', 1, '2024-05-06');
"""
DAY = date(2024, 1, 2)


@pytest.mark.parametrize(
    ("text", "values", "row"),
    [
        (
            "SELECT day, day AS d, at, ok FROM a",
            (),
            [DAY, DAY, datetime(2024, 1, 2, 3, 4, 5), True],
        ),
        ("SELECT day FROM a WHERE day = ? AND id IN (?, ?) LIMIT ?", (DAY, 1, 2, 1), [DAY]),
        (
            "SELECT max(day), day || '?', 'x' AS \"a ?\" FROM a",
            (),
            ["2024-01-02", "2024-01-02?", "x"],
        ),
        ('SELECT "odd ?" FROM a -- ?', (), [date(2024, 5, 6)]),
        ("WITH c AS (SELECT day FROM a WHERE id = ?) SELECT day FROM c", (1,), [DAY]),
        ("SELECT b.day, c.day AS e FROM a b JOIN a c USING (id)", (), [DAY, DAY]),
        ("SELECT d, n FROM v", (), [DAY, 1]),
        ("SELECT (SELECT day FROM a) AS x, * FROM (SELECT ok FROM a)", (), [DAY, True]),
        (
            "UPDATE a SET ok = ? WHERE id = ? RETURNING day, ok AS fine, ok",
            (False, 1),
            [DAY, 0, False],
        ),
        ("INSERT INTO a (day) VALUES (?) RETURNING *", (DAY,), [2, DAY, None, None, None]),
        ('REPLACE INTO main."a" (day) VALUES (?) RETURNING day', (DAY,), [DAY]),
        (
            "WITH c AS (SELECT 1) DELETE FROM [a] WHERE id = (SELECT * FROM c) RETURNING day",
            (),
            [DAY],
        ),
        ("PRAGMA user_version", (), [0]),
    ],
)
def test_declared_types_are_those_of_the_columns_that_a_statement_gives(
    tmp_path, text, values, row
):
    async def main():
        async with opened(tmp_path / "x.db") as db:
            await db.call(Statement(TABLES))
            for _ in range(2):  # when the text is new, and when it is known
                session = await db.session(autocommit=False)
                (found,) = (await session.execute(sql(text, *values))).data
                await session.close()
                assert list(found.values()) == row
                assert [type(value) for value in found.values()] == [type(value) for value in row]
            (found,) = (await db.call(sql(text, *values))).data
            assert list(found.values()) == row

    run(main)


def test_columns_that_change_are_noticed(tmp_path):
    path = tmp_path / "x.db"

    async def main():
        async with opened(path) as db:
            everything = sql("SELECT * FROM a")
            await db.call(Statement("CREATE TABLE a (b DATE); INSERT INTO a VALUES ('2024-01-02')"))
            assert (await db.call(everything)).data == [{"b": DAY}]
            await db.call(sql("ALTER TABLE a ADD COLUMN c DATE DEFAULT '2024-01-02'"))
            assert (await db.call(everything)).data == [{"b": DAY, "c": DAY}]
            await db.call(Statement("DROP TABLE a; CREATE TABLE a (b TEXT, c TEXT)"))
            await db.call(sql("INSERT INTO a VALUES ('2024-01-02', '')"))
            assert (await db.call(everything)).data == [{"b": "2024-01-02", "c": ""}]
            # By another process.
            other = sqlite3.connect(path)
            other.executescript("ALTER TABLE a ADD COLUMN d DATE DEFAULT '2024-01-02'")
            other.close()
            assert (await db.call(everything)).data == [{"b": "2024-01-02", "c": "", "d": DAY}]

    run(main)


def test_known_statements_are_limited():
    types = ColumnTypes()
    connection = sqlite3.connect(":memory:")
    for number in range(2000):
        types.of(connection, f"SELECT {number} AS x", ["x"])
    assert len(types._known) <= 512
    connection.close()


def test_the_converters_and_adapters_of_the_app_stay_its_own(tmp_path):
    before = dict(sqlite3.converters), dict(sqlite3.adapters)

    async def main():
        async with opened(tmp_path / "x.db") as db:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Python 3.12 warns of its own converters
                await db.call(sql("CREATE TABLE a (b TIMESTAMP, c DATE)"))
                now = datetime(2024, 1, 2, 3, 4, 5, 6)
                await db.call(sql("INSERT INTO a VALUES (?, ?)", now, now.date()))
                assert (await db.call(sql("SELECT * FROM a"))).data == [{"b": now, "c": DAY}]

    run(main)
    assert (dict(sqlite3.converters), dict(sqlite3.adapters)) == before
