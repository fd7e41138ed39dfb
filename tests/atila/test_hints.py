"""Type hints of handlers: conversion of text, check of JSON, objects from whole bodies."""

from __future__ import annotations

import dataclasses
import functools
from datetime import date, datetime, time, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NewType,
    Optional,  # noqa: F401  # in hints that are text
    TypedDict,
    Union,  # noqa: F401  # in hints that are text
)
from uuid import UUID

import msgspec
import pytest
from driving import Driver, multipart
from msgspec import Meta
from typing_extensions import TypeAliasType

from atila import Atila
from atila.binding import Signature
from atila.routing.router import Rule
from atila.uploads import Upload
from atila.validation.conversions import conversion_of
from atila.validation.hints import compile_hints
from atila.validation.refusal import Refused

if TYPE_CHECKING:
    from nowhere import Unknown


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Author(msgspec.Struct):
    name: str
    born: int | None = None


class Book(msgspec.Struct):
    title: Annotated[str, Meta(min_length=1, max_length=20)]
    year: int | None = None
    tags: list[str] = []
    sold: bool = False
    authors: list[Author] = []


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename={"kind": "type"}):
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

    def __post_init__(self):
        if self.x < 0:
            raise ValueError("x must not be negative")


class Node(msgspec.Struct):
    nodes: list[Node] = []


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Options(TypedDict):
    size: int


class Own:
    """A class that no request can bring."""


class WithOwn(msgspec.Struct):
    own: Own


UserId = NewType("UserId", int)
Alias = TypeAliasType("Alias", UserId | None)


def taking(hint, rule="/", **default) -> Driver:
    """An app whose route has one parameter ``v`` with this hint; it answers with its repr."""
    app = Atila("taking")

    if default:

        def handler(was, v=default["default"]):
            return repr(v)
    else:

        def handler(was, v):
            return repr(v)

    handler.__annotations__ = {"v": hint}
    app.route(rule, methods=["GET", "POST", "PUT"])(handler)
    return Driver(app)


def refused(answer) -> str:
    assert answer.status == 400, answer.text
    assert answer.json["code"] == 40050
    assert answer.json["message"] == "bad request"
    return answer.json["more_info"]


def compiled(function, rule="/"):
    return compile_hints(function, Signature(function), Rule(rule))


# Text


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "12", 12),
        (int, "-3", -3),
        (float, "1.5", 1.5),
        (float, "3", 3.0),
        (bool, "yes", True),
        (bool, "0", False),
        (bool, "on", True),
        (str, "12", "12"),
        (str, "", ""),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "00000000-0000-0000-0000-000000000005", UUID(int=5)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (datetime, "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=timezone.utc)),
        (time, "12:30:00", time(12, 30)),
        (Color, "red", Color.RED),
        (Level, "2", Level.HIGH),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (int | None, "3", 3),
        (int | None, "", None),
        (str | None, "", ""),
        (str | None, "null", "null"),
        (date | None, "", None),
        (int | str, "x", "x"),
        (int | date | None, "2026-01-31", date(2026, 1, 31)),
        (int | date | None, "", None),
        (list[int], "1", [1]),
        (list[str], "a", ["a"]),
        (set[int], "1", {1}),
        (tuple[int, ...], "1", (1,)),
        (list[int] | None, "1", [1]),
        (Annotated[int, Meta(ge=3)], "3", 3),
        (Annotated[str, Meta(pattern="^a")], "ab", "ab"),
        (Annotated[int, "a note"], "3", 3),
        (Annotated[int | None, "a note"], "", None),
        (UserId, "7", 7),
        (Alias, "7", 7),
        ("int", "12", 12),
        ("Optional[int]", "", None),
        ("Union[int, date, None]", "2026-01-31", date(2026, 1, 31)),
        ("Annotated[Optional[list[int]], Meta(min_length=1)]", "1", [1]),
        ("Annotated[Optional[int], Meta(ge=1)]", "", None),
    ],
)
def test_text_is_converted(hint, text, value):
    driver = taking(hint)
    assert driver.request("GET", f"/?v={text}").text == repr(value)
    assert driver.form("/", v=text).text == repr(value)
    if text:
        assert taking(hint, "/<v>").get(f"/{text}").text == repr(value)


