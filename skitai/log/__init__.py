"""Where log lines go and how they look: the screen, or files that are rotated."""

from skitai.log.lines import LineFormatter, engine, install, prepare, reopen

__all__ = ["LineFormatter", "engine", "install", "prepare", "reopen"]
