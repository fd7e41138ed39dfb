"""atila, the web framework on skitai: the names that apps use."""

from __future__ import annotations

from atila.api import API
from atila.app import Atila
from atila.errors import HTTPError
from atila.file_results import File

__all__ = ["API", "Atila", "File", "HTTPError"]
