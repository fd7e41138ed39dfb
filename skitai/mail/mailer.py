"""``Mailer``: takes messages in every worker; in one of them its thread delivers them."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from skitai.mail.account import SmtpAccount
    from skitai.mail.message import Envelope
    from skitai.mail.spool import Entry, Spool

INTERVAL = 1.0  # seconds between two looks at the directory: other workers put messages there too
PAUSE = 30.0  # after a look that failed
PURGE_INTERVAL = 3600.0
log = logging.getLogger("skitai")


class Mailer:
    """The mail of a service, as a worker sees it.

    Parameters:
        directory: of the spool.
        account: the server; None when only messages name theirs.
    """

    def __init__(self, directory: Path, account: SmtpAccount | None) -> None:
        self.account = account
        self._directory = directory
        self._kept: Spool | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._purged_at: float | None = None

    def start(self, *, for_others: bool = False) -> None:
        """Begin to deliver, if there ever was a message; otherwise the first one starts it.

        Parameters:
            for_others: the first one may come from a process that has no time to deliver it.
        """
        if for_others or self._is_in_use():
            self._start_thread()

    def _is_in_use(self) -> bool:
        # False, too, where this user may not look.
        return os.path.isdir(self._directory)

    @property
    def _spool(self) -> Spool:
        with self._starting:
            if self._kept is None:
                # PERF: 1.2 ms of the start of every service, and most send no mail.
                from skitai.mail.spool import Spool

                self._kept = Spool(self._directory)
            return self._kept

    def post(self, envelope: Envelope, account: SmtpAccount | None = None) -> str:
        """Keep a message for delivery; it is on the disk when this returns.

        Parameters:
            account: its own server; default: that of the service.

        Returns its id. Raises ``RuntimeError`` when no server is known, ``OSError`` when it can't
        be written.
        """
        if account is None and self.account is None:
            raise RuntimeError(
                "no server for mail is known: call skitai.set_smtp('host:port') before skitai.run()"
            )
        identity = self._spool.put(envelope, account)
        self._start_thread()
        self._wake.set()
        return identity

    def stop(self, timeout: float) -> None:
        """End the thread; what is not delivered is left to the next one.

        Parameters:
            timeout: seconds that a delivery under way is waited for.
        """
        with self._starting:
            self._stopping = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(timeout)

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopping:
                # A delivery that hangs must not keep the process; the spool has the message.
                self._thread = threading.Thread(target=self._run, name="mailer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.clear()
                pause = INTERVAL
                try:
                    if self._is_in_use() and self._spool.lock():
                        self._deliver_all()
                except Exception:
                    pause = PAUSE
                    log.exception("mail: the spool can't be used, another look in %g s", pause)
                self._wake.wait(pause)
        finally:
            if self._kept is not None:
                self._kept.unlock()

    def _deliver_all(self) -> None:
        now = time.monotonic()
        if self._purged_at is None or now - self._purged_at > PURGE_INTERVAL:
            self._purged_at = now
            self._spool.purge(self.account.keep_days if self.account is not None else 30)
        for name in self._spool.waiting():
            if self._stopping:
                return
            try:
                entry = self._spool.read(name)
            except ValueError as exc:
                log.error("mail: %s can't be read and is put aside: %s", name, exc)
                self._spool.keep_undelivered(name)
                continue
            if entry.is_due(time.time()):
                self._deliver(entry)

    def _deliver(self, entry: Entry) -> None:
        from skitai.mail.account import SmtpAccount
        from skitai.mail.delivery import deliver

        account = self.account if entry.account is None else SmtpAccount(**entry.account)
        if account is None:
            entry.postpone(time.time())
            self._spool.write(entry)
            log.error("mail %s waits: no server is known any more, call set_smtp()", entry.id)
            return
        outcome = deliver(account, entry.sender, entry.recipients, entry.content)
        entry.refused.update(outcome.refused)
        entry.recipients = list(outcome.again)
        entry.postpone(time.time())
        if outcome.again and entry.attempts > account.max_retries:
            entry.refused.update(outcome.again)
            entry.recipients = []
        if entry.recipients:
            self._spool.write(entry)
            reasons = "; ".join(dict.fromkeys(outcome.again.values()))
            log.warning("mail %s waits for another attempt: %s", entry.id, reasons)
        elif entry.refused:
            self._spool.write(entry)
            self._spool.keep_undelivered(entry.name)
            for recipient, reason in entry.refused.items():
                log.error("mail %s can't be delivered to %s: %s", entry.id, recipient, reason)
        else:
            self._spool.remove(entry)
            log.info("mail %s was delivered", entry.id)
