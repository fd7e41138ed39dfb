"""Keywords of conditions: what is a column, what an operator, and what is refused."""

from __future__ import annotations

import pytest
from sql_texts import flat, lite, pg, where

from skitai.sql import D, SqlError
from skitai.sql.keys import OPERATORS, distance


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("name", "name = %s"),
        ("name__eq", "name = %s"),
        ("u__name", "u.name = %s"),
        ("s__u__name", "s.u.name = %s"),
        ("u.name", "u.name = %s"),
        ("s.u.name__gt", "s.u.name > %s"),
        ("_id", "_id = %s"),
        ("größe", "größe = %s"),
        ("a1__b2", "a1.b2 = %s"),
        # names that SQL would take for something else
        ("user", '"user" = %s'),
        ("User", '"user" = %s'),
        ("order__group", '"order"."group" = %s'),
        ("end__gt", '"end" > %s'),
        # a column that is named like an operator, or nearly
        ("contains", "contains = %s"),
        ("a.contains", "a.contains = %s"),
        ("a.contian", "a.contian = %s"),
        ("a.date", "a.date = %s"),
        ("a.date__gt", "a.date > %s"),
        # columns that only look a bit like operators
        ("a__id", "a.id = %s"),
        ("a__rate", "a.rate = %s"),
        ("a__data", "a.data = %s"),
        ("a__title", "a.title = %s"),
        ("a__type", "a.type = %s"),
        ("a__content", "a.content = %s"),
        ("a__container", "a.container = %s"),
        ("a__rank", "a.rank = %s"),
        ("a__starts", "a.starts = %s"),
        ("plan__months", "plan.months = %s"),
        ("plan__minutes__gte", "plan.minutes >= %s"),
    ],
)
def test_keywords_are_columns_with_or_without_alias(key, text):
    assert where(pg.select("t").filter(**{key: 5})) == (text, (5,))


def test_sqlite_quotes_so_that_no_column_can_become_a_text():
    assert where(lite.select("t").filter(user="user")) == ("`user` = ?", ("user",))


@pytest.mark.parametrize(
    ("key", "wrong", "meant"),
    [
        ("name__contians", "contians", "contains"),
        ("name__contain", "contain", "contains"),
        ("name__Contains", "Contains", "contains"),
        ("u__name__contians", "contians", "contains"),
        ("name__startwith", "startwith", "startswith"),
        ("name__starts_with", "starts_with", "startswith"),
        ("name__endwith", "endwith", "endswith"),
        ("name__icontain", "icontain", "icontains"),
        ("name__iexcat", "iexcat", "iexact"),
        ("name__notcontains", "notcontains", "notcontain"),
        ("age__ne", "ne", "neq"),
        ("age__not", "not", "neq"),
        ("age__ge", "ge", "gte"),
        ("age__le", "le", "lte"),
        ("age__tge", "tge", "gte"),
        ("age__betwen", "betwen", "between"),
        ("age__not_in", "not_in", "notin"),
        ("age__ni", "ni", "in"),
        ("age__like", "like", "contains"),
        ("age__is_null", "is_null", "isnull"),
        ("age__isnul", "isnul", "isnull"),
        ("data__has_key", "has_key", "haskey"),
        ("data___a__contians", "contians", "contains"),
        ("born__yaer", "yaer", "year"),
        ("born__yaer__gte", "yaer", "year"),
        ("born__mnoth", "mnoth", "month"),
        ("born__day_of_weak", "day_of_weak", "day_of_week"),
        ("__exits", "exits", "exists"),
    ],
)
def test_misspelt_operators_are_found_when_the_statement_is_built(key, wrong, meant):
    with pytest.raises(SqlError) as caught:
        pg.select("t").filter(**{key: 5})
    assert f"{key!r}: {wrong!r} is no operator, did you mean {meant!r}?" in str(caught.value)


def test_the_message_says_how_a_column_with_such_a_name_is_written():
    with pytest.raises(SqlError, match=r"a column is written with a dot: 's\.a\.contians'"):
        pg.select("t").filter(s__a__contians=5)


def test_a_misspelt_operator_is_found_even_if_the_value_is_none():
    with pytest.raises(SqlError, match="did you mean 'contains'"):
        pg.select("t").filter(name__contians=None)


def test_an_unknown_operator_without_column_names_those_there_are():
    with pytest.raises(SqlError, match="'foo' is no operator; known are eq, exact, neq, gt"):
        pg.select("t").filter(__foo=5)


def test_every_operator_can_be_used_and_is_not_taken_for_another_one():
    for name in set(OPERATORS) - {"all", "exists", "nexists", "notexist"}:
        value = {"isnull": True, "between": (1, 2), "range": (1, 2), "in": [1], "notin": [1]}.get(
            name, ["k"] if name == "haskeyin" else "x"
        )
        text, _ = where(pg.select("t").filter(**{f"a__b__{name}": value}))
        assert "a.b" in text


