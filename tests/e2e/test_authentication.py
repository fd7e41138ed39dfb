"""Authentication against real clients: requests and curl, with several workers."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

if TYPE_CHECKING:
    from live_service import LiveService

pytestmark = pytest.mark.e2e

CURL = shutil.which("curl")

SERVE = """
    from hashlib import md5
    import os
    import skitai
    from atila import Atila

    app = Atila(__name__)
    app.realm = "The inner area"
    app.users = {"kim": ("pass:wörd", False, {"role": "root"}), "jäsøn": "secret"}
    encrypted = md5(f"kim:{app.realm}:pass:wörd".encode()).hexdigest()

    @app.route("/basic/<name>", authenticate="basic")
    def basic(was, name, **others):
        return f"{was.request.user} {os.getpid()}"

    @app.route("/digest/<name>", methods=["GET", "POST", "PUT"], authenticate="digest")
    async def digest(was, name, **others):
        return f"{was.request.user} {os.getpid()}"

    other = Atila("other")
    other.realm = app.realm

    @other.authorization_handler
    def look_up(was, username):
        return (encrypted, True) if username == "kim" else None

    @other.route("/md5", authenticate="digest")
    def md5_only(was):
        return f"{was.request.user}"

    quoted = Atila("quoted")
    quoted.realm = 'The "inner" \\\\ area'
    quoted.users = {"kim": "secret"}

    @quoted.route("/", authenticate="digest")
    def index(was):
        return was.request.user.realm

    if __name__ == "__main__":
        skitai.mount("/", app)
        skitai.mount("/quoted", quoted)
        skitai.mount("/other", other)
        skitai.run()
"""


@pytest.fixture
def service(launch) -> LiveService:
    return launch({"serve.py": SERVE}, workers=2)


def url(service: LiveService, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{service.port}{path}"


def curl(*words: str) -> str:
    """The body and, behind a blank, the status."""
    assert CURL is not None
    done = subprocess.run(
        [CURL, "-s", "--noproxy", "*", "-w", " %{http_code}", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def session() -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    return made


def test_requests_logs_in_with_basic(service):
    with session() as client:
        client.auth = HTTPBasicAuth("kim", "pass:wörd")
        assert client.get(url(service, "/basic/a")).text.startswith("kim ")
        client.auth = HTTPBasicAuth("jäsøn".encode(), b"secret")
        assert client.get(url(service, "/basic/a")).text.startswith("jäsøn ")
        client.auth = HTTPBasicAuth("kim", "wrong")
        assert client.get(url(service, "/basic/a")).status_code == 401


def test_requests_logs_in_with_digest_and_goes_on_with_its_nonce(service):
    with session() as client:
        client.auth = HTTPDigestAuth("kim", "pass:wörd")
        answers = [
            client.get(url(service, "/digest/a%20b?x=1&y=%26")),
            client.get(url(service, "/digest/c")),
            client.post(url(service, "/digest/d"), data={"a": "1"}),
        ]
        assert [answer.text.split()[0] for answer in answers] == ["kim"] * 3
        # Only the first one had to ask for a nonce.
        assert [len(answer.history) for answer in answers] == [1, 0, 0]
        client.auth = HTTPDigestAuth("kim", "wrong")
        assert client.get(url(service, "/digest/a")).status_code == 401


def test_a_nonce_of_one_worker_holds_for_the_other(service):
    auth = HTTPDigestAuth("kim", "pass:wörd")
    served = set()
    first = requests.get(url(service, "/digest/a"), auth=auth, proxies={"http": ""})
    assert first.status_code == 200
    for _ in range(500):
        with session() as client:  # a new connection, to either worker
            answer = client.get(url(service, "/digest/a"), auth=auth)
        assert (answer.status_code, answer.history) == (200, [])
        served.add(answer.text)
        if len(served) == 2:
            break
    assert len(served) == 2


def test_requests_logs_in_with_an_encrypted_password(service):
    with session() as client:
        client.auth = HTTPDigestAuth("kim", "pass:wörd")
        assert client.get(url(service, "/other/md5")).text == "kim"


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_curl_logs_in(service):
    user = ("-u", "kim:pass:wörd")
    digest = url(service, "/digest/a?x=1")
    assert curl("--basic", *user, url(service, "/basic/a")).endswith(" 200")
    assert curl("--digest", *user, digest).startswith("kim ")
    assert curl("--digest", *user, "-X", "PUT", "-d", "a=1", digest).startswith("kim ")
    assert curl("--anyauth", *user, digest).startswith("kim ")
    assert curl("--digest", "-u", "jäsøn:secret", digest).startswith("jäsøn ")
    assert curl("--digest", "-u", "kim:wrong", digest).endswith(" 401")
    assert curl("--digest", "-u", "nobody:x", digest).endswith(" 401")
    assert curl(digest).endswith(" 401")
    quoted = curl("--digest", "-u", "kim:secret", url(service, "/quoted/"))
    assert quoted == 'The "inner" \\ area 200'


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_curl_is_led_from_sha_256_to_md5_when_there_is_only_that(service):
    asked = ("--digest", "-u", "kim:pass:wörd", url(service, "/other/md5"))
    assert [curl(*asked) for _ in range(3)] == ["kim 200"] * 3


def test_no_authorization_header_is_more_than_401(service):
    for value in (
        b"", b"Basic", b"Basic \xff\xfe", b"Basic Og==", b"Digest", b"Digest a", b'Digest a="',
        b"Digest " + b"a=b, " * 400, b'Digest username="\xff", realm=x', b"\x01", b"Bearer \x80",
    ):  # fmt: skip
        for path in (b"/basic/a", b"/digest/a", b"/other/md5"):
            request = b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % (path, value)
            assert service.raw(request).status in (400, 401)
    assert "Traceback" not in service.log()
