"""atila, the web framework on skitai: the names that apps use."""

from __future__ import annotations

from atila.app import Atila
from atila.errors import HTTPError
from atila.results import API, File

__all__ = ["API", "Atila", "File", "HTTPError"]
