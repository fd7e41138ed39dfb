"""How connections to databases are encrypted; the drivers of Redis and of interfaces ask for it."""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.errors import ConfigError

if TYPE_CHECKING:
    import ssl


def check_verify(verify: bool | str, name: str) -> None:
    """Raise ``ConfigError`` when there is nothing to check the certificates of a member with."""
    if isinstance(verify, str) and not os.path.exists(verify):
        raise ConfigError(
            f"verify={verify!r} for {name}: there is no such file; give the certificates of the "
            "authorities, True for those of the system, or False"
        )


async def load_context(verify: bool | str) -> ssl.SSLContext:
    """The context for connections, made once.

    Parameters:
        verify: certificates of servers are checked with the authorities of the system (True), with
            those in this file or directory, or not at all (False).

    Raises ``OSError`` when the file can't be read or has no certificates.
    """
    # Reading the system's authorities takes 20 ms the first time.
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _make_context, verify)


@lru_cache(maxsize=16)
def _make_context(verify: bool | str) -> ssl.SSLContext:
    import ssl  # 8 ms and 5 MB that services without TLS upstreams don't need

    if isinstance(verify, str):
        directory = verify if os.path.isdir(verify) else None
        return ssl.create_default_context(cafile=None if directory else verify, capath=directory)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
