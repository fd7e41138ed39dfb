"""``Cluster``: the members of an alias as one upstream; requests are spread over them by weight.

Members that fail are left alone for a while and then tried again with a request (seed, Map /
Load-Balancing). Lives on the worker's loop, like the backends in it.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from skitai.tasks.errors import (
    Failure,
    OperationTimeout,
    PoolExhausted,
    timeout_failure,
)
from skitai.tasks.reply import Reply
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_TIMEOUT
from skitai.upstream.slots import EXPIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from skitai.upstream.interface import Backend, Member

T = TypeVar("T")

DEAD_SECONDS = 60.0
LONG_DEAD_SECONDS = 600.0
LONG_DEAD_AFTER = 10  # failures in a row

log = logging.getLogger("skitai")


class Node:
    """A member, its connections, and how it has done.

    Attributes:
        name, weight: of the member.
        failures: one after the other; 0 while it is alive. Requests that fail together are one.
        retry_at: when a dead one may be tried again (monotonic seconds).
        probing: a request is trying it.
        running: requests that are there through the cluster.
        credit: grows until it is its turn.
    """

    __slots__ = (
        "backend", "credit", "failures", "name", "probing", "retry_at", "running", "weight",
    )  # fmt: skip

    def __init__(self, member: Member, backend: Backend) -> None:
        self.name = member.name
        self.weight = member.weight
        self.backend = backend
        self.failures = 0
        self.retry_at = 0.0
        self.probing = False
        self.running = 0
        self.credit = 0

    @property
    def busy(self) -> int:
        """Requests and sessions that are there."""
        return max(self.running, self.backend.busy)

    def alive(self, now: float) -> bool:
        """Whether it may be asked: it has not failed, or it is time to try it again."""
        return not self.failures or (self.retry_at <= now and not self.probing)


class Cluster:
    """The members of an alias.

    Parameters:
        name: of the alias, for the log.
        backends: each member with its connections.
    """

    def __init__(self, name: str, backends: Sequence[tuple[Member, Backend]]) -> None:
        self._name = name
        self._nodes = [Node(member, backend) for member, backend in backends]

    @property
    def nodes(self) -> list[Node]:
        """The members; on the loop."""
        return self._nodes

    @property
    def busy(self) -> int:
        """Requests and sessions at all members."""
        return sum(node.busy for node in self._nodes)

    async def call(self, request: Any, repeatable: bool = False) -> Reply:
        """Ask the member that is free most, by weight; its name is the ``node`` of the reply.

        When the connection to it fails, others are asked, each once at most.

        Parameters:
            request: for the backends.
            repeatable: it may be sent again when a member has failed in the middle of it.

        Raises ``Failure``, of the last member that was asked.
        """
        nodes = self._nodes
        if len(nodes) == 1:  # nothing to choose from, and no other to try
            node = nodes[0]
            try:
                reply = await self._ask(node, request)
            except Failure as failure:
                self._judge(node, failure)
                raise
            node.failures = 0
            return reply
        return await self._try(lambda node: self._ask(node, request), repeatable)

    async def use(
        self, action: Callable[[Any], Coroutine[Any, Any, T]], repeatable: bool = False
    ) -> T:
        """Do something with the backend of the member that is free most.

        Parameters:
            action: gets the backend; raises ``Failure`` as ``Backend.call`` does, and is then done
                with another one.
            repeatable: as of ``call``.
        """
        nodes = self._nodes
        if len(nodes) == 1:
            return await self._watch(nodes[0], lambda node: action(node.backend))
        return await self._try(lambda node: action(node.backend), repeatable)

    def begin(self) -> Node | None:
        """The member whose turn it is, when all are alive and can be asked at once.

        What is done there ends with ``end``. With None nothing has begun: ``use`` waits.
        """
        nodes = self._nodes
        for node in nodes:
            if node.failures or not node.backend.ready:  # type: ignore[attr-defined]  # of services
                return None
        node = _balance(nodes)
        node.running += 1
        return node

    def end(self, node: Node, why: object = None) -> None:
        """What has begun at a member has ended; ``why`` it has failed, if it has."""
        node.running -= 1
        if why is not None:
            self._failed(node, why)

    @property
    def several(self) -> bool:
        """There are other members to ask."""
        return len(self._nodes) > 1

    async def ask_all(self, request: Any) -> Reply:
        """Ask every member that is alive, or all if none is.

        The data of the reply is a list of what they answered, each a ``Reply`` or a ``Failure``, in
        the order of the members. Those that have not answered at the deadline have failed.
        """
        nodes = [node for node in self._nodes if node.alive(monotonic())] or self._nodes
        jobs = [
            asyncio.ensure_future(self._watch(node, lambda node: self._ask(node, request)))
            for node in nodes
        ]
        try:
            await asyncio.wait(jobs)
        except asyncio.CancelledError as exc:
            for job in jobs:
                job.cancel(*exc.args)
            await asyncio.wait(jobs)
            if exc.args != (EXPIRED,):
                raise
        outcomes = [_outcome(job) for job in jobs]
        for outcome in outcomes:
            if not isinstance(outcome, (Reply, Failure)):
                raise outcome
        return Reply(outcomes)

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        closing = [asyncio.ensure_future(node.backend.close()) for node in self._nodes]
        await asyncio.wait(closing)
        for node, closed in zip(self._nodes, closing, strict=True):
            if not closed.cancelled() and (error := closed.exception()) is not None:
                log.error("%s: closing %s failed", self._name, node.name, exc_info=error)

    # -- asking

    async def _ask(self, node: Node, request: Any) -> Reply:
        reply = await node.backend.call(request)
        reply.node = node.name
        return reply

    async def _try(self, action: Callable[[Node], Coroutine[Any, Any, T]], repeatable: bool) -> T:
        """Do something at one member; at others, each once at most, when that can't harm."""
        tried: list[Node] = []
        while True:
            node = self._choose(tried)
            tried.append(node)
            try:
                return await self._watch(node, action)
            except Failure as failure:
                again = failure.status == STA_NETERR and (repeatable or not failure.sent)
                if not again or len(tried) == len(self._nodes):
                    raise

    async def _watch(self, node: Node, action: Callable[[Node], Coroutine[Any, Any, T]]) -> T:
        """Do something at a member, and see how it does."""
        probes = node.failures > 0 and not node.probing
        node.probing = node.probing or probes
        node.running += 1
        try:
            result = await action(node)
        except Failure as failure:
            self._judge(node, failure)
            raise
        except asyncio.CancelledError as exc:
            if exc.args == (EXPIRED,):
                self._failed(node, EXPIRED)
            raise
        finally:
            node.running -= 1
            if probes:
                node.probing = False
        self._answered(node)
        return result

    def _judge(self, node: Node, failure: Failure) -> None:
        if failure.status == STA_NORMAL:
            self._answered(node)
        elif failure.status == STA_NETERR or (
            failure.status == STA_TIMEOUT and not isinstance(failure.error, PoolExhausted)
        ):
            self._failed(node, failure.error)

    def _answered(self, node: Node) -> None:
        if node.failures:
            node.failures = 0
            if len(self._nodes) == 1:
                return  # it was never left out
            log.info("%s: %s answers again", self._name, node.name)

    def _failed(self, node: Node, why: object) -> None:
        now = monotonic()
        if node.failures and now < node.retry_at:
            return  # one of those that have failed together, or there was no other to ask
        node.failures += 1
        seconds = DEAD_SECONDS if node.failures < LONG_DEAD_AFTER else LONG_DEAD_SECONDS
        node.retry_at = now + seconds
        if len(self._nodes) > 1:
            log.warning("%s: %s is left out for %g s: %s", self._name, node.name, seconds, why)

    # -- choosing

    def _choose(self, tried: list[Node]) -> Node:
        now = monotonic()
        left = [node for node in self._nodes if node not in tried]
        if not tried:
            for node in left:
                if node.failures and node.alive(now):
                    return node  # it is time to try it again
        return _balance([node for node in left if not node.failures] or left)


def _balance(nodes: list[Node]) -> Node:
    """The next of some members; together they get shares as their weights are.

    Nobody may have more than its share, rounded up, of what runs at a time, so that one that is
    slow or hangs gets less. Among the others it is whose turn it is: each gains credit by weight
    with each request, and who has most of it pays for all.
    """
    if len(nodes) == 1:
        return nodes[0]
    weights = sum(node.weight for node in nodes)
    running = sum(node.busy for node in nodes) + 1
    gained = 0
    chosen = None
    for node in nodes:
        # Who has been passed over for long shall not get everything when it is fast again.
        gain = min(node.weight, weights - node.credit)
        node.credit += gain
        gained += gain
        if node.busy * weights < running * node.weight and (
            chosen is None or node.credit > chosen.credit
        ):
            chosen = node
    assert chosen is not None  # the shares together are more than what runs
    chosen.credit -= gained
    return chosen


def _outcome(job: asyncio.Future[Reply]) -> Reply | BaseException:
    if job.cancelled():
        return timeout_failure(OperationTimeout("Operation Timeout"))
    return job.exception() or job.result()
