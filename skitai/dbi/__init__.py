"""Base classes for databases that an app brings itself (seed, Adding Custom Database Interface).

``skitai.add_database_interface("*name", Class)`` makes one known. Modules:

- here: ``Interface``, and ``StreamConnect`` for protocols over a TCP connection;
- ``asynredis``: servers that speak RESP, as Redis does;
- ``rdbms``: SQL databases.
"""

from __future__ import annotations

from skitai.dbi.stream import StreamConnect
from skitai.tasks.errors import RequestFailed
from skitai.upstream.commands import Command
from skitai.upstream.custom import Interface, ServerError
from skitai.upstream.interface import Member

__all__ = ["Command", "Interface", "Member", "RequestFailed", "ServerError", "StreamConnect"]
