"""Statements as text: fields, what may stand for them, and files of templates."""

from __future__ import annotations

import pytest
from sql_texts import flat, lite, pg

from skitai.sql import Builders, D, F, Q, SqlError, SqlTemplates, V, const
from skitai.sql.template_files import TAKEN
from skitai.upstream.databases import SqlDatabase
from skitai.upstream.transactions import Transaction

SUB = pg.select("u").get("id").filter(x=1)
ALL = (
    "select {this.columns} from t where a = {a} and {this.filter} {this.group_by} {this.having}"
    " {this.order_by} {this.limit} {this.offset}"
)


@pytest.mark.parametrize(
    ("builder", "text", "params"),
    [
        (pg.template("select 1"), "select 1", ()),
        (pg.from_string(" select 1 ; "), "select 1", ()),
        (pg.template("select {a}").feed(a=1), "select %s", (1,)),
        (pg.template("select {a}, {b}, {a}").feed(a=1).feed(b=2, a=3), "select %s, %s, %s",
         (3, 2, 3)),
        (pg.template("select {a}").feed(a="x; drop"), "select %s", ("x; drop",)),
        (pg.template("select {a}").feed(a="{b} {{ }} %s"), "select %s", ("{b} {{ }} %s",)),
        (pg.template("select {a}").feed(a=None), "select NULL", ()),
        (pg.template("select * from {t} where {q}").feed(t=F("t"), q=Q(a=1) | Q(b=2)),
         "select * from t where (a = %s OR b = %s)", (1, 2)),
        (pg.template("select 1 where {q}").feed(q=Q(a=None)), "select 1 where (1 = 1)", ()),
        (pg.template("select {s}").feed(s=SUB), "select (SELECT id FROM u WHERE x = %s)", (1,)),
        (pg.template("x {v}").feed(v=V(5)), "x %s", (5,)),
        (pg.template("x {v}").feed(v=V(__gte=5)), "x >= %s", (5,)),
        (pg.template("x {v}").feed(v=V(__between=(1, 2))), "x BETWEEN %s AND %s", (1, 2)),
        (pg.template("x {v}").feed(v=V(__in=[1, 2])), "x IN (%s, %s)", (1, 2)),
        (pg.template("x {v}").feed(v=V(__in=[])), "x = ANY ('{}')", ()),
        (pg.template("x {v}").feed(v=V(__notin=[])), "x <> ALL ('{}')", ()),
        (lite.template("x {v}").feed(v=V(__notin=[])), "x NOT IN ()", ()),
        (pg.template("x {v}").feed(v=V(__isnull=False)), "x IS NOT NULL", ()),
        (pg.template("x {v}").feed(v=V(__icontains="%")), "x ILIKE %s", (r"%\%%",)),
        (pg.template("x {v}").feed(v=V(__haskey="k")), "x ? %s", ("k",)),
        (pg.template("where {v}").feed(v=V(__exists=SUB)),
         "where EXISTS (SELECT id FROM u WHERE x = %s)", (1,)),
        (pg.template("x {v}").feed(v=const("c")).const("c", 5), "x %s", (5,)),
        (pg.template("insert into t ({d.columns}) values ({d.values})").feed(
            d=D({"user": 1}, b=F("now()"), c=None)),
         'insert into t ("user", b, c) values (%s, now(), NULL)', (1,)),
        (pg.template("update t set {d.pairs} where {this.filter}").feed(d=D(a=1, b=2)).filter(c=3),
         "update t set a = %s, b = %s where (c = %s)", (1, 2, 3)),
        # braces, percent signs
        (pg.template("select '{{1,2}}'::int[], {{ {a} }}").feed(a=1),
         "select '{1,2}'::int[], { %s }", (1,)),
        (pg.template("select {{{a}}}").feed(a=1), "select {%s}", (1,)),
        (pg.template("select 'a%', {a}").feed(a=1), "select 'a%%', %s", (1,)),
        (pg.template("select 'a%'"), "select 'a%'", ()),
        (lite.template("select 'a%', {a}").feed(a=1), "select 'a%', ?", (1,)),
        # parts of the builder
        (pg.template(ALL).feed(a=1), "select * from t where a = %s and 1 = 1     ", (1,)),
        (pg.template(ALL).feed(a=1).get("x").filter(b=2).exclude(c=3).group_by("x").having("y > 1")
         .order_by("-x").limit(5).offset(6),
         "select x from t where a = %s and (b = %s AND NOT (c = %s)) GROUP BY x HAVING y > 1 "
         "ORDER BY x DESC LIMIT %s OFFSET %s", (1, 2, 3, 5, 6)),
        (pg.template("select 1 where {this.filters}").filter(a=1), "select 1 where (a = %s)", (1,)),
        (lite.template("select 1 {this.limit} {this.offset}")[5:],
         "select 1  LIMIT -1 OFFSET ?", (5,)),
        (pg.template("insert into t ({this.columns}) values ({this.values}) {this.returning}")
         .set(a=1, b=2).returning("id"),
         "insert into t (a, b) values (%s, %s) RETURNING id", (1, 2)),
        (pg.template("update t set {this.pairs} where {this.filter}").data(a=1).filter(b=2),
         "update t set a = %s where (b = %s)", (1, 2)),
        (pg.template("delete from t where {this.filter}").all(), "delete from t where 1 = 1", ()),
        (pg.with_("w", SUB).template("select * from w"),
         "WITH w AS (SELECT id FROM u WHERE x = %s) select * from w", (1,)),
        # sql
        (pg.sql("select '{}' ; "), "select '{}'", ()),
        (pg.select("t").union("select 1 -- one;\n;").union("select 2"),
         "SELECT * FROM t UNION select 1 -- one  UNION select 2", ()),
        (pg.sql("select {}, {x}, {}", 1, 2, x=3), "select %s, %s, %s", (1, 3, 2)),
        (pg.sql("select {} where {}", V(1), Q(a=2)), "select %s where (a = %s)", (1, 2)),
        (pg.select("t").union(pg.sql("select {}", 5)), "SELECT * FROM t UNION select %s", (5,)),
        (pg.with_("w", SUB).sql("select {}", 5),
         "WITH w AS (SELECT id FROM u WHERE x = %s) select %s", (1, 5)),
    ],
)  # fmt: skip
def test_templates(builder, text, params):
    assert flat(builder) == (text, params)
    assert flat(builder) == (text, params), "writing it used something up"
    assert flat(builder.clone()) == (text, params)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pg.template("select {"), "a single { is no field"),
        (lambda: pg.template("select }"), "a single } is no field"),
        (lambda: pg.template("select {a b}"), "a single { is no field"),
        (lambda: pg.template("select {1}"), "a single { is no field"),
        (lambda: pg.template("select {a.b.c}"), "a single { is no field"),
        (lambda: pg.template("select {}"), "needs a name"),
        (lambda: pg.template("select {this.where}"), "{this.where} is unknown: there are filter"),
        (lambda: pg.template("select {this}"), "is unknown"),
        (lambda: pg.template("select {a}").compile(), r"the template needs feed\(a=…\)"),
        (
            lambda: pg.template("select {a}").feed(b=1),
            "the template has no field {b}; its fields: a",
        ),
        (lambda: pg.template("select {a}").feed(this=1), "no field {this}"),
        (lambda: pg.template("select {a.columns}").feed(a=5).compile(), "only a D has columns"),
        (lambda: pg.template("select {a}").feed(a=D(x=1)).compile(), "write {a.columns}"),
        (lambda: pg.template("select {a.rows}").feed(a=D(x=1)).compile(), "write {a.columns}"),
        (
            lambda: pg.template("select 1").filter(a=1).compile(),
            "has no {this.filter}, so it would",
        ),
        (lambda: pg.template("select 1").limit(1).compile(), "has no {this.limit}"),
        (lambda: pg.template("select 1").order_by("a").compile(), "has no {this.order_by}"),
        (lambda: pg.template("select 1").returning("a").compile(), "has no {this.returning}"),
        (lambda: pg.template("select 1").set(a=1).compile(), "no {this.columns}, {this.values} or"),
        (lambda: pg.template("select 1").get("a").compile(), "no {this.columns} for get"),
        (lambda: pg.template("update t set {this.pairs}").compile(), "{this.pairs} needs values"),
        (lambda: pg.template("insert {this.values}").compile(), "{this.values} needs values"),
        (lambda: pg.sql("select {}", 1, 2), "there is no field {1}"),
        (lambda: pg.sql("select {x}", y=1), "no value for {x}"),
        (lambda: pg.sql("select {this.filter}", x=1), "no value for {this}"),
    ],
)
def test_what_does_not_fit_a_template_is_refused(build, message):
    with pytest.raises(SqlError, match=message):
        build()


