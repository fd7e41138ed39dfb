"""Inserts, updates and deletes; several statements as one."""

from __future__ import annotations

import pytest
from sql_texts import flat, lite, pg

from skitai.sql import D, F, Q, SqlError, Statement, UnfilteredError, V, combine


def sub():
    return pg.select("u").get("id").filter(x=1)


@pytest.mark.parametrize(
    ("builder", "text", "params"),
    [
        (pg.insert("t").set(a=1, b="x"), "INSERT INTO t (a, b) VALUES (%s, %s)", (1, "x")),
        (pg.insert("t").data({"a": 1}, b=None), "INSERT INTO t (a, b) VALUES (%s, NULL)", (1,)),
        (pg.insert("t").set(a=1).set(D(b=2, a=3)), "INSERT INTO t (a, b) VALUES (%s, %s)", (3, 2)),
        (pg.insert("t").set(a=F("now()"), b=V(5), c=sub()),
         "INSERT INTO t (a, b, c) VALUES (now(), %s, (SELECT id FROM u WHERE x = %s))", (5, 1)),
        (pg.insert("t").set(self=1, values=2, named=3),
         'INSERT INTO t (self, "values", named) VALUES (%s, %s, %s)',
         (1, 2, 3)),
        (pg.insert("t"), "INSERT INTO t DEFAULT VALUES", ()),
        (pg.insert("t").set({}).returning(), "INSERT INTO t DEFAULT VALUES RETURNING *", ()),
        (pg.insert("t", "x").set(a=1).returning("x.id, a").returning("b"),
         "INSERT INTO t AS x (a) VALUES (%s) RETURNING x.id, a, b", (1,)),
        (pg.insert("t").set([{"a": 1, "b": 2}, {"b": 4, "a": 3}]),
         "INSERT INTO t (a, b) VALUES (%s, %s), (%s, %s)", (1, 2, 3, 4)),
        (pg.insert("t").set([D(a=1), {"a": F("now()")}], c=5),
         "INSERT INTO t (a, c) VALUES (%s, %s), (now(), %s)", (1, 5, 5)),
        (pg.insert("t").set([{"a": 1}]).set([{"a": 2}]), "INSERT INTO t (a) VALUES (%s), (%s)",
         (1, 2)),
        (pg.insert("t").set(a=1).upflict("a"),
         "INSERT INTO t (a) VALUES (%s) ON CONFLICT (a) DO NOTHING", (1,)),
        (pg.insert("t").set(a=1).upflict(),
         "INSERT INTO t (a) VALUES (%s) ON CONFLICT DO NOTHING", (1,)),
        (pg.insert("t").set(a=1).upflict("a, b", c=F("excluded.c"), field=2, d=None).returning("a"),
         "INSERT INTO t (a) VALUES (%s) ON CONFLICT (a, b) DO UPDATE SET c = excluded.c, "
         "field = %s, d = NULL RETURNING a", (1, 2)),
        (pg.insert("t").with_("n", sub()).set(a=F("(select id from n)")),
         "WITH n AS (SELECT id FROM u WHERE x = %s) INSERT INTO t (a) VALUES ((select id from n))",
         (1,)),
        (pg.update("t").set(a=1, b=None).filter(id=3),
         "UPDATE t SET a = %s, b = NULL WHERE id = %s", (1, 3)),
        (pg.update("t", "x").set(a=F("a + {}", 1)).exclude(id=3).returning("id"),
         "UPDATE t AS x SET a = a + %s WHERE NOT (id = %s) RETURNING id", (1, 3)),
        (pg.update("t").set(a=1).all(), "UPDATE t SET a = %s", (1,)),
        (pg.update("t").set(a=sub()).filter(id__in=sub()),
         "UPDATE t SET a = (SELECT id FROM u WHERE x = %s) "
         "WHERE id IN (SELECT id FROM u WHERE x = %s)", (1, 1)),
        (pg.update("t").set(a=F("u.a")).from_("u", "", "u.id = t.id").join("v", "", "v.id = u.id"),
         "UPDATE t SET a = u.a FROM u JOIN v ON v.id = u.id WHERE u.id = t.id", ()),
        (pg.update("t").set(a=1).from_("u").from_("v", "w").filter(b=2),
         "UPDATE t SET a = %s FROM u, v AS w WHERE b = %s", (1, 2)),
        (pg.with_("n", sub()).update("t").set(a=1).filter("id in (select id from n)"),
         "WITH n AS (SELECT id FROM u WHERE x = %s) UPDATE t SET a = %s "
         "WHERE id in (select id from n)", (1, 1)),
        (pg.delete("t").filter(id=3), "DELETE FROM t WHERE id = %s", (3,)),
        (pg.delete("t", "x").filter(Q(id=3) | Q(x__y=4)).returning("id"),
         "DELETE FROM t AS x WHERE id = %s OR x.y = %s RETURNING id", (3, 4)),
        (pg.delete("t").all(), "DELETE FROM t", ()),
        (pg.delete("t").from_("u", "", "u.id = t.id", u__x=1),
         "DELETE FROM t USING u WHERE (u.id = t.id) AND u.x = %s", (1,)),
        (pg.delete("t").filter(id__notin=[]), "DELETE FROM t WHERE 1 = 1", ()),
    ],
)  # fmt: skip
def test_changes(builder, text, params):
    assert flat(builder) == (text, params)
    assert flat(builder) == (text, params), "writing it used something up"
    assert flat(builder.clone()) == (text, params)
    assert builder.compile().writes


