"""A stand-alone server for the tests of skitai.testing, which start it or a copy.

It knows nothing of skitai: http.server, and the notify protocol in four lines.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GREETINGS: dict[str, tuple[str, bytes]] = {
    "/hello": ("text/plain; charset=utf-8", "Grüße".encode()),
    "/binary": ("application/octet-stream", b"\x00\xff"),
    "/json": ("Application/JSON; charset=utf-8", b'{"result": [1, 2]}'),
    "/broken": ("application/json", b'{"result'),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    facts: dict[str, Any]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/silent":
            threading.Event().wait()
        elif path == "/crash":
            os._exit(3)
        elif path == "/redirect":
            self.reply(302, {"Location": "/echo"}, b"")
        elif path == "/login":
            self.reply(200, {"Set-Cookie": "who=me; Path=/; HttpOnly"}, b"")
        elif path in GREETINGS:
            content_type, text = GREETINGS[path]
            self.reply(200, {"Content-Type": content_type}, text)
        else:
            self.reply(200, {"Content-Type": "application/json"}, self.echo(body))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def echo(self, body: bytes) -> bytes:
        request = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode("latin-1"),
            **self.facts,
        }
        return json.dumps(request).encode()

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("X-Method", self.command)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def announce(*messages: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message.encode(), os.environ["NOTIFY_SOCKET"])


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--devel", action="store_true")
    parser.add_argument("--max-things", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--stubborn", action="store_true", help="ignores SIGTERM")
    parser.add_argument("--polite", action="store_true", help="ends with exit code 0 on SIGTERM")
    parser.add_argument("--quiet", action="store_true", help="never says that it is ready")
    parser.add_argument("--children", type=int, default=0, help="processes that ignore SIGTERM")
    options = parser.parse_args()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.polite:
        signal.signal(signal.SIGTERM, lambda *_: (print("bye"), os._exit(0)))
    sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1)"
    children = []
    for _ in range(options.children):
        command = [sys.executable, "-c", f"{sleeper}; time.sleep(3600)"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        children.append(child.pid)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    except OSError as exc:
        sys.exit(f"port {options.port} can't be had: {exc}")
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    Handler.facts = {
        "options": vars(options),
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "children": children,
    }
    print("serving", options.port)
    if not options.quiet:
        announce("STATUS=READY=1 comes next", "MAINPID=1\nREADY=1")
    server.serve_forever()


if __name__ == "__main__":
    main()
