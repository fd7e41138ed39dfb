"""The way of datagrams to connections and workers: retries, resets, moves, garbage."""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest
from http3_driving import Http3Serving, LonelyBus
from serving import Gate, Toy, answer, happens, until

from skitai.errors import ConfigError
from skitai.net.udp import UdpPort, adopt_seat
from skitai.server.http3 import listener as http3
from skitai.wire.http3.errors import Code
from skitai.wire.http3.ids import ConnectionIds


class JoinedBus(LonelyBus):
    """Two of them are the bus of two workers of one process."""

    def join(self, other):
        for one, another in ((self, other), (other, self)):
            one.others, one.other = [another.worker], another

    def send(self, worker, channel, data):
        super().send(worker, channel, data)
        assert worker == self.other.worker
        self.other.loop.call_soon_threadsafe(self.other.receive, data)


@pytest.fixture
def app():
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"hello"))
    app.thread("/echo", lambda exchange: answer(exchange, exchange.body.read()))
    return app


async def move(client):
    """Go on from another port, as a client does that has changed its network."""
    loop = asyncio.get_running_loop()
    old = client._transport
    transport, _ = await loop.create_datagram_endpoint(lambda: client, local_addr=("::", 0))
    client._transport = transport
    old.close()


def test_a_client_may_move_in_the_middle_of_a_request(app, tmp_path):
    async def talk(serving):
        async with serving.client() as client:
            stream = client.begin("POST", "/echo", ended=False)
            client.send(stream, b"before ")
            await client.ping()
            await move(client)
            client.send(stream, b"after", True)
            assert (await client.whole(stream)).body == b"before after"
            client.change_connection_id()
            await move(client)
            assert (await client.get("/")).body == b"hello"
            client._transport.close()

    with Http3Serving(app, tmp_path) as serving:
        asyncio.run(talk(serving))


def test_what_comes_to_another_worker_is_passed_on(app, tmp_path):
    first_bus, second_bus = JoinedBus(11), JoinedBus(12)
    first_bus.join(second_bus)
    port = UdpPort("127.0.0.1", 0, 2)
    first = Http3Serving(app, tmp_path, port=port, bus=first_bus, workers=2)
    second = Http3Serving(app, tmp_path, port=port, slot=1, bus=second_bus, workers=2)

    async def talk():
        async with first.client() as client:
            for _ in range(40):
                assert (await client.get("/")).body == b"hello"
                if first_bus.sent or second_bus.sent:
                    break
                await move(client)
            assert (await client.post("/echo", bytes(300_000))).body == bytes(300_000)
            client._transport.close()

    with first:
        with second:
            first_bus.loop, second_bus.loop = first.loop, second.loop
            asyncio.run(talk())
            assert len(first_bus.sent) + len(second_bus.sent) > 100
            until(lambda: not first.connections + second.connections, "the end")
    port.close()


def test_the_workers_of_a_reload_share_one_socket(app, tmp_path):
    """Both read it, then the old one drains: running requests end, new clients go to the new."""
    gate = Gate()
    app.thread("/wait", gate)
    old_bus, new_bus = JoinedBus(11), JoinedBus(12)
    port = UdpPort("127.0.0.1", 0, 1)
    old = Http3Serving(app, tmp_path, port=port, bus=old_bus)
    new = Http3Serving(app, tmp_path, port=port, bus=new_bus)

    async def talk():
        async with old.client() as client:
            running = client.begin("GET", "/wait")
            await asyncio.to_thread(happens, gate.entered)
            old_bus.join(new_bus)
            new.__enter__()
            old_bus.loop, new_bus.loop = old.loop, new.loop
            for _ in range(5):
                async with new.client() as other:
                    assert (await other.get("/")).body == b"hello"
                    assert other.quic._retry_count == 1
            old.on_loop(old.listener.close)
            drain = asyncio.to_thread(old.__exit__, None, None, None)
            draining = asyncio.get_running_loop().create_task(drain)
            await client.until(lambda: any(b"\x07" in data for data in client.goaways))
            async with new.client() as other:
                assert (await other.get("/")).body == b"hello"
                assert new.connections
            gate.opened.set()
            assert (await client.whole(running)).body == b"gate"
            await draining
            await client.until(lambda: client.terminated)
            assert client.terminated.error_code == Code.NO_ERROR
        new.__exit__(None, None, None)

    old.__enter__()
    asyncio.run(talk())
    assert new_bus.sent
    port.close()


def test_a_client_of_a_dead_worker_is_told(app, tmp_path):
    port = UdpPort("127.0.0.1", 0, 1)
    dead = ConnectionIds(port.seat(0).secret(), 4711)
    ids = [dead.make() for _ in range(3)]
    with Http3Serving(app, tmp_path, port=port) as serving, talker(serving) as client:
        for connection_id in ids:
            client.send(b"\x40" + connection_id + os.urandom(100))
            reply = client.recv(2000)
            assert 37 <= len(reply) <= 116
            assert reply[0] & 0xC0 == 0x40
            assert reply.endswith(dead.reset_token(connection_id))
        stranger = ConnectionIds(os.urandom(32), 4711).make()
        client.send(b"\x40" + stranger + os.urandom(100))
        client.send(b"\x40" + ids[0] + os.urandom(10))  # too short for a reset
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(2000)
    port.close()


