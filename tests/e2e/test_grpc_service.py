"""A service that offers gRPC, and asks others over gRPC, in workers of their own."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from live_service import eventually

from tests.skitai.certificates import make_certificates
from tests.skitai.greeter import Greeter, Text, grpc_server, stub_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live_service import LiveService

HOME = Path(__file__).parents[1]

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.alias("@peer", skitai.PROTO_HTTP, "127.0.0.1:{port}")
        skitai.alias("@gone", skitai.PROTO_HTTP, "127.0.0.1:1")
        skitai.mount("/demo.Greeter", "methods.py")
        skitai.mount("/", "pages.py")
        {more}
        skitai.run(workers=2, threads=4)
"""

METHODS = """
    import atila
    from greeter import Text

    app = atila.Atila(__name__)


    @app.route("/Say")
    def say(was, message):
        return Text(text=message.text.upper())


    @app.route("/Count")
    def count(was, message):
        for number in range(message.number):
            yield Text(number=number)


    @app.route("/Join")
    def join(was, messages):
        return Text(text=" ".join(message.text for message in messages))


    @app.route("/Chat", coroutine=True, input_stream=True)
    def chat(was):
        with was.grpc("@peer/demo.Greeter") as stub:
            while True:
                message = yield was.Input()
                if not message:
                    break
                task = yield stub.Say(message)
                yield task.fetch()


    @app.route("/Look")
    async def look(was, message):
        with was.grpc(message.text) as stub:
            return (await stub.Say(Text(text="looked"), 5)).fetch()
"""

PAGES = """
    import time

    import atila
    from greeter import Text

    app = atila.Atila(__name__)


    def stub_of(was, alias="@peer"):
        return was.grpc(f"{alias}/demo.Greeter")


    @app.route("/thread")
    def thread(was, text, alias="@peer", timeout: float = 5.0):
        with stub_of(was, alias) as stub:
            return stub.Say(Text(text=text), timeout).fetch().text


    @app.route("/generator", coroutine=True)
    def generator(was, text):
        task = yield stub_of(was).Say(Text(text=text))
        others = yield was.Tasks(stub_of(was).Say(Text(text="1")), stub_of(was).Say(Text(text="2")))
        return task.fetch().text + "".join(message.text for message in others.fetch())


    @app.route("/coroutine")
    async def coroutine(was, text):
        return (await stub_of(was).Say(Text(text=text))).fetch().text


    @app.route("/then")
    def then(was, text):
        return stub_of(was).Say(Text(text=text)).then(lambda was, task: task.fetch().text)


    @app.route("/map")
    def mapped(was):
        def number(message):
            return message.number

        stub = was.grpc("@peer/demo.Greeter", filter=lambda message: message.text)
        return was.Map(said=stub.Say(Text(text="map")), fixed=1)


    @app.route("/stream")
    def stream(was):
        return str(len(stub_of(was).Count(Text(number=80)).fetch()))


    @app.route("/beside")
    def beside(was):
        tasks = [stub_of(was).Say(Text(text=str(number))) for number in range(20)]
        command = was.Subprocess("echo command").fetch().strip()
        process = was.Process(time.strftime, "%Y").fetch()
        return f"{len([task.fetch() for task in tasks])} {command} {len(process)}"


    @app.route("/slow")
    def slow(was):
        return stub_of(was).Say(Text(text="sleep 20"), 30).fetch().text
"""


@pytest.fixture(scope="module")
def greeter() -> Greeter:
    return Greeter()


@pytest.fixture(scope="module")
def peer(greeter: Greeter) -> Iterator[int]:
    with grpc_server(greeter) as port:
        yield port


def files_of(port: int, more: str = "") -> dict[str, Any]:
    return {
        "serve.py": SERVE.format(port=port, more=more),
        "methods.py": METHODS,
        "pages.py": PAGES,
        "greeter.py": (HOME / "skitai" / "greeter.py").read_text(),
    }


@pytest.fixture(scope="module")
def service(peer, launch_once) -> LiveService:
    return launch_once(files_of(peer))


@pytest.fixture
def channel(service) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        yield channel


@pytest.mark.parametrize("way", ["thread", "generator", "coroutine", "then"])
def test_a_handler_asks_a_peer(service, way):
    answer = service.get(f"/{way}?text=hello")
    assert (answer.status_code, answer.text) == (200, "HELLO12" if way == "generator" else "HELLO")


def test_answers_of_peers_in_a_map(service):
    assert service.get("/map").json() == {"said": "MAP", "fixed": 1}
    assert service.get("/stream").text == "80"


def test_processes_and_commands_run_beside_calls(service):
    assert service.get("/beside").text == "20 command 4"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("text=fail+NOT_FOUND+no", 502),
        ("text=fail+UNAVAILABLE+no", 502),
        ("text=x&alias=@gone", 502),
        ("text=sleep+9&timeout=0.3", 504),
    ],
)
def test_a_failure_that_nobody_handled_is_that_of_the_gateway(service, query, code):
    assert service.get(f"/thread?{query}").status_code == code


def test_the_client_of_grpcio_at_a_mount_point(channel):
    say, count = stub_of(channel, "Say"), stub_of(channel, "Count")
    assert say(Text(text="hi"), timeout=10).text == "HI"
    assert len(list(count(Text(number=80), timeout=10))) == 80
    texts = [Text(text=str(number)) for number in range(30)]
    assert stub_of(channel, "Join")(iter(texts), timeout=10).text.split() == [
        str(number) for number in range(30)
    ]


def test_a_stream_is_answered_with_what_a_peer_says(channel):
    texts = [Text(text=f"a{number}") for number in range(33)]
    answers = stub_of(channel, "Chat")(iter(texts), timeout=20)
    assert [message.text for message in answers] == [f"A{number}" for number in range(33)]


def test_a_method_asks_the_service_itself(service, channel):
    look = stub_of(channel, "Look")
    answer = look(Text(text=f"http://127.0.0.1:{service.port}/demo.Greeter"), timeout=10)
    assert answer.text == "LOOKED"


def test_a_client_that_leaves_cancels_the_call_at_the_peer(service, greeter):
    greeter.cancelled.clear()
    greeter.calls.clear()
    connection = service.connect()
    connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: greeter.calls, "the call")
    connection.close()
    assert greeter.cancelled.wait(10)


def test_over_tls(peer, launch, tmp_path):
    authority, _ = make_certificates(tmp_path)
    pem = tmp_path / "server.pem"
    more = f"skitai.enable_ssl({str(pem)!r}, {str(pem)!r})"
    service = launch(files_of(peer, more))
    credentials = grpc.ssl_channel_credentials(authority.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{service.port}", credentials) as channel:
        assert stub_of(channel, "Say")(Text(text="safe"), timeout=10).text == "SAFE"
        assert len(list(stub_of(channel, "Count")(Text(number=80), timeout=10))) == 80


def test_a_worker_that_has_asked_peers_ends_in_order(peer, launch):
    service = launch(files_of(peer))
    assert service.get("/thread?text=a").text == "A"
    with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        assert stub_of(channel, "Say")(Text(text="hi"), timeout=10).text == "HI"
        began = time.monotonic()
        service.send(signal.SIGTERM)
        assert service.wait() == 0
        assert time.monotonic() - began < 10
    assert "Traceback" not in service.log()
