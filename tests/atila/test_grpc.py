"""gRPC calls of routes, by the client of grpcio over HTTP/2."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2, struct_pb2
from grpc_routes import (
    Text,
    app_with,
    async_app,
    called,
    failure_of,
    generator_app,
    message_of,
    plain_app,
    stub_of,
)
from serving import happens, until

from atila import Atila
from atila.errors import ConfigError
from skitai.wire.grpc import decompress, frame

SERVICE = "demo.Greeter"
APPS = [plain_app, async_app, generator_app]


@pytest.fixture(scope="module", params=[(app, size) for app in APPS for size in (4, 0)])
def service(request):
    """Each form of the service, with threads and without."""
    make, threads = request.param
    with called(make(), threads=threads) as service:
        yield service


def texts(messages):
    return [message.text for message in messages]


# -- four kinds of methods


def test_a_message_and_a_message(service):
    assert service.Say("hello").text == "HELLO"


@pytest.mark.parametrize("count", [0, 1, 2, 85])
def test_a_stream_of_the_server(service, count):
    given = message_of("a")
    given.number = count
    assert [message.number for message in service.Count(given)] == list(range(count))


@pytest.mark.parametrize("count", [0, 1, 30])
def test_a_stream_of_the_client(service, count):
    answer = service.Join([str(number) for number in range(count)])
    assert (answer.number, answer.text.split()) == (count, [str(n) for n in range(count)])


def test_streams_both_ways(service):
    given = [str(number) for number in range(30)] + ["twice"] * 1 + ["x"]
    answers = texts(service.Chat(given))
    assert len(answers) == 33
    assert answers == [*given[:30], "twice", "twice", "x"]
    assert service.Chat([]) == []


def test_large_messages(service):
    data = bytes(range(256)) * 12_000  # 3 MB
    given = message_of("big")
    given.data, given.number = data, 3
    assert [message.data == data for message in service.Count(given)] == [True] * 3


def test_a_thousand_calls_at_a_time(service):
    stub = service.raw("Say")
    calls = [stub.future(message_of(str(n)).SerializeToString(), timeout=30) for n in range(1000)]
    answers = [message_of("").FromString(call.result()).text for call in calls]
    assert answers == [str(number) for number in range(1000)]


@pytest.mark.parametrize("make", [async_app, generator_app])
def test_answers_come_while_the_client_still_sends(make):
    with called(make()) as service:
        answered = threading.Semaphore(0)

        def ask():
            for number in range(5):
                yield message_of(str(number))
                assert answered.acquire(timeout=10)

        seen = []
        for message in stub_of(service.channel, "Chat")(ask(), timeout=20):
            seen.append(message.text)
            answered.release()
        assert seen == ["0", "1", "2", "3", "4"]


def test_a_plain_function_may_wait_for_messages_in_its_thread():
    def join(was):
        texts = []
        while (message := was.Input().fetch()) is not None:
            texts.append(message.text)
        return Text(text=" ".join(texts))

    with called(app_with(join, input_stream=True)) as service:
        assert service.Join(["a", "b", "c"]).text == "a b c"


def test_an_empty_list_is_a_message_too():
    """Messages that have a length are false when they are empty."""
    lists = describe_lists()
    seen = []

    async def chat(was):
        async for message in was.Input():
            seen.append(len(message))
            yield message

    app = Atila("lists")
    app.route(f"/{lists}/Chat", input_stream=True)(chat)
    with called(app) as service:
        stub = service.channel.stream_stream(f"/{lists}/Chat")
        assert list(stub(iter([b"", b""]), timeout=10)) == [b"", b""]
    assert seen == [0, 0]


def describe_lists() -> str:
    """A service of well-known types; its name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="lists.proto",
        package="demo",
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name],
    )
    file.service.add(name="Lists").method.add(
        name="Chat",
        input_type=".google.protobuf.ListValue",
        output_type=".google.protobuf.ListValue",
        client_streaming=True,
        server_streaming=True,
    )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return "demo.Lists"


