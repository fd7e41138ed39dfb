"""Handlers of websockets: what they get, what they may return, and what happens when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import xmlrpc.client

import pytest
from socket_driving import closing_of, new_app, sockets_of, until

import skitai

THREADED = [4, 0]
CALLED = [skitai.WS_REPORTY, skitai.WS_REPORTY | skitai.WS_NOPOOL]


def answers_of(client, message, count):
    client.send(message)
    return [client.recv() for _ in range(count)]


def reporting(spec, function, **options):
    app = new_app()
    app.route("/ws")(app.websocket(spec, 60, **options)(function))
    return app


# -- functions that are called


@pytest.mark.parametrize("threads", THREADED)
@pytest.mark.parametrize("spec", CALLED)
@pytest.mark.parametrize(
    ("result", "messages"),
    [
        ("text", ["text"]),
        (b"\0bytes", [b"\0bytes"]),
        (bytearray(b"more"), [b"more"]),
        (["a", b"b", "c"], ["a", b"b", "c"]),
        (("a", "b"), ["a", "b"]),
        (("text as bytes", skitai.WS_OPCODE_BINARY), [b"text as bytes"]),
        ((b"bytes as text", skitai.WS_OPCODE_TEXT), ["bytes as text"]),
        ((skitai.WS_OPCODE_BINARY, "the old order"), [b"the old order"]),
        ([("a", skitai.WS_OPCODE_BINARY), "b"], [b"a", "b"]),
        (None, []),
        ("", []),
        (b"", []),
        ([], []),
        (False, []),
        ({"a": 1}, ["[ERROR]"]),
        (7, ["[ERROR]"]),
        (("a", skitai.WS_OPCODE_PING), ["[ERROR]"]),
        ("\ud800", ["[ERROR]"]),
    ],
    ids=repr,
)
def test_what_a_handler_returns_is_sent(spec, threads, result, messages):
    def handler(was, message):
        return result if message == "go" else message

    app = reporting(spec, handler)
    with sockets_of(app, threads=threads) as site, site.connect("/ws") as client:
        client.send("go")
        client.send("end")
        got = []
        while (message := client.recv()) != "end":
            got.append(message)
        assert got == messages


def test_generators_are_several_messages():
    def handler(was, message):
        return (f"{message} {number}" for number in range(1000))

    with sockets_of(reporting(skitai.WS_REPORTY, handler)) as site, site.connect("/ws") as client:
        assert answers_of(client, "n", 1000) == [f"n {number}" for number in range(1000)]


def test_text_is_str_and_binary_is_bytes_and_both_may_be_empty():
    def handler(was, message):
        return f"{type(message).__name__} {len(message)}"

    with sockets_of(reporting(skitai.WS_REPORTY, handler)) as site, site.connect("/ws") as client:
        assert answers_of(client, "é", 1) == ["str 1"]
        assert answers_of(client, b"\xff\0", 1) == ["bytes 2"]
        assert answers_of(client, "", 1) == ["str 0"]
        assert answers_of(client, b"", 1) == ["bytes 0"]


@pytest.mark.parametrize("threads", THREADED)
@pytest.mark.parametrize("spec", [*CALLED, skitai.WS_GROUPCHAT])
def test_a_failure_is_told_and_the_socket_stays(spec, threads, log):
    def handler(was, message, room=None):
        if message == "crash":
            raise ZeroDivisionError("secret")
        if message == "error":
            raise was.Error("404 Not Found", "no such book")
        if message == "exit":
            raise SystemExit("secret")
        return message

    app = reporting(spec, handler)
    with sockets_of(app, threads=threads) as site, site.connect("/ws?room=a") as client:
        assert answers_of(client, "crash", 1) == ["[ERROR]"]
        assert answers_of(client, "exit", 1) == ["[ERROR]"]
        (told,) = answers_of(client, "error", 1)
        assert told.startswith("[ERROR] 404 Not Found")
        assert "no such book" in told
        assert answers_of(client, "fine", 1) == ["fine"]
    assert "ZeroDivisionError: secret" in log.text


def test_debug_mode_shows_the_traceback():
    def handler(was, message):
        raise ZeroDivisionError("seen")

    app = reporting(skitai.WS_REPORTY, handler)
    app.debug = True
    with sockets_of(app) as site, site.connect("/ws") as client:
        (told,) = answers_of(client, "x", 1)
        assert told.startswith("[ERROR]\nTraceback")
        assert "ZeroDivisionError: seen" in told


def test_a_generator_that_breaks_is_told():
    def handler(was, message):
        yield_first = (x for x in ("one", "two"))

        def pieces():
            yield from yield_first
            raise ZeroDivisionError

        return pieces()

    with sockets_of(reporting(skitai.WS_REPORTY, handler)) as site, site.connect("/ws") as client:
        assert answers_of(client, "x", 3) == ["one", "two", "[ERROR]"]


def test_messages_of_a_socket_are_handled_in_order_one_at_a_time():
    running, seen = [], []

    def handler(was, message):
        running.append(message)
        assert len(running) == 1
        for _ in range(int(message) % 7):
            threading.Event().wait(0.0005)
        seen.append(message)
        running.clear()
        return message

    with sockets_of(reporting(skitai.WS_REPORTY, handler)) as site, site.connect("/ws") as client:
        numbers = [str(number) for number in range(300)]
        for number in numbers:
            client.send(number)
        assert [client.recv() for _ in numbers] == numbers
        assert seen == numbers


def test_messages_that_came_before_the_end_are_all_handled():
    entered, go = threading.Event(), threading.Event()
    seen, closed = [], threading.Event()

    def handler(was, message):
        entered.set()
        assert go.wait(10)
        seen.append(message)
        return message

    app = reporting(skitai.WS_REPORTY, handler, onclose=lambda was: closed.set())
    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            for number in range(10):
                client.send(str(number))
            assert entered.wait(10)
        assert not closed.is_set()
        go.set()
        assert closed.wait(10)
        assert seen == [str(number) for number in range(10)]


def test_sockets_run_side_by_side():
    meeting = threading.Barrier(3, timeout=10)

    def handler(was, message):
        meeting.wait()
        return "met"

    with sockets_of(reporting(skitai.WS_REPORTY, handler)) as site:
        with site.connect("/ws") as a, site.connect("/ws") as b, site.connect("/ws") as c:
            for client in (a, b, c):
                client.send("x")
            assert [client.recv() for client in (a, b, c)] == ["met"] * 3


@pytest.mark.parametrize("threads", THREADED)
def test_async_def_is_called_for_each_message_in_order(threads):
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_REPORTY)
    async def handler(was, message, times: int = 1):
        await asyncio.sleep(0.001 * (int(message) % 3))
        if message == "13":
            raise ZeroDivisionError
        return [message] * times

    with sockets_of(app, threads=threads) as site, site.connect("/ws?times=2") as client:
        for number in range(20):
            client.send(str(number))
        expected = [str(number) for number in range(20) for _ in "ab"]
        expected[26:28] = ["[ERROR]"]
        assert [client.recv() for _ in expected] == expected


# -- encodings


@pytest.mark.parametrize("spec", [*CALLED, skitai.WS_COROUTINE])
def test_json(spec):
    app = new_app()
    if spec is skitai.WS_COROUTINE:

        @app.route("/ws")
        @app.websocket(spec, encoding="json")
        async def handler(was):
            async for message in was.websocket:
                await was.websocket.send(message)

    else:

        @app.route("/ws")
        @app.websocket(spec, encoding=skitai.WS_MSG_JSON)
        def handler(was, message):
            return message

    with sockets_of(app) as site, site.connect("/ws") as client:
        for value in ({"a": [1, None, "é"]}, [1, 2], "text", 7, True, ""):
            assert [json.loads(got) for got in answers_of(client, json.dumps(value), 1)] == [value]
        assert answers_of(client, b"binary", 1) == [b"binary"]


@pytest.mark.parametrize("encoding", ["json", "xmlrpc"])
@pytest.mark.parametrize("spec", [*CALLED, skitai.WS_CHATTY, skitai.WS_COROUTINE])
def test_a_malformed_message_closes_the_socket(spec, encoding):
    app = new_app()
    if spec is skitai.WS_CHATTY:

        @app.route("/ws")
        @app.websocket(spec, encoding=encoding)
        def handler(was):
            while (message := (yield)) is not None:
                yield message

    elif spec is skitai.WS_COROUTINE:

        @app.route("/ws")
        @app.websocket(spec, encoding=encoding)
        def handler(was):
            while (message := (yield was.Input())) is not None:
                yield message

    else:
        app.route("/ws")(app.websocket(spec, encoding=encoding)(lambda was, message: message))
    with sockets_of(app) as site:
        for wrong in ("{", "<params>", "[" * 100_000):
            with site.connect("/ws") as client:
                client.send(wrong)
                code, reason = closing_of(client)
                assert code == 1007
                assert reason.startswith("JSON" if encoding == "json" else "XML-RPC")


def test_several_json_messages_come_from_a_generator():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_REPORTY, encoding="json")
    def handler(was, message):
        return ({"n": number} for number in range(message))

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert answers_of(client, "3", 3) == ['{"n":0}', '{"n":1}', '{"n":2}']


def test_xmlrpc():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_REPORTY, encoding=skitai.WS_MSG_XMLRPC)
    def handler(was, message):
        return {"got": message}

    def load(text):
        return xmlrpc.client.loads(text, use_builtin_types=True)[0]

    with sockets_of(app) as site, site.connect("/ws") as client:
        (got,) = answers_of(client, xmlrpc.client.dumps(("a",)), 1)
        assert load(got) == ({"got": "a"},)
        (got,) = answers_of(client, xmlrpc.client.dumps((1, [b"x"]), "method"), 1)
        assert load(got) == ({"got": [1, [b"x"]]},)


# -- chats


def test_a_chat_may_answer_with_nothing_one_or_several_messages():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_CHATTY)
    def handler(was):
        yield "welcome"
        while 1:
            message = yield
            if message is None:
                return
            if message == "skip":
                continue
            if message == "none":
                yield None
            elif message == "empty":
                yield ""
            elif message == "two":
                yield "1"
                yield "2"
            elif message == "list":
                yield ["3", "4"]
            else:
                yield message

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert client.recv() == "welcome"
        for message in ("skip", "none", "empty", "two", "skip", "list", "none", "none", "a"):
            client.send(message)
        assert [client.recv() for _ in range(5)] == ["1", "2", "3", "4", "a"]
        client.send("b")
        assert client.recv() == "b"


def test_a_chat_that_ends_closes_the_socket():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_CHATTY)
    def handler(was):
        message = yield
        yield f"bye {message}"

    @app.route("/at/once")
    @app.websocket(skitai.WS_CHATTY)
    def at_once(was):
        if False:
            yield

    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            assert answers_of(client, "a", 1) == ["bye a"]
            assert closing_of(client) == (1000, "")
        with site.connect("/at/once") as client:
            assert closing_of(client) == (1000, "")


@pytest.mark.parametrize("debug", [False, True])
def test_a_chat_that_fails_closes_the_socket_with_1011(debug, log):
    app = new_app(debug=debug)

    @app.route("/ws")
    @app.websocket(skitai.WS_CHATTY)
    def handler(was):
        yield
        raise ZeroDivisionError("why")

    @app.route("/loops")
    @app.websocket(skitai.WS_CHATTY)
    def loops(was):
        yield
        while 1:
            yield ""

    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            (told,) = answers_of(client, "a", 1)
            assert told.startswith("[ERROR]")
            assert ("ZeroDivisionError" in told) is debug
            assert closing_of(client) == (1011, "")
        with site.connect("/loops") as client:
            client.send("a")
            assert closing_of(client) == (1011, "")
    assert "ZeroDivisionError: why" in log.text
    assert "without waiting for a message" in log.text


def test_a_chat_gets_none_once_when_its_client_leaves():
    app = new_app()
    got, over = [], threading.Event()

    @app.route("/ws")
    @app.websocket(skitai.WS_CHATTY)
    def handler(was):
        try:
            while 1:
                message = yield
                got.append(message)
                yield message
        finally:
            over.set()

    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            assert answers_of(client, "a", 1) == ["a"]
        assert over.wait(10)
        assert got == ["a", None]


# -- coroutines


@pytest.mark.parametrize("threads", THREADED)
def test_a_coroutine_answers_as_often_as_it_likes(threads):
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE, 60)
    def handler(was):
        number = 0
        while 1:
            message = yield was.Input()
            if not message:
                break
            number += 1
            yield message
            if number % 3 == 0:
                yield asyncio.sleep(0)
                yield message.encode()

    with sockets_of(app, threads=threads) as site, site.connect("/ws") as client:
        for number in range(50):
            client.send(f"{number}")
            if number % 5 == 0:
                assert client.ping().wait(10)
        got = [client.recv() for _ in range(66)]
    expected = []
    for number in range(50):
        expected += [f"{number}"] + ([f"{number}".encode()] if number % 3 == 2 else [])
    assert got == expected


def test_a_coroutine_begins_in_a_thread_and_goes_on_on_the_loop():
    app = new_app()
    threads = []

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE)
    def handler(was):
        threads.append(threading.current_thread())
        yield "hello"
        yield was.Input()
        threads.append(threading.current_thread())
        yield "bye"

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert client.recv() == "hello"
        client.send("x")
        assert client.recv() == "bye"
        assert closing_of(client) == (1000, "")
        assert threads[0] is not site.serving._thread
        assert threads[1] is site.serving._thread


def test_what_a_coroutine_returns_is_its_last_message():
    app = new_app()

    @app.route("/generator")
    @app.websocket(skitai.WS_COROUTINE)
    def generator(was):
        yield was.Input()
        return "last"

    @app.route("/async")
    @app.websocket(skitai.WS_COROUTINE)
    async def coroutine(was):
        await was.websocket.receive()
        return ["almost", "last"]

    with sockets_of(app) as site:
        with site.connect("/generator") as client:
            assert answers_of(client, "x", 1) == ["last"]
            assert closing_of(client) == (1000, "")
        with site.connect("/async") as client:
            assert answers_of(client, "x", 2) == ["almost", "last"]
            assert closing_of(client) == (1000, "")


@pytest.mark.parametrize("wrong", [None, 7])
def test_a_coroutine_that_yields_what_is_no_message_fails(wrong, log):
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE)
    def handler(was):
        yield wrong

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert closing_of(client) == (1011, "")
    assert "TypeError" in log.text


def test_a_failure_of_what_was_yielded_is_raised_there():
    app = new_app()

    async def fail():
        raise KeyError("gone")

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE)
    def handler(was):
        try:
            yield fail()
        except KeyError as exc:
            yield f"caught {exc}"

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert client.recv() == "caught 'gone'"


def test_a_coroutine_may_clear_up_when_its_client_leaves():
    app = new_app()
    got = []

    @app.route("/generator")
    @app.websocket(skitai.WS_COROUTINE)
    def generator(was):
        while (message := (yield was.Input())) is not None:
            got.append(message)
        yield asyncio.sleep(0.01)
        yield "nobody gets this"
        got.append("generator cleared up")

    @app.route("/async")
    @app.websocket(skitai.WS_COROUTINE)
    async def coroutine(was):
        got.extend([message async for message in was.websocket])
        await asyncio.sleep(0.01)
        got.append("coroutine cleared up")

    with sockets_of(app) as site:
        for path, last in (("/generator", "generator"), ("/async", "coroutine")):
            with site.connect(path) as client:
                client.send("a")
            until(lambda last=last: got[-1:] == [f"{last} cleared up"], "the end")
    assert got == ["a", "generator cleared up", "a", "coroutine cleared up"]


def test_who_asks_for_messages_behind_the_end_is_ended():
    app = new_app()
    over = []

    async def receive(was):
        with contextlib.suppress(Exception):
            await was.websocket.receive()

    @app.route("/generator")
    @app.websocket(skitai.WS_COROUTINE)
    def generator(was):
        try:
            while 1:
                yield was.Input()
        finally:
            over.append("generator")

    @app.route("/async")
    @app.websocket(skitai.WS_COROUTINE)
    async def coroutine(was):
        try:
            while 1:
                await receive(was)
        finally:
            over.append("coroutine")

    with sockets_of(app) as site:
        for path in ("/generator", "/async"):
            with site.connect(path) as client:
                client.send("a")
        site.emptied()
    assert sorted(over) == ["coroutine", "generator"]


def test_an_asynchronous_generator_yields_messages():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE)
    async def handler(was, prefix="-"):
        async for message in was.websocket:
            yield f"{prefix}{message}"
            yield b"!"

    with sockets_of(app) as site, site.connect("/ws?prefix=%2B") as client:
        assert answers_of(client, "a", 2) == ["+a", b"!"]


def test_two_coroutines_of_one_socket_can_not_both_receive(log):
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE)
    async def handler(was):
        other = asyncio.ensure_future(was.websocket.receive())
        await asyncio.sleep(0)
        try:
            await was.websocket.receive()
        except RuntimeError as exc:
            was.websocket.send(str(exc))
        return f"other got {await other}"

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert "two coroutines" in client.recv()
        assert answers_of(client, "a", 1) == ["other got a"]


def test_receive_is_for_coroutines_only():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_REPORTY)
    async def handler(was, message):
        try:
            await was.websocket.receive()
        except RuntimeError as exc:
            return str(exc)

    with sockets_of(app) as site, site.connect("/ws") as client:
        (told,) = answers_of(client, "a", 1)
        assert "'async def' handlers of WS_COROUTINE" in told


# -- the socket


def test_a_socket_is_sent_to_and_closed_from_anywhere():
    app = new_app()
    sockets = []

    @app.route("/ws")
    @app.websocket(skitai.WS_REPORTY)
    def handler(was, message):
        ws = was.websocket
        sockets.append(ws)
        assert ws.open
        assert ws.send("a")
        ws.send("b", skitai.WS_OPCODE_BINARY)
        ws.send(b"c", skitai.WS_OPCODE_TEXT)
        if message == "opcode":
            ws.send("over", skitai.WS_OPCODE_CLOSE)
        else:
            ws.close(4000, "enough")
        ws.send("too late")
        return "too late"

    with sockets_of(app) as site:
        for message, closing in (("x", (4000, "enough")), ("opcode", (1000, "over"))):
            with site.connect("/ws") as client:
                assert answers_of(client, message, 3) == ["a", b"b", "c"]
                assert closing_of(client) == closing
        site.emptied()
        assert not any(ws.open for ws in sockets)
        assert sockets[0].send("nobody")
        sockets[0].close()
        sockets[0].join("room")
        sockets[0].broadcast("nobody", "room")
    assert len({ws.client_id for ws in sockets}) == 2


def test_wrong_messages_are_refused_where_they_are_sent():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_REPORTY)
    def handler(was, message):
        for wrong in ({"a": 1}, 7, None, object()):
            with pytest.raises(TypeError, match="text or bytes"):
                was.websocket.send(wrong)
        with pytest.raises(ValueError, match="opcode 9"):
            was.websocket.send("a", skitai.WS_OPCODE_PING)
        with pytest.raises(ValueError, match="999"):
            was.websocket.close(999)
        return "fine"

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert answers_of(client, "x", 1) == ["fine"]


def test_constants_are_independent():
    kinds = [skitai.WS_CHATTY, skitai.WS_COROUTINE, skitai.WS_REPORTY, skitai.WS_GROUPCHAT]
    bits = [int(bit) for bit in (*kinds, skitai.WS_NOPOOL, skitai.WS_THREADSAFE)]
    assert sum(bits) == 2 ** len(bits) - 1
    assert skitai.WS_REPORTY == skitai.WS_CHANNEL == skitai.WS_SIMPLE
    assert skitai.WS_NOPOOL == skitai.WS_NOTHREAD == skitai.WS_NQ


def test_json_null_is_no_end():
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_COROUTINE, encoding="json")
    async def handler(was):
        async for message in was.websocket:
            was.websocket.send([message])

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert answers_of(client, "null", 1) == ["[null]"]
        assert answers_of(client, "1", 1) == ["[1]"]


@pytest.mark.parametrize("spec", CALLED)
def test_whatever_a_handler_raises_the_next_message_has_its_turn(spec):
    def handler(was, message):
        if message == "cancelled":
            raise asyncio.CancelledError
        if message == "exit":
            raise GeneratorExit
        if message == "surrogate":
            raise was.Error("400 Bad Request", "\ud800")
        if message == "pieces":

            def pieces():
                yield "one"
                raise asyncio.CancelledError

            return pieces()
        return message

    with sockets_of(reporting(spec, handler)) as site, site.connect("/ws") as client:
        assert answers_of(client, "cancelled", 1) == ["[ERROR]"]
        assert answers_of(client, "exit", 1) == ["[ERROR]"]
        assert answers_of(client, "surrogate", 1)[0].endswith("\\ud800")
        assert answers_of(client, "pieces", 2) == ["one", "[ERROR]"]
        assert answers_of(client, "fine", 1) == ["fine"]


def test_what_a_coroutine_waits_for_may_be_cancelled():
    app = new_app()

    async def cancelled():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @app.route("/called")
    @app.websocket(skitai.WS_REPORTY)
    async def called(was, message):
        if message == "cancel":
            await cancelled()
        return message

    @app.route("/talks")
    @app.websocket(skitai.WS_COROUTINE)
    async def talks(was):
        await cancelled()

    with sockets_of(app) as site:
        with site.connect("/called") as client:
            assert answers_of(client, "cancel", 1) == ["[ERROR]"]
            assert answers_of(client, "fine", 1) == ["fine"]
        with site.connect("/talks") as client:
            assert closing_of(client)[0] == 1011
