"""Conditions: what operators write in both dialects, what they refuse, how ``Q`` combines."""

from __future__ import annotations

import operator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from uuid import UUID

import pytest
from parameter_ids import by_repr
from sql_texts import flat, lite, pg, where

from skitai.sql import D, F, Q, SqlError, V

AT = datetime(2020, 1, 2, 3)
AT_ZONE = AT.replace(tzinfo=timezone.utc)
SUB = pg.select("u").get("id").filter(x=1)
# How each dialect escapes what the database gives.
ESCAPED = "replace(replace(replace((b), '!', '!!'), '%', '!%'), '_', '!_')"
ESCAPED_GLOB = "replace(replace(replace((b), '[', '[[]'), '*', '[*]'), '?', '[?]')"


@pytest.mark.parametrize(
    ("named", "text", "params"),
    [
        ({"a": 1}, "a = %s", (1,)),
        ({"a__eq": "x"}, "a = %s", ("x",)),
        ({"a__exact": "x"}, "a = %s", ("x",)),
        ({"a__neq": 1}, "a <> %s", (1,)),
        ({"a__gt": 1, "a__lt": 5}, "a > %s AND a < %s", (1, 5)),
        ({"a__gte": 1, "a__lte": 5}, "a >= %s AND a <= %s", (1, 5)),
        ({"a__between": (1, 2)}, "a BETWEEN %s AND %s", (1, 2)),
        ({"a__range": [F("b"), 2]}, "a BETWEEN b AND %s", (2,)),
        ({"a__between": (1, None)}, "a >= %s", (1,)),
        ({"a__between": (None, 2)}, "a <= %s", (2,)),
        ({"a__between": (None, None), "b": 1}, "b = %s", (1,)),
        ({"a__in": [1, "x", None]}, "a IN (%s, %s)", (1, "x")),
        ({"a__in": (n for n in (1, 2))}, "a IN (%s, %s)", (1, 2)),
        ({"a__in": range(2)}, "a IN (%s, %s)", (0, 1)),
        ({"a__in": {5: 6}.keys()}, "a IN (%s)", (5,)),
        ({"a__in": [F("b"), 1]}, "a IN (b, %s)", (1,)),
        ({"a__in": []}, "1 = 0", ()),
        ({"a__in": [None]}, "1 = 0", ()),
        ({"a__notin": []}, "1 = 1", ()),
        ({"a__notin": [1]}, "a NOT IN (%s)", (1,)),
        ({"a__in": SUB}, "a IN (SELECT id FROM u WHERE x = %s)", (1,)),
        ({"a__notin": SUB}, "a NOT IN (SELECT id FROM u WHERE x = %s)", (1,)),
        ({"a__in": F("VALUES (1), (2)")}, "a IN (VALUES (1), (2))", ()),
        ({"a": SUB}, "a = (SELECT id FROM u WHERE x = %s)", (1,)),
        ({"a__gt": F("b + 1")}, "a > b + 1", ()),
        ({"a__gt": F("b + {}", 5)}, "a > b + %s", (5,)),
        ({"a": V("x")}, "a = %s", ("x",)),
        ({"a__isnull": True}, "a IS NULL", ()),
        ({"a__isnull": 0}, "a IS NOT NULL", ()),
        ({"__exists": SUB}, "EXISTS (SELECT id FROM u WHERE x = %s)", (1,)),
        ({"__nexists": SUB}, "NOT EXISTS (SELECT id FROM u WHERE x = %s)", (1,)),
        ({"__notexist": F("SELECT 1")}, "NOT EXISTS (SELECT 1)", ()),
        ({"__all": True}, "1 = 1", ()),
        ({"__all": True, "a": 1}, "1 = 1 AND a = %s", (1,)),
        ({"__all": False, "a": 1}, "a = %s", (1,)),
        ({"a__contains": "x"}, "a LIKE %s", ("%x%",)),
        ({"a__contains": 5}, "a LIKE %s", ("%5%",)),
        ({"a__startswith": "x"}, "a LIKE %s", ("x%",)),
        ({"a__endswith": "x"}, "a LIKE %s", ("%x",)),
        ({"a__ncontains": "x"}, "a NOT LIKE %s", ("%x%",)),
        ({"a__notcontain": "x"}, "a NOT LIKE %s", ("%x%",)),
        ({"a__nstartswith": "x"}, "a NOT LIKE %s", ("x%",)),
        ({"a__notstartwith": "x"}, "a NOT LIKE %s", ("x%",)),
        ({"a__nendswith": "x"}, "a NOT LIKE %s", ("%x",)),
        ({"a__notendwith": "x"}, "a NOT LIKE %s", ("%x",)),
        ({"a__iexact": "x_"}, "a ILIKE %s", (r"x\_",)),
        ({"a__icontains": "x"}, "a ILIKE %s", ("%x%",)),
        ({"a__istartswith": "x"}, "a ILIKE %s", ("x%",)),
        ({"a__iendswith": "x"}, "a ILIKE %s", ("%x",)),
        ({"a__incontains": "x"}, "a NOT ILIKE %s", ("%x%",)),
        ({"a__contains": r"50%_\*"}, "a LIKE %s", (r"%50\%\_\\*%",)),
        ({"a__contains": F("b")}, f"a LIKE '%' || {ESCAPED} || '%' ESCAPE '!'", ()),
        ({"a__startswith": F("b")}, f"a LIKE {ESCAPED} || '%' ESCAPE '!'", ()),
        ({"a__iexact": F("b")}, f"a ILIKE {ESCAPED} ESCAPE '!'", ()),
        ({"a__regex": "^x"}, "a ~ %s", ("^x",)),
        ({"a__iregex": "^x"}, "a ~* %s", ("^x",)),
        ({"a__haskey": "k"}, "a::jsonb ? %s", ("k",)),
        ({"a__haskeyin": ["k", "l"]}, "a::jsonb ?| %s", (["k", "l"],)),
        ({"a___b__haskey": "k"}, "(a -> 'b')::jsonb ? %s", ("k",)),
        ({"a__haskey": F("b")}, "a::jsonb ? b", ()),
        ({"a___b__gt": AT}, "(a ->> 'b')::timestamp > %s", (AT,)),
        ({"a___b__gt": AT_ZONE}, "(a ->> 'b')::timestamptz > %s", (AT_ZONE,)),
        ({"a___b": AT.date()}, "(a ->> 'b')::date = %s", (AT.date(),)),
        ({"a__year": 2020}, "EXTRACT(YEAR FROM a) = %s", (2020,)),
        ({"u__a__month__in": [1, 2]}, "EXTRACT(MONTH FROM u.a) IN (%s, %s)", (1, 2)),
        ({"a__week__gte": 5}, "EXTRACT(WEEK FROM a) >= %s", (5,)),
        ({"a__second": 5}, "FLOOR(EXTRACT(SECOND FROM a)) = %s", (5,)),
        ({"a__date": date(2020, 1, 2)}, "CAST(a AS date) = %s", (date(2020, 1, 2),)),
        ({"a__time__lt": time(12)}, "CAST(a AS time) < %s", (time(12),)),
    ],
)  # fmt: skip
def test_operators_of_postgresql(named, text, params):
    builder = pg.select("t").filter(**named)
    # A literal % is doubled beside parameters, and only there.
    assert where(builder) == (text.replace("'%'", "'%%'") if params else text, params)


