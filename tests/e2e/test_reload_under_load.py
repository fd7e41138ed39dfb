"""SIGHUP while clients of every protocol are at work, and what it takes over from the script."""

from __future__ import annotations

import http.client
import os
import signal
import socket

import pytest
from live_service import eventually, receive, write_files
from protocol_load import (
    SERVICE_RESTART,
    Http2Conversation,
    Http2Load,
    Http3Load,
    PipelinedLoad,
    SocketLoad,
)
from tls_project import make_certificates, trusting
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

SERVE = """
    import asyncio
    import os
    import time
    import skitai
    from atila import Atila

    app = Atila (__name__)

    def wait ():
        open ("waiting", "w").close ()
        while os.path.exists ("gate"):
            time.sleep (0.01)

    @app.route ("/who")
    def who (was, token):
        return f"{token} {os.getpid ()}"

    @app.route ("/echo")
    @app.websocket (skitai.WS_REPORTY, 60)
    def echo (was, message):
        if message == "wait":
            wait ()
        return f"{message} {os.getpid ()}"

    @app.route ("/stream")
    def stream (was):
        def pieces ():
            yield "begun, "
            wait ()
            yield "ended"
        return pieces ()

    @app.route ("/events")
    async def events (was):
        was.response.set_header ("Content-Type", "text/event-stream")
        while True:
            yield f"data: {os.getpid ()}\\n\\n"
            await asyncio.sleep (0.05)

    @app.route ("/upload", methods = ["POST"])
    def upload (was):
        return f"{len (was.request.body)} {os.getpid ()}"

    if __name__ == "__main__":
        SETUP
        skitai.mount ("/", app)
        skitai.run (OPTIONS)
"""


def project(options="", setup="pass"):
    options = f"address = '127.0.0.1', access_log = False, {options}"
    return {"serve.py": SERVE.replace("OPTIONS", options).replace("SETUP", setup)}


def reload_under(load, service, workers=1):
    service.send(signal.SIGHUP)
    service.wait_for_log("reloaded: generation 1 serves")
    eventually(lambda: len(service.workers()) == workers, "the end of the old workers")
    eventually(lambda: set(load.answers) & set(service.workers()), "an answer of a new worker")
    load.wait_for_more(20)