# -- what a route is given


def test_a_route_is_one_like_others(log):
    async def say(was, book, message):
        return message_of(f"{book} {was.request.method} {was.request.headers.get('x-key')}")

    app = Atila("paths")

    @app.route("/shelves/<int:book>/demo.Greeter/Say")
    async def say_of_a_book(was, book, message):
        return message_of(f"{book} {was.request.method} {was.request.get_header('x-key')}")

    with called(app) as service:
        stub = service.channel.unary_unary("/shelves/7/demo.Greeter/Say")
        answer = stub(b"", metadata=[("x-key", "k")], timeout=10)
        assert message_of("").FromString(answer).text == "7 POST k"


def test_a_route_needs_no_message():
    def say(was):
        return message_of("none")

    with called(app_with(say)) as service:
        assert service.Say("ignored").text == "none"


def test_a_message_may_have_a_hint(log):
    async def say(was, message: Text) -> Text:
        return message

    say.__annotations__ = {"message": Text, "return": Text}
    with called(app_with(say)) as service:
        assert service.Say("typed").text == "typed"


def test_hooks_and_guards_run_around_a_method():
    seen = []

    def say(was, message):
        seen.append("say")
        return message

    app = app_with(say)

    @app.before_request
    def before(was):
        seen.append("before")
        if was.request.get_header("x-stop"):
            raise was.Error("403 Forbidden", "not you")

    @app.teardown_request
    def teardown(was):
        seen.append("teardown")

    with called(app) as service:
        assert service.Say("a").text == "a"
        until(lambda: len(seen) == 3, "the teardown")
        assert seen == ["before", "say", "teardown"]
        failure = failure_of(service.Say, "a", metadata=[("x-stop", "1")])
        assert failure == ("PERMISSION_DENIED", "not you")


def test_a_method_without_credentials_is_unauthenticated():
    def say(was, message):
        return message_of(was.request.user.name)

    app = app_with(say, authenticate="basic")
    app.config.realm = "greeter"

    @app.authorization_handler
    def authorize(was, realm, user):
        return "secret" if user == "me" else None

    with called(app) as service:
        assert failure_of(service.Say)[0] == "UNAUTHENTICATED"


def test_metadata_is_headers():
    def say(was, message):
        was.response.set_header("X-First", was.request.get_header("x-asked"))
        return message

    def count(was, message):
        was.response.set_header("X-First", "1")
        yield message
        was.response.set_header("X-Last", "2")

    with called(app_with(say, count)) as service:
        stub = stub_of(service.channel, "Say")
        _, call = stub.with_call(message_of("a"), metadata=[("x-asked", "7")], timeout=10)
        assert dict(call.initial_metadata())["x-first"] == "7"
        call = stub_of(service.channel, "Count")(message_of("a"), timeout=10)
        assert len(list(call)) == 1
        assert dict(call.initial_metadata())["x-first"] == "1"
        assert dict(call.trailing_metadata())["x-last"] == "2"
        assert "x-first" not in dict(call.trailing_metadata())


# -- statuses


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("400 Bad Request", "INVALID_ARGUMENT"),
        ("401 Unauthorized", "UNAUTHENTICATED"),
        ("403 Forbidden", "PERMISSION_DENIED"),
        ("404 Not Found", "NOT_FOUND"),
        ("409 Conflict", "ALREADY_EXISTS"),
        ("412 Precondition Failed", "FAILED_PRECONDITION"),
        ("429 Too Many Requests", "RESOURCE_EXHAUSTED"),
        ("500 Internal Server Error", "INTERNAL"),
        ("501 Not Implemented", "UNIMPLEMENTED"),
        ("503 Service Unavailable", "UNAVAILABLE"),
        ("504 Gateway Timeout", "DEADLINE_EXCEEDED"),
    ],
)
def test_an_error_is_a_status(status, name):
    def say(was, message):
        raise was.Error(status, "kein Büchlein: 100%")

    async def look(was, message):
        return was.Error(status, "kein Büchlein: 100%")

    with called(app_with(say, look)) as service:
        for method in (service.Say, service.Look):
            assert failure_of(method) == (name, "kein Büchlein: 100%")


