"""Runs the function of a job, in the process that was forked for it."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from typing import TYPE_CHECKING

import uvloop
from setproctitle import setproctitle

from skitai import log
from skitai.supervisor.seats import service_name

if TYPE_CHECKING:
    from skitai.config import Settings
    from skitai.schedules.declarations import Job


def run_function(job: Job, log_fd: int, settings: Settings) -> int:
    """Run it to its end; the exit code.

    Parameters:
        log_fd: where the service logs, unless that is a file; standard output is the job's.
        settings: of the service.
    """
    assert job.function is not None
    setproctitle(f"{service_name(settings.name)}:{job.name}")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    log.install(job.name, os.fdopen(log_fd, "w", buffering=1), settings)
    try:
        result = job.function()
        if inspect.isawaitable(result):
            uvloop.new_event_loop().run_until_complete(result)
    except SystemExit as exc:
        if exc.code is None or isinstance(exc.code, int):
            return exc.code or 0
        print(exc.code, file=sys.stderr)
        return 1
    except BaseException as exc:
        frames = exc.__traceback__
        assert frames is not None
        traceback.print_exception(type(exc), exc, frames.tb_next)  # without this one
        return 1
    return 0
