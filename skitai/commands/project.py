"""The files of a new project: an app in the structure that the documents describe.

``commands/console.py`` writes them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import keyword
import re
from typing import TYPE_CHECKING

from skitai.commands.written_files import unwritable
from skitai.errors import ConfigError, StartupError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PLACE = "APPNAME"
_RESERVED = ("conftest", "serve", "tests")  # names of other files of the project

FILES = {
    "serve.py": '''\
"""Starts the service: `python3 serve.py --devel`, then open http://127.0.0.1:5000/"""

import skitai

import APPNAME

if __name__ == "__main__":
    with skitai.preference() as pref:
        skitai.mount("/", APPNAME, pref)

    skitai.run(port=5000, name="APPNAME")
''',
    "APPNAME/__init__.py": '''\
"""The app APPNAME: its settings, the object itself, its routes."""

from atila import Atila


def __config__(pref):
    # Paths are relative to serve.py. skitai serves what is in this directory by itself.
    pref.set_static("/static", "APPNAME/static")


def __app__():
    return Atila(__name__)


def __mount__(app, mntopt):
    @app.route("/")
    def index(was):
        return was.render("index.j2", name="APPNAME")

    @app.route("/hello")
    def hello(was, name: str = "world"):
        return was.API(text=f"Hello, {name}")
''',
    "APPNAME/templates/base.j2": """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>{% block title %}{% endblock %}</title>
    <link rel="stylesheet" href="{{ was.static('style.css') }}">
  </head>
  <body>
    {% block body %}{% endblock %}
  </body>
</html>
""",
    "APPNAME/templates/index.j2": """\
{% extends "base.j2" %}

{% block title %}{{ name }}{% endblock %}

{% block body %}
<h1>{{ name }}</h1>
<p>It works. Routes are in <code>{{ name }}/__init__.py</code>, this page is
<code>{{ name }}/templates/index.j2</code>.</p>
{% endblock %}
""",
    "APPNAME/static/style.css": """\
body { font-family: system-ui, sans-serif; line-height: 1.5; margin: 3rem auto; max-width: 40rem }
h1 { font-weight: 600 }
""",
    "tests/conftest.py": '''\
"""The service, started once for all tests, on a free port."""

from pathlib import Path

import pytest
import skitai

SCRIPT = Path(__file__).resolve().parents[1] / "serve.py"


@pytest.fixture(scope="session")
def client():
    with skitai.test_client(SCRIPT, port=0) as client:
        yield client
''',
    "tests/test_APPNAME.py": '''\
"""What a client of APPNAME gets."""


def test_index(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "<h1>APPNAME</h1>" in page.text


def test_static_files(client):
    assert client.get("/static/style.css").headers["content-type"].startswith("text/css")


def test_hello(client):
    assert client.get("/hello?name=Ada").json() == {"text": "Hello, Ada"}
    assert client.get("/hello").json() == {"text": "Hello, world"}
''',
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "APPNAME"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["skitai"]

[project.optional-dependencies]
dev = ["skitai[test]"]

[tool.setuptools]
packages = ["APPNAME"]

[tool.setuptools.package-data]
APPNAME = ["static/**", "templates/**"]

[tool.pytest.ini_options]
testpaths = ["tests"]
""",
    "README.md": """\
# APPNAME

```bash
python3 serve.py --devel   # http://127.0.0.1:5000, with a reload on each save
python3 -m pytest          # the tests; once before: python3 -m pip install 'skitai[test]'
python3 serve.py --help    # options and commands
```

On a server:

```bash
python3 serve.py --workers=4 install
sudo systemctl start APPNAME
```
""",
    ".gitignore": """\
__pycache__/
.pytest_cache/
.static_root/
.venv/
""",
}


def write_project(name: str, directory: Path) -> None:
    """Write the files of a new project.

    Parameters:
        name: of the app's package.
        directory: is made; it may exist if it is empty.

    Raises ``ConfigError`` for a name that can't be, ``StartupError`` when something is there or
    can't be written.
    """
    _check(name)
    made: list[Path] = []
    try:
        if directory.is_symlink() or directory.exists():
            if not directory.is_dir() or any(directory.iterdir()):
                raise StartupError(
                    f"{str(directory)!r} exists and is not empty: nothing was written; choose "
                    "another name, or give an empty directory"
                )
        for path, text in FILES.items():
            _write(directory / path.replace(_PLACE, name), text.replace(_PLACE, name), made)
    except (OSError, ValueError) as exc:  # a path with a zero byte is a wrong value
        _remove(made)
        if isinstance(exc, OSError):
            raise unwritable(exc, directory) from exc
        raise ConfigError(f"{str(directory)!r} can't be a directory: {exc}") from exc
    except BaseException:  # also when whoever types this gives up
        _remove(made)
        raise


def _write(place: Path, text: str, made: list[Path]) -> None:
    """Write a file; what did not exist before is noted."""
    for parent in reversed([parent for parent in place.parents if not parent.exists()]):
        parent.mkdir(exist_ok=True)
        made.append(parent)
    with open(place, "x", encoding="utf-8") as file:
        made.append(place)
        file.write(text)


def _remove(made: list[Path]) -> None:
    """Nobody is helped by a half of a project."""
    for place in reversed(made):
        with contextlib.suppress(OSError):
            if place.is_dir():
                place.rmdir()
            else:
                place.unlink()


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        near = re.sub(r"[\s.-]", "_", name.lower())
        near = f"my{near}" if keyword.iskeyword(near) else near
        raise ConfigError(
            f"{name!r} can't be the name of an app: give a word of small letters, digits and '_', "
            f"such as '{near if _NAME.fullmatch(near) else 'myapp'}'"
        )
    why = "another file of the project has this name" if name in _RESERVED else ""
    if why or _is_taken(name):
        why = why or "a module of this name is installed already"
        raise ConfigError(f"{name!r}: {why}; choose another name, such as 'my{name}'")


def _is_taken(name: str) -> bool:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    # A directory without __init__.py, such as one that is to be filled, takes no name.
    return found is not None and found.origin is not None
