"""Tasks that ask every member of an alias: ``was.db.map``, ``was.stub.map`` (seed, Map)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from skitai.tasks.errors import Failure, mark_gateway
from skitai.tasks.reply import Reply
from skitai.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator


class Members(list[Any]):
    """What every member answered: tasks that have ended.

    An attribute is the list of that attribute of each: ``members.status``, ``members.data``.
    """

    def __getattr__(self, name: str) -> list[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return [getattr(member, name) for member in self]

    def fetch(self) -> list[Any]:
        """The data of each; raises what the first of them raises that failed."""
        return [member.fetch() for member in self]

    def one(self) -> list[Any]:
        """The only element of each. Raises as ``Task.one``."""
        return [member.one() for member in self]

    def commit(self) -> None:
        """Raise what the first raises that failed."""
        for member in self:
            member.commit()


class SeveralTask(Task):
    """One request to all members; ``dispatch`` gives what each answered.

    Attributes:
        kind: class of the tasks that stand for the answers.
    """

    __slots__ = ("_members",)

    kind: ClassVar[type[Task]] = Task

    def _prepare(self, *args: Any) -> None:
        super()._prepare(*args)
        self._members: Members | None = None

    @property
    def members(self) -> Members:
        """The answers, in the order of the members; empty when the task itself failed."""
        members = self._members
        if members is None:
            answers = self._reply.data if self._reply is not None else None
            members = self._members = Members(self._member(answer) for answer in answers or ())
        return members

    def _member(self, answer: Reply | Failure) -> Task:
        if isinstance(answer, Reply):
            if answer.error is not None:
                mark_gateway(answer.error, 502)
            return self.kind.ended(self._loop, answer, self.meta, self._filter)
        return self.kind.failed(self._loop, answer, self.meta)

    @property
    def data(self) -> list[Any]:
        """The data of each member that has answered."""
        return self.members.data

    def __iter__(self) -> Iterator[Any]:
        return iter(self.dispatch())

    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for all members; a list of what they answered. Parameters: ``Task.dispatch``."""
        super().dispatch(*args, **kwargs)
        return self.members

    def fetch(self, *args: Any, **kwargs: Any) -> Any:
        """The data of each member; raises what the first raises that failed."""
        self._ended_well(*args, **kwargs)
        return self.members.fetch()

    result = fetch

    def one(self, *args: Any, **kwargs: Any) -> Any:
        """The only element of each member's data."""
        self._ended_well(*args, **kwargs)
        return self.members.one()

    def reraise(self) -> None:
        """Raise what went wrong with the first member that failed."""
        super().reraise()
        self.members.commit()

    def _ended_well(self, *args: Any, **kwargs: Any) -> None:
        super().dispatch(*args, **kwargs)
        super().reraise()


_classes: dict[type[Task], type[SeveralTask]] = {}


def several(kind: type[Task]) -> type[SeveralTask]:
    """The class of tasks whose answers are of one kind."""
    made = _classes.get(kind)
    if made is None:
        name = f"Several{kind.__name__}"
        made = _classes[kind] = type(name, (SeveralTask,), {"kind": kind, "__slots__": ()})
    return made