def test_a_repeated_name_is_a_list():
    assert taking(list[int]).get("/?v=1&v=2").text == "[1, 2]"
    assert taking(set[int]).get("/?v=1&v=2&v=2").text == "{1, 2}"
    assert taking(tuple[int, str]).get("/?v=1&v=2").text == "(1, '2')"
    assert taking(list[bool] | None).get("/?v=true&v=0").text == "[True, False]"
    assert taking(int | list[int]).get("/?v=1&v=2").text == "[1, 2]"
    assert taking(int | list[int]).get("/?v=1").text == "1"


@pytest.mark.parametrize(
    ("hint", "query", "reason"),
    [
        (int, "v=x", "v: must be a whole number"),
        (int, "v=", "v: must be a whole number"),
        (int, "v=1.5", "v: must be a whole number"),
        (float, "v=nan", "v: must be a number"),
        (bool, "v=maybe", "v: must be true or false"),
        (Decimal, "v=x", "v: must be a number"),
        (Decimal, "v=NaN", "v: must be a number"),
        (Decimal, "v=-Infinity", "v: must be a number"),
        (UUID, "v=5", "v: must be a UUID"),
        (date, "v=31.1.2026", "v: must be a date such as 2026-01-31"),
        (datetime, "v=x", "v: must be a date with time such as 2026-01-31T12:00:00Z"),
        (datetime, "v=1e300", "v is out of range"),
        (time, "v=x", "v: must be a time such as 12:00:00"),
        (Color, "v=green", "v: must be one of red, blue"),
        (Level, "v=3", "v: must be one of 1, 2"),
        (Level, "v=x", "v: must be one of 1, 2"),
        (Literal["a", "b"], "v=c", "v: must be one of a, b"),
        (Literal["a"], "v=c", "v: must be a"),
        (int | None, "v=x", "v: must be a whole number"),
        (int | date, "v=x", "v: must be a date such as 2026-01-31"),
        (list[int], "v=x", "v[0]: must be a whole number"),
        (list[int], "v=1&v=x", "v[1]: must be a whole number"),
        (Annotated[int, Meta(ge=3)], "v=2", "v: must be a whole number >= 3"),
        (Annotated[str, Meta(max_length=2)], "v=abc", "v: must be text of length <= 2"),
        (Annotated[str, Meta(pattern="^a")], "v=b", "v: must be text matching regex '^a'"),
        (Annotated[list[int], Meta(max_length=1)], "v=1&v=2", "v: must be a list of length <= 1"),
        (dict, "v=x", "v: must be an object"),
        (Book, "v=x", "v: must be an object"),
        (UserId, "v=x", "v: must be a whole number"),
        (Upload, "v=x", "v: must be a file"),
        *(
            (hint, "v=1&v=2", "v is given more than once")
            for hint in (int, float, bool, str, date, Color, int | None, Literal[1], Book)
        ),
    ],
)
def test_text_that_can_not_be_converted_is_400(hint, query, reason):
    assert refused(taking(hint).get(f"/?{query}")) == f"parameter {reason} (in the query)"


# JSON


@pytest.mark.parametrize(
    ("hint", "value", "made"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (str, "", ""),
        (Decimal, "1.1", Decimal("1.1")),
        (Decimal, 1.5, Decimal("1.5")),
        (date, "2026-01-31", date(2026, 1, 31)),
        (Color, "red", Color.RED),
        (int | None, None, None),
        (list[int], [], []),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (dict, {"a": [1]}, {"a": [1]}),
        (Options, {"size": 1}, {"size": 1}),
        (Book, {"title": "Momo"}, Book("Momo")),
        (list[Point], [{"x": 1}], [Point(1)]),
        (Cat | Dog, {"type": "dog", "name": "Rex"}, Dog("Rex")),
    ],
)
def test_json_becomes_the_declared_type(hint, value, made):
    assert taking(hint).json("/", {"v": value}).text == repr(made)


