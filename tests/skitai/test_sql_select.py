"""Selects: columns, tables, joins, order, parts, combinations, WITH."""

from __future__ import annotations

import pytest
from sql_texts import flat, lite, pg

from skitai.sql import D, F, Q, SqlError, V, const


class User:
    """A model, as those of frameworks are."""

    @classmethod
    def get_table_name(cls):
        return "app_user"


def t():
    return pg.select("t")


def sub():
    return pg.select("u").get("id").filter(x=1)


@pytest.mark.parametrize(
    ("builder", "text", "params"),
    [
        # tables
        (t(), "SELECT * FROM t", ()),
        (pg.select("t a"), "SELECT * FROM t a", ()),
        (pg.select("t", "a"), "SELECT * FROM t AS a", ()),
        (pg.select(User), "SELECT * FROM app_user", ()),
        (pg.select(User, "a"), "SELECT * FROM app_user AS a", ()),
        (pg.select(F("f({})", 5), "a"), "SELECT * FROM f(%s) AS a", (5,)),
        (pg.select(sub(), "a"), "SELECT * FROM (SELECT id FROM u WHERE x = %s) AS a", (1,)),
        (pg.select(sub()).cross_join(sub()),
         "SELECT * FROM (SELECT id FROM u WHERE x = %s) AS derived_1 "
         "CROSS JOIN (SELECT id FROM u WHERE x = %s) AS derived_2", (1, 1)),
        # columns
        (t().get("id"), "SELECT id FROM t", ()),
        (t().get("id, name").get("", None, "x y"), "SELECT id, name, x y FROM t", ()),
        (t().get(""), "SELECT * FROM t", ()),
        (t().get("a % 2", V("100%"), F("f({})", 1)), "SELECT a %% 2, %s, f(%s) FROM t",
         ("100%", 1)),
        (t().get(sub()), "SELECT (SELECT id FROM u WHERE x = %s) FROM t", (1,)),
        (t().get(V(None)), "SELECT NULL FROM t", ()),
        # order
        (t().order_by("a", "-b", "+c"), "SELECT * FROM t ORDER BY a, b DESC, c", ()),
        (t().order_by("a").order_by("-t.b"), "SELECT * FROM t ORDER BY a, t.b DESC", ()),
        (t().order_by("a-b", "- c"), "SELECT * FROM t ORDER BY a-b, c DESC", ()),
        (t().order_by("a, -b ,f(c, -d)"), "SELECT * FROM t ORDER BY a, b DESC, f(c, -d)", ()),
        (t().order_by("-a NULLS LAST", "b desc"),
         "SELECT * FROM t ORDER BY a DESC NULLS LAST, b desc", ()),
        (t().order_by("-f(',-', x)"), "SELECT * FROM t ORDER BY f(',-', x) DESC", ()),
        (t().order_by(F("a <-> {}", 5), None, ""), "SELECT * FROM t ORDER BY a <-> %s", (5,)),
        # parts
        (t().limit(5), "SELECT * FROM t LIMIT %s", (5,)),
        (t().limit("5").offset("7"), "SELECT * FROM t LIMIT %s OFFSET %s", (5, 7)),
        (t().limit(0), "SELECT * FROM t LIMIT %s", (0,)),
        (t().limit(5).limit(None), "SELECT * FROM t", ()),
        (t().offset(7), "SELECT * FROM t OFFSET %s", (7,)),
        (t()[:20], "SELECT * FROM t LIMIT %s", (20,)),
        (t()[10:30], "SELECT * FROM t LIMIT %s OFFSET %s", (20, 10)),
        (t()[10:], "SELECT * FROM t OFFSET %s", (10,)),
        (t()[:0], "SELECT * FROM t LIMIT %s", (0,)),
        (t()[30:10], "SELECT * FROM t LIMIT %s OFFSET %s", (0, 30)),
        (t().limit(5)[:], "SELECT * FROM t", ()),
        (lite.select("t").offset(7), "SELECT * FROM t LIMIT -1 OFFSET ?", (7,)),
        # groups
        (t().get("a, count(*)").group_by("a", "b").having("count(*) > 1", a__gt=5),
         "SELECT a, count(*) FROM t GROUP BY a, b HAVING (count(*) > 1) AND a > %s", (5,)),
        # joins
        (t().join("u", "b", "b.id = t.id"), "SELECT * FROM t JOIN u AS b ON b.id = t.id", ()),
        (t().join("u", on="u.id = t.id", u__x=5),
         "SELECT * FROM t JOIN u ON (u.id = t.id) AND u.x = %s", (5,)),
        (t().join("u", "b", Q(b__id=F("t.id")) | Q(b__x=5)),
         "SELECT * FROM t JOIN u AS b ON b.id = t.id OR b.x = %s", (5,)),
        (t().left_join(User, "b", b__id=F("t.id")),
         "SELECT * FROM t LEFT JOIN app_user AS b ON b.id = t.id", ()),
        (t().right_join("u", "", "true"), "SELECT * FROM t RIGHT JOIN u ON true", ()),
        (t().full_join("u", "", True), "SELECT * FROM t FULL JOIN u ON true", ()),
        (t().join("LATERAL f(t.x) AS b", "true"),
         "SELECT * FROM t JOIN LATERAL f(t.x) AS b ON true", ()),
        (t().cross_join("u", "b"), "SELECT * FROM t CROSS JOIN u AS b", ()),
        (t().join(sub(), "b", "b.id = t.id").filter(y=2),
         "SELECT * FROM t JOIN (SELECT id FROM u WHERE x = %s) AS b ON b.id = t.id WHERE y = %s",
         (1, 2)),
        (t().from_("u", "b", "b.id = t.id", b__x=5).filter(y=2),
         "SELECT * FROM t, u AS b WHERE (b.id = t.id) AND b.x = %s AND y = %s", (5, 2)),
        (t().join("u", "", "true").from_("v"), "SELECT * FROM t JOIN u ON true, v", ()),
        # combinations
        (t().union(pg.select("u")), "SELECT * FROM t UNION SELECT * FROM u", ()),
        (t().union_all("select 1;").except_("select 2"),
         "SELECT * FROM t UNION ALL select 1 EXCEPT select 2", ()),
        (t().intersect("select 1").intersect("select 2"),
         "SELECT * FROM t INTERSECT select 1 INTERSECT select 2", ()),
        (t().union("select 1").intersect("select 2").union("select 3"),
         "SELECT * FROM (SELECT * FROM t UNION select 1) AS derived_1 "
         "INTERSECT select 2 UNION select 3", ()),
        (t().filter(a=1).union(pg.select("u").limit(2)).order_by("x").limit(3),
         "SELECT * FROM t WHERE a = %s UNION SELECT * FROM (SELECT * FROM u LIMIT %s) AS derived_1 "
         "ORDER BY x LIMIT %s", (1, 2, 3)),
        (t().except_(pg.select("u").union("select 1")),
         "SELECT * FROM t EXCEPT SELECT * FROM (SELECT * FROM u UNION select 1) AS derived_1", ()),
        # WITH
        (pg.with_("a", sub()).select("a"),
         "WITH a AS (SELECT id FROM u WHERE x = %s) SELECT * FROM a", (1,)),
        (t().with_(sub()).with_("select 1").with_("cte_3", "select 2").with_("select 3"),
         "WITH cte_1 AS (SELECT id FROM u WHERE x = %s), cte_2 AS (select 1), cte_3 AS (select 2), "
         "cte_4 AS (select 3) SELECT * FROM t", (1,)),
        (pg.with_("a", D(x=1, y=None)).with_("b", [D(x=1), D(x=2)]).select("a").from_("b"),
         "WITH a (x, y) AS (VALUES (%s, NULL)), b (x) AS (VALUES (%s), (%s)) SELECT * FROM a, b",
         (1, 1, 2)),
        (pg.with_("a(p)", D(x=1)).select("a"), "WITH a(p) AS (VALUES (%s)) SELECT * FROM a", (1,)),
        (pg.with_("RECURSIVE n(x)", "select 1 union all select x + 1 from n").select("n"),
         "WITH RECURSIVE n(x) AS (select 1 union all select x + 1 from n) SELECT * FROM n", ()),
        (pg.select("a").filter(b=2).with_("a", pg.insert("t").set(c=1).returning("id")),
         "WITH a AS (INSERT INTO t (c) VALUES (%s) RETURNING id) SELECT * FROM a WHERE b = %s",
         (1, 2)),
        # INSERT … SELECT
        (t().get("a, b").into("u", "x", "y").returning("x"),
         "INSERT INTO u (x, y) SELECT a, b FROM t RETURNING x", ()),
        (t().filter(a=1).into(User).upflict("id", n=F("excluded.n"), m=5),
         "INSERT INTO app_user SELECT * FROM t WHERE a = %s "
         "ON CONFLICT (id) DO UPDATE SET n = excluded.n, m = %s", (1, 5)),
        (lite.select("t").into("u").upflict("id"),
         "INSERT INTO u SELECT * FROM t LIMIT -1 ON CONFLICT (id) DO NOTHING", ()),
    ],
)  # fmt: skip
def test_selects(builder, text, params):
    assert flat(builder) == (text, params)
    assert flat(builder) == (text, params), "writing it used something up"
    assert flat(builder.clone()) == (text, params)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pg.select(""), "a table is its name, a model or a builder, not ''"),
        (lambda: pg.select(None), "not NoneType"),
        (lambda: pg.select(5), "not int"),
        (lambda: t().get(5), r"get\(\) takes columns as text, not int"),
        (lambda: t().get(["a"]), "not list"),
        (lambda: t().order_by(5), "names of columns, not int"),
        (lambda: t().limit(-1), "limit must be a number from 0 on, not -1"),
        (lambda: t().limit("5; drop"), "limit must be a number"),
        (lambda: t().limit(True), "limit must be a number"),
        (lambda: t().limit(1.5), "limit must be a number"),
        (lambda: t().limit("٣"), "limit must be a number"),
        (lambda: t().limit(2**63), "limit must be a number"),
        (lambda: t().limit("9" * 10_000), "limit must be a number"),
        (lambda: t().offset("-1"), "offset must be a number"),
        (lambda: t()[-1:], "slice must be a number"),
        (lambda: t()[5], "a builder has slices"),
        (lambda: t()[::2], "no step"),
        (lambda: t().having("count(*) > 1").compile(), "having.. needs group_by"),
        (lambda: t().join("u"), "JOIN needs a condition"),
        (lambda: t().left_join("u", "b", b__id=None), "LEFT JOIN needs a condition"),
        (lambda: t().union(5), "a statement is a builder or text, not int"),
        (lambda: t().union(" "), "a statement is empty"),
        (lambda: t().with_("a", 5), "a statement is a builder or text"),
        (lambda: t().with_("a", []), "a list for with_.. has D"),
        (lambda: t().with_("a", [D(x=1), D(y=1)]), "all D of a list need the same columns"),
        (lambda: t().returning("id").compile(), "a select has no returning"),
        (lambda: t().upflict("id").compile(), "a select has no returning.. or upflict"),
        (lambda: t().filter(a=const("x")).compile(), r"const\('x'\) has no value"),
        (lambda: t().const("x", const("y")), "can't stand for another const"),
        (lambda: t().filter(a__in=t().append("select 1")).compile(), "part of another one"),
        (lambda: t().compile("oracle"), "dialect 'oracle' is unknown: use 'postgresql' or"),
        (lambda: lite.select("a").with_("a", lite.insert("t").set(c=1)).compile(),
         "a WITH clause that changes data is not available for sqlite"),
    ],
)  # fmt: skip
def test_what_can_be_no_select_is_refused(build, message):
    with pytest.raises(SqlError, match=message):
        build()


