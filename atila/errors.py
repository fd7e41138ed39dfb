"""Errors that have an HTTP status, as apps raise them: ``was.Error`` (seed, HTTP Error)."""

from __future__ import annotations

from skitai.errors import ConfigError, HTTPError

__all__ = ["ConfigError", "HTTPError"]
