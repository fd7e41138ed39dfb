"""``@app.inspect`` in an app: scopes, what is missing, what the handler sees, and the answer."""

from __future__ import annotations

import re

import pytest
from driving import Driver, multipart

from atila import Atila
from atila.errors import ConfigError
from atila.validation.inspection import requirements_of

HTML = {"Accept": "text/html"}
ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def inspected(*args, **options) -> Driver:
    """An app whose route takes anything and answers with it, as the handler and ``was`` see it."""
    app = Atila("inspected")

    @app.route("/", methods=ALL_METHODS)
    @app.inspect(*args, **options)
    def show(was, **kw):
        request = was.request
        return {"kw": kw, "ARGS": request.args, "URL": request.URL, "DATA": request.DATA}

    return Driver(app)


def refused(answer) -> str:
    assert answer.status == 400
    assert answer.json["code"] == 40050
    assert answer.json["message"] == "bad request"
    return answer.json["more_info"]


# Examples of the seed


def test_the_example_of_the_seed_converts_path_and_query():
    app = Atila("seed")

    @app.route("/profiles/<int:id>", methods=["GET"])
    @app.inspect(ints=["id"], booleans=["detail"])
    def hello_world(was, id=None, detail=False):
        return was.API(id=id, detail=detail)

    driver = Driver(app)
    assert driver.get("/profiles/123?detail=no").json == {"id": 123, "detail": False}
    assert driver.get("/profiles/me?detail=yes").json == {"id": "me", "detail": True}
    assert driver.get("/profiles").json == {"id": None, "detail": False}
    assert driver.get("/profiles?id=7").json == {"id": 7, "detail": False}
    assert refused(driver.get("/profiles?id=you")) == (
        "parameter id: must be a whole number (in the query)"
    )


def test_the_keyword_examples_of_the_seed():
    driver = inspected(
        birth_year=int,
        mobile=re.compile("[0-9]{3}-[0-9]{3}-[0-9]{4}"),
        birth_year__between=(1900, 2026),
        gender__in=["male", "female", "not-determine"],
        name__len__lte=64,
        name__len__gt=3,
        name__len__between=(3, 64),
    )
    good = {"birth_year": "1973", "mobile": "010-123-4567", "gender": "male", "name": "Hans"}
    assert driver.form("/", **good).json["kw"] == {**good, "birth_year": 1973}
    for name, value, reason in [
        ("birth_year", "1899", "must be between 1900 and 2026"),
        ("birth_year", "x", "must be a whole number"),
        ("mobile", "010-123-456", "must match [0-9]{3}-[0-9]{3}-[0-9]{4}"),
        ("gender", "other", "must be one of female, male, not-determine"),
        ("name", "Bob", "length must be more than 3"),
        ("name", "x" * 65, "length must be at most 64"),
    ]:
        answer = driver.form("/", **{**good, name: value})
        assert refused(answer) == f"parameter {name}: {reason} (in the form)"


def test_piped_calls_are_not_inspected():
    app = Atila("seed")

    @app.route("/1")
    @app.inspect(offset=int)
    def index(was, offset=1):
        return was.API(result=offset)

    assert Driver(app).get("/1").json == {"result": 1}
    assert Driver(app).get("/1?offset=t").status == 400
    assert index.__name__ == "index"
    assert not hasattr(index, "__wrapped__")


@pytest.mark.parametrize(
    "name", ["inspect", "require", "parameters_required", "params_required", "test_params"]
)
def test_the_decorator_has_the_names_of_older_versions(name):
    app = Atila("aliases")
    app.route("/")(getattr(app, name)("URL", ["limit"])(lambda was, **kw: kw))
    driver = Driver(app)
    assert refused(driver.get("/")) == "parameter limit is required in the query"
    assert driver.get("/?limit=1").json == {"limit": "1"}


# What is missing


@pytest.mark.parametrize("required", [["a", "b"], "a b", ("a", "b"), {"a", "b"}])
def test_required_names_must_be_there(required):
    driver = inspected(required=required)
    assert driver.get("/?a=1&b=0").status == 200
    assert refused(driver.get("/?a=1")) == "parameter b is required"


@pytest.mark.parametrize("value", [None, ""])
def test_none_and_an_empty_text_are_missing(value):
    assert refused(inspected(required="a").json("/", {"a": value})) == "parameter a is required"


@pytest.mark.parametrize("value", [0, False, [], {}, "0", " "])
def test_zero_and_other_values_are_not_missing(value):
    assert inspected(required="a").json("/", {"a": value}).status == 200


