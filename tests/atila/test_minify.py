"""MINIFY_HTML: pages get smaller, and stay the same pages."""

from __future__ import annotations

import sys

import pytest
from driving import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import Atila
from atila.errors import ConfigError
from atila.results.minify import make_minifier, strip_lines


def answers(choice, result, **options):
    app = Atila("minify")
    app.config.MINIFY_HTML = choice

    @app.route("/")
    def handler(was):
        for name, value in options.items():
            was.response.set_header(name.replace("_", "-"), value)
        return result() if callable(result) else result

    return Driver(app).get("/")


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", ""),
        ("  a\n\t b\n\nc  ", "a\nb\n\nc  "),
        ("a  b", "a  b"),
        ("  <pre>\n  x\n</pre>  y\n  z", "<pre>\n  x\n</pre>  y\nz"),
        ("  <PRE class=a>\n  x\n</Pre >\n  z", "<PRE class=a>\n  x\n</Pre >\nz"),
        ("<textarea>\n  x</textarea>\n  <pre>\n  y", "<textarea>\n  x</textarea>\n<pre>\n  y"),
        ("<script>\n  `\n  x`</script>\n  a", "<script>\n  `\n  x`</script>\na"),
        ("  <prefix>\n  a", "<prefix>\na"),
        ("  <pre><style>\n  </pre>\n  a", "<pre><style>\n  </pre>\na"),
        ("  ü\r\n  한", "ü\r\n한"),
    ],
)
def test_indents_are_stripped_where_they_mean_nothing(page, expected):
    assert strip_lines(page) == expected
    assert answers("strip", page).text == expected


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(" \t\na<>/pre")))
def test_nothing_but_blanks_at_the_start_of_lines_is_lost(page):
    stripped = strip_lines(page)
    assert stripped.replace(" ", "").replace("\t", "") == page.replace(" ", "").replace("\t", "")
    assert stripped.count("\n") == page.count("\n")


def test_many_open_elements_take_no_longer_than_one():
    page = "<pre>\n  x" * 20_000
    assert strip_lines(page) == page


def test_minify_keeps_what_a_browser_shows():
    page = (
        "<!DOCTYPE html>\n<html>\n<head>\n  <style> a  { color : red } </style>\n</head>\n<body>\n"
        "  <!-- note -->\n  <p>one   two</p>\n  <pre>  a\n  b</pre>\n"
        "  <script> let a = `  x  `; </script>\n</body>\n</html>\n"
    )
    got = answers("minify", page).text
    assert len(got) < len(page)
    assert got.lower().startswith("<!doctype html><html><head>")
    assert got.endswith("</body></html>")
    assert "note" not in got
    assert "<p>one two</p>" in got
    assert "<pre>  a\n  b</pre>" in got
    assert "<script> let a = `  x  `; </script>" in got or "let a = `  x  `;" in got


@pytest.mark.parametrize("choice", ["strip", "minify"])
@pytest.mark.parametrize(
    ("result", "headers"),
    [
        ("  a\n  b", {"Content-Type": "text/plain"}),
        (b"  a\n  b", {}),
        (lambda: iter(["  a\n", "  b"]), {}),
    ],
)
def test_only_pages_that_are_one_text_get_smaller(choice, result, headers):
    assert answers(choice, result, **headers).text == "  a\n  b"


def test_what_extends_text_is_a_page_too():
    class Page(str):
        pass

    assert answers("strip", Page("  a")).text == "a"


@pytest.mark.parametrize("choice", [False, None, "", 0])
def test_off_costs_nothing(choice):
    assert make_minifier(choice) is None
    app = Atila("off")
    app.config.MINIFY_HTML = choice
    Driver(app)
    assert app.senders is Atila("other").senders


@pytest.mark.parametrize("choice", ["Strip", True, "yes", 1, ["strip"]])
def test_another_setting_is_a_mistake_that_is_told_at_the_start(choice):
    with pytest.raises(ConfigError, match=r"config\.MINIFY_HTML is .*'strip', 'minify' or False"):
        answers(choice, "x")


def test_a_missing_library_is_told_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "minify_html", None)
    with pytest.raises(ConfigError, match=r"pip install skitai\[minify\]"):
        answers("minify", "x")