def test_a_crash_says_nothing_and_is_logged(log):
    def say(was, message):
        raise ZeroDivisionError("secret")

    async def look(was, message):
        raise ZeroDivisionError("secret")

    def count(was, message):
        yield message
        raise ZeroDivisionError("secret")

    app = app_with(say, look, count)
    with called(app) as service:
        for method in (service.Say, service.Look, service.Count):
            status, text = failure_of(method)
            assert (status, "secret" in text) == ("INTERNAL", False)
        app.debug = True
        assert failure_of(service.Say) == ("INTERNAL", "ZeroDivisionError: secret")
    assert "ZeroDivisionError" in log.text


def test_messages_before_an_error_arrive():
    async def count(was, message):
        yield message
        await asyncio.sleep(0)
        raise was.Error("404 Not Found", "no more")

    with called(app_with(count)) as service:
        call = stub_of(service.channel, "Count")(message_of("a"), timeout=10)
        assert next(call).text == "a"
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("result", [None, b"abc", "text", {"a": 1}, 7, empty_pb2.Empty()])
def test_what_is_no_message_of_the_method_is_a_crash(result, log):
    def say(was, message):
        return result

    async def look(was, message):
        return result

    with called(app_with(say, look)) as service:
        assert failure_of(service.Say)[0] == "INTERNAL"
        assert failure_of(service.Look)[0] == "INTERNAL"
    assert "answers with demo.Text, not with" in log.text


def test_a_method_of_one_message_gives_one(log):
    async def say(was, message):
        yield message
        yield message

    def look(was, message):
        return []

    with called(app_with(say, look)) as service:
        assert failure_of(service.Say)[0] == "INTERNAL"
        assert failure_of(service.Look)[0] == "INTERNAL"


def test_what_is_not_there_is_unimplemented(log):
    app = app_with()

    @app.route("/demo.Nobody/Say")
    def say(was, message):
        return message

    @app.route("/demo.Greeter/Nope")
    def nope(was, message):
        return message

    @app.route("/demo.Greeter/Look", methods=["GET"])
    def look(was, message):
        return message

    with called(app) as service:
        for path in ("/demo.Greeter/Say", "/demo.Nobody/Say", "/demo.Greeter/Nope", "/x/y", "/"):
            failure = failure_of(service.channel.unary_unary(path), b"", timeout=10)
            assert failure == ("UNIMPLEMENTED", f"there is no {path}")
        assert failure_of(service.Look)[0] == "UNIMPLEMENTED"
    assert "import the *_pb2 module" in log.text


def test_a_status_before_the_end_of_a_stream_arrives():
    async def join(was):
        raise was.Error("403 Forbidden", "not you")

    async def chat(was):
        yield await was.Input()

    def endless():
        while True:
            yield Text(data=b"x" * 10_000)

    with called(app_with(join, chat, input_stream=True)) as service:
        for _ in range(20):
            call = stub_of(service.channel, "Join").future(endless(), timeout=10)
            assert call.exception(10).code() is grpc.StatusCode.PERMISSION_DENIED
            answers = stub_of(service.channel, "Chat")(endless(), timeout=10)
            assert [len(message.data) for message in answers] == [10_000]


# -- deadlines, clients that leave


def test_a_deadline_ends_a_coroutine():
    ended = threading.Event()

    async def say(was, message):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with called(app_with(say)) as service:
        assert failure_of(service.Say, timeout=0.2)[0] == "DEADLINE_EXCEEDED"
        assert happens(ended)


