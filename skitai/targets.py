"""What can be mounted: finds out what a target of ``skitai.mount`` is.

``Service.mount`` asks; app objects, callables of other frameworks, modules, files and directories
are known, all else is refused.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from skitai.errors import ConfigError
from skitai.foreign import interface_of, name_of
from skitai.importer import display, guarded, import_file
from skitai.preference import module_directory, run_config_hook

if TYPE_CHECKING:
    from skitai.preference import Preference

_FILE_TARGET = re.compile(r"(?P<path>.+?)(:(?P<appname>[A-Za-z_]\w*))?", re.DOTALL)


class Kind(Enum):
    """What is mounted."""

    OBJECT = "app object"
    MODULE = "module"
    FILE = "file"
    DIRECTORY = "directory"
    ALIAS = "alias"


@dataclass(frozen=True)
class Target:
    """A resolved target.

    Attributes:
        value: the app object, the module, the path of the file or directory, or the alias with the
            base path behind it, by ``kind``.
        home: the app's directory: that of its module or file, else of the launch script.
        name: the app's name if the mount gives none.
        appname: variable of the app that the target itself names, as in ``dir/file:app``.
        settings: name of the settings module, if it is a Django project; ``home`` is its root.
    """

    kind: Kind
    value: object
    home: Path
    name: str
    appname: str | None = None
    settings: str | None = None

    def import_root(self, script_home: Path) -> Path:
        """The directory that the names of the target's modules begin at."""
        return script_home if self.settings is None else self.home

    def run_config_hooks(self, script_home: Path, pref: Preference) -> None:
        """Call ``__config__ (pref)`` of the module, or of the file and its package."""
        if isinstance(self.value, ModuleType):
            run_config_hook(self.value, pref)
        elif self.kind is Kind.FILE and isinstance(self.value, Path):
            for file in dict.fromkeys((self.value.parent / "__init__.py", self.value)):
                if file.is_file() and _defines_config(file):
                    run_config_hook(import_file(file, self.import_root(script_home)), pref)


def is_app(value: object) -> bool:
    """Tell whether an object can be mounted as an app: it knows how to ``freeze``."""
    return not isinstance(value, type) and callable(getattr(value, "freeze", None))


def resolve(target: object, script_home: Path) -> Target:
    """Find out what a target of ``skitai.mount`` is (engine README, mounting).

    Parameters:
        target: an app; a WSGI or ASGI callable, or a function that makes one; a module with
            ``__app__``; the path of a Python file (``"dir/file"``, ``"dir/file.py"``,
            ``"dir/file:app"``) or of a directory of static files; ``"@alias"`` or
            ``"@alias/base/path"`` of a service over HTTP that answers.
        script_home: the launch script's directory, where relative paths start.

    Raises `ConfigError` for everything that can't be mounted, naming it and the fix.
    """
    if isinstance(target, ModuleType):
        if not callable(getattr(target, "__app__", None)):
            raise ConfigError(
                f"module {target.__name__!r} has no __app__(): "
                "add 'def __app__(): return Atila(__name__)' to it"
            )
        return Target(Kind.MODULE, target, module_directory(target), target.__name__)
    if is_app(target):
        return Target(Kind.OBJECT, target, script_home, str(getattr(target, "name", "") or "app"))
    if isinstance(target, (str, os.PathLike)):
        return _resolve_path(os.fspath(target), script_home)
    if isinstance(target, type):
        raise ConfigError(f"mount target {target!r} is a class: mount an instance of it")
    if callable(target):
        try:
            interface_of(target)
        except ConfigError as exc:
            raise ConfigError(f"mount target {exc}") from None
        return Target(Kind.OBJECT, target, script_home, name_of(target))
    raise ConfigError(
        f"mount target {target!r} is no app: give an app, a module, a file or a directory"
    )


def _resolve_path(text: str, script_home: Path) -> Target:
    if text.startswith("@"):
        if re.search(r"[?#\s]|/\.\.?(/|$)", text) or text[1:2] in ("", "/"):
            raise ConfigError(
                f"mount target {text!r} is no alias: give '@name' or '@name/base/path', without "
                "query, blanks and dots"
            )
        return Target(Kind.ALIAS, text, script_home, text.partition("/")[0])
    match = _FILE_TARGET.fullmatch(text)
    if match is None:
        raise ConfigError("mount target is empty: give a file, a directory, a module or an app")
    path = Path(os.path.normpath(script_home / match["path"]))
    if not match["appname"] and path.is_dir():
        if (path / "__init__.py").exists():
            raise ConfigError(
                f"directory {text!r} is a Python package, its source would be served: "
                "import it and mount the module, or mount a directory of files"
            )
        return Target(Kind.DIRECTORY, path, path, "")
    source = path if path.suffix == ".py" else path.with_name(f"{path.name}.py")
    if not source.is_file():
        raise ConfigError(f"mount target {text!r}{_why_missing(text, path, source)}")
    name = re.sub(r"[^\w./-]", "_", os.path.relpath(source.with_suffix(""), script_home))
    home, settings = _django_project(source)
    return Target(Kind.FILE, source, home, name, match["appname"], settings)


def _why_missing(text: str, path: Path, source: Path) -> str:
    """What is wrong with a target that is not there, and the fix; goes on behind its name."""
    if "://" in text:
        return (
            " is no path: give the service a name, skitai.alias('@name', skitai.PROTO_HTTP, "
            "'host:port'), and mount '@name'"
        )
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    names = [file.stem for file in beside if file.suffix == ".py" or file.is_dir()]
    near = difflib.get_close_matches(path.name.removesuffix(".py"), names, n=1)
    fix = (
        f"did you mean {os.path.join(os.path.dirname(text), near[0])!r}?"
        if near
        else ("create it or correct the path, relative ones start at the launch script")
    )
    return f" is no directory and no Python file: {str(source)!r} does not exist: {fix}"


def _django_project(source: Path) -> tuple[Path, str | None]:
    """The root and the settings module of the Django project whose file this is, else its directory
    and None."""
    folder = source.parent
    settings = (folder / "settings.py").is_file() or (folder / "settings" / "__init__.py").is_file()
    if source.name not in ("wsgi.py", "asgi.py") or not settings:
        return folder, None
    if (folder / "manage.py").is_file() and not (folder / "__init__.py").is_file():
        return folder, "settings"
    return folder.parent, f"{folder.name}.settings"


def _defines_config(file: Path) -> bool:
    # Parsing instead of importing keeps the app's memory and side effects out of the master.
    what = f"file {display(file)!r} can't be read"
    tree = guarded(what, lambda: ast.parse(file.read_bytes(), str(file)))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return any(function.name == "__config__" for function in functions)
