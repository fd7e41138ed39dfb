"""Balancing over real servers: shares, members that fail and come back, failures, all members."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from skitai.tasks.errors import (
    Failure,
    NetworkError,
    OperationTimeout,
    PoolExhausted,
    network_failure,
    request_failure,
)
from skitai.tasks.loops import TaskLoop
from skitai.tasks.reply import Reply
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT
from skitai.tasks.task import Task
from skitai.upstream import cluster as cluster_module
from skitai.upstream.cluster import Cluster
from skitai.upstream.interface import Member
from skitai.upstream.slots import EXPIRED, Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

PATIENCE = 20.0  # seconds


class Server:
    """Answers each line with its name and the line; or misbehaves, as ``mood`` says."""

    def __init__(self, name: str, weight: int = 1) -> None:
        self.name = name
        self.weight = weight
        self.mood = "answers"
        self.asked: list[str] = []
        self.port = 0
        self.go = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> Server:
        self.go.clear()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.go.set()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.asked.append(line.decode().strip())
                if self.mood == "hangs up":
                    break
                if self.mood == "waits":
                    await self.go.wait()
                elif self.mood == "is silent":
                    await reader.read()  # until the client has gone
                    break
                writer.write(f"{self.name} {line.decode()}".encode())
                await writer.drain()
        self._open.discard(writer)
        writer.close()

    @property
    def member(self) -> Member:
        return Member("127.0.0.1", self.port, self.name, weight=self.weight)


class LineBackend:
    """Asks a server for a line, each time over a new connection, as drivers are to do it."""

    def __init__(self, member: Member, max_conns: int = 0) -> None:
        self._member = member
        self._slots = Slots(max_conns, member.name)
        self.closed = False

    @property
    def busy(self) -> int:
        return self._slots.busy

    async def call(self, request: Any) -> Reply:
        if not isinstance(request, str):
            raise request_failure(TypeError("only text can be sent"))
        await self._slots.acquire()
        try:
            return await self._ask(request)
        finally:
            self._slots.release()

    async def _ask(self, request: str) -> Reply:
        try:
            reader, writer = await asyncio.open_connection(self._member.host, self._member.port)
        except OSError as exc:
            raise network_failure(NetworkError(str(exc)), sent=False) from None
        try:
            writer.write(f"{request}\n".encode())
            line = await reader.readline()
        except OSError as exc:
            raise network_failure(NetworkError(str(exc)), sent=True) from None
        finally:
            writer.transport.abort()
        if not line:
            raise network_failure(NetworkError("the server hung up"), sent=True)
        if request == "wrong":
            raise Failure(ValueError("wrong question"))
        return Reply(line.decode().strip())

    async def close(self) -> None:
        self.closed = True


class Servers:
    """Servers a, b, c …, one for each weight, and a cluster of them."""

    def __init__(self, *weights: int, max_conns: int = 0) -> None:
        self.all = [Server(chr(97 + number), weight) for number, weight in enumerate(weights)]
        self._max_conns = max_conns

    async def __aenter__(self) -> Servers:
        for server in self.all:
            await server.start()
        self.backends = [LineBackend(server.member, self._max_conns) for server in self.all]
        members = [server.member for server in self.all]
        self.cluster = Cluster("@x", list(zip(members, self.backends, strict=True)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.all:
            with contextlib.suppress(AssertionError):
                await server.stop()

    def __getitem__(self, number: int) -> Server:
        return self.all[number]

    async def ask(self, repeatable: bool = False) -> str:
        """Which server answers."""
        reply = await self.cluster.call("hello", repeatable)
        name = reply.data.split()[0]
        assert reply.node == next(s.member.name for s in self.all if s.name == name)
        return str(name)

    async def count(self, number: int, repeatable: bool = False) -> dict[str, int]:
        """How often each answers of so many requests, one after the other."""
        return dict(Counter([await self.ask(repeatable) for _ in range(number)]))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cluster_module, "monotonic", clock)
    return clock


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(work: Coroutine[Any, Any, None]) -> None:
        async def check() -> None:
            await asyncio.wait_for(work, PATIENCE)
            # What serves a connection may need a moment to see that it was closed.
            for _ in range(100):
                if len(asyncio.all_tasks()) == 1:
                    break
                await asyncio.sleep(0.01)
            assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()

        if request.param == "uvloop":
            loop = uvloop.new_event_loop()
            try:
                loop.run_until_complete(check())
            finally:
                loop.close()
        else:
            asyncio.run(check())

    return run


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


# Shares


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((1, 1, 1), {"a": 100, "b": 100, "c": 100}),
        ((20, 10), {"a": 200, "b": 100}),
        ((1, 2, 3), {"a": 50, "b": 100, "c": 150}),
        ((1000000, 1), {"a": 300}),
        ((1,), {"a": 300}),
    ],
)
def test_one_request_after_the_other_is_shared_by_weight(run, weights, shares) -> None:
    async def work() -> None:
        async with Servers(*weights) as servers:
            assert await servers.count(300) == shares

    run(work())


def test_a_heavy_member_does_not_get_its_share_in_one_piece(run) -> None:
    async def work() -> None:
        async with Servers(5, 1, 1) as servers:
            order = "".join([await servers.ask() for _ in range(14)])
            assert order.count("a") == 10
            assert "aaaaa" not in order

    run(work())


class HeldBackend:
    """Answers when it is told to; all of them in the order of the requests."""

    def __init__(self, waiting: deque[asyncio.Future[None]]) -> None:
        self._waiting = waiting
        self.busy = 0

    async def call(self, request: object) -> Reply:
        self.busy += 1
        self._waiting.append(asyncio.get_running_loop().create_future())
        await self._waiting[-1]
        self.busy -= 1
        return Reply(request)


@pytest.mark.parametrize("clients", [1, 2, 3, 5, 30])
@pytest.mark.parametrize("weights", [(20, 10, 10), (4, 2, 1), (1, 1, 1), (50, 1)])
def test_requests_at_the_same_time_are_shared_by_weight(run, weights, clients) -> None:
    async def work() -> None:
        waiting: deque[asyncio.Future[None]] = deque()
        members = [Member(name, 1, weight=n) for name, n in zip("abc", weights, strict=False)]
        cluster = Cluster("@x", [(member, HeldBackend(waiting)) for member in members])
        jobs: set[asyncio.Future[Reply]] = set()
        counts: Counter[str] = Counter()
        for _ in range(1000):
            while len(jobs) < clients:
                jobs.add(asyncio.ensure_future(cluster.call("x")))
                await asyncio.sleep(0)  # it is sent
            waiting.popleft().set_result(None)
            done, jobs = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            counts.update(job.result().node[0] for job in done)
        while waiting:
            waiting.popleft().set_result(None)
        await asyncio.gather(*jobs)
        for member in members:
            share = 1000 * member.weight / sum(weights)
            assert abs(counts[member.host] - share) <= clients + 1, counts

    run(work())


def test_what_runs_is_shared_by_weight(run) -> None:
    async def work() -> None:
        async with Servers(4, 2, 1) as servers:
            for server in servers.all:
                server.mood = "waits"
            asking = [asyncio.ensure_future(servers.ask()) for _ in range(70)]
            await until(lambda: sum(len(server.asked) for server in servers.all) == 70)
            assert [len(server.asked) for server in servers.all] == [40, 20, 10]
            assert servers.cluster.busy == 70
            for server in servers.all:
                server.go.set()
            await asyncio.gather(*asking)
            assert servers.cluster.busy == 0

    run(work())


def test_a_slow_member_gets_less(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            servers[0].mood = "waits"
            first = [asyncio.ensure_future(servers.ask()) for _ in range(6)]
            await until(lambda: len(servers[0].asked) == 3 == servers.cluster.busy)
            await servers.count(50)
            assert len(servers[0].asked) == 3
            servers[0].go.set()
            await asyncio.gather(*first)

    run(work())


def test_sessions_that_hold_connections_count_too(run) -> None:
    """A backend may be busy with more than the calls of the cluster."""

    async def work() -> None:
        async with Servers(1, 1) as servers:
            for _ in range(10):
                await servers.backends[0]._slots.acquire()
            assert await servers.count(8) == {"b": 8}

    run(work())


# Members that fail


def test_with_one_dead_member_of_three_no_request_fails(run) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            await servers.count(30)
            await servers[1].stop()
            assert await servers.count(30) == {"a": 15, "c": 15}

    run(work())


def test_a_member_that_dies_under_load_costs_no_repeatable_request(run) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            left = iter(range(400))
            answers: list[str] = []

            async def client() -> None:
                for number in left:
                    if number == 100:
                        await servers[1].stop()
                    if number == 250:
                        await servers[1].start()
                    answers.append(await servers.ask(repeatable=True))

            await asyncio.gather(*(client() for _ in range(8)))
            assert len(answers) == 400

    run(work())


def test_a_dead_member_is_asked_again_after_a_minute_by_one_request(run, clock, caplog) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            await servers[1].stop()
            await servers.count(6)
            await servers[1].start()
            clock.now += 59
            assert await servers.count(6) == {"a": 3, "c": 3}
            clock.now += 2
            servers[1].mood = "waits"
            probe = asyncio.ensure_future(servers.ask())
            await until(lambda: servers[1].asked != [])
            assert await servers.count(6) == {"a": 3, "c": 3}
            servers[1].go.set()
            assert await probe == "b"
            servers[1].mood = "answers"
            assert await servers.count(6) == {"a": 2, "b": 2, "c": 2}

    caplog.set_level(logging.INFO, "skitai")
    run(work())
    left_out, back = [record.getMessage() for record in caplog.records]
    assert left_out.startswith("@x: 127.0.0.1:")
    assert "/b is left out for 60 s: " in left_out
    assert back.endswith("/b answers again")


def test_a_member_that_stays_dead_is_tried_by_one_request_a_minute(run, clock, caplog) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            await servers[1].stop()
            for _ in range(12):
                clock.now += 61
                assert await servers.count(5) == {"a": 5}

    run(work())
    seconds = [record.getMessage().split(" for ")[1].split(" s:")[0] for record in caplog.records]
    # Ten minutes from the tenth failure on, so that two more minutes bring no other.
    assert seconds == ["60"] * 9 + ["600"]


def test_requests_that_fail_together_are_one_failure(run, clock, caplog) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            for server in servers.all:
                server.mood = "waits"
            asking = [asyncio.ensure_future(servers.cluster.call("x", True)) for _ in range(40)]
            await until(lambda: sum(len(server.asked) for server in servers.all) == 40)
            servers[0].mood = "answers"
            servers[0].go.set()
            await servers[1].stop()
            await asyncio.gather(*asking)
            clock.now += 61
            await servers[1].start()
            servers[1].mood = "answers"
            assert await servers.count(10) == {"a": 5, "b": 5}

    run(work())
    assert len(caplog.records) == 1


def test_when_all_are_dead_all_are_tried(run, clock) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            for server in servers.all:
                await server.stop()
            for _ in range(20):
                with pytest.raises(Failure) as caught:
                    await servers.cluster.call("hello")
                assert caught.value.status == STA_NETERR
                assert caught.value.sent is False
            for server in servers.all:
                await server.start()
            assert await servers.ask() in "abc"
            clock.now += 61  # failures without an alternative were one each
            assert set(await servers.count(2)) < set("abc")
            assert await servers.count(30) == {"a": 10, "b": 10, "c": 10}

    run(work())


def test_an_only_member_is_always_asked(run) -> None:
    async def work() -> None:
        async with Servers(1) as servers:
            await servers[0].stop()
            for _ in range(15):
                with pytest.raises(Failure):
                    await servers.ask(repeatable=True)
            await servers[0].start()
            assert await servers.ask() == "a"

    run(work())


# What is tried again


def test_what_may_have_been_done_is_not_done_again_unless_it_may_be(run) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            for server in servers.all:
                server.mood = "hangs up"
            with pytest.raises(Failure) as caught:
                await servers.cluster.call("hello")
            assert (caught.value.status, caught.value.sent) == (STA_NETERR, True)
            assert sum(len(server.asked) for server in servers.all) == 1

        async with Servers(1, 1, 1) as servers:
            for server in servers.all:
                server.mood = "hangs up"
            with pytest.raises(Failure):
                await servers.cluster.call("hello", repeatable=True)
            assert [len(server.asked) for server in servers.all] == [1, 1, 1]
            servers[2].mood = "answers"
            assert await servers.ask(repeatable=True) == "c"

    run(work())


def test_an_error_of_the_server_is_an_answer(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            for _ in range(4):
                with pytest.raises(Failure) as caught:
                    await servers.cluster.call("wrong", repeatable=True)
                assert caught.value.status == STA_NORMAL
            assert [server.asked for server in servers.all] == [["wrong"] * 2] * 2
            assert await servers.count(4) == {"a": 2, "b": 2}

    run(work())


def test_a_request_that_cannot_be_made_says_nothing_of_the_member(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            with pytest.raises(Failure) as caught:
                await servers.cluster.call(5, repeatable=True)
            assert caught.value.status == STA_REQFAIL
            assert await servers.count(4) == {"a": 2, "b": 2}

    run(work())


async def expired(work: Coroutine[Any, Any, Any], ready: Awaitable[None]) -> BaseException:
    """Cancel work as a task does at its deadline; what it raises."""
    job = asyncio.ensure_future(work)
    await ready
    job.cancel(EXPIRED)
    with pytest.raises((Failure, asyncio.CancelledError)) as caught:
        await job
    return caught.value


def test_a_member_that_does_not_answer_in_time_is_left_out_but_not_repeated(run, clock) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            servers[0].mood = "is silent"
            await expired(
                servers.cluster.call("x", repeatable=True), until(lambda: servers[0].asked != [])
            )
            assert servers[1].asked == []
            assert await servers.count(5) == {"b": 5}
            servers[0].mood = "answers"
            clock.now += 61
            assert await servers.count(6) == {"a": 3, "b": 3}
            assert servers.cluster.busy == 0

    run(work())


def test_a_client_that_leaves_says_nothing_of_the_member(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            servers[0].mood = "waits"
            job = asyncio.ensure_future(servers.ask())
            await until(lambda: servers[0].asked != [])
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            servers[0].go.set()
            assert await servers.count(4) == {"a": 2, "b": 2}
            assert servers.cluster.busy == 0

    run(work())


def test_a_client_that_leaves_while_a_member_is_probed_leaves_that_to_the_next(run, clock) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            await servers[0].stop()
            await servers.count(2)
            await servers[0].start()
            servers[0].mood = "waits"
            clock.now += 61
            job = asyncio.ensure_future(servers.ask())
            await until(lambda: servers[0].asked != [])
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            servers[0].go.set()
            assert await servers.ask() == "a"

    run(work())


def test_a_full_pool_says_nothing_of_the_member(run) -> None:
    async def work() -> None:
        async with Servers(1, 1, max_conns=1) as servers:
            for server in servers.all:
                server.mood = "waits"
            holding = [asyncio.ensure_future(servers.ask()) for _ in range(2)]
            await until(lambda: all(server.asked for server in servers.all))
            error = await expired(
                servers.cluster.call("x"), until(lambda: servers.cluster.busy == 3)
            )
            assert isinstance(error, Failure)
            assert isinstance(error.error, PoolExhausted)
            for server in servers.all:
                server.go.set()
            await asyncio.gather(*holding)
            assert await servers.count(4) == {"a": 2, "b": 2}

    run(work())


def test_other_work_is_done_at_the_next_member_too(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            await servers[0].stop()
            seen: list[object] = []

            async def session(backend: LineBackend) -> str:
                seen.append(backend)
                return str((await backend.call("hi")).data)

            assert await servers.cluster.use(session) == "b hi"
            assert seen == servers.backends
            with pytest.raises(ZeroDivisionError):
                await servers.cluster.use(crash)
            assert await servers.cluster.use(session) == "b hi"

    async def crash(backend: object) -> None:
        raise ZeroDivisionError

    run(work())


# All members


def test_all_members_are_asked_and_answer_in_their_order(run) -> None:
    async def work() -> None:
        async with Servers(1, 7, 3) as servers:
            reply = await servers.cluster.ask_all("hello")
            assert [answer.data for answer in reply.data] == ["a hello", "b hello", "c hello"]
            assert [answer.node for answer in reply.data] == [s.member.name for s in servers.all]

    run(work())


def test_a_member_that_fails_is_a_failure_among_the_answers(run, clock) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            servers[1].mood = "hangs up"
            answers = (await servers.cluster.ask_all("hello")).data
            assert [type(answer) for answer in answers] == [Reply, Failure, Reply]
            assert answers[1].status == STA_NETERR
            assert [type(a) for a in (await servers.cluster.ask_all("x")).data] == [Reply, Reply]
            servers[1].mood = "answers"
            clock.now += 61
            answers = (await servers.cluster.ask_all("x")).data
            assert [answer.data for answer in answers] == ["a x", "b x", "c x"]

    run(work())


def test_when_all_members_are_dead_all_are_asked(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            for server in servers.all:
                await server.stop()
            for _ in range(2):
                answers = (await servers.cluster.ask_all("x")).data
                assert [type(answer) for answer in answers] == [Failure, Failure]
            for server in servers.all:
                await server.start()
            answers = (await servers.cluster.ask_all("x")).data
            assert [answer.data for answer in answers] == ["a x", "b x"]

    run(work())


def test_at_the_deadline_the_answers_that_came_are_there(run) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            servers[1].mood = "is silent"
            job = asyncio.ensure_future(servers.cluster.ask_all("x"))
            await until(lambda: servers.cluster.busy == 1 and servers[1].asked != [])
            job.cancel(EXPIRED)
            answers = (await job).data
            assert [type(answer) for answer in answers] == [Reply, Failure, Reply]
            assert answers[1].status == STA_TIMEOUT
            assert isinstance(answers[1].error, OperationTimeout)
            assert servers.cluster.busy == 0

    run(work())


def test_a_client_that_leaves_breaks_all_of_them_off(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            for server in servers.all:
                server.mood = "is silent"
            job = asyncio.ensure_future(servers.cluster.ask_all("x"))
            await until(lambda: all(server.asked for server in servers.all))
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert servers.cluster.busy == 0

    run(work())


def test_a_crash_of_a_driver_is_no_failure_of_a_member(run) -> None:
    async def work() -> None:
        async with Servers(1, 1) as servers:
            servers.backends[0].call = broken  # type: ignore[method-assign]  # a driver with a bug
            with pytest.raises(ZeroDivisionError):
                await servers.cluster.ask_all("x")
            servers.backends[1].call = broken  # type: ignore[method-assign]
            with pytest.raises(ZeroDivisionError):
                await servers.cluster.call("x", repeatable=True)

    async def broken(request: object) -> Reply:
        raise ZeroDivisionError

    run(work())


# With tasks, and the end


def test_a_task_fails_over_within_its_deadline(run) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            await servers[0].stop()
            await servers[1].stop()
            loop = TaskLoop(asyncio.get_running_loop())
            task = await Task(loop, lambda: servers.cluster.call("hello"))
            assert (task.fetch(), task.node) == ("c hello", servers[2].member.name)
            servers[2].mood = "is silent"
            late = await Task(loop, lambda: servers.cluster.call("hello"), timeout=0.1)
            assert late.status == STA_TIMEOUT
            several = await Task(loop, lambda: servers.cluster.ask_all("hello"), timeout=0.1)
            assert [type(answer) for answer in several.fetch()] == [Failure, Failure, Failure]

    run(work())


def test_closing_closes_all_even_if_one_fails(run, caplog) -> None:
    async def work() -> None:
        async with Servers(1, 1, 1) as servers:
            servers.backends[0].close = broken  # type: ignore[method-assign]  # a driver with a bug
            await servers.cluster.close()
            assert [backend.closed for backend in servers.backends] == [False, True, True]

    async def broken() -> None:
        raise ZeroDivisionError

    run(work())
    assert "@x: closing 127.0.0.1:" in caplog.text
    assert "ZeroDivisionError" in caplog.text
