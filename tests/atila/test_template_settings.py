"""How an app customises its templates: functions, filters, extensions, delimiters, the engine."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import jinja2
import pytest
from driving import Driver

from atila import Atila
from atila.errors import ConfigError


class Site:
    """An app that renders one template."""

    def __init__(self, home, text, name="page.html", **files):
        self.home = home
        self.name = name
        self.app = Atila("settings")
        self.names = {}
        for file, content in {name: text, **files}.items():
            path = home / "templates" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        self.app.route("/")(lambda was, q="none": was.render(self.name, **self.names))

    def get(self, target="/?q=1", **options):
        return Driver(self.app, home=self.home, **options).get(target)

    @property
    def text(self):
        got = self.get()
        assert got.status == 200
        return got.text


# Functions and filters


def test_a_function_is_called_with_or_without_was(tmp_path):
    site = Site(tmp_path, "{{ a() }} {{ b(2) }} {{ c(3, k=4) }} {{ d() }} {{ e(5) }} {{ f }}")

    @site.app.template_global("a")
    def no_arguments():
        return "a"

    @site.app.template_global("b")
    def an_argument(value):
        return f"b{value}"

    @site.app.template_global("c")
    def with_was(was, value, k):
        return f"{was.request.args['q']}{value}{k}"

    @site.app.template_global("d")
    async def never_called(): ...

    @site.app.template_global("d")
    def with_context(context):
        return context.request.method

    @site.app.template_global("e")
    @jinja2.pass_context
    def with_names_of_the_template(context, value):
        return f"{context['f']}{value}"

    site.names = {"f": "F"}
    assert site.text == "a b2 134 GET F5 F"
    assert no_arguments() == "a"


def test_methods_and_builtins_are_functions_too(tmp_path):
    class Shop:
        def price(self, was, value):
            return f"{was.app.name}{value}"

        def __call__(self, value):
            return value * 2

    site = Site(tmp_path, "{{ price(1) }} {{ twice(2) }} {{ most(3, 4) }} {{ text(5) }}")
    site.app.template_global("price")(Shop().price)
    site.app.template_global("twice")(Shop())
    site.app.template_global("most")(max)
    site.app.template_global("text")(str)
    assert site.text == "settings1 4 4 5"


def test_filters_are_plain_functions(tmp_path):
    site = Site(tmp_path, "{{ 'Hello' | reverse }} {{ 3 | repeat('ab') }}")
    site.app.template_filter("reverse")(lambda s: s[::-1])
    site.app.template_filter("repeat")(lambda n, text: text * n)
    assert site.text == "olleH ababab"


def test_functions_and_filters_may_be_declared_by_modules_and_replaced(tmp_path):
    site = Site(tmp_path, "{{ a() }}{{ 1 | b }}")

    def setup(app, mntopt):
        app.template_global("a")(lambda: "old")
        app.template_global("a")(lambda: "new")
        app.template_filter("b")(lambda value: "filtered")

    site.app.mount("", SimpleNamespace(__name__="module", __setup__=setup, __file__="module.py"))
    assert site.text == "newfiltered"


def test_what_functions_return_is_escaped(tmp_path):
    site = Site(tmp_path, "{{ a() }}{{ 1 | b }}")
    site.app.template_global("a")(lambda: "<")
    site.app.template_filter("b")(lambda value: ">")
    assert site.text == "&lt;&gt;"


def test_macros_of_imported_templates_have_was_with_context_only(tmp_path, log):
    parts = "{% macro m() %}{{ f() }}{% endmacro %}"
    page = "{% import 'parts.html' as p with context %}{{ p.m() }}"
    site = Site(tmp_path, page, **{"parts.html": parts})
    site.app.template_global("f")(lambda was: was.request.method)
    assert site.text == "GET"
    site = Site(tmp_path, page.replace(" with context", ""), **{"parts.html": parts})
    site.app.template_global("f")(lambda was: was.request.method)
    assert site.get().status == 500
    assert "f() needs was, which is not here: import this template 'with context'" in log.text


@pytest.mark.parametrize("kind", ["template_global", "template_filter"])
@pytest.mark.parametrize("name", ["", "a b", "a-b", "1a", None, 5, len])
def test_a_name_must_be_one_that_a_template_can_write(kind, name):
    with pytest.raises(ConfigError, match=rf"{kind}\(.*\): give a name"):
        getattr(Atila("x"), kind)(name)(len)


@pytest.mark.parametrize("kind", ["template_global", "template_filter"])
def test_only_functions_can_be_declared(kind):
    with pytest.raises(ConfigError, match="must decorate a function, not 'text'"):
        getattr(Atila("x"), kind)("name")("text")


@pytest.mark.parametrize("name", ["was", "app", "request", "response", "context"])
def test_functions_cannot_take_the_reserved_names(name):
    with pytest.raises(ConfigError, match=f"{name} always means the same in a template"):
        Atila("x").template_global(name)(len)


# app.jinja_env


def test_the_environment_can_be_set_up_before_the_app_is_mounted(tmp_path):
    site = Site(tmp_path, "{{ version }}{{ 3 | double }}{% if 3 is odd_one %}!{% endif %}")
    env = site.app.jinja_env
    env.globals["version"] = "v1"
    env.filters["double"] = lambda value: value * 2
    env.tests["odd_one"] = lambda value: value % 2
    assert site.text == "v16!"
    assert site.app.jinja_env is env


def test_apps_have_environments_of_their_own(tmp_path):
    first, second = Atila("first"), Atila("second")
    first.add_jinja_ext("jinja2.ext.i18n")
    first.template_global("a")(len)
    first.jinja_overlay("[[", "]]")
    assert "a" not in second.jinja_env.globals
    assert second.jinja_env.variable_start_string == "{{"
    assert "jinja2.ext.InternationalizationExtension" not in second.jinja_env.extensions


def test_loaders_and_undefined_of_the_app_are_used(tmp_path, log):
    site = Site(tmp_path, "{{ missing }}")
    site.app.jinja_overlay(undefined=jinja2.StrictUndefined)
    assert site.get().status == 500
    assert "'missing' is undefined" in log.text
    site = Site(tmp_path, "", name="memory.html")
    site.app.jinja_overlay(loader=jinja2.DictLoader({"memory.html": "from memory {{ q }}"}))
    site.names = {"q": "<"}
    assert site.text == "from memory &lt;"


# Extensions


def test_extensions_can_be_added(tmp_path):
    site = Site(tmp_path, "{% trans %}Hello{% endtrans %}")
    site.app.add_jinja_ext("jinja2.ext.i18n")
    site.app.jinja_env.install_gettext_callables(
        lambda text: text.upper(), lambda one, many, n: one, newstyle=True
    )
    assert site.text == "HELLO"


@pytest.mark.parametrize("name", ["no.such.module", "jinja2.ext.missing", "nothing"])
def test_an_extension_that_does_not_exist_is_told(name):
    with pytest.raises(ConfigError, match=r"add_jinja_ext\('.*'\): there is no such extension"):
        Atila("x").add_jinja_ext(name)


# Lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("% for i in [1, 2]\n{{ i }}\n% endfor\nend", "1\n2\nend"),
        ("  % if true:\nyes\n  % endif\n", "yes\n"),
        ("a\n## note\nb", "a\n\nb"),
        ("a\n  ## note {{ 1 / 0 }} {% x\nb", "a\n\nb"),
        ("## note", ""),
        ("a ## b", "a ## b"),
        ("'###-##-####'", "'###-##-####'"),
        ("<a href='##'>50 % of</a>", "<a href='##'>50 % of</a>"),
        ("{% raw %}\n## title\n{{ x }}\n{% endraw %}", "\n## title\n{{ x }}\n"),
        ("{#\n## {{ 1 / 0 }}\n## #}b", "b"),
        ("{% set x = [\n1]\n%}{{ x[0] }}", "1"),
        ("@media { a { width: 50% } }\n.b {\n}", "@media { a { width: 50% } }\n.b {\n}"),
        ("a\r\n## b\r\nc", "a\n\nc"),
    ],
)
def test_lines_can_be_statements_and_comments(tmp_path, text, expected):
    assert Site(tmp_path, text).text == expected


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.csv.j2", "a.json"])
def test_lines_of_plain_text_are_text(tmp_path, name):
    text = "## Title\n% note\n{% if true %}{{ 1 }}{% endif %}\n"
    assert Site(tmp_path, text, name=name).text == "## Title\n% note\n1"


def test_plain_text_and_pages_include_each_other(tmp_path):
    site = Site(
        tmp_path,
        "% if true\n<{% include ['no.md', 'a.md'] %}>\n% endif\n",
        **{"a.md": "## {{ x }}{% include 'b.html' %}", "b.html": "## gone\n[{{ x }}]"},
    )
    site.names = {"x": "&"}
    assert site.text == "<## &\n[&amp;]>\n"


def test_an_error_keeps_its_line_below_comments(tmp_path):
    site = Site(tmp_path, "## one\n## two\n\n{{ 1 / 0 }}")
    page = Driver(site.app, home=tmp_path, debug=True).html("/")
    assert "Template <b>page.html" in page.text
    assert "page.html, line 4" in page.text


# Delimiters


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (0, "<% if true %>${ x } {{ x }}<%endif%><!--- note --->"),
        (1, "{% if true %}${ x } {{ x }}{% endif %}{# note #}"),
        (5, "{% if true %}{: x :} {{ x }}{% endif %}{# note #}"),
    ],
)
def test_sets_of_delimiters_leave_braces_to_scripts(tmp_path, option, text):
    site = Site(tmp_path, f"{text}\n% if x\n{text}\n% endif\n## gone")
    site.app.skito_jinja(option)
    site.names = {"x": "<"}
    assert site.text == "&lt; {{ x }}&lt; {{ x }}"  # a line break behind a comment is removed


def test_delimiters_can_be_chosen(tmp_path):
    site = Site(tmp_path, "[[ x ]]{{ x }}\n@ if x\n// gone\n% ##\n@ endif\n")
    site.app.jinja_overlay("[[", "]]", line_statement_prefix="@", line_comment_prefix="//")
    site.names = {"x": 1}
    assert site.text == "1{{ x }}\n% ##\n"
    site.app.jinja_overlay(line_statement_prefix=None, line_comment_prefix=None)
    assert site.text == "[[ x ]]1\n@ if x\n// gone\n% ##\n@ endif"


def test_an_overlay_keeps_what_was_declared_before_and_after(tmp_path):
    site = Site(tmp_path, "[[ a() ]][[ b() ]][[ 1 | c ]]")
    before = site.app.jinja_env
    site.app.template_global("a")(lambda: "a")
    site.app.jinja_overlay("[[", "]]", trim_blocks=False)
    site.app.template_global("b")(lambda: "b")
    before.filters["c"] = lambda value: "c"
    assert site.text == "abc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"variable_start_string": "{%"}, "must be different"),
        ({"enable_async": True}, "enable_async can't be set"),
    ],
)
def test_settings_that_cannot_be_are_told(options, message):
    with pytest.raises(ConfigError, match=f"jinja_overlay: .*{message}"):
        Atila("x").jinja_overlay(**options)


@pytest.mark.parametrize("option", [2, "0", None])
def test_a_set_of_delimiters_that_does_not_exist_is_told(option):
    with pytest.raises(ConfigError, match=r"skito_jinja\(.*\): give one of \[0, 1, 5\]"):
        Atila("x").skito_jinja(option)


# Rows


class Thing:
    a = "attribute"

    def __getitem__(self, key):
        return f"item {key}"


@pytest.mark.parametrize(
    ("row", "text", "expected"),
    [
        ({"a": 1}, "{{ row.a }}{{ row['a'] }}", "11"),
        ({"a": None}, "{{ row.a }}", "None"),
        ({}, "{{ row.a }}.{{ row.a is defined }}", ".False"),
        (
            {"items": 1},
            "{{ row['items'] }}{% for k, v in row.items() %}{{ k }}{% endfor %}",
            "1items",
        ),
        ({"get": 1}, "{{ row.get('get') }}", "1"),
        (Thing(), "{{ row.a }} {{ row.b }} {{ row['a'] }}", "attribute item b item a"),
        (SimpleNamespace(a=1), "{{ row.a }}{{ row.b }}{{ row['a'] }}", "11"),
        ((1, 2), "{{ row.0 }}{{ row[1] }}{{ row.x }}", "12"),
        (None, "{{ row.x }}", ""),
    ],
)
def test_attributes_and_items_are_found_as_by_jinja(tmp_path, row, text, expected):
    site = Site(tmp_path, text)
    site.names = {"row": row}
    assert site.text == expected
    assert jinja2.Environment(autoescape=True).from_string(text).render(row=row) == expected


def test_a_missing_key_of_a_missing_key_is_an_error_that_names_it(tmp_path, log):
    site = Site(tmp_path, "{{ row.a.b }}")
    site.names = {"row": {}}
    assert site.get().status == 500
    assert "'dict object' has no attribute 'a'" in log.text


# Chameleon


PAGE = '<p tal:repeat="n range(2)">${n} ${context.x} ${x} ${was.app.name} ${request.method}</p>'


@pytest.mark.parametrize("name", ["page.pt", "deep/page.ptal"])
def test_page_templates_are_rendered_by_chameleon(tmp_path, name):
    site = Site(tmp_path, PAGE, name=name)
    site.names = {"x": "<"}
    expected = [f"<p>{n} &lt; &lt; settings GET</p>" for n in range(2)]
    assert site.text.splitlines() == expected


@pytest.mark.parametrize(
    "name", ["missing.pt", "../secret.pt", "/../secret.pt", "os:x.pt", "\0.pt"]
)
def test_page_templates_are_never_read_from_elsewhere(tmp_path, name, log):
    (tmp_path / "secret.pt").write_text("<p>secret</p>")
    site = Site(tmp_path, "x")
    site.name = name
    got = site.get()
    assert got.status == 500
    assert "TemplateNotFound" in log.text


def test_a_full_path_is_below_the_directories(tmp_path, log):
    (tmp_path / "secret.pt").write_text("<p>secret</p>")
    site = Site(tmp_path, "x")
    site.name = str(tmp_path / "secret.pt")
    assert site.get().status == 500


def test_without_chameleon_its_templates_say_what_to_install(tmp_path, monkeypatch, log):
    monkeypatch.setitem(sys.modules, "chameleon", None)
    assert Site(tmp_path, PAGE, name="page.pt").get().status == 500
    assert "needs the package Chameleon: pip install skitai[chameleon]" in log.text
