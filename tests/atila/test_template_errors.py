"""The page that --devel shows for a crash inside of a template."""

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
    found = re.findall(r"<summary>((?:Template )?<b>.*?</b>)", page.text)
    return [re.sub("<.*?>", "", each) for each in found]


@pytest.mark.parametrize(
    ("which", "error", "template", "line", "source"),
    [
        ("calls.j2", "KeyError: &#39;&lt;x&gt;&#39;", "calls.j2", 3, "{{ boom(&#39;&lt;x"),
        ("undefined.j2", "&#39;nothing&#39; is undefined", "undefined.j2", 4, "{{ nothing.at"),
        ("syntax.j2", "TemplateSyntaxError: Expected an expr", "syntax.j2", 2, "{% for %}"),
        ("unknown.j2", "unknown tag &#39;of&#39;", "unknown.j2", 1, "% of all orders"),
        ("missing.j2", "&#39;no.j2&#39; not found in search path", "missing.j2", 2, "no.j2"),
        ("macros.j2", "ZeroDivisionError", "parts.j2", 3, "{{ 1 // n }}"),
        ("mail.txt", "ZeroDivisionError", "mail.txt", 2, "{{ 1 // 0 }}"),
    ],
)
def test_the_line_of_the_template_comes_first(driver, which, error, template, line, source):
    page = driver.html(f"/?which={which}")
    assert (page.status, page["Content-Type"]) == (500, "text/html; charset=utf-8")
    name, message = re.search(
        'class="name">(.*?)</div><div class="message">(.*?)</div>', page.text, re.DOTALL
    ).groups()
    assert error in f"{name}: {message}"
    assert headings(page)[0].startswith(f"Template {template}")
    first = page.text.split("</details>")[0]
    assert f"templates/{template}, line {line}</span>" in first
    assert re.search(rf'<span class="here"><i>{line}</i>.*{re.escape(source)}', first)


def test_who_included_the_template_follows(driver):
    shown = headings(driver.html("/?which=calls.j2"))
    assert shown[:2] == ["Template calls.j2", "boom"]
    assert shown.index("Template page.j2 block main") < shown.index("Template base.j2")
    assert any(name.endswith("index") for name in shown)


def test_the_way_through_the_templates_is_shown(driver):
    page = driver.html("/?which=calls.j2")
    way = re.search('class="tracks">(.*?)</ol>', page.text, re.DOTALL)[1]
    steps = [re.sub("<.*?>", "", step) for step in re.findall("<li>(.*?)</li>", way)]
    assert steps == ["page.j2:1", "base.j2:2", "page.j2 block main:4", "calls.j2:3"]


def test_a_frame_of_a_template_has_its_variables(driver):
    first = driver.html("/?which=calls.j2").text.split("</details>")[0]
    assert "<tr><td>which</td><td>&#39;calls.j2&#39;</td></tr>" in first
    assert "lipsum" not in first


def test_a_missing_template_is_told_with_the_directories(driver, tmp_path):
    page = driver.html("/?which=x&page=pages.j2")
    assert f"&#39;pages.j2&#39; not found in search path: &#39;{tmp_path}" in page.text
    assert f"Looked for in {tmp_path}/templates. Similar: page.j2, " in page.text


def test_a_changed_template_is_shown_as_it_is_now(driver, tmp_path):
    assert "{{ boom(" in driver.html("/?which=calls.j2").text
    (tmp_path / "templates" / "calls.j2").write_text("{# new #}{{ boom('new') }}")
    page = driver.html("/?which=calls.j2")
    assert "calls.j2, line 1</span>" in page.text
    assert "{# new #}{{ boom(&#39;new&#39;) }}" in page.text


def test_other_crashes_begin_with_the_innermost_frame(driver):
    page = driver.request("GET", "/plain", {**HTML, "X-A": "<script>"})
    assert headings(page)[:2] == ["boom", "plain"]
    assert not any(name.startswith("Template") for name in headings(page))
    assert "<script>" not in page.text


def test_programs_get_the_lines_of_templates_too(driver):
    lines = driver.get("/?which=calls.j2").json["traceback"]
    assert any('calls.j2", line 3, in top-level template code' in line for line in lines)