def test_a_deadline_is_told_by_the_server_too():
    """A client that does not look at the time itself, as grpcio's does."""
    woken = threading.Event()

    def say(was, message):
        woken.wait(10)
        return message

    app = app_with(say)
    with called(app) as service, service.serving.connect() as client:
        body = b"\0\0\0\0\0"
        client.send(
            "POST /demo.Greeter/Say HTTP/1.1",
            "Host: a",
            "Content-Type: application/grpc",
            "grpc-timeout: 50m",
            f"Content-Length: {len(body)}",
            body=body,
        )
        answer = client.read()
        woken.set()
        assert (answer["grpc-status"], answer["grpc-message"]) == ("4", "Deadline Exceeded")
        assert service.Say("still there").text == "still there"


def test_what_a_generator_wanted_to_wait_for_ends_with_it():
    """Else Python warns of a coroutine that was never awaited."""
    woken, ended = threading.Event(), threading.Event()

    def say(was, message):
        woken.wait(10)
        try:
            yield asyncio.sleep(0)
        finally:
            ended.set()

    with called(app_with(say, coroutine=True)) as service:
        assert failure_of(service.Say, timeout=0.1)[0] == "DEADLINE_EXCEEDED"
        woken.set()
        assert happens(ended)
    gc.collect()


def test_a_deadline_ends_a_stream():
    closed = threading.Event()

    def count(was, message):
        try:
            while True:
                yield message
        finally:
            closed.set()

    with called(app_with(count)) as service:
        assert failure_of(service.Count, timeout=0.3)[0] == "DEADLINE_EXCEEDED"
        assert happens(closed)


@pytest.mark.parametrize(
    ("value", "status"),
    [("", "13"), ("soon", "13"), ("1", "13"), ("123456789S", "13"), ("99999999H", "0")],
)
def test_a_deadline_is_short_text(service, value, status):
    assert http1(service, f"grpc-timeout: {value}")["grpc-status"] == status


def test_a_client_that_cancels_ends_the_route():
    began, ended = threading.Event(), threading.Event()

    async def say(was, message):
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with called(app_with(say)) as service:
        call = service.raw("Say").future(b"", timeout=30)
        assert happens(began)
        call.cancel()
        assert happens(ended)


def test_a_client_that_leaves_ends_what_waits_for_its_messages():
    began, ended = threading.Event(), threading.Event()

    async def chat(was):
        began.set()
        try:
            await was.Input()
        finally:
            ended.set()
            yield message_of("never")

    with called(app_with(chat, input_stream=True)) as service:
        go_on = threading.Event()

        def ask():
            go_on.wait(10)
            yield from ()

        call = service.raw("Chat", "stream_stream")(ask(), timeout=30)
        assert happens(began)
        call.cancel()
        go_on.set()
        assert happens(ended)


# -- back-pressure


def test_a_stream_waits_for_a_slow_client():
    made = []

    def count(was, message):
        for number in range(2000):
            made.append(number)
            yield message

    given = message_of("")
    given.data = b"x" * 50_000
    with called(app_with(count)) as service:
        call = stub_of(service.channel, "Count")(given, timeout=60)
        assert next(call).data == given.data
        before = -1
        while before != len(made):  # until it moves no more
            before = len(made)
            threading.Event().wait(0.2)
        assert before < 500
        call.cancel()


def test_a_client_waits_for_a_slow_route():
    go_on = threading.Event()
    sent = []

    async def join(was):
        await asyncio.to_thread(go_on.wait, 20)
        number = 0
        while await was.Input() is not None:
            number += 1
        answer = message_of("")
        answer.number = number
        return answer

    def ask():
        for number in range(200):
            sent.append(number)
            given = message_of("")
            given.data = b"x" * 50_000
            yield given

    with called(app_with(join, input_stream=True)) as service:
        call = stub_of(service.channel, "Join").future(ask(), timeout=60)
        before = -1
        while before != len(sent):
            before = len(sent)
            threading.Event().wait(0.2)
        assert before < 100
        go_on.set()
        assert call.result().number == 200


