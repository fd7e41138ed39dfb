"""The JSON of answers."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from uuid import UUID

import msgspec
import pytest
from driving import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import Atila
from atila.errors import ConfigError
from atila.results.encoding import DATETIMES, encode, make_encoder

HUGE = 2**64
KST = timezone(timedelta(hours=9))
LOCAL = datetime(2024, 1, 2, 3, 4, 5)
Point = namedtuple("Point", "x y")


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Struct(msgspec.Struct):
    a: object
    b: int = 2


@dataclass
class Item:
    name: str
    tags: list = field(default_factory=list)
    _hidden: int = 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, 678, timezone.utc), "2024-01-02 03:04:05+00"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=KST), "2024-01-01 18:04:05+00"),
        (LOCAL, LOCAL.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00")),
        (datetime(1, 1, 1, tzinfo=timezone.utc), "0001-01-01 00:00:00+00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(1, 2, 3), "01:02:03"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1e400"), "1E+400"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (b"text", "text"),
        (frozenset(("a",)), ["a"]),
        (set(), []),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (Color.RED, "red"),
        (Level.LOW, 1),
        (Struct(1), {"a": 1, "b": 2}),
        (Item("x", ["y"]), {"name": "x", "tags": ["y"]}),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (1.0, 1.0),
        (True, True),
        (2**63, 2**63),
        (-(2**63), -(2**63)),
        (HUGE, HUGE),
        (-HUGE, -HUGE),
        (10**3000, 10**3000),
    ],
    ids=range(28),
)
def test_values(value, expected):
    assert json.loads(encode(value)) == expected
    assert json.loads(encode([value])) == [expected]
    assert json.loads(encode({"k": value})) == {"k": expected}


def test_large_integers_are_exact_however_deep_and_change_nothing_else():
    data = {
        "list": [HUGE, [HUGE]],
        "struct": Struct(Struct(HUGE)),
        "dataclass": Item("x", [HUGE]),
        "set": {HUGE},
        "tuple": Point(HUGE, 1),
        "nan": math.nan,
        "when": datetime(2024, 1, 2, tzinfo=timezone.utc),
        "uuid": UUID(int=5),
        "text": "한",
        5: HUGE,
        True: None,
    }
    assert json.loads(encode(data)) == {
        "list": [HUGE, [HUGE]],
        "struct": {"a": {"a": HUGE, "b": 2}, "b": 2},
        "dataclass": {"name": "x", "tags": [HUGE]},
        "set": [HUGE],
        "tuple": [HUGE, 1],
        "nan": None,
        "when": "2024-01-02 00:00:00+00",
        "uuid": "00000000-0000-0000-0000-000000000005",
        "text": "한",
        "5": HUGE,
        "true": None,
    }


def test_keys_that_are_no_text():
    data = {5: "a", None: "b", True: "c", 1.5: "d", UUID(int=5): "e", HUGE: "f", Color.RED: "g"}
    assert json.loads(encode(data)) == {
        "5": "a",
        "true": "c",
        "null": "b",
        "1.5": "d",
        "00000000-0000-0000-0000-000000000005": "e",
        str(HUGE): "f",
        "red": "g",
    }


@pytest.mark.parametrize(
    "value",
    [object(), timedelta(1), 1j, b"\xff", "\ud800", {"k": [object()]}, [HUGE, object()], Item, len],
    ids=range(9),
)
def test_what_has_no_json_form_is_a_type_error(value):
    with pytest.raises(TypeError):
        encode({"k": value})


def test_a_structure_that_contains_itself_is_refused():
    data: list = [1]
    data.append(data)
    with pytest.raises(TypeError):
        encode(data)
    with pytest.raises((TypeError, RecursionError)):
        encode([HUGE, data])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(JSON_VALUES.filter(lambda value: "Infinity" not in json.dumps(value)))
def test_json_survives(value):
    assert json.loads(encode(value)) == value


# As results


@pytest.mark.parametrize("result", [Struct(1), Item("x")])
def test_records_are_results(result):
    app = Atila("records")
    app.route("/")(lambda was: result)
    got = Driver(app).get("/")
    assert (got.status, got["Content-Type"]) == (200, "application/json")
    assert got.json == json.loads(encode(result))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_cannot_be_encoded_is_a_crash(asynchronous, log):
    app = Atila("odd")

    @app.route("/sync")
    def synchronous(was):
        return {"a": object()}

    @app.route("/async")
    async def _(was):
        return was.API("201 Created", a=object())

    got = Driver(app).get("/async" if asynchronous else "/sync")
    assert (got.status, got.json["message"]) == (500, "internal server error")
    assert "object" in log.text


# JSON_ENCODER and PRETTY_JSON

MOMENT = datetime(2024, 1, 2, 3, 4, 5, 678900, KST)
UTC_LOCAL = LOCAL.astimezone(timezone.utc)


@pytest.mark.parametrize(
    ("choice", "aware", "naive"),
    [
        ("utcoffset", "2024-01-01 18:04:05+00", f"{UTC_LOCAL:%Y-%m-%d %H:%M:%S}+00"),
        ("iso", "2024-01-02T03:04:05.678900+09:00", "2024-01-02T03:04:05"),
        ("unixepoch", 1704132245, int(LOCAL.timestamp())),
        ("digit", "20240101180405", f"{UTC_LOCAL:%Y%m%d%H%M%S}"),
        ("str", "2024-01-02 03:04:05.678900+09:00", "2024-01-02 03:04:05"),
    ],
)
def test_datetimes_are_written_as_the_app_chose(choice, aware, naive):
    encode = make_encoder({"JSON_ENCODER": choice})
    data = {"aware": MOMENT, "naive": LOCAL, "date": date(2024, 1, 2), "time": time(1, 2, 3)}
    data["deep"] = [{"set": {MOMENT}, "huge": HUGE}]
    assert json.loads(encode(data)) == {
        "aware": aware,
        "naive": naive,
        "date": "2024-01-02",
        "time": "01:02:03",
        "deep": [{"set": [aware], "huge": HUGE}],
    }


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=timezone.utc), datetime(1969, 12, 31)])
@pytest.mark.parametrize("choice", list(DATETIMES))
def test_old_datetimes_can_be_written(choice, moment):
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    json.loads(make_encoder({"JSON_ENCODER": choice})([aware]))


def test_an_epoch_before_the_epoch_is_rounded_down():
    moment = datetime(1969, 12, 31, 23, 59, 58, 500000, timezone.utc)
    assert make_encoder({"JSON_ENCODER": "unixepoch"})([moment]) == b"[-2]"


@pytest.mark.parametrize("choice", list(DATETIMES))
def test_pretty_json_is_indented(choice):
    encode = make_encoder({"JSON_ENCODER": choice, "PRETTY_JSON": True})
    assert encode({"ü": [1]}).decode() == '{\n  "ü": [\n    1\n  ]\n}'
    assert encode({"huge": HUGE}) == b'{\n  "huge": %d\n}' % HUGE


def test_the_default_is_the_fast_encoder():
    assert make_encoder({}) is encode
    assert make_encoder({"JSON_ENCODER": "utcoffset", "PRETTY_JSON": False}) is encode


class Fractions(json.JSONEncoder):
    def default(self, value):
        return f"one of {type(value).__name__}" if value is not None else super().default(value)


@pytest.mark.parametrize(
    ("choice", "pretty", "expected"),
    [
        (Fractions, False, '{"a":["ü","one of complex"]}'),
        (Fractions, True, '{\n  "a": [\n    "ü",\n    "one of complex"\n  ]\n}'),
        (lambda data: str(len(data)), True, "1"),
        (lambda data: b"[1]", False, "[1]"),
        (len, False, None),
    ],
)
def test_an_app_may_bring_its_own_encoder(choice, pretty, expected, log):
    app = Atila("own")
    app.config.JSON_ENCODER, app.config.PRETTY_JSON = choice, pretty
    app.route("/api")(lambda was: was.API(a=["ü", 1j]))
    app.route("/data")(lambda was: {"a": ["ü", 1j]})
    driver = Driver(app)
    for path in ("/api", "/data"):
        got = driver.get(path)
        assert got.status == (200 if expected else 500)
        if expected:
            assert (got.text, got["Content-Type"]) == (expected, "application/json")
        else:
            assert "config.JSON_ENCODER returned int, not text or bytes" in log.text


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_a_class_of_the_app_writes_json_only(value):
    with pytest.raises((TypeError, ValueError)):
        make_encoder({"JSON_ENCODER": json.JSONEncoder})([value])


@pytest.mark.parametrize("choice", ["", "UTC", None, 5, dict, object(), ["iso"], b"iso"])
def test_another_encoder_is_a_mistake_that_is_told_at_the_start(choice):
    app = Atila("wrong")
    app.config.JSON_ENCODER = choice
    with pytest.raises(ConfigError, match=r"config\.JSON_ENCODER is .*'utcoffset'"):
        Driver(app)


def test_apps_have_encoders_of_their_own():
    first, second = Atila("first"), Atila("second")
    first.config.JSON_ENCODER = "unixepoch"
    for app in (first, second):
        app.route(f"/{app.name}")(lambda was: {"at": MOMENT})
    driver = Driver(first, second)
    assert driver.get("/first").json == {"at": 1704132245}
    assert driver.get("/second").json == {"at": "2024-01-01 18:04:05+00"}
