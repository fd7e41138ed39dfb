"""The PROXY protocol, as bytes and on a port: whom it is believed of, and what it changes."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest
from certificates import make_certificates
from http2_raw import DATA, PREFACE, RawClient, settings
from hypothesis import given
from hypothesis import strategies as st
from serving import Serving, Toy, answer

from skitai.config import Settings
from skitai.net.certificates import make_context
from skitai.server.negotiation import ALPN
from skitai.wire.errors import MalformedRequest
from skitai.wire.proxy_protocol import SIGNATURE, ProxyHeader, parse_proxy_header

V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4711, 443)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack("!HH", 4712, 443)


def binary(body=b"", command=0x21, family=0x11):
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def tls_note(flags):
    value = struct.pack("!BI", flags, 0)
    return struct.pack("!BH", 0x20, len(value)) + value


OTHER_NOTE = struct.pack("!BH", 0x02, 3) + b"a.b"

GOOD = {
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n": (("192.0.2.7", 4711), False),
    b"PROXY TCP6 2001:db8::7 2001:db8::1 4712 443\r\n": (("2001:db8::7", 4712), False),
    b"PROXY UNKNOWN\r\n": (None, False),
    b"PROXY UNKNOWN ffff:f:ffff:: whatever it says 1 2\r\n": (None, False),
    binary(V4): (("192.0.2.7", 4711), False),
    binary(V6, family=0x21): (("2001:db8::7", 4712), False),
    binary(V4 + OTHER_NOTE + tls_note(1)): (("192.0.2.7", 4711), True),
    binary(V4 + tls_note(2)): (("192.0.2.7", 4711), False),
    binary(b"\0" * 216, family=0x31): (("", 0), False),
    binary(b"whatever", family=0x00): (None, False),
    binary(b"", command=0x20, family=0x00): (None, False),
    binary(V4, command=0x20): (None, False),
}
BAD = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"PROXY\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443 \r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 65536\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 443\r\n",
    b"PROXY TCP4 192.0.2.300 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n",
    b"PROXY TCP6 192.0.2.7 192.0.2.1 4711 443\r\n",
    b"PROXY UDP4 192.0.2.7 192.0.2.1 4711 443\r\n",
    b"PROXY TCP4 \xff 192.0.2.1 4711 443\r\n",
    b"proxy tcp4 192.0.2.7 192.0.2.1 4711 443\r\n",
    b"PROXY UNKNOWN " + b"x" * 100,
    binary(V4, command=0x11),
    binary(V4, command=0x22),
    binary(V4[:8]),
    binary(V4, family=0x21),
    binary(b"x" * 5000),
    binary(V4 + b"\x20"),
    binary(V4 + b"\x20\x00\x05\x01"),
]


@pytest.mark.parametrize(("header", "meaning"), GOOD.items())
def test_a_header_is_understood_whole_in_bytes_and_with_more_behind_it(header, meaning):
    expected = ProxyHeader(len(header), *meaning)
    for size in range(len(header)):
        assert parse_proxy_header(header[:size]) is None
    assert parse_proxy_header(header) == expected
    assert parse_proxy_header(header + b"GET / HTTP/1.1\r\n\r\n") == expected


@pytest.mark.parametrize("header", BAD)
def test_anything_else_is_malformed(header):
    with pytest.raises(MalformedRequest):
        parse_proxy_header(header)


@given(st.sampled_from([*GOOD, *BAD]), st.binary(max_size=40), st.integers(0, 60))
def test_no_bytes_surprise_it(header, noise, at):
    try:
        parse_proxy_header(header[:at] + noise + header[at:])
    except MalformedRequest:
        pass


@pytest.fixture
def app():
    app = Toy()

    def tell(exchange):
        channel = exchange.channel
        answer(exchange, f"{channel.scheme} {channel.peer[0]} {channel.peer[1]}".encode())

    app.thread("/", tell)
    return app


@pytest.mark.parametrize("header", [binary(V4), b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"])
def test_the_client_is_who_the_proxy_says(app, header):
    with Serving(app, proxy_protocol=True) as serving, serving.connect() as client:
        client.write(header[:9])
        client.write(header[9:])
        assert client.get("/").body == b"http 192.0.2.7 4711"
        assert client.get("/").body == b"http 192.0.2.7 4711"


def test_the_header_may_come_with_the_request_and_say_that_the_client_used_tls(app):
    with Serving(app, proxy_protocol=True) as serving, serving.connect() as client:
        client.write(binary(V4 + tls_note(1)) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read().body == b"https 192.0.2.7 4711"


def test_what_it_says_holds_for_a_client_that_upgrades_to_http2(app):
    with Serving(app, proxy_protocol=True) as serving, RawClient(serving) as client:
        client.write(binary(V4 + tls_note(1)))
        offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
        client.client.send("GET / HTTP/1.1", "Host: a", *offer)
        assert client.client.read_head().status == 101
        client.write(PREFACE + settings())
        assert client.wait(DATA, 1).payload == b"https 192.0.2.7 4711"


def test_a_proxy_that_speaks_for_itself_keeps_its_address(app):
    with Serving(app, proxy_protocol=True) as serving, serving.connect() as client:
        client.write(binary(command=0x20, family=0))
        assert client.get("/").body.startswith(b"http 127.0.0.1 ")


def test_a_trusted_proxy_must_send_one(app):
    with Serving(app, proxy_protocol=True) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.1", "Host: a")
        with pytest.raises(ConnectionError):
            client.read()


@pytest.mark.parametrize("settings", [{"trusted_proxies": "10.0.0.0/8"}, {"proxy_protocol": False}])
def test_others_are_not_believed(app, settings):
    with Serving(app, **{"proxy_protocol": True, **settings}) as serving:
        assert serving.get("/").body.startswith(b"http 127.0.0.1 ")
        with serving.connect() as client:
            client.write(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
            client.send("GET / HTTP/1.1", "Host: a")
            assert client.read().status in (400, 501)


def test_an_incomplete_header_is_not_waited_for_long(app):
    with Serving(app, proxy_protocol=True, header_timeout=0.1) as serving:
        client = serving.connect()
        client.write(b"PROXY TCP4 ")
        with pytest.raises(ConnectionError):
            client.take(1)


def test_tls_begins_behind_the_header(app, tmp_path):
    ca_file, _ = make_certificates(tmp_path)
    tls = make_context(Settings(certfile=tmp_path / "server.pem"), ALPN)
    trust = ssl.create_default_context(cafile=str(ca_file))
    with Serving(app, tls=tls, proxy_protocol=True) as serving, serving.connect() as client:
        client.write(binary(V4))
        assert client.secure(trust).get("/").body == b"https 192.0.2.7 4711"
