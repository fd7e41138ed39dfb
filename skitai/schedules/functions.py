"""Runs the function of a job, in the process that was forked for it."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import uvloop
from setproctitle import setproctitle

from skitai import log
from skitai.supervisor.seats import service_name

if TYPE_CHECKING:
    from types import TracebackType

    from skitai.config import Settings
    from skitai.schedules.declarations import Job


Call = Callable[[Callable[[Any], Any], str], Coroutine[Any, Any, None]]


def run_function(job: Job, log_fd: int, settings: Settings, make_call: Callable[[], Call]) -> int:
    """Run it to its end; the exit code.

    Parameters:
        log_fd: where the service logs, unless that is a file; standard output is the job's.
        settings: of the service.
        make_call: makes what calls a function with the ``was`` of an app.
    """
    assert job.function is not None
    setproctitle(f"{service_name(settings.name)}:{job.name}")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    log.install(job.name, os.fdopen(log_fd, "w", buffering=1), settings)
    try:
        result = make_call()(job.function, job.app) if job.takes_was else job.function()
        if inspect.isawaitable(result):
            uvloop.new_event_loop().run_until_complete(result)
    except SystemExit as exc:
        if exc.code is None or isinstance(exc.code, int):
            return exc.code or 0
        print(exc.code, file=sys.stderr)
        return 1
    except BaseException as exc:
        traceback.print_exception(type(exc), exc, _frames_of(job.function, exc.__traceback__))
        return 1
    return 0


def _frames_of(function: Any, frames: TracebackType | None) -> TracebackType | None:
    """A traceback without what called the function; all of it when the function isn't there."""
    code = getattr(getattr(function, "func", function), "__code__", None)
    own = frames
    while own is not None and own.tb_frame.f_code is not code:
        own = own.tb_next
    return own or frames
