"""``was.request``: headers, media types, addresses and target, as clients send them."""

from __future__ import annotations

import pytest
from driving import Driver
from hypothesis import given
from hypothesis import strategies as st

from atila import Atila
from atila.request_head import Headers, RequestHead
from skitai.config import Settings
from skitai.server.origin import TrustedProxies
from skitai.wire.negotiation import parse_qualities

LONELY = "8.8.8.8"  # the address of no proxy
TRUSTED = TrustedProxies(Settings())


class _Exchange:
    """The part of an exchange that a head looks at."""

    def __init__(self, headers, peer="127.0.0.1", target="/"):
        self.request = self
        self.channel = self
        self.method, self.target, self.path, self.version = "GET", target, target, "1.1"
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.peer, self.scheme = (peer, 5000), "http"
        self.origin = TRUSTED.origin(peer, "http", self.headers)


def head(peer="127.0.0.1", target="/", **headers):
    """A head; underscores in the names of headers stand for hyphens."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead(_Exchange(fields, peer, target))


# Headers


def test_headers_are_found_in_any_case():
    request = head(Content_Type="text/plain", X_Two="a, b")
    for name in ("Content-Type", "content-type", "CONTENT-TYPE"):
        assert request.headers[name] == "text/plain"
        assert request.headers.get(name) == "text/plain"
        assert name in request.headers
        assert request.get_header(name) == "text/plain"
    assert request.headers is request.headers
    assert dict(request.headers) == {"content-type": "text/plain", "x-two": "a, b"}
    assert request.get_headers() == ["content-type: text/plain", "x-two: a, b"]
    assert request.get_header() == request.get_headers()


def test_headers_that_were_not_sent():
    request = head()
    assert request.get_header("X-Missing") is None
    assert request.get_header("X-Missing", "default") == "default"
    assert request.headers.get("X-Missing") is None
    assert request.headers.get("X-Missing", 5) == 5
    assert "X-Missing" not in request.headers
    assert 5 not in request.headers
    with pytest.raises(KeyError):
        request.headers["X-Missing"]


def test_a_handler_can_answer_with_the_headers_and_changes_nothing_by_changing_them():
    app = Atila("headers")

    @app.route("/")
    def handler(was):
        was.request.headers.clear()
        return [was.request.headers, was.request.get_header("X-A")]

    assert Driver(app).get("/", X_A="1").json == [{}, "1"]
    app = Atila("headers")
    app.route("/")(lambda was: was.API(headers=was.request.headers))
    assert Driver(app).get("/", X_A="1").json == {"headers": {"x-a": "1"}}


@given(st.dictionaries(st.text(st.characters(codec="ascii")), st.text()))
def test_headers_are_a_dictionary(fields):
    lowered = {name.lower(): value for name, value in fields.items()}
    headers = Headers(lowered)
    assert list(headers) == list(lowered)
    assert all(headers[name.upper()] == headers.get(name) for name in lowered)


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ('form-data; name="a;b"; x=1', "form-data", {"name": "a;b", "x": "1"}),
        ("text/plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        (r'a; b="say \"hi\""', "a", {"b": 'say "hi"'}),
        ("plain", "plain", {}),
        ("plain;", "plain", {}),
        (";", "", {}),
        ("", "", {}),
        ("a; =b; c; d=", "a", {}),
    ],
)
def test_parameters_of_a_header(text, value, parameters):
    request = head(X_Header=text)
    assert request.get_header_params("x-HEADER") == (value, parameters)
    assert request.get_header_noparam("X-Header") == value
    assert request.get_attr("X-Header") == parameters
    for name in parameters:
        assert request.get_attr("X-Header", name.upper()) == parameters[name]
    assert request.get_attr("X-Header", "missing") is None
    assert request.get_attr("X-Header", "missing", 5) == 5


def test_parameters_of_a_header_that_was_not_sent():
    request = head()
    assert request.get_header_params("X-Missing") == (None, {})
    assert request.get_header_noparam("X-Missing") is None
    assert request.get_attr("X-Missing", "q", "1") == "1"


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_has_parameters(text):
    value, parameters = head(X_Header=text).get_header_params("X-Header")
    assert isinstance(value, str)
    assert isinstance(parameters, dict)


def test_well_known_headers():
    request = head(User_Agent="a", Host="h:1", Referer="r", Origin="o")
    assert (request.user_agent, request.get_user_agent()) == ("a", "a")
    assert (request.host, request.referer, request.origin) == ("h:1", "r", "o")
    request = head()
    assert (request.user_agent, request.host, request.referer, request.origin) == (
        None, "", None, None,
    )  # fmt: skip


# Media types


@pytest.mark.parametrize(
    ("sent", "kind", "main", "sub", "charset"),
    [
        ("Text/Plain; charset=Latin-1", "text/plain", "text", "plain", "Latin-1"),
        ('text/html;charset="utf-8"', "text/html", "text", "html", "utf-8"),
        ("application/json", "application/json", "application", "json", "utf-8"),
        ("text", "text", "text", "", "utf-8"),
        ("a/b/c", "a/b/c", "a", "b/c", "utf-8"),
        ("", "", "", "", "utf-8"),
        ("text/plain; charset=", "text/plain", "text", "plain", "utf-8"),
        ("text/plain; x=charset=a", "text/plain", "text", "plain", "utf-8"),
    ],
)
def test_the_type_of_the_body(sent, kind, main, sub, charset):
    request = head(Content_Type=sent)
    assert request.content_type == request.get_content_type() == kind
    assert (request.main_type, request.sub_type) == (main, sub)
    assert (request.get_main_type(), request.get_sub_type()) == (main, sub)
    assert request.charset == request.get_charset() == charset


def test_no_type_of_the_body():
    request = head()
    assert (request.content_type, request.main_type, request.sub_type) == (None, None, None)
    assert request.charset == "utf-8"


def test_what_a_client_likes():
    request = head(Accept="text/html, application/json;q=0.5, text/xml;q=0, */*;q=0.1")
    assert request.acceptables == {
        "text/html": 1.0,
        "application/json": 0.5,
        "text/xml": 0.0,
        "*/*": 0.1,
    }
    assert head().acceptables == {}
    assert head(Accept="Text/HTML").acceptables == {"text/html": 1.0}


@pytest.mark.parametrize(
    ("accept", "media", "strict", "loose"),
    [
        ("text/html", "text/html", True, True),
        ("text/html", "TEXT/Html ", True, True),
        ("text/html;level=1", "text/html", False, False),
        ("text/html;q=0.1", "text/html", True, True),
        ("text/html;q=0", "text/html", False, False),
        ("text/html;q=0, */*", "text/html", False, False),
        ("text/html", "application/json", False, False),
        ("text/html", "text/htm", False, False),
        ("text/*", "text/html", False, True),
        ("*/*", "text/html", False, True),
        ("*/*;q=0", "text/html", False, False),
        ("text/html, */*", "image/png", False, True),
        ("nonsense", "text/html", False, False),
        (None, "text/html", False, True),
        ("", "text/html", False, True),
    ],
)
def test_whether_a_client_takes_a_type(accept, media, strict, loose):
    request = head() if accept is None else head(Accept=accept)
    assert request.acceptable(media) is strict
    assert request.acceptable(media, strict=True) is strict
    assert request.acceptable(media, strict=False) is loose


@given(st.text(st.characters(max_codepoint=255)))
def test_any_accept_header_is_read(text):
    request = head(Accept=text)
    assert request.acceptables == dict(parse_qualities(text))
    assert isinstance(request.acceptable("text/html"), bool)


# Addresses


def test_the_address_of_the_client_is_what_a_trusted_proxy_says():
    request = head("127.0.0.1", X_Forwarded_For="1.2.3.4, 9.9.9.9")
    assert request.real_ip == request.get_real_ip() == "9.9.9.9"
    assert request.remote_addr == request.get_remote_addr() == "127.0.0.1"
    assert head(LONELY, X_Forwarded_For="9.9.9.9").real_ip == LONELY


def test_the_scheme_is_what_a_trusted_proxy_says():
    assert head("127.0.0.1", X_Forwarded_Proto="https").scheme == "https"
    assert head(LONELY, X_Forwarded_Proto="https").scheme == "http"


@pytest.mark.parametrize(
    ("peer", "private"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("::1", True),
        ("fe80::1", True),
        ("::ffff:10.0.0.1", True),
        ("", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2606:4700::1111", False),
    ],
)
def test_private_addresses(peer, private):
    assert head(peer).is_private_ip() is private
    assert head(LONELY, X_Forwarded_For=peer).is_private_ip() is False
    assert head("127.0.0.1", X_Forwarded_For=f"127.0.0.1, {peer}").is_private_ip() is private


@given(st.text(st.characters(max_codepoint=255)))
def test_any_forwarded_header_is_read(text):
    assert isinstance(head(X_Forwarded_For=text).real_ip, str)
    assert head(LONELY, X_Forwarded_For=text).real_ip == LONELY


# Target


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/x/3", ("/x/3", None, None, None)),
        ("/x/3?", ("/x/3", None, "?", None)),
        ("/x/3?q=a?b;c", ("/x/3", None, "?q=a?b;c", None)),
        ("/a;v=1", ("/a", ";v=1", None, None)),
        ("/a;v=1;w?x=;y", ("/a", ";v=1;w", "?x=;y", None)),
        ("/a#f?;", ("/a", None, None, "#f?;")),
        ("/a;p?q#f", ("/a", ";p", "?q", "#f")),
        ("*", ("*", None, None, None)),
        ("/%3B%3F%23", ("/%3B%3F%23", None, None, None)),
    ],
)
def test_split_uri(target, parts):
    request = head(target=target)
    assert request.split_uri() == parts
    assert "".join(part or "" for part in parts) == request.uri == target


def test_method_version_and_scheme():
    request = head()
    assert (request.method, request.version, request.scheme) == ("GET", "1.1", "http")
