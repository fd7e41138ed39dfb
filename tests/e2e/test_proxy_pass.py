"""What was.ProxyPass asks an upstream, and what a client gets of its answer."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from live_service import receive

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.alias("@up", skitai.PROTO_HTTP, "127.0.0.1:{port}", max_conns=2)
        skitai.mount("/", "proxy.py")
        skitai.run(workers=1, threads=4, trusted_proxies=())
"""

APP = """
    import atila

    app = atila.Atila(__name__)


    @app.route("/below/<path:path>", methods=["GET", "POST"])
    def below(was, path="", **args):
        return was.ProxyPass("@up/base", path)


    @app.route("/stream/<path:path>", methods=["POST"], input_stream=True)
    def stream(was, path=""):
        return was.ProxyPass("@up", path, timeout=0.5)


    @app.route("/<path:path>", methods=["GET", "POST", "HEAD"])
    def same(was, path="", **args):
        return was.ProxyPass("@up")
"""


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        status = next((code for code in (204, 205, 304, 206) if f"/{code}" in self.path), 200)
        body = json.dumps({"path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(status)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        if status == 204:
            self.send_header("Content-Length", "0")  # which RFC 9110, 8.6 forbids
            body = b""
        elif status == 304:
            self.send_header("Content-Length", "1000")
            body = b""
        elif "/chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        size = 0
        while length := int(self.rfile.readline(), 16):
            size += len(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        self.send_response(200)
        self.send_header("Content-Length", str(len(str(size))))
        self.end_headers()
        self.wfile.write(str(size).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def service(launch_once, upstream):
    return launch_once({"serve.py": SERVE.replace("{port}", str(upstream)), "proxy.py": APP})


def asked(service, target: str, *fields: str) -> dict[str, object]:
    """What the upstream gets when a client asks for the target."""
    lines = [f"GET {target} HTTP/1.1", "Host: client.example", *fields, "", ""]
    response = service.raw("\r\n".join(lines).encode())
    assert response.status == 200, response.content
    return json.loads(response.content)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a%2Fb/%C3%BC?q=%20x&y", "/a%2Fb/%C3%BC?q=%20x&y"),
        ("/a?", "/a?"),
        ("/a?q={x}|[y]", "/a?q={x}|[y]"),
        ("http://client.example/a%2Fb?q=1", "/a%2Fb?q=1"),
        ("http://client.example?q=1", "/?q=1"),
        ("/below/a/b%20c%3Fd?q=1", "/base/a/b%20c%3Fd?q=1"),
        ("http://client.example/below/x?q=1", "/base/x?q=1"),
        ("/below/..a/b..?q=..", "/base/..a/b..?q=.."),
    ],
)
def test_path_and_query_reach_the_upstream_as_they_were_sent(target, expected, service):
    assert asked(service, target)["path"] == expected


@pytest.mark.parametrize(
    "target",
    ["/below/../a", "/below/a/..", "/below/%2e%2e/a", "/below/..%2Fa", "/x/../a", "/x/%2E./a"],
)
def test_no_path_leads_out_of_where_the_app_points(target, service):
    response = service.raw(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert response.status == 400


def test_a_client_can_not_pretend_where_it_comes_from(service):
    headers = asked(
        service, "/a", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4;host=evil;proto=https",
    )["headers"]  # fmt: skip
    known = {name.lower(): value for name, value in headers}
    assert known["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
    assert known["x-forwarded-proto"] == "http"
    assert known["x-forwarded-host"] == "client.example"
    assert "forwarded" not in known


@pytest.mark.parametrize("path", ["/200", "/204", "/304", "/206", "/chunked"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_framing_is_our_own_for_every_status(path, method, version, service):
    connection = service.connect()
    for _ in range(2):
        connection.sendall(
            f"{method} {path} HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".encode()
        )
        response = receive(connection, method)
        names = [name.lower() for name, _ in response.getheaders()]
        assert response.status == int(path[1:] if path[1:].isdigit() else 200)
        assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert (bool(response.content)) == (method == "GET" and path not in ("/204", "/304"))
        assert names.count("date") == 1
        if path == "/204":
            assert "content-length" not in names
        if version == "1.0":
            assert "transfer-encoding" not in names
            if method == "GET" and path == "/chunked":
                break  # its end is that of the connection
    connection.close()


def test_an_upload_may_take_longer_than_the_upstream_to_answer(service):
    connection = service.connect()
    connection.sendall(
        b"POST /stream/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    )
    pause = threading.Event()
    for _ in range(4):
        pause.wait(0.3)  # together more than the upstream has for its answer
        connection.sendall(b"3\r\ntwo\r\n")
    connection.sendall(b"0\r\n\r\n")
    response = receive(connection)
    assert (response.status, response.content) == (200, b"15")
    connection.close()