def test_a_builder_is_not_iterated_by_mistake():
    with pytest.raises(TypeError, match="not iterable"):
        list(t())


# -- aggregate


def test_aggregate_is_another_select_of_the_same_rows():
    root = t().get("a").filter(a=1).group_by("a").having("a > 1").order_by("-a").limit(10).offset(5)
    before = flat(root)
    count = root.aggregate("count(id) as cnt")
    assert flat(count) == ("SELECT count(id) as cnt FROM t WHERE a = %s", (1,))
    assert count is not root
    assert flat(root) == before


def test_aggregate_within_the_limit_counts_what_the_limit_leaves():
    assert flat(t().order_by("a").limit(10).aggregate("count(*)", ignore_limit=False)) == (
        "SELECT count(*) FROM (SELECT * FROM t ORDER BY a LIMIT %s) AS derived",
        (10,),
    )


def test_aggregate_of_a_union_counts_all_of_it():
    assert flat(t().union("select 1").order_by("a").aggregate("count(*)")) == (
        "SELECT count(*) FROM (SELECT * FROM t UNION select 1) AS derived",
        (),
    )


def test_aggregate_does_not_change_data_again():
    insert = t().into("u").upflict("id").returning("id").append("delete from t").tran()
    assert flat(insert.aggregate("count(*)")) == ("SELECT count(*) FROM t", ())
    assert not insert.aggregate("count(*)").compile().writes


