"""Arguments of handlers: found by name in path, query, form and JSON, or refused."""

from __future__ import annotations

import functools
import types

import pytest
from driving import Driver, multipart

from atila import Atila
from atila.errors import ConfigError

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def app_with(rule, handler, **options) -> Driver:
    app = Atila("binding")
    app.route(rule, **options)(handler)
    return Driver(app)


def hello(was, name, birth_year, gender=None):
    return {"name": name, "birth_year": birth_year, "gender": gender}


def anything(was, **kw):
    return kw


def profile(was, id=None, detail="yes"):
    return {"id": id, "detail": detail, "args": was.request.args}


# Where arguments come from


def test_arguments_come_from_the_query():
    driver = app_with("/hello", hello)
    assert driver.get("/hello?name=Hans+Roh&birth_year=1999").json == {
        "name": "Hans Roh",
        "birth_year": "1999",
        "gender": None,
    }
    assert driver.get("/hello?gender=%ED%95%9C&birth_year=&name").json == {
        "name": "",
        "birth_year": "",
        "gender": "한",
    }


def test_arguments_come_from_a_form():
    driver = app_with("/hello", hello)
    answer = driver.form("/hello", name="Hans Roh", birth_year=1999)
    assert answer.json == {"name": "Hans Roh", "birth_year": "1999", "gender": None}


def test_arguments_come_from_json_with_their_types():
    driver = app_with("/hello", hello)
    data = {"name": ["Hans", None], "birth_year": 1999, "gender": {"a": 1.5}}
    assert driver.json("/hello", data).json == data


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_type_of_json_is_read_like_any_media_type(kind):
    assert app_with("/x", anything).send("/x", '{"a": 1}', kind).json == {"a": 1}


def test_arguments_come_from_multipart_with_files():
    def upload(was, title, file):
        return {"title": title, "name": file.name, "type": file.mimetype, "text": file.read()}

    body, kind = multipart(
        ('name="title"', "Über".encode()), ('name="file"; filename="a.txt"', b"content")
    )
    assert app_with("/up", upload).send("/up", body, kind).json == {
        "title": "Über",
        "name": "a.txt",
        "type": "application/octet-stream",
        "text": "content",
    }


def test_a_large_file_is_read_from_disk():
    def upload(was, file):
        return {"size": file.size, "start": file.read(4).decode(), "end": file.read()[-3:].decode()}

    body, kind = multipart(('name="file"; filename="a"', b"data" + b"x" * 3_000_000 + b"end"))
    answer = app_with("/up", upload).send("/up", body, kind)
    assert answer.json == {"size": 3_000_007, "start": "data", "end": "end"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_every_method_may_have_a_body(method):
    driver = app_with("/x", anything, methods=["PUT", "PATCH", "DELETE", "POST"])
    assert driver.json("/x", {"a": 1}, method).json == {"a": 1}


def test_repeated_fields_are_a_list():
    driver = app_with("/x", anything)
    assert driver.get("/x?a=1&b=2&a=3").json == {"a": ["1", "3"], "b": "2"}
    assert driver.form("/x", a=[1, 2]).json == {"a": ["1", "2"]}


def test_keys_are_taken_as_they_are():
    driver = app_with("/x", anything)
    assert driver.get("/x?int:a=3&list[]=1&a.b=2&%3D=4").json == {
        "int:a": "3",
        "list[]": "1",
        "a.b": "2",
        "=": "4",
    }


# Conflicts


def test_the_path_wins_over_the_query():
    driver = app_with("/u/<int:id>", profile)
    assert driver.get("/u/3?id=4").json["id"] == 3
    assert driver.get("/u/3?id=4&detail=no").json["args"] == {"id": 3, "detail": "no"}


def test_the_body_wins_over_path_and_query():
    driver = app_with("/u/<int:id>", profile)
    answer = driver.json("/u/3?detail=no&id=4", {"id": 5, "detail": "some"})
    assert answer.json == {"id": 5, "detail": "some", "args": {"id": 5, "detail": "some"}}
    assert driver.form("/u/3?detail=no", id=5).json["args"] == {"id": "5", "detail": "no"}


def test_the_body_wins_also_where_only_the_path_is_expected():
    def show(was, id):
        return {"id": id, "args": was.request.args}

    driver = app_with("/u/<int:id>", show)
    assert driver.json("/u/3", {"id": 5}).json == {"id": 5, "args": {"id": 5}}
    assert driver.get("/u/3?id=4").json == {"id": 3, "args": {"id": 3}}


def test_a_query_fills_in_for_a_path_parameter_that_was_left_out():
    driver = app_with("/u/<int:id>", lambda was, id=0: {"id": id})
    assert driver.get("/u?id=4").json == {"id": "4"}
    assert driver.get("/u").json == {"id": 0}


# Too few and too many


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "parameter name is required"),
        ("?birth_year=1", "parameter name is required"),
        ("?name=a", "parameter birth_year is required"),
        ("?name=a&birth_year=1&x=2", "parameter x is not expected"),
        ("?name=a&birth_year=1&was=2", "parameter was is not expected"),
        ("?name=a&birth_year=1&Name=2", "parameter Name is not expected"),
        ("?name=a&birth_year=1&=2", "parameter  is not expected"),
    ],
)
def test_missing_and_surplus_parameters_are_named(query, message):
    answer = app_with("/hello", hello).get("/hello" + query)
    assert answer.status == 400
    assert answer.json == {"code": 40000, "message": "bad request", "more_info": message}


