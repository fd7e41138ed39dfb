"""From method and path to a handler and its parameters, or to the right refusal."""

from __future__ import annotations

import uuid

import pytest
from driving import Driver

from atila import Atila
from atila.errors import ConfigError

ONE = uuid.UUID("12345678-1234-5678-1234-56781234abcd")


def echoing(*rules: str, **options) -> Driver:
    """An app whose only route answers with the parameter ``p`` and its type."""
    app = Atila("echoing")

    def show(was, p):
        return {"value": str(p), "type": type(p).__name__}

    for rule in rules:
        app.route(rule, **options)(show)
    return Driver(app)


def naming(*rules, point="/") -> Driver:
    """An app that answers with the rule, and the path parameters, that it chose."""
    app = Atila("naming")
    for rule in rules:
        rule, methods = rule if isinstance(rule, tuple) else (rule, ["GET"])
        app.route(rule, methods=methods)(chosen(rule))
    return Driver(app, point=point)


def chosen(rule):
    def show(was, **parameters):
        return {"rule": rule, **parameters}

    return show


# The types of parameters


@pytest.mark.parametrize(
    ("rule", "path", "value", "kind"),
    [
        ("/<p>", "/abc", "abc", "str"),
        ("/<string:p>", "/abc", "abc", "str"),
        ("/<p>", "/a%20b", "a b", "str"),
        ("/<p>", "/a+b_c", "a+b_c", "str"),
        ("/<p>", "/%ED%95%9C%EA%B8%80", "한글", "str"),
        ("/<p>", "/100%25", "100%", "str"),
        ("/<p>", "/%00%0D%0A", "\x00\r\n", "str"),
        ("/<p>", "/.", ".", "str"),
        ("/<p>", "/<script>", "<script>", "str"),
        ("/<int:p>", "/0", "0", "int"),
        ("/<int:p>", "/007", "7", "int"),
        ("/<int:p>", "/" + "9" * 40, "9" * 40, "int"),
        ("/<int:p>", "/me", "me", "str"),
        ("/<int:p>", "/notme", "notme", "str"),
        ("/<int:p>", "/new", "new", "str"),
        ("/<float:p>", "/1.5", "1.5", "float"),
        ("/<float:p>", "/3", "3.0", "float"),
        ("/<float:p>", "/.5", "0.5", "float"),
        ("/<float:p>", "/5.", "5.0", "float"),
        ("/<float:p>", "/me", "me", "str"),
        ("/<float:p>", "/notme", "notme", "str"),
        ("/<float:p>", "/new", "new", "str"),
        ("/<uuid:p>", f"/{ONE}", str(ONE), "UUID"),
        ("/<uuid:p>", f"/{str(ONE).upper()}", str(ONE), "UUID"),
        ("/<uuid:p>", "/me", "me", "str"),
        ("/<path:p>", "/", "", "str"),
        ("/<path:p>", "/a", "a", "str"),
        ("/<path:p>", "/a/b/", "a/b/", "str"),
        ("/<path:p>", "//a", "/a", "str"),
        ("/<path:p>", "/a%2Fb", "a/b", "str"),
        ("/x/<path:p>", "/x/", "", "str"),
        ("/x/<path:p>/edit", "/x/a/b/edit", "a/b", "str"),
        ("/x/<path:p>/edit", "/x/edit/edit", "edit", "str"),
        ("/x/<p>/edit", "/x/a/edit", "a", "str"),
        ("/x/<int:p>.json", "/x/4.json", "4", "int"),
        ("/한/<p>", "/%ED%95%9C/a", "a", "str"),
        ("/a b/<p>", "/a%20b/a", "a", "str"),
        ("/a.c/<p>", "/a.c/a", "a", "str"),
    ],
)
def test_parameters_are_converted(rule, path, value, kind):
    answer = echoing(rule).get(path)
    assert (answer.status, answer.json) == (200, {"value": value, "type": kind})


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/<p>", "/"),
        ("/<p>", "/a/b"),
        ("/<p>", "/a%2Fb"),
        ("/<p>", "/a/"),
        ("/<int:p>", "/-1"),
        ("/<int:p>", "/1.0"),
        ("/<int:p>", "/1/"),
        ("/<int:p>", "/ 1"),
        ("/<int:p>", "/1_0"),
        ("/<int:p>", "/%D9%A3"),  # an Arabic digit
        ("/<int:p>", "/" + "9" * 41),
        ("/<int:p>", "/Me"),
        ("/<int:p>", "/other"),
        ("/<float:p>", "/-1.5"),
        ("/<float:p>", "/1e5"),
        ("/<float:p>", "/inf"),
        ("/<float:p>", "/nan"),
        ("/<float:p>", "/."),
        ("/<uuid:p>", "/1"),
        ("/<uuid:p>", f"/{ONE.hex}"),
        ("/<uuid:p>", f"/{{{ONE}}}"),
        ("/<uuid:p>", f"/{ONE}a"),
        ("/<uuid:p>", "/1_345678-1234-5678-1234-56781234abcd"),
        ("/x/<path:p>", "/x"),
        ("/x/<path:p>", "/xy"),
        ("/x/<path:p>/edit", "/x/edit"),
        ("/x/<p>/edit", "/x//edit"),
        ("/x/<p>/edit", "/x/a/b/edit"),
        ("/x/<p>/edit", "/x/a/edit/"),
        ("/x/<int:p>.json", "/x/4xjson"),
        ("/a.c/<p>", "/abc/a"),
    ],
)
def test_what_is_of_another_type_is_not_found(rule, path):
    assert echoing(rule).get(path).status == 404


