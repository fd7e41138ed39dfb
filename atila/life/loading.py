"""``atila.load``: an app without a server, for scripts that look into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.app import Atila
from atila.errors import ConfigError
from skitai.handlers.peers import Peers
from skitai.service import Service

if TYPE_CHECKING:
    from skitai import Preference


def load(target: Any, pref: Preference | None = None) -> Atila:
    """Make an app and run its hooks up to ``__mount__``, as a worker would do.

    Its routes are compiled for the point ``/``, so that URLs can be made; it serves nothing, and
    ``__mounted__`` doesn't run. Where the environment has no SKITAIENV it is for production.

    Parameters:
        target: whatever ``skitai.mount`` takes for an app: a module, a file, an app.
        pref: its preference. Default: an empty one.

    Raises ``ConfigError`` for what is no app of this framework, ``StartupError`` when a hook fails.
    """
    service = Service()
    service.mount("/", target, pref)
    if not service.mounts:
        raise ConfigError(f"atila.load: {target!r} is a directory of files, no app")
    mount = service.mounts[0]
    app = mount.load()
    if not isinstance(app, Atila):
        raise ConfigError(f"atila.load: {app!r} is no Atila app")
    peers = Peers()
    peers.add(mount.name, app)
    mount.connect(peers)
    mount.set_up()
    app.freeze("/", None)
    return app
