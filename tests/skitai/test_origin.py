"""Who a request comes from: what is believed, and of whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Serving, Toy, answer

from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.server.origin import Origin, TrustedProxies

LONELY = "8.8.8.8"  # the address of no proxy
PRIVATE = "127.0.0.0/8 ::1 10.0.0.0/8 192.168.0.0/16 unix"


def origin(peer="127.0.0.1", trusted=PRIVATE, scheme="http", host="a", **headers):
    """What is believed; underscores in the names of headers stand for hyphens."""
    settings = {key: headers.pop(key) for key in list(headers) if key in FORWARDING}
    fields = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    proxies = TrustedProxies(Settings(trusted_proxies=trusted, **settings))
    return proxies.origin(peer, scheme, {"host": host, **fields})


FORWARDING = ("forwarded_header", "forwarded_host")


@pytest.mark.parametrize(
    ("peer", "forwarded", "real"),
    [
        (LONELY, None, LONELY),
        ("127.0.0.1", None, "127.0.0.1"),
        # one proxy of ours, on this machine or in its network
        ("127.0.0.1", 'fe80::1%eth0" \x1b', "fe80::1"),
        ("127.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("::1", "9.9.9.9", "9.9.9.9"),
        ("::ffff:10.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("", "9.9.9.9", "9.9.9.9"),  # over a unix socket
        # two of them
        ("127.0.0.1", "9.9.9.9, 10.0.0.1", "9.9.9.9"),
        ("127.0.0.1", " 9.9.9.9 ,10.0.0.1, 192.168.1.1 ", "9.9.9.9"),
        # what a client made up stands before what the proxy saw
        ("127.0.0.1", "1.2.3.4, 9.9.9.9", "9.9.9.9"),
        ("127.0.0.1", "127.0.0.1, 9.9.9.9", "9.9.9.9"),
        ("127.0.0.1", "127.0.0.1, 10.0.0.9, 9.9.9.9, 10.0.0.1", "9.9.9.9"),
        # a public peer is no proxy of ours
        (LONELY, "9.9.9.9", LONELY),
        (LONELY, "127.0.0.1", LONELY),
        ("::ffff:8.8.8.8", "127.0.0.1", "::ffff:8.8.8.8"),
        # a client in our own network
        ("127.0.0.1", "10.0.0.7", "10.0.0.7"),
        ("127.0.0.1", "10.0.0.7, 10.0.0.1", "10.0.0.7"),
        # all the ways to write one
        ("127.0.0.1", "9.9.9.9:5000", "9.9.9.9"),
        ("127.0.0.1", "[2606:4700::1111]:5000", "2606:4700::1111"),
        ("127.0.0.1", "[2606:4700::1111]", "2606:4700::1111"),
        ("127.0.0.1", '"[2606:4700::1111]:5000"', "2606:4700::1111"),
        ("127.0.0.1", "2606:4700::1111", "2606:4700::1111"),
        # what is none
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "9.9.9.9, unknown", "127.0.0.1"),
        ("127.0.0.1", "unknown, 9.9.9.9", "9.9.9.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", ",,", "127.0.0.1"),
        ("127.0.0.1", "<script>, 10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", "999.1.1.1", "127.0.0.1"),
        ("127.0.0.1", "1", "127.0.0.1"),
        ("127.0.0.1", "9.9.9.9\\x00", "127.0.0.1"),
    ],
)
def test_the_address_of_the_client(peer, forwarded, real):
    headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}
    assert origin(peer, **headers).address == real


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_is_read(text):
    assert isinstance(origin(X_Forwarded_For=text, X_Forwarded_Proto=text), Origin)
    assert isinstance(origin(forwarded_header="forwarded", Forwarded=text), Origin)
    assert origin(LONELY, X_Forwarded_For=text).address == LONELY


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        ("", "127.0.0.1", False),
        ("", "", False),
        ("*", "8.8.8.8", True),
        ("*", "", True),
        ("unix", "", True),
        ("unix", "127.0.0.1", False),
        ("127.0.0.1, ::1", "::1", True),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "::ffff:10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        (["192.0.2.7", "2001:db8::/32"], "2001:db8::9", True),
    ],
)
def test_who_is_believed(trusted, peer, believed):
    proxies = TrustedProxies(Settings(trusted_proxies=trusted))
    assert [peer in proxies, peer in proxies] == [believed, believed]


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/33", 5, ["127.0.0.1", 7], "1.2.3"])
def test_proxies_are_addresses(wrong):
    with pytest.raises(ConfigError, match="trusted_proxies must be IP addresses or networks"):
        Settings(trusted_proxies=wrong)


def test_the_header_is_one_of_two():
    with pytest.raises(ConfigError, match="forwarded_header must be 'x-forwarded' or 'forwarded'"):
        Settings(forwarded_header="via")


@pytest.mark.parametrize(
    ("chain", "proto", "scheme"),
    [
        ("9.9.9.9", "https", "https"),
        ("9.9.9.9", "HTTPS", "https"),
        ("9.9.9.9", "wss", "https"),
        ("9.9.9.9", "gopher", "http"),
        ("9.9.9.9", "", "http"),
        ("", "https", "https"),
        # the client's own word stands before that of the proxy
        ("9.9.9.9", "https, http", "http"),
        ("9.9.9.9, 10.0.0.1", "https, http", "https"),
        ("9.9.9.9, 10.0.0.1", "https", "https"),
    ],
)
def test_the_scheme_is_that_of_the_outermost_proxy(chain, proto, scheme):
    found = origin(X_Forwarded_For=chain, X_Forwarded_Proto=proto)
    assert found.scheme == scheme
    assert origin(LONELY, X_Forwarded_Proto=proto).scheme == "http"


def test_the_host_is_believed_only_when_that_is_wanted():
    assert origin(X_Forwarded_Host="b").host == "a"
    assert origin(X_Forwarded_Host="b", forwarded_host=True).host == "b"
    assert origin(X_Forwarded_Host="b\r\nc", forwarded_host=True).host == "a"
    assert origin(LONELY, X_Forwarded_Host="b", forwarded_host=True).host == "a"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=9.9.9.9", Origin("9.9.9.9", "http", "a")),
        ("For=9.9.9.9;Proto=https;host=b", Origin("9.9.9.9", "https", "b")),
        ('for="[2001:db8::1]:4711"; proto="https"', Origin("2001:db8::1", "https", "a")),
        ('for="1.1.1.1:80", for=9.9.9.9;by=10.0.0.1', Origin("9.9.9.9", "http", "a")),
        ("for=9.9.9.9;proto=https, for=10.0.0.1;proto=http", Origin("9.9.9.9", "https", "a")),
        ('for=9.9.9.9;host="b/c"', Origin("9.9.9.9", "http", "a")),
        ('for=9.9.9.9;by="_a,_b";x-id=1', Origin("9.9.9.9", "http", "a")),
        # A client leaves a quote open: what the proxy says behind it counts all the same.
        ('for=1.1.1.1;x=", for="[2001:db8::1]"', Origin("2001:db8::1", "http", "a")),
        ('for=1.1.1.1;x=", for=9.9.9.9', Origin("9.9.9.9", "http", "a")),
        ('for="1.1.1.1, for=9.9.9.9;proto=https', Origin("9.9.9.9", "https", "a")),
        ('for=1.1.1.1, x=", for=10.0.0.1', Origin("10.0.0.1", "http", "a")),
        ("for=unknown", Origin("127.0.0.1", "http", "a")),
        ('for="_hidden"', Origin("127.0.0.1", "http", "a")),
        ("proto=https", Origin("127.0.0.1", "http", "a")),
        ("", Origin("127.0.0.1", "http", "a")),
    ],
)
def test_the_standard_header(header, expected):
    found = origin(forwarded_header="forwarded", forwarded_host=True, Forwarded=header)
    assert found == expected


def test_only_one_kind_of_header_is_read():
    # A proxy that writes the one passes on what clients wrote in the other.
    both = {"X_Forwarded_For": "1.1.1.1", "Forwarded": "for=2.2.2.2"}
    assert origin(**both).address == "1.1.1.1"
    assert origin(forwarded_header="forwarded", **both).address == "2.2.2.2"


def test_an_exchange_knows_its_origin():
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, "|".join(exchange.origin).encode()))
    headers = ("X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https")
    with Serving(app) as serving:
        assert serving.get("/", *headers).body == b"9.9.9.9|https|a"
    with Serving(app, trusted_proxies="10.0.0.1") as serving:
        assert serving.get("/", *headers).body == b"127.0.0.1|http|a"