# -- clones, constants


def test_clones_are_independent():
    root = t().get("a").filter(a=1).join("u", "", "true").order_by("a").with_("select 1")
    before = flat(root)
    for clone in (root.clone(), root.branch()):
        assert flat(clone) == before
        clone.get("b").filter(b=2).exclude(c=3).join("v", "", "true").order_by("b").limit(1).with_(
            "select 2"
        )
        clone.union("select 3").group_by("a").having("a > 1").append("select 4").const("x", 1)
        clone.into("w").returning("id").upflict("id")
        assert flat(root) == before
        assert flat(clone) != before
    other = root.clone()
    root.filter(z=1)
    assert flat(other) == before


def test_what_is_handed_over_is_kept_as_it_is_now():
    inner, values = sub(), [1, 2]
    builders = [
        pg.select(inner), t().filter(a__in=inner), t().filter(Q(a=inner)), t().get(inner),
        t().union(inner), t().with_(inner), t().append(inner), t().filter(a__in=values),
        t().filter(a=F("{}", inner)), t().filter(a=V(inner)), t().const("x", inner),
        pg.insert("t").set(a=inner), t().join(inner, "", "true"), t().filter(__exists=inner),
        pg.with_("x", inner).select("x"), pg.insert("t").set(D(a=inner)),
    ]  # fmt: skip
    before = [flat(builder) for builder in builders]
    inner.filter(later=1)
    values.append(3)
    assert [flat(builder) for builder in builders] == before


