"""Finds and imports what a launch script mounts, by name or by file, from the script's directory.

``Mount`` calls it; failures of the user's code become `StartupError` with file and line.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from skitai.errors import ConfigError, SkitaiError, StartupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

T = TypeVar("T")

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Engine and framework are one distribution: neither's frames tell a user anything.
_OWN_DIRECTORIES = tuple(os.path.join(_ROOT, name, "") for name in ("skitai", "atila"))
_LIBRARIES = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib"))


def put_first(directory: Path) -> None:
    """Make ``directory`` the first place where Python looks for modules."""
    text = str(directory)
    if sys.path[:1] != [text]:
        sys.path[:] = [text, *(entry for entry in sys.path if entry != text)]


def existing_directory(what: str, path: str, home: Path) -> Path:
    """Return the absolute path of a directory that was given relative to ``home``.

    Raises `ConfigError`, beginning with ``what``, when there is no such directory.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"{what} must be the path of a directory, not {path!r}: give text")
    directory = Path(os.path.normpath(home / path))
    if not directory.is_dir():
        raise ConfigError(
            f"{what} {str(path)!r}: directory {str(directory)!r} does not exist: create it or "
            "correct the path, relative ones start at the launch script"
        )
    return directory


def import_file(path: Path, home: Path, copy: int = 0) -> ModuleType:
    """Import a Python file; files of packages keep their dotted name, so relative imports work.

    Parameters:
        path: the file, absolute.
        home: the launch script's directory; names are made relative to it.
        copy: 0 shares the module with other importers; another number executes the file anew,
            as a module of its own (one file mounted twice).

    Raises `ConfigError` when there is no such file, `StartupError` when its code fails.
    """
    if not path.is_file():
        raise ConfigError(f"file {str(path)!r} does not exist: correct the path")
    put_first(home)
    root, dotted = _importable_name(path, home)
    if root != home and str(root) not in sys.path:
        sys.path.insert(1, str(root))
    what = f"file {display(path)!r} can't be imported"

    def load() -> ModuleType:
        parent = dotted.rpartition(".")[0]
        if parent and (path.parent / "__init__.py").is_file():
            importlib.import_module(parent)
        if not copy and _is_origin(dotted, path):
            return importlib.import_module(dotted)
        return _execute(path, f"{dotted}_{copy}" if copy else dotted)

    return guarded(what, load)


def guarded(what: str, action: Callable[[], T]) -> T:
    """Run code of the user; turn its failure into a `StartupError` that keeps the traceback.

    Parameters:
        what: the beginning of the message, e.g. "app 'shop' can't be created".
        action: the user's code.

    A `ConfigError` stays one, with the user's line if his code caused it; a `StartupError` passes
    unchanged. ``sys.exit`` in the user's code is a failure too.
    """
    try:
        return action()
    except ConfigError as exc:
        if not user_frames(exc):
            raise
        raise ConfigError(f"{what}: {exc}{_place(exc)}") from exc
    except SkitaiError:
        raise
    except (Exception, SystemExit) as exc:
        raise StartupError(f"{what}: {describe(exc)}") from exc


def describe(exc: BaseException) -> str:
    """Put an exception in one line: type, message, and the user's file and line if known."""
    kind = type(exc).__name__
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{kind}: {exc.msg} ({display(exc.filename)}, line {exc.lineno})"
    return " ".join(f"{kind}: {exc}".split()) + _place(exc)


def explain(exc: SkitaiError) -> str:
    """Return what a person at the terminal should read: the message and the user's own frames.

    A `StartupError` whose cause names its line already, such as a syntax error, has no frames; nor
    has one for a file that the engine, and no code of the user, can't use.
    """
    cause = exc.__cause__
    if cause is None or isinstance(cause, (SyntaxError, ImportError)):
        return str(exc)
    frames = user_frames(cause)
    if isinstance(cause, OSError) and all(is_library(frame.filename) for frame in frames):
        return str(exc)
    return f"{exc}\n{''.join(traceback.format_list(frames))}".rstrip()


def user_frames(exc: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of a traceback without our own and those of the import system."""
    return [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith((*_OWN_DIRECTORIES, "<frozen importlib"))
        and os.path.dirname(frame.filename) != os.path.dirname(importlib.__file__)
    ]


def is_library(file: str) -> bool:
    """Tell whether a file is part of Python, of an installed package or of the engine."""
    return file.startswith((*_OWN_DIRECTORIES, *_LIBRARIES, "<"))


def display(path: str | Path) -> str:
    """Return a path as a reader at the prompt would write it: relative when it is below the cwd."""
    try:
        return str(Path(path).relative_to(os.getcwd()))
    except (ValueError, FileNotFoundError):  # elsewhere, or below a directory that was removed
        return str(path)


def _place(exc: BaseException) -> str:
    """Return the user's line that failed, in parentheses, even if it failed in a library's code."""
    frames = user_frames(exc)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    if not frames or (not own and isinstance(exc, OSError)):  # it names its file
        return ""
    frame = (own or frames)[-1]
    return f" ({display(frame.filename)}, line {frame.lineno})"


def _importable_name(path: Path, home: Path) -> tuple[Path, str]:
    """Return the directory to look in and the dotted name that leads from there to the file."""
    root = home if home in path.parents else path.parent
    while root != home and (root / "__init__.py").is_file():
        root = root.parent
    parts = [re.sub(r"\W", "_", part) for part in path.relative_to(root).with_suffix("").parts]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return root, ".".join(parts)


def _is_origin(dotted: str, path: Path) -> bool:
    """Tell whether importing the name would load this very file and no namesake."""
    loaded = sys.modules.get(dotted)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(dotted)
        except (ImportError, ValueError):
            return False
        origin = spec.origin if spec is not None else None
    return origin is not None and os.path.exists(origin) and path.samefile(origin)


def _execute(path: Path, dotted: str) -> ModuleType:
    """Load a file that can't be reached by name, under a name that no other module has."""
    name, number = dotted, 2
    while name in sys.modules:
        name, number = f"{dotted}_{number}", number + 1
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"file {str(path)!r} is no Python file: mount a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
