"""The master process of a service: it keeps the workers running and never serves.

``Service.run`` makes one `Supervisor` and ends with what its ``run`` returns.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from setproctitle import setproctitle

from skitai.log import reopen
from skitai.net.openings import listener_urls
from skitai.supervisor.children import (
    START_FAILED,
    Child,
    Generation,
    Slot,
    describe_end,
    reap_orphans,
)
from skitai.supervisor.jobs import JobsProcess
from skitai.supervisor.notify import notify, watchdog_seconds
from skitai.supervisor.relief import Relief
from skitai.supervisor.seats import DIED, MASTER_SIGNALS, RELOAD, START, service_name
from skitai.supervisor.signals import SignalInbox
from skitai.supervisor.spawning import Spawner

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from skitai.config import Settings
    from skitai.net.udp import UdpPort
    from skitai.supervisor.development import Development
    from skitai.supervisor.seats import WorkerSeat

# All in seconds.
STOP_MARGIN = 5.0  # for umount hooks, after the time that draining may take
LONGEST_SLEEP = 86400.0  # the system's own limit is 24 days


class Supervisor:
    """Starts the workers, replaces those that die, and carries out signals.

    TERM, INT and QUIT drain and stop, a second one kills; HUP starts workers with the code as it is
    now and then drains the old ones; USR1 is passed on (reopen logs).

    Parameters:
        settings: of these ``name``, ``workers``, ``drain_timeout``, ``start_timeout`` and what says
            how sockets are reached are used.
        listeners: bound sockets; the workers listen. They are closed when the service stops.
        serve_worker: runs a worker in its seat and returns its exit code.
        exec_argv: the command line that starts this service anew, its program with a path that
            holds in the current directory; ``None`` if there is none (a script from standard
            input): then a reload can't bring new code.
        watch_paths: gives the directories whose sources cause a reload when saved; ``None`` for no
            such reloads. Called once, when the first workers have been started.
        log: receives everything that happens.
        memory_fd: descriptor of the memory that all workers share; ``None`` if they have none.
        udp: the bound port of HTTP/3, closed when the service stops; ``None`` for none.
        lock: descriptor of a file that is locked as long as the master lives.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: list[socket.socket],
        serve_worker: Callable[[WorkerSeat], int],
        *,
        exec_argv: list[str] | None,
        watch_paths: Callable[[], list[str]] | None,
        log: logging.Logger,
        memory_fd: int | None = None,
        udp: UdpPort | None = None,
        lock: int | None = None,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._exec_argv = exec_argv
        self._log = log
        self._udp = udp
        self._lock = lock

        # Of one run:
        self._inbox = SignalInbox(MASTER_SIGNALS)
        self._selector = selectors.DefaultSelector()
        self._development = None if watch_paths is None else self._develop(watch_paths)
        self._spawner = Spawner(
            settings, listeners, serve_worker, exec_argv, self._leave,
            development=self._development, memory_fd=memory_fd, udp=udp,
        )  # fmt: skip
        self._relief = Relief(self._spawn, lambda child: self._dismiss([child]), log)
        self._jobs = JobsProcess(self._start, log)

        # Of the moment:
        self._children: dict[int, Child] = {}
        self._current = Generation.of_size(0, settings.workers)
        self._incoming: Generation | None = None
        self._announced = False
        self._reload_wanted = False
        self._stopping = False
        self._exit_code = 0
        self._watchdog = watchdog_seconds()
        self._fed_at = -math.inf

    def run(self) -> int:
        """Run the service in the main thread until it is stopped.

        Returns the exit code: 0 when it was stopped by a signal, 2 when its workers can't start.
        """
        setproctitle(f"{service_name(self._settings.name)}:m")
        self._inbox.open()
        self._selector.register(self._inbox, selectors.EVENT_READ)
        try:
            self._launch(self._current, START)
            self._watch_files()
            while self._children or not self._stopping:
                self._turn()
        finally:
            # Even if this code crashed: when the spawner's pipe closes, the workers end.
            if self._development is not None:
                self._development.stop()
            self._inbox.close()
            self._selector.close()
            self._spawner.close()
            for descriptor in self._report_ends():
                os.close(descriptor)
        return self._exit_code

    def _turn(self) -> None:
        """Wait for something to happen and act on it."""
        for key, _ in self._selector.select(self._time_left()):
            if isinstance(key.data, Child):
                self._read_report(key.data)
            elif callable(key.data):
                key.data()
        for signum in self._inbox.take():
            self._handle_signal(signal.Signals(signum))
        self._take_changes()
        self._run_timers()
        if self._at_rest():
            if self._reload_wanted:
                self._begin_reload(len(self._current.slots))
            else:
                self._relief.act(self._current, time.monotonic())

    def _at_rest(self) -> bool:
        """Whether the service does nothing but serve."""
        return self._announced and self._incoming is None and not self._stopping

    # Starting workers

    def _launch(self, generation: Generation, cause: str) -> None:
        for slot in generation.slots:
            if not self._start(slot, cause):
                return

    def _start(self, slot: Slot, cause: str) -> bool:
        """Start a worker in this slot. If that fails it counts as a lost worker."""
        slot.respawn_at = None
        try:
            slot.child = self._spawn(slot, cause)
        except OSError as exc:
            reason = f"{slot} can't be started: {exc}"
            self._worker_lost(slot, reason, was_ready=False, refused=False)
            return False
        return True

    def _spawn(self, slot: Slot, cause: str) -> Child:
        """Start a worker and listen to what it reports. Raises ``OSError``."""
        child = self._spawner.spawn(slot, cause)
        self._children[child.pid] = child
        self._selector.register(child.report_fd, selectors.EVENT_READ, child)
        return child

    def _leave(self) -> None:
        """In a forked child: let go of what belongs to the master."""
        self._inbox.close_descriptors()
        self._selector.close()
        for descriptor in (*self._report_ends(), *(() if self._lock is None else (self._lock,))):
            os.close(descriptor)

    def _report_ends(self) -> list[int]:
        return [child.report_fd for child in self._children.values() if child.report_fd >= 0]

    # What becomes of them

    def _read_report(self, child: Child) -> None:
        before = (child.ready_at, child.settings, child.leaving)
        now = time.monotonic()
        if not child.read_report(now):
            self._close_report(child)
        if child.failure and child.kill_at is None:
            child.kill_at = now + STOP_MARGIN  # it has no more to do than to end
        if self._development is not None:
            self._development.heed(child)
        was_ready, settings, leaving = before
        if child.settings is not settings:
            self._heed(child, child.settings or {})
        if child.ready_at is not was_ready:
            self._worker_ready(child)
        if child.leaving is not leaving:
            self._relief.asked(child, now)

    def _heed(self, child: Child, settings: dict[str, Any]) -> None:
        """A new worker has told what the script of now wants of the master."""
        incoming = self._incoming
        if incoming is None or child.slot.generation is not incoming:
            return
        size = settings["workers"]
        if size != len(incoming.slots):
            self._log.info("workers %d -> %d", len(incoming.slots), size)
            self._incoming = None
            self._dismiss(incoming.children())
            self._begin_reload(size)

    def _close_report(self, child: Child) -> None:
        self._selector.unregister(child.report_fd)
        os.close(child.report_fd)
        child.report_fd = -1
        self._jobs.let_go(child)

    def _worker_ready(self, child: Child) -> None:
        self._log.debug("%s is ready", child)
        if child.logs_outdated:
            os.kill(child.pid, signal.SIGUSR1)
        if child.dismissed or child.slot.jobs:
            return  # it was told to go before it came to serve, or it never serves
        if child.slot.successor is child:
            self._relief.takes_over(child)
            return
        generation = child.slot.generation
        if not generation.complete():
            return
        if generation is self._incoming:
            self._promote(generation)
        elif generation is self._current and not self._announced and not self._stopping:
            self._announce()

    def _announce(self) -> None:
        self._announced = True
        urls = ", ".join(listener_urls(self._listeners, self._settings))
        workers = len(self._current.slots)
        self._log.info(
            "serving on %s with %d worker%s, pid %d",
            urls, workers, "s"[workers == 1 :], os.getpid(),
        )  # fmt: skip
        notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving on {urls}")
        self._jobs.begin(self._current)

    def _reap(self) -> None:
        for child in list(self._children.values()):
            code = child.exit_code()
            if code is None:
                continue
            if child.report_fd >= 0:
                child.read_report(time.monotonic())
                self._close_report(child)
            del self._children[child.pid]
            self._worker_ended(child, code)
        reap_orphans(self._children)

    def _worker_ended(self, child: Child, code: int) -> None:
        slot, now = child.slot, time.monotonic()
        end = f"{child} {describe_end(code)}"
        was_ready = child.ready_at is not None
        if not was_ready:
            end = child.failure or f"{end} before it was ready"
            if self._development is not None:
                end = self._development.explain(child, end)
        self._relief.ended(child)
        if slot.jobs:
            self._jobs.ended(child, end)
        elif self._stopping or child.dismissed:
            slot.vacate(child)
            expected = self._stopping or not was_ready or child.killed or code == 0
            self._log.log(logging.DEBUG if expected else logging.WARNING, "%s", end)
        elif slot.successor is child:
            self._relief.failed(slot, end, now)
        elif slot.successor is not None:
            self._log.warning("%s: its replacement starts already", end)
            self._relief.bereft(slot)
        else:
            slot.child = None
            slot.absolve(child, now)
            refused = not was_ready and (bool(child.failure) or code == START_FAILED)
            refused &= not child.late
            self._worker_lost(slot, end, was_ready=was_ready, refused=refused)

    def _worker_lost(self, slot: Slot, reason: str, *, was_ready: bool, refused: bool) -> None:
        """Decide what follows from a worker that has ended or could not be started.

        Parameters:
            was_ready: it has served.
            refused: it could not start for a reason that another try would meet again.
        """
        generation = slot.generation
        if slot.jobs:
            self._jobs.lost(slot, reason)
        elif self._stopping:
            self._log.debug("%s", reason)
        elif generation is self._incoming:
            self._log.error("reload given up, the old workers go on: %s", reason)
            if self._development is not None:
                self._development.failed(self._current, reason)
            self._abandon(generation)
        elif not self._announced and not was_ready:
            self._fail(reason)
        elif refused and not generation.ready() and self._incoming is None:
            self._fail(reason)
        else:
            self._schedule(slot, reason)

    def _schedule(self, slot: Slot, reason: str) -> None:
        """Replace a worker after the delay that its slot has come to."""
        when = slot.replace_later(time.monotonic())
        self._log.warning("%s: replaced %s", reason, when)

    def _time_left(self) -> float | None:
        """Seconds until the next timer is due."""
        due = [child.kill_at for child in self._children.values()]
        due += [child.ready_by for child in self._children.values()]
        if self._at_rest():
            due.append(self._relief.due(self._current))
        due += [slot.respawn_at for slot in (*self._current.slots, *self._jobs.waiting())]
        if self._watchdog is not None:
            due.append(self._fed_at + self._watchdog)
        times = [moment for moment in due if moment is not None]
        if not times:
            return None
        return min(max(0.0, min(times) - time.monotonic()), LONGEST_SLEEP)

    def _run_timers(self) -> None:
        now = time.monotonic()
        if self._watchdog is not None and now - self._fed_at >= self._watchdog:
            notify("WATCHDOG=1")
            self._fed_at = now
        for child in self._children.values():
            if child.kill_at is not None and child.kill_at <= now:
                self._log.warning("%s has not ended in time: killed", child)
                child.kill()
            elif child.ready_by is not None and child.ready_by <= now:
                limit = f"{child.ready_by - child.started_at:g} s (start_timeout)"
                child.failure = f"{child} was not ready within {limit}: killed"
                child.late = True
                child.kill()
        for slot in (*self._current.slots, *self._jobs.waiting()):
            if slot.respawn_at is not None and slot.respawn_at <= now:
                self._start(slot, DIED)

    # Signals

    def _handle_signal(self, signum: signal.Signals) -> None:
        if signum == signal.SIGCHLD:
            self._reap()
        elif signum == signal.SIGHUP and self._stopping:
            self._log.info("SIGHUP: not reloaded, the service stops")
        elif signum == signal.SIGHUP:
            self._log.info("SIGHUP: reloading")
            self._reload_wanted = True
        elif signum == signal.SIGUSR1:
            self._reopen_logs()
        elif not self._stopping:
            self._log.info("%s: stopping", signum.name)
            self._stop()
        else:
            self._log.info("%s again: killing all workers", signum.name)
            for child in self._children.values():
                child.kill()

    def _reopen_logs(self) -> None:
        reopen()
        self._log.info("SIGUSR1: logs are reopened")
        for child in self._children.values():
            if child.ready_at is not None:
                os.kill(child.pid, signal.SIGUSR1)
            else:
                child.logs_outdated = True

    def _fail(self, reason: str) -> None:
        self._log.error("start-up failed: %s", reason)
        self._exit_code = START_FAILED
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._incoming = None
        for slot in self._current.slots:
            slot.respawn_at = None
        self._jobs.stop()
        notify("STOPPING=1")
        for listener in self._listeners:
            listener.close()  # once the workers have closed theirs, connecting is refused
        if self._udp is not None:
            self._udp.close()
        self._dismiss(self._children.values())

    # Reload

    def _develop(self, watch_paths: Callable[[], list[str]]) -> Development:
        from skitai.supervisor.development import Development  # only --devel pays for its imports

        return Development(watch_paths, self._settings, self._selector, self._inbox.wake, self._log)

    def _watch_files(self) -> None:
        if self._development is None or self._stopping:
            return
        if self._exec_argv is None:
            self._log.warning("reload on save is off: the script is not in a file")
        else:
            self._development.start()

    def _take_changes(self) -> None:
        if self._development is None:
            return
        path = self._development.take(self._current, self._incoming)
        if path is None:
            return
        self._reload_wanted = True
        if self._incoming is None:
            self._log.info("%s changed: reloading", path)
        else:  # it started with a state of the code that nobody wants any more
            self._log.info("%s changed during a reload: starting it again", path)
            self._abandon(self._incoming)

    def _begin_reload(self, workers: int) -> None:
        self._reload_wanted = False
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notify(f"RELOADING=1\nMONOTONIC_USEC={now}")
        if self._exec_argv is None:
            self._log.warning("the script is not in a file: new workers have the old code")
        self._incoming = Generation.of_size(self._current.number + 1, workers)
        self._launch(self._incoming, RELOAD)

    def _promote(self, incoming: Generation) -> None:
        """All workers of the new generation serve: the old ones may go."""
        outgoing, self._current, self._incoming = self._current, incoming, None
        self._relief.forget()
        self._dismiss(outgoing.children())
        taken = next((child.settings for child in incoming.children() if child.settings), {})
        self._settings = self._spawner.settings = replace(self._settings, **taken)
        self._jobs.begin(incoming)
        if self._development is not None:
            self._development.promoted(incoming)
        self._log.info("reloaded: generation %d serves", incoming.number)
        notify("READY=1")

    def _abandon(self, incoming: Generation) -> None:
        self._incoming = None
        self._dismiss(incoming.children())
        notify("READY=1")

    def _dismiss(self, children: Iterable[Child]) -> None:
        """Let workers finish what they serve, within bounds; those that don't serve have less."""
        now = time.monotonic()
        for child in children:
            drains = 0.0 if child.ready_at is None else child.drain_timeout
            child.terminate(now + drains + STOP_MARGIN)
