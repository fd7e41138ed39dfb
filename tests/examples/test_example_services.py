"""What users of the examples do beyond the consoles of their READMEs."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import ssl
import time

import httpx
import psutil
import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.e2e
PATIENCE = 30.0  # seconds


def until(condition, what):
    """Poll until the condition holds, and give its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return value


def test_chat_members_meet_over_workers(example):
    project = example("chat")
    with project.start() as client:

        def opened(name):
            url = f"ws://127.0.0.1:{client.port}/rooms/tea?name={name}"
            return connect(url, proxy=None, open_timeout=PATIENCE)

        with pytest.raises(InvalidStatus, match="400"):
            opened("%20")
        with opened("Momo") as momo, opened("Beppo") as beppo:
            heard = [json.loads(momo.recv(PATIENCE)) for _ in range(2)]
            assert [line["name"] for line in heard] == ["Momo", "Beppo"]
            beppo.recv(PATIENCE)
            beppo.send(json.dumps({"text": " <b>hello</b> "}))
            said = {"name": "Beppo", "text": "<b>hello</b>"}
            assert json.loads(momo.recv(PATIENCE)) == json.loads(beppo.recv(PATIENCE)) == said
            momo.send(json.dumps({"text": 5}))
            assert "error" in json.loads(momo.recv(PATIENCE))
            beppo.close()
            assert json.loads(momo.recv(PATIENCE)) == {"name": "Beppo", "event": "left"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("notes-api", f"/api/notes/{2**63}"),
        ("notes-api", f"/api/notes?before={2**63}"),
        ("jobs", f"/jobs/{2**63}"),
        ("schedules", f"/orders/{2**63}"),
    ],
)
def test_a_number_that_no_row_can_have_is_a_mistake_of_the_client(example, name, path):
    with example(name).start() as client:
        assert client.get(path).status_code == 400
        missing = client.get(path.replace(str(2**63), str(2**63 - 1)))
        assert missing.status_code == (200 if "?" in path else 404)


def test_feed_goes_on_where_the_browser_was(example):
    with example("live-feed").start() as client:
        for text in ("one", "two"):
            assert client.post("/news", {"text": text}).status_code == 201
        with requests.get(
            f"{client.url}/events", headers={"Last-Event-ID": "1"}, stream=True, timeout=PATIENCE
        ) as stream:
            lines = (line for line in stream.iter_lines(1, decode_unicode=True) if "data" in line)
            assert next(lines) == 'data: {"text": "two"}'
            with requests.get(
                f"{client.url}/events",
                headers={"Last-Event-ID": "9" * 5000}, stream=True, timeout=PATIENCE,
            ) as strange:  # fmt: skip
                assert strange.status_code == 200
            client.post("/news", {"text": "three"})
            assert next(lines) == 'data: {"text": "three"}'


def test_large_files_come_back_as_they_were(example):
    content = os.urandom(1 << 20) * 5
    with example("upload").start() as client:
        kept = client.upload("/files", {"file": ("../a b.bin", content)}).data
        assert kept["name"] == "a_b.bin"
        assert kept["sha256"] == hashlib.sha256(content).hexdigest()
        page = client.upload("/files", {"file": ("x.html", b"<script>alert(1)</script>")}).data
        answer = client.get(f"/files/{page['name']}")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert client.get("/files/a_b.bin").content == content
        assert client.post("/checksum", data=content).data["sha256"] == kept["sha256"]


def test_tokens_open_what_their_role_may(example, monkeypatch):
    project = example("tokens")
    monkeypatch.setenv("TOKENS_SECRET", "a random text of 32 characters..")
    monkeypatch.syspath_prepend(str(project.folder))
    with project.start() as client:
        import users

        for name, role, status in (("ann", "staff", 200), ("bob", "guest", 403)):
            who = {"username": name, "password": users.add(name, role)}
            answer = client.post("/tokens", who)
            assert answer.status_code == 201
            client.set_jwt(answer.data["token"])
            assert client.get("/me").data == {"name": name, "role": role}
            assert client.get("/reports").status_code == status
        nobody = {"username": "eve", "password": who["password"]}
        assert client.post("/tokens", nobody).status_code == 401


