"""HTTP/2 as clients that people use speak it: curl, nghttp, httpx, over TLS and in the clear."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from certificates import make_certificates
from serving import Gate, Serving, Toy, answer, happens

from skitai.config import Settings
from skitai.net.certificates import make_context
from skitai.server.negotiation import ALPN
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skitai.server.exchange import Exchange

LARGE = bytes(range(256)) * 8000


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    (directory / "large").write_bytes(LARGE)
    return directory


@pytest.fixture(scope="module")
def app(directory: Path) -> Toy:
    def describe(exchange: Exchange) -> None:
        answer(exchange, f"{exchange.request.version} {exchange.channel.scheme}".encode())

    def send_file(exchange: Exchange) -> None:
        descriptor = os.open(directory / "large", os.O_RDONLY)
        head = Head(200, "text/plain", length=len(LARGE))
        exchange.channel.send_file(exchange, head, descriptor, [(0, len(LARGE))])

    app = Toy()
    app.thread("/", describe)
    app.thread("/large", lambda exchange: answer(exchange, LARGE, kind="image/png"))
    app.thread("/file", send_file)
    app.thread(
        "/echo",
        lambda exchange: answer(exchange, exchange.body.read() if exchange.body else b""),
        max_body=len(LARGE),
    )
    return app


@pytest.fixture(scope="module")
def clear(app: Toy) -> Iterator[str]:
    with Serving(app) as serving:
        yield "http://{}:{}".format(*serving.address)


@pytest.fixture(scope="module")
def secure(app: Toy, directory: Path) -> Iterator[str]:
    tls = make_context(Settings(certfile=directory / "server.pem"), ALPN)
    with Serving(app, tls=tls) as serving:
        yield f"https://localhost:{serving.address[1]}"


def curl(directory: Path, *arguments: str, body: bytes = b"") -> bytes:
    """Run curl; its output."""
    ca = str(directory / "ca.pem")
    return subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--cacert", ca, *arguments],
        input=body,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def test_curl_speaks_it_with_prior_knowledge(clear: str, directory: Path) -> None:
    assert curl(directory, "--http2-prior-knowledge", clear) == b"2.0 http"


def test_curl_upgrades(clear: str, directory: Path) -> None:
    assert curl(directory, "--http2", clear) == b"2.0 http"
    # The body makes it stay with HTTP/1.1.
    assert curl(directory, "--http2", "-d", "a", f"{clear}/echo") == b"a"


def test_curl_finds_it_by_alpn(secure: str, directory: Path) -> None:
    assert curl(directory, secure) == b"2.0 https"
    assert curl(directory, "--http1.1", secure) == b"1.1 https"


@pytest.mark.parametrize("path", ["/large", "/file"])
def test_curl_gets_large_answers(clear: str, secure: str, directory: Path, path: str) -> None:
    assert curl(directory, secure + path) == LARGE
    assert curl(directory, "--http2-prior-knowledge", clear + path) == LARGE


def test_curl_sends_large_bodies(clear: str, secure: str, directory: Path) -> None:
    sent = ["--data-binary", "@-"]
    assert curl(directory, *sent, secure + "/echo", body=LARGE) == LARGE
    assert curl(directory, "--http2-prior-knowledge", *sent, clear + "/echo", body=LARGE) == LARGE


def test_curl_sees_413(secure: str, directory: Path) -> None:
    status = ["-o", os.devnull, "-w", "%{http_code}"]
    sent = ["--data-binary", "@-"]
    assert curl(directory, *status, *sent, secure + "/echo", body=LARGE + b"x") == b"413"


def test_nghttp_gets_many_at_once_and_sends_trailers(clear: str) -> None:
    assert shutil.which("nghttp"), "install nghttp2-client"
    targets = [f"{clear}/large?{at}" for at in range(20)]
    got = subprocess.run(
        ["nghttp", "-t", "20", "--no-verify-peer", *targets], stdout=subprocess.PIPE, check=True
    )
    assert len(got.stdout) == len(LARGE) * 20  # it writes them as the frames come
    got = subprocess.run(
        ["nghttp", "-d", "-", "--trailer", "x-a: b", f"{clear}/echo"],
        input=b"hello",
        stdout=subprocess.PIPE,
        check=True,
    )
    assert got.stdout == b"hello"


def test_httpx_over_tls(secure: str, directory: Path) -> None:
    trust = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    with httpx.Client(http2=True, verify=trust) as client:
        assert client.get(secure).text == "2.0 https"
        assert client.get(secure).http_version == "HTTP/2"
        assert client.get(f"{secure}/large").content == LARGE
        assert client.post(f"{secure}/echo", content=LARGE[:100_000]).content == LARGE[:100_000]
        assert client.post(f"{secure}/echo", content=LARGE * 2).status_code == 413
        assert client.get(secure).status_code == 200


def test_h2load_has_no_failures(clear: str) -> None:
    assert shutil.which("h2load"), "install nghttp2-client"
    got = subprocess.run(
        ["h2load", "-n", "2000", "-c", "4", "-m", "64", clear],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert "2000 succeeded, 0 failed, 0 errored" in got.stdout


def test_httpx_gets_its_answer_from_a_server_that_drains() -> None:
    gate = Gate()
    app = Toy()
    app.thread("/", gate)

    def drain() -> None:
        assert happens(gate.entered)
        serving.server.draining = True
        serving.server.draining_since = serving.server.clock.now
        gate.opened.set()

    with Serving(app) as serving, httpx.Client(http1=False, http2=True) as client:
        draining = threading.Thread(target=drain)
        draining.start()
        assert client.get("http://{}:{}".format(*serving.address)).text == "gate"
        draining.join()
