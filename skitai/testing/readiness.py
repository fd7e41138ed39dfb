"""Waits for a started service to say that it serves: the receiving end of the notify protocol.

`ServerProcess` makes one for each launch; ``skitai.run`` and systemd services know the sender.
"""

from __future__ import annotations

import os
import socket
import tempfile

from skitai.errors import StartupError

READY = b"READY=1"
VARIABLE = "NOTIFY_SOCKET"


class ReadinessSocket:
    """A datagram socket in a directory of its own; both are gone after ``with``.

    Raises `StartupError` when the socket can't be made.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="skitai-")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = os.path.join(self._directory.name, "notify")
        try:
            self._socket.bind(self.path)
        except OSError as exc:  # the path of a socket has about 100 bytes
            self.close()
            raise StartupError(
                f"can't listen for {READY.decode()} on {self.path} ({exc}): "
                "set TMPDIR to a directory with a shorter path"
            ) from exc

    def __enter__(self) -> ReadinessSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()
        self._directory.cleanup()

    def wait(self, timeout: float) -> bool:
        """Wait for one message, at most ``timeout`` seconds (more than 0).

        Returns whether it says that the service is ready. False asks the caller to look around and
        come back: services send other messages before.
        """
        self._socket.settimeout(timeout)
        try:
            message = self._socket.recv(4096)
        except TimeoutError:
            return False
        return READY in message.splitlines()
