"""Quality values, content codings and media types."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.negotiation import choose_encoding, parse_qualities, prefers


@pytest.mark.parametrize(
    ("value", "qualities"),
    [
        ("", []),
        ("gzip", [("gzip", 1.0)]),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", [("gzip", 1.0), ("identity", 0.5), ("*", 0.0)]),
        ("da, en-GB;q=0.8, en;Q=0.7", [("da", 1.0), ("en-gb", 0.8), ("en", 0.7)]),
        ("a ; q = 0.25", [("a", 0.25)]),
        ("a;q=1., b;q=0., c;q=.2, d;q=0.12345", [("a", 1), ("b", 0), ("c", 0.2), ("d", 0.12345)]),
        ("text/html;Level=1;q=0.4", [("text/html;level=1", 0.4)]),
        ("text/html; q=0.4;ext=1", [("text/html", 0.4)]),
        ('a/b;p="x,y;q=0.1";q=0.3, c/d', [('a/b;p="x,y;q=0.1"', 0.3), ("c/d", 1.0)]),
        ('a/b;p="open, c/d', [('a/b;p="open, c/d', 1.0)]),
        (",, ,a,", [("a", 1.0)]),
        (";q=1, a;;q=0.5", [("a", 0.5)]),
        # qualities that can't be read
        ("a;q=2, b;q=-1, c;q=x, d;q=, e;q=1.1, f;q=nan, g;q=1e0, h", [("h", 1.0)]),
    ],
)
def test_qualities_are_read(value: str, qualities: list[tuple[str, float]]) -> None:
    assert parse_qualities(value) == qualities


def test_endless_lists_are_cut() -> None:
    assert len(parse_qualities("a," * 30000)) == 64
    assert len(parse_qualities('a;b=",",' * 30000)) == 64


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", None),
        ("identity", None),
        ("deflate", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("compress, gzip", "gzip"),
        ("compress;q=0.5, gzip;q=1.0", "gzip"),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("gzip;q=0.5, br;q=0.5", "br"),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *", "gzip"),
        ("br;q=0, gzip;q=0, *", None),
        ("gzip;q=0", None),
        ("gzip;q=0.001", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity, gzip", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0", None),
        ("gzip;q=abc", None),
        ("gzipx, xgzip", None),
    ],
)
def test_content_codings_are_chosen(accept: str, chosen: str | None) -> None:
    assert choose_encoding(accept, ("gzip", "br")) == chosen
    assert choose_encoding(accept, ("br", "gzip")) == chosen


def test_only_available_codings_are_chosen() -> None:
    assert choose_encoding("br, gzip;q=0.1", ("gzip",)) == "gzip"
    assert choose_encoding("br", ()) is None
    assert choose_encoding("homemade", ("homemade",)) == "homemade"
    assert choose_encoding("homemade, gzip", ("homemade", "gzip")) == "gzip"


def test_long_headers_are_answered_without_being_kept() -> None:
    assert choose_encoding("deflate, " * 60 + "gzip", ("gzip",)) == "gzip"
    assert prefers("text/plain, " * 60 + "text/html", ("text/html",)) == "text/html"


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
RFC_EXAMPLE = (
    "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, "
    "text/plain;format=fixed;q=0.4, */*;q=0.5"
)


@pytest.mark.parametrize(
    ("accept", "candidates", "chosen"),
    [
        ("", ("application/json", "text/html"), "application/json"),
        ("", (), None),
        ("*/*", ("application/json", "text/html"), "application/json"),
        (BROWSER, ("application/json", "text/html"), "text/html"),
        ("application/json", ("text/html", "application/json"), "application/json"),
        ("text/*", ("application/json", "text/html"), "text/html"),
        ("text/*;q=0.5, application/json", ("text/html", "application/json"), "application/json"),
        ("TEXT/HTML", ("text/html",), "text/html"),
        ("image/png", ("text/html", "application/json"), None),
        ("text/html;q=0, */*", ("text/html", "application/json"), "application/json"),
        ("text/html;q=0, text/*", ("text/html", "text/plain"), "text/plain"),
        ("*/*;q=0", ("text/html",), None),
        ("text/html;q=0.5, application/json;q=0.5", ("text/html", "application/json"), "text/html"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", ("a/b", "text/html"), "text/html"),
        ("text/html;level=1", ("text/html",), None),
        ("textual/html", ("text/html",), None),
        ("text/htm*", ("text/html",), None),
        (RFC_EXAMPLE, ("text/html", "image/jpeg"), "image/jpeg"),
        (RFC_EXAMPLE, ("image/jpeg", "text/plain"), "text/plain"),
        (RFC_EXAMPLE, ("text/plain", "text/plain; format=flowed"), "text/plain; format=flowed"),
        (RFC_EXAMPLE, ("text/plain; format=fixed", "image/jpeg"), "image/jpeg"),
    ],
)
def test_media_types_are_chosen(accept: str, candidates: tuple[str, ...], chosen: str) -> None:
    assert prefers(accept, candidates) == chosen


@given(st.text('gzipbr*;q=.01,"\\ /x', max_size=80))
@settings(deadline=None)
def test_hostile_lists_are_answered(value: str) -> None:
    assert all(0.0 <= quality <= 1.0 and name for name, quality in parse_qualities(value))
    assert choose_encoding(value, ("br", "gzip")) in ("br", "gzip", None)
    assert prefers(value, ("text/html", "a/b")) in ("text/html", "a/b", None)
