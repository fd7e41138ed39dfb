"""Statements of the builder do in a real SQLite what they say."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parameter_ids import by_repr
from sql_shop import CHANGES, CONDITIONS, SELECTS, TABLES, fill, find, in_order
from sql_texts import lite

from skitai.sql import F
from skitai.upstream.sqlite.values import adapt_all

texts = st.text(alphabet=st.sampled_from("aAß%_\\[]*?!^-'\" \n"), max_size=6)


class Shop:
    """A database in memory that runs statements as the driver does."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:")
        self.connection.executescript(TABLES.format(json="text"))

    def run(self, builder):
        """The rows of the last statement; None if it has none."""
        statement = builder.compile()
        with self.connection:
            for one in statement.batch or (statement,):
                cursor = self.connection.execute(one.sql, adapt_all(one.params))
                rows = None if cursor.description is None else cursor.fetchall()
        return rows


@pytest.fixture
def shop():
    shop = Shop()
    with closing(shop.connection):
        fill(lite, shop.run)
        yield shop


@pytest.fixture(scope="module")
def unchanged():
    """A shop in which nothing is changed."""
    shop = Shop()
    with closing(shop.connection):
        fill(lite, shop.run)
        yield shop


@pytest.mark.parametrize(("condition", "found"), CONDITIONS, ids=by_repr)
def test_conditions_find_what_they_say(unchanged, condition, found):
    assert [row[0] for row in unchanged.run(find(lite, condition))] == found


@pytest.mark.parametrize(("build", "rows"), SELECTS)
def test_selects_find_what_they_say(unchanged, build, rows):
    builder = build(lite)
    assert in_order(builder, unchanged.run(builder)) == rows


@pytest.mark.parametrize(("build", "returned", "text", "rows"), CHANGES)
def test_changes_do_what_they_say(shop, build, returned, text, rows):
    back = shop.run(build(lite))
    assert sorted(back) == returned if isinstance(returned, list) else bool(back) == bool(returned)
    assert shop.run(lite.sql(text)) == rows


@given(texts, texts)
def test_text_is_found_in_text_as_it_is(whole, part):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table t (whole text, part text)")
        connection.execute("insert into t values (?, ?)", (whole, part))
        for name, expected in (
            ("contains", part in whole),
            ("startswith", whole.startswith(part)),
            ("endswith", whole.endswith(part)),
            ("icontains", ascii_lower(part) in ascii_lower(whole)),
            ("iexact", ascii_lower(part) == ascii_lower(whole)),
            ("ncontains", part not in whole),
        ):
            for value in (part, F("part"), F("{}", part)):
                statement = lite.select("t").filter(**{f"whole__{name}": value}).compile()
                found = connection.execute(statement.sql, statement.params).fetchall()
                assert bool(found) is expected, (name, value)


def ascii_lower(text):
    """What SQLite knows of upper and lower case."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("it's %s ? \\", "it's %s ? \\"),
        (b"\x00'", b"\x00'"),
        (2**63 - 1, 2**63 - 1),
        (-1.5, -1.5),
        (True, 1),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (datetime(2020, 1, 2, 3, 4, 5, 6), "2020-01-02 03:04:05.000006"),
        (datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=9))), "2020-01-01 15:00:00+00:00"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (Decimal("0.1"), 0.1),
    ],
)
def test_values_are_stored_and_found(shop, value, stored):
    shop.connection.execute("create table things (a)")
    shop.run(lite.insert("things").set(a=value))
    assert shop.run(lite.select("things")) == [(stored,)]
    assert shop.run(lite.select("things").filter(a=value)) == [(stored,)]
    assert shop.run(lite.select("things").filter(a__in=[value])) == [(stored,)]
    assert shop.run(lite.select("things").filter(a__neq=value)) == []


def test_no_column_is_taken_for_a_text(shop):
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        shop.run(lite.select("users").filter(user="user"))


def test_moments_compare_across_zones_and_years(shop):
    shop.connection.execute("create table moments (a timestamp)")
    moments = [
        datetime(2020, 1, 1, 9, tzinfo=timezone(timedelta(hours=9))),
        datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc),
        datetime(2019, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
    ]
    shop.run(lite.insert("moments").set([{"a": moment} for moment in moments]))
    for moment in moments:
        earlier = shop.run(lite.select("moments").filter(a__lt=moment))
        assert len(earlier) == sum(other < moment for other in moments)
