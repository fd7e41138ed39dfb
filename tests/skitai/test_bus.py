from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time

import pytest
from bus_driving import CHANNEL, Member, members

from skitai.bus import bus as bus_module
from skitai.bus.bus import MAX_CHANNEL, MAX_MESSAGE, Bus
from skitai.bus.link import MAX_BACKLOG
from skitai.bus.meeting import Family, _birth


def until_known(member: Member, others: list[int]) -> None:
    """Wait until a process knows exactly these others: it hears of an end on its loop."""
    deadline = time.monotonic() + 20
    while member.ask("workers") != sorted(others):
        assert time.monotonic() < deadline, "the others are not those that live"


def family_of_children() -> Family:
    return Family(os.getpid(), _birth(os.getpid()))


def test_a_message_goes_to_one_worker_or_to_all_others():
    with members(3) as (first, second, third):
        first.tell("publish", "to all others")
        assert (second.got(), third.got()) == ("to all others", "to all others")
        third.tell("send", second.pid, "to you")
        assert second.got() == "to you"
        assert first.quiet()
        assert third.quiet()


def test_a_worker_can_send_to_itself():
    with members(1) as (only,):
        only.tell("send", only.pid, "hello me")
        only.tell("publish", "nobody is there")
        assert only.got() == "hello me"
        assert only.quiet()


def test_messages_of_one_sender_arrive_in_order_and_once():
    with members(2) as (first, second):
        assert first.ask("flood", second.pid, 5000, 200) is None
        assert [second.got().strip() for _ in range(5000)] == [str(n) for n in range(5000)]


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000, MAX_MESSAGE])
def test_messages_of_any_size_arrive_whole(size):
    with members(2) as (first, second):
        first.tell("large", second.pid, size)
        first.tell("send", second.pid, "and behind it")
        got = second.got()
        assert got == [size, True] or len(got) == size
        assert second.got() == "and behind it"


def test_a_killed_worker_is_forgotten_and_its_replacement_known_when_it_is_ready():
    with members(3) as started:
        first, second, third = started
        second.kill()
        first.tell("send", second.pid, "into the void")
        until_known(first, [third.pid])
        fourth = Member()
        started.append(fourth)
        assert first.ask("workers") == sorted([third.pid, fourth.pid])
        first.tell("publish", "to those that live")
        assert (third.got(), fourth.got()) == ("to those that live", "to those that live")
        fourth.tell("send", first.pid, "and back")
        assert first.got() == "and back"


def test_a_worker_that_does_not_read_stops_nobody_and_its_loss_is_logged_once():
    with members(3) as (first, asleep, third):
        asleep.signal(signal.SIGSTOP)
        size = 1_000_000
        number = MAX_BACKLOG // size + 10
        assert first.ask("flood", asleep.pid, number, size) is None
        first.tell("send", third.pid, "still here")
        assert third.got() == "still here"
        asleep.signal(signal.SIGCONT)
        received = [asleep.got() for _ in range(MAX_BACKLOG // size)]
        assert len(received) >= 30
        first.close()
        text = first.log()
        assert text.count(f"worker {asleep.pid} does not read: messages to it are lost") == 1
        assert f"worker {asleep.pid} reads again" in text


def test_a_worker_starts_while_another_does_not_react():
    with members(1) as started:
        (asleep,) = started
        asleep.signal(signal.SIGSTOP)
        late = Member()
        started.append(late)
        late.tell("send", asleep.pid, "for later")
        assert late.quiet()
        asleep.signal(signal.SIGCONT)
        assert asleep.got() == "for later"


def test_workers_that_start_at_the_same_time_all_know_each_other():
    with members(1) as started:
        threads = [
            threading.Thread(target=lambda: started.append(Member())) for _ in range(4)
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pids = sorted(member.pid for member in started)
        assert len(pids) == 5
        for member in started:
            assert member.ask("workers") == [pid for pid in pids if pid != member.pid]


def test_what_a_worker_sent_before_it_ended_arrives():
    with members(2) as (first, second):
        first.tell("large", second.pid, 8_000_000)
        first.close()
        assert second.got() == [8_000_000, True]


def test_processes_of_other_services_are_not_met():
    with members(1) as started:
        (ours,) = started
        stranger = Member("setsid", "--fork", "--wait")  # its parent is not this process
        started.append(stranger)
        assert stranger.ask("workers") == []
        assert ours.ask("workers") == []


def test_a_stranger_that_knows_the_address_is_not_let_in():
    """This process is the parent of the workers, not one of them."""
    with members(1) as (only,):
        family = family_of_children()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(family._address(0))
            connection.sendall(b"\x03\0\0\0\x04\0newsbad")
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        assert only.quiet()
        assert only.ask("workers") == []
        only.close()
        assert f"process {os.getpid()} is no worker: not let on the bus" in only.log()


def test_a_stranger_at_the_address_is_not_spoken_to():
    family = family_of_children()
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(family._address(0))
        squatter.listen()
        with members(2) as (first, second):
            first.tell("publish", "secret")
            assert second.got() == "secret"
            squatter.settimeout(20)
            connection, _ = squatter.accept()
            with connection:
                assert connection.recv(1) == b""


# -- without other processes


def alone(check):
    """Run a coroutine function with a bus that is closed at the end."""

    async def run() -> None:
        bus = Bus(asyncio.get_running_loop())
        try:
            await check(bus)
        finally:
            await bus.close()

    asyncio.run(run())


def test_messages_that_are_too_long_are_refused_where_they_are_sent():
    async def check(bus: Bus) -> None:
        await bus.open()
        with pytest.raises(ValueError, match="up to 16777216 bytes, not 16777217: split it"):
            bus.publish("a", bytes(MAX_MESSAGE + 1))
        for name in ("", "x" * (MAX_CHANNEL + 1)):
            with pytest.raises(ValueError, match="a channel's name has 1 to 255 bytes"):
                bus.send(1, name, b"")

    alone(check)


def test_a_receiver_that_fails_hinders_no_other(caplog):
    async def check(bus: Bus) -> None:
        got = asyncio.get_running_loop().create_future()
        bus.subscribe(CHANNEL, lambda data: 1 / 0)
        bus.subscribe(CHANNEL, got.set_result)
        await bus.open()
        bus.send(bus.worker, CHANNEL, bytearray(b"here"))
        assert await got == b"here"

    alone(check)
    assert "a receiver of messages on 'news' failed" in caplog.text


def test_what_is_sent_before_the_others_are_known_waits_for_them():
    with members(1) as (other,):

        async def check(bus: Bus) -> None:
            bus._family = Family.of_parent()
            bus.publish(CHANNEL, b"nobody of this family is there")
            assert bus._held
            await bus.open()
            assert bus._held is None

        alone(check)
        assert other.quiet()


def test_a_worker_stays_alone_where_no_place_is_free(monkeypatch, caplog):
    monkeypatch.setattr("skitai.bus.meeting.LAST_PLACE", 0)

    async def check(bus: Bus) -> None:
        second = Bus(asyncio.get_running_loop())
        await bus.open()
        await second.open()
        second.publish(CHANNEL, b"lost")
        await second.close()

    alone(check)
    assert "workers can't send each other messages" in caplog.text


def test_after_the_end_nothing_happens():
    async def check(bus: Bus) -> None:
        got: list[bytes] = []
        bus.subscribe(CHANNEL, got.append)
        await bus.open()
        await bus.close()
        bus.send(bus.worker, CHANNEL, b"late")
        bus.publish(CHANNEL, b"late")
        await asyncio.sleep(0)
        assert got == []
        assert bus_module.CLOSE_SECONDS < 1

    alone(check)