@pytest.mark.parametrize(
    ("named", "text", "params"),
    [
        ({"a": 1, "b__in": [1, 2]}, "a = ? AND b IN (?, ?)", (1, 1, 2)),
        ({"a__contains": "[5*?%_"}, "a GLOB ?", ("*[[]5[*][?]%_*",)),
        ({"a__startswith": "x"}, "a GLOB ?", ("x*",)),
        ({"a__nendswith": "x"}, "a NOT GLOB ?", ("*x",)),
        ({"a__icontains": r"50%_\*"}, r"a LIKE ? ESCAPE '\'", (r"%50\%\_\\*%",)),
        ({"a__iexact": "x"}, r"a LIKE ? ESCAPE '\'", ("x",)),
        ({"a__contains": F("b")}, f"a GLOB '*' || {ESCAPED_GLOB} || '*'", ()),
        ({"a__icontains": F("b")}, f"a LIKE '%' || {ESCAPED} || '%' ESCAPE '!'", ()),
        ({"a__year": 2020}, "CAST(strftime('%Y', a) AS INTEGER) = ?", (2020,)),
        ({"a__quarter": 2}, "CAST((strftime('%m', a) + 2) / 3 AS INTEGER) = ?", (2,)),
        ({"a__date": date(2020, 1, 2)}, "date(a) = ?", (date(2020, 1, 2),)),
        ({"a__gt": Decimal("1.5")}, "a > CAST(? AS NUMERIC)", (Decimal("1.5"),)),
        ({"a__in": [Decimal(1), 2]}, "a IN (CAST(? AS NUMERIC), ?)", (Decimal(1), 2)),
    ],
)  # fmt: skip
def test_operators_of_sqlite(named, text, params):
    assert where(lite.select("t").filter(**named)) == (text, params)


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"a__regex": "x"}, "matching of regular expressions"),
        ({"a__iregex": "x"}, "matching of regular expressions"),
        ({"a__haskey": "x"}, "looking for keys of JSON documents"),
        ({"a__haskeyin": ["x"]}, "looking for keys of JSON documents"),
        ({"a__week": 1}, "'week' of a date"),
    ],
)
def test_what_sqlite_does_not_have_is_said(named, what):
    with pytest.raises(SqlError, match=f"{what} is not available for sqlite"):
        lite.select("t").filter(**named).compile()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"a__in": "abc"}, "a__in: needs a list of values, or a select, not a value of type str"),
        ({"a__in": 5}, "needs a list of values"),
        ({"a__notin": {"a": 1}}, "needs a list of values"),
        ({"a__in": b"ab"}, "needs a list of values"),
        ({"a__between": 5}, "a__between: needs two values"),
        ({"a__between": "ab"}, "needs two values"),
        ({"a__between": (1, 2, 3)}, "needs two values"),
        ({"a__isnull": "false"}, "a__isnull: needs True or False, not a value of type str"),
        ({"a__isnull": []}, "needs True or False"),
        ({"__exists": "SELECT 1"}, "__exists: needs a select"),
        ({"__exists": True}, "__exists: needs a select"),
        ({"a__exists": SUB}, "the operator takes no column"),
        ({"a__all": True}, "the operator takes no column"),
        ({"__all": 1}, "__all: needs True"),
        ({"__all": "true"}, "__all: needs True"),
        ({"a__contains": ["x"]}, "a__contains: needs text"),
        ({"a__contains": b"x"}, "a__contains: needs text"),
        ({"a__regex": 5}, "a__regex: needs a regular expression"),
        ({"a__haskey": 5}, "a__haskey: needs a key"),
        ({"a__haskeyin": "ab"}, "a__haskeyin: needs a list of keys"),
        ({"a__haskeyin": ["a", 5]}, "a__haskeyin: needs a list of keys"),
    ],
)
def test_values_that_an_operator_cannot_take_are_refused_when_it_is_built(named, message):
    with pytest.raises(SqlError, match=message.replace("(", r"\(")) as caught:
        pg.select("t").filter(**named)
    assert "secret" not in str(caught.value)


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Name(str):
    """A text of a library."""


