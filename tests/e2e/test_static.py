"""What static files are answered with: headers, conditions, ranges, compression."""

from __future__ import annotations

import email
import gzip
import os

import pytest
from live_service import eventually
from static_project import FILES, LARGE, SMALL, TEXT, fetch

pytestmark = pytest.mark.e2e


@pytest.fixture(params=[("small.bin", SMALL), ("large.bin", LARGE)], ids=["small", "large"])
def stored(request):
    """Target and content of a file that is answered from memory, and of one from the disk."""
    name, content = request.param
    return f"/static/{name}", content


# Headers and conditions


def test_a_file_comes_with_all_that_caches_need(site, stored):
    target, content = stored
    response = fetch(site, target)
    assert (response.status, response.content) == (200, content)
    assert response.getheader("Content-Length") == str(len(content))
    assert response.getheader("Content-Type") == "application/octet-stream"
    assert response.getheader("Accept-Ranges") == "bytes"
    assert response.getheader("ETag").startswith('"')
    assert response.getheader("Last-Modified").endswith(" GMT")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/lib.js", "text/javascript; charset=utf-8"),
        ("/static/folder/", "text/html; charset=utf-8"),
        ("/static/huge.bin", "application/octet-stream"),
        ("/static/empty.txt", "text/plain; charset=utf-8"),
        ("/robots.txt", "text/plain; charset=utf-8"),
    ],
)
def test_the_suffix_decides_the_type(site, target, kind):
    response = fetch(site, target, "HEAD")
    assert (response.status, response.getheader("Content-Type")) == (200, kind)


def test_head_is_get_without_the_body(site, stored):
    got, asked = fetch(site, stored[0]), fetch(site, stored[0], "HEAD")
    assert (asked.status, asked.content) == (200, b"")
    assert dict(asked.getheaders()) == {**dict(got.getheaders()), "Date": asked.getheader("Date")}


