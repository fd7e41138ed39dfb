"""Messages, the spool, and deliveries to a real server."""

from __future__ import annotations

import io
import logging
import os
import time
from dataclasses import replace

import pytest
from certificates import make_certificates
from smtp_server import running_smtp

from skitai.errors import ConfigError
from skitai.mail import mailer as mailing
from skitai.mail import spool as spooling
from skitai.mail.account import make_account
from skitai.mail.delivery import deliver
from skitai.mail.mailer import Mailer
from skitai.mail.message import Email
from skitai.mail.spool import Spool


def write(recipient="b@example.com", **options):
    return Email("Grüße", "Ä <a@example.com>", recipient, **options).add_text("Hallö\n")


def until(condition):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@pytest.fixture
def server():
    with running_smtp() as server:
        yield server


@pytest.fixture
def mailer(server, tmp_path):
    mailer = Mailer(tmp_path / "mail", make_account(f"127.0.0.1:{server.port}"))
    yield mailer
    mailer.stop(30)


# -- messages


def test_a_message_has_texts_files_and_headers(server, mailer, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    email = write(["b@example.com", "C <c@example.com>"])
    email.add_content("<img src='cid:logo'>", "text/html")
    email.add_attachment(b"\x89PNG", "logo.png", cid="logo")
    email.add_attachment(tmp_path / "a.pdf").add_attachment(io.StringIO("text"), "ü.txt")
    email.set_header("Cc", "d@example.com").set_header("Bcc", "e@example.com")
    email.set_header("X-Kind", "1").set_header("x-kind", "2")
    identity = mailer.post(email.envelope())
    [message] = until(lambda: server.messages)
    assert message["Message-ID"] == f"<{identity}>"
    assert (message["Subject"], message["From"]) == ("Grüße", "Ä <a@example.com>")
    assert (message["Cc"], message["Bcc"], message.get_all("X-Kind")) == (
        "d@example.com", None, ["2"]
    )  # fmt: skip
    assert message.get_body(("plain",)).get_content().strip() == "Hallö"
    assert "cid:logo" in message.get_body(("html",)).get_content()
    names = [part.get_filename() for part in message.iter_attachments()]
    assert names == ["a.pdf", "ü.txt"]
    everybody = [f"{name}@example.com" for name in "bcde"]
    assert server.envelopes == [("a@example.com", everybody)]
    assert until(lambda: os.listdir(tmp_path / "mail") == ["deliverer.lock"])


def test_domains_may_have_letters_of_all_languages():
    assert Email("s", "a@bücher.example", "b@c.d").add_text("x").envelope().sender == (
        "a@xn--bcher-kva.example"
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Email("a\nBcc: x@y.z", "a@b.c", "d@e.f"), "subject .* has a line break"),
        (lambda: Email("a", "a@b.c\r\nX: 1", "d@e.f"), "sender .* has a line break"),
        (lambda: Email("a", "a@b.c", ["d@e.f\nx@y.z"]), "recipient .* has a line break"),
        (lambda: Email("a", "a@b.c> SIZE=1", "d@e.f"), "is no address"),
        (lambda: Email("a", "a@b.c", "nobody"), "is no address"),
        (lambda: Email("a", "a@b.c", []), "must be an address"),
        (lambda: Email("a", "a@b.c, x@y.z", "d@e.f"), "must be one address"),
        (lambda: Email(5, "a@b.c", "d@e.f"), "subject must be text, not int"),
        (lambda: write().set_header("X-A", "1\nX-B: 2"), "has a line break"),
        (lambda: write().set_header("X A", "1"), "can't be set"),
        (lambda: write().set_header("Subject", "1"), "can't be set"),
        (lambda: write().set_header("Bcc", "x"), "is no address"),
        (lambda: write().add_content("a", "image/png"), "must be text"),
        (lambda: write().add_attachment(b"x"), "needs a name"),
        (lambda: write().add_attachment(b"x", "a\nb"), "has a line break"),
        (lambda: write().add_attachment(b"x", "a", cid="<>"), "cid '<>' must be of"),
        (lambda: Email("a", "a@b.c", "d@e.f").envelope(), "the message is empty"),
    ],
)
def test_what_can_be_no_message_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_without_a_service_nothing_is_sent(tmp_path):
    with pytest.raises(RuntimeError, match="no service"):
        write().send()
    with pytest.raises(RuntimeError, match="no server for mail is known"):
        Mailer(tmp_path / "mail", None).post(write().envelope())


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (["a:b"], {}, "must be 'host' or 'host:port'"),
        (["h:99999"], {}, "must be 'host' or 'host:port'"),
        (["h", "me"], {}, "user and password are given together"),
        (["h"], {"ssl": True, "starttls": True}, "ssl=True is TLS already"),
        (["h"], {"verify": "/nowhere"}, "no file of certificates"),
        (["h"], {"timeout": 0}, "timeout=0 must be a number above 0"),
        (["h"], {"max_retries": -1}, "max_retries=-1 must be"),
    ],
)
def test_a_wrong_account_is_refused(args, options, message):
    with pytest.raises(ConfigError, match=message):
        make_account(*args, **options)