def test_the_name_of_a_surplus_parameter_is_escaped_in_the_page():
    answer = app_with("/hello", hello).html("/hello?name=1&birth_year=2&%3Cscript%3E=1")
    assert answer.status == 400
    assert "parameter &lt;script&gt; is not expected" in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("rule", ["/x", "/x/<id>"])
def test_a_handler_that_expects_nothing_gets_nothing(rule):
    handler = (lambda was: "ok") if rule == "/x" else (lambda was, id: "ok")
    driver = app_with(rule, handler)
    path = rule.replace("<id>", "1")
    assert driver.get(path).text == "ok"
    assert driver.get(path + "?").text == "ok"
    assert driver.get(path + "?a=1").json["more_info"] == "parameter a is not expected"
    assert driver.form(path, a=1).json["more_info"] == "parameter a is not expected"
    assert driver.json(path, {"a": 1}).json["more_info"] == "parameter a is not expected"
    assert driver.json(path, {}).text == "ok"
    assert driver.send(path, b"\x00\xff", "image/png").text == "ok"


@pytest.mark.parametrize("rule", ["/x", "/x/<id>"])
def test_a_handler_that_expects_nothing_may_be_left_alone(rule):
    app = Atila("lenient")
    app.restrict_parameter_count = False
    app.route(rule)((lambda was: "ok") if rule == "/x" else (lambda was, id: id))
    driver = Driver(app)
    path, text = (rule, "ok") if rule == "/x" else ("/x/1", "1")
    assert driver.get(path + "?a=1").text == text
    assert driver.json(path, {"a": 1}).text == text
    assert driver.send(path, "{broken", JSON).text == text


def test_keyword_arguments_take_the_rest():
    def show(was, name, **DATA):
        return {"name": name, "data": DATA}

    driver = app_with("/x/<int:id>", show)
    assert driver.get("/x/1?name=a&b=2").json == {"name": "a", "data": {"id": 1, "b": "2"}}
    assert driver.get("/x/1?b=2").json["more_info"] == "parameter name is required"


def test_the_name_of_the_first_argument_is_never_a_parameter():
    def show(context, **kw):
        return kw

    driver = app_with("/x", show)
    assert driver.get("/x?was=1").json == {"was": "1"}
    answer = driver.get("/x?context=1")
    assert (answer.status, answer.json["more_info"]) == (400, "parameter context is not expected")
    assert driver.json("/x", {"context": 1}).status == 400


def test_parameters_may_be_keyword_only():
    def show(was, *, a, b="default"):
        return [a, b]

    assert app_with("/x/<a>", show).get("/x/1").json == ["1", "default"]


def test_names_of_any_script_work():
    def show(was, größe):
        return größe

    assert app_with("/x", show).get("/x?gr%C3%B6%C3%9Fe=4").text == "4"


# restrict_parameter_count = False


def lenient(rule, handler, **options) -> Driver:
    app = Atila("lenient")
    app.restrict_parameter_count = False
    app.route(rule, **options)(handler)
    return Driver(app)


def one(was, a):
    return {"a": a, "args": was.request.args}


