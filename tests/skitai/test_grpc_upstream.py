"""``was.grpc`` against a server of grpcio."""

from __future__ import annotations

import gc
import socket
import threading
import time

import grpc
import pytest
from certificates import make_certificates
from greeter import SERVICE, Greeter, Text, grpc_server, until
from upstream_driving import reaching

from skitai.errors import ConfigError
from skitai.tasks.errors import OperationTimeout, TaskCancelled, gateway_code
from skitai.tasks.group import Tasks
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_TIMEOUT
from skitai.upstream.kinds import DB_SQLITE3, PROTO_HTTP, PROTO_HTTPS
from skitai.wire.protobuf import UnknownMethod


@pytest.fixture(scope="module")
def greeter():
    return Greeter()


@pytest.fixture(scope="module")
def port(greeter):
    with grpc_server(greeter) as port:
        yield port


@pytest.fixture
def reach(port):
    with reaching() as reach:
        reach.aliases.add("@greeter", PROTO_HTTP, f"127.0.0.1:{port}")
        yield reach


@pytest.fixture
def stub(reach):
    return stub_of(reach)


def stub_of(reach, base=f"@greeter/{SERVICE}", **options):
    with reach.upstreams.grpc(reach.owner, False, base, **options) as stub:
        return stub


def test_a_method_is_a_task(stub, reach):
    task = stub.Say(Text(text="hello"), 10.0)
    assert reach.owned == [task]
    assert task.fetch().text == "HELLO"
    assert (task.status, task.status_code, task.reason) == (STA_NORMAL, 200, "OK")
    assert task.node.startswith("127.0.0.1:")
    assert task.one() is task.fetch()
    task.commit()


def test_tasks_of_one_connection_run_together(stub):
    tasks = Tasks(*[stub.Say(Text(text=str(number))) for number in range(60)])
    assert [message.text for message in tasks.fetch()] == [str(number) for number in range(60)]


def test_a_task_can_be_awaited(stub, reach):
    async def main():
        task = await stub.Say(Text(text="awaited"))
        return task.fetch().text

    assert reach.thread.run(main()) == "AWAITED"


@pytest.mark.parametrize("count", [0, 1, 80])
def test_a_stream_of_the_server_is_a_list(stub, count):
    messages = stub.Count(Text(number=count)).fetch()
    assert [message.number for message in messages] == list(range(count))


async def later(texts):
    for text in texts:
        yield Text(text=text)


@pytest.mark.parametrize(
    "give",
    [
        lambda texts: [Text(text=text) for text in texts],
        lambda texts: (Text(text=text) for text in texts),
        lambda texts: iter([Text(text=text) for text in texts]),
        later,
    ],
)
def test_a_stream_to_the_server_is_whatever_can_be_iterated(stub, give):
    texts = [str(number) for number in range(30)]
    answer = stub.Join(give(texts)).fetch()
    assert (answer.text, answer.number) == (" ".join(texts), 30)


def test_an_iterator_of_the_app_may_block(stub, reach):
    asked = []

    def slow():
        for text in "ab":
            asked.append(threading.get_ident())
            yield Text(text=text)

    assert stub.Join(slow()).fetch().text == "a b"
    assert reach.thread.call(threading.get_ident) not in asked


def test_streams_both_ways(stub):
    given = [Text(text="once"), Text(text="twice"), Text(text="end")]
    answers = stub.Chat(given).fetch()
    assert [message.text for message in answers] == ["once", "twice", "twice", "end"]
    assert stub.Chat([]).fetch() == []


def test_a_server_may_answer_before_the_stream_ends(stub):
    def endless():
        yield Text(text="stop")
        while True:
            yield Text(text="more", data=b"x" * 10_000)

    for _ in range(30):  # it depends on what the server does first
        assert stub.Chat(endless()).fetch() == []


def test_what_an_iterator_raises_is_a_crash_of_the_app(stub):
    def broken():
        yield Text(text="a")
        raise LookupError("mine")

    task = stub.Join(broken())
    with pytest.raises(LookupError, match="mine"):
        task.fetch()
    assert gateway_code(task.error) is None


def test_another_message_in_a_stream_is_a_mistake_of_the_app(stub):
    with pytest.raises(TypeError, match=r"demo\.Greeter\.Join takes demo\.Text, not str"):
        stub.Join(["a"]).fetch()


