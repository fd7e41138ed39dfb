"""A service with TLS: its clients, its certificates and reloads, redirects, mistakes."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
from live_service import eventually, run_script, write_files
from load import Load
from tls_project import make_certificates, make_pair, script, trusting

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e


@pytest.fixture
def certificates(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    make_certificates(folder)
    return folder


def converse(connection):
    connection.request("GET", "/")
    return connection.getresponse()


def serial_of(port, context):
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            return connection.getpeercert()["serialNumber"]


def test_clients_speak_https_and_are_told_to_stay(launch, certificates):
    setup = "skitai.enable_ssl('server.pem', hsts='31536000; includeSubDomains')"
    service = launch({"serve.py": script(setup)})
    url, ca = f"https://localhost:{service.port}", str(certificates / "ca.pem")
    answer = service.client.get(url + "/", verify=ca)
    assert answer.text == "https 1.1"
    for path in ("/", "/missing", "/unlucky"):
        answer = service.client.get(url + path, verify=ca)
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    curl = shutil.which("curl")
    assert curl is not None, "this test needs curl"
    for version, word in (("1.1", "https 1.1"), ("2", "https 2.0")):
        command = [curl, "-s", f"--http{version}", "--cacert", ca, url + "/"]
        assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == word.encode()
    service.wait_for_log(rf"serving on https://127\.0\.0\.1:{service.port} with 1 worker")
    assert service.get("/").status_code == 400
    assert "Traceback (" in service.log()  # that of the unlucky one
    assert service.log().count("Traceback (") == 1


def test_a_reload_brings_a_new_certificate_and_fails_no_request(launch, certificates):
    setup = "skitai.enable_ssl(certfile='server.pem')"
    service = launch({"serve.py": script(setup)})
    first = serial_of(service.port, trusting(certificates))
    # Whoever trusts both authorities never sees a failure.
    both = trusting(certificates)
    make_certificates(certificates)
    both.load_verify_locations(certificates / "ca.pem")
    with Load(service.port, keeping=2, changing=2, tls=both) as load:
        service.send(signal.SIGHUP)
        eventually(lambda: serial_of(service.port, both) != first, "the new certificate")
        service.wait_for_log("generation 1 serves")
        load.wait_for_more(50)
    assert not load.failures
    assert serial_of(service.port, trusting(certificates)) != first


def test_a_reload_with_a_broken_certificate_is_given_up(launch, certificates):
    service = launch({"serve.py": script("skitai.enable_ssl('server.pem')")})
    context = trusting(certificates)
    first = serial_of(service.port, context)
    (certificates / "server.pem").write_text("nothing")
    service.send(signal.SIGHUP)
    service.wait_for_log("reload given up, the old workers go on: certfile .* has no certificate")
    assert serial_of(service.port, context) == first


def test_a_certificate_that_expired_is_told_of(launch, certificates):
    make_pair(certificates, "old", days=(-9, -2))
    service = launch({"serve.py": script("skitai.enable_ssl('old.pem', 'old.key')")})
    service.wait_for_log(r"\[warning:w0\] certfile '.*old.pem' expired on ....-..-..: clients")


def test_clients_must_show_a_certificate_where_that_is_wanted(launch, certificates):
    cert, key = make_pair(certificates, "client")
    setup = "skitai.enable_ssl('server.pem', client_ca='client.pem')"
    service = launch({"serve.py": script(setup)})
    url, ca = f"https://localhost:{service.port}/", str(certificates / "ca.pem")
    assert service.client.get(url, verify=ca, cert=(str(cert), str(key))).text == "https 1.1"
    context = trusting(certificates)
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=context)
    with contextlib.closing(connection), pytest.raises((ssl.SSLError, ConnectionError)):
        converse(connection)


# -- redirects


@pytest.fixture
def redirecting(launch, certificates):
    def start(arguments):
        port = free_port()
        setup = f"skitai.enable_ssl('server.pem'); skitai.enable_forward({port}, {arguments})"
        return launch({"serve.py": script(setup)}), port

    return start


def ask(port, target, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.putrequest("GET", target, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return (
        answer.status,
        answer.getheader("Location"),
        answer.getheader("Strict-Transport-Security"),
    )


def test_plain_http_is_redirected(redirecting):
    service, port = redirecting("443, ip='127.0.0.1'")
    assert ask(port, "/a%20b?c=d&e", Host="a.com:81") == (301, "https://a.com/a%20b?c=d&e", None)
    assert ask(port, "/", Host="[::1]:81") == (301, "https://[::1]/", None)
    assert ask(port, "//b.com/x", Host="a.com") == (301, "https://a.com//b.com/x", None)
    assert ask(port, "http://b.com/x", Host="a.com") == (301, "https://b.com/x", None)
    assert ask(port, "/", Host="") == (400, None, None)
    assert ask(port, "/", Host="a.com\tb")[0] == 400
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    service.send(signal.SIGHUP)
    service.wait_for_log("generation 1 serves")
    assert ask(port, "/", Host="a.com") == (301, "https://a.com/", None)


def test_other_hosts_are_redirected_to_the_one_domain(redirecting, certificates):
    service, port = redirecting("8443, 'Example.com', '127.0.0.1'")
    assert ask(port, "/x?y", Host="a.com") == (301, "https://example.com:8443/x?y", None)
    url, ca = f"https://localhost:{service.port}/z", str(certificates / "ca.pem")
    moved = service.client.get(url, verify=ca, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (301, "https://example.com:8443/z")
    url = f"https://localhost:{service.port}/"
    for host in ("example.com", "EXAMPLE.com:1"):
        there = service.client.get(url, verify=ca, headers={"Host": host}, allow_redirects=False)
        assert there.status_code == 200


# -- mistakes

MISTAKES = {
    "missing": ("'no.pem'", ["certfile", "no.pem", "can't be read", "No such file"]),
    "directory": ("'.'", ["certfile", "can't be read", "directory"]),
    "no certificate": ("'server.key', 'server.key'", ["certfile", "no certificate"]),
    "no key": ("'alone.pem'", ["has no private key", "give keyfile"]),
    "missing key": ("'alone.pem', 'no.key'", ["keyfile", "no.key", "can't be read"]),
    "mismatch": ("'alone.pem', 'other.key'", ["other.key", "doesn't belong to certfile"]),
    "encrypted": ("'locked.pem', 'locked.key'", ["locked.key", "is encrypted: give passphrase"]),
    "wrong passphrase": (
        "'locked.pem', 'locked.key', 'guess'", ["passphrase doesn't open", "locked.key"],
    ),
    "rubbish": ("'rubbish.pem'", ["rubbish.pem", "can't be used"]),
    "ciphers": ("'server.pem', ciphers='NONE-SUCH'", ["ciphers 'NONE-SUCH'", "OpenSSL"]),
    "client authorities": (
        "'server.pem', client_ca='server.key'", ["client_ca", "has no certificate"],
    ),
    "hsts": ("'server.pem', hsts='a year'", ["hsts must be seconds", "'a year'"]),
    "hsts alone": ("'', hsts=5", ["hsts needs certfile", "skitai.enable_ssl"]),
    "type": ("5", ["certfile must be the path of a file", "not 5"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_files_that_do_not_fit_end_the_start(certificates, arguments, words):
    make_pair(certificates, "alone")
    make_pair(certificates, "other")
    make_pair(certificates, "locked", passphrase="open sesame")
    (certificates / "server.key").write_text("-----BEGIN PRIVATE KEY-----")
    (certificates / "rubbish.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"
    )
    write_files(certificates, {"serve.py": script(f"skitai.enable_ssl({arguments})")})
    done = run_script(certificates, "--port=0")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_passphrase_opens_an_encrypted_key(launch, certificates):
    make_pair(certificates, "locked", passphrase="open sesame")
    setup = "skitai.enable_ssl('locked.pem', 'locked.key', 'open sesame')"
    service = launch({"serve.py": script(setup)})
    url = f"https://localhost:{service.port}/"
    assert service.client.get(url, verify=str(certificates / "locked.pem")).text == "https 1.1"


def test_run_wins_over_enable_ssl(launch, certificates):
    make_pair(certificates, "other")
    setup = "skitai.enable_ssl('missing.pem')"
    source = script(setup).replace("run(", "run(certfile='other.pem', keyfile='other.key', ")
    service = launch({"serve.py": source})
    url = f"https://localhost:{service.port}/"
    assert service.client.get(url, verify=str(certificates / "other.pem")).text == "https 1.1"
