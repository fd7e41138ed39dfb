"""The smallest app that can be mounted, as a class and as source text, and ways to mount it."""

from __future__ import annotations

from types import ModuleType

import pytest

from skitai.errors import ConfigError
from skitai.preference import AttributeDict, Configurable

APP = """
class App:
    name = "app-of-a-file"

    def freeze(self, point, pool):
        return None

    def cleanup(self):
        pass
"""


class App:
    """The smallest thing that can be mounted; it records what was done to it."""

    debug = use_reloader = True

    def __init__(self, name="tiny"):
        self.name = name
        self.config = {"MAX_UPLOAD_SIZE": 1, "KEPT": 2}
        self.mountables = ["first"]
        self.calls = []

    def freeze(self, point, pool):
        return None

    def setup(self, module, mntopt):
        self.calls.append((module, mntopt, dict(vars(self))))

    def cleanup(self):
        self.calls.append("cleanup")


class ConfigurableApp(App, Configurable):
    """An app that can be extended and overridden."""

    def __init__(self, home):
        super().__init__("configurable")
        self._home = home
        self._configure(AttributeDict())


def write(service, name, text=""):
    path = service.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def module_with(**names):
    module = ModuleType("shop")
    module.__file__ = __file__
    vars(module).update(names)
    return module


def mounted(service, *args, **options):
    service.mount(*args, **options)
    return service.mounts[-1]


def refusal(service, *args, **options):
    with pytest.raises(ConfigError) as caught:
        service.mount(*args, **options)
    return str(caught.value)
