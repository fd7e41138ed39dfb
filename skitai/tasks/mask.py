"""``Mask``: data that is there already, with the methods of a task (seed, Mask)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.tasks.awaitable import Awaitable, only
from skitai.tasks.status import STA_NORMAL

if TYPE_CHECKING:
    from collections.abc import Generator


class Mask(Awaitable):
    """A task that has ended.

    Parameters:
        data: what ``fetch`` returns.
        _expt: what ``fetch`` raises instead.
        _status_code: 200, or 500 with an exception, unless given.
        meta: anything of the app's.
        keys: names of the elements of ``data``, which then is fetched as a dictionary.
    """

    __slots__ = ("data", "error", "status", "status_code")

    reason = ""
    node = ""

    def __init__(
        self,
        data: Any = None,
        _expt: BaseException | None = None,
        _status_code: int | None = None,
        meta: dict[str, Any] | None = None,
        keys: list[str] | None = None,
    ) -> None:
        self.data = data if keys is None else dict(zip(keys, data, strict=True))
        self.error = _expt
        self.status = STA_NORMAL
        self.status_code = _status_code or (200 if _expt is None else 500)
        self.meta = {} if meta is None else meta

    @property
    def done(self) -> bool:
        """True: there is nothing to wait for."""
        return True

    def fetch(self, *_: Any, **__: Any) -> Any:
        """The data, at once; arguments are those of a task and mean nothing here."""
        if self.error is not None:
            raise self.error
        return self.data

    def one(self, *_: Any, **__: Any) -> Any:
        """The only element, as ``Task.one``."""
        return only(self.fetch)

    def commit(self, *_: Any, **__: Any) -> None:
        """Raise the exception, if there is one."""
        self.fetch()

    def dispatch(self, *_: Any, **__: Any) -> Mask:
        """The mask itself."""
        return self

    wait = dispatch

    def reraise(self) -> None:
        """Raise the exception, if there is one."""
        self.fetch()

    def cancel(self) -> None:
        """There is nothing to break off."""

    def __await__(self) -> Generator[Any, None, Mask]:
        return self
        yield