@pytest.mark.parametrize("make", [async_app, generator_app])
def test_a_client_that_streams_may_be_silent_for_long(make):
    with called(make(), network_timeout=0.2) as service:
        for method in ("Join", "Chat"):
            asked = threading.Event()

            def ask(asked=asked):
                yield message_of("a")
                asked.wait(0.5)
                yield message_of("b")

            call = stub_of(service.channel, method)
            answer = call(ask(), timeout=10)
            found = [answer] if method == "Join" else answer
            assert " ".join(texts(found)) == "a b"


def test_the_answer_begins_when_the_first_message_is_asked_for():
    async def join(was):
        was.response.set_header("X-First", "1")
        await was.Input()
        was.response.set_header("X-Last", "2")
        return message_of("end")

    with called(app_with(join, input_stream=True)) as service:
        go_on = threading.Event()

        def ask():
            go_on.wait(10)
            yield message_of("")

        call = stub_of(service.channel, "Join").future(ask(), timeout=10)
        assert dict(call.initial_metadata())["x-first"] == "1"
        go_on.set()
        assert call.result().text == "end"
        assert dict(call.trailing_metadata())["x-last"] == "2"


def test_a_server_that_is_busy_is_unavailable():
    woken = threading.Event()

    def say(was, message):
        woken.wait(20)
        return message

    with called(app_with(say), threads=1, max_queued=2) as service:
        stub = service.raw("Say")
        calls = [stub.future(b"", timeout=20) for _ in range(10)]
        until(lambda: sum(call.done() for call in calls) >= 7, "the refusals")
        woken.set()
        codes = [call.code().name for call in calls]
    assert set(codes) == {"OK", "UNAVAILABLE"}
    assert codes.count("OK") in (2, 3)  # one runs, if its thread was quick


# -- compression and limits


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_answered_alike(service, kind):
    given = message_of("a" * 5000)
    assert service.Say(given, compression=kind).text == "A" * 5000
    given.number = 5
    assert len(service.Count(given, compression=kind)) == 5
    assert service.Join(["a" * 5000, "b"], compression=kind).text == "a" * 5000 + " b"


def http1(service, *headers, body=b"\0\0\0\0\0", method="Say"):
    """An answer to a call over HTTP/1.1, which has a place for trailers too."""
    with service.serving.connect() as client:
        client.send(
            f"POST /demo.Greeter/{method} HTTP/1.1",
            "Host: a",
            "Content-Type: application/grpc",
            f"Content-Length: {len(body)}",
            *headers,
            body=body,
        )
        answer = client.read_head()
        if answer.get("transfer-encoding") == "chunked":
            while True:
                size = int(client.take_until(b"\r\n"), 16)
                if not size:
                    break
                answer.body += client.take(size)
                client.take(2)
            while line := client.take_until(b"\r\n"):
                name, _, value = line.decode().partition(": ")
                answer.fields.append((name, value))
        return answer


def test_an_answer_is_compressed_when_the_client_does_it():
    given = frame(Text(text="a" * 5000).SerializeToString(), "gzip")
    with called(plain_app()) as service:
        accepts = ("grpc-encoding: gzip", "grpc-accept-encoding: identity, gzip")
        answer = http1(service, *accepts, body=given)
        assert (answer["grpc-encoding"], answer["grpc-status"]) == ("gzip", "0")
        assert answer.body[0] == 1
        text = Text.FromString(decompress(answer.body[5:], "gzip", 10_000)).text
        assert text == "A" * 5000
        plain = http1(service, "grpc-encoding: gzip", body=given)
        assert (plain.get("grpc-encoding"), plain.body[0], plain["grpc-status"]) == (None, 0, "0")


