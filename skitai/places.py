"""Where a service keeps what outlives a process: for commands and for mail that waits."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "SKITAI_HOME"


def state_directory(name: str) -> Path:
    """Where a service keeps what outlives a process: ``~/.skitai/<name>``.

    Parameters:
        name: of the service.

    Other users can't write there, which they could in a shared temporary directory.
    ``$SKITAI_HOME`` takes the place of ``~/.skitai``.
    """
    home = os.environ.get(HOME_VARIABLE) or os.path.expanduser("~/.skitai")
    return Path(home) / name
