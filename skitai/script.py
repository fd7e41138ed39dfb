"""The launch script: where it is, how it was started, and how its errors reach the reader.

``Service`` and the commands ask; nothing here depends on what the script describes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skitai.errors import SkitaiError, StartupError
from skitai.importer import display, explain, is_library, user_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

MISCONFIGURED = 2
"""Exit code after a `ConfigError` or a `StartupError`."""

GIVEN_UP = 128 + signal.SIGINT
"""Exit code after Ctrl-C, before the service can stop in order."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# The second start must find relative paths and modules as the first one did, though the service has
# left the directory it was started in.
_START_AGAIN = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


def main_script() -> Path | None:
    """Return the file of the running main script; None for one from standard input or ``-c``."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file or not os.path.isfile(file):
        return None
    # As Python itself does for sys.path: a link to the script counts as the script.
    return Path(os.path.realpath(file) if os.path.islink(file) else os.path.abspath(file))


def default_name(directory: Path) -> str:
    """Return the name of a service that gives none: of its directory and script."""
    words = [directory.name]
    script = main_script()
    if script is not None and script.stem != "app":
        words.append(script.stem)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words)).strip("._-")[:64] or "skitai"


def loaded_for_a_job() -> bool:
    """Tell whether the script is loaded, as ``__mp_main__``, to run one function of it.

    Both ``was.Process`` and multiprocessing do so; the script must not start a service there.
    """
    # In any other process multiprocessing lets this name mean `__main__`, which has its own name.
    return getattr(sys.modules.get("__mp_main__"), "__name__", None) == "__mp_main__"


def current_directory() -> Path:
    """Return the current directory, or the root when it has been removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def program_name() -> str:
    """Return the script's name for messages, ``skitai`` when it has none."""
    script = sys.argv[0]
    return "skitai" if script in ("", "-", "-c", "-m") else os.path.basename(script)


def restart_command(started_in: Path) -> list[str] | None:
    """Return the command that starts the script again as it was started, from any directory.

    Parameters:
        started_in: the directory in which it was started.

    None when there is nothing to start: the script came from standard input.
    """
    if sys.argv[0] in ("", "-"):
        return None
    again = [sys.executable, *sys.orig_argv[1:]]
    return [sys.executable, "-I", "-S", "-c", _START_AGAIN, str(started_in), *again]


def start_command(words: Sequence[str]) -> list[str] | None:
    """Return the command that starts the script with other words than those it has now.

    None when there is nothing to start: the script came from standard input.
    """
    script = main_script()
    if script is None:
        return None
    options = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv)]
    if "-m" in options:
        return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1], *words]
    return [sys.executable, *options, str(script), *words]


def open_missing_streams() -> None:
    """Put the null device where standard input, output or error is closed.

    A socket, or the lock of a service in the background, would get that number, and what is
    printed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(number, True)
    os.close(number)


@contextlib.contextmanager
def leaving_readers() -> Iterator[None]:
    """Run what prints; that the reader has seen enough and left (``| head``) is no error.

    A command that was printing then ends with exit code 0. Raises ``StartupError`` when standard
    output takes nothing for another reason, such as a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(0) from None
    except OSError as exc:
        if exc.errno not in _NO_ROOM:
            raise
        raise _unprintable(exc) from None
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as exc:
            with open(os.devnull, "wb") as nowhere:  # Python tries again at its end, and complains
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            if not isinstance(exc, BrokenPipeError):
                raise _unprintable(exc) from None


def _unprintable(exc: OSError) -> StartupError:
    return StartupError(f"standard output can't be written: {exc.strerror}")


def show_errors_plainly() -> None:
    """Let an engine error that ends the script appear as one message with the script's line.

    The process then ends with exit code 2. Other exceptions are shown as before. ``import skitai``
    calls it: what comes next, such as a wrong route of an app, can be the mistake.
    """
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], exc: BaseException, traceback: TracebackType | None
    ) -> None:
        if not isinstance(exc, SkitaiError):
            previous(kind, exc, traceback)
            return
        known = user_frames(exc)
        frames = [frame for frame in known if not is_library(frame.filename)] or known
        place = f"{display(frames[-1].filename)}, line {frames[-1].lineno}: " if frames else ""
        print(f"{place}{explain(exc)}", file=sys.stderr)
        raise SystemExit(MISCONFIGURED)

    sys.excepthook = hook