@pytest.mark.parametrize("path", ["/1.2.3", "/..1", "/" + "9" * 400])
def test_digits_and_dots_that_are_no_number_are_a_bad_request(path):
    assert echoing("/<float:p>").get(path).status == 400


def test_several_parameters_each_have_their_type():
    driver = naming("/users/<int:id>/<name>/<path:rest>")
    assert driver.get("/users/4/a%20b/c/d").json == {
        "rule": "/users/<int:id>/<name>/<path:rest>",
        "id": 4,
        "name": "a b",
        "rest": "c/d",
    }


# Which rule wins


@pytest.mark.parametrize(
    ("rules", "path", "winner"),
    [
        (["/int/<int:n>", "/int/5"], "/int/5", "/int/5"),
        (["/<path:p>", "/a/<b>", "/a/b/<c>"], "/a/b/c", "/a/b/<c>"),
        (["/<path:p>", "/a/<b>", "/a/b/<c>"], "/a/b", "/a/<b>"),
        (["/<path:p>", "/a/<b>", "/a/b/<c>"], "/a/b/c/d", "/<path:p>"),
        (["/a/<x>", "/a/<y>"], "/a/1", "/a/<x>"),
        (["/a/<int:x>", "/a/<y>"], "/a/one", "/a/<y>"),
        (["/a/<y>", "/a/<int:x>"], "/a/1", "/a/<y>"),
        (["/<a>/<b>", "/<path:p>"], "/1/2/3", "/<path:p>"),
        (["/<a>/x/<b>", "/<a>/<b>/x"], "/1/x/x", "/<a>/x/<b>"),
        (["/", "/<path:p>"], "/", "/"),
        (["/<path:p>", "/files/"], "/files/", "/files/"),
    ],
)
def test_precedence(rules, path, winner):
    assert naming(*rules).get(path).json["rule"] == winner


def test_the_types_of_all_parameters_decide_together():
    driver = naming("/<path:a>/<int:n>/<path:b>", "/f/<path:a>/<float:x>", "/u/<path:a>/<uuid:u>")
    assert driver.get("/x/y/7/a/b").json["n"] == 7
    assert driver.get("/1/2/3").json["a"] == "1"
    assert driver.get("/f/a/b/1.5").json["a"] == "a/b"
    assert driver.get(f"/u/a/b/{ONE}").json["a"] == "a/b"
    assert driver.get("/x/y/z").status == 404


def test_the_same_rule_again_replaces_its_methods_only():
    driver = naming(("/x", ["GET", "PUT"]), ("/y", ["GET"]))
    assert driver.request("PUT", "/x").json == {"rule": "/x"}
    app = Atila("again")

    @app.route("/x", methods=["GET", "PUT"])
    def first(was):
        return "first"

    @app.route("/x", methods=["GET", "POST"])
    def second(was):
        return "second"

    driver = Driver(app)
    assert driver.get("/x").text == "second"
    assert driver.request("PUT", "/x").text == "first"
    assert driver.request("DELETE", "/x")["Allow"] == "GET, HEAD, OPTIONS, POST, PUT"


def test_a_function_may_have_several_rules():
    driver = echoing("/a/<p>", "/b/<int:p>")
    assert driver.get("/a/1").json["type"] == "str"
    assert driver.get("/b/1").json["type"] == "int"


# The optional last parameter


def optional(*rules, **extra) -> Driver:
    app = Atila("optional")
    for rule in rules:

        @app.route(rule)
        def show(was, p="default", a=None):
            return {"p": p, "a": a}

    for rule, text in extra.items():
        app.route("/" + rule)(lambda was, text=text: text)
    return Driver(app)


def test_a_last_parameter_with_a_default_may_be_left_out():
    driver = optional("/profiles/<int:p>")
    assert driver.get("/profiles/3").json == {"p": 3, "a": None}
    assert driver.get("/profiles").json == {"p": "default", "a": None}
    assert driver.get("/profiles?a=no").json == {"p": "default", "a": "no"}
    assert driver.get("/profiles?p=5").json == {"p": "5", "a": None}
    assert driver.get("/profiles/").status == 404


