"""The program of a child of `ProcessExecutor`: runs jobs from a socket, one at a time.

It uses the standard library only, so that a child is small and quick to start. The other end is
`skitai.executors.child`, which shares the framing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import pickle
import signal
import socket
import struct
import sys
import traceback
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

# What a terminal, an operator or systemd may send to all processes of a service: the worker ends
# its children itself, after their jobs.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)

JOB = b"J"
RESULT = b"R"
RAISED = b"X"  # by the function
NOT_LOADED = b"L"  # the function or its arguments could not be unpickled
NOT_SENT = b"S"  # the result could not be pickled

PROTOCOL = 5
SIZE = struct.Struct("!Q")
CHUNK = 1 << 20

# The script of the service under the name that multiprocessing gives it in such a process: it is
# not `__main__`, so it doesn't start a service.
MAIN = "__mp_main__"


def send(connection: socket.socket, kind: bytes, body: bytes) -> None:
    """Send one message. Raises ``OSError`` when the other end is gone."""
    head = SIZE.pack(len(body)) + kind
    if len(body) <= CHUNK:
        connection.sendall(head + body)
    else:
        connection.sendall(head)
        connection.sendall(body)


def receive(connection: socket.socket) -> tuple[bytes, bytearray] | None:
    """Kind and body of the next message; None when the other end is gone."""
    head = _receive_exactly(connection, SIZE.size + 1)
    if head is None:
        return None
    body = _receive_exactly(connection, SIZE.unpack_from(head)[0])
    return None if body is None else (bytes(head[SIZE.size :]), body)


def _receive_exactly(connection: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    with memoryview(data) as view:
        at = 0
        while at < size:
            try:
                got = connection.recv_into(view[at : at + CHUNK])
            except ConnectionResetError:
                return None
            if not got:
                return None
            at += got
    return data


class Unpickler(pickle.Unpickler):
    """Finds what the script of the service defines; the script is only loaded if that is needed."""

    def __init__(self, data: bytearray, script: tuple[str | None, str | None]) -> None:
        super().__init__(io.BytesIO(data))
        self._script = script

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__":
            load_main(*self._script)
        return super().find_class(module, name)


def load_main(name: str | None, path: str | None) -> None:
    """Run the script of the service as ``__mp_main__`` and let ``__main__`` mean it; once.

    Parameters:
        name: of a script that was started with ``python -m``.
        path: of any other.

    Raises ``ImportError``, and whatever the script raises.
    """
    if getattr(sys.modules.get(MAIN), "__name__", None) == MAIN:
        return
    module = ModuleType(MAIN)
    code = _code_of(module, name, path)
    # multiprocessing, when it is imported, lets the second name mean the program itself.
    before = {name: sys.modules.get(name) for name in (MAIN, "__main__")}
    sys.modules[MAIN] = sys.modules["__main__"] = module
    try:
        exec(code, module.__dict__)
    except BaseException as exc:
        for key, old in before.items():
            if old is None:
                del sys.modules[key]
            else:
                sys.modules[key] = old
        if isinstance(exc, Exception):
            raise
        raise ImportError(f"the script of the service ended with {exc!r}") from exc


def _code_of(module: ModuleType, name: str | None, path: str | None) -> CodeType:
    """The compiled script, and the facts about itself that it may look at."""
    if name is not None:
        spec = importlib.util.find_spec(name)
        if spec is None or not hasattr(spec.loader, "get_code"):
            raise ImportError(f"the script of the service, {name}, can't be found")
        module.__file__, module.__package__ = spec.origin, spec.parent
        return spec.loader.get_code(name)  # type: ignore[union-attr, no-any-return]  # it has it
    if path is None:
        raise ImportError("the script of the service is no file: move the function to a module")
    module.__file__, module.__package__ = path, ""
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec")


def load_module(name: str, path: str) -> None:
    """Make sure that ``name`` means the module of this file, as it does in the worker.

    A file that was mounted by its path has a name by which it can't be imported, or which leads to
    another file. Raises ``ImportError``, and whatever the module raises.
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        found = getattr(loaded, "__file__", None)
        if found is None or not os.path.samefile(found, path):
            raise ImportError(f"module {name!r} is {found} here, and {path} in the worker")
        return
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin is not None and os.path.exists(spec.origin):
        if os.path.samefile(spec.origin, path):
            return  # unpickling imports it
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"module {name!r} can't be loaded from {path}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def work(message: bytearray, script: tuple[str | None, str | None]) -> tuple[bytes, bytes]:
    """Run the job in a message; kind and body of the answer."""
    try:
        unpickler = Unpickler(message, script)
        origin = unpickler.load()
        if origin is not None:
            load_module(*origin)
        function, args, kwargs = unpickler.load()
    except BaseException as exc:
        return NOT_LOADED, pack_failure(exc)
    del unpickler
    try:
        result = function(*args, **kwargs)
    except BaseException as exc:
        return RAISED, pack_failure(exc)
    try:
        return RESULT, pickle.dumps(result, PROTOCOL)
    except BaseException as exc:
        return NOT_SENT, pack_failure(exc)


def pack_failure(exc: BaseException) -> bytes:
    """An exception as bytes: itself, or nothing if it can't be pickled; then how it reads."""
    text = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    line = "".join(traceback.format_exception_only(type(exc), exc)).strip()
    facts = (type(exc), exc.args, {**exc.__dict__})
    for form in (exc, facts, (*facts[:2], {})):
        with contextlib.suppress(Exception):
            packed = pickle.dumps(form, PROTOCOL)
            # That it can be pickled doesn't say that its constructor takes its arguments.
            if form is not exc or type(pickle.loads(packed)) is type(exc):
                return pickle.dumps((packed, line, text), PROTOCOL)
    return pickle.dumps((None, line, text), PROTOCOL)


def _disregard(signum: int, frame: FrameType | None) -> None:
    """Not SIG_IGN: that would be inherited by the programs that a job starts."""


def main(descriptor: int) -> None:
    """Serve until the worker closes the connection or is gone."""
    for signum in SIGNALS:
        signal.signal(signum, _disregard)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as connection:
        _serve(connection)


def _serve(connection: socket.socket) -> None:
    hello = receive(connection)
    if hello is None:
        return
    path, argv, script = pickle.loads(hello[1])
    sys.path[:], sys.argv[:] = path, argv
    own = sys.modules["__main__"]  # must outlive its replacement by the script of the service
    while (message := receive(connection)) is not None:
        answer = work(message[1], script)
        del message
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        try:
            send(connection, *answer)
        except OSError:
            break
        del answer
    del own


if __name__ == "__main__":
    main(int(sys.argv[1]))
