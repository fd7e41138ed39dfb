"""Caching: ages, entity tags, times of modification, and what they do to conditional requests."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone

import pytest
from driving import Driver, answer, returning

from atila import Atila
from skitai.wire.dates import parse_date
from skitai.wire.request import Request


def answer_to(make, version="1.1", method="GET", **headers):
    """The answer to a request of one route with conditions; underscores stand for hyphens."""
    lowered = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(method, "/", "/", "", version, lowered)
    return asyncio.run(returning(make)._exchange(request, None))


def after(set_up):
    """A handler that must not go on after a condition."""

    def make(was):
        set_up(was.response)
        return "content"

    return make


def in_seconds(value):
    return parse_date(value) - time.time()


@pytest.mark.parametrize("set_up", ["set_max_age", "set_cache"])
def test_the_age_is_said_in_the_version_of_the_client(set_up):
    make = after(lambda response: getattr(response, set_up)(60))
    got = answer_to(make)
    assert (got["Cache-Control"], got["Expires"]) == ("max-age=60", None)
    got = answer_to(make, version="1.0")
    assert got["Cache-Control"] is None
    assert in_seconds(got["Expires"]) == pytest.approx(60, abs=5)


@pytest.mark.parametrize(
    ("known", "age", "expected"),
    [
        ("private", 60, "private, max-age=60"),
        ("max-age=1, private", 0, "private, max-age=0"),
        ("Max-Age=1,, no-cache=x ", 1.9, "no-cache=x, max-age=1"),
    ],
)
def test_other_directives_for_caches_stay(known, age, expected):
    def make(was):
        was.response.set_header("Cache-Control", known)
        was.response.set_max_age(age)
        return "x"

    assert answer(make).all("Cache-Control") == [expected]


@pytest.mark.parametrize("age", [-1, -1.5])
def test_an_age_is_not_negative(age):
    def make(was):
        with pytest.raises(ValueError, match="max_age is -1"):
            was.response.set_max_age(age)
        return "x"

    assert answer(make).text == "x"


TAG = '"5d41402abc4b2a76b9719d911017c592"'  # of "hello"
DAY = 1700000000  # Tue, 14 Nov 2023 22:13:20 GMT
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER, LATER = "Mon, 13 Nov 2023 00:00:00 GMT", "Wed, 15 Nov 2023 00:00:00 GMT"


@pytest.mark.parametrize(
    ("identifier", "as_etag", "tag"),
    [
        ("hello", False, TAG),
        (b"hello", False, TAG),
        (5, False, '"e4da3b7fbbce2345d7772b0674a318d5"'),
        ("한\ud800", False, '"7442460721137da16139b58d79ddd46e"'),
        ("v1", True, '"v1"'),
        ('"v1"', True, '"v1"'),
        ('W/"v1"', True, 'W/"v1"'),
        (7, True, '"7"'),
    ],
)
def test_an_entity_tag_is_made_or_given(identifier, as_etag, tag):
    got = answer_to(after(lambda response: response.set_etag(identifier, as_etag=as_etag)))
    assert (got.status, got["ETag"], got["Cache-Control"]) == (200, tag, None)


@pytest.mark.parametrize("tag", ["a b", 'a"b', "a\r\nb", 'W/a"', "한", '"a', ""])
def test_what_is_no_entity_tag_is_refused(tag):
    def make(was):
        if tag:
            with pytest.raises(ValueError, match="can't be an entity tag"):
                was.response.set_etag(tag, as_etag=True)
        else:
            was.response.set_etag(tag, as_etag=True)
        return "x"

    assert answer(make)["ETag"] == (None if tag else '""')


@pytest.mark.parametrize(
    ("method", "conditions", "status"),
    [
        ("GET", {"if_none_match": TAG}, 304),
        ("HEAD", {"if_none_match": TAG}, 304),
        ("GET", {"if_none_match": f"W/{TAG}"}, 304),
        ("GET", {"if_none_match": f'"a", {TAG}'}, 304),
        ("GET", {"if_none_match": "*"}, 304),
        ("GET", {"if_none_match": '"other"'}, 200),
        ("POST", {"if_none_match": TAG}, 412),
        ("POST", {"if_none_match": "*"}, 412),
        ("GET", {"if_match": TAG}, 200),
        ("POST", {"if_match": TAG}, 200),
        ("POST", {"if_match": f'"a",{TAG}'}, 200),
        ("POST", {"if_match": "*"}, 200),
        ("POST", {"if_match": f"W/{TAG}"}, 412),
        ("POST", {"if_match": '"other"'}, 412),
        ("GET", {"if_match": '"other"', "if_none_match": TAG}, 412),
        ("GET", {"if_modified_since": LATER}, 200),
        ("GET", {}, 200),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_conditions_on_the_entity_tag(method, conditions, status, version):
    went_on = []

    def make(was):
        was.response.set_etag("hello", max_age=60)
        went_on.append(True)
        return "content"

    got = answer_to(make, version, method, **conditions)
    assert (got.status, bool(went_on)) == (status, status == 200)
    if status == 412:
        assert (got["ETag"], got["Cache-Control"], got["Expires"]) == (None, None, None)
        return
    assert got["ETag"] == TAG
    assert (got["Cache-Control"] is None) is (version == "1.0")
    assert (got["Expires"] is None) is (version == "1.1")
    if status == 304:
        assert (got.body, got["Content-Type"], got["Content-Length"]) == (b"", None, None)


@pytest.mark.parametrize(
    ("method", "conditions", "status"),
    [
        ("GET", {"if_modified_since": DATE}, 304),
        ("GET", {"if_modified_since": LATER}, 304),
        ("HEAD", {"if_modified_since": DATE}, 304),
        ("GET", {"if_modified_since": EARLIER}, 200),
        ("POST", {"if_modified_since": DATE}, 200),
        ("GET", {"if_modified_since": "yesterday"}, 200),
        ("POST", {"if_unmodified_since": DATE}, 200),
        ("POST", {"if_unmodified_since": EARLIER}, 412),
        ("GET", {"if_none_match": '"a"', "if_modified_since": DATE}, 200),
        ("POST", {"if_match": '"a"'}, 412),
    ],
)
@pytest.mark.parametrize(
    "mtime",
    [DAY, DAY + 0.9, datetime.fromtimestamp(DAY), datetime.fromtimestamp(DAY, timezone.utc)],
    ids=range(4),
)
def test_conditions_on_the_time_of_modification(method, conditions, status, mtime):
    make = after(lambda response: response.set_mtime(mtime, max_age=60))
    got = answer_to(make, method=method, **conditions)
    assert got.status == status
    if status != 412:
        assert (got["Last-Modified"], got["Cache-Control"]) == (DATE, "max-age=60")
        assert in_seconds(got["Expires"]) == pytest.approx(60, abs=5)


def test_a_modification_is_never_in_the_future():
    got = answer_to(after(lambda response: response.set_mtime(time.time() + 1000)))
    assert in_seconds(got["Last-Modified"]) <= 0
    assert got["Expires"] is None


@pytest.mark.parametrize("mtime", [float("nan"), float("inf") * -1, 1e300 * -1, -1e12])
def test_what_is_no_moment_is_refused(mtime):
    def make(was):
        with pytest.raises((ValueError, OverflowError)):
            was.response.set_mtime(mtime)
        return "x"

    assert answer(make)["Last-Modified"] is None


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"if_none_match": TAG, "if_modified_since": EARLIER}, 304),
        ({"if_none_match": '"a"', "if_modified_since": LATER}, 200),
        ({"if_modified_since": DATE}, 304),
        ({"if_match": TAG, "if_unmodified_since": EARLIER}, 200),
        ({"if_match": '"a"', "if_unmodified_since": LATER}, 412),
    ],
)
def test_the_entity_tag_decides_before_the_time(conditions, status):
    def make(was):
        was.response.set_etag_mtime("hello", DAY, 7, 60)
        return "content"

    assert answer_to(make, **conditions).status == status

    def one_by_one(was):
        was.response.set_etag("hello")
        was.response.set_mtime(DAY)
        return "content"

    assert answer_to(one_by_one, **conditions).status == status


def test_a_304_keeps_other_headers_and_has_no_content():
    def make(was):
        was.response.set_header("X-A", "1")
        was.response.set_header("Vary", "Cookie")
        was.response.set_header("Content-Type", "text/csv")
        was.response.set_etag("hello")
        return "content"

    got = answer_to(make, if_none_match=TAG)
    assert (got.status, got.reason, got.body) == (304, "Not Modified", b"")
    assert (got["ETag"], got["Vary"], got["Content-Type"]) == (TAG, "Cookie", None)


def test_a_condition_stops_coroutines_and_generators_too():
    async def waiting(was):
        was.response.set_etag("hello")
        return "content"

    def streaming(was):
        was.response.set_etag("hello")
        yield "content"

    for handler in (waiting, streaming):
        app = Atila("conditions")
        app.route("/")(handler)
        assert Driver(app).get("/", if_none_match='"a"').text == "content"
        got = Driver(app).get("/", if_none_match=TAG)
        assert (got.status, got.body, got["ETag"]) == (304, b"", TAG)
