"""An upstream's answers passed on by atila on skitai, waiting, and bodies too big for the memory.

`UPSTREAM_PORT` in the environment is where benchmarks/apps/upstream.py listens.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import skitai
from atila import Atila

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

BLOCK = bytes(64 * 1024)

app = Atila(__name__)


@app.route("/proxy")
def proxy(was: Any) -> Any:
    """Pass on 1 KB."""
    return was.ProxyPass("@upstream", "/kilobyte")


@app.route("/async/proxy")
async def async_proxy(was: Any) -> Any:
    """Pass on 1 KB."""
    return was.ProxyPass("@upstream", "/kilobyte")


@app.route("/waiting")
async def waiting(was: Any) -> str:
    """Wait a second."""
    await asyncio.sleep(1)
    return "waited"


@app.route("/waiting-upstream", coroutine=True)
def waiting_upstream(was: Any) -> Generator[Any, Any, Any]:
    """Wait for an upstream that answers after a second."""
    task = yield was.get("@upstream/waiting")
    return task.fetch()


@app.route("/stream-route")
def stream_route(was: Any) -> Iterator[bytes]:
    """Answer with 1 GiB."""
    return (BLOCK for _ in range(16 * 1024))


@app.route("/stream-proxy")
def stream_proxy(was: Any) -> Any:
    """Pass on 1 GiB."""
    return was.ProxyPass("@upstream", "/gigabyte")


if __name__ == "__main__":
    member = f"127.0.0.1:{os.environ['UPSTREAM_PORT']}"
    skitai.alias("@upstream", skitai.PROTO_HTTP, [member], max_conns=0)
    skitai.mount("/", app)
    skitai.run(address="127.0.0.1", access_log=False)
