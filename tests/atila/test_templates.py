"""Templates: what they can name, what is escaped, where they are found."""

from __future__ import annotations

import os

import pytest
from driving import Driver

from atila import Atila, HTTPError
from atila.templating.jinja import escapes

LOOP = "{%% for i in [1, 2, 3] %%}{%% if i == 2 %%}{%% %s %%}{%% endif %%}{{ i }}{%% endfor %%}"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "templates").mkdir()
    return tmp_path


def rendering(home, text, *contexts, name="page.j2", debug=False, path="/shop/<n>", **context):
    """The answer of an app that renders one template."""
    file = home / "templates" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    app = Atila("templates")

    @app.route("/<int:n>")
    def page(was, n, q="default"):
        was.response.set_header("X-A", "set")
        return was.render(name, *contexts, **context)

    return Driver(app, home=home, point="/shop/", debug=debug).html("/shop/3?q=a%26b")


# Names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ context.user }} {{ user }}", "Hans Hans"),
        ("{{ context.missing }}{{ missing }}.", "."),
        ("{{ request.method }} {{ request.path }}", "GET /shop/3"),
        ("{{ request.args.n }} {{ request.args.get('q') }}", "3 a&amp;b"),
        ("{{ request.args.get('choice', 'N/A') }}", "N/A"),
        ("{{ response.get_header('X-A') }}", "set"),
        ("{{ was.request.uri }}", "/shop/3?q=a%26b"),
        ("{{ was.urlfor('page', 4, q='x') }}", "/shop/4?q=x"),
        ("{{ was.static('a.css') }} {{ was.media('b.png') }}", "/static/a.css /media/b.png"),
        ("{{ app.name }} {{ app.config.STATIC_URL }}", "templates /static/"),
        ("{{ was.app is sameas app }}", "True"),
    ],
)
def test_names_that_every_template_has(home, text, expected):
    got = rendering(home, text, user="Hans")
    assert (got.status, got["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert got.text == expected


def test_the_context_may_be_a_dictionary_and_keywords(home):
    text = "{{ a }} {{ b }} {{ context.b }} {{ template }} {{ self_ }}"
    got = rendering(home, text, {"a": 1, "b": 1}, {"b": 2, "self_": 4}, b=3, template="t")
    assert got.text == "1 3 3 t 4"


@pytest.mark.parametrize("name", ["was", "app", "request", "response", "context"])
def test_the_names_that_every_template_has_are_reserved(home, name, log):
    assert rendering(home, "x", {name: 1}).status == 500
    assert f"was.render('page.j2'): {name!r} always means the same in a template" in log.text


# Escaping


@pytest.mark.parametrize("name", ["a.html", "a.j2", "a.htm", "a.xml", "a.html.j2", "a"])
def test_values_are_escaped_for_html(home, name):
    assert rendering(home, "{{ x }}", name=name, x="<&'\">").text == "&lt;&amp;&#39;&#34;&gt;"
    assert rendering(home, "{{ x|safe }}", name=name, x="<b>").text == "<b>"


@pytest.mark.parametrize("name", ["mail.txt", "mail.txt.j2", "a.csv", "a.json", "a.md"])
def test_plain_text_is_not_escaped(home, name):
    assert rendering(home, "{{ x }}", name=name, x="<&>").text == "<&>"
    assert not escapes(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.txt", "text/plain; charset=utf-8"),
        ("mail.txt.j2", "text/plain; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.txt.html", "text/html; charset=utf-8"),
    ],
)
def test_what_is_not_escaped_is_never_sent_as_a_page(home, name, expected):
    assert rendering(home, "{{ x }}", name=name, x="<&>")["Content-Type"] == expected


def test_plain_text_may_be_sent_as_something_else_and_is_text_elsewhere(home):
    (home / "templates" / "a.txt").write_text("{{ x }}")
    app = Atila("templates")

    @app.route("/")
    def calendar(was):
        was.response.content_type = "text/calendar"
        return was.render("a.txt", x="<")

    @app.route("/either")
    def either(was):
        return was.render_or_API("a.txt", x="<")

    @app.route("/mail")
    def mail(was):
        return was.API(text=was.render("a.txt", x="<"))

    driver = Driver(app, home=home)
    assert driver.html("/")["Content-Type"] == "text/calendar"
    assert driver.html("/either")["Content-Type"] == "text/plain; charset=utf-8"
    assert driver.html("/mail").text == '{"text":"<"}'


def test_templates_from_text_are_escaped(home):
    app = Atila("templates")
    Driver(app, home=home)
    assert app.templates.env.from_string("{{ x }}").render(x="<") == "&lt;"


def test_what_extends_and_includes_is_escaped_too(home):
    (home / "templates" / "base.j2").write_text("<i>{% block a %}{% endblock %}</i>")
    (home / "templates" / "part.j2").write_text("{{ x }}")
    text = '{% extends "base.j2" %}{% block a %}{% include "part.j2" %}{% endblock %}'
    assert rendering(home, text, x="<").text == "<i>&lt;</i>"


# The environment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% set a = [] %}{% do a.append(1) %}{{ a }}", "[1]"),
        (LOOP % "break", "1"),
        (LOOP % "continue", "13"),
        ("{% if True %}\n  {% if True %}\nx\n  {% endif %}\n{% endif %}", "x\n"),
        ("한 {# comment #}x", "한 x"),
    ],
)
def test_extensions_and_white_space(home, text, expected):
    assert rendering(home, text).text == expected