@pytest.mark.parametrize(
    ("hint", "value", "reason"),
    [
        (int, "3", "v: must be a whole number"),
        (int, 3.0, "v: must be a whole number"),
        (int, True, "v: must be a whole number"),
        (int, None, "v: must be a whole number"),
        (float, "3", "v: must be a number"),
        (bool, 1, "v: must be true or false"),
        (bool, "true", "v: must be true or false"),
        (str, 3, "v: must be text"),
        (str, None, "v: must be text"),
        (str, ["a"], "v: must be text"),
        (int | None, "", "v: must be a whole number"),
        (Decimal, "NaN", "v: must be a number"),
        (date, 5, "v: must be a date such as 2026-01-31, not a whole number"),
        (Literal["a", "b"], 5, "v: must be one of a, b, not a whole number"),
        (list[int], "1", "v: must be a list, not text"),
        (list[int], ["1"], "v[0]: must be a whole number, not text"),
        (list[int], {}, "v: must be a list, not an object"),
        (dict[str, int], {"a": "1"}, "v[...]: must be a whole number, not text"),
        (set, [[]], "v: must be a list"),
        (dict[int, str], {"a": "1"}, "v[key]: must be a whole number, not text"),
        (Options, {}, "v.size is required"),
        (Book, {}, "v.title is required"),
        (Book, {"title": ""}, "v.title: must be text of length >= 1"),
        (Book, {"title": "a", "year": "x"}, "v.year: must be a whole number or null, not text"),
        (Book, {"title": "a", "authors": [{}]}, "v.authors[0].name is required"),
        (Strict, {"x": 1}, "v.x is not expected"),
        (Strict, {"type": "c"}, "v.type is none of its possible values"),
        (Point, {"x": -1}, "v: x must not be negative"),
        (Cat | Dog, {"type": "cow"}, "v.type: Invalid value 'cow'"),
        (Cat | Dog, {}, "v.type is required"),
    ],
)
def test_json_of_another_type_is_400(hint, value, reason):
    answer = taking(hint).json("/", {"v": value})
    assert refused(answer) == f"parameter {reason} (in the JSON body)"


def test_json_that_is_nested_too_deeply_is_refused():
    nested: dict[str, Any] = {}
    for _ in range(50_000):
        nested = {"nodes": [nested]}
    with pytest.raises(Refused, match="is nested too deeply"):
        conversion_of(Node).json(nested)


# What is left alone


def test_what_a_typed_rule_made_is_left_alone():
    assert taking(int, "/<int:v>").get("/3").text == "3"
    assert taking(int, "/<int:v>").get("/me").text == "'me'"
    assert taking(UUID, "/<uuid:v>").get("/new").text == "'new'"
    assert taking(str, "/<int:v>").get("/3").text == "3"
    assert taking(str, "/<path:v>").get("/a/b").text == "'a/b'"


def test_what_takes_the_place_of_a_typed_value_is_checked():
    driver = taking(int, "/<int:v>")
    assert driver.json("/3", {"v": 5}).text == "5"
    assert refused(driver.json("/3", {"v": "x"})).endswith("(in the JSON body)")
    assert refused(driver.json("/3", {"v": "me"})).endswith("(in the JSON body)")
    assert refused(driver.form("/3", v="x")).endswith("(in the form)")
    assert driver.form("/3", v="5").text == "5"
    left_out = taking(int, "/<int:v>", default=0)
    assert left_out.get("/").text == "0"
    assert left_out.get("/?v=4").text == "4"
    assert refused(left_out.get("/?v=x")) == "parameter v: must be a whole number (in the query)"


def test_text_of_the_path_is_converted():
    assert taking(int, "/<v>").get("/3").text == "3"
    assert refused(taking(int, "/<v>").get("/x")) == (
        "parameter v: must be a whole number (in the path)"
    )


