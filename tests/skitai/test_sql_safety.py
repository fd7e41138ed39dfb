"""Whatever comes from outside: values never get into the text, keywords only as names."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_texts import lite, pg

from skitai.sql import D, F, Q, SqlError, V, const
from skitai.sql.keys import DATE_PARTS, OPERATORS
from skitai.sql.scanner import blank

SECRET = "s3cr3t"
hostile = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["'", "' or '1'='1", "\\", "\\'", "--", "/*", "%", "%s", "%(a)s", "?", ":a", "$1", "{a}",
         "{}", "{{", '"', "`", ";", "$$", "\0", "\n", "é'", "％ｓ", "'; drop table t; --",
         "1) or (1=1"]
    ),
).map(lambda text: f"{text}{SECRET}{text}")  # fmt: skip
values = st.one_of(
    hostile,
    hostile.map(str.encode),
    hostile.map(lambda text: {text: text, "list": [text]}),
)
dialects = st.sampled_from([pg, lite])


def check(builder, known):
    """The text has nothing of the values, and one placeholder for each parameter."""
    for _ in range(2):
        statement = builder.compile()
        postgresql = builder._dialect.name == "postgresql"
        assert SECRET not in statement.sql
        code = blank(statement.sql)
        assert code.count("%s" if postgresql else "?") == len(statement.params) == known
        if postgresql:
            assert "%" not in statement.sql.replace("%s", "").replace("%%", "")


@given(dialects, values, values)
def test_values_are_never_in_the_text(db, one, two):
    sub = db.select("u").get("id").filter(a=one)
    check(db.select("t").filter(a=one, b__gt=two, u__c__in=[one, two]).exclude(d__neq=one), 5)
    check(db.select("t").filter(Q(a=one) | ~Q(b=two), Q(a__between=(one, two))), 4)
    check(db.select(sub).get(V(one), F("f({}, {x})", one, x=two), sub).filter(a__in=sub), 6)
    check(db.select("t").join("u", "", a=one).from_("v", a=two).group_by("a").having(a=one), 3)
    check(db.select("t").with_("w", [D(a=one), D(a=two)]).union(sub), 3)
    check(db.select("t").filter(a=const("c"), b__in=[const("c")]).const("c", one), 2)
    check(db.insert("t").set([{"a": one}, {"a": two}], b=one).upflict("a", b=two), 5)
    check(db.update("t").set(a=one, b=F("b + {}", two), c=sub).filter(d=two), 4)
    check(db.delete("t").filter(a=one).append(db.delete("u").filter(a=two)), 2)
    text = "select {a}, {d.values} where x {v} and {q} and {this.filter}"
    fed = {"a": one, "d": D(a=one, b=two), "v": V(__in=[one]), "q": Q(a=two)}
    check(db.template(text).feed(**fed).filter(b=one), 6)
    check(db.sql("select {}, {x}, 5 % {}", one, two, x=one), 3)


@given(dialects, hostile, st.sampled_from(["contains", "startswith", "endswith", "iexact"]))
def test_patterns_are_never_in_the_text(db, value, name):
    names = [name] if name == "iexact" else [name, f"i{name}", f"n{name}"]
    for operator in names:
        check(db.select("t").filter(**{f"a__{operator}": value}), 1)
        check(db.template("select a {v}").feed(v=V(**{f"__{operator}": value})), 1)
        check(db.select("t").filter(**{f"a__{operator}": F("f({})", value)}), 1)


@given(hostile)
def test_values_of_json_and_expressions_are_never_in_the_text(value):
    check(pg.select("t").filter(a___b=value, a__haskey=value, a__haskeyin=[value]), 3)
    check(pg.select("t").filter(a___b={"x": value}, a__regex=value), 2)
    check(pg.insert("t").set(a=[value], b=[[value]], c={value}), 3)
    check(lite.select("t").filter(a___b=value, c___d={"x": value}), 2)


# Names, their quotes and dots, and what operators write around them.
SAFE = re.compile(
    r"SELECT \*\nFROM t\nWHERE (?:[\w.]|\"\w+\"|`\w+`|(?: -> | ->> )(?:\d+|'\w+')|::\w+| |[()]"
    r"|'%+\w'|[=<>?~|]|%s|, |[+*/])*",
)
pieces = st.sampled_from(
    ["__", "___", "_", ".", "a", "b", "user", "0", "12", "'", '"', "`", " ", ";", "(", ")", "-",
     "%", "%s", "?", "\n", "\0", "é", "ａ", "²", "٣", "\u202e", *DATE_PARTS, *OPERATORS]
)  # fmt: skip
keys = st.one_of(st.text(max_size=12), st.lists(pieces, max_size=6).map("".join))


@pytest.mark.parametrize("db", [pg, lite], ids=["postgresql", "sqlite"])
@pytest.mark.parametrize("key", ["__contains", "__gt", "__eq", "__isnull", "__between"])
def test_an_operator_that_compares_needs_a_column(db, key):
    with pytest.raises(SqlError, match=f"needs a column: write it as column{key}"):
        db.select("t").filter(**{key: 5}).compile()


@given(dialects, keys, st.sampled_from([5, True, "x", [1], ["x"], (1, 2)]))
def test_keywords_get_into_the_text_as_names_only(db, key, value):
    try:
        statement = db.select("t").filter(**{key: value}).compile()
    except SqlError:
        return
    if db is lite:
        must_be_one_statement(statement)
    assert SAFE.fullmatch(statement.sql.replace("\nWHERE 1 = 1", "\nWHERE ")), statement.sql


@given(keys)
def test_columns_get_into_the_text_as_names_only(key):
    try:
        statement = lite.update("t").set({key: 5}).filter(a=1).compile()
    except SqlError:
        return
    assert re.fullmatch(r"UPDATE t\nSET (?:\w+|`\w+`) = \?\nWHERE a = \?", statement.sql)
    must_be_one_statement(statement)


def must_be_one_statement(statement):
    """SQLite reads it, and misses nothing but columns."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table t (a)")
        problem = problem_of(connection, statement.sql, statement.params)
    assert problem == "" or problem.startswith("no such column")


def problem_of(connection, sql, params):
    try:
        connection.execute(sql, params)
    except sqlite3.Error as exc:
        return str(exc)
    return ""


@given(
    st.lists(
        st.sampled_from(
            ["'", "''", "\\", '"', "--", "\n", "/*", "*/", "{a}", "{a}", "x", " ", ";", "`"]
        ),
        max_size=10,
    )
)
def test_what_is_read_as_a_field_is_never_inside_of_something(parts):
    """Where our reader finds a value, the database does too."""
    text = "".join(parts)
    count = text.count("{a}")
    try:
        statement = lite.template(f"select {text}").feed(**({"a": 5} if count else {})).compile()
    except SqlError:
        return
    assert len(statement.params) == count
    with closing(sqlite3.connect(":memory:")) as connection:
        problem = problem_of(connection, statement.sql, statement.params)
    assert "Incorrect number of bindings" not in problem
