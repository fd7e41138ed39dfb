"""Small real servers for the tests of the benchmark, and a look at what became of processes."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from benchmarks import launcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

child = subprocess.Popen(
    [sys.executable, "-c", "import sys; sys.stdin.read()"],
    stdin=subprocess.PIPE,
    start_new_session=True,
)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(child.pid).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = body == b"a=1&b=%20" and self.headers["X-Kind"] == "a b" and self.path == "/post"
        self.send_response(200 if right else 400)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Set-Cookie", "kept=va=lue; Path=/; HttpOnly")
        self.send_header("Set-Cookie", "other=1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# Counts the different targets that it is asked for; `/count` tells.
COUNTER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = set()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"waited"
        if self.path == "/count":
            body = " ".join(sorted(asked)).encode()
        elif self.path == "/stream-route":
            body = bytes(2 ** 20)
        else:
            asked.add(self.path)
        self.send_response(404 if self.path == "/stream-proxy" else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def started(folder: Path, source: str) -> Iterator[launcher.Server]:
    script = folder / "server.py"
    script.write_text(source)
    port = launcher.free_port()
    with launcher.Server(
        [sys.executable, str(script), str(port)],
        port=port,
        core=min(os.sched_getaffinity(0)),
        folder=folder,
        log=folder / "server.log",
    ) as server:
        yield server


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
