"""Who the tasks of an app belong to: a request, which breaks them off when its client leaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from skitai.upstream.calls import Owner

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.request import Request

# Transactions and streams that are kept before those that have ended are forgotten.
KEPT = 64


class RequestTasks:
    """The tasks that a request has started; it knows nothing of the request.

    Those that have ended are forgotten: a filter may know the request, which would keep itself.
    """

    __slots__ = ("_gone", "_limit", "_others", "_tasks")

    def __init__(self) -> None:
        self._tasks: set[Any] = set()
        self._others: list[Any] = []
        self._limit = KEPT
        self._gone = False

    def add(self, task: Any) -> None:
        """A task, transaction or stream was started; any thread.

        When the client has left it is cancelled at once.
        """
        when_done = getattr(task, "when_done", None)
        if when_done is not None:
            self._tasks.add(task)
            when_done(partial(self._tasks.discard, task))
        else:
            self._keep(task)
        if self._gone:
            task.cancel()

    def _keep(self, other: Any) -> None:
        others = self._others
        others.append(other)
        if len(others) > self._limit:
            self._others = [other for other in others if not other.done]
            self._limit = max(KEPT, 2 * len(self._others))

    def cancel(self) -> None:
        """The client left."""
        self._gone = True  # first: other threads may be starting more
        for task in (*list(self._tasks), *self._others):
            if not task.done:
                task.cancel()


def owner_of(
    app: Atila, tasks: RequestTasks | None = None, request: Request | None = None
) -> Owner:
    """Who tells upstreams what an app wants, for a request if there is one."""
    return Owner(
        app.aliases,
        None if tasks is None else tasks.add,
        lambda names: _updated(app, names),
        app.sql_templates,
        None if request is None else request.trace_headers,
        app.config.get("default_request_type"),
    )


def _updated(app: Atila, names: list[str]) -> None:
    """Let the app know what its ``rm_cache`` has changed; the loop must not wait for that."""

    def emit(_: None) -> None:
        for name in names:
            app.emit(f"setlu:{name}")

    if app.pool is None:
        emit(None)
    else:
        app.pool.resubmit(emit, None)
