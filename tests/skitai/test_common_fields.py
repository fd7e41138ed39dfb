"""Header fields that go out with every response."""

from __future__ import annotations

from serving import Serving, Toy, answer

from skitai.server.clock import Clock


def test_every_response_has_them_also_an_error_of_the_engine():
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"hello"))
    with Serving(app) as serving:
        serving.server.add_common_field("Strict-Transport-Security", "max-age=60")
        serving.server.add_common_field("Alt-Svc", 'h3=":443"')
        for target in ("/", "/missing"):
            response = serving.get(target)
            assert response["Strict-Transport-Security"] == "max-age=60"
            assert response["Alt-Svc"] == 'h3=":443"'
        with serving.connect() as client:
            client.write(b"NONSENSE\r\n\r\n")
            assert client.read()["Alt-Svc"] == 'h3=":443"'


def test_a_tick_keeps_them(monkeypatch):
    clock = Clock()
    clock.attach(b"X-One: 1\r\n")
    clock.attach(b"X-Two: 2\r\n")
    monkeypatch.setattr("time.time", lambda: 1e9)
    clock.tick()
    assert clock.date == b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\nX-One: 1\r\nX-Two: 2\r\n"