def unfiltered():
    """Ways to mean some rows and to get all of them."""
    return [
        lambda q: q,
        lambda q: q.filter(),
        lambda q: q.filter(id=None),
        lambda q: q.filter(id=None, name=None),
        lambda q: q.filter(Q(id=None) | Q(name=None)),
        lambda q: q.filter(~Q(id=None)),
        lambda q: q.exclude(id=None),
        lambda q: q.filter("", None),
        lambda q: q.filter(a__between=(None, None)),
        # what a request can send
        lambda q: q.filter(**{"__all": True}),
        lambda q: q.filter(Q(__all=True) | Q(id=3)),
        lambda q: q.filter(Q(__all=True), __all=True),
        lambda q: q.filter(Q(Q(__all=True) & Q(__all=True))),
    ]


@pytest.mark.parametrize("narrow", unfiltered(), ids=range(len(unfiltered())))
@pytest.mark.parametrize("begin", [
    lambda: pg.delete("t"), lambda: pg.update("t").set(a=1), lambda: lite.delete("t"),
    lambda: pg.template("delete from t where {this.filter}"),
], ids=["delete", "update", "sqlite", "template"])  # fmt: skip
def test_a_change_of_all_rows_must_be_asked_for(begin, narrow):
    builder = narrow(begin())
    for use in (builder.compile, builder.as_sql, lambda: str(builder),
                lambda: builder.clone().compile(),
                lambda: pg.select("t").append(builder).compile(),
                lambda: pg.select("t").with_(builder).compile()):  # fmt: skip
        with pytest.raises(UnfilteredError, match=r"would concern all rows.* add \.all\(\)"):
            use()
    with pytest.raises(AssertionError):
        builder.compile()
    assert builder.all().compile().writes


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pg.insert("t").set(5), "set.. takes a dictionary or a D, not int"),
        (lambda: pg.insert("t").set("a=1"), "not str"),
        (lambda: pg.insert("t").set([]), "a list without rows"),
        (lambda: pg.insert("t").set([5]), "takes a dictionary or a D, not int"),
        (lambda: pg.insert("t").set([{"a": 1}, {"b": 1}]).compile(), "row 2 has other columns"),
        (lambda: pg.insert("t").set([{"a": 1}, {}]).compile(), "row 2 has other columns"),
        (lambda: pg.insert("t").set([{}, {}]).compile(), "several rows without values"),
        (lambda: pg.insert("t").set(a=1).upflict("", b=1), "upflict.. with updates needs"),
        (lambda: pg.update("t").filter(a=1).compile(), "an update needs values"),
        (lambda: pg.update("t").set([{"a": 1}]), "takes a dictionary or a D, not list"),
        (lambda: pg.update("t").set(a=1).join("u", "", "true").all().compile(),
         "JOIN needs a table before it: use from_"),
        (lambda: lite.delete("t").from_("u").all().compile(), "a delete with other tables"),
        (lambda: pg.insert("t").set(a=1).returning(5), "returning.. takes columns as text"),
    ],
)  # fmt: skip
def test_what_can_be_no_change_is_refused(build, message):
    with pytest.raises(SqlError, match=message):
        build()


