"""``Spool``: messages that wait for delivery, as files in the directory of the service.

A message is in one file, which appears and changes as a whole and is on the disk before anybody
relies on it. Who delivers has locked the directory; the lock ends with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from skitai.mail.account import SmtpAccount
    from skitai.mail.message import Envelope

LONGEST_WAIT = 6 * 3600.0  # seconds between two attempts
DAY = 86400.0
WAITING = ".mail"
UNDELIVERED = ".undelivered"


@dataclass
class Entry:
    """A message in the spool.

    Attributes:
        id, sender, recipients: see ``Envelope``.
        account: of its own; None for that of the service.
        created: when it came, in seconds since the epoch.
        attempts: how many there were.
        due: when the next one may be.
        refused: recipients that the server will not take, with its answers.
        content: the message.
        name: of the file.
    """

    id: str
    sender: str
    recipients: list[str]
    account: dict[str, Any] | None
    created: float
    attempts: int = 0
    due: float = 0.0
    refused: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    name: str = ""

    def is_due(self, now: float) -> bool:
        """Whether it is to be tried; a clock that was set back doesn't hold it up."""
        return self.due <= now or self.due > now + LONGEST_WAIT

    def postpone(self, now: float) -> None:
        """Wait longer each time: 4, 16, 64 … seconds, and six hours at most."""
        self.attempts += 1
        self.due = now + min(LONGEST_WAIT, 4.0 ** min(self.attempts, 12))


class Spool:
    """The messages of a service.

    Parameters:
        directory: made when the first message comes; only its owner may look into it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: int | None = None

    def put(self, envelope: Envelope, account: SmtpAccount | None) -> str:
        """Keep a message; when this returns it is on the disk. Raises ``OSError``."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise OSError(
                exc.errno,
                f"mail can't be kept ({exc.strerror}): set SKITAI_HOME to a directory where this "
                "user may write",
                str(self.directory),
            ) from exc
        now = time.time()
        entry = Entry(
            envelope.id, envelope.sender, envelope.recipients,
            None if account is None else asdict(account), now, content=envelope.content,
            name=f"{int(now * 1000):013d}-{os.urandom(8).hex()}{WAITING}",
        )  # fmt: skip
        self.write(entry)
        return envelope.id

    def write(self, entry: Entry) -> None:
        """Write or replace the file of a message. Raises ``OSError``."""
        facts = asdict(entry)
        del facts["content"], facts["name"]
        data = json.dumps(facts).encode() + b"\n" + entry.content
        path = self.directory / entry.name
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        self._sync()

    def read(self, name: str) -> Entry:
        """A message by the name of its file. Raises ``OSError``, and ``ValueError`` for rubbish."""
        head, _, content = (self.directory / name).read_bytes().partition(b"\n")
        facts = json.loads(head)
        try:
            return Entry(**facts, content=content, name=name)
        except TypeError as exc:
            raise ValueError(str(exc)) from None

    def waiting(self) -> list[str]:
        """The names of the files that wait, the oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self.directory) if name.endswith(WAITING))
        return []

    def remove(self, entry: Entry) -> None:
        """The message was delivered."""
        (self.directory / entry.name).unlink(missing_ok=True)
        self._sync()

    def keep_undelivered(self, name: str) -> None:
        """Nobody tries any more; the file stays for some days."""
        path = self.directory / name
        path.replace(path.with_suffix(UNDELIVERED))
        self._sync()

    def purge(self, keep_days: float) -> None:
        """Remove what could not be delivered and is older; and what a crash has left half written.

        Only for who has the lock.
        """
        now = time.time()
        for path in self.directory.glob(f"*{UNDELIVERED}"):
            if now - path.stat().st_mtime > keep_days * DAY:
                path.unlink(missing_ok=True)
        for path in self.directory.glob("*.new"):
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > DAY:
                    path.unlink()

    def lock(self) -> bool:
        """Become the one who delivers. False while another process is."""
        if self._lock is not None:
            return True
        path = self.directory / "deliverer.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Not flock: that would be shared with processes that this one forks.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def unlock(self) -> None:
        """Let another process deliver."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _sync(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
