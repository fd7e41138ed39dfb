"""Options of ``@app.inspect`` that are given as names: what text and JSON become, what is 400."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress

import pytest

from atila.errors import ConfigError
from atila.validation.inspection_rules import Rules
from atila.validation.refusal import Refused

ONCE = "is given more than once"


def text(option, value):
    return Rules({option: "x"}).fields["x"].compile()[0](value)


def json(option, value):
    return Rules({option: "x"}).fields["x"].compile()[1](value)


def refused(function, option, value) -> str:
    with pytest.raises(Refused) as caught:
        function(option, value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("option", "value", "made"),
    [
        ("ints", "4", 4),
        ("ints", "-4", -4),
        ("ints", "+4", 4),
        ("ints", " 4 ", 4),
        ("ints", "9" * 40, int("9" * 40)),
        ("ints", "007", 7),
        ("floats", "4", 4.0),
        ("floats", "-1.5e3", -1500.0),
        ("floats", " .5", 0.5),
        ("strings", "", ""),
        ("strings", "0", "0"),
        ("lists", "a|b", ["a", "b"]),
        ("lists", "a", ["a"]),
        ("lists", "", []),
        ("lists", ["a", "b|c"], ["a", "b|c"]),
        ("ranges", "1~5", (1, 5)),
        ("ranges", "-5 ~ -1", (-5, -1)),
        ("ranges", "5~1", (5, 1)),
        ("emails", "hans.roh@gmail.com", "hans.roh@gmail.com"),
        ("emails", "a+b@x-y.example", "a+b@x-y.example"),
        ("uuids", "123e4567-E89B-12d3-a456-426655440000", "123e4567-E89B-12d3-a456-426655440000"),
        ("notags", "a < b & c > d", "a &lt; b & c &gt; d"),
        ("notags", "plain", "plain"),
        ("safes", "<b>one = 1 & two</b> JavaScript: The Good Parts", None),
        ("safes", "only on Monday, turned on = true, 1 &amp; 2", None),
    ],
)
def test_text_becomes_what_is_declared(option, value, made):
    converted = text(option, value)
    assert converted == (value if made is None else made)
    assert type(converted) is type(value if made is None else made)
    assert text(option, converted) == converted


@pytest.mark.parametrize(
    ("word", "value"),
    [(word, True) for word in ("True", "true", "TRUE", "yes", "Yes", "y", "Y", "t", "T")]
    + [(word, False) for word in ("False", "false", "no", "NO", "n", "N", "f", "F")],
)
def test_words_are_booleans(word, value):
    assert text("booleans", word) is value
    assert text("booleans", value) is value


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        *(
            ("ints", value, "must be a whole number")
            for value in (
                *("", "x", "4.1", "4.0", "1_000", "0x1", "--1", "+-1", "1 2", "٣", "²"),
                *("9" * 41, "NaN", "-", "1e3"),
            )
        ),
        *(
            ("floats", value, "must be a number")
            for value in ("", "x", "1,5", "nan", "inf", "-Infinity", "1e999", "1_0", "٣")
        ),
        *(
            ("booleans", value, "must be true or false")
            for value in ("", "xx", "1", "0", "on", "oui")
        ),
        *(("ranges", value, "must be a range such as 1~5") for value in ("", "1", "1~", "a~b")),
        *(("dicts", value, "must be an object") for value in ("", "{}", ["a"])),
        *(
            ("emails", value, "must be an e-mail address")
            for value in (
                *("", "a", "a@", "@b.c", "a@b", "a b@c.d", "a@b..c", "a@-b.c", "a@b.c\n"),
                *("<a@b.c>", "a@b.c,d@e.f", "x" * 65 + "@b.c", "ä@b.c", "a@" + "b." * 127 + "c"),
                ["a@b.c"],
            )
        ),
        *(
            ("uuids", value, "must be a UUID")
            for value in (
                *("", "123e4567", "123e4567-e89b-12d3-a456-4266554400000", "{}"),
                *("x123e4567-e89b-12d3-a456-426655440000", ["a"]),
            )
        ),
        *((option, ["1", "2"], ONCE) for option in ("ints", "floats", "booleans", "strings")),
        *((option, ["a", "b"], ONCE) for option in ("safes", "notags")),
    ],
)
def test_other_text_is_refused(option, value, reason):
    assert refused(text, option, value) == reason


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ints", 4),
        ("ints", -(10**30)),
        ("floats", 4.5),
        ("floats", 4),
        ("strings", ""),
        ("booleans", True),
        ("booleans", False),
        ("lists", []),
        ("lists", [1, "a", None]),
        ("dicts", {}),
        ("dicts", {"a": {}}),
        ("ranges", [1, 5]),
        ("ranges", "1~5"),
        ("emails", "a@b.c"),
        ("uuids", "123e4567-e89b-12d3-a456-426655440000"),
        ("notags", "a"),
        ("safes", "a"),
    ],
)
def test_json_of_the_declared_type_passes(option, value):
    made = json(option, value)
    assert made == ((1, 5) if option == "ranges" else value)
    assert json(option, made) == made


WRONG = {
    "ints": ["4", 4.0, 4.1, True, "", [4], {}],
    "floats": ["4", True, 10**400, [], {}],
    "strings": [0, 1.5, True, [], {}],
    "booleans": [1, 0, "true", "yes", "", [], {}],
    "lists": ["a|b", "", 1, {}],
    "dicts": [[], "", 1, True],
    "ranges": [1, [1], [1, 2, 3], [1, "2"], [True, 2], [1.0, 2], {}, "1-5"],
    "emails": [1, True, [], {}],
    "uuids": [1, True, [], {}],
    "notags": [1, True, ["<b>"], {"a": "<b>"}],
    "safes": [1, True, ["<script>"], {"a": "<script>"}],
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in WRONG.items() for value in values]
)
def test_json_of_another_type_is_refused(option, value):
    assert refused(json, option, value)


def test_floats_of_json_are_always_floats():
    assert type(json("floats", 4)) is float


def test_values_that_a_rule_of_the_path_made_are_left_alone():
    value = uuid.uuid4()
    assert text("uuids", value) is value
    assert text("ints", 5) == 5
    assert text("floats", 5) == 5.0


@pytest.mark.parametrize(
    "value",
    [
        "<script>",
        "< SCRIPT src=x>",
        "</script>",
        "<a href=javascript:alert(1)>",
        '<a href=" java\tscript:alert(1)">',
        "<a href='javascript&colon;x'>",
        "<a href=vbscript:x>",
        "<img onerror=alert(1)>",
        "<svg/onload = x>",
        'x" onmouseover="x',
        "&#x6a;avascript",
        "&#106;avascript",
    ],
)
def test_scripts_are_not_safe(value):
    assert refused(text, "safes", value) == "must not contain scripts"
    assert refused(json, "safes", value) == "must not contain scripts"


@pytest.mark.parametrize("option", ["safes", "emails", "ints", "floats", "ranges", "uuids"])
@pytest.mark.parametrize(
    "piece", ["<", "< ", "=", "= ", " on", "&#", "a@", "a.", "1", " ", "-", "j ", "~", "a-"]
)
def test_no_text_takes_long_to_read(option, piece):
    value = piece * (200_000 // len(piece))
    started = time.process_time()
    for made in (value, f"={value}", f" onx{value}", f"a@{value}"):
        with suppress(Refused):
            text(option, made)
    assert time.process_time() - started < 1


# nones


@pytest.mark.parametrize("value", ["", 0, 0.0, False, [], {}])
def test_what_is_blank_or_zero_like_becomes_none(value):
    assert json("nones", value) is None


@pytest.mark.parametrize("value", ["0", " ", "a", 1, True, [0], {"a": 0}])
def test_what_is_neither_stays(value):
    assert json("nones", value) == value


def test_nones_run_before_other_rules_and_after_conversions():
    to_value = Rules({"ints": "a", "nones": "a", "a__gte": -5}).fields["a"].compile()[0]
    assert to_value("") is None
    assert to_value("0") is None
    assert to_value("3") == 3
    with pytest.raises(Refused):
        to_value("x")


# Order


def test_types_come_first_and_escapes_last():
    rules = Rules({"a__len__lte": 5, "notags": "a", "strings": "a"})
    to_value = rules.fields["a"].compile()[0]
    assert to_value("<b>") == "&lt;b&gt;"
    with pytest.raises(Refused, match="length must be at most 5"):
        to_value("<bbbb>")
    with pytest.raises(Refused, match="more than once"):
        to_value(["<b>"])


def test_text_is_looked_at_before_it_is_escaped():
    to_value = Rules({"notags": "a", "safes": "a"}).fields["a"].compile()[0]
    with pytest.raises(Refused, match="scripts"):
        to_value("<script>")


# Errors of the app


@pytest.mark.parametrize("option", ["ints", "required", "oneof", "nones"])
@pytest.mark.parametrize("value", [5, True, {"a": 1}, [1], ["a", ""], [["a"]], object()])
def test_names_must_be_names(option, value):
    with pytest.raises(ConfigError, match=rf"{option}=.*give the names of parameters"):
        Rules({option: value})


def test_a_parameter_has_one_type():
    with pytest.raises(ConfigError, match="parameter id has two types"):
        Rules({"ints": "id", "strings": "id"})
    with pytest.raises(ConfigError, match="parameter id has two types"):
        Rules({"ints": "id", "id": float})