def test_only_the_last_parameter_is_optional():
    driver = optional("/two/<a>/<p>")
    assert driver.get("/two/x/7").json == {"p": "7", "a": "x"}
    assert driver.get("/two/x").json == {"p": "default", "a": "x"}
    assert driver.get("/two/x/").status == 404
    assert driver.get("/two").status == 404
    middle = optional("/three/<p>/end")
    assert middle.get("/three/end").status == middle.get("/three").status == 404


def test_a_parameter_without_default_is_not_optional():
    assert echoing("/profiles/<p>").get("/profiles").status == 404


@pytest.mark.parametrize("path", ["/", "/?a=1"])
def test_at_the_root_the_short_form_is_the_slash(path):
    assert optional("/<path:p>").get(path).json["p"] == "default"
    assert optional("/<p>").get(path).json["p"] == "default"


def test_an_empty_path_parameter_is_its_default():
    driver = optional("/files/<path:p>", "/of/<int:a>/<path:p>")
    assert driver.get("/files/").json["p"] == "default"
    assert driver.get("/files").json["p"] == "default"
    assert driver.get("/files/a/").json["p"] == "a/"
    assert driver.get("/of/4/").json == {"p": "default", "a": 4}
    assert driver.get("/of/4").json == {"p": "default", "a": 4}
    assert driver.get("/of/4/x/y").json == {"p": "x/y", "a": 4}


def test_a_declared_route_wins_over_the_short_form():
    assert optional("/x/<p>", x="explicit").get("/x").text == "explicit"
    app = Atila("before")

    @app.route("/x", methods=["GET"])
    def explicit(was):
        return "explicit"

    @app.route("/x/<p>", methods=["GET", "PUT"])
    def show(was, p=""):
        return "implicit"

    assert Driver(app).get("/x").text == "explicit"
    assert Driver(app).request("PUT", "/x").text == "implicit"


# Methods


