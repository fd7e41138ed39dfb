"""A service with HTTP/3: what tells clients of it, its workers, reloads, mistakes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket

import pytest
from http3_project import connected, script
from live_service import eventually, run_script, write_files
from tls_project import make_certificates

pytestmark = pytest.mark.e2e


@pytest.fixture
def udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return port


@pytest.fixture
def service(launch, tmp_path, udp_port):
    folder = tmp_path / "project"
    folder.mkdir()
    make_certificates(folder)
    service = launch({"serve.py": script(udp_port)})
    service.udp_port, service.ca_file = udp_port, folder / "ca.pem"
    return service


def ask(service, path="/", times=1):
    """Ask with as many clients as there are times; who answered."""

    async def one():
        async with connected(service.udp_port, service.ca_file) as client:
            reply = await client.get(path)
            assert reply.status == 200, reply
            return reply.body.decode()

    async def all_of_them():
        return await asyncio.gather(*(one() for _ in range(times)))

    return asyncio.run(all_of_them())


def test_clients_are_told_and_come_back_to_all_workers(service):
    url = f"https://localhost:{service.port}/"
    answer = service.client.get(url, verify=str(service.ca_file))
    assert answer.headers["Alt-Svc"] == f'h3=":{service.udp_port}"; ma=86400'
    answers = ask(service, times=20)
    assert {text.rsplit(" ", 1)[0] for text in answers} == {"https 3.0"}
    assert {int(text.split()[-1]) for text in answers} == set(service.workers())
    assert "GET / HTTP/3.0 0 200" in eventually(
        lambda: "HTTP/3.0" in service.log() and service.log(), "the access log"
    )


def test_a_reload_loses_no_request_and_brings_new_certificates(service, tmp_path):
    folder = tmp_path / "project"
    before = set(service.workers())

    async def talk():
        async with contextlib.AsyncExitStack() as stack:
            old_ca = (folder / "ca.pem").read_bytes()
            (folder / "old.pem").write_bytes(old_ca)
            clients = [
                await stack.enter_async_context(connected(service.udp_port, folder / "old.pem"))
                for _ in range(8)
            ]
            waiting = [client.begin("GET", "/wait") for client in clients[:4]]
            await asyncio.to_thread(eventually, (folder / "waiting").exists, "the requests")
            make_certificates(folder)
            service.send(signal.SIGHUP)
            await asyncio.to_thread(service.wait_for_log, "reloaded: generation 1")
            for client in clients[:4]:
                await client.until(lambda client=client: any(b"\7" in d for d in client.goaways))
            async with connected(service.udp_port, folder / "ca.pem") as new:
                reply = await new.get("/")
                assert int(reply.body.split()[-1]) not in before
            (folder / "go").touch()
            for client, stream in zip(clients[:4], waiting, strict=True):
                reply = await client.whole(stream)
                assert int(reply.body.split()[-1]) in before
            for client in clients:
                await client.until(lambda client=client: client.terminated)
                assert client.terminated.error_code == 0x100

    asyncio.run(talk())
    eventually(lambda: not before & set(service.workers()), "the end of the old workers")
    assert len({text.split()[-1] for text in ask(service, times=20)}) == 2


def test_a_killed_worker_is_replaced_on_its_socket(service):
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)
    service.wait_for_log("replaced at once")
    service.client.get(f"https://localhost:{service.port}/", verify=str(service.ca_file))
    assert len(ask(service, times=10)) == 10


def test_the_port_is_free_after_the_end(service):
    ask(service)
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", service.udp_port))


@pytest.mark.parametrize(
    ("setup", "complaint"),
    [
        ("pass", r"quic=\d+ needs a certificate: call skitai.enable_ssl"),
        (
            "skitai.enable_ssl('server.pem', client_ca='server.pem')",
            r"quic=\d+ can't be had with client_ca='.*server.pem'",
        ),
        (
            "import sys; sys.modules['aioquic'] = None; skitai.enable_ssl('server.pem')",
            r"quic=\d+ needs aioquic: pip install 'skitai\[http3\]'",
        ),
    ],
)
def test_what_is_missing_is_named_at_the_start(tmp_path, udp_port, setup, complaint):
    make_certificates(tmp_path)
    write_files(tmp_path, {"serve.py": script(udp_port, setup)})
    ended = run_script(tmp_path)
    assert ended.returncode == 2
    assert re.search(complaint, ended.stderr), ended.stderr
