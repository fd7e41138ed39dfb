"""TLS on a connection: handshakes, requests, large bodies, ends, clients that don't speak it."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import warnings

import pytest
from certificates import make_certificates
from serving import Gate, Serving, Toy, answer, happens, until

from skitai.config import Settings
from skitai.net import tls as tls_module
from skitai.net.certificates import make_context
from skitai.net.tls import MAX_OWED, TlsTransport
from skitai.server.negotiation import ALPN
from skitai.server.representation import Head

LARGE = os.urandom(1 << 20) * 8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


@pytest.fixture
def tls(files):
    return make_context(Settings(certfile=files / "server.pem"), ALPN)


@pytest.fixture
def trust(files):
    return ssl.create_default_context(cafile=str(files / "ca.pem"))


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def app(gate, tmp_path):
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, exchange.channel.scheme.encode()))
    app.loop("/loop", lambda exchange: answer(exchange, b"loop"))
    app.thread("/large", lambda exchange: answer(exchange, LARGE))
    app.thread("/gate", gate)
    app.thread("/echo", lambda exchange: answer(exchange, exchange.body.read()), max_body=1 << 24)

    def stream(exchange):
        exchange.start(Head(200, "text/plain"))
        for _ in range(100):
            exchange.write(b"x" * 1000)
        exchange.end()

    def send_file(exchange):
        path = tmp_path / "large"
        path.write_bytes(LARGE)
        parts = [b"<", (0, len(LARGE)), b">"]
        head = Head(200, "text/plain", length=len(LARGE) + 2)
        exchange.channel.send_file(exchange, head, os.open(path, os.O_RDONLY), parts)

    app.thread("/stream", stream)
    app.thread("/file", send_file)
    return app


@pytest.fixture
def serving(app, tls):
    with Serving(app, tls=tls) as serving:
        yield serving


def test_requests_are_answered_from_threads_and_from_the_loop(serving, trust):
    with serving.connect().secure(trust) as client:
        assert client.get("/").body == b"https"
        assert client.get("/loop").body == b"loop"
        assert client.get("/missing").status == 404
        assert client.socket.version() == "TLSv1.3"


def test_pipelined_requests_are_answered_in_order(serving, trust):
    with serving.connect().secure(trust) as client:
        client.send("GET / HTTP/1.1", "Host: a", "", "GET /loop HTTP/1.1", "Host: a")
        assert (client.read().body, client.read().body) == (b"https", b"loop")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bodies_of_all_kinds_arrive_whole(serving, trust, version):
    trust.minimum_version = trust.maximum_version = version
    with serving.connect().secure(trust) as client:
        assert client.get("/large").body == LARGE
        assert client.get("/stream").body == b"x" * 100_000
        assert client.get("/file").body == b"<" + LARGE + b">"
        client.send("POST /echo HTTP/1.1", "Host: a", f"Content-Length: {len(LARGE)}", body=LARGE)
        assert client.read().body == LARGE


def test_a_slow_reader_gets_everything_and_holds_nobody_up(serving, trust):
    slow = serving.connect(receive_buffer=4096).secure(trust)
    slow.send("GET /large HTTP/1.1", "Host: a", "", "GET / HTTP/1.1", "Host: a")
    with serving.connect().secure(trust) as quick:
        assert quick.get("/loop").body == b"loop"
    assert slow.read().body == LARGE
    assert slow.read().body == b"https"


def test_both_sides_agree_on_http_1(serving, trust):
    trust.set_alpn_protocols(["spdy/3", "http/1.1"])
    with serving.connect().secure(trust) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.get("/").status == 200


def test_sessions_are_resumed(serving, trust):
    with serving.connect().secure(trust) as client:
        client.get("/")
        session = client.socket.session
    with serving.connect() as client:
        client.socket = trust.wrap_socket(
            client.socket, server_hostname="localhost", session=session
        )
        assert client.socket.session_reused
        assert client.get("/").status == 200


def test_old_versions_of_tls_are_refused(serving, trust):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trust.minimum_version = ssl.TLSVersion.TLSv1
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    trust.set_ciphers("ALL:@SECLEVEL=0")
    with serving.connect() as client, pytest.raises(ssl.SSLError):
        client.secure(trust)
    until(lambda: not serving.connections, "the connection to be forgotten")


def test_an_answer_that_closes_ends_with_close_notify(serving, trust):
    trust.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with serving.connect() as client:
        client.socket = trust.wrap_socket(
            client.socket, server_hostname="localhost", suppress_ragged_eofs=False
        )
        assert client.get("/", "Connection: close").body == b"https"
        assert client.is_closed()


class HalfClosing:
    """A TLS client that can end its half alone, which Python's sockets can't."""

    def __init__(self, client, context):
        self.client = client
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.state = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.until_done(lambda: self.state.do_handshake() or True)

    def until_done(self, step):
        while (result := self.tried(step)) is None:
            self.incoming.write(self.client.socket.recv(65536))
        return result

    def tried(self, step):
        try:
            return step()
        except ssl.SSLWantReadError:
            return None
        finally:
            self.client.write(self.outgoing.read())

    def read(self):
        return self.until_done(lambda: self.state.read(65536))


def test_a_client_may_end_its_half_and_still_read(serving, trust, gate):
    with serving.connect() as client:
        tls_client = HalfClosing(client, trust)
        tls_client.state.write(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
        tls_client.tried(tls_client.state.unwrap)
        assert happens(gate.entered)
        gate.opened.set()
        assert tls_client.read().endswith(b"gate")
        with pytest.raises(ssl.SSLZeroReturnError):
            tls_client.read()


class Mirror:
    """A tunnel that sends back what comes."""

    def __init__(self, exchange):
        self.tunnel = exchange.tunnel(Head(101), self)

    def received(self, data):
        if not self.tunnel.write(data):
            self.tunnel.hold()
            self.tunnel.when_writable(self.tunnel.resume)

    def ended(self):
        self.tunnel.finish()

    def lost(self):
        pass

    def check(self, now):
        pass


def test_a_tunnel_goes_through_it(app, serving, trust):
    app.loop("/mirror", Mirror)
    upgrade = ("GET /mirror HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: websocket")
    with serving.connect(receive_buffer=4096).secure(trust) as client:
        client.send(*upgrade, body=b"early")
        assert client.read_head().status == 101
        assert client.take(5) == b"early"
        # In one thread: two can't use a socket of TLS at the same time before Python 3.13. What is
        # read comes behind by more than the output holds.
        size, piece, behind = 1 << 20, 64 * 1024, 128 * 1024
        for at in range(0, size + behind, piece):
            client.write(LARGE[at : min(at + piece, size)])
            if at >= behind:
                assert client.take(piece) == LARGE[at - behind : at - behind + piece]


def test_a_tunnel_is_ended_by_the_server(app, serving, trust):
    class Farewell(Mirror):
        def __init__(self, exchange):
            super().__init__(exchange)
            self.tunnel.write(b"bye")
            self.tunnel.finish()

    trust.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    app.loop("/bye", Farewell)
    with serving.connect() as client:
        client.socket = trust.wrap_socket(
            client.socket, server_hostname="localhost", suppress_ragged_eofs=False
        )
        client.send("GET /bye HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: websocket")
        assert client.read_head().status == 101
        assert client.take(3) == b"bye"
        assert client.is_closed()


def test_the_end_of_a_client_is_told_once(app, serving, trust):
    told = []
    over = threading.Event()

    class Counting(Mirror):
        def ended(self):
            told.append("ended")
            self.tunnel.hold()
            self.tunnel.resume()
            serving.loop.call_later(0.05, self.tunnel.close)

        def lost(self):
            over.set()

    app.loop("/count", Counting)
    with serving.connect() as client:
        tls_client = HalfClosing(client, trust)
        tls_client.state.write(
            b"GET /count HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        tls_client.tried(tls_client.state.unwrap)
        assert happens(over)
    assert told == ["ended"]


class ClearTls:
    """Stands for the state of TLS; what it encrypts stays readable."""

    def __init__(self, outgoing):
        self.write = outgoing.write


class StillTransport:
    """The transport of a socket whose kernel takes everything."""

    def __init__(self, end):
        self.end = end

    def get_extra_info(self, name):
        return self.end

    def set_write_buffer_limits(self, high):
        pass

    def get_write_buffer_size(self):
        return 0


class StillLoop(list):
    """Callbacks, called when the test says so."""

    call_soon_threadsafe = list.append


class MeddlingLock:
    """A lock behind which another thread comes as soon as it is free."""

    def __init__(self, meddle):
        self.lock, self.meddle = threading.Lock(), meddle

    def __enter__(self):
        self.lock.__enter__()

    def __exit__(self, *reason):
        self.lock.__exit__(*reason)
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            meddle()


def test_a_thread_that_sends_when_the_last_backlog_ends_is_not_overtaken(monkeypatch):
    for name in ("PIECE_SIZE", "TURN_SIZE"):
        monkeypatch.setattr(tls_module, name, 4)
    near, far = socket.socketpair()
    with near, far:
        loop, outgoing = StillLoop(), ssl.MemoryBIO()
        output = tls_module.TlsOutput(StillTransport(near), loop, ClearTls(outgoing), outgoing)
        assert not output.send(b"aaaabb")
        output.lock = MeddlingLock(lambda: output.send(b"ccccdd"))
        loop.pop(0)()
        output.send(b"ee")
        while loop:
            loop.pop(0)()
        assert far.recv(100) == b"aaaabbccccddee"


def test_a_client_that_leaves_is_noticed(serving, trust, gate):
    client = serving.connect().secure(trust)
    client.send("GET /gate HTTP/1.1", "Host: a")
    assert happens(gate.entered)
    client.reset()
    until(lambda: not serving.connections, "the connection to be forgotten")
    gate.opened.set()


def test_many_clients_at_once_get_their_own_answers(serving, trust):
    body = os.urandom(300_000)
    wrong = []

    def ask(number):
        own = b"%d" % number + body
        with serving.connect().secure(trust) as client:
            for _ in range(5):
                client.send(
                    "POST /echo HTTP/1.1", "Host: a", f"Content-Length: {len(own)}", body=own
                )
                if client.read().body != own:
                    wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- clients that don't speak TLS


def test_plain_http_is_told_to_use_https(serving, trust):
    with serving.connect() as client:
        response = client.get("/")
        assert (response.status, response["Connection"]) == (400, "close")
        assert response.body == b"this port is for https only"
        assert client.is_closed()
    assert serving.connect().secure(trust).get("/").status == 200


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\xff\xff" + b"a" * 5000, b"SSH-2.0-x\r\n", b"\0" * 64]
)
def test_rubbish_ends_the_connection(serving, rubbish):
    with serving.connect() as client:
        client.write(rubbish)
        client.half_close()
        try:
            client.read_rest()
        except ConnectionResetError:
            pass
    until(lambda: not serving.connections, "the connection to be forgotten")


def test_rubbish_after_the_handshake_ends_the_connection(serving, trust):
    client = serving.connect()
    raw = socket.socket(fileno=os.dup(client.socket.fileno()))
    with client.secure(trust), raw:
        assert client.get("/").status == 200
        raw.sendall(b"\x17\x03\x03\x00\x40" + b"z" * 64)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.take(1)
    until(lambda: not serving.connections, "the connection to be forgotten")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
def test_a_silent_client_is_closed_in_time(app, tls, said):
    with Serving(app, tls=tls, header_timeout=0.1) as serving, serving.connect() as client:
        client.write(said)
        with pytest.raises(ConnectionError):
            client.take(1)


def test_one_client_too_many_is_not_even_greeted(app, tls, trust):
    with Serving(app, tls=tls, max_connections=1) as serving:
        first = serving.connect().secure(trust)
        assert first.get("/").status == 200
        with serving.connect() as second, pytest.raises((ssl.SSLError, ConnectionError)):
            second.secure(trust)
        assert first.get("/").status == 200


def test_a_silent_client_does_not_hold_up_the_end(app, tls):
    with Serving(app, tls=tls) as serving:
        serving.connect()
        until(lambda: serving.connections, "the connection")


def test_a_client_that_makes_tls_talk_but_never_listens_is_cut_off(tls, trust):
    """Python's clients can't ask for key updates, so what TLS says is put in its place."""

    class Transport:
        def get_extra_info(self, name, default=None):
            return ours

        def set_write_buffer_limits(self, high):
            pass

    class Loop:
        def call_soon_threadsafe(self, *callback):
            """What is written waits for ever."""

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport = TlsTransport(Transport(), Loop(), tls, None)
        transport.output.backlog = True
        for _ in range(MAX_OWED // 1000):
            transport.output._outgoing.write(b"x" * 1000)
            assert transport._decrypt() == (b"", False)
            assert transport._decrypt() == (b"", False)
        transport.output._outgoing.write(b"x" * 1000)
        assert transport._decrypt() == (b"", True)