@pytest.mark.parametrize("option", ["oneof", "manyof"])
def test_one_of_a_group_must_be_there_at_least(option):
    driver = inspected(**{option: ["email", "mobile"]})
    for query in ("email=a", "mobile=1", "email=a&mobile=1", "email=&mobile=1"):
        assert driver.get(f"/?{query}").status == 200
    for query in ("", "email=", "other=1"):
        answer = driver.get(f"/?{query}")
        assert refused(answer) == "one of the parameters email, mobile is required"
    assert driver.json("/", {"email": None}).status == 400


def test_defaults_of_the_handler_do_not_count_as_given():
    app = Atila("defaults")
    app.route("/")(app.inspect(required="n")(lambda was, n=1: {"n": n}))
    assert Driver(app).get("/").status == 400


def test_what_is_absent_or_null_is_not_checked():
    driver = inspected(ints="a", b=int, c__gte=3, strings="d", e__len__lte=3, lists="f", g___h=int)
    assert driver.get("/").status == 200
    data = dict.fromkeys("abcdefg")
    assert driver.json("/", data).json["kw"] == data


# What the handler sees


def test_converted_values_take_the_place_of_the_old_ones():
    driver = inspected(ints="a", floats="b", booleans="c", lists="d")
    converted = {"a": 1, "b": 1.5, "c": True, "d": ["x", "y"]}
    answer = driver.get("/?a=1&b=1.5&c=yes&d=x|y").json
    assert answer["kw"] == answer["ARGS"] == converted


@pytest.mark.parametrize("scope", ["URL", "GET"])
def test_values_of_a_query_are_converted_in_the_query_too(scope):
    answer = inspected(scope, ints="a").get("/?a=1&b=2").json
    assert answer["kw"] == answer["ARGS"] == answer["URL"] == {"a": 1, "b": "2"}


@pytest.mark.parametrize("scope", ["FORM", "DATA", "POST"])
def test_values_of_a_form_are_converted_in_the_form_too(scope):
    answer = inspected(scope, ints="a").form("/?c=1", a=1, b=2).json
    assert answer["DATA"] == {"a": 1, "b": "2"}
    assert answer["kw"] == {"a": 1, "b": "2", "c": "1"}


@pytest.mark.parametrize("scope", ["JSON", "DATA", "POST", "ARGS"])
def test_members_of_a_document_are_replaced_by_what_they_became(scope):
    answer = inspected(scope, nones="a", ranges="b", d___k=float).json(
        "/", {"a": "", "b": "1~5", "d": {"k": 1}}
    )
    assert answer.json["kw"] == {"a": None, "b": [1, 5], "d": {"k": 1.0}}


def test_a_query_that_is_hidden_by_path_or_body_does_not_replace_them():
    app = Atila("hidden")

    @app.route("/<name>", methods=["GET", "POST"])
    @app.inspect("URL", ints="name size")
    def show(was, name, size="", **kw):
        return {"name": name, "size": size, "URL": was.request.URL}

    driver = Driver(app)
    assert driver.get("/5?name=6&size=7").json == {
        "name": "5",
        "size": 7,
        "URL": {"name": 6, "size": 7},
    }
    assert driver.form("/5?size=7", size="8").json["size"] == "8"
    assert driver.json("/5?size=7", {"size": "8"}).json["size"] == "8"
    assert driver.json("/5?size=7", [1]).json["size"] == 7


def test_inspections_are_stacked_and_run_from_the_outside_in():
    app = Atila("stacked")

    @app.route("/")
    @app.inspect("URL", required="a")
    @app.inspect(ints="a")
    @app.inspect(a__gte=3)
    @app.inspect(a__lte=5)
    def show(was, a):
        return {"a": a}

    driver = Driver(app)
    assert driver.get("/?a=4").json == {"a": 4}
    assert refused(driver.get("/")) == "parameter a is required in the query"
    assert refused(driver.get("/?a=2")) == "parameter a: must be at least 3 (in the query)"
    assert refused(driver.get("/?a=6")) == "parameter a: must be at most 5 (in the query)"


def test_an_inspection_may_stand_above_the_route():
    app = Atila("above")
    app.inspect(ints="a")(app.route("/")(lambda was, a: {"a": a}))
    assert Driver(app).get("/?a=1").json == {"a": 1}


