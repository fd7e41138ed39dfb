"""What the test client takes out of answers of services under ``--devel``, and keeps."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import skitai
from skitai.testing.recording import VARIABLE, read_records

SPEC = {"id": "echo"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = self.server.body
        self.send_response(201)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.body = json.dumps({"a": 1, "__spec__": SPEC}).encode()
        running.kind = "application/json; charset=utf-8"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client(server):
    with skitai.test_client(port=server.server_port) as client:
        yield client


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Keep records, and read them."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return lambda: read_records(tmp_path)


def test_the_spec_is_in_no_data(client):
    response = client.get("/x")
    assert (response.data, response.json(), response.spec) == ({"a": 1}, {"a": 1}, SPEC)
    assert "__spec__" in response.text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"a": 1}', "application/json"),
        (b'["__spec__"]', "application/json"),
        (b'{"__spec__": 1}', "application/json"),
        (b'{"a": "\\"__spec__\\""}', "application/json"),
        (b'{"__spec__": {', "application/json"),
        (b'{"__spec__": {}}', "text/plain"),
    ],
)
def test_anything_else_stays_as_it_is(server, client, records, body, kind):
    server.body, server.kind = body, kind
    response = client.get("/x")
    assert (response.spec, response.content) == (None, body)
    assert records() == []


def test_a_record_has_both_sides(client, records):
    client.get("/x?q=1")
    client.axios.post("/x", {"name": "Momo"})
    (first, second) = records()
    assert first.pop("time") <= second.pop("time")
    answer = {"status": "201 Created", "type": "application/json", "data": {"a": 1}}
    assert first == {
        "spec": SPEC,
        "method": "GET",
        "url": "/x?q=1",
        "request": {"type": "", "data": None},
        "response": answer,
    }
    assert second["request"] == {"type": "application/json", "data": {"name": "Momo"}}


def test_what_was_sent_is_kept_where_it_is_data(client, records):
    client.post("/x", {"a": "1", "b": ""})
    client.upload("/x", {"file": ("a.txt", b"text")})
    client.post("/x", b"\xff\x00", {"Content-Type": "application/octet-stream"})
    client.post("/x", "{broken", {"Content-Type": "application/json"})
    client.post("/x", "words", {"Content-Type": "text/plain"})
    assert [record["request"] for record in records()] == [
        {"type": "application/x-www-form-urlencoded", "data": {"a": "1", "b": ""}},
        {"type": "multipart/form-data", "data": None},
        {"type": "application/octet-stream", "data": None},
        {"type": "application/json", "data": "{broken"},
        {"type": "text/plain", "data": "words"},
    ]


def test_without_a_place_nothing_is_kept(client, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    client.get("/x")
    assert read_records(tmp_path) == []


def test_streams_are_left_alone(client, records):
    with client.get("/x", stream=True) as response:
        assert response.spec is None
        assert "__spec__" in response.json()
    assert records() == []
