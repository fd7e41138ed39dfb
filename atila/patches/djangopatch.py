"""Django beside Atila: ``Model``, whose statements are ours (seed, Integrating Django Models).

Django is an extra: ``pip install 'skitai[django]'``. Apps import ``Model``; launch scripts call
``setup`` and mount ``static_directories``.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skitai
from skitai.errors import ConfigError

if TYPE_CHECKING:
    from django.db import models

    from atila.patches.model import ModelMethods

    class Model(ModelMethods, models.Model):  # type: ignore[misc]
        ...


__all__ = ["Model", "setup", "static_directories"]

SETTINGS = "DJANGO_SETTINGS_MODULE"


def setup(settings: str | os.PathLike[str]) -> None:
    """Prepare a Django project, so that modules can import its models. Twice does no harm.

    Its root is put in front of ``sys.path``, and ``DJANGO_SETTINGS_MODULE`` is set.

    Parameters:
        settings: the path of the file, relative to the launch script; ``.py`` may be left out.

    Raises ``ConfigError`` when there is no such file, when Django is missing, when another project
    was set up before, or when the project can't be prepared.
    """
    file = Path(skitai.abspath(os.fspath(settings)))
    if file.suffix != ".py" and not file.is_dir():
        file = file.with_name(f"{file.name}.py")
    if not (file / "__init__.py" if file.is_dir() else file).is_file():
        raise ConfigError(f"djangopatch.setup: {str(file)!r} does not exist: correct the path")
    root, names = file.parent, [file.stem]
    while _is_package(root):
        names.insert(0, root.name)
        root = root.parent
    name = ".".join(names)
    if os.environ.setdefault(SETTINGS, name) != name:
        raise ConfigError(
            f"djangopatch.setup: {SETTINGS} is {os.environ[SETTINGS]!r} already, a process has "
            f"one Django project: {name!r} can't be another"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    _django().setup()


def static_directories() -> list[tuple[str, str]]:
    """Where the project's static files are, as points and directories for ``skitai.mount``.

    They are those that the finders of ``django.contrib.staticfiles`` know: of each app, also of the
    admin, and ``STATICFILES_DIRS``. There are none when ``STATIC_URL`` is another server's.

    Raises ``ConfigError`` when ``setup`` was not called.
    """
    _require_apps("its static files are looked for")
    conf = importlib.import_module("django.conf").settings
    url = str(conf.STATIC_URL or "")
    if not url.startswith("/"):
        return []
    finders = importlib.import_module("django.contrib.staticfiles.finders")
    found: dict[tuple[str, str], None] = {}
    for finder in finders.get_finders():
        for storage in getattr(finder, "storages", {}).values():
            prefix = getattr(storage, "prefix", "") or ""
            if os.path.isdir(storage.location):
                point = f"{url.rstrip('/')}/{prefix}".rstrip("/") or "/"
                found[point, str(storage.location)] = None
    return list(found)


def _is_package(directory: Path) -> bool:
    """As in mounts, the directory of ``wsgi.py`` is one in any case, unless it is the root."""
    if (directory / "__init__.py").is_file():
        return True
    applications = [directory / "wsgi.py", directory / "asgi.py"]
    return any(map(Path.is_file, applications)) and not (directory / "manage.py").is_file()


def _django() -> Any:
    try:
        return importlib.import_module("django")
    except ImportError as exc:
        raise ConfigError("Django is missing: pip install 'skitai[django]'") from exc


def _require_apps(what: str) -> None:
    _django()
    if not importlib.import_module("django.apps").apps.apps_ready:
        raise ConfigError(
            f"Django is not set up when {what}: call "
            "djangopatch.setup('project/mysite/settings.py') before, in the launch script"
        )


def __getattr__(name: str) -> Any:
    # An abstract model can be made when Django knows its apps, and not before.
    if name == "Model":
        _require_apps("its models are imported")
        from atila.patches.model import make_model

        globals()["Model"] = model = make_model()
        return model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