@pytest.mark.parametrize(
    ("target", "body", "status", "seen"),
    [
        # of a body nothing is wanted: it is seen, but not passed
        ("/x?a=1", {"b": "1"}, 200, {"a": "1", "b": "1"}),
        ("/x?a=1", {}, 200, {"a": "1"}),
        ("/x?a=1", [1, 2], 200, {"a": "1"}),
        # something of it is wanted: then all of it has to be
        ("/x", {"a": "2"}, 200, {"a": "2"}),
        ("/x?a=1", {"a": "2"}, 200, {"a": "2"}),
        ("/x", {"a": "2", "b": "3"}, 400, "parameter b is not expected"),
        ("/x?a=1", {"a": "2", "b": "3"}, 400, "parameter b is not expected"),
        # a query always has to be
        ("/x?a=1&b=1", None, 400, "parameter b is not expected"),
        ("/x?a=1&b=1", {"c": "1"}, 400, "parameter b is not expected"),
        ("/x?a=1&b=1", {"b": "2"}, 400, "parameter b is not expected"),
        # what is missing is missing
        ("/x", {"b": "1"}, 400, "parameter a is required"),
        ("/x", None, 400, "parameter a is required"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "form"])
def test_bodies_of_which_nothing_is_wanted(kind, target, body, status, seen):
    driver = lenient("/x", one)
    if body is None:
        answer = driver.get(target)
    elif kind == "json" or isinstance(body, list):
        answer = driver.json(target, body)
    else:
        answer = driver.form(target, **body)
    assert answer.status == status, answer.text
    if status == 200:
        assert answer.json == {"a": seen["a"], "args": seen}
    else:
        assert answer.json["more_info"] == seen


def test_a_strict_app_refuses_such_bodies():
    answer = app_with("/x", one).json("/x?a=1", {"b": "1"})
    assert (answer.status, answer.json["more_info"]) == (400, "parameter b is not expected")


def test_a_lenient_handler_with_keywords_gets_everything():
    assert lenient("/x", anything).json("/x?a=1", {"b": 2}).json == {"a": "1", "b": 2}


def test_a_lenient_handler_of_path_parameters_gets_them_only():
    driver = lenient("/u/<int:id>", lambda was, id: {"id": id, "args": was.request.args})
    assert driver.get("/u/3?a=1").json == {"id": 3, "args": {"a": "1", "id": 3}}
    assert driver.json("/u/3", {"a": 1}).json == {"id": 3, "args": {"id": 3, "a": 1}}


def test_a_body_that_nobody_reads_may_be_broken_for_a_lenient_handler():
    driver = lenient("/x", lambda was: "ok")
    assert driver.send("/x", "{", JSON).status == 200
    assert lenient("/x", one).send("/x?a=1", "{", JSON).status == 400


# Guards that change arguments


def guarded(rule, guard, handler, restrict=True):
    app = Atila("guarded")
    app.restrict_parameter_count = restrict
    # Decorators leave their guards on the function itself.
    copied = types.FunctionType(handler.__code__, globals(), "copied", handler.__defaults__)
    app.route(rule)(guard(app)(copied))
    return Driver(app)


def show(was, id):
    return {"id": id, "args": was.request.args, "path": was.request.PARAMS}


@pytest.mark.parametrize("restrict", [True, False])
def test_a_handler_of_path_parameters_gets_what_guards_made_of_them(restrict):
    driver = guarded("/u/<id>", lambda app: app.inspect(ints=["id"]), show, restrict)
    assert driver.get("/u/5").json == {"id": 5, "args": {"id": 5}, "path": {"id": "5"}}
    assert driver.get("/u/x").status == 400


@pytest.mark.parametrize("restrict", [True, False])
def test_a_guard_may_change_the_arguments_itself(restrict):
    def guard(app):
        def change(was):
            was.arguments()["id"] = "changed"

        return app.run_before(change)

    driver = guarded("/u/<int:id>", guard, show, restrict)
    answer = driver.get("/u/5").json
    assert (answer["id"], answer["path"]) == ("changed", {"id": 5})


def test_a_guard_that_reads_arguments_does_not_make_them_required_or_surplus():
    def guard(app):
        return app.run_before(lambda was: was.request.args and None)

    strict = guarded("/u/<int:id>", guard, show)
    assert strict.get("/u/5").json["id"] == 5
    assert strict.get("/u/5?a=1").json["more_info"] == "parameter a is not expected"
    assert strict.json("/u/5", {"a": 1}).json["more_info"] == "parameter a is not expected"
    loose = guarded("/u/<int:id>", guard, show, restrict=False)
    assert loose.get("/u/5?a=1").json["id"] == 5
    assert loose.json("/u/5", {"a": 1}).json["id"] == 5


def test_what_a_guard_adds_reaches_a_handler_that_takes_it():
    def guard(app):
        def add(was):
            was.arguments()["extra"] = 7

        return app.run_before(add)

    driver = guarded("/u/<int:id>", guard, lambda was, id, extra=0: [id, extra])
    assert driver.get("/u/5").json == [5, 7]


def test_a_hook_may_change_the_arguments_of_every_handler():
    app = Atila("hooked")
    app.route("/u/<int:id>")(show)
    app.route("/q")(one)

    @app.before_request
    def before(was):
        arguments = was.arguments()
        for name, value in arguments.items():
            arguments[name] = f"<{value}>"

    driver = Driver(app)
    assert driver.get("/u/5").json["id"] == "<5>"
    assert driver.get("/q?a=1").json["a"] == "<1>"
    assert driver.json("/q", {"a": [1]}).json["a"] == "<[1]>"


def test_the_short_form_of_a_rule_with_guards():
    def profile(was, id=None):
        return [id]

    driver = guarded("/u/<id>", lambda app: app.inspect(ints=["id"]), profile)
    assert driver.get("/u").json == [None]
    assert driver.get("/u/5").json == [5]
    assert driver.get("/u?id=6").json == [6]


# request.args and its parts


def test_defaults_are_visible_in_args():
    def show(was, id=None, detail="yes"):
        assert was.request.args["id"] == id
        assert was.request.args["detail"] == detail
        assert was.request.args == was.request.ARGS
        return was.request.args

    driver = app_with("/u/<int:id>", show)
    assert driver.get("/u").json == {"id": None, "detail": "yes"}
    assert driver.get("/u/3?detail=no").json == {"id": 3, "detail": "no"}


def test_each_source_can_be_read_alone():
    def show(was, **kw):
        request = was.request
        return {
            "path": request.PARAMS,
            "query": request.URL,
            "form": request.FORM,
            "json": request.JSON,
            "data": request.DATA,
        }

    driver = app_with("/x/<int:id>", show)
    assert driver.form("/x/1?a=2", b=3).json == {
        "path": {"id": 1},
        "query": {"a": "2"},
        "form": {"b": "3"},
        "json": None,
        "data": {"b": "3"},
    }
    assert driver.json("/x/1", {"c": 4}).json == {
        "path": {"id": 1},
        "query": {},
        "form": None,
        "json": {"c": 4},
        "data": {"c": 4},
    }
    assert driver.get("/x/1").json["data"] == {}


@pytest.mark.parametrize("data", [[1, 2], "text", 5, None, True, []])
def test_a_document_that_is_no_object_is_no_argument(data):
    def show(was, a="default"):
        return {"a": a, "document": was.request.JSON}

    assert app_with("/x", show).json("/x", data).json == {"a": "default", "document": data}


def test_changing_args_changes_no_default():
    def show(was, a="default"):
        was.request.args["a"] = "changed"
        was.request.args["b"] = "added"
        return [a, sorted(was.request.args)]

    driver = app_with("/x", show)
    assert driver.get("/x").json == driver.get("/x").json == ["default", ["a"]]


# Handlers that can't work


def no_arguments(): ...
def only_keywords(*, was): ...
def variadic(was, *args): ...
def positional(was, a, /): ...


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (no_arguments, "handler no_arguments must take 'was' as its first argument"),
        (only_keywords, "handler only_keywords must take 'was' as its first argument"),
        (variadic, "handler variadic takes *args: arguments come by name, use **kw"),
        (positional, "handler positional: a can't be positional-only"),
        (functools.partial(hello), "route '/x' must decorate a function, not functools.partial"),
        ("text", "route '/x' must decorate a function, not 'text'"),
    ],
)
def test_signatures_that_cannot_work_are_refused_when_declared(handler, message):
    with pytest.raises(ConfigError) as refused:
        Atila("wrong").route("/x")(handler)
    assert message in str(refused.value)


def test_a_handler_must_take_the_parameters_of_its_path():
    def show(was, other=1): ...

    with pytest.raises(ConfigError) as refused:
        app_with("/x/<int:id>", show)
    assert str(refused.value).endswith("show must take the parameter 'id' of its route")


def test_a_path_parameter_cannot_have_the_name_of_the_first_argument():
    with pytest.raises(ConfigError, match="'was' of its route has the name of its first argument"):
        app_with("/x/<was>", anything)


def test_the_first_argument_may_be_positional_only():
    def show(was, /, a):
        return a

    assert app_with("/x/<a>", show).get("/x/1").text == "1"


def test_a_type_error_in_a_handler_is_a_crash_not_a_bad_request(log):
    def show(was, a):
        return len(5)

    assert app_with("/x", show).get("/x?a=1").status == 500
    assert "TypeError" in log.text
