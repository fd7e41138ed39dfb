"""Encrypted connections to upstreams, with an authority of our own."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from typing import TYPE_CHECKING, NamedTuple

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scripted_http_server import Conversation, ScriptedServer, always_ok

from skitai.errors import ConfigError
from skitai.tasks.errors import Failure, NetworkError
from skitai.tasks.status import STA_NETERR
from skitai.upstream.http.backend import HttpBackend
from skitai.upstream.http.connecting import tls_context
from skitai.upstream.http.request import HttpRequest
from skitai.upstream.interface import Member

if TYPE_CHECKING:
    from pathlib import Path


class Pki(NamedTuple):
    authority: Path
    server: ssl.SSLContext


def sign(name: str, issuer, key, signer, authority: bool, names: list[x509.GeneralName]):
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(True, *[False] * 4, authority, authority, False, False), critical=True
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def pki(tmp_path_factory) -> Pki:
    home = tmp_path_factory.mktemp("pki")
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = sign("authority", None, root_key, root_key, True, [])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = sign("server", root.subject, key, root_key, False, names)
    pem = serialization.Encoding.PEM
    (home / "ca.pem").write_bytes(root.public_bytes(pem))
    (home / "server.pem").write_bytes(
        leaf.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(home / "server.pem")
    server.set_alpn_protocols(["h2", "http/1.1"])
    return Pki(home / "ca.pem", server)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    return asyncio.run if request.param == "asyncio" else uvloop.run


def get(target: str = "/") -> HttpRequest:
    return HttpRequest("GET", target, [])


async def failure_of(call) -> Failure:
    with pytest.raises(Failure) as caught:
        await call
    return caught.value


def test_a_call_over_tls(run, pki):
    seen = []

    async def script(client: Conversation) -> None:
        sock = client.writer.get_extra_info("ssl_object")
        seen.append((sock.version(), sock.selected_alpn_protocol()))
        while True:
            await client.request()
            await client.answer(b"x" * 300_000)

    async def main():
        async with ScriptedServer(script, tls=pki.server) as server:
            backend = HttpBackend(server.member(), verify=str(pki.authority))
            for _ in range(3):
                reply = await backend.call(HttpRequest("POST", "/", [], b"y" * 300_000))
                assert len(reply.content) == 300_000
                assert reply.url == f"https://127.0.0.1:{server.port}/"
            assert server.connections == 1
            await backend.close()
            await server.until(lambda: server.open == 0)

    run(main())
    assert seen == [("TLSv1.3", "http/1.1")]


def test_the_name_of_the_server_is_told(run, pki):
    names = []
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pki.authority.with_name("server.pem"))
    server_context.sni_callback = lambda _, name, __: names.append(name)

    async def main():
        async with ScriptedServer(always_ok, tls=server_context, host="localhost") as server:
            backend = HttpBackend(server.member(), verify=str(pki.authority))
            assert (await backend.call(get())).content == b"ok"
            await backend.close()

    run(main())
    assert names == ["localhost"]


def test_an_unknown_authority_is_refused_by_default(run, pki):
    async def main():
        async with ScriptedServer(always_ok, tls=pki.server) as server:
            backend = HttpBackend(server.member())
            failure = await failure_of(backend.call(get()))
            assert isinstance(failure.error, NetworkError)
            assert "unable to get local issuer certificate" in str(failure.error)
            assert (failure.status, failure.sent) == (STA_NETERR, False)
            await server.until(lambda: server.open == 0)
            assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


def test_a_certificate_of_another_server_is_refused(run, pki, monkeypatch):
    async def main():
        async with ScriptedServer(always_ok, tls=pki.server) as server:
            backend = HttpBackend(
                Member("other.name", server.port, tls=True), verify=str(pki.authority)
            )

            async def resolve():
                return [(2, ("127.0.0.1", server.port))]

            monkeypatch.setattr(backend._connector, "_resolve", resolve)
            failure = await failure_of(backend.call(get()))
            assert "not valid for 'other.name'" in str(failure.error)
            await backend.close()

    run(main())


def test_checking_can_be_turned_off(run, pki):
    async def main():
        async with ScriptedServer(always_ok, tls=pki.server) as server:
            backend = HttpBackend(server.member(), verify=False)
            assert (await backend.call(get())).content == b"ok"
            await backend.close()

    run(main())


def test_a_directory_of_authorities(run, pki, tmp_path):
    context = tls_context(str(tmp_path))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True


def test_a_file_of_authorities_that_is_not_there(tmp_path):
    async def main():
        with pytest.raises(ConfigError, match=r"verify='.*no\.pem'.*no such file"):
            HttpBackend(Member("a", 443, tls=True), verify=str(tmp_path / "no.pem"))

    asyncio.run(main())


def test_a_file_without_authorities(run, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("this is no certificate")

    async def main():
        async with ScriptedServer(always_ok) as server:
            backend = HttpBackend(Member("127.0.0.1", server.port, tls=True), verify=str(path))
            failure = await failure_of(backend.call(get()))
            assert isinstance(failure.error, NetworkError)
            assert failure.sent is False
            await backend.close()

    run(main())


def test_a_server_without_tls(run):
    async def script(client: Conversation) -> None:
        await client.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            backend = HttpBackend(Member("127.0.0.1", server.port, tls=True), verify=False)
            failure = await failure_of(backend.call(get()))
            assert isinstance(failure.error, NetworkError)
            assert failure.sent is False
            await server.until(lambda: server.open == 0)
            await backend.close()

    run(main())


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
def test_a_server_that_never_shakes_hands(run, how):
    async def script(client: Conversation) -> None:
        await client.gone()

    async def main():
        async with ScriptedServer(script) as server:
            member = Member("127.0.0.1", server.port, tls=True)
            backend = HttpBackend(member, verify=False, connect_seconds=0.2)
            job = asyncio.ensure_future(backend.call(get()))
            if how == "deadline":
                assert "within 0.2 seconds" in str((await failure_of(job)).error)
            else:
                await server.until(lambda: server.open == 1)
                job.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await job
            await server.until(lambda: server.open == 0)
            assert backend.busy == backend.connections == 0
            await backend.close()

    run(main())


def test_a_server_that_goes_away_while_it_is_kept(run, pki):
    async def script(client: Conversation) -> None:
        await client.request()
        await client.answer()

    async def main():
        async with ScriptedServer(script, tls=pki.server) as server:
            backend = HttpBackend(server.member(), verify=False)
            for count in (1, 2, 3):
                await backend.call(HttpRequest("POST", "/", []))
                await server.until(lambda: server.open == 0)
                while backend.connections:
                    await asyncio.sleep(0)
                assert server.connections == count
            await backend.close()

    run(main())


def test_large_bodies_stream_both_ways(run, pki):
    async def script(client: Conversation) -> None:
        received = await client.request()
        await client.answer(received.body)

    async def body():
        for _ in range(100):
            yield b"z" * 30_000

    async def main():
        async with ScriptedServer(script, tls=pki.server) as server:
            backend = HttpBackend(server.member(), verify=str(pki.authority))
            request = HttpRequest("POST", "/", [], body(), 3_000_000)
            async with await backend.open(request) as stream:
                size = 0
                async for piece in stream:
                    size += len(piece)
            assert size == 3_000_000
            await backend.close()

    run(main())