def test_an_account_does_not_show_its_password():
    account = make_account("[::1]:26", "me", "secret")
    assert (account.host, account.port, make_account("h", ssl=True).port) == ("::1", 26, 465)
    assert "secret" not in repr(account)


# -- TLS and passwords


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls"))


def test_starttls_and_a_password(certificate):
    with running_smtp(tls=certificate[1], login=True) as server:
        good = make_account(
            f"localhost:{server.port}", "me", "secret", verify=str(certificate[0]), starttls=True
        )
        good = replace(good, host="127.0.0.1")
        envelope = write().envelope()
        args = (envelope.sender, envelope.recipients, envelope.content)
        assert deliver(good, *args) == ({}, {})
        assert server.logins == [b"me:secret"]
        wrong = deliver(replace(good, password="guess"), *args)
        assert "SMTPAuthenticationError" in wrong.again["b@example.com"]
        strange = deliver(replace(good, verify=True), *args)
        assert "CERTIFICATE_VERIFY_FAILED" in strange.again["b@example.com"]
        assert deliver(replace(good, verify=False), *args) == ({}, {})
        assert len(server.messages) == 2


def test_tls_from_the_first_byte(certificate):
    with running_smtp(ssl=certificate[1]) as server:
        account = make_account(f"127.0.0.1:{server.port}", ssl=True, verify=str(certificate[0]))
        envelope = write().envelope()
        args = (envelope.sender, envelope.recipients, envelope.content)
        assert deliver(account, *args) == ({}, {})


def test_a_server_without_the_tls_that_is_wanted_gets_nothing(server):
    account = make_account(f"127.0.0.1:{server.port}", starttls=True)
    outcome = deliver(account, "a@b.c", ["d@e.f"], b"x")
    assert "offers no STARTTLS" in outcome.again["d@e.f"]
    assert server.begun == 0


# -- what goes wrong