KOREA = timezone(timedelta(hours=9))
BOUND = [
    "it's %s ? \\ \" ; -- {}", "", 0, -5, 2**70, 1.5, True, False, b"\x00'", Decimal("-1.50"),
    UUID(int=5), datetime(2020, 1, 2, 3, 4, 5, 678901), datetime(2020, 1, 2, tzinfo=KOREA),
    date(2020, 1, 2), time(3, 4, 5, 6), {"a": [1]},
]  # fmt: skip


@pytest.mark.parametrize("value", BOUND, ids=by_repr)
@pytest.mark.parametrize("db", [pg, lite], ids=["postgresql", "sqlite"])
def test_values_are_bound_as_they_are(db, value):
    mark = "%s" if db is pg else "?"
    statement = db.insert("t").set(a=value).compile()
    assert statement.sql == f"INSERT INTO t (a)\nVALUES ({mark})"
    assert statement.params == (value,)
    assert type(statement.params[0]) is type(value)


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (Color.RED, "red"),
        (Size.BIG, 3),
        (Name("x"), "x"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (MappingProxyType({"a": 1}), {"a": 1}),
    ],
)
@pytest.mark.parametrize("db", [pg, lite], ids=["postgresql", "sqlite"])
def test_relatives_of_known_types_are_bound_as_those(db, value, bound):
    assert db.select("t").filter(a=value).compile().params == (bound,)