def test_names_of_templates_may_have_a_slash_in_front_and_directories(home):
    (home / "templates" / "deep").mkdir()
    (home / "templates" / "deep" / "a.j2").write_text("deep")
    app = Atila("templates")
    app.route("/")(lambda was: was.render("/deep/a.j2"))
    assert Driver(app, home=home).get("/").text == "deep"


def test_further_directories_are_searched_in_order(home, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared.j2").write_text(name)
    (tmp_path / "two" / "only.j2").write_text("only")
    (tmp_path / "two" / "own.j2").write_text("not this")
    (home / "templates" / "own.j2").write_text("own")
    app = Atila("templates")
    app.config.TEMPLATE_DIRS = [str(tmp_path / "one"), tmp_path / "two"]
    app.route("/<path:name>")(lambda was, name: was.render(name))
    driver = Driver(app, home=home)
    assert driver.get("/shared.j2").text == "one"
    assert driver.get("/only.j2").text == "only"
    assert driver.get("/own.j2").text == "own"


def test_relative_directories_start_at_the_launch_script(home, tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.j2").write_text("found")
    app = Atila("templates")
    app.config.TEMPLATE_DIRS = ["more"]
    monkeypatch.setattr("skitai.abspath", lambda path: str(tmp_path / path))
    app.route("/")(lambda was: was.render("a.j2"))
    assert Driver(app, home=home).get("/").text == "found"


def test_apps_have_their_own_directories(home):
    first, second = Atila("first"), Atila("second")
    first.config.TEMPLATE_DIRS.append("somewhere")
    assert second.config.TEMPLATE_DIRS == []


@pytest.mark.parametrize("debug", [False, True])
def test_changed_templates_are_read_again_in_debug_only(home, debug):
    file = home / "templates" / "a.j2"
    file.write_text("old")
    app = Atila("templates")
    app.route("/")(lambda was: was.render("a.j2"))
    driver = Driver(app, home=home, debug=debug)
    assert driver.get("/").text == "old"
    file.write_text("new, and longer")
    os.utime(file, (1, 1))
    assert driver.get("/").text == ("new, and longer" if debug else "old")


# What goes wrong


def test_a_missing_template_is_a_crash_whose_log_names_it(home, log):
    app = Atila("templates")
    app.route("/")(lambda was: was.render("missing.j2"))
    got = Driver(app, home=home).get("/")
    assert (got.status, got.json["message"]) == (500, "internal server error")
    assert "TemplateNotFound" in log.text
    assert "missing.j2" in log.text
    assert str(home / "templates") in log.text


@pytest.mark.parametrize("name", ["../secret.j2", "a/../../secret.j2", "/../secret.j2", "\0"])
def test_templates_are_never_read_from_elsewhere(home, name, log):
    (home / "secret.j2").write_text("secret")
    app = Atila("templates")
    app.route("/")(lambda was: was.render(name))
    got = Driver(app, home=home).get("/")
    assert got.status == 500
    assert "secret" not in got.text


@pytest.mark.parametrize(
    ("text", "error"),
    [("{% if %}", "TemplateSyntaxError"), ("{{ 1 / 0 }}", "ZeroDivisionError")],
)
def test_errors_in_templates_are_crashes_with_their_line(home, text, error, log):
    assert rendering(home, f"first line\n{text}").status == 500
    assert error in log.text
    assert "page.j2" in log.text
    page = rendering(home, f"first line\n{text}", debug=True).text
    assert error in page
    assert "page.j2, line 2" in page


def test_an_error_with_a_status_may_come_out_of_a_template(home):
    def refuse():
        raise HTTPError("404 Not Found", "no book")

    got = rendering(home, "{{ refuse() }}", refuse=refuse)
    assert got.status == 404
    assert "no book" in got.text