@pytest.mark.parametrize(
    "text",
    [
        "'{a}'", "'it''s {a}'", "E'\\' {a}'", "e'\\\\\\'{a}'", '"{a}"', '"x""{a}"', "`{a}`",
        "$${a}$$", "$x$ $$ {a} $x$", "-- {a}", "-- '\n-- {a}\n", "/* {a} */", "/* /* */ {a} */",
        "'' '{a}'", "'--' '{a}'", "'\\' || '{a}'",
    ],
)  # fmt: skip
def test_a_field_inside_quotes_or_comments_would_not_be_a_value(text):
    with pytest.raises(SqlError, match="stands inside quotes or a comment"):
        pg.template(f"select {text}")
    with pytest.raises(SqlError, match="stands inside quotes or a comment"):
        F(f"{text}", a=1)


@pytest.mark.parametrize(
    "text",
    [
        "'x' {a}", "'it''s' {a}", "'\\' {a}", "E'\\'' {a}", '"x" {a}', "$$ ' $$ {a}", "$1 {a} $1",
        "-- '\n {a}", "/* ' */ {a}", "/* /* */ */ {a}", "a$b$c {a}", "'' {a} ''", "type'x' {a}",
        "5 -{a}", "5 / {a} *2",
    ],
)  # fmt: skip
def test_a_field_outside_of_them_is_a_value(text):
    statement = pg.template(f"select {text}").feed(a=5).compile()
    assert statement.sql == f"select {text}".replace("{a}", "%s")
    assert statement.params == (5,)