def test_lists_are_arrays_of_postgresql():
    values = ([1, 2], (Color.RED,), {"x"}, [[1], [2]], [], timedelta(1))
    bound = pg.insert("t").set({f"c{n}": value for n, value in enumerate(values)}).compile().params
    assert bound == ([1, 2], ["red"], ["x"], [[1], [2]], [], timedelta(1))


@pytest.mark.parametrize("value", [[1], (1,), {1}, [], timedelta(1)], ids=by_repr)
def test_sqlite_has_no_arrays_and_no_intervals(value):
    with pytest.raises(SqlError, match="SQLite has no (arrays|intervals)"):
        lite.insert("t").set(a=value).compile()


@pytest.mark.parametrize("value", [len, datetime.now, str, lambda: 5], ids=by_repr)
def test_code_is_no_value(value):
    with pytest.raises(SqlError, match="is code, not a value that can be bound"):
        pg.select("t").filter(a=value).compile()


@pytest.mark.parametrize("value", [Q(a=1), D(a=1), V(__gt=3)])
def test_what_stands_for_no_value_is_refused_as_one(value):
    with pytest.raises(SqlError):
        pg.select("t").filter(b=value).compile()


def test_documents_that_json_cannot_hold_are_refused():
    with pytest.raises(SqlError, match="can't be bound as JSON"):
        pg.select("t").filter(a___b={"x": object()}).compile()


def test_json_documents_have_numbers_of_all_kinds():
    document = {
        "n": Decimal("1.50"),
        "at": date(2020, 1, 2),
        "ids": {5},
        5: MappingProxyType({"x": True}),
    }
    assert pg.select("t").filter(a___b=document).compile().params == (
        '{"n":1.50,"at":"2020-01-02","ids":[5],"5":{"x":true}}',
    )


# -- combining

A, B, C = Q(a=1), Q(b=2), Q(c=3)


@pytest.mark.parametrize(
    ("q", "text", "params"),
    [
        (A, "a = %s", (1,)),
        (A & B, "a = %s AND b = %s", (1, 2)),
        (A | B, "a = %s OR b = %s", (1, 2)),
        (A | B | C, "a = %s OR b = %s OR c = %s", (1, 2, 3)),
        (A & (B | C), "a = %s AND (b = %s OR c = %s)", (1, 2, 3)),
        (A & B | C, "(a = %s AND b = %s) OR c = %s", (1, 2, 3)),
        ((A | B) & (B | C), "(a = %s OR b = %s) AND (b = %s OR c = %s)", (1, 2, 2, 3)),
        (~A, "NOT (a = %s)", (1,)),
        (~(A | B), "NOT (a = %s OR b = %s)", (1, 2)),
        (~~A, "NOT (NOT (a = %s))", (1,)),
        (~A & B, "NOT (a = %s) AND b = %s", (1, 2)),
        (Q(a=1, b=2) | C, "(a = %s AND b = %s) OR c = %s", (1, 2, 3)),
        (Q(A, b=2), "a = %s AND b = %s", (1, 2)),
        (Q("x = 1 or y = 2"), "x = 1 or y = 2", ()),
        (Q("x = 1 or y = 2") & A, "(x = 1 or y = 2) AND a = %s", (1,)),
        (A | Q("x = 1"), "a = %s OR (x = 1)", (1,)),
        (~Q("x = 1 or y = 2"), "NOT (x = 1 or y = 2)", ()),
        (Q(F("lower(x) = {}", "y")) & A, "(lower(x) = %s) AND a = %s", ("y", 1)),
        # what is empty drops out
        (Q() | A, "a = %s", (1,)),
        (A | Q(b=None), "a = %s", (1,)),
        (A & Q("") & Q(), "a = %s", (1,)),
        (~Q() & A, "a = %s", (1,)),
        (Q(Q(), a=1, b=None), "a = %s", (1,)),
    ],
)
def test_conditions_combine(q, text, params):
    assert q
    assert where(pg.select("t").filter(q)) == (text, params)


@pytest.mark.parametrize("q", [Q(), Q(a=None), Q("  "), ~Q(), Q() | Q(), Q(a=None) & Q(), Q(Q())])
def test_nothing_is_left_of_empty_conditions(q):
    assert not q
    assert flat(pg.select("t").filter(q)) == ("SELECT * FROM t", ())


