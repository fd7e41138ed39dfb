"""What a launch script says of logs: ``skitai.enable_file_logging`` and its like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFAULT_PATH = "/var/log/skitai/<name>"


class LogOptions:
    """Settings of logs by functions; ``skitai.run`` wins over them.

    Parameters:
        configured: receives the settings.
    """

    def __init__(self, configured: dict[str, Any]) -> None:
        self._configured = configured

    def enable_file_logging(
        self,
        path: str | Path | None = None,
        file_loggings: str | Sequence[str] | None = None,
        *,
        keep: int | None = None,
    ) -> None:
        """Write logs to ``request.log``, ``app.log`` and ``server.log`` instead of the screen.

        Parameters:
            path: their directory, made if it is missing, relative to the launch script. ``<name>``
                in it becomes the name of the service. Default: ``/var/log/skitai/<name>``.
            file_loggings: which of ``request``, ``app`` and ``server`` go to files; the others
                stay on the screen. Default: all.
            keep: how many rotated files of each are kept. Default: 30.
        """
        self._configured["log_path"] = DEFAULT_PATH if path is None else path
        if file_loggings is not None:
            self._configured["file_loggings"] = file_loggings
        if keep is not None:
            self._configured["log_keep"] = keep

    def set_access_log_path(self, path: str | Path) -> None:
        """Write only the request log to a file, ``request.log`` in a directory."""
        self.enable_file_logging(path, ("request",))

    def log_off(self, *patterns: str) -> None:
        """Write no line for requests to some paths; for all others, and always for ``/``.

        Parameters:
            patterns: ``*.css`` for what ends so; ``/health`` or ``/health*`` for what begins so.
        """
        self._configured["log_off"] = (*self._configured.get("log_off", ()), *patterns)