def test_coroutines_are_inspected():
    app = Atila("coroutine")

    @app.route("/")
    @app.inspect(ints="a")
    async def show(was, a):
        return {"a": a}

    assert Driver(app).get("/?a=1").json == {"a": 1}
    assert Driver(app).get("/?a=x").status == 400


# Scopes


def test_arguments_are_text_or_json_by_where_they_come_from():
    driver = inspected(ints="a b c")
    assert driver.json("/?a=1&b=2", {"b": 3, "c": 4}).json["kw"] == {"a": 1, "b": 3, "c": 4}
    answer = driver.json("/?a=1&b=2", {"b": "3"})
    assert refused(answer) == "parameter b: must be a whole number (in the JSON body)"
    answer = driver.json("/?a=x", {"b": 3})
    assert refused(answer) == "parameter a: must be a whole number (in the query)"


def test_the_answer_names_where_the_value_came_from():
    app = Atila("origin")
    app.route("/<a>", methods=["POST", "GET"])(app.inspect(ints="a")(lambda was, a: a))
    driver = Driver(app)
    assert refused(driver.get("/x")) == "parameter a: must be a whole number (in the path)"
    assert refused(driver.form("/1", a="x")).endswith("(in the form)")
    assert refused(driver.json("/1", {"a": "x"})).endswith("(in the JSON body)")
    body, kind = multipart(('name="a"', b"x"))
    assert refused(driver.send("/1", body, kind)).endswith("(in the form)")


@pytest.mark.parametrize("scope", ["FORM", "JSON", "DATA"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_scopes_of_the_body_are_not_checked_for_methods_without_one(scope, method):
    assert inspected(scope, required="limit").request(method, "/").status == 200


def test_a_document_does_not_fill_a_form():
    driver = inspected("FORM", required="limit")
    assert driver.form("/", limit=1).status == 200
    answer = driver.json("/", {"limit": 1})
    assert refused(answer) == "parameter limit is required in the form"


def test_the_scope_json_is_only_for_documents():
    driver = inspected("JSON", required="limit")
    assert driver.json("/", {"limit": 1}).status == 200
    assert refused(driver.json("/", {})) == "parameter limit is required in the JSON body"
    assert driver.form("/", other=1).status == 200
    assert driver.request("POST", "/").status == 200


def test_the_scope_data_is_a_document_or_a_form():
    driver = inspected("DATA", required="limit")
    assert driver.json("/", {"limit": 1}).status == driver.form("/", limit=1).status == 200
    assert refused(driver.json("/", {})) == "parameter limit is required in the JSON body"
    assert refused(driver.form("/", a=1)) == "parameter limit is required in the form"
    answer = driver.request("POST", "/?limit=1")
    assert refused(answer) == "parameter limit is required in the body"


@pytest.mark.parametrize("scope", ["JSON", "DATA", "POST"])
@pytest.mark.parametrize("document", [[], [{"limit": 1}], "limit", 1, None, False])
def test_a_document_that_is_no_object_is_refused(scope, document):
    answer = inspected(scope, required="limit").json("/", document)
    assert refused(answer) == "the JSON body must be an object"


@pytest.mark.parametrize("scope", ALL_METHODS)
def test_a_method_is_a_scope_for_its_own_requests(scope):
    driver = inspected(scope, required="limit")
    for method in ALL_METHODS:
        assert driver.request(method, "/").status == (400 if method == scope else 200)


@pytest.mark.parametrize("scope", ["GET", "DELETE"])
def test_get_and_delete_mean_the_query(scope):
    driver = inspected(scope, required="limit")
    assert driver.request(scope, "/?limit=1").status == 200
    assert refused(driver.request(scope, "/")) == "parameter limit is required in the query"


@pytest.mark.parametrize("scope", ["POST", "PUT", "PATCH"])
def test_methods_with_a_body_mean_the_body(scope):
    driver = inspected(scope, ints="limit", required="limit")
    assert driver.json("/", {"limit": 1}, scope).json["kw"] == {"limit": 1}
    assert driver.send("/", "limit=1", "application/x-www-form-urlencoded", scope).json["kw"] == {
        "limit": 1
    }
    assert driver.request(scope, "/?limit=1").status == 400


def test_head_is_checked_like_get():
    driver = inspected("GET", required="limit")
    assert driver.request("HEAD", "/").status == 400
    assert driver.request("HEAD", "/?limit=1").status == 200


def test_a_scope_may_be_written_in_lower_case():
    assert inspected("url", required="limit").get("/").status == 400


def test_values_of_the_path_are_no_query():
    app = Atila("path")
    app.route("/<id>")(app.inspect("URL", required="id")(lambda was, id: id))
    assert refused(Driver(app).get("/3")) == "parameter id is required in the query"


def test_routes_without_a_method_of_the_scope_get_no_step():
    app = Atila("methods")
    app.get("/")(app.inspect("FORM", required="a")(lambda was: "ok"))
    assert Driver(app).get("/").text == "ok"


def test_hooks_can_be_inspected_too():
    app = Atila("hook")

    @app.before_request
    @app.inspect("URL", ["key"], ints="key")
    def before(was):
        was.request.g["key"] = was.request.URL["key"]

    @app.route("/")
    def show(was, **kw):
        return {"key": was.request.g["key"]}

    driver = Driver(app)
    assert driver.get("/?key=5").json == {"key": 5}
    assert refused(driver.get("/")) == "parameter key is required in the query"


# Words in the place of a number of the path


@pytest.mark.parametrize("word", ["me", "notme", "new"])
@pytest.mark.parametrize(
    "options",
    [
        {"ints": "id"},
        {"id": int},
        {"id__gte": 3},
        {"id__in": [1, 2]},
        {"id": [int, float]},
        {"nones": "id", "ints": "id"},
    ],
)
def test_rules_for_numbers_do_not_apply_to_words(word, options):
    app = Atila("words")
    app.route("/<int:id>")(app.inspect(**options)(lambda was, id: {"id": id}))
    assert Driver(app).get(f"/{word}").json == {"id": word}


def test_rules_for_text_apply_to_words():
    app = Atila("words")
    app.route("/<int:id>", methods=["GET", "POST"])(
        app.inspect(id__notin=["new"], ints="id")(lambda was, id: {"id": id})
    )
    driver = Driver(app)
    assert refused(driver.get("/new")) == "parameter id: must not be new (in the path)"
    assert driver.get("/me").json == {"id": "me"}


def test_words_are_no_numbers_elsewhere():
    app = Atila("words")
    app.route("/<int:id>", methods=["GET", "POST"])(
        app.inspect(ints="id n")(lambda was, id, n=0: {"id": id, "n": n})
    )
    driver = Driver(app)
    assert driver.get("/3?n=me").status == 400
    assert driver.json("/3", {"id": "me"}).status == 400
    assert driver.get("/3?n=3").json == {"id": 3, "n": 3}


# The answer


def test_a_browser_gets_a_page():
    answer = inspected(ints="a").request("GET", "/?a=x", HTML)
    assert answer.status == 400
    assert "parameter a: must be a whole number" in answer.text


def test_a_malformed_body_is_400():
    driver = inspected("JSON", ints="a")
    assert driver.send("/", "{", "application/json").status == 400


# Errors of the app


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("ARG", "there is no such scope, did you mean 'ARGS'?"),
        ("cookie", "choose from ARGS, URL, FORM, JSON, DATA"),
        (["limit"], r"write @app.inspect\(required=\[…\]\)"),
        (test_a_browser_gets_a_page, "the parentheses even without options"),
    ],
)
def test_an_unknown_scope_is_refused(scope, message):
    with pytest.raises(ConfigError, match=message):
        Atila("scope").inspect(scope)