def test_combining_changes_nothing_that_was_there():
    a, b = Q(a=1), Q(b=2)
    both = a & b
    for combine in (operator.and_, operator.or_):
        combine(both, a)
        combine(a, b)
    assert ~~a
    assert ~both
    assert where(pg.select("t").filter(a)) == ("a = %s", (1,))
    assert where(pg.select("t").filter(both)) == ("a = %s AND b = %s", (1, 2))


def test_expressions_can_be_used_again():
    f = F("name")
    first = pg.select("t").filter(a__contains=f, b__contains=f, c=f)
    text, _ = where(first)
    assert text.count("'!_')") == 2
    assert text.endswith("AND c = name")
    assert where(first)[0] == text


@pytest.mark.parametrize("combine", [operator.and_, operator.or_])
def test_conditions_only_combine_with_conditions(combine):
    with pytest.raises(TypeError):
        combine(Q(a=1), "b = 2")


def test_many_alternatives_are_one_list():
    q = Q()
    for number in range(3000):
        q |= Q(a=number)
    assert len(pg.select("t").filter(q).compile().params) == 3000


# -- filter and exclude


@pytest.mark.parametrize(
    ("build", "text", "params"),
    [
        (lambda t: t.filter(A | B, "x = 1", c=3), "(a = %s OR b = %s) AND (x = 1) AND c = %s",
         (1, 2, 3)),
        (lambda t: t.filter(a=1).filter(b=2), "a = %s AND b = %s", (1, 2)),
        (lambda t: t.filter(a=1, b=None), "a = %s", (1,)),
        (lambda t: t.filter(None, False, "", Q(), a=1), "a = %s", (1,)),
        (lambda t: t.filter(F("a = {x}", x=5)), "a = %s", (5,)),
        (lambda t: t.filter("a % 2 = 0"), "a % 2 = 0", ()),
        (lambda t: t.filter("a % 2 = 0", b="100%"), "(a %% 2 = 0) AND b = %s", ("100%",)),
        (lambda t: t.exclude(a=1), "NOT (a = %s)", (1,)),
        (lambda t: t.exclude(a=1, b=2).filter(c=3), "NOT (a = %s AND b = %s) AND c = %s",
         (1, 2, 3)),
        (lambda t: t.exclude(A | B), "NOT (a = %s OR b = %s)", (1, 2)),
        (lambda t: t.exclude(a=None), "", ()),
        (lambda t: t.all(), "", ()),
        (lambda t: t.all().filter(a=1), "a = %s", (1,)),
        (lambda t: t.filter(self=1, key=2, named=3, conditions=4),
         "self = %s AND key = %s AND named = %s AND conditions = %s", (1, 2, 3, 4)),
    ],
)  # fmt: skip
def test_filters(build, text, params):
    assert where(build(pg.select("t"))) == (text, params)


@pytest.mark.parametrize("part", [5, {"a": 1}, ["a = 1"], True, b"a = 1", pg.select("t")], ids=str)
def test_what_is_no_condition_is_refused(part):
    with pytest.raises(SqlError, match="a condition is a Q, SQL text or a keyword"):
        pg.select("t").filter(part)


@pytest.mark.parametrize("operators", [{"a": 1}, {"__gt": 1, "__lt": 2}, {"a__gt": 1}])
def test_v_takes_one_operator(operators):
    with pytest.raises(SqlError, match="one operator"):
        V(**operators)
    with pytest.raises(SqlError, match="one operator"):
        V(1, **operators)


def test_v_needs_something_to_compare_with():
    with pytest.raises(SqlError, match="nothing to compare with"):
        V(__gt=None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: F(5), "V.. takes values"),
        (lambda: F("a = {}"), ""),
        (lambda: F("a = {}", 1, 2), "no field {1}"),
        (lambda: F("a = {} {}", 1), "no value for {1}"),
        (lambda: F("a = {x}", y=1), "no value for {x}"),
        (lambda: F("a = '{x}'", x=1), "stands inside quotes"),
        (lambda: F("a = {x.columns}", x=1), "only a D has columns"),
    ],
)
def test_fields_of_f_and_its_values_belong_together(make, message):
    if not message:  # without values there are no fields
        assert where(pg.select("t").filter(make())) == ("a = {}", ())
        return
    with pytest.raises(SqlError, match=message):
        flat(pg.select("t").filter(make()))


def test_d_needs_columns():
    with pytest.raises(SqlError, match="D.. needs columns"):
        D()