def test_a_builder_can_be_part_of_itself():
    q = t().get("a").filter(b=1)
    q.filter(a__in=q).union(q)
    assert flat(q) == (
        "SELECT a FROM t WHERE b = %s AND a IN (SELECT a FROM t WHERE b = %s) UNION "
        "SELECT a FROM t WHERE b = %s AND a IN (SELECT a FROM t WHERE b = %s)",
        (1, 1, 1, 1),
    )


def test_what_was_rendered_can_be_built_on():
    q = t().get("a")
    str(q)
    q.get("b").filter(a=1)
    assert flat(q) == ("SELECT a, b FROM t WHERE a = %s", (1,))


def test_constants_get_their_value_later_everywhere_inside():
    q = t().filter(a=const("x")).union(sub().filter(b__gt=const("x"), c=const("y")).const("y", 7))
    assert flat(q.const("x", 5).append(pg.delete("u").filter(d=const("x")))) == (
        "SELECT * FROM t WHERE a = %s UNION SELECT id FROM u WHERE x = %s AND b > %s AND c = %s; "
        "DELETE FROM u WHERE d = %s",
        (5, 1, 5, 7, 5),
    )
    assert flat(q.clone().const("x", F("now()")))[1] == (1, 7)


def test_constants_of_a_part_are_unknown_outside():
    q = t().filter(a__in=sub().const("x", 5), b=const("x"))
    with pytest.raises(SqlError, match="has no value"):
        q.compile()


# -- text, running


def test_the_text_has_placeholders():
    q = t().filter(name="Hans")
    text = "SELECT *\nFROM t\nWHERE name = %s"
    assert q.as_sql() == q.render() == q.query == str(q) == text
    assert q.as_sql("sqlite") == text.replace("%s", "?")
    assert repr(q) == f"<Select: {text}>"


def test_what_is_not_finished_can_still_be_looked_at():
    assert repr(pg.delete("t")).startswith("<Delete, unfinished: a delete without a filter")


class Task:
    def __init__(self, builder):
        self.builder = builder

    def one(self, timeout=10):
        return "one", timeout

    def fetch(self, timeout=10):
        return "fetch", timeout

    def commit(self, timeout=10):
        return "commit", timeout


class Database(type(pg)):
    def __init__(self):
        super().__init__("sqlite", self)

    def run(self, builder):
        return Task(builder)


def test_execute_hands_the_builder_to_its_database():
    db = Database()
    q = db.select("t").filter(a=1)
    task = q.execute()
    assert task.builder is q
    assert (q.exone(timeout=3), q.exfetch(), q.excommit()) == (
        ("one", 3), ("fetch", 10), ("commit", 10),
    )  # fmt: skip
    for other in (q.clone(), q.aggregate("count(*)"), db.with_("a", q).select("a"), db.sql("x")):
        assert other.execute().builder is other
    assert db.dialect == "sqlite"


def test_without_a_database_execute_says_so():
    with pytest.raises(SqlError, match="there is no database to execute this"):
        t().execute()


def test_what_only_reads_can_be_repeated():
    reads = [
        t(), t().union("select 1"), t().with_("select 1"), pg.sql("select 'insert'"),
        t().get("deleted, inserted"), pg.template("select * from t where {this.filter}"),
    ]  # fmt: skip
    writes = [
        t().into("u"), t().append("delete from t"), t().with_(pg.insert("t").set(a=1)),
        t().with_("insert into t values (1) returning id"), pg.insert("t").set(a=1),
        pg.update("t").set(a=1).all(), pg.delete("t").all(), pg.sql("select 1 for update"),
        pg.select("a").filter(a__in=t().with_(pg.delete("t").all())), pg.sql("truncate t"),
        pg.template("update t set {this.pairs} where {this.filter}").set(a=1).all(),
    ]  # fmt: skip
    assert [q.compile().writes for q in reads] == [False] * len(reads)
    assert [q.compile().writes for q in writes] == [True] * len(writes)


def test_unknown_attributes_are_named():
    with pytest.raises(AttributeError, match="Builders has no attribute 'upsert'"):
        pg.upsert  # noqa: B018 - the access is what is tested