def test_defaults_are_not_checked():
    assert taking(int, default="none").get("/").text == "'none'"


@pytest.mark.parametrize("hint", [int, list[int], date, Book])
def test_a_default_of_none_allows_null(hint):
    driver = taking(hint, default=None)
    assert driver.get("/").text == "None"
    assert driver.json("/", {"v": None}).text == "None"
    assert driver.json("/", {"v": "x"}).status == 400


@pytest.mark.parametrize("hint", [Any, object, Own, Own | None, Any | None, complex, type])
def test_other_hints_are_no_check(hint, log):
    def handler(was, v):
        return ""

    handler.__annotations__ = {"v": hint}
    assert compiled(handler) is None
    assert log.messages == []
    assert taking(hint).get("/?v=1&v=2").text == "['1', '2']"


def test_handlers_without_hints_have_no_check():
    assert compiled(lambda was, a, b=1, **kw: "") is None

    def handler(was: Any, **kw: int) -> int:
        return 0

    assert compiled(handler) is None


def test_the_hint_of_was_is_no_check():
    def handler(was: int):
        return ""

    assert compiled(handler) is None


# Whole bodies


def saving() -> Driver:
    app = Atila("saving")

    @app.route("/books/<int:id>", methods=["POST", "GET"])
    def save(was, id: int, book: Book, dry: bool = False, title: str = ""):
        args = was.request.args
        assert args["book"] is book
        return {"id": id, "book": msgspec.to_builtins(book), "dry": dry, "title": title}

    return Driver(app)


def test_an_object_takes_the_whole_document():
    answer = saving().json("/books/3", {"title": "Momo", "year": 1973})
    assert answer.json["book"] == {
        "title": "Momo",
        "year": 1973,
        "tags": [],
        "sold": False,
        "authors": [],
    }
    assert answer.json["id"] == 3


def test_an_object_takes_a_whole_form():
    answer = saving().form("/books/3", title="Momo", year="", tags="child", sold="on")
    book = answer.json["book"]
    assert book["year"] is None
    assert book["tags"] == ["child"]
    assert book["sold"] is True
    answer = saving().form("/books/3", title="Momo", year=1973, tags=["a", "b"])
    assert answer.json["book"]["year"] == 1973
    assert answer.json["book"]["tags"] == ["a", "b"]


def test_an_object_takes_the_argument_of_its_name():
    answer = saving().json("/books/3", {"book": {"title": "Momo"}, "dry": True})
    assert answer.json["book"]["title"] == "Momo"
    assert answer.json["dry"] is True
    answer = saving().json("/books/3", {"book": {"title": 5}})
    assert (
        refused(answer)
        == "parameter book.title: must be text, not a whole number (in the JSON body)"
    )
    assert refused(saving().get("/books/3?book=x")).startswith("parameter book: must be an object")


def test_members_of_the_whole_body_are_no_other_arguments():
    answer = saving().json(
        "/books/me?title=query&dry=yes", {"title": "Momo", "id": 7, "dry": "not even a boolean"}
    )
    assert answer.json["id"] == "me"
    assert answer.json["dry"] is True
    assert answer.json["title"] == "query"
    assert answer.json["book"]["title"] == "Momo"


def test_arguments_beside_the_whole_body_are_checked():
    answer = saving().json("/books/3?dry=x", {"title": "Momo", "dry": True})
    assert refused(answer).startswith("parameter dry: must be true or false")
    answer = saving().json("/books/3?other=1", {"title": "Momo"})
    assert answer.json["more_info"] == "parameter other is not expected"