@pytest.mark.parametrize(("name", "code"), [("NOT_FOUND", 404), ("INTERNAL", 500)])
def test_a_status_is_an_error_and_an_answer(stub, name, code):
    task = stub.Say(Text(text=f"fail {name} kein Büchlein"))
    with pytest.raises(grpc.RpcError) as caught:
        task.fetch()
    assert caught.value.code() is grpc.StatusCode[name]
    assert caught.value.details() == "kein Büchlein"
    assert (task.status, task.status_code, task.reason) == (STA_NORMAL, code, name)
    assert gateway_code(task.error) == 502


def test_an_error_behind_messages_is_an_error(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Count(Text(text="fail", number=3)).fetch()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_server_that_says_unavailable_has_failed(stub):
    task = stub.Say(Text(text="fail UNAVAILABLE resting"))
    with pytest.raises(grpc.RpcError, match="resting"):
        task.fetch()
    assert (task.status, task.status_code) == (STA_NETERR, 502)


def test_the_deadline_is_told_to_the_server_and_holds(stub, greeter):
    greeter.cancelled.clear()
    began = time.monotonic()
    task = stub.Say(Text(text="sleep 9"), 0.3)
    with pytest.raises(OperationTimeout):
        task.fetch()
    assert time.monotonic() - began < 3
    assert (task.status, task.status_code, gateway_code(task.error)) == (STA_TIMEOUT, 504, 504)
    assert 0 < greeter.left < 0.31
    assert greeter.cancelled.wait(5)


def test_the_deadline_of_the_server_itself_is_a_timeout_too(stub):
    task = stub.Say(Text(text="fail DEADLINE_EXCEEDED too slow"))
    with pytest.raises(OperationTimeout, match="too slow"):
        task.fetch()
    assert gateway_code(task.error) == 504


def test_the_default_deadline_is_that_of_the_options(reach, greeter):
    stub_of(reach).Say(Text(text="a")).fetch()
    assert 9 < greeter.left < 10.5  # the server counts from when it has read the call
    stub_of(reach, timeout=5).Say(Text(text="a")).fetch()
    assert 4 < greeter.left < 5.01


@pytest.mark.parametrize("seconds", [0, -1, "10"])
def test_a_deadline_is_a_number_of_seconds(stub, seconds):
    with pytest.raises(ValueError, match="must be a number of seconds above 0"):
        stub.Say(Text(), seconds)


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(stub, greeter):
    greeter.cancelled.clear()
    greeter.calls.clear()
    task = stub.Say(Text(text="sleep 9"))
    until(lambda: greeter.calls)
    task.cancel()
    with pytest.raises(TaskCancelled):
        task.fetch()
    assert greeter.cancelled.wait(5)


def test_metadata_goes_both_ways(reach, greeter):
    headers = {"X-Book": "7", "x-raw-bin": b"\0\xff"}
    task = stub_of(reach, headers=headers, auth=("me", "secret")).Say(Text(text="meta"))
    task.fetch()
    assert (greeter.metadata["x-book"], greeter.metadata["x-raw-bin"]) == ("7", b"\0\xff")
    assert greeter.metadata["authorization"] == "Basic bWU6c2VjcmV0"
    assert greeter.metadata["user-agent"].startswith("skitai")
    assert task.headers["x-first"] == "1"
    assert (task.trailers["x-last"], task.trailers["x-last-bin"]) == ("2", b"\0\xff")


def test_each_member_gets_its_own_password(reach, port, greeter):
    other = Greeter()
    with grpc_server(other) as second:
        members = [f"one:1@127.0.0.1:{port}", f"two:2@127.0.0.1:{second}"]
        reach.aliases.add("@users", PROTO_HTTP, members)
        with reach.upstreams.grpc(reach.owner, True, f"@users/{SERVICE}") as every:
            every.Say(Text(text="a")).fetch()
    assert greeter.metadata["authorization"] == "Basic b25lOjE="
    assert other.metadata["authorization"] == "Basic dHdvOjI="


@pytest.mark.parametrize("headers", [{"a b": "1"}, {"": "1"}, {"a": "é"}, {"grpc-timeout": "1S"}])
def test_what_is_no_metadata_is_refused_at_once(reach, headers):
    with pytest.raises(ValueError, match="metadata"):
        stub_of(reach, headers=headers)


@pytest.mark.parametrize("compress", ["gzip", "deflate"])
def test_messages_may_be_compressed(reach, compress):
    task = stub_of(reach, compress=compress).Say(Text(text="a" * 5000))
    assert task.fetch().text == "A" * 5000


def test_another_compression_is_refused(reach):
    with pytest.raises(ValueError, match="compress='br' must be 'gzip' or 'deflate'"):
        stub_of(reach, compress="br")


def test_large_messages_are_answers_like_others(stub):
    data = b"x" * 3_900_000
    assert stub.Say(Text(data=data)).fetch().data == data
    task = stub.Count(Text(number=5, data=data))
    assert [message.data == data for message in task.fetch()] == [True] * 5


def test_a_message_that_is_none_is_an_error(stub):
    task = stub.Say(Text(text="wrong"))
    with pytest.raises(Exception, match=r"the answer is no demo\.Text"):
        task.fetch()
    assert gateway_code(task.error) == 502


# -- the stub


@pytest.mark.parametrize("message", [None, "hello", {"text": "a"}, 7])
def test_only_messages_of_the_method_are_sent(stub, message):
    with pytest.raises(TypeError, match=r"takes demo\.Text, not"):
        stub.Say(message)


def test_a_method_with_a_stream_takes_no_single_message(stub):
    with pytest.raises(TypeError, match="takes a stream: give an iterator or a list"):
        stub.Join(Text())


def test_unknown_services_and_methods_are_named(reach, stub):
    with pytest.raises(UnknownMethod, match=r"no gRPC service 'demo.Nobody': import the \*_pb2"):
        stub_of(reach, "@greeter/demo.Nobody")
    with pytest.raises(AttributeError, match=r"demo.Greeter has no method 'Nope', but Chat, Count"):
        stub.Nope(Text())
    assert not hasattr(stub, "Nope")


def test_only_services_have_methods(reach):
    reach.aliases.add("@lite", DB_SQLITE3, ":memory:")
    with pytest.raises(TypeError, match="@lite is no service"):
        stub_of(reach, f"@lite/{SERVICE}")


def test_a_filter_gets_the_message(reach):
    stub = stub_of(reach, filter=lambda message: message.text.lower(), meta={"a": 1})
    task = stub.Say(Text(text="Mixed"))
    assert (task.fetch(), task.meta) == ("mixed", {"a": 1})


def test_answers_can_be_kept_in_the_result_cache(reach, greeter):
    greeter.calls.clear()
    for _ in range(3):
        assert stub_of(reach, cache=60).Say(Text(text="kept")).fetch().text == "KEPT"
    assert stub_of(reach).Say(Text(text="other")).fetch().text == "OTHER"
    assert greeter.calls == ["kept", "other"]


def test_a_url_names_a_service_too(reach, port):
    stub = stub_of(reach, f"http://127.0.0.1:{port}/{SERVICE}")
    assert stub.Say(Text(text="direct")).fetch().text == "DIRECT"


def test_without_grpcio_the_error_says_what_to_install(reach, monkeypatch):
    import sys

    import skitai.upstream.grpc.stub as module

    monkeypatch.delitem(sys.modules, "grpc")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'skitai\[grpc\]'"):
        stub_of(reach)


# -- members


def refusing_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_server_that_is_not_there_is_a_gateway_failure(reach):
    reach.aliases.add("@gone", PROTO_HTTP, f"127.0.0.1:{refusing_port()}")
    task = stub_of(reach, f"@gone/{SERVICE}").Say(Text())
    with pytest.raises(grpc.RpcError, match="refused"):
        task.fetch()
    assert (task.status, task.status_code, gateway_code(task.error)) == (STA_NETERR, 502, 502)


def test_a_dead_member_is_left_out(reach, port, greeter):
    dead = refusing_port()
    members = [f"127.0.0.1:{dead}", f"127.0.0.1:{port}"]
    reach.aliases.add("@both", PROTO_HTTP, members)
    stub = stub_of(reach, f"@both/{SERVICE}")
    for number in range(20):
        assert stub.Say(Text(text="a"), 5).fetch().text == "A", number


def test_a_server_that_comes_back_is_found_again(reach, greeter):
    dead = refusing_port()
    reach.aliases.add("@back", PROTO_HTTP, f"127.0.0.1:{dead}")
    stub = stub_of(reach, f"@back/{SERVICE}")
    stub.Say(Text()).wait()
    with grpc_server(Greeter(), address=f"127.0.0.1:{dead}"):
        until(lambda: stub.Say(Text(text="a")).wait().status == STA_NORMAL)


def test_calls_are_spread_over_members(reach, port):
    other = Greeter()
    with grpc_server(other) as second:
        reach.aliases.add("@two", PROTO_HTTP, [f"127.0.0.1:{port}", f"127.0.0.1:{second}"])
        stub = stub_of(reach, f"@two/{SERVICE}")
        nodes = {stub.Say(Text(text="a")).wait().node for _ in range(8)}
        assert len(nodes) == 2
        assert 3 <= len(other.calls) <= 5
        with reach.upstreams.grpc(reach.owner, True, f"@two/{SERVICE}") as every:
            assert [message.text for message in every.Say(Text(text="all")).fetch()] == ["ALL"] * 2


def test_a_base_path_of_a_member_comes_first(reach, port):
    reach.aliases.add("@based", PROTO_HTTP, f"127.0.0.1:{port}/base")
    task = stub_of(reach, f"@based/{SERVICE}").Say(Text())
    with pytest.raises(grpc.RpcError, match="Method not found"):
        task.fetch()
    assert task.reason == "UNIMPLEMENTED"


def test_many_calls_get_more_connections(reach, greeter, monkeypatch):
    import skitai.upstream.grpc.backend as module

    monkeypatch.setattr(module, "STREAMS", 4)
    reach.aliases.add("@few", PROTO_HTTP, reach.aliases.get("greeter").args[1], max_conns=3)
    stub = stub_of(reach, f"@few/{SERVICE}")
    tasks = [stub.Say(Text(text="a")) for _ in range(100)]
    assert {task.fetch().text for task in tasks} == {"A"}
    place = reach.upstreams._grpc_places[reach.aliases.get("few")]
    assert len(place.cluster._nodes[0].backend._connections) == 3


# -- TLS


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    authority, _ = make_certificates(directory)
    pem = (directory / "server.pem").read_bytes()
    key, mark, certificate = pem.partition(b"-----BEGIN CERTIFICATE")
    credentials = grpc.ssl_server_credentials([(key, mark + certificate)])
    with grpc_server(Greeter(), credentials) as port:
        yield port, authority


@pytest.mark.parametrize("checked", [True, False])
def test_tls(reach, secure, checked):
    port, authority = secure
    verify = str(authority) if checked else False
    reach.aliases.add("@secure", PROTO_HTTPS, f"127.0.0.1:{port}", verify=verify)
    assert stub_of(reach, f"@secure/{SERVICE}").Say(Text(text="safe")).fetch().text == "SAFE"


def test_a_directory_of_authorities(reach, secure):
    port, authority = secure
    reach.aliases.add("@dir", PROTO_HTTPS, f"127.0.0.1:{port}", verify=str(authority.parent))
    assert stub_of(reach, f"@dir/{SERVICE}").Say(Text(text="safe")).fetch().text == "SAFE"


def test_first_calls_over_tls_share_connections(reach, secure):
    port, authority = secure
    reach.aliases.add("@s", PROTO_HTTPS, f"127.0.0.1:{port}", verify=str(authority), max_conns=2)
    stub = stub_of(reach, f"@s/{SERVICE}")
    tasks = [stub.Say(Text(text="a")) for _ in range(20)]
    assert {task.fetch().text for task in tasks} == {"A"}
    place = reach.upstreams._grpc_places[reach.aliases.get("s")]
    assert len(place.cluster._nodes[0].backend._connections) == 1


def test_an_unknown_authority_is_not_trusted(reach, secure):
    reach.aliases.add("@secure", PROTO_HTTPS, f"127.0.0.1:{secure[0]}")
    task = stub_of(reach, f"@secure/{SERVICE}").Say(Text())
    with pytest.raises(grpc.RpcError, match="(?i)certificate|ssl"):
        task.fetch()
    assert task.status == STA_NETERR


def test_unchecked_tls_of_a_server_that_is_not_there(reach):
    reach.aliases.add("@none", PROTO_HTTPS, f"127.0.0.1:{refusing_port()}", verify=False)
    task = stub_of(reach, f"@none/{SERVICE}").Say(Text())
    with pytest.raises(ConnectionError, match="no connection to"):
        task.fetch()
    assert gateway_code(task.error) == 502


def test_nothing_is_left_when_the_worker_ends(port):
    with reaching() as reach:
        reach.aliases.add("@greeter", PROTO_HTTP, f"127.0.0.1:{port}")
        stub = stub_of(reach)
        stub.Say(Text()).fetch()
        running = stub.Say(Text(text="sleep 9"))
        reach.thread.run(reach.upstreams.close())
        with pytest.raises(TaskCancelled):
            running.fetch()
        with pytest.raises(Exception, match="the service stops|closed"):
            stub.Say(Text()).fetch()
    gc.collect()
    until(lambda: not [t for t in threading.enumerate() if "_poll_wrapper" in t.name])
