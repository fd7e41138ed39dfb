"""What is known of a text of SQL: whether it changes data, where its strings are."""

from __future__ import annotations

import pytest

from skitai.sql import Statement, changes_data
from skitai.sql.errors import SqlError
from skitai.sql.scanner import blank, split_list


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "  SELECT\n* from t",
        "(select 1) union (select 2)",
        "-- insert\nselect 1",
        "/* update /* delete */ */ select 'insert into x' as \"update\"",
        "select deleted, insert_time, t.updated from t",
        "with a as (select 1) select * from a",
        "values (1)",
        "table t",
        "show all",
        "explain select 1",
        "select $$ delete $$",
        "select E'it\\'s insert '",
        "select 1; select 2;",
        "select replace(a, 'x', 'y') from t",
    ],
)
def test_what_only_reads_is_known(text):
    assert not changes_data(text)


@pytest.mark.parametrize(
    "text",
    [
        "insert into t values (1)",
        "UPDATE t set a = 1",
        "with a as (delete from t returning *) select * from a",
        "select * into u from t",
        "select * from t for update",
        "select nextval('s')",
        "explain analyze insert into t values (1)",
        "replace into t values (1)",
        "with a as (select 1) replace into t select * from a",
        "select 1; delete from t",
        "select 1; drop table t",
        "select 1 ; vacuum",
        "create table t (a int)",
        "pragma journal_mode = wal",
        "begin",
        "select 'unclosed",
        "selector",
        "",
        "-- select 1",
    ],
)
def test_what_may_write_is_taken_to_write(text):
    assert changes_data(text)


def test_blanking_keeps_places():
    text = "a'b''c'd--e\nf/*g/*h*/i*/j\"k\" $$m$$n"
    assert blank(text) == "a      d   \nf           j         n"
    assert len(blank(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a, b", ["a", " b"]),
        ("f(a, b), c", ["f(a, b)", " c"]),
        ("','", ["','"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("a,", ["a", ""]),
    ],
)
def test_lists_are_split_at_their_own_commas(text, parts):
    assert split_list(text) == parts


def test_an_open_quote_is_an_error():
    with pytest.raises(SqlError, match="' is opened and not closed"):
        split_list("a, 'b")


def test_a_statement_is_taken_to_write_unless_said_otherwise():
    assert Statement("x") == Statement("x", (), True, ())
