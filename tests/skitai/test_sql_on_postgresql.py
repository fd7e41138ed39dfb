"""Statements of the builder do in a real PostgreSQL what they say."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameter_ids import by_repr
from sql_shop import CHANGES, CONDITIONS, SELECTS, TABLES, fill, find, in_order
from sql_texts import pg

from skitai.sql import D, F, V
from skitai.upstream.postgresql.types import adapt, register

texts = st.text(alphabet=st.sampled_from("aAß%_\\[]*?!^-'\" \n"), max_size=6)
many = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50
)


class Shop:
    """A database that runs statements as the driver does, in one transaction."""

    def __init__(self, cursor):
        self.cursor = cursor

    def run(self, builder):
        """The rows of the last statement; None if it has none."""
        statement = builder.compile()
        self.cursor.execute(statement.sql, adapt(statement.params))
        return None if self.cursor.description is None else self.cursor.fetchall()


@pytest.fixture(scope="module")
def cursor(postgresql):
    with postgresql.connect(postgresql.new_database()) as cursor:
        register(cursor.connection)
        cursor.connection.autocommit = False
        cursor.execute(TABLES.format(json="jsonb"))
        fill(pg, Shop(cursor).run)
        cursor.connection.commit()
        yield cursor
        cursor.connection.rollback()


@pytest.fixture
def shop(cursor):
    yield Shop(cursor)
    cursor.connection.rollback()


@pytest.mark.parametrize(("condition", "found"), CONDITIONS, ids=by_repr)
def test_conditions_find_what_they_say(shop, condition, found):
    assert [row[0] for row in shop.run(find(pg, condition))] == found


@pytest.mark.parametrize(("build", "rows"), SELECTS)
def test_selects_find_what_they_say(shop, build, rows):
    builder = build(pg)
    assert in_order(builder, shop.run(builder)) == rows


@pytest.mark.parametrize(("build", "returned", "text", "rows"), CHANGES)
def test_changes_do_what_they_say(shop, build, returned, text, rows):
    back = shop.run(build(pg))
    assert sorted(back) == returned if isinstance(returned, list) else bool(back) == bool(returned)
    assert shop.run(pg.sql(text)) == rows


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"name__regex": "^[A-Z]ans$"}, [1]),
        ({"name__iregex": "^HANS"}, [1, 3]),
        ({"data__haskey": "tag"}, [1, 2, 4]),
        ({"data___a__haskey": "b"}, [1, 2]),
        ({"data__haskeyin": ["ok", "none"]}, [1, 2]),
        ({"data__haskeyin": []}, []),
        ({"seen__week": 26}, [4]),
        ({"name__icontains": F("upper(name)")}, [1, 2, 3, 4]),
        ({"data": {"n": 7, "tag": "x"}}, [4]),
        ({"data___n__gte": F("5 + {}", 2)}, None),
    ],
)
def test_what_only_postgresql_has(shop, condition, found):
    if found is None:  # text is not compared with numbers by guessing
        with pytest.raises(psycopg2.errors.UndefinedFunction):
            shop.run(find(pg, condition))
        return
    assert [row[0] for row in shop.run(find(pg, condition))] == found


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (lambda: pg.select("n").get("id").with_(
            "n", pg.insert("users").set(id=9).returning("id")), [(9,)]),
        (lambda: pg.delete("users").from_("buys", "b", b__user_id=F("users.id")).returning(
            "users.id"), [(1,), (2,)]),
        (lambda: pg.select("users", "u").get("u.id, b.item").join(
            "LATERAL (select item from buys where user_id = u.id order by id limit 1) AS b",
            "true").order_by("u.id"), [(1, "Hans"), (2, "%")]),
        (lambda: pg.select("users", "u").get("b.id").right_join(
            "buys", "b", b__user_id=F("u.id")).filter(u__id__isnull=True), [(4,)]),
        (lambda: pg.select("users", "u").get("count(*)").full_join(
            "buys", "b", b__user_id=F("u.id")), [(6,)]),
    ],
)  # fmt: skip
def test_statements_that_only_postgresql_has(shop, build, rows):
    assert sorted(shop.run(build())) == rows


@many
@given(texts, texts)
def test_text_is_found_in_text_as_it_is(shop, whole, part):
    table = pg.with_("t", D(whole=whole, part=part))
    for name, expected in (
        ("contains", part in whole),
        ("startswith", whole.startswith(part)),
        ("endswith", whole.endswith(part)),
        ("icontains", part.lower() in whole.lower()),
        ("iexact", part.lower() == whole.lower()),
        ("ncontains", part not in whole),
    ):
        for value in (part, F("part"), F("{}", part)):
            found = shop.run(table.select("t").filter(**{f"whole__{name}": value}))
            assert bool(found) is expected, (name, value)


@many
@given(
    st.one_of(
        st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.decimals(allow_nan=False, allow_infinity=False, places=5),
        st.binary(),
        st.uuids(),
        st.dates(),
        st.datetimes(),
        st.datetimes(timezones=st.just(timezone.utc), min_value=datetime(1, 1, 2)),
        st.booleans(),
    )
)
def test_values_come_back_as_they_were_sent(shop, value):
    text = "select {a}, 5 % 3, '%', {d.values} where {q}"
    if isinstance(value, str):
        text = text.replace("{a}", "{a}::text").replace("{d.values}", "({d.values})::text")
    if isinstance(value, float):  # a literal such as 1e16 is a numeric
        text = text.replace("{a}", "{a}::float").replace("{d.values}", "({d.values})::float")
    row = shop.run(pg.template(text).feed(a=value, d=D(x=value), q=V(True)))[0]
    assert row == (value, 2, "%", value)
    assert shop.run(pg.with_("v", D(x=value)).select("v").filter(x=value, x__in=[value, value]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uuid", UUID(int=5)),
        ("uuid[]", [UUID(int=5), UUID(int=6)]),
        ("int[]", []),
        ("int[]", [1, None, -3]),
        ("text[]", ["it's", 'a"b', "\\", "{}", ""]),
        ("varchar(9)[]", ["a"]),
        ("int[]", [[1, 2], [3, 4]]),
        ("timestamptz", datetime(2020, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=9)))),
        ("timestamp", datetime(2020, 1, 2, 3, 4, 5, 678901)),
        ("date", date(2020, 1, 2)),
        ("time", time(3, 4, 5, 678901)),
        ("interval", timedelta(days=1, microseconds=5)),
        ("numeric", Decimal("-123456789012345678901234567890.123456789")),
        ("bytea", b"\x00'\\"),
        ("jsonb", {"a": 'it\'s \\ "%s" ☂', "b": [1, None]}),
        ("json", {"a": 1}),
    ],
)
def test_values_are_stored_and_found(shop, kind, value):
    shop.cursor.execute(f'create table things (a {kind}, "user" {kind})')
    shop.run(pg.insert("things").set(a=value, user=value))
    assert shop.run(pg.select("things")) == [(value, value)]
    if kind == "json":  # which has no equality
        return
    if not kind.startswith("varchar"):
        assert shop.run(pg.select("things").filter(a=value, user=value)) == [(value, value)]
    assert shop.run(pg.update("things").set(a=None).filter("a is not null").returning("a"))


def test_every_keyword_of_postgresql_can_be_the_name_of_a_column(shop):
    shop.cursor.execute("select word from pg_get_keywords()")
    words = [word for (word,) in shop.cursor.fetchall()]
    assert len(words) > 300
    columns = ", ".join(f'"{word}" int' for word in words)
    shop.cursor.execute(f"create table w ({columns})")
    shop.run(pg.insert("w").set({word: number for number, word in enumerate(words)}))
    assert shop.run(pg.update("w").set({word: F("{} + 0", 7) for word in words}).all()) is None
    for word in words:
        found = pg.select("w", '"user"').get("1").filter(**{word: 7, f"user.{word}__gt": 6})
        assert shop.run(found) == [(1,)], word
