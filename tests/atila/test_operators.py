"""Keywords of ``@app.inspect``: types, patterns, values, operators, lengths, members of JSON."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Literal
from uuid import UUID

import pytest

from atila.errors import ConfigError
from atila.validation.inspection_rules import Rules
from atila.validation.refusal import Refused

UTC = timezone.utc


class Kind(Enum):
    A = "a"
    B = "b"


class Long:
    """An object with a method ``search``."""

    def search(self, value):
        return len(value) > 3


def check(value, of_json=False, **rule):
    (field,) = Rules(rule).fields.values()
    return field.compile()[of_json](value)


def refused(value, of_json=False, **rule) -> str:
    with pytest.raises(Refused) as caught:
        check(value, of_json, **rule)
    return f"{caught.value.where} {caught.value.reason}".strip()


# Operators


@pytest.mark.parametrize(
    ("operator", "operand", "good", "bad", "reason"),
    [
        ("between", (1, 5), ["1", "3", "5"], ["0", "6"], "must be between 1 and 5"),
        ("between", (1.5, 5), ["1.5", "3"], ["1.4"], "must be between 1.5 and 5"),
        ("in", ["a", "b"], ["a", "b"], ["c", ""], "must be one of a, b"),
        ("in", ("a",), ["a"], ["b"], "must be a"),
        ("in", range(18, 99), ["18", "98"], ["17", "99"], None),
        ("in", {1, 2}, ["1"], ["3"], "must be one of 1, 2"),
        ("notin", ["a", "b"], ["c", ""], ["a"], "must not be one of a, b"),
        ("eq", 5, ["5", "05"], ["6"], "must be 5"),
        ("exact", "x", ["x"], ["X", ""], "must be x"),
        ("neq", 5, ["6"], ["5"], "must not be 5"),
        ("lte", 5, ["5", "-1"], ["6"], "must be at most 5"),
        ("lt", 5, ["4"], ["5"], "must be less than 5"),
        ("gte", 5, ["5"], ["4"], "must be at least 5"),
        ("gt", 5, ["6"], ["5"], "must be more than 5"),
        ("gte", 1.5, ["1.5", "2"], ["1"], "must be at least 1.5"),
        ("contains", "b", ["abc"], ["ac"], "must contain 'b'"),
        ("notcontain", "b", ["ac"], ["abc"], "must not contain 'b'"),
        ("ncontains", "b", ["ac"], ["abc"], "must not contain 'b'"),
        ("startswith", "a", ["ab"], ["ba"], "must start with 'a'"),
        ("notstartwith", "a", ["ba"], ["ab"], "must not start with 'a'"),
        ("nstartswith", "a", ["ba"], ["ab"], "must not start with 'a'"),
        ("endswith", "a", ["ba"], ["ab"], "must end with 'a'"),
        ("notendwith", "a", ["ab"], ["ba"], "must not end with 'a'"),
        ("nendswith", "a", ["ab"], ["ba"], "must not end with 'a'"),
        ("regex", "^a+$", ["aa"], ["ab", ""], "must match ^a+$"),
        ("regex", re.compile("a", re.IGNORECASE), ["xA"], ["b"], "must match a"),
        ("eq", True, ["yes", "true"], ["no"], "must be True"),
        ("lte", date(2020, 1, 1), ["2019-12-31"], ["2020-01-02"], "must be at most 2020-01-01"),
        ("gt", Decimal("1.1"), ["1.2"], ["1.1"], "must be more than 1.1"),
        ("eq", UUID(int=1), [str(UUID(int=1))], [str(UUID(int=2))], f"must be {UUID(int=1)}"),
        ("in", [Kind.A], ["a"], ["b"], "must be a"),
    ],
)
def test_text_is_compared_as_the_type_of_the_operand(operator, operand, good, bad, reason):
    rule = {f"x__{operator}": operand}
    for value in good:
        assert check(value, **rule) == value
    for value in bad:
        message = refused(value, **rule)
        assert reason is None or message == reason


@pytest.mark.parametrize(
    ("rule", "value", "reason"),
    [
        ({"x__gte": 5}, "x", "must be a whole number"),
        ({"x__gte": 5}, "5.5", "must be a whole number"),
        ({"x__gte": 5.0}, "x", "must be a number"),
        ({"x__gte": 5}, "", "must be a whole number"),
        ({"x__gte": 5}, ["6", "7"], "is given more than once"),
        ({"x__in": ["a"]}, ["a"], "is given more than once"),
        ({"x__notin": ["a"]}, ["a", "b"], "is given more than once"),
        ({"x__neq": "a"}, ["a", "b"], "is given more than once"),
        ({"x__notcontain": "<"}, ["<"], "is given more than once"),
        ({"x__eq": True}, "maybe", "must be true or false"),
        ({"x__gte": date(2020, 1, 1)}, "x", "must be a date such as 2026-01-31"),
        ({"x__gte": Decimal(1)}, "NaN", "must be a number"),
        ({"x__in": [Kind.A]}, "c", "must be one of a, b"),
    ],
)
def test_text_that_is_not_of_the_operands_type_is_refused(rule, value, reason):
    assert refused(value, **rule) == reason


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"x__gte": 5}, 5),
        ({"x__gte": 5}, 5.5),
        ({"x__gte": 1.5}, 2),
        ({"x__between": (1, 5)}, 4.7),
        ({"x__lt": 10**400}, 1.5),
        ({"x__in": ["a", 1]}, "a"),
        ({"x__eq": True}, True),
        ({"x__eq": [1, 2]}, [1, 2]),
        ({"x__neq": {"a": 1}}, {}),
        ({"x__contains": "b"}, "abc"),
        ({"x__gte": date(2020, 1, 1)}, "2020-01-01"),
    ],
)
def test_json_is_compared_as_it_is(rule, value):
    assert check(value, True, **rule) == value


@pytest.mark.parametrize(
    ("rule", "value", "reason"),
    [
        ({"x__gte": 5}, "6", "must be a number"),
        ({"x__gte": 5}, True, "must be a number"),
        ({"x__gte": 5}, [6], "is given more than once"),
        ({"x__lte": 5}, 5.1, "must be at most 5"),
        ({"x__eq": 1}, True, "must be a number"),
        ({"x__eq": True}, 1, "must be true or false"),
        ({"x__in": [1, 2]}, True, "must be a number"),
        ({"x__in": ["a"]}, 1, "must be text"),
        ({"x__in": ["a"]}, {}, "must be text"),
        ({"x__contains": "a"}, ["a"], "must be text"),
        ({"x__startswith": "1"}, 11, "must be text"),
        ({"x__regex": "1"}, 1, "must be text"),
        ({"x__gte": date(2020, 1, 1)}, 5, None),
        ({"x__gte": datetime(2020, 1, 1)}, "2021-01-01T00:00:00Z", "must be at least 2020-01-01"),
        ({"x__gte": datetime(2020, 1, 1, tzinfo=UTC)}, "2021-01-01T00:00:00", None),
    ],
)
def test_json_of_another_type_is_refused(rule, value, reason):
    message = refused(value, True, **rule)
    assert reason is None or message.startswith(reason)


def test_converted_text_is_compared_as_what_it_became():
    rules = Rules({"floats": "price", "price__gte": 1, "price__lte": 9})
    to_value = rules.fields["price"].compile()[0]
    assert to_value("4.7") == 4.7
    with pytest.raises(Refused, match="at most 9"):
        to_value("9.1")
    to_value = Rules({"price": Decimal, "price__gte": 1}).fields["price"].compile()[0]
    assert to_value("4.7") == Decimal("4.7")


def test_all_rules_of_a_parameter_apply_and_the_first_failure_is_told():
    rules = {"x__gte": 1, "x__lte": 9, "x__neq": 5}
    assert check("4", **rules) == "4"
    assert refused("0", **rules) == "must be at least 1"
    assert refused("10", **rules) == "must be at most 9"
    assert refused("5", **rules) == "must not be 5"


def test_long_lists_are_cut_in_the_answer():
    assert refused("a", x__in=list(range(50))) == "must be a whole number"
    assert refused("99", x__in=list(range(50))).endswith("8, 9, …")


# Lengths


@pytest.mark.parametrize("value", ["abc", ["a", "b", "c"], {"a": 1, "b": 2, "c": 3}])
def test_lengths_of_text_lists_and_objects(value):
    assert check(value, True, x__len__between=(3, 64)) == value
    assert check(value, True, x__len__eq=3) == value
    assert check(value, True, x__len__in=[1, 3]) == value
    assert refused(value, True, x__len__gt=3) == "length must be more than 3"
    assert refused(value, True, x__len__lt=3) == "length must be less than 3"


@pytest.mark.parametrize("value", [5, 1.5, True])
def test_numbers_have_no_length(value):
    assert refused(value, True, x__len__gte=1) == "must be text, a list or an object"


# Types, patterns, values


@pytest.mark.parametrize(
    ("declared", "value", "made"),
    [
        (int, "3", 3),
        (float, "3", 3.0),
        (str, "3", "3"),
        (bool, "yes", True),
        (list, "a", ["a"]),
        (list, ["a", "b"], ["a", "b"]),
        (date, "2020-01-31", date(2020, 1, 31)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, str(UUID(int=5)), UUID(int=5)),
        (Kind, "a", Kind.A),
        (Literal["a", "b"], "a", "a"),
        (list[int], ["1", "2"], [1, 2]),
        (int | None, "", None),
        ([int, float], "3", 3),
        ([int, float], "3.5", 3.5),
        ((int, str), "x", "x"),
        ((int, str), "3", 3),
        ([float, int], 3, 3),
    ],
)
def test_text_becomes_the_declared_type(declared, value, made):
    converted = check(value, x=declared)
    assert converted == made
    assert type(converted) is type(made)
    assert check(converted, x=declared) == converted


@pytest.mark.parametrize(
    ("declared", "value", "reason"),
    [
        (int, "x", "must be a whole number"),
        (dict, "x", "must be an object"),
        ([int, float], "x", "must be a whole number or a number"),
        ([int, date], "x", "must be a whole number or a date such as 2026-01-31"),
        (list[int], ["1", "x"], "[1] must be a whole number"),
        (Kind, "c", "must be one of a, b"),
    ],
)
def test_text_that_is_not_of_the_type_is_refused(declared, value, reason):
    assert refused(value, x=declared) == reason


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        (int, [3], ["3", 3.0, True]),
        (float, [3, 3.5], ["3", True]),
        (str, [""], [0, [], {}]),
        (bool, [True], [1, "yes"]),
        (list, [[]], ["a", {}]),
        (dict, [{}], [[], "a"]),
        ([int, str], [3, "3"], [3.5, True, []]),
        ([float, int], [3, 3.5], ["3"]),
    ],
)
def test_json_is_checked_against_the_type(declared, good, bad):
    for value in good:
        assert check(value, True, x=declared) == value
    for value in bad:
        assert refused(value, True, x=declared)


def test_of_several_types_json_keeps_its_own():
    assert type(check(3, True, x=[float, int])) is int


def test_an_object_with_search_is_a_pattern():
    assert check("abcd", x=Long()) == "abcd"
    assert refused("abc", x=Long()).startswith("must match ")
    assert refused(5, True, x=Long()) == "must be text"


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [("book", "book", "cd"), (3, "3", "4"), (True, "yes", "no"), (1.5, "1.50", "2")],
)
def test_a_value_is_what_it_must_be(wanted, good, bad):
    assert check(good, x=wanted) == good
    assert refused(bad, x=wanted) == f"must be {wanted}"


# Members of JSON


def test_members_of_json_are_reached_by_keys_and_indexes():
    data = {"k": [5, 10, [1, 2, 3]], "0": "zero"}
    assert check(data, True, d___k__1__gte=10) == data
    assert check(data, True, d___k__len__gte=3) == data
    assert check(data, True, d___k__2__len__gte=3) == data
    assert check(data, True, d___k__2__0=int) == data
    assert check(data, True, d___0="zero") == data
    assert refused(data, True, d___k__1__gte=11) == ".k[1] must be at least 11"
    assert refused(data, True, d___k__2__len__gte=4) == ".k[2] length must be at least 4"
    assert check([[{"a": 1}]], True, d__0__0___a=1) == [[{"a": 1}]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, ".k is required"),
        ({"k": []}, ".k[1] is required"),
        ({"k": {}}, ".k must be a list"),
        ({"k": "text"}, ".k must be a list"),
        ([], "must be an object"),
        ("text", "must be an object"),
        (5, "must be an object"),
    ],
)
def test_a_member_that_is_not_there_is_refused(data, reason):
    assert refused(data, True, d___k__1__gte=10) == reason


def test_a_member_that_is_null_is_not_checked():
    assert check({"k": [1, None]}, True, d___k__1__gte=10) == {"k": [1, None]}


def test_a_member_becomes_the_declared_type():
    data = {"at": "2020-01-31", "n": ["1"]}
    assert check(data, True, d___at=date) == {"at": date(2020, 1, 31), "n": ["1"]}
    assert check(["1", "2"], d__0=int) == [1, "2"]
    assert check((1, 5), d__0__lte=1) == (1, 5)
    assert refused((1, 5), d__1__lte=1) == "[1] must be at most 1"


# Errors of the app


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"x__gt3": 1}, r"x__gt3=1\): there is no operator 'gt3', did you mean 'gt'\?"),
        ({"x__foo": 1}, "there is no operator 'foo'; choose from len, between"),
        ({"x__len": 1}, "add an operator, e.g. x__len__lte"),
        ({"x__len__len": 1}, "there is no operator 'len'"),
        ({"x__gte__lte": 1}, "there is no operator 'gte__lte'"),
        ({"x__gte___k": 1}, "gte must be the end of the keyword"),
        ({"x__": 1}, "there is no operator ''"),
        ({"__x": 1}, "write name__operator"),
        ({"x___": 1}, "write name__operator"),
        ({"x__len__contains": "a"}, "a length is a number"),
        ({"x__len__regex": "a"}, "a length is a number"),
        ({"x__len__lte": "5"}, "a length must be compared with int"),
        ({"x__len__between": (1, 2.5)}, "a length must be compared with int"),
        ({"x__between": 5}, "give a pair"),
        ({"x__between": (1, 2, 3)}, "give a pair"),
        ({"x__between": (5, 1)}, "give the lowest value first"),
        ({"x__between": (1, "a")}, "the two values can't be compared"),
        ({"x__in": "abc"}, "give a list of values"),
        ({"x__in": 5}, "give a list of values"),
        ({"x__in": []}, "the list is empty"),
        ({"x__in": [[1], [2]]}, "requests have no values of the type list"),
        ({"x__contains": 5}, "give the text to look for"),
        ({"x__startswith": ""}, "give the text to look for"),
        ({"x__regex": "("}, "this is no regular expression"),
        ({"x__regex": 5}, "this is no regular expression"),
        ({"x__eq": None}, "None is never compared"),
        ({"x__gte": None}, "give a value that has an order"),
        ({"x__gte": {}}, "give a value that has an order"),
        ({"x__gte": [1]}, "requests have no values of the type list"),
        ({"x__eq": object()}, "requests have no values of the type object"),
        ({"x__eq": b"a"}, "requests have no values of the type bytes"),
        ({"x": None}, "None is never compared"),
        ({"x": [1, 2]}, r"a list here has types; for values write x__in=\[1, 2\]"),
        ({"x": []}, "a list here has types"),
        ({"int": ["id"]}, r"or did you mean ints=\['id'\]"),
        ({"requierd": ["id"]}, r"or did you mean required=\['id'\]"),
        ({"x": len}, "a function is no rule"),
        ({"x": complex}, "requests have no values of this type"),
        ({"x": [int, complex]}, "requests have no values of this type"),
        ({"x": list[complex]}, "values of complex can't be made from requests"),
    ],
)
def test_a_rule_that_can_not_work_is_refused_with_its_fix(rule, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Rules(rule)
    assert str(caught.value).startswith(f"@app.inspect({next(iter(rule))}=")
