"""The test client's gRPC: services by name and by class, what calls send, certificates."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import grpc
import pytest
from client_project import serving

import skitai
from skitai.errors import SkitaiError
from skitai.wire.protobuf import UnknownMethod
from tests.skitai.greeter import METHODS, SERVICE, Text, stub_of

pytestmark = pytest.mark.e2e

GREETER = Path(__file__).parents[1] / "skitai" / "greeter.py"

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.mount("/demo.Greeter", "methods.py")
        SETUP
        skitai.run(address="127.0.0.1")
"""

GREETINGS = """
    import asyncio
    import atila
    from greeter import Text

    app = atila.Atila(__name__)

    @app.route("/Say")
    async def say(was, message):
        if message.text == "sleep":
            await asyncio.sleep(60)
        if message.text == "fail":
            raise was.Error("404 Not Found", "nobody here")
        request = was.request
        user, extra = was.cookie.get("user"), request.get_header("X-A")
        return Text(text=f"{message.text} {user} {extra}")

    @app.route("/Count")
    def count(was, message):
        for number in range(message.number):
            yield Text(number=number)

    @app.route("/Join")
    def join(was, messages):
        return Text(text=" ".join(message.text for message in messages))

    @app.route("/Chat", coroutine=True, input_stream=True)
    def chat(was):
        while message := (yield was.Input()):
            yield message
"""


class GreeterStub:
    """As protoc makes them."""

    def __init__(self, channel):
        for name in METHODS:
            setattr(self, name, stub_of(channel, name))


@pytest.fixture(scope="module", params=["tls", "plain"])
def service(request, tmp_path_factory):
    folder, tls = tmp_path_factory.mktemp("grpc"), request.param == "tls"
    with serving(
        folder,
        {"serve.py": SERVE, "methods.py": GREETINGS, "greeter.py": GREETER.read_text()},
        tls=tls,
    ) as service:
        yield service


@pytest.fixture
def client(service):
    with skitai.test_client(port=service.port, ssl=service.tls) as client:
        yield client


@pytest.mark.parametrize("given", [SERVICE, f"/{SERVICE}", GreeterStub])
def test_methods_of_all_kinds_are_called(client, given):
    texts = [Text(text="a"), Text(text="b")]
    with client.grpc(given) as greeter:
        assert greeter.Say(Text(text="hello")).text == "hello None None"
        assert [message.number for message in greeter.Count(Text(number=3))] == [0, 1, 2]
        assert greeter.Join(iter(texts)).text == "a b"
        assert [message.text for message in greeter.Chat(iter(texts))] == ["a", "b"]


def test_without_a_service_there_is_the_channel(client):
    with client.grpc() as channel:
        assert stub_of(channel, "Say")(Text(text="hello")).text == "hello None None"


def test_calls_have_cookies_and_headers_of_the_client_and_their_own_metadata(client):
    client.session.cookies.set("user", "momo")
    client.set_default_header("X-A", "1")
    with client.grpc(SERVICE) as greeter:
        assert greeter.Say(Text(text="hello")).text == "hello momo 1"
        client.unset_default_header("X-A")
        answer = greeter.Say(Text(text="hello"), metadata=[("x-a", "2")], timeout=30)
        assert answer.text == "hello momo 2"


def test_statuses_are_raised(client):
    with client.grpc(SERVICE) as greeter:
        with pytest.raises(grpc.RpcError) as caught:
            greeter.Say(Text(text="fail"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert caught.value.details() == "nobody here"
        with pytest.raises(grpc.RpcError) as caught:
            greeter.Say(Text(text="sleep"), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        client.timeout = 0.3
        with pytest.raises(grpc.RpcError) as caught:
            greeter.Say(Text(text="sleep"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_what_is_not_described_is_named(client):
    with client.grpc(SERVICE) as greeter, pytest.raises(AttributeError, match="no method 'Shout'"):
        _ = greeter.Shout
    with (
        pytest.raises(UnknownMethod, match=r"import the \*_pb2 module"),
        client.grpc("demo.Nobody"),
    ):
        pass


def test_the_channel_ends_with_the_block(client):
    before = threading.active_count()
    with client.grpc(SERVICE) as greeter:
        greeter.Say(Text(text="hello"))
    with pytest.raises(ValueError, match="closed channel"):
        greeter.Say(Text(text="hello"))
    assert threading.active_count() <= before


def test_the_missing_extra_is_named(client, monkeypatch):
    monkeypatch.delitem(sys.modules, "skitai.testing.grpc_calls", raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(SkitaiError, match=r"client.grpc needs grpcio: pip install skitai\[grpc\]"):
        client.grpc(SERVICE)