def test_an_unknown_compression_is_unimplemented():
    with called(plain_app()) as service:
        answer = http1(service, "grpc-encoding: br")
        assert answer["grpc-status"] == "12"
        assert answer["grpc-accept-encoding"] == "identity,deflate,gzip"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\0\0\0\0", "13"),
        (b"\0\0\0\0\5abc", "13"),
        (b"\0\0\0\0\2\xff\xff", "13"),
        (b"\2\0\0\0\0", "13"),
        (b"\1\0\0\0\0", "13"),
        (b"\0\0\0\0\0" * 2, "13"),
        (b"\0\xff\xff\xff\xff", "8"),
        (b"\0\0\0\0\0\0", "13"),
    ],
)
def test_malformed_messages_are_errors(service, body, status):
    assert http1(service, body=body)["grpc-status"] == status
    assert service.Say("still there").text == "STILL THERE"


def test_a_compressed_message_without_its_encoding_is_an_error(service):
    assert http1(service, body=b"\1\0\0\0\1x")["grpc-status"] == "13"
    assert http1(service, "grpc-encoding: gzip", body=b"\1\0\0\0\1x")["grpc-status"] == "13"


def test_messages_have_a_limit():
    app = plain_app()
    app.config.MAX_GRPC_MESSAGE = 1000
    with called(app) as service:
        assert service.Say("a" * 900).text == "A" * 900
        status, text = failure_of(service.Say, "a" * 1000)
        assert (status, text) == (
            "RESOURCE_EXHAUSTED",
            "a message has 1003 bytes, the limit is 1000",
        )
        failure = failure_of(service.Say, "a" * 2000, compression=grpc.Compression.Gzip)
        assert failure[0] == "RESOURCE_EXHAUSTED"


def test_a_list_of_messages_has_a_limit():
    app = plain_app()
    app.config.MAX_UPLOAD_SIZE = 1000
    with called(app) as service:
        assert service.Join(["a"] * 5).number == 5
        assert failure_of(service.Join, ["a" * 900] * 3)[0] == "RESOURCE_EXHAUSTED"
        assert failure_of(service.Join, [""] * 100)[0] == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("limit", [0, -1, "1000", None])
def test_a_limit_is_a_number_of_bytes(limit):
    app = plain_app()
    app.config.MAX_GRPC_MESSAGE = limit
    with pytest.raises(ConfigError, match="MAX_GRPC_MESSAGE"):
        app.freeze("/", None)


# -- HTTP


def test_http1_with_trailers_works_too(service):
    answer = http1(service, body=frame(Text(text="a").SerializeToString()))
    assert (answer.status, answer["Content-Type"]) == (200, "application/grpc")
    assert answer.body == frame(Text(text="A").SerializeToString())
    assert answer["grpc-status"] == "0"


def test_http10_has_no_place_for_a_status():
    with called(plain_app()) as service, service.serving.connect() as client:
        client.send(
            "POST /demo.Greeter/Say HTTP/1.0",
            "Content-Type: application/grpc",
            "Content-Length: 5",
            body=b"\0\0\0\0\0",
        )
        assert client.read().status == 505


@pytest.mark.parametrize(
    ("kind", "status"), [("application/grpc+proto", "0"), ("application/grpc+json", "12")]
)
def test_only_protobuf_is_read(kind, status):
    with called(plain_app()) as service, service.serving.connect() as client:
        client.send(
            "POST /demo.Greeter/Join HTTP/1.1",
            "Host: a",
            f"Content-Type: {kind}",
            "Content-Length: 5",
            "Connection: close",
            body=b"\0\0\0\0\0",
        )
        assert f"grpc-status: {status}\r\n".encode() in client.read_rest()


def test_calls_of_many_connections():
    with called(plain_app()) as service, ThreadPoolExecutor(8) as pool:
        target = "{}:{}".format(*service.serving.address)

        def ask(number):
            with grpc.insecure_channel(
                target, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                stub = stub_of(channel, "Say")
                return [stub(message_of(str(n)), timeout=10).text for n in range(10)]

        expected = [str(n) for n in range(10)]
        assert list(pool.map(ask, range(16))) == [expected] * 16