def talker(serving):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.connect(("127.0.0.1", serving.port.number))
    return client


def test_garbage_is_dropped_and_others_are_served(app, tmp_path, caplog):
    dice = random.Random(7)

    async def talk(serving):
        async with serving.client() as client:
            with talker(serving) as other:
                for size in (0, 1, 2, 17, 20, 1199, 1200, 1400, 9000) * 20:
                    other.send(dice.randbytes(size))
                    # Looks like an Initial of version 1, and is none.
                    head = b"\xc0\0\0\0\1\x08" + dice.randbytes(8) + b"\0\0"
                    other.send((head + dice.randbytes(size))[:size])
            assert (await client.get("/")).body == b"hello"

    with Http3Serving(app, tmp_path, header_timeout=0.1) as serving:
        asyncio.run(talk(serving))
        until(lambda: not serving.connections, "half-open connections to be given up")
    assert not caplog.records


def test_another_version_is_negotiated(app, tmp_path):
    with Http3Serving(app, tmp_path) as serving, talker(serving) as client:
        ids = b"\x08" + b"d" * 8 + b"\x04" + b"s" * 4
        client.send(b"\xc0\xff\0\0\x7f" + ids + bytes(1200))
        reply = client.recv(2000)
        assert reply[1:5] == bytes(4)
        assert reply[5:19] == b"\x04" + b"s" * 4 + b"\x08" + b"d" * 8
        assert b"\0\0\0\1" in reply[19:]
        client.send(b"\xc0\xff\0\0\x7f" + ids + bytes(100))  # too small to be answered
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(2000)


def test_many_handshakes_at_a_time_make_clients_show_their_address(app, tmp_path, monkeypatch):
    monkeypatch.setattr(http3, "MAX_HALF_OPEN", 0)

    async def talk(serving):
        async with serving.client() as client:
            assert (await client.get("/")).body == b"hello"
            assert client.quic._retry_count == 1

    with Http3Serving(app, tmp_path) as serving:
        asyncio.run(talk(serving))


def test_a_token_of_somebody_else_is_refused(app, tmp_path):
    async def talk(serving):
        with pytest.raises(ConnectionError):
            async with serving.client(token=os.urandom(60)):
                pass

    with Http3Serving(app, tmp_path) as serving:
        asyncio.run(talk(serving))
        assert not serving.connections


def test_too_many_connections_are_refused(app, tmp_path):
    async def talk(serving):
        async with serving.client() as client:
            with pytest.raises(ConnectionError):
                async with serving.client():
                    pass
            assert (await client.get("/")).body == b"hello"

    with Http3Serving(app, tmp_path, max_connections=1) as serving:
        asyncio.run(talk(serving))


def test_another_protocol_is_refused(app, tmp_path):
    async def talk(serving):
        with pytest.raises(ConnectionError):
            async with serving.client(alpn_protocols=["h2"]):
                pass

    with Http3Serving(app, tmp_path) as serving:
        asyncio.run(talk(serving))


def test_an_idle_client_is_let_go_and_a_waiting_one_kept(app, tmp_path):
    gate = Gate()
    app.thread("/wait", gate)

    async def talk(serving):
        async with serving.client() as client:
            waiting = client.begin("GET", "/wait")
            async with serving.client() as idle:
                await idle.get("/")
                await idle.until(lambda: idle.terminated)
                assert idle.terminated.error_code == Code.NO_ERROR
            gate.opened.set()
            assert (await client.whole(waiting)).body == b"gate"

    with Http3Serving(app, tmp_path, keep_alive=0.2) as serving:
        asyncio.run(talk(serving))


def test_slow_requests_are_given_up(app, tmp_path):
    async def talk(serving):
        async with serving.client() as client:
            head = client.raw(b"\1\x20abc")
            body = client.begin("POST", "/echo", ended=False)
            client.send(body, b"some")
            assert (await client.whole(head)).reset == Code.REQUEST_INCOMPLETE
            assert (await client.whole(body)).status == 408
            assert (await client.get("/")).body == b"hello"

    with Http3Serving(app, tmp_path, header_timeout=0.2, network_timeout=0.2) as serving:
        asyncio.run(talk(serving))


def test_a_port_that_is_taken_says_so():
    port = UdpPort("127.0.0.1", 0, 2)
    with pytest.raises(ConfigError, match=f"port {port.number} is in use .* --quic"):
        UdpPort("127.0.0.1", port.number, 2)
    port.close()


def test_a_closed_port_leaves_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    UdpPort("127.0.0.1", 0, 3).close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_port_is_not_adopted():
    read, write = os.pipe()
    with pytest.raises(ConfigError, match="no UDP port"):
        adopt_seat([read, write])
    os.close(write)


def test_ids_name_their_worker_and_look_like_noise():
    secret = os.urandom(32)
    ids, others = ConnectionIds(secret, 70_000), ConnectionIds(secret, 3)
    made = [ids.make() for _ in range(100)]
    assert {others.worker_of(connection_id) for connection_id in made} == {70_000}
    assert len({connection_id[:4] for connection_id in made}) > 95
    assert all(others.worker_of(os.urandom(16)) is None for _ in range(100))
    assert ids.worker_of(b"short") is None
    assert ids.reset_token(made[0]) == others.reset_token(made[0]) != ids.reset_token(made[1])