@pytest.mark.parametrize(
    "key",
    [
        "", " ", "a b", "a;b", "a-b", "a'b", 'a"b', "a`b", "a(b)", "1a", "a=1 or b", "a\nb", "a\0b",
        "a,b", "a*", "*", "a/*", "a--", "a%s", "a?", "a::int", "a[1]", "$1", "a$b", "a.", ".a",
        "a..b", "a__", "a__b__", "__", "___a", "a___", "a___b-c", "a___'x'", "a___b___", "a___1__x",
        "a__0__b", "a__b;c", "a__b__gt ", "a.1", "é-x", "x" * 256,
        pytest.param("a" * 10_000_000, id="long"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("db", [pg, lite], ids=["postgresql", "sqlite"])
def test_what_is_no_name_is_refused(db, key):
    with pytest.raises(SqlError) as caught:
        db.select("t").filter(**{key: 5})
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    "key",
    [
        "", " ", "a b", "a;b", "a-b", "a'b", 'a"b', "a`b", "a(b)", "1a", "a=1", "a\nb", "a\0b",
        "a,b", "*", "a--", "a%s", "a?", "a::int", "$1", "a.b", "x" * 256,
        pytest.param("a" * 10_000_000, id="long"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("db", [pg, lite], ids=["postgresql", "sqlite"])
def test_what_is_no_column_gets_no_value(db, key):
    for begin in (lambda: db.insert("t").set({key: 5}), lambda: D({key: 5}),
                  lambda: db.update("t").set(D(a=1), **{key: 5}),
                  lambda: db.insert("t").set([{key: 5}]),
                  lambda: db.insert("t").set(a=1).upflict("a", **{key: 5})):  # fmt: skip
        with pytest.raises(SqlError) as caught:
            begin()
        assert len(str(caught.value)) < 1500


def test_columns_that_get_values_may_have_any_underscores():
    assert flat(pg.insert("t").set(a__b=1, _c=2, d__gt=3, end=4)) == (
        'INSERT INTO t (a__b, _c, d__gt, "end") VALUES (%s, %s, %s, %s)',
        (1, 2, 3, 4),
    )


@pytest.mark.parametrize("key", [1, None, b"a", ("a",)])
def test_names_that_are_no_text_are_refused(key):
    with pytest.raises(SqlError, match="must be text"):
        pg.insert("t").set({key: 5})


@pytest.mark.parametrize(
    ("key", "value", "in_pg", "in_lite"),
    [
        ("data___a", "x", "data ->> 'a' = %s", "data ->> 'a' = ?"),
        ("u__data___a___b", "x", "u.data -> 'a' ->> 'b' = %s", "u.data -> 'a' ->> 'b' = ?"),
        ("data__0", "x", "data ->> 0 = %s", "data ->> 0 = ?"),
        ("data___a__0__12___b__gt", 5, "(data -> 'a' -> 0 -> 12 ->> 'b')::numeric > %s",
         "data -> 'a' -> 0 -> 12 ->> 'b' > ?"),
        ("data___ok", True, "(data ->> 'ok')::boolean = %s", "data ->> 'ok' = ?"),
        ("data___n__in", [1.5], "(data ->> 'n')::numeric IN (%s)", "data ->> 'n' IN (?)"),
        ("data___n__isnull", False, "data ->> 'n' IS NOT NULL", "data ->> 'n' IS NOT NULL"),
        ("data___1", "x", "data ->> '1' = %s", "data ->> '1' = ?"),
        ("data___gt", "x", "data ->> 'gt' = %s", "data ->> 'gt' = ?"),
        ("data___at__year", 2020, "EXTRACT(YEAR FROM (data ->> 'at')::timestamp) = %s",
         "CAST(strftime('%Y', data ->> 'at') AS INTEGER) = ?"),
    ],
)  # fmt: skip
def test_three_underscores_lead_into_json(key, value, in_pg, in_lite):
    params = tuple(value) if isinstance(value, list) else () if value is False else (value,)
    assert where(pg.select("t").filter(**{key: value})) == (in_pg, params)
    assert where(lite.select("t").filter(**{key: value})) == (in_lite, params)


def test_json_documents_are_compared_as_documents():
    value = {"b": [1]}
    text = '{"b":[1]}'
    assert where(pg.select("t").filter(data___a=value)) == (
        "(data -> 'a')::jsonb = %s::jsonb",
        (text,),
    )
    assert where(lite.select("t").filter(data___a=value)) == ("data -> 'a' = json(?)", (text,))


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("abc", "xbc", 1),
     ("contians", "contains", 1), ("kitten", "sitting", 3), ("", "abc", 3)],
)  # fmt: skip
def test_slips_are_counted(one, other, slips):
    assert distance(one, other) == distance(other, one) == slips