def test_the_default_methods_are_get_and_post():
    driver = echoing("/<p>")
    assert driver.get("/1").status == driver.request("POST", "/1").status == 200
    answer = driver.request("PUT", "/1")
    assert (answer.status, answer["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_shortcuts_take_one_method(method):
    app = Atila("shortcuts")
    getattr(app, method)("/x")(lambda was: "x")
    driver = Driver(app)
    assert driver.request(method.upper(), "/x").text == "x"
    other = "PUT" if method != "put" else "GET"
    allowed = {method.upper(), "OPTIONS"} | ({"HEAD"} if method == "get" else set())
    assert set(driver.request(other, "/x")["Allow"].split(", ")) == allowed


def test_methods_may_be_text_in_any_case():
    driver = echoing("/<p>", methods="put")
    assert driver.request("PUT", "/1").status == 200


def test_a_literal_path_without_the_method_is_refused_at_once():
    driver = naming(("/x", ["PUT"]), ("/<p>", ["GET"]))
    assert driver.get("/x").status == 405
    assert driver.get("/x")["Allow"] == "OPTIONS, PUT"


def test_the_methods_of_all_matching_rules_are_allowed():
    driver = naming(("/a/<int:p>", ["PUT"]), ("/a/<p>", ["DELETE"]), ("/<path:p>", ["PATCH"]))
    assert driver.request("DELETE", "/a/1").json["rule"] == "/a/<p>"
    answer = driver.get("/a/1")
    assert (answer.status, answer["Allow"]) == (405, "DELETE, OPTIONS, PATCH, PUT")
    assert driver.get("/a/b")["Allow"] == "DELETE, OPTIONS, PATCH"


def test_head_works_wherever_get_does():
    driver = naming("/x", "/y/<p>", ("/z", ["PUT"]))
    for path in ("/x", "/y/1"):
        full, head = driver.get(path), driver.request("HEAD", path)
        assert head.status == 200
        assert head.headers == full.headers
        assert (head.body, bool(full.body)) == (b"", True)
    assert driver.request("HEAD", "/z").status == 405


def test_a_route_may_have_its_own_head():
    driver = naming(("/x", ["HEAD"]), ("/x", ["GET"]))
    assert driver.request("HEAD", "/x").status == 200
    assert driver.request("HEAD", "/x", {"X": "1"})["Content-Length"] == "13"


@pytest.mark.parametrize("methods", [["GET"], ["GET", "OPTIONS"]])
def test_options_is_answered_without_the_handler(methods):
    app = Atila("options")

    @app.route("/x", methods=methods)
    def never(was, needed):
        raise AssertionError

    answer = Driver(app).request("OPTIONS", "/x")
    assert (answer.status, answer["Allow"], answer.body) == (204, "GET, HEAD, OPTIONS", b"")
    assert Driver(app).request("OPTIONS", "/y").status == 404


def test_a_function_for_nothing_but_options_answers_them():
    driver = naming(("/x", ["GET"]), ("/x", ["OPTIONS"]), ("/y/<p>", ["OPTIONS"]))
    assert driver.request("OPTIONS", "/x").json == {"rule": "/x"}
    assert driver.request("OPTIONS", "/y/1").json["rule"] == "/y/<p>"
    assert driver.get("/y/1")["Allow"] == "OPTIONS"


# The missing slash


def test_a_missing_slash_is_added_with_the_query():
    driver = naming("/sub/", "/한/", "/noslash", "/<p>")
    answer = driver.get("/sub?a=1&b=%20")
    assert (answer.status, answer["Location"]) == (301, "/sub/?a=1&b=%20")
    assert driver.get("/%ED%95%9C")["Location"] == "/%ED%95%9C/"
    assert driver.request("POST", "/sub").status == 301
    assert driver.get("/noslash/").status == 404
    assert driver.get("/other").json["rule"] == "/<p>"


def test_a_route_without_slash_is_not_redirected():
    driver = naming("/sub/", "/sub")
    assert driver.get("/sub").json == {"rule": "/sub"}
    assert driver.get("/sub/").json == {"rule": "/sub/"}


def test_the_slash_does_not_lead_to_another_host():
    answer = naming("/sub/").request("GET", "http://evil.example/sub?a", {"Host": "good.example"})
    assert (answer.status, answer["Location"]) == (301, "/sub/?a")


# Points


def test_rules_are_below_the_point_of_the_app():
    driver = naming("", "/items/<int:n>", "/sub/", point="/shop/")
    assert driver.get("/shop/").json == {"rule": ""}
    assert driver.get("/shop/items/4").json["n"] == 4
    assert driver.get("/shop/sub?q")["Location"] == "/shop/sub/?q"
    assert driver.get("/shop/nothing").status == 404


def test_two_apps_on_one_point_are_asked_in_order():
    first, second = Atila("first"), Atila("second")
    first.route("/both", methods=["GET"])(lambda was: "first")
    first.route("/one/<a>")(lambda was, a: f"first {a}")
    second.route("/both", methods=["GET", "PUT"])(lambda was: "second")
    second.route("/two/<b>")(lambda was, b: f"second {b}")
    second.route("/slash/")(lambda was: "second")
    driver = Driver(first, second)
    assert driver.get("/both").text == "first"
    assert driver.get("/one/1").text == "first 1"
    assert driver.get("/two/2").text == "second 2"
    assert driver.get("/slash").status == 301
    assert driver.request("PUT", "/both").status == 405  # the first app has the path
    assert driver.get("/nothing").status == 404


# Content types


def test_other_content_types_are_not_acceptable():
    app = Atila("types")
    app.route("/x", content_types=["Application/JSON", "text/xml"])(lambda was: "ok")
    app.route("/y", content_types="text/csv")(lambda was: "ok")
    driver = Driver(app)
    assert driver.send("/x", "{}", "application/json; charset=utf-8").text == "ok"
    assert driver.send("/x", "<a/>", "text/XML").text == "ok"
    assert driver.send("/y", "a", "text/csv").text == "ok"
    answer = driver.send("/x", "a", "text/plain")
    assert answer.status == 406
    assert answer.json["more_info"] == "the content type must be application/json, text/xml"
    assert driver.get("/x").status == 406
    assert driver.request("OPTIONS", "/x").status == 204


# What can't work


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("x", {}, "route 'x' must start with '/' (or be empty)"),
        ("<p>", {}, "route '<p>' must start with '/' (or be empty)"),
        ("/<nope:p>", {}, "type 'nope' is unknown, choose from string, int, float, uuid, path"),
        ("/<p", {}, "has a broken parameter"),
        ("/p>", {}, "has a broken parameter"),
        ("/<1p>", {}, "has a broken parameter"),
        ("/<int:>", {}, "has a broken parameter"),
        ("/a<p>", {}, "a parameter must follow a '/'"),
        ("/<p>-<q>", {}, "a parameter must follow a '/'"),
        ("/<p><q>", {}, "a parameter must follow a '/'"),
        ("/<p>/<p>", {}, "has two parameters 'p'"),
        ("/<p>", {"methods": []}, "methods=[] must be a list of DELETE, GET"),
        ("/<p>", {"methods": ["GETT"]}, "methods=['GETT'] must be a list of DELETE, GET"),
    ],
)
def test_rules_that_cannot_work_are_refused_when_declared(rule, options, message):
    app = Atila("wrong")
    with pytest.raises(ConfigError) as refused:
        app.route(rule, **options)(lambda was, p, q=1: "")
    assert message in str(refused.value)