def test_only_functions_are_inspected():
    with pytest.raises(ConfigError, match="must decorate a function"):
        Atila("function").inspect(ints="a")("not a function")


def test_an_inspection_without_options_checks_nothing():
    assert inspected().get("/?a=1").json["kw"] == {"a": "1"}
    options = dict.fromkeys(["ints", "floats", "required", "oneof", "nones", "safes"])
    assert inspected(**options).get("/?a=1").json["kw"] == {"a": "1"}


# For the documentation of the API


def test_requirements_are_told_by_scope():
    app = Atila("requirements")

    @app.inspect("URL", ["limit"], ints="limit")
    @app.inspect(ints="id", id__gte=1, kind__in=["a", "b"], mobile=re.compile("[0-9]+"))
    @app.inspect(ints=["n", "id"], id__gte=3, offset=int, size=[int, float], tags=list[int])
    def handler(was, **kw):
        return ""

    assert requirements_of(handler) == {
        "URL": {"required": ["limit"], "ints": ["limit"]},
        "ARGS": {
            "ints": ["id", "n"],
            "id__gte": "1 and 3",
            "kind__in": "a, b",
            "mobile": "[0-9]+",
            "offset": "int",
            "size": "int, float",
            "tags": "list[int]",
        },
    }
    assert requirements_of(test_a_browser_gets_a_page) == {}