@pytest.fixture
def certificates(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    make_certificates(folder)
    return folder


@pytest.mark.parametrize("kind", [PipelinedLoad, Http2Load, SocketLoad])
def test_no_request_fails_in_a_reload(launch, kind):
    service = launch(project("workers = 2"))
    before = set(service.workers())
    with kind(service.port, keeping=3) as load:
        reload_under(load, service, workers=2)
    assert load.failures == []
    assert set(load.answers) & before


def test_no_request_of_http2_over_tls_fails_in_a_reload(launch, certificates):
    service = launch(project(setup="skitai.enable_ssl ('server.pem')"))
    tls = trusting(certificates)
    tls.set_alpn_protocols(["h2"])
    with Http2Load(service.port, keeping=2, tls=tls) as load:
        reload_under(load, service)
    assert load.failures == []


def test_no_request_over_http3_fails_in_a_reload(launch, certificates):
    pytest.importorskip("aioquic")
    port = free_port()
    service = launch(project(f"quic = {port}", "skitai.enable_ssl ('server.pem')"))
    with Http3Load(port, certificates / "ca.pem") as load:
        reload_under(load, service)
    assert load.failures == []


@pytest.fixture
def service(launch):
    service = launch(project())
    (service.folder / "gate").touch()
    return service


def reloaded_while_it_waits(service):
    """The old worker drains, and still waits in what the test has begun."""
    eventually((service.folder / "waiting").exists, "the request")
    service.send(signal.SIGHUP)
    service.wait_for_log("reloaded: generation 1 serves")
    assert len(service.workers()) == 2
    (service.folder / "gate").unlink()


def test_streams_and_uploads_under_way_end_well(service):
    stream, upload = service.connect(), service.connect()
    stream.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    upload.sendall(
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
        + bytes(1000000)
    )
    [old] = service.workers()
    reloaded_while_it_waits(service)
    upload.sendall(bytes(1000000))
    assert receive(stream).content == b"begun, ended"
    assert receive(upload).content == f"2000000 {old}".encode()
    eventually(lambda: old not in service.workers(), "the end of the old worker")


def test_a_stream_of_events_is_completed_and_nobody_waits_for_it(launch):
    service = launch(project("drain_timeout = 600"))
    [old] = service.workers()
    with service.connect() as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.readline() == f"data: {old}\n".encode()
        service.send(signal.SIGHUP)
        assert answer.read().endswith(b"\n\n")  # or http.client says that it is incomplete
    eventually(lambda: old not in service.workers(), "the end of the old worker")


def test_streams_and_uploads_of_http2_end_well(service):
    [old] = service.workers()
    client = Http2Conversation(service.connect())
    stream, upload = client.begin("/stream"), client.begin("/upload", method="POST")
    client.send(upload, bytes(30000))
    reloaded_while_it_waits(service)
    client.send(upload, bytes(30000), ended=True)
    assert client.read(stream) == (200, "begun, ended")
    assert client.read(upload) == (200, f"60000 {old}")
    eventually(lambda: client.last is not None or client.receive(), "GOAWAY")
    eventually(lambda: old not in service.workers(), "the end of the old worker")


def test_a_message_that_is_worked_on_is_answered_before_the_websocket_is_closed(service):
    [old] = service.workers()
    with connect(f"ws://127.0.0.1:{service.port}/echo") as client:
        client.send("wait")
        reloaded_while_it_waits(service)
        assert client.recv(30) == f"wait {old}"
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == SERVICE_RESTART
    eventually(lambda: old not in service.workers(), "the end of the old worker")


# What is taken over


def save(service, options="", setup="pass"):
    write_files(service.folder, project(options, setup))
    service.send(signal.SIGHUP)


def test_a_reload_takes_over_mounts_and_settings(launch):
    service = launch(project())
    (service.folder / "public").mkdir()
    (service.folder / "public" / "new.txt").write_text("new")
    save(service, "max_upload_size = 5, threads = 0", "skitai.mount ('/files', 'public')")
    service.wait_for_log("generation 1 serves")
    eventually(lambda: len(service.workers()) == 1, "the end of the old worker")
    assert service.get("/files/new.txt").text == "new"
    assert service.raw(b"POST /upload HTTP/1.0\r\nContent-Length: 6\r\n\r\n123456").status == 413
    assert "needs a restart" not in service.log()


def test_a_reload_takes_over_the_number_of_workers(launch):
    service = launch(project("workers = 2"))
    for number in (3, 1):
        save(service, f"workers = {number}")
        service.wait_for_log(rf"workers \d -> {number}$")
        eventually(lambda n=number: len(service.workers()) == n, "as many workers as wanted")
    service.wait_for_log("generation 2 serves")
    os.kill(service.workers()[0], signal.SIGKILL)
    service.wait_for_log("was killed by SIGKILL: replaced at once")
    assert service.get("/who?token=x").status_code == 200
    assert len(service.workers()) == 1


def test_settings_that_need_a_restart_are_told_and_change_nothing(launch):
    service = launch(project("name = 'mine', workers = 2, socket_mode = '600'"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        save(service, f"name = 'other', fws_port = {port}, log_format = 'json', workers = 2")
        service.wait_for_log("generation 1 serves")
    for change in (
        "name 'mine' -> 'other'", f"fws_port 0 -> {port}", "socket_mode 600 -> 660",
        "log_format 'text' -> 'json'",
    ):  # fmt: skip
        line = f"not reloaded: {change} needs a restart of the service"
        assert service.log().count(line) == 1, change
    assert service.get("/who?token=x").status_code == 200


def test_a_drain_may_take_as_long_as_the_new_script_says(launch):
    service = launch(project("drain_timeout = 0"))
    save(service, "drain_timeout = 30")
    service.wait_for_log("generation 1 serves")
    eventually(lambda: len(service.workers()) == 1, "the end of the old worker")
    (service.folder / "gate").touch()
    connection = service.connect()
    connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    reloaded = "generation 2 serves"
    eventually((service.folder / "waiting").exists, "the request")
    save(service, "drain_timeout = 0")
    service.wait_for_log(reloaded)
    (service.folder / "gate").unlink()
    assert receive(connection).content == b"begun, ended"
