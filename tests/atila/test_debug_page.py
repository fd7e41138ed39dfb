"""The page that --devel shows for a crash, above all for one inside of a template."""

from __future__ import annotations

import re

import pytest
from driving import HTML, Driver

from atila import Atila

FILES = {
    "base.j2": "base\n{% block main %}{% endblock %}\n",
    "page.j2": "{% extends 'base.j2' %}\n{% block main %}\nx\n{% include which %}\n{% endblock %}",
    "calls.j2": "one\ntwo\n{{ boom('<x>') }}\n",
    "undefined.j2": "one\n\n\n{{ nothing.at.all }}",
    "syntax.j2": "one\n{% for %}\n",
    "unknown.j2": "% of all orders\n",
    "missing.j2": "one\n{% include 'no.j2' %}\n",
    "macros.j2": "{% from 'parts.j2' import part %}{{ part(0) }}",
    "parts.j2": "{% macro part(n) %}\n\n{{ 1 // n }}{% endmacro %}",
    "mail.txt": "## kept\n{{ 1 // 0 }}",
}


def boom(text):
    raise KeyError(text)


@pytest.fixture
def driver(tmp_path):
    (tmp_path / "templates").mkdir()
    for name, text in FILES.items():
        (tmp_path / "templates" / name).write_text(text)
    app = Atila("debug")

    @app.route("/")
    def index(was, which, page="page.j2"):
        return was.render(page, which=which, boom=boom)

    @app.route("/plain")
    def plain(was):
        return boom("<x>")

    return Driver(app, home=tmp_path, debug=True)


def headings(page):
    return re.findall(r"<h2>(.*?) <span", page.text)


@pytest.mark.parametrize(
    ("which", "error", "template", "line", "source"),
    [
        ("calls.j2", "KeyError: &#x27;&lt;x&gt;&#x27;", "calls.j2", 3, "{{ boom(&#x27;&lt;x"),
        ("undefined.j2", "&#x27;nothing&#x27; is undefined", "undefined.j2", 4, "{{ nothing.at"),
        ("syntax.j2", "TemplateSyntaxError: Expected an expr", "syntax.j2", 2, "{% for %}"),
        ("unknown.j2", "unknown tag &#x27;of&#x27;", "unknown.j2", 1, "% of all orders"),
        ("missing.j2", "&#x27;no.j2&#x27; not found in search path", "missing.j2", 2, "no.j2"),
        ("macros.j2", "ZeroDivisionError", "parts.j2", 3, "{{ 1 // n }}"),
        ("mail.txt", "ZeroDivisionError", "mail.txt", 2, "{{ 1 // 0 }}"),
    ],
)
def test_the_line_of_the_template_comes_first(driver, which, error, template, line, source):
    page = driver.html(f"/?which={which}")
    assert (page.status, page["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert error in page.text.partition("<h2>")[0]
    assert headings(page)[0] == f"Template {template}"
    first = page.text.split("<h2>")[1]
    assert f"templates/{template}, line {line}</span>" in first
    assert re.search(rf'<span class="here">\s+{line}  .*{re.escape(source)}', first)


def test_who_included_the_template_follows(driver):
    shown = headings(driver.html("/?which=calls.j2"))
    assert shown[:2] == ["Template calls.j2", "boom"]
    assert shown.index("Template page.j2") < shown.index("Template base.j2")
    assert "index" in shown


def test_a_missing_template_is_told_with_the_directories(driver, tmp_path):
    page = driver.html("/?which=x&page=nothing.j2")
    assert f"&#x27;nothing.j2&#x27; not found in search path: &#x27;{tmp_path}" in page.text


def test_a_changed_template_is_shown_as_it_is_now(driver, tmp_path):
    assert "{{ boom(" in driver.html("/?which=calls.j2").text
    (tmp_path / "templates" / "calls.j2").write_text("{# new #}{{ boom('new') }}")
    page = driver.html("/?which=calls.j2")
    assert "calls.j2, line 1</span>" in page.text
    assert "{# new #}{{ boom(&#x27;new&#x27;) }}" in page.text


def test_other_crashes_begin_with_the_innermost_frame(driver):
    page = driver.request("GET", "/plain", {**HTML, "X-A": "<script>"})
    assert headings(page)[:2] == ["boom", "plain"]
    assert "Template" not in page.text
    assert "<script>" not in page.text


def test_programs_get_the_lines_of_templates_too(driver):
    lines = driver.get("/?which=calls.j2").json["traceback"]
    assert any('calls.j2", line 3, in top-level template code' in line for line in lines)
