"""URLs of upstreams, the backends that are kept for them, and headers that proxies pass on."""

from __future__ import annotations

import pytest

from skitai.upstream.http.proxy_headers import request_headers, response_headers
from skitai.upstream.http.url import parse_url


@pytest.mark.parametrize(
    ("url", "name", "target"),
    [
        ("http://a", "a:80", "/"),
        ("http://a/", "a:80", "/"),
        ("HTTPS://A.example:8443/b/c?d=e&f#g", "a.example:8443", "/b/c?d=e&f"),
        ("https://a?b", "a:443", "/?b"),
        ("http://[::1]:81/x", "[::1]:81", "/x"),
        ("http://a/é b?ü=%20", "a:80", "/%C3%A9%20b?%C3%BC=%20"),
        ("http://u:p@a/", "a:80", "/"),
    ],
)
def test_urls(url, name, target):
    parsed = parse_url(url)
    assert (parsed.member.name, parsed.target) == (name, target)
    assert parsed.member.tls is url.lower().startswith("https")


def test_credentials_in_urls():
    member = parse_url("http://us%40er:p%3Aw@a/").member
    assert (member.user, member.password) == ("us@er", "p:w")
    assert parse_url("http://user@a/").member.password is None
    assert parse_url("http://a/").member.user is None


@pytest.mark.parametrize(
    "url",
    ["", "a", "/a", "//a/b", "ftp://a/", "http://", "http:///a", "http://a:b/", "http://a:99999/"]
    + ["http://a/\r\nX: 1", "http://a\n/", "http://[::1/", "@alias/a", "file:///etc/passwd"],
)
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match=r"URL|[Pp]ort|IPv6"):
        parse_url(url)


# -- proxies


def relayed(fields, peer="10.0.0.9", scheme="https", **more) -> list[tuple[str, str]]:
    headers: dict[str, str] = {}  # as the server's parsers make them
    for name, value in fields:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return request_headers(headers, peer, scheme, **more)


OURS = [
    ("Via", "1.1 skitai"),
    ("X-Forwarded-For", "10.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "front:81"),
]


def test_a_request_is_passed_on_without_what_belongs_to_its_connection():
    fields = [
        ("host", "front:81"),
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("connection", "keep-alive, X-Mine, TE"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMA"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("expect", "100-continue"),
        ("authorization", "Bearer x"),
        ("accept-encoding", "gzip"),
    ]
    assert relayed(fields) == [
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("authorization", "Bearer x"),
        ("accept-encoding", "gzip"),
        *OURS,
    ]


def test_the_host_can_be_kept():
    assert relayed([("Host", "front:81")], keep_host=True) == [("host", "front:81"), *OURS]


def test_chains_of_proxies_are_continued():
    fields = [
        ("Host", "inner"),
        ("Via", "1.0 a"),
        ("via", "2 b"),
        ("X-Forwarded-For", "1.2.3.4, 5.6.7.8"),
        ("X-Forwarded-For", "9.9.9.9"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil"),
    ]
    assert relayed(fields, version="2") == [
        ("Via", "1.0 a, 2 b, 2 skitai"),
        ("X-Forwarded-For", "1.2.3.4, 5.6.7.8, 9.9.9.9, 10.0.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "inner"),
    ]
    assert relayed(fields, trusted=True)[2:] == [
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil"),
    ]
    assert relayed([], peer="", trusted=True) == [
        ("Via", "1.1 skitai"),
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-Proto", "https"),
    ]


def test_a_client_can_not_take_away_what_others_rely_on():
    fields = [
        ("Host", "front:81"),
        (
            "Connection",
            "close, X-Forwarded-For, x-forwarded-host, Cookie, Authorization, Host, Via",
        ),
        ("Cookie", "a=1"),
        ("Authorization", "x"),
        ("X-Forwarded-For", "1.1.1.1"),
        ("Via", "1.1 a"),
    ]
    assert relayed(fields) == [
        ("cookie", "a=1"),
        ("authorization", "x"),
        ("Via", "1.1 a, 1.1 skitai"),
        ("X-Forwarded-For", "1.1.1.1, 10.0.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "front:81"),
    ]


def test_an_answer_is_passed_on_with_order_and_duplicates():
    fields = [
        ("Server", "x"),
        ("Set-Cookie", "a"),
        ("Connection", "close, X-Hop, Set-Cookie"),
        ("X-Hop", "1"),
        ("set-cookie", "b"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "0012"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "x"),
    ]
    assert response_headers(fields) == (
        [("Server", "x"), ("Set-Cookie", "a"), ("set-cookie", "b"), ("Content-Encoding", "gzip")],
        12,
    )
    assert response_headers([("Transfer-Encoding", "chunked")]) == ([], None)