@pytest.mark.parametrize(
    "condition",
    [
        Q(id=3) & Q(__all=True),
        Q(id=3) | (Q(__all=True) & Q(name="x")),
        ~Q(__all=True),
        Q("true"),
        Q(F("true")),
        Q(id__in=[]),
    ],
)
def test_a_change_of_some_rows_needs_nothing_else(condition):
    assert pg.delete("t").filter(condition).compile().writes


def test_changes_have_only_what_makes_sense_for_them():
    for builder, name in ((pg.update("t"), "limit"), (pg.delete("t"), "order_by"),
                          (pg.insert("t"), "filter"), (pg.delete("t"), "set")):  # fmt: skip
        assert not hasattr(builder, name)


# -- several statements


def test_appended_statements_are_one_batch():
    builder = pg.update("t").set(a="%").filter(b=1).append("delete from u where x % 2 = 0;")
    statement = builder.append(pg.select("t").filter(c=2).append("select 1")).compile()
    assert statement == Statement(
        "UPDATE t\nSET a = %s\nWHERE b = %s;\n"
        "delete from u where x %% 2 = 0;\n"
        "SELECT *\nFROM t\nWHERE c = %s;\n"
        "select 1",
        ("%", 1, 2),
        True,
        (
            Statement("UPDATE t\nSET a = %s\nWHERE b = %s", ("%", 1), True),
            Statement("delete from u where x % 2 = 0", (), True),
            Statement("SELECT *\nFROM t\nWHERE c = %s", (2,), False),
            Statement("select 1", (), False),
        ),
    )


def test_without_parameters_percent_signs_stay_single():
    assert flat(pg.sql("select 5 % 2").append("select 'a%'")) == ("select 5 % 2; select 'a%'", ())
    assert flat(lite.sql("select 5 % {}", 2).append("select 'a%'")) == (
        "select 5 % ?; select 'a%'",
        (2,),
    )


def test_a_batch_can_begin_with_nothing():
    batch = pg.sql().append(pg.delete("t").all()).append("select 1")
    assert flat(batch) == ("DELETE FROM t; select 1", ())
    assert pg.sql().append("select 1").compile() == Statement("select 1", (), False)


@pytest.mark.parametrize("empty", [lambda: pg.sql().compile(), lambda: combine([], True)])
def test_nothing_at_all_is_no_statement(empty):
    with pytest.raises(SqlError, match="there is nothing to execute"):
        empty()


def test_a_transaction_shows_in_the_text_and_is_left_to_the_driver():
    builder = pg.delete("t").filter(a=1).append("select 1").tran()
    assert str(builder) == "BEGIN;\nDELETE FROM t\nWHERE a = %s;\nselect 1;\nCOMMIT"
    assert builder.compile().sql == "DELETE FROM t\nWHERE a = %s;\nselect 1"
    assert len(builder.compile().batch) == 2


def test_batches_of_batches_are_flat():
    one = pg.sql("select 1").append("select 2").compile()
    both = combine([one, pg.sql("select {}", "%").compile()], True)
    assert [single.sql for single in both.batch] == ["select 1", "select 2", "select %s"]
    assert (both.params, both.writes) == (("%",), False)