def test_answers_about_the_whole_body_name_its_members():
    driver = saving()
    for document, reason in [
        ({}, "title is required"),
        ({"title": 5}, "title: must be text, not a whole number"),
        ({"title": "a", "authors": [{"name": "b"}, {}]}, "authors[1].name is required"),
        ([], "book: must be an object"),
        ("text", "book: must be an object"),
    ]:
        assert (
            refused(driver.json("/books/3", document)) == f"parameter {reason} (in the JSON body)"
        )
    for fields, reason in [
        ({"year": 1}, "title is required"),
        ({"title": "a", "year": "x"}, "year: must be a whole number"),
        ({"title": "a", "year": ["1", "2"]}, "year is given more than once"),
        ({"title": "a" * 21}, "title: must be text of length <= 20"),
        ({"title": "a", "authors": "x"}, "authors[0]: must be an object"),
    ]:
        assert refused(driver.form("/books/3", **fields)) == f"parameter {reason} (in the form)"


def test_without_a_body_the_object_is_missing():
    for answer in (saving().get("/books/3"), saving().send("/books/3", "x", "text/plain")):
        assert answer.status == 400
        assert answer.json["more_info"] == "parameter book is required"


def test_an_object_may_be_optional():
    driver = taking(Book | None)
    assert driver.json("/", {"title": "a"}).text == repr(Book("a"))
    assert driver.json("/", {"v": None}).text == "None"
    assert taking(Book, default=None).get("/").text == "None"
    assert taking(Book, default=None).form("/", title="a").text == repr(Book("a"))


def test_dataclasses_and_unions_take_whole_bodies():
    assert taking(Point).json("/", {"x": 1}).text == "Point(x=1, y=0)"
    assert taking(Point).form("/", x="1", y="2").text == "Point(x=1, y=2)"
    assert refused(taking(Point).form("/", x="-1")) == (
        "parameter v: x must not be negative (in the form)"
    )
    assert taking(Cat | Dog).json("/", {"type": "cat", "lives": 7}).text == "Cat(lives=7)"
    assert taking(Cat | Dog).form("/", type="cat", lives="7").text == "Cat(lives=7)"


def test_renamed_members_keep_their_names_outside():
    assert taking(Strict).form("/", type="b").text == "Strict(kind='b')"
    assert refused(taking(Strict).form("/", kind="b")) == (
        "parameter kind is not expected (in the form)"
    )
    assert refused(taking(Strict).form("/", type="c")) == (
        "parameter type: must be one of a, b (in the form)"
    )


def test_two_objects_take_arguments_of_their_names_only():
    app = Atila("two")

    @app.post("/")
    def handler(was, book: Book, point: Point):
        return f"{book.title} {point.x}"

    driver = Driver(app)
    assert driver.json("/", {"book": {"title": "a"}, "point": {"x": 1}}).text == "a 1"
    assert (
        driver.json("/", {"title": "a", "x": 1}).json["more_info"] == "parameter book is required"
    )


def test_whole_bodies_where_surplus_arguments_are_ignored():
    app = Atila("relaxed")
    app.restrict_parameter_count = False

    @app.post("/")
    def handler(was, book: Book):
        return book.title

    answer = Driver(app).json("/?x=1", {"title": "a"})
    assert answer.json["more_info"] == "parameter x is not expected"
    assert Driver(app).json("/", {"title": "a"}).text == "a"


def test_dictionaries_do_not_take_whole_bodies():
    assert taking(dict).json("/", {"a": 1}).json["more_info"] == "parameter v is required"


def test_handlers_that_take_everything_keep_the_rest_of_the_query():
    app = Atila("rest")

    @app.post("/")
    def handler(was, book: Book, **kw):
        return {"title": book.title, "kw": kw}

    answer = Driver(app).json("/?a=1", {"title": "t", "b": 2})
    assert answer.json == {"title": "t", "kw": {"a": "1"}}


# Files


def test_files_are_files():
    body, kind = multipart(('name="v"; filename="a.txt"', b"content"))
    app = Atila("files")

    @app.post("/")
    def one(was, v: Upload):
        return v.read()

    @app.post("/many")
    def many(was, v: list[Upload]):
        return b",".join(file.read() for file in v)

    driver = Driver(app)
    assert driver.send("/", body, kind).text == "content"
    assert driver.send("/many", body, kind).text == "content"
    text, kind = multipart(('name="v"', b"content"))
    assert refused(driver.send("/", text, kind)) == "parameter v: must be a file (in the form)"
    assert refused(driver.send("/many", text, kind)).startswith("parameter v[0]: must be a file")
    assert refused(driver.json("/", {"v": "x"})) == "parameter v: must be a file (in the JSON body)"