def test_a_server_that_is_away_or_busy_gets_it_later(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(spooling, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(mailing, "INTERVAL", 0.05)
    with running_smtp() as away:
        port = away.port
    mailer = Mailer(tmp_path / "mail", make_account(f"127.0.0.1:{port}"))
    mailer.post(write().envelope())
    until(lambda: "waits for another attempt: 127.0.0.1" in caplog.text)
    with running_smtp(port) as server:
        server.data_answer = "451 later"
        until(lambda: "waits for another attempt: 451 later" in caplog.text)
        server.data_answer = ""
        until(lambda: server.messages)
        mailer.stop(30)
        assert len(server.messages) == 1


def test_what_is_refused_for_ever_is_kept_aside(server, mailer, tmp_path, caplog):
    server.answers = {"b@example.com": "550 nobody here"}
    mailer.post(write(["b@example.com", "c@example.com"]).envelope())
    kept = until(lambda: [*(tmp_path / "mail").glob("*.undelivered")])
    until(lambda: "can't be delivered to b@example.com: 550 nobody here" in caplog.text)
    assert server.envelopes == [("a@example.com", ["c@example.com"])]
    assert b"nobody here" in kept[0].read_bytes()
    assert Spool(tmp_path / "mail").waiting() == []


def test_the_last_attempt_is_the_last(server, tmp_path, monkeypatch):
    monkeypatch.setattr(spooling, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(mailing, "INTERVAL", 0.05)
    server.data_answer = "451 later"
    account = make_account(f"127.0.0.1:{server.port}", max_retries=1)
    mailer = Mailer(tmp_path / "mail", account)
    mailer.post(write().envelope())
    until(lambda: [*(tmp_path / "mail").glob("*.undelivered")])
    mailer.stop(30)
    assert server.begun == 2


def test_a_message_may_have_its_own_server(server, tmp_path):
    mailer = Mailer(tmp_path / "mail", None)
    email = write(post=mailer.post).set_smtp(f"127.0.0.1:{server.port}")
    assert email.send()
    until(lambda: server.messages)
    mailer.stop(30)


def test_rubbish_in_the_spool_holds_nothing_up(server, mailer, tmp_path, caplog):
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "0.mail").write_bytes(b"rubbish")
    (tmp_path / "mail" / "1.mail").write_bytes(b'{"id": 1}\n')
    mailer.post(write().envelope())
    until(lambda: server.messages)
    assert caplog.text.count("is put aside") == 2


def test_nothing_is_delivered_after_the_end_and_all_by_the_next(server, mailer, tmp_path):
    mailer.stop(30)
    mailer.post(write().envelope())
    assert len(Spool(tmp_path / "mail").waiting()) == 1
    following = Mailer(tmp_path / "mail", mailer.account)
    following.start()
    until(lambda: server.messages)
    following.stop(30)


def test_the_spool_is_private_and_old_rubbish_is_removed(tmp_path):
    spool = Spool(tmp_path / "mail")
    spool.put(write().envelope(), None)
    [name] = spool.waiting()
    assert (spool.directory.stat().st_mode & 0o777) == 0o700
    assert ((spool.directory / name).stat().st_mode & 0o777) == 0o600
    spool.keep_undelivered(name)
    (spool.directory / "x.new").write_bytes(b"")
    spool.purge(1)
    assert len(list(spool.directory.iterdir())) == 2
    for path in spool.directory.iterdir():
        os.utime(path, (1, 1))
    spool.purge(1)
    assert list(spool.directory.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "mail")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spooling.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        spool.put(write().envelope(), None)
    assert list(spool.directory.iterdir()) == []


def test_a_directory_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    mailer = Mailer(tmp_path / "file" / "mail", make_account("127.0.0.1:1"))
    mailer.start()
    with pytest.raises(OSError, match="mail can't be kept .*: set SKITAI_HOME"):
        mailer.post(write().envelope())
    mailer.stop(30)


def test_waiting_grows_and_a_clock_that_jumps_does_not_matter(tmp_path):
    spool = Spool(tmp_path / "mail")
    spool.put(write().envelope(), None)
    entry = spool.read(spool.waiting()[0])
    waits = []
    for _ in range(14):
        entry.postpone(1000.0)
        waits.append(entry.due - 1000)
    assert waits[:3] == [4, 16, 64]
    assert waits[-1] == waits[-2] == 6 * 3600
    assert (entry.is_due(1000.0), entry.is_due(30000.0), entry.is_due(1500.0)) == (
        False,
        True,
        False,
    )
    assert entry.is_due(entry.due - 6 * 3600 - 1)


def test_the_service_logs_what_it_delivers(server, mailer, caplog):
    caplog.set_level(logging.INFO, "skitai")
    identity = mailer.post(write().envelope())
    until(lambda: f"mail {identity} was delivered" in caplog.text)
