"""Requests that are broken or meant to break; ``CASES`` has all of them, also of hostile_values."""

from __future__ import annotations

from base64 import b64encode

from hostile_cases import (
    END,
    FORM,
    JSON,
    LATER,
    MULTIPART,
    SECOND,
    Case,
    ask,
    chunked,
    head,
    part,
    post,
    refused,
)
from hostile_values import call_cases, injection_cases, script_cases, state_cases

from atila.tokens.jwt_claims import encode_jwt


def json_cases() -> list[Case]:
    deep = "[" * 1000 + "]" * 1000
    bad = {
        "half": b"{", "quotes": b"{'a': 1}", "more": b"{} x", "nan": b'{"a": NaN}',
        "infinite": b'{"a": 1e999}', "long number": b'{"a": ' + b"9" * 5000 + b"}",
        "bytes": b'{"a": "\xff"}', "raw surrogate": b'{"a": "\xed\xa0\x80"}',
        "surrogate": b'{"a": "\\ud800"}', "surrogate key": b'{"\\udc00": 1}',
        "bom": b"\xef\xbb\xbf{}", "utf-16": '{"a": 1}'.encode("utf-16"), "nul": b'{"a": "\0"}',
        "1000 levels": deep.encode(), "100 000 levels": b"[" * 100_000,
        "1000 objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    }  # fmt: skip
    cases = [post(f"JSON: {name}", "/echo", JSON, body, 400) for name, body in bad.items()]
    cases += [post(f"JSON loop: {name}", "/async/echo", JSON, b, 400) for name, b in bad.items()]
    for body in ("null", "5", '"a"', "[1]", "[]", "{}", '{"a": 1, "a": 2}', '{"a": "\\u0000"}'):
        cases.append(post(f"JSON: {body}", "/echo", JSON, body, 200))
    for body in ("{}", "[]", "null", '{"title": 5}', '{"title": ""}', '{"title": "a", "at": 5}'):
        cases.append(post(f"book: {body}", "/books/1", JSON, body, 400))
    cases += [
        post("book: deep", "/books/1", JSON, '{"title": "a", "authors": ' + deep + "}", 400),
        post("book: good", "/books/1", JSON, '{"title": "a", "notes": {"\0": []}}', 400),
        post("book: a shelf in it", "/books/1", JSON, '{"title": "a", "shelf": {}}', 201),
        post("member: nothing", "/members", JSON, "{}", 400),
        post("member: all wrong", "/members", JSON, '{"name": [], "email": {}, "tags": 5}', 400),
        post("large JSON", "/async/echo", JSON, b'{"a": "' + b"x" * 200_000 + b'"}', 200),
        post("large broken JSON", "/async/echo", JSON, b'{"a": "' + b"x" * 200_000, 400),
    ]
    return cases


def form_cases() -> list[Case]:
    many = "&".join(f"k{at}=1" for at in range(100_000))
    files = 'name="file"; filename="a.txt"'
    whole = part(files) + END
    cases = [
        post("form: 100 000 fields", "/echo", FORM, many, 400),
        post("form: 1000 fields", "/echo", FORM, "&".join(f"k{at}=" for at in range(1000)), 200),
        post("form: one name 1000 times", "/echo", FORM, "&".join(["a=1"] * 1000), 200),
        post("form: not UTF-8", "/echo", FORM, b"a=\xff", 400),
        post("form: escaped not UTF-8", "/echo", FORM, "a=%ff", 400),
        post("form: surrogate", "/echo", FORM, "a=%ed%a0%80", 400),
        post("form: NUL", "/echo", FORM, "a=%00&%00=b", 200),
        post("form: charset", "/echo", f"{FORM}; charset=nonsense", "a=1", 400),
        post("form: other charset", "/echo", f"{FORM}; charset=utf-16", "a=1", 400),
        post("form: no charset", "/echo", f"{FORM}; charset=", "a=1", 200),
        post("form: named was", "/echo", FORM, "was=1", 400),
        post("form: named self", "/echo", FORM, "self=1&args=2&data=3", 200),
        post("multipart: no boundary", "/upload", "multipart/form-data", whole, 400),
        post("multipart: other boundary", "/upload", "multipart/form-data; boundary=x", whole, 400),
        post("multipart: nothing", "/upload", MULTIPART, b"", 400),
        post("multipart: only its end", "/upload", MULTIPART, END, 400),
        post("multipart: no file", "/upload", MULTIPART, part('name="file"') + END, 400),
        post("multipart: no name", "/upload", MULTIPART, part('filename="a"') + END, 400),
        post("multipart: base64", "/upload", MULTIPART,
             part(files, b"", "Content-Transfer-Encoding: base64") + END, 400),
        post("multipart: nested", "/upload", MULTIPART,
             part('name="file"', b"", "Content-Type: multipart/mixed; boundary=b") + END, 400),
        post("multipart: long head", "/upload", MULTIPART,
             part(f'name="file"; filename="{"a" * 9000}"') + END, 400),
        post("multipart: 1001 parts", "/upload", MULTIPART,
             b"".join(part(f'name="k{at}"', b"") for at in range(1001)) + END, 400),
        post("multipart: not UTF-8", "/upload", MULTIPART, part('name="a"', b"\xff") + END, 400),
        post("multipart: odd type", "/back", MULTIPART,
             part(files, b"x", "Content-Type: 한\x85") + END, 200),
        post("multipart: large", "/upload/async", MULTIPART,
             part(files, bytes(2_000_000)) + END, 201, 200),
    ]  # fmt: skip
    cases += [
        post(f"multipart: cut at {at}", "/upload", MULTIPART, whole[:at], 400)
        for at in (1, 7, 20, len(whole) - 12, len(whole) - 5)
    ]
    names = (
        "",
        "..",
        "/",
        "../../x",
        "a/b",
        "\x01\x02",
        ".ssh",
        "a" * 600,
        "con",
        "x\\..\\y",
        "é한",
    )
    cases += [
        post(f"file name {name[:9]!r}", "/upload", MULTIPART,
             part(f'name="file"; filename="{name}"') + END, 201)
        for name in names
    ]  # fmt: skip
    return cases


def framing_cases() -> list[Case]:
    begin = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
    return [
        refused("length: sign", begin + b"Content-Length: +5\r\n\r\nabcde", 400),
        refused("length: negative", begin + b"Content-Length: -1\r\n\r\n", 400),
        refused("length: list", begin + b"Content-Length: 5, 5\r\n\r\nabcde", 400),
        refused("length: huge", begin + b"Content-Length: 99999999999999999999\r\n\r\n", 400, 413),
        refused("length: large", begin + b"Content-Length: 3000001\r\n\r\n", 413),
        refused("length: twice", begin + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        refused("length and chunks", begin
                + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        refused("chunk size", begin + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        refused("chunk end", begin + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
        refused("coding", begin + b"Transfer-Encoding: gzip\r\n\r\n", 501, 400),
        refused("too many chunks", chunked("/echo", "x", *[bytes(1_000_000)] * 4), 413),
        Case("chunks of one byte", chunked("/echo", FORM, *[b"a"] * 900), (200,)),
        refused("blank in name", begin + b"X : 1\r\n\r\n", 400),
        refused("bare LF", b"GET / HTTP/1.1\nHost: a\n\n", 400),
        refused("folded", begin + b"X: 1\r\n 2\r\n\r\n", 400),
        refused("NUL", begin + b"X: a\0b\r\n\r\n", 400),
        refused("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
        refused("two hosts", begin + b"Host: b\r\n\r\n", 400),
        refused("bad host", b"GET / HTTP/1.1\r\nHost: a b/\r\n\r\n", 400),
        refused("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        refused("version", b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505, 400),
        refused("unknown method", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        refused("tunnel", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        refused("chunk size, nowhere", begin.replace(b"echo", b"nothing")
                + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, 404),
        refused("expectation", head("POST", "/echo", "Expect: x", "Content-Length: 1"), 417),
    ]  # fmt: skip


def query_cases() -> list[Case]:
    some = "&".join(f"k{at}=" for at in range(1001))
    many = "&".join(f"k{at}=1" for at in range(100_000))
    return [
        refused("query: 100 000 keys", head("GET", f"/echo?{many}"), 414),
        ask("query: 1001 keys", f"/echo?{some}", 400),
        ask("query: not UTF-8", "/echo?a=%ff", 400),
        ask("query: surrogate", "/echo?a=%ed%a0%80", 400),
        ask("query: NUL", "/echo?a=%00", 200),
        ask("query: broken escapes", "/echo?%=%z&a=%", 200),
        ask("query: twice", "/typed/1?limit=1&limit=2", 400),
        ask("query: list", "/typed/1?tag=a&tag=b", 200),
        ask("query: long number", f"/typed/1?limit={'9' * 5000}", 400),
        ask("query: exponent", "/typed/1?exact=1e999999999", 200, 400),
        ask("query: date", "/typed/1?since=2024-02-30", 400),
        ask("query: unexpected", "/typed/1?x=1", 400),
        ask("query: nothing", "/echo?", 200),
        ask("query: only marks", "/echo?&&&=&=&?", 200),
        refused("query: high bytes", head("GET", b"/echo?a=\xff\xfe"), 400),
        ask("query: named was", "/echo?was=1", 400),
    ]


def path_cases() -> list[Case]:
    return [
        ask("path: up", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ask("path: up in static", "/static/%2e%2e/serve.py", 404),
        ask("path: up, in a route", "/static-file/..%2f..%2fserve.py", 404),
        ask("path: NUL", "/echo/%00", 200),
        ask("path: NUL in static", "/static/%00", 404),
        ask("path: NUL to a file", "/static-file/a%00b", 404),
        ask("path: two slashes", "//echo/x", 404),
        ask("path: three slashes", "///", 404),
        ask("path: a host", "//evil.example/%2e%2e", 404),
        ask("path: semicolon", "/echo;a=b", 404),
        ask("path: semicolon in a value", "/echo/a;b", 200),
        ask("path: long", "/echo/" + "a" * 8000, 200),
        ask("path: slashes", "/" * 8000, 404),
        ask("path: long number", "/typed/" + "9" * 5000, 404),
        ask("path: odd number", "/typed/%C2%B2", 404),
        ask("path: two dots", "/typed/7/1.2.3/new/x", 400),
        refused("path: raw bytes", head("GET", b"/echo/\xff\xfe"), 400),
        ask("path: to another host", "http://evil.example/echo/x", 200),
        refused("path: too long", head("GET", "/echo/" + "a" * 9000), 414),
        refused("path: not UTF-8", head("GET", "/echo/%ff"), 400),
        refused("path: half an escape", head("GET", "/echo/%f"), 400),
        refused("path: fragment", head("GET", "/echo#x"), 400),
        refused("path: star", head("GET", "*"), 400),
        refused("path: no slash", head("GET", "echo"), 400),
        refused("path: broken URL", head("GET", "http://[::1/"), 400),
        refused("path: file URL", head("GET", "file:///etc/passwd"), 400),
        ask("unrouted", "/gone/x", 410),
        Case("sub-domain", head("GET", "/host", host="k.example"), (200,)),
        Case("other sub-domain", head("GET", "/host", host="kk.example"), (404,)),
    ]


def header_cases() -> list[Case]:
    """Headers as large as they may be, and those that are not what they should be."""
    large = {
        "Accept": ("a/b,", 200), "Accept-Encoding": ("gzip;q=0.5,", 200), "Range": ("1-2,", 200),
        "If-None-Match": ('"a", ', 200), "If-Match": ('"a", ', 412), "Origin": ("http://a", 403),
        "Authorization": ("Digest a=", 200), "User-Agent": ('"\xff', 200),
        "X-Note": ('a;b="\\', 200), "X-Forwarded-For": ("1.2.3.4, ", 200),
        "If-Modified-Since": ("Thu, ", 200),
    }  # fmt: skip
    cases = [
        ask(
            f"{name} of 60 KB",
            "/etag",
            status,
            headers=(f"{name}: {text * (60_000 // len(text))}",),
        )
        for name, (text, status) in large.items()
    ]
    cases += [
        ask("cookies of 60 KB", "/session", 200, headers=("Cookie: " + "a=b; " * 12_000,)),
        refused("cookies of 70 KB", head("GET", "/session", "Cookie: " + "a=b; " * 14_000), 431),
        refused("129 headers", head("GET", "/", *(f"X-{at}: 1" for at in range(129))), 431),
        refused("name of 70 KB", head("GET", "/", f"X-{'a' * 70_000}: 1"), 431),
    ]
    authorizations = {
        "basic": ["Basic", "Basic =", "Basic a", "Basic AAA6AA==", "Basic " + "QUFB" * 15_000],
        "digest": ["Digest", 'Digest username="kim"', "Digest " + "a=b, " * 10_000, 'Digest "'],
        "bearer": ["Bearer", "Bearer a b", "Bearer \xff", 'Bearer x"y', "Bearer " + "x" * 60_000],
    }  # fmt: skip
    for kind, texts in authorizations.items():
        for text in ("", *texts):
            name = f"{kind}: {text[:20]!r}"
            cases.append(ask(name, f"/user/{kind}", 401, headers=(f"Authorization: {text}",)))
    for token in ("x", "a.b.c", "e30.e30.", "W1tb.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "." * 99):
        header = f"Authorization: Bearer {token}"
        cases.append(ask(f"token {token[:9]}", "/second/me", 401, headers=(header,)))
    nested = b64encode(b'{"alg":' + b"[" * 40_000).decode()
    header = f"Authorization: Bearer {nested}.e30.e30"
    cases.append(ask("token with 40 000 levels", "/second/me", 401, headers=(header,)))
    good = encode_jwt({"exp": LATER, "username": "kim"}, SECOND)
    cases += [
        ask("good token", "/second/me", 200, headers=(f"Authorization: Bearer {good}",)),
        ask("password", "/user/basic", 200, headers=("Authorization: Basic a2ltOnNlY3JldA==",)),
        ask("log in", "/second/login?name=%00", 200),
        ask("range behind the end", "/long", 416, headers=("Range: bytes=9999999-",)),
        ask("range backwards", "/long", 416, headers=("Range: bytes=5-1",)),
        ask("range of a stream", "/stream", 200, headers=("Range: bytes=5-9",)),
        ask("ranges", "/file", 206, headers=("Range: bytes=0-0,-1",)),
        ask("origin null", "/", 403, headers=("Origin: null",)),
        ask("origin anybody", "/open", 200, headers=("Origin: https://evil.example",)),
        ask("origin for anybody, broken", "/open", 403, headers=("Origin: https://a b",)),
        ask("level", "/animals/7", 403, headers=("X-Level: \xe9",)),
    ]
    return cases


CASES = [
    *json_cases(), *form_cases(), *framing_cases(), *query_cases(), *path_cases(),
    *header_cases(), *state_cases(), *injection_cases(), *call_cases(), *script_cases(),
]  # fmt: skip
