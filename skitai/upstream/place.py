"""``Place``: what an alias or a URL stands for; its connections are made when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.upstream.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skitai.upstream.interface import Backend, Member


class Place:
    """An upstream.

    Parameters:
        name: for messages and the result cache.
        kind: of the alias, one of ``skitai.upstream.kinds``.
        members: its servers.
        make: makes the backend of one; called on the loop.
    """

    __slots__ = ("_cluster", "_make", "kind", "members", "name")

    def __init__(
        self, name: str, kind: str, members: Sequence[Member], make: Callable[[Member], Backend]
    ) -> None:
        self.name = name
        self.kind = kind
        self.members = members
        self._make = make
        self._cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        """The members with their connections; on the loop only."""
        if self._cluster is None:
            self._cluster = Cluster(
                self.name, [(member, self._make(member)) for member in self.members]
            )
        return self._cluster

    def conditions(self) -> list[dict[str, Any]]:
        """How the members do, if one was asked yet; on the loop."""
        return [
            {
                "upstream": self.name,
                "member": node.name,
                "up": int(not node.failures),
                "busy": node.busy,
                "failures": node.failures,
            }
            for node in (self._cluster.nodes if self._cluster is not None else ())
        ]

    async def close(self) -> None:
        """Close the connections, if there are any."""
        if self._cluster is not None:
            await self._cluster.close()
