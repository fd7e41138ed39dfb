"""OpenAPI documents: what they say of routes, that validators agree, and who gets them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal, Optional
from uuid import UUID

import msgspec
import pytest
from driving import Channel, Driver
from openapi_spec_validator import validate

from atila import Atila
from atila.errors import ConfigError
from skitai.wire.multipart import UploadedFile  # noqa: TC001  # hints are resolved in here


class Book(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(max_length=20)]
    pages: int = 1


@dataclass
class Shelf:
    books: list[Book]
    name: Optional[str] = None  # noqa: UP045  # as people write it


def document_of(declare, point="/", **attributes):
    """The document of an app that a function has declared; valid, and as clients read it."""
    app = Atila("shop")
    for name, value in attributes.items():
        setattr(app, name, value)
    declare(app)
    Driver(app, point=point)
    document = json.loads(json.dumps(app.openapi_document()))
    validate(document)
    return document


def operation_of(function, *decorators, rule="/x", point="/", **options):
    """The document of one route, its operation, and the parameters by name."""

    def declare(app):
        made = function
        for decorate in decorators:
            made = decorate(app)(made)
        app.route(rule, **options)(made)

    document = document_of(declare, point)
    ((path, item),) = document["paths"].items()
    method = options.get("methods", ["GET"])[0].lower()
    return document, path, item[method]


def by_name(operation):
    return {parameter["name"]: parameter for parameter in operation.get("parameters", ())}


def inspected(scope="ARGS", **rules):
    return lambda app: app.inspect(scope, **rules)


def body_of(operation, kind="application/json"):
    return operation["requestBody"]["content"][kind]["schema"]


def test_a_docstring_is_summary_and_description():
    def show(was):
        """Show it.

        All of *it*.
        """

    _, path, operation = operation_of(show, methods=["GET"])
    assert (path, operation["summary"], operation["description"]) == (
        "/x",
        "Show it.",
        "All of *it*.",
    )
    assert operation["operationId"] == "get_show"
    assert operation["responses"].keys() == {"2XX", "3XX", "default"}


def test_parameters_of_the_path_have_the_types_of_their_converters():
    def show(was, a, n, x, u, p):
        pass

    rule = "/<a>/<int:n>/<float:x>/<uuid:u>/<path:p>"
    _, path, operation = operation_of(show, rule=rule, methods=["GET"], point="/app/")
    assert path == "/app/{a}/{n}/{x}/{u}/{p}"
    found = by_name(operation)
    assert [found[name]["schema"] for name in "anxup"] == [
        {"type": "string", "minLength": 1},
        {"type": "integer", "minimum": 0},
        {"type": "number", "minimum": 0},
        {"type": "string", "format": "uuid"},
        {"type": "string"},
    ]
    assert all(parameter["required"] and parameter["in"] == "path" for parameter in found.values())
    assert {"400", "404"} <= operation["responses"].keys()


def test_hints_and_defaults_become_schemas_of_the_query():
    def search(
        was,
        q: str,
        n: int = 3,
        kind: Literal["a", "b"] = "a",
        since: float | None = None,
        ids: list[int] = [],  # noqa: B006  # nobody changes it
        free=None,
    ):
        pass

    _, _, operation = operation_of(search, methods=["GET"])
    found = by_name(operation)
    assert {name: parameter["schema"] for name, parameter in found.items()} == {
        "q": {"type": "string"},
        "n": {"type": "integer", "default": 3},
        "kind": {"enum": ["a", "b"], "default": "a"},
        "since": {"type": "number"},
        "ids": {"type": "array", "items": {"type": "integer"}, "default": []},
        "free": {"type": "string"},
    }
    assert [name for name, parameter in found.items() if parameter.get("required")] == ["q"]


def test_a_body_may_be_json_or_a_form():
    def add(was, id, title: str, pages: int | None = None):
        pass

    _, _, operation = operation_of(add, rule="/<int:id>", methods=["POST"])
    body = operation["requestBody"]
    assert (body["required"], sorted(body["content"])) == (
        True,
        ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"],
    )
    assert body_of(operation) == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "pages": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["title"],
        "additionalProperties": False,
    }


def test_files_are_multipart():
    def upload(was, file: UploadedFile, files: list[UploadedFile] = ()):
        pass

    _, _, operation = operation_of(upload, methods=["POST"])
    assert list(operation["requestBody"]["content"]) == ["multipart/form-data"]
    properties = body_of(operation, "multipart/form-data")["properties"]
    assert properties["file"] == {"type": "string", "format": "binary"}


def test_an_object_takes_the_whole_body():
    def add(was, book: Book, dry: bool = False):
        pass

    document, _, operation = operation_of(add, methods=["PUT"])
    assert body_of(operation) == {"$ref": "#/components/schemas/Book"}
    assert document["components"]["schemas"]["Book"]["properties"]["title"] == {
        "type": "string",
        "maxLength": 20,
    }
    assert by_name(operation)["dry"]["schema"] == {"type": "boolean", "default": False}


def test_bodies_that_are_streamed_and_content_types():
    def take(was):
        pass

    _, _, operation = operation_of(take, methods=["POST"], input_stream=True)
    assert operation["requestBody"] == {"content": {"*/*": {}}}

    def read(was, a):
        pass

    _, _, operation = operation_of(read, methods=["POST"], content_types=["application/json"])
    assert list(operation["requestBody"]["content"]) == ["application/json"]
    assert "406" in operation["responses"]


@pytest.mark.parametrize(
    ("rules", "schema"),
    [
        ({"ints": "a"}, {"type": "integer"}),
        (
            {"floats": ["a"], "a__between": (1, 2.5)},
            {"type": "number", "minimum": 1, "maximum": 2.5},
        ),
        ({"ints": ["a"], "a__gt": 1, "a__lte": 9}, {"exclusiveMinimum": 1, "maximum": 9}),
        ({"booleans": ["a"]}, {"type": "boolean"}),
        ({"lists": ["a"], "a__len__between": (1, 3)}, {"minItems": 1, "maxItems": 3}),
        ({"strings": ["a"], "a__len__lt": 4}, {"type": "string", "maxLength": 3}),
        ({"emails": ["a"]}, {"type": "string", "format": "email"}),
        ({"uuids": ["a"]}, {"type": "string", "format": "uuid"}),
        ({"a__in": ["x", "y"]}, {"enum": ["x", "y"]}),
        ({"a__notin": ["x"]}, {"not": {"enum": ["x"]}}),
        ({"a": "x"}, {"enum": ["x"]}),
        ({"a": [int, str]}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ({"a": UUID}, {"type": "string", "format": "uuid"}),
        ({"a__startswith": "a.b"}, {"pattern": r"^a\.b"}),
        ({"a__notendwith": "z"}, {"not": {"pattern": "z$"}}),
        ({"a__regex": "^[a-z]+$"}, {"pattern": "^[a-z]+$"}),
        ({"a__regex": "(?i)x"}, {}),
        ({"a__regex": r"(?P<n>x)\Z"}, {}),
        ({"a___k__gte": 3}, {}),
        ({"ints": ["a"], "nones": ["a"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
)
def test_rules_become_schemas(rules, schema):
    def add(was, a=None):
        pass

    _, _, operation = operation_of(add, inspected("JSON", **rules), methods=["POST"])
    found = body_of(operation)["properties"]["a"]
    assert found.get("anyOf", [{}])[-1] == {"type": "null"} or not schema
    if "anyOf" not in schema:
        found = found.get("anyOf", [found])[0]
    elif {"type": "null"} not in schema["anyOf"]:
        schema = {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    assert schema.items() <= found.items(), found
    assert list(operation["requestBody"]["content"]) == ["application/json"]


def test_null_passes_where_nothing_forbids_it():
    def add(was, a: int = 1, b=2, c=3):
        pass

    rules = {"a__gt": 0, "b__gt": 0, "c__gt": 0, "required": ["c"]}
    _, _, operation = operation_of(add, inspected("JSON", **rules), methods=["POST"])
    properties = body_of(operation)["properties"]
    assert [len(properties[name].get("anyOf", ())) for name in "abc"] == [0, 2, 0]


def test_what_is_required_is_neither_empty_nor_null():
    def add(was, a, b, c):
        pass

    rules = {"required": ["a", "b", "c"], "ints": ["b"], "c__in": ["x"]}
    _, _, operation = operation_of(add, inspected("JSON", **rules), methods=["POST"])
    assert body_of(operation)["properties"] == {
        "a": {"not": {"type": "null"}, "minLength": 1},
        "b": {"type": "integer"},
        "c": {"enum": ["x"]},
    }


def test_rules_for_the_query_have_types():
    def show(was, a, b):
        pass

    rules = {"a__len__lte": 3, "b__lte": 3}
    _, _, operation = operation_of(show, inspected("URL", **rules), methods=["GET"])
    found = by_name(operation)
    assert found["a"]["schema"] == {"type": "string", "maxLength": 3}
    assert found["b"]["schema"] == {"type": "number", "maximum": 3}


def test_a_default_that_rules_might_refuse_is_a_remark():
    def show(was, n="", q=3):
        pass

    _, _, operation = operation_of(show, inspected("ARGS", ints=["n"], n__gte=2), methods=["GET"])
    found = by_name(operation)
    assert found["n"]["schema"] == {"type": "integer", "minimum": 2, "description": 'Default: "".'}
    assert found["q"]["schema"] == {"type": "string", "default": "3"}


def test_scopes_say_where_a_parameter_is():
    def change(was, **fields):
        pass

    _, _, operation = operation_of(
        change,
        inspected("URL", ints=["page"], required=["page"]),
        inspected("FORM", required=["name"], oneof=["a", "b"]),
        inspected("GET", required=["other"]),
        methods=["POST"],
    )
    assert by_name(operation)["page"] == {
        "name": "page",
        "in": "query",
        "required": True,
        "schema": {"type": "integer"},
    }
    schema = body_of(operation, "multipart/form-data")
    assert list(schema["properties"]) == ["name", "a", "b"]
    assert (schema["required"], "additionalProperties" in schema) == (["name"], False)
    assert operation["description"] == "One of a, b is required."


def test_what_a_function_returns_is_its_answer():
    def shelf(was) -> Shelf:
        pass

    document, _, operation = operation_of(shelf, methods=["GET"])
    content = operation["responses"]["200"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/Shelf"}}}
    assert {"Shelf", "Book"} <= document["components"]["schemas"].keys()

    def page(was) -> str:
        pass

    _, _, operation = operation_of(page, methods=["GET"])
    assert list(operation["responses"]["200"]["content"]) == ["text/html"]


def test_hints_without_a_schema_are_left_out():
    def odd(was, a: complex = 0, b: object = None) -> complex:
        pass

    _, _, operation = operation_of(odd, methods=["GET"])
    assert {"2XX", "3XX"} <= operation["responses"].keys()


def test_who_may_is_told():
    def declare(app):
        app.permission_handler(lambda was, permissions: None)
        app.bearer_handler(lambda was, token: None)
        for kind in ("basic", "digest", "bearer"):
            app.route(f"/{kind}", methods=["GET"], authenticate=kind)(lambda was: "")

        @app.route("/staff", methods=["GET"])
        @app.permission_required(["staff"])
        def staff(was):
            """For staff."""

    document = document_of(declare, users={"u": "p"}, securekey="s" * 32)
    assert document["components"]["securitySchemes"] == {
        kind: {"type": "http", "scheme": kind} for kind in ("basic", "bearer", "digest")
    }
    assert document["paths"]["/basic"]["get"]["security"] == [{"basic": []}]
    assert "401" in document["paths"]["/basic"]["get"]["responses"]
    staff = document["paths"]["/staff"]["get"]
    assert staff["description"] == "Needs permission: staff."
    assert {"401", "403"} <= staff["responses"].keys()


def test_routes_meet_in_one_path():
    def declare(app):
        @app.route("/items/<a>", methods=["GET"])
        def show(was, a):
            pass

        @app.route("/items/<b>", methods=["DELETE"])
        def remove(was, b):
            pass

        @app.route("/pages/<int:n>", methods=["GET"])
        def page(was, n=1):
            pass

        @app.route("/both")
        def both(was):
            pass

        @app.route("/hidden", openapi=False)
        def hidden(was):
            pass

        @app.route("/own", methods=["GET"], openapi={"deprecated": True})
        def own(was):
            pass

        @app.route("/elsewhere", subdomain="api")
        def elsewhere(was):
            pass

    paths = document_of(declare)["paths"]
    assert {path: sorted(item) for path, item in paths.items()} == {
        "/items/{a}": ["delete", "get"],
        "/pages/{n}": ["get"],
        "/pages": ["get"],
        "/both": ["get", "post"],
        "/own": ["get"],
    }
    assert [parameter["name"] for parameter in paths["/items/{a}"]["delete"]["parameters"]] == ["a"]
    assert paths["/pages"]["get"]["operationId"] == "get_page_2"
    assert paths["/own"]["get"]["deprecated"] is True


def test_title_and_version():
    document = document_of(lambda app: app.openapi("Shop", "2.1", "What is *sold*."))
    assert document["info"] == {"title": "Shop", "version": "2.1", "description": "What is *sold*."}
    assert document_of(lambda app: None)["info"] == {"title": "shop", "version": "1.0.0"}


# Where it is served


@pytest.fixture
def serving(monkeypatch):
    """Serves an app that a function declares, with or without ``--devel``."""
    monkeypatch.setattr(Channel, "peer", ("127.0.0.1", 41000))

    def serve(declare=lambda app: None, devel=True, point="/", **attributes):
        app = Atila("shop")
        app.expose_spec = devel
        for name, value in attributes.items():
            setattr(app, name, value)

        @app.route("/hello", methods=["GET"])
        def hello(was):
            return "hello"

        declare(app)
        return Driver(app, debug=devel, point=point)

    return serve


def test_developers_have_a_document_and_a_page(serving):
    driver = serving(point="/api/")
    answer = driver.get("/api/openapi.json")
    assert (answer.status, list(answer.json["paths"])) == (200, ["/api/hello"])
    assert dict(answer.headers)["Content-Type"] == "application/json"
    page = driver.html("/api/openapi")
    policy = dict(page.headers)["Content-Security-Policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert page.text.count(f'nonce="{nonce}"') == 2
    assert 'data-document="/api/openapi.json"' in page.text
    assert "unsafe" not in policy
    assert "://" not in page.text
    assert policy != dict(driver.html("/api/openapi").headers)["Content-Security-Policy"]


def test_production_has_neither(serving):
    driver = serving(devel=False)
    assert [driver.get(path).status for path in ("/openapi.json", "/openapi")] == [404, 404]


def test_production_may_have_the_document_but_never_the_page(serving):
    driver = serving(lambda app: app.openapi(path="/about.json", production=True), devel=False)
    assert [driver.get(path).status for path in ("/about.json", "/openapi")] == [200, 404]


def test_in_production_it_is_for_those_whom_the_app_lets_in(serving):
    def declare(app):
        app.openapi(production=True)

    users = {"authenticate": "basic", "users": {"u": "p"}}
    driver = serving(declare, devel=False, **users)
    assert driver.get("/openapi.json").status == 401
    assert driver.get("/openapi.json", Authorization="Basic dTpw").status == 200
    assert serving(declare, **users).get("/openapi.json").status == 200


def test_paths_of_the_app_are_never_taken(serving):
    def declare(app):
        app.route("/<path:rest>", methods=["GET"])(lambda was, rest: f"own {rest}")

    driver = serving(declare)
    assert driver.get("/openapi.json").text == "own openapi.json"
    assert driver.get("/openapi").text == "own openapi"

    def declare_both(app):
        declare(app)
        app.openapi()

    assert serving(declare_both).get("/openapi.json").json["openapi"] == "3.1.0"


def test_it_may_be_turned_off(serving):
    driver = serving(lambda app: app.openapi(path=None))
    assert [driver.get(path).status for path in ("/openapi.json", "/openapi")] == [404, 404]
    driver = serving(lambda app: app.openapi(page=None))
    assert [driver.get(path).status for path in ("/openapi.json", "/openapi")] == [200, 404]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "api.json"}, "path='api.json'"),
        ({"page": 3}, "page=3"),
        ({"path": "/a", "page": "/a"}, "give different paths"),
        ({"path": "/hello"}, "there is a route '/hello' already"),
    ],
)
def test_wrong_paths_are_refused(serving, options, message):
    with pytest.raises(ConfigError, match=message):
        serving(lambda app: app.openapi(**options))