@pytest.mark.parametrize("hint", [str, int, bool, date, int | None, Color])
def test_a_file_is_nothing_else(hint):
    body, kind = multipart(('name="v"; filename="a.txt"', b"1"))
    assert refused(taking(hint).send("/", body, kind)).startswith("parameter v: must be")


# With @app.inspect


def test_hints_leave_alone_what_an_inspection_converted():
    app = Atila("both")

    @app.route("/", methods=["GET", "POST"])
    @app.inspect(ints="a", nones="b c", lists="d", ranges="e", booleans="f")
    def handler(
        was, a: int = 0, b: int = None, c: str = "", d: list = (), e: tuple = (), f: bool = False
    ):
        return repr((a, b, c, d, e, f))

    driver = Driver(app)
    assert driver.get("/?a=1&b=&c=&d=x|y&e=1~2&f=y").text == repr(
        (1, None, None, ["x", "y"], (1, 2), True)
    )
    assert driver.json("/", {"a": 1, "b": 0, "e": "1~2"}).text == repr(
        (1, None, "", (), (1, 2), False)
    )


def test_an_inspection_of_members_comes_before_the_whole_body():
    app = Atila("both")

    @app.post("/")
    @app.inspect(nones="year", year__gte=1900, required="title")
    def handler(was, book: Book):
        return repr(book.year)

    driver = Driver(app)
    assert driver.form("/", title="a", year="1973").text == "1973"
    assert driver.form("/", title="a", year="").text == "None"
    assert refused(driver.form("/", title="a", year="5")).startswith("parameter year: must be at")


# Hints that need work to be found


def test_hints_of_enclosed_names_are_resolved():
    class Local(Enum):
        A = "a"

    def handler(was, v: Local):
        assert Local
        return repr(v.value)

    app = Atila("enclosed")
    app.route("/")(handler)
    assert Driver(app).get("/?v=a").text == "'a'"
    assert refused(Driver(app).get("/?v=b")).startswith("parameter v: must be a (")


def test_hints_of_decorated_functions_are_used():
    def decorator(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    app = Atila("wrapped")

    @app.route("/")
    @decorator
    def handler(was, v: int):
        return repr(v)

    assert Driver(app).get("/?v=3").text == "3"


def test_hints_of_methods_are_used():
    class Service:
        def handler(self, was, v: int):
            return repr(v)

    app = Atila("method")
    app.route("/")(Service().handler)
    assert Driver(app).get("/?v=3").text == "3"


def test_a_hint_that_can_not_be_found_is_logged_and_not_checked(log):
    app = Atila("unknown")

    @app.route("/")
    def handler(was, v: Unknown, n: int):
        return repr((v, n))

    driver = Driver(app)
    (message,) = log.messages
    assert "handler.<locals>" not in message
    assert "handler: the hint of parameter v can't be resolved" in message
    assert "'Unknown' is not defined" in message
    assert driver.get("/?v=x&n=3").text == "('x', 3)"
    assert driver.get("/?v=x&n=x").status == 400


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (list[Own], "values of Own can't be made from requests"),
        (dict[str, complex], "values of complex can't be made from requests"),
        (WithOwn, "values of Own can't be made from requests"),
        (Cat | Book, "all Struct types must be tagged"),
        (int | Own, "not supported"),
        (msgspec.Raw, "memoryview"),
    ],
)
def test_a_hint_that_can_not_be_checked_is_logged(hint, reason, log):
    driver = taking(hint)
    (message,) = log.messages
    assert "handler: the hint of parameter v is not checked: " in message.replace("> ", " ")
    assert reason in message
    assert driver.get("/?v=x").text == "'x'"