def test_gateway_goes_on_without_one_of_two(example):
    project = example("gateway")
    with project.start("backend.py", "5001") as first, project.start("backend.py", "5002"):
        with project.start() as client:
            servers = {client.get("/api/books/1").data["server"] for _ in range(20)}
            assert len(servers) == 2
            first.stop()
            left = f"127.0.0.1:{project.ports['5002']}"
            for _ in range(20):
                assert client.get("/api/books/1").data["server"] == left
            up = client.get("/upstreams").data["up"]
            assert up[left] is True
            assert not up.get(f"127.0.0.1:{first.port}")


def test_jobs_come_to_their_end(example):
    with example("jobs").start() as client:
        begun = client.post("/jobs", {"below": 1000})
        place = begun.headers["Location"]

        def ended():
            job = client.get(place).data
            return job["state"] != "running" and job

        job = until(ended, "the end of a job")
        assert job == {"id": 1, "state": "done", "percent": 100, "primes": 168}


def test_kept_rows_stay_until_a_book_is_renamed(example):
    with example("cache").start() as client:

        def tokens():
            # Either worker may answer: a connection of its own for each request.
            with requests.Session() as session:
                return session.get(f"{client.url}/books", timeout=PATIENCE).text

        before = {tokens() for _ in range(10)}
        assert len(before) <= 2  # one of each worker
        known = client.get("/titles")
        condition = {"If-None-Match": known.headers["ETag"]}
        assert client.get("/titles", headers=condition).status_code == 304
        assert client.put("/books/1", {"title": "Emil"}).status_code == 200
        assert client.get("/titles", headers=condition).status_code == 200
        assert not before & {tokens() for _ in range(10)}


def test_https_is_offered_as_http2(example):
    project = example("https")
    with project.start(devel=True, ssl=True) as client:
        trusted = ssl.create_default_context(cafile=project.folder / "server.pem")
        with httpx.Client(http2=True, verify=trusted, trust_env=False, timeout=PATIENCE) as browser:
            answer = browser.get(f"https://localhost:{client.port}/")
        assert answer.json() == {"scheme": "https", "version": "2.0"}
        assert (project.folder / "server.key").stat().st_mode & 0o777 == 0o600


def test_mail_arrives_in_all_its_forms(example, monkeypatch):
    from tests.skitai.smtp_server import running_smtp

    with running_smtp() as server:
        monkeypatch.setenv("SMTP_SERVER", f"127.0.0.1:{server.port}")
        with example("mail").start() as client:
            guest = {"name": "Momo <3", "address": "momo@example.com"}
            assert client.post("/invitations", guest).status_code == 202
            (mail,) = until(lambda: server.messages, "the mail")
    assert (mail["To"], mail["Subject"]) == ("momo@example.com", "Come to tea")
    assert "Dear Momo <3," in mail.get_body(("plain",)).get_content()
    assert "Dear Momo &lt;3," in mail.get_body(("html",)).get_content()
    assert [part.get_filename() for part in mail.iter_attachments()] == ["table.csv"]


def test_installed_service_writes_its_log_files(example):
    project = example("deploy")
    with project.start() as client:
        client.get("/?q=tea")
        client.get("/-/health")
        log = project.folder / "logs" / "request.log"
        until(lambda: log.exists() and "GET /?q=tea" in log.read_text(), "the line of a request")
        assert "/-/health" not in log.read_text()


@pytest.mark.parametrize(
    ("name", "variable"),
    [("login", "LOGIN_SECRET"), ("tokens", "TOKENS_SECRET"), ("https", "CERTIFICATE"),
     ("postgres", "BOOKS_DB")],
)  # fmt: skip
def test_secrets_of_development_are_refused_in_production(example, monkeypatch, name, variable):
    import skitai

    for key in itertools.chain([variable], ["SKITAIENV"]):
        monkeypatch.delenv(key, raising=False)
    with pytest.raises(skitai.StartupError, match=f"exit code 2(.|\n)*{variable}"):
        example(name).start().stop()


def test_orders_are_packed_whatever_happens_to_the_packer(example):
    with example("schedules").start() as client:

        def packed(number):
            return client.get(f"/orders/{number}").data["state"] == "packed"

        client.post("/orders", {"item": "tea"})
        until(lambda: packed(1), "the first order")
        (packer,) = (
            process
            for process in psutil.Process(client.pid).children(recursive=True)
            if "packer.py" in " ".join(process.cmdline())
        )
        packer.kill()
        client.post("/orders", {"item": "coffee"})
        until(lambda: packed(2), "the second order")
        assert client.get("/waiting").data["waiting"] in (0, 1)