@pytest.mark.parametrize("text", ["'x", '"x', "/* /* */", "$$ x", "E'\\'", "$a$ x $A$"])
def test_what_is_opened_has_to_be_closed(text):
    with pytest.raises(SqlError, match="is opened and not closed"):
        pg.template(f"select {text}")


def test_templates_are_independent_of_each_other():
    text = "select {a} where {this.filter}"
    one, two = pg.template(text).feed(a=1), pg.template(text).feed(a=2).filter(b=3)
    clone = two.clone().feed(a=4).filter(c=5)
    assert flat(one) == ("select %s where 1 = 1", (1,))
    assert flat(two) == ("select %s where (b = %s)", (2, 3))
    assert flat(clone) == ("select %s where (b = %s AND c = %s)", (4, 3, 5))


# -- files

DEFAULT = """
Statements of the shop.

<sql name="newest">
    select * from orders where {this.filter} order by id desc {this.limit};
</sql>

<sql name='one'>select * from orders where id = {id}</sql >
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "default.sql").write_text(DEFAULT)
    (tmp_path / "users.sql").write_text('<sql  name = "größte">select {a}</sql>')
    (tmp_path / "notes.txt").write_text("no templates")
    return tmp_path


def test_templates_of_files_are_attributes(folder):
    db = Builders("postgresql", templates=SqlTemplates(str(folder)))
    newest = db.newest.filter(a=1).limit(3)
    assert flat(newest) == (
        "select * from orders where (a = %s) order by id desc LIMIT %s",
        (1, 3),
    )
    assert flat(db.default.one.feed(id=5)) == ("select * from orders where id = %s", (5,))
    assert flat(db.users.größte.feed(a=1)) == ("select %s", (1,))
    assert flat(db.newest) == ("select * from orders where 1 = 1 order by id desc ", ())
    both = db.with_("w", "select 1")
    assert flat(both.one.feed(id=5))[0].startswith("WITH w AS (select 1) select")
    assert flat(both.users.größte.feed(a=1))[0].startswith("WITH w AS (select 1) select")


def test_unknown_templates_are_named_with_those_there_are(folder):
    db = Builders("postgresql", templates=SqlTemplates(folder))
    with pytest.raises(AttributeError, match="'newst'; SQL templates: newest, one, users"):
        db.newst  # noqa: B018 - the access is what is tested
    with pytest.raises(AttributeError, match="no SQL template 'biggest'; known are größte"):
        db.users.biggest  # noqa: B018 - the access is what is tested
    with pytest.raises(AttributeError, match="_x"):
        db._x  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.sql", "select 1", "a.sql: there is no <sql name="),
        ("a.sql", '\n<sql name="x">select 1', "a.sql: the template 'x' is not closed"),
        ("a.sql", '<sql name="x">\n<sql name="y"></sql>', "a.sql:2: the template 'x' before it"),
        ("a.sql", "\n\n</sql>", "a.sql:3: </sql> ends nothing"),
        ("a.sql", '<sql name="x y">select 1</sql>', "a.sql:1: .* needs a name of its own"),
        ("a.sql", '<sql name="x">select 1</sql>\n<sql name="x">', "a.sql:2: .* needs a name"),
        ("a.sql", "<sql>select 1</sql>", "a.sql:1: <sql needs a name"),
        ("a.sql", '<sql name="x"> </sql>', "a.sql:1: the template is empty"),
        ("a.sql", '<sql name="x">select {</sql>', "a.sql:1: a single { is no field"),
        ("a.sql", "<sql name=\"x\">select '{a}'</sql>", "a.sql:1: {a} stands inside quotes"),
        ("a-b.sql", '<sql name="x">select 1</sql>', "a-b.sql: a file of templates is named as"),
        ("select.sql", '<sql name="x">select 1</sql>', "'select' can't be reached as db.select"),
        ("default.sql", '<sql name="run">select 1</sql>', "'run' can't be reached as db.run"),
    ],
)
def test_malformed_files_are_refused_by_file_and_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SqlError, match=message):
        SqlTemplates(tmp_path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(SqlError, match="nowhere' is no directory"):
        SqlTemplates(tmp_path / "nowhere")


def test_no_template_can_hide_behind_a_method():
    for kind in (SqlDatabase, Transaction):
        assert {name for name in dir(kind) if not name.startswith("_")} <= TAKEN
