"""Whatever a client sends to validated parameters: a value of the declared type, or 400."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import pytest
from driving import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from atila import Atila
from atila.validation.conversions import conversion_of
from atila.validation.inspection_rules import Rules
from atila.validation.refusal import Refused
from atila.validation.value_rules import VALUE_RULES


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: float | None = None


class Book(msgspec.Struct):
    title: Annotated[str, Meta(max_length=5)]
    at: date | None = None
    tags: set[str] = set()
    points: list[Point] = []
    price: Decimal = Decimal(0)


HINTS: list[Any] = [
    *(int, float, bool, str, Decimal, UUID, date, datetime, time, timedelta, Color, Level),
    *(list, dict, set, tuple, bytes, Point, Book),
    *(int | None, date | int | None, int | str, list[int], set[str], tuple[int, str]),
    *(dict[str, int], dict[int, date], list[Book] | None, dict[str, list[Point]]),
    *(Literal["a", "b"], Literal[1, 2, "x"], Annotated[int, Meta(ge=3, le=9)]),
    Annotated[str, Meta(pattern="^a+$", min_length=2)],
]
RULES: list[dict[str, Any]] = [
    *({option: "x"} for option in VALUE_RULES),
    {"nones": "x", "ints": "x"},
    {"x": int},
    {"x": [int, float, str]},
    {"x": re.compile("^a")},
    {"x": "a"},
    {"x__between": (1, 5.5)},
    {"x__gte": date(2020, 1, 1), "x__lt": date(2030, 1, 1)},
    {"x__lte": datetime(2020, 1, 1), "x__gt": datetime(1990, 1, 1, tzinfo=timezone.utc)},
    {"x__gte": Decimal("1.5")},
    {"x__in": [1, 2, 3.5]},
    {"x__notin": ["a", "b"]},
    {"x__contains": "a", "x__notcontain": "b"},
    {"x__startswith": "a", "x__notendwith": "b"},
    {"x__eq": True},
    {"x__neq": {"a": 1}},
    {"x__len__between": (1, 3)},
    {"x___a__0__gte": 10},
    {"x__0___a__len__lte": 3},
]

INTERESTING = st.sampled_from(
    ["", "0", "-1", "1.5", "nan", "inf", "1e999", "true", "no", "null", "a", "1~5", "|", "a@b.c"]
    + ["2020-01-01", "2020-01-01T00:00:00Z", "P1D", "red", "9" * 50, "1_0", " 5 ", "<script>"]
    + ["00000000-0000-0000-0000-000000000000", "sNaN", "1E+999999", "٣", "\x00"]
)
TEXTS = INTERESTING | st.text(max_size=20)
ARRIVING = TEXTS | st.lists(TEXTS, min_size=2, max_size=3)
KEYS = st.sampled_from(["x", "y", "a", "title", "at", "tags", "points", "price"]) | TEXTS
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def rules_id(rule: dict[str, Any]) -> str:
    return ",".join(rule)


@pytest.mark.parametrize("hint", HINTS, ids=str)
@settings(max_examples=40, deadline=None)
@given(value=ARRIVING)
def test_text_is_converted_to_the_hint_or_refused(hint, value):
    conversion = conversion_of(hint)
    try:
        made = conversion.text(value)
    except Refused:
        return
    assert conversion.text(made) == made
    msgspec.convert(made, hint, strict=False, str_keys=True)


@pytest.mark.parametrize("hint", HINTS, ids=str)
@settings(max_examples=40, deadline=None)
@given(value=DOCUMENTS)
def test_json_is_of_the_hint_or_refused(hint, value):
    conversion = conversion_of(hint)
    try:
        made = conversion.json(value)
    except Refused:
        return
    assert conversion.json(made) == made
    msgspec.convert(made, hint, strict=True, str_keys=True)


@pytest.mark.parametrize("rule", RULES, ids=rules_id)
@settings(max_examples=40, deadline=None)
@given(value=ARRIVING)
def test_rules_pass_or_refuse_text(rule, value):
    to_value = Rules(rule).fields["x"].compile()[0]
    try:
        made = to_value(value)
    except Refused:
        return
    assert to_value(made) == made if made is not None else "nones" in rule


@pytest.mark.parametrize("rule", RULES, ids=rules_id)
@settings(max_examples=40, deadline=None)
@given(value=DOCUMENTS.filter(lambda value: value is not None))
def test_rules_pass_or_refuse_json(rule, value):
    to_value = Rules(rule).fields["x"].compile()[1]
    try:
        made = to_value(value)
    except Refused:
        return
    assert to_value(made) == made if made is not None else "nones" in rule


def kitchen_sink() -> Driver:
    app = Atila("sink")
    names = {name: f"i{name}" for name in VALUE_RULES}

    @app.route("/rules", methods=["GET", "POST"])
    @app.inspect(
        **names,
        nones="iints",
        x___a__0__gte=10,
        y__len__lte=3,
        title__in=["a"],
        at=date,
        price=float,
    )
    def rules(was, **kw):
        return "ok"

    @app.route("/hints", methods=["GET", "POST"])
    def hints(
        was,
        x: int = 0,
        y: list[int] = (),
        at: datetime | None = None,
        points: Point | None = None,
        price: Annotated[Decimal, Meta(gt=0)] = Decimal(1),
        **kw,
    ):
        return "ok"

    @app.post("/books")
    def book(was, book: Book, **kw):
        return book.title

    return Driver(app)


SINK = kitchen_sink()
NAMES = KEYS | st.sampled_from([f"i{name}" for name in VALUE_RULES])


@pytest.mark.parametrize("path", ["/rules", "/hints", "/books"])
@settings(max_examples=200, deadline=None)
@given(query=st.dictionaries(NAMES, ARRIVING, max_size=4), body=DOCUMENTS)
def test_a_document_is_answered_with_200_or_400(path, query, body):
    target = f"{path}?{urlencode(query, doseq=True)}"
    answer = SINK.send(target, json.dumps(body), "application/json")
    assert answer.status in (200, 400)


@pytest.mark.parametrize("path", ["/rules", "/hints", "/books"])
@settings(max_examples=200, deadline=None)
@given(query=st.dictionaries(NAMES, ARRIVING, max_size=4), form=st.dictionaries(NAMES, ARRIVING))
def test_a_form_is_answered_with_200_or_400(path, query, form):
    target = f"{path}?{urlencode(query, doseq=True)}"
    body = urlencode(form, doseq=True)
    answer = SINK.send(target, body, "application/x-www-form-urlencoded")
    assert answer.status in (200, 400)
