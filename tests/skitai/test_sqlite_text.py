"""What the driver has to know of SQL text; SQLite itself is asked whether it is right."""

from __future__ import annotations

import sqlite3
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.upstream.sqlite.text import changed_table, first_word, split, without_parameters


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("select 1", "SELECT"),
        ("\n\t Insert into a", "INSERT"),
        ("-- select\n update a", "UPDATE"),
        ("/* select */with a", "WITH"),
        ("/* a */ /* b; */ -- c\n;; VALUES(1)", "VALUES"),
        ("/** * **/ DELETE", "DELETE"),
        ("", ""),
        (" ; -- select", ""),
        ("/* select", ""),
        ("'select'", ""),
        ("(select 1)", ""),
        ("1 select", ""),
    ],
)
def test_the_first_word_is_found_behind_space_and_comments(text, word):
    assert first_word(text) == word


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;\n", ["SELECT 1;"]),
        ("a; b", ["a;", "b"]),
        ("a';'; b\";\"; c`;`; d[;]; e -- ;\n; f /* ; */ ;", None),
        ("a 'it''s; so'; b", ["a 'it''s; so';", "b"]),
        (";;a;;;b;; -- the end;", ["a;", "b;"]),
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT ';'; END; b", None),
        ("CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN x; END", None),
        ("a; unclosed ' ; b", ["a;", "unclosed ' ; b"]),
        ("", []),
        ("-- nothing", []),
    ],
)
def test_scripts_are_split_where_sqlite_splits_them(script, statements):
    found = [statement.strip() for statement in split(script)]
    if statements is None:
        assert len(found) == {"a": 6, "C": 1 + script.endswith(" b")}[script[0]]
    else:
        assert found == statements


@given(st.lists(st.sampled_from(["a", ";", "'", '"', "--", "\n", "/*", "*/", " ", "[", "]", "`"])))
def test_nothing_of_a_script_is_lost(parts):
    text = "".join(parts)
    pieces = split(text)
    if pieces:
        rest = text
        for piece in pieces:
            before, found, rest = rest.partition(piece)
            assert found
            assert first_word(before) == ""
        assert first_word(rest) == ""
    else:
        assert first_word(text) == ""


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("a = ? AND b = ?12", "a = NULL AND b = NULL"),
        (
            "a = :a AND b = @b_1 AND c = $c AND d = $d::e",
            "a = NULL AND b = NULL AND c = NULL AND d = NULL",
        ),
        (
            "a = '?:x' AND \"b?\" = [c?] -- ?\n AND `?` = /* :a */ ?",
            "a = '?:x' AND \"b?\" = [c?] -- ?\n AND `?` = /* :a */ NULL",
        ),
        ("a$b = 1 AND ä = ?", "a$b = 1 AND ä = NULL"),
        ("data ->> '$.a' = ?", "data ->> '$.a' = NULL"),
        ("1=?2", "1=NULL"),
    ],
)
def test_parameters_become_null(text, without):
    assert without_parameters(text) == without


def test_what_sqlite_takes_for_a_parameter_is_one():
    text = "SELECT ?, ?3, :a, @b, $c, $d::e, 'it''s ?', \"?\", `?`, [?], x$y, 1 -- ?\n /* ? */"
    connection = sqlite3.connect(":memory:")
    connection.execute('CREATE TABLE "t" ("?" , x$y)')
    connection.execute("CREATE TEMP VIEW v AS " + without_parameters(text) + " FROM t")
    connection.close()


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("INSERT INTO a VALUES (1)", "a"),
        ("insert or ignore\ninto a(b)", "a"),
        ("REPLACE INTO main.a", "a"),
        ("UPDATE OR ABORT a SET", "a"),
        ('UPDATE "a b" SET', "a b"),
        ("DELETE FROM [a] WHERE", "a"),
        ("WITH c AS (SELECT replace(x, 'INSERT INTO x', '') FROM y) UPDATE `a` SET", "a"),
        ("-- DELETE FROM x\nDELETE FROM a", "a"),
        ("SELECT 1", ""),
    ],
)
def test_the_table_that_is_written_to_is_found(text, table):
    assert changed_table(text) == table


@pytest.mark.parametrize(
    "text",
    [
        " " * 100_000 + "1",
        "--" * 100_000,
        "/*" * 100_000,
        "'" * 100_001,
        "a;" * 20_000,
        "/* " + "*" * 100_000,
    ],
    ids=["space", "dashes", "openings", "quotes", "statements", "stars"],
)
def test_long_texts_take_no_long_time(text):
    begun = time.perf_counter()
    first_word(text)
    split(text)
    without_parameters(text)
    changed_table(text)
    assert time.perf_counter() - begun < 2