def test_a_client_that_has_the_file_gets_304(site, stored):
    target, content = stored
    first = fetch(site, target)
    etag, date = first.getheader("ETag"), first.getheader("Last-Modified")
    for headers in (
        {"If_None_Match": etag},
        {"If_None_Match": f'"other", W/{etag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": date},
        {"If_None_Match": etag, "If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_None_Match": etag, "Range": "bytes=0-1"},
    ):
        for method in ("GET", "HEAD"):
            response = fetch(site, target, method, **headers)
            assert (response.status, response.content) == (304, b""), headers
            assert response.getheader("ETag") == etag
            assert response.getheader("Content-Type") is None
    for headers in (
        {"If_None_Match": '"other"'},
        {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_None_Match": '"other"', "If_Modified_Since": date},
        {"If_Modified_Since": "some day"},
    ):
        assert fetch(site, target, **headers).content == content, headers


def test_a_client_that_insists_on_another_version_gets_412(site, stored):
    target, content = stored
    first = fetch(site, target)
    etag, date = first.getheader("ETag"), first.getheader("Last-Modified")
    for headers in (
        {"If_Match": '"other"'},
        {"If_Match": f"W/{etag}"},
        {"If_Unmodified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        assert fetch(site, target, **headers).status == 412, headers
    for headers in ({"If_Match": etag}, {"If_Match": "*"}, {"If_Unmodified_Since": date}):
        assert fetch(site, target, **headers).content == content, headers


# Ranges


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-10", 10, 11),
        ("bytes=90-", 90, None),
        ("bytes=-7", -7, None),
        ("bytes=50-99999999", 50, None),
        ("bytes=-99999999", 0, None),
        ("Bytes=0-0", 0, 1),
    ],
)
def test_one_range(site, stored, wanted, start, stop):
    target, content = stored
    response = fetch(site, target, Range=wanted)
    places = range(len(content))[start:stop]
    assert (response.status, response.content) == (206, content[start:stop])
    assert response.getheader("Content-Range") == f"bytes {places[0]}-{places[-1]}/{len(content)}"
    assert response.getheader("Content-Length") == str(len(places))
    assert response.getheader("ETag") == fetch(site, target).getheader("ETag")


def test_several_ranges_come_as_multipart(site, stored):
    target, content = stored
    response = fetch(site, target, Range="bytes=0-1, 10-14,-3")
    kind = response.getheader("Content-Type")
    assert response.status == 206
    assert kind.startswith("multipart/byteranges; boundary=")
    assert response.getheader("Content-Length") == str(len(response.content))
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + response.content).get_payload()
    size = len(content)
    assert [(part["Content-Range"], part.get_payload(decode=True)) for part in parts] == [
        (f"bytes 0-1/{size}", content[:2]),
        (f"bytes 10-14/{size}", content[10:15]),
        (f"bytes {size - 3}-{size - 1}/{size}", content[-3:]),
    ]
    assert {part["Content-Type"] for part in parts} == {"application/octet-stream"}


def test_a_range_behind_the_end_is_416(site, stored):
    target, content = stored
    for wanted in ("bytes=999999999-", "bytes=-0", "bytes=5-4", "bytes=a-b"):
        response = fetch(site, target, Range=wanted)
        assert response.status == 416, wanted
        assert response.getheader("Content-Range") == f"bytes */{len(content)}"


def test_ranges_that_are_not_understood_are_ignored(site, stored):
    target, content = stored
    many = ",".join(f"{at}-{at}" for at in range(0, 80, 2))
    for wanted in ("lines=1-2", "bytes", f"bytes={many}"):
        response = fetch(site, target, Range=wanted)
        assert (response.status, response.content) == (200, content), wanted
    response = fetch(site, target, "HEAD", Range="bytes=0-1")
    assert response.status == 200


def test_if_range_gives_the_part_only_of_the_same_version(site, stored):
    target, content = stored
    first = fetch(site, target)
    etag, date = first.getheader("ETag"), first.getheader("Last-Modified")
    for condition in ('"other"', f"W/{etag}", "Thu, 01 Jan 1970 00:00:00 GMT"):
        response = fetch(site, target, Range="bytes=0-4", If_Range=condition)
        assert (response.status, response.content) == (200, content), condition
    response = fetch(site, target, Range="bytes=0-4", If_Range=etag)
    assert (response.status, response.content) == (206, content[:5])
    long_ago = 1_000_000_000
    os.utime(site.folder / "public" / target.rpartition("/")[2], (long_ago, long_ago))
    date = eventually(
        lambda: (found := fetch(site, target, "HEAD").getheader("Last-Modified")) != date and found,
        "the new date",
    )
    response = fetch(site, target, Range="bytes=0-4", If_Range=date)
    assert (response.status, response.content) == (206, content[:5])


def test_an_empty_file(site):
    response = fetch(site, "/static/empty.txt")
    assert (response.status, response.content) == (200, b"")
    assert response.getheader("Content-Length") == "0"
    assert fetch(site, "/static/empty.txt", Range="bytes=0-").status == 416


# Compression


def test_precompressed_files_are_preferred(site):
    plain = FILES["public/lib.js"].encode()
    answers = {}
    for accepted, coding, content in [
        ("", None, plain),
        ("identity", None, plain),
        ("deflate", None, plain),
        ("gzip", "gzip", b"gzip bytes"),
        ("br", "br", b"brotli bytes"),
        ("gzip, deflate, br", "br", b"brotli bytes"),
        ("br;q=0, gzip", "gzip", b"gzip bytes"),
        ("gzip;q=0, br;q=0", None, plain),
        ("*", "br", b"brotli bytes"),
    ]:
        response = fetch(site, "/static/lib.js", Accept_Encoding=accepted)
        assert (response.status, response.content) == (200, content), accepted
        assert response.getheader("Content-Encoding") == coding, accepted
        assert response.getheader("Vary") == "Accept-Encoding"
        assert response.getheader("Content-Type") == "text/javascript; charset=utf-8"
        assert response.getheader("Content-Length") == str(len(content))
        answers.setdefault(coding, set()).add(response.getheader("ETag"))
    assert [len(etags) for etags in answers.values()] == [1, 1, 1]
    assert len(set.union(*answers.values())) == 3


def test_conditions_and_ranges_hold_for_the_precompressed_form(site):
    first = fetch(site, "/static/lib.js", Accept_Encoding="gzip")
    etag = first.getheader("ETag")
    again = fetch(site, "/static/lib.js", Accept_Encoding="gzip", If_None_Match=etag)
    assert (again.status, again.getheader("Vary")) == (304, "Accept-Encoding")
    assert fetch(site, "/static/lib.js", If_None_Match=etag).status == 200
    part = fetch(site, "/static/lib.js", Accept_Encoding="gzip", Range="bytes=0-3")
    assert (part.status, part.content) == (206, b"gzip")
    assert part.getheader("Content-Encoding") == "gzip"


def test_a_compressed_file_can_be_asked_for_itself(site):
    response = fetch(site, "/static/lib.js.gz", Accept_Encoding="gzip")
    assert response.content == b"gzip bytes"
    assert response.getheader("Content-Type") == "application/gzip"
    assert response.getheader("Content-Encoding") is None


def test_text_is_compressed_for_those_who_accept_it(site):
    packed = fetch(site, "/static/text.txt", Accept_Encoding="gzip")
    assert packed.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(packed.content) == TEXT
    assert len(packed.content) < len(TEXT) / 10
    plain = fetch(site, "/static/text.txt")
    assert plain.content == TEXT
    assert plain.getheader("Content-Encoding") is None
    for response in (packed, plain):
        assert response.getheader("Vary") == "Accept-Encoding"
    # Other bytes, so another or a weak tag; both are good for a 304.
    assert packed.getheader("ETag") == f"W/{plain.getheader('ETag')}"
    for etag in (packed.getheader("ETag"), plain.getheader("ETag")):
        again = fetch(site, "/static/text.txt", Accept_Encoding="gzip", If_None_Match=etag)
        assert (again.status, again.getheader("Vary")) == (304, "Accept-Encoding")
    part = fetch(site, "/static/text.txt", Accept_Encoding="gzip", Range="bytes=0-2")
    assert (part.status, part.content) == (206, b"All")


def test_bytes_are_not_compressed(site):
    response = fetch(site, "/static/large.bin", Accept_Encoding="gzip")
    assert (response.content, response.getheader("Content-Encoding")) == (LARGE, None)
