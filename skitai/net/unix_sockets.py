"""Unix sockets that a service listens on, and their files.

``net/openings.py`` makes them for the master, which closes them at the end.
"""

from __future__ import annotations

import os
import socket
import stat

from skitai.errors import ConfigError


class UnixListener(socket.socket):
    """A bound socket, not yet listening; its file goes with it.

    Only the process that made it removes the file, and only if it is still its own.

    Parameters:
        path: of the file; what a service that has ended left there is replaced.
        mode: of the file; who may write to it may connect.

    Raises ``ConfigError`` when something else is there, another service listens, or the file can't
    be made.
    """

    def __init__(self, path: str, mode: int) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._owner = os.getpid()
        self._path = os.path.abspath(path)
        self._file = 0
        # From the first moment on nobody else may connect, so the mode is not changed afterwards.
        before = os.umask(0o777 & ~mode)
        try:
            _make_room(self._path)
            self.bind(self._path)
            self._file = os.stat(self._path).st_ino
        except OSError as exc:
            super().close()
            raise ConfigError(
                f"address 'unix:{path}' can't be used ({exc.strerror or exc}): "
                "give the path of a file in a directory that this user may write to"
            ) from exc
        except ConfigError:
            super().close()
            raise
        finally:
            os.umask(before)
        self.setblocking(False)

    def close(self) -> None:
        """Close it, and remove its file."""
        if self.fileno() >= 0 and self._file and os.getpid() == self._owner:
            try:
                if os.stat(self._path).st_ino == self._file:
                    os.unlink(self._path)
            except OSError:
                pass
        super().close()


def _make_room(path: str) -> None:
    """Remove a file that nobody listens on."""
    try:
        found = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found):
        raise ConfigError(f"address 'unix:{path}' is a file of another kind: choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # somebody has too much to do
    raise ConfigError(
        f"address 'unix:{path}' is in use by another program: stop it or choose another path"
    )
