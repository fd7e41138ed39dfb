"""An app whose functions go wrong wherever they are called; tests of hostile tasks ask for it."""

SERVE = """
    import skitai

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.securekey = "0123456789abcdef0123456789abcdef"
            skitai.alias("@up", skitai.PROTO_HTTP, "127.0.0.1:{up}", max_conns=4)
            skitai.alias("@many", skitai.PROTO_HTTP, "127.0.0.1:{up}", max_conns=0)
            skitai.mount("/", "service.py", pref)
            skitai.mount("/hooked", "hooked.py", pref)
            skitai.mount("/worse", "worse.py", pref)
        skitai.run(workers=1, threads={threads}, max_upload_size=1048576, network_timeout=2.0,
                   access_log=False)
"""

SERVICE = """
    import asyncio
    import os
    import sys
    import threading
    import time

    import atila
    import lethal

    app = atila.Atila(__name__)
    events = []


    @app.route("/ok")
    async def ok(was):
        return "ok"


    @app.route("/events")
    async def seen(was):
        return was.API(events=events)


    # -- app code that raises


    def fail(kind):
        raise lethal.KINDS[kind](kind)


    @app.route("/raise/plain/<kind>")
    def plain(was, kind):
        fail(kind)


    @app.route("/raise/async/<kind>")
    async def asynchronous(was, kind):
        fail(kind)


    @app.route("/raise/async_late/<kind>")
    async def asynchronous_late(was, kind):
        await asyncio.sleep(0)
        fail(kind)


    @app.route("/raise/generator/<kind>", coroutine=True)
    def generator(was, kind):
        fail(kind)
        yield


    @app.route("/raise/generator_late/<kind>", coroutine=True)
    def generator_late(was, kind):
        yield was.Thread(lambda: None)
        fail(kind)


    @app.route("/raise/thread/<kind>")
    def thread(was, kind):
        return was.API(x=was.Thread(fail, kind).fetch())


    @app.route("/raise/process/<kind>", coroutine=True)
    def process(was, kind):
        task = yield was.Process(lethal.fail, kind)
        return was.API(x=task.fetch())


    @app.route("/raise/then/<kind>")
    def then(was, kind):
        return was.Mask(1).then(lambda was, task: fail(kind))


    @app.route("/raise/then_async/<kind>")
    def then_async(was, kind):
        async def answer(was, task):
            fail(kind)

        return was.Mask(1).then(answer)


    @app.route("/raise/thread_pass/<kind>")
    def thread_pass(was, kind):
        return was.ThreadPass(lambda was: fail(kind))


    @app.route("/raise/filter/<kind>")
    def filter(was, kind):
        return was.API(x=was.Thread(lambda: 1, filter=None or (lambda data: fail(kind))).fetch())


    @app.route("/raise/filter_of_thread/<kind>")
    def filter_of_thread(was, kind):
        return was.API(x=was.Thread(len, args=("x",), filter=lambda data: fail(kind)).fetch())


    @app.route("/raise/filter_of_map/<kind>")
    def filter_of_map(was, kind):
        task = was.Thread(len, args=("x",), filter=lambda data: fail(kind))
        return was.Map(was.Mask(1), x=task, y=2)


    @app.route("/raise/map/<kind>")
    def failing_map(was, kind):
        return was.Map(a=was.Thread(fail, kind), b=was.Thread(fail, kind), c=was.Mask(3))


    @app.route("/raise/stream/<kind>")
    def stream(was, kind):
        def pieces():
            fail(kind)
            yield

        return pieces()


    @app.route("/raise/stream_async/<kind>")
    async def stream_async(was, kind):
        fail(kind)
        yield


    @app.route("/raise/queue/<kind>")
    def queue(was, kind):
        return was.Queue(lambda queue: fail(kind))


    @app.route("/callback/<kind>")
    def callback(was, kind):
        def after(task):
            events.append(["callback", task.status_code])
            fail(kind)

        return was.API(data=was.get("@up/ok", callback=after).fetch())


    # -- then


    @app.route("/then/<what>")
    def returns(was, what):
        def answer(was, task):
            return {"none": None, "self": deferred, "task": task, "class": dict}[what]

        async def answer_async(was, task):
            return deferred

        deferred = was.Mask(1).then(answer_async if what == "self_async" else answer)
        return deferred


    # -- generators


    @app.route("/yields/<what>", coroutine=True)
    def yields(was, what):
        yield {"none": None, "number": 5, "class": asyncio.Future, "list": [was.Mask(1)],
               "generator": (n for n in "ab"), "function": ok, "api": was.API(x=1),
               "then": was.Mask(1).then(ok), "map": was.Map(x=1)}[what]


    @app.route("/closes/<how>", coroutine=True)
    def closes(was, how):
        try:
            yield "begun"
            while True:
                yield was.Thread(time.sleep, 0.01)
                yield "x"
        finally:
            events.append(f"{how} closed")
            if how == "raises":
                raise KeyError("in finally")
            if how == "exits":
                sys.exit("in finally")
            if how == "ignores":
                yield "not yet"
                events.append("went on")
            if how == "waits":
                yield was.Thread(lambda: None)


    @app.route("/infinite", coroutine=True)
    def infinite(was):
        try:
            while True:
                yield "x" * 10_000
        finally:
            events.append("infinite closed")


    @app.route("/empty_pieces")
    def empty_pieces(was):
        def pieces():
            try:
                yield "begun"
                while True:
                    time.sleep(0.01)
                    yield ""
            finally:
                events.append("empty pieces closed")

        return pieces()


    @app.route("/quiet/<kind>", coroutine=True)
    def quiet(was, kind):
        try:
            yield "begun"
            while True:
                yield was.Thread(time.sleep, 0.05)
        finally:
            events.append("quiet closed")


    # -- producers


    @app.route("/producer/<how>")
    def producer(was, how):
        def deaf(queue):
            while True:
                try:
                    queue.put("x" * 1000)
                except Exception:
                    pass

        def stuck(queue):
            queue.put("begun")
            gate.wait(20)
            events.append("released")

        def odd(queue):
            queue.put({"no": "text"})

        try:
            return was.Queue({"deaf": deaf, "stuck": stuck, "odd": odd}[how], wait_timeout=0.3)
        finally:
            gate.clear()


    gate = threading.Event()


    @app.route("/release")
    async def release(was):
        gate.set()
        return "ok"


    @app.route("/pool")
    def pool(was):
        names = [thread.name for thread in threading.enumerate()]
        busy = was.upstreams.threads.busy
        return was.API(busy=busy, count=len(names))


    # -- input


    @app.route("/input/<size>", methods=["POST"], input_stream=True)
    def sized(was, size):
        size = {"zero": 0, "minus": -1, "text": "x", "none": None, "huge": 10**12, "true": True,
                "float": 1.5}[size]
        return (yield was.Input(size))


    @app.route("/input_twice", methods=["POST"], input_stream=True)
    async def input_twice(was):
        both = await asyncio.gather(
            was.Input(10)._read(), was.Input(10)._read(), return_exceptions=True
        )
        rest = b""
        async for data in was.Input(10):
            rest += data
        return was.API(both=[type(item).__name__ for item in both], rest=rest.decode())


    @app.route("/input_fetch/<where>", methods=["POST"], input_stream=True)
    async def input_fetch(was, where):
        if where == "map":
            return was.Map(x=was.Input(10))
        return was.Input(10).fetch()


    @app.route("/input_fetch_late", methods=["POST"], input_stream=True)
    def input_fetch_late(was):
        yield was.Thread(lambda: None)
        return was.Input(10).fetch()


    @app.route("/count", methods=["POST"], input_stream=True)
    async def count(was):
        total = 0
        async for block in was.Input(65536):
            total += len(block)
        return was.API(total=total)


    @app.route("/body", methods=["POST"])
    def body(was):
        return was.API(total=len(was.request.body))


    @app.route("/echo", methods=["POST"], input_stream=True)
    def echo(was):
        while data := (yield was.Input(100)):
            yield data


    # -- results


    @app.route("/large/<int:size>")
    def large(was, size):
        task = was.Process(lethal.make, size)
        return was.Map(size=was.Process(len, task.fetch()))


    @app.route("/no_pickle/<what>", coroutine=True)
    def no_pickle(was, what):
        if what == "function":
            return was.API(x=(yield was.Process(lambda: 1)).fetch())
        if what == "argument":
            return was.API(x=(yield was.Process(len, threading.Lock())).fetch())
        task = yield was.Process(getattr(lethal, what))
        return was.API(error=type(task.error).__name__, text=str(task.error)[:80], x=task.fetch())


    # -- streams and waiting


    @app.route("/pieces")
    def pieces(was, count: int = 3):
        return (f"piece {number} " for number in range(count))


    @app.route("/apieces", coroutine=True)
    def apieces(was, count: int = 3):
        for number in range(count):
            yield was.Thread(lambda: None)
            yield f"piece {number} "


    @app.route("/waiting")
    async def waiting(was):
        task = await was.get("@many/second")
        return task.fetch()


    @app.route("/waiting_generator", coroutine=True)
    def waiting_generator(was):
        task = yield was.get("@many/second")
        return task.fetch()


    @app.route("/fetch")
    def fetch(was):
        return was.API(data=was.get("@up/ok").fetch())


    @app.route("/map")
    def mapped(was):
        return was.Map(data=was.get("@up/ok"))


    @app.route("/then_up")
    def then_up(was):
        return was.get("@up/ok").then(lambda was, task: was.API(data=task.fetch()))


    @app.route("/proxy/<path>")
    def proxy(was, path):
        return was.ProxyPass("@up", path, timeout=1)
"""

LETHAL = """
    import asyncio


    class Base(BaseException):
        pass


    class Strange(Exception):
        code = "no number"
        status = {}
        explain = None

        def __str__(self):
            raise KeyError("no text")

        __repr__ = __str__

        @property
        def args(self):
            raise KeyError("no arguments")

        @property
        def __notes__(self):
            raise KeyError("no notes")

        def __eq__(self, other):
            raise KeyError("not comparable")

        __hash__ = None


    class Slotted(Exception):
        __slots__ = ("x",)

        def __setattr__(self, name, value):
            raise AttributeError(name)


    class Wanting(Exception):
        def __init__(self, one, *, two=None):
            if two is None and one == "again":
                raise TypeError("two is missing")
            super().__init__("again")


    KINDS = {
        "error": KeyError,
        "exit": SystemExit,
        "interrupt": KeyboardInterrupt,
        "closed": GeneratorExit,
        "cancelled": asyncio.CancelledError,
        "base": Base,
        "stop": StopIteration,
        "stop_async": StopAsyncIteration,
        "timeout": TimeoutError,
        "strange": Strange,
        "slotted": Slotted,
        "wanting": Wanting,
    }


    def fail(kind):
        raise KINDS[kind](kind)


    def make(size):
        return b"x" * size


    def local_error():
        class Local(Exception):
            pass

        error = Local("of a function")
        error.lock = asyncio.Lock()
        raise error


    def local_result():
        return lambda: 1


    def dies():
        import os

        os._exit(7)


    def recursive():
        return recursive()


    def lying():
        return Liar()


    class Liar:
        def __reduce__(self):
            return (fail, ("error",))
"""

HOOKED = """
    import asyncio
    import time

    import atila

    app = atila.Atila(__name__)
    counts = {"before": 0, "finish": 0, "failed": 0, "teardown": 0, "cleared": 0}


    @app.before_request
    def before(was):
        counts["before"] += 1


    @app.finish_request
    def finish(was, response):
        counts["finish"] += 1
        if was.request.args.get("replace"):
            return "replaced"
        if was.request.args.get("break"):
            raise KeyError("in the hook")


    @app.failed_request
    def failed(was, exc_info):
        counts["failed"] += 1


    @app.teardown_request
    def teardown(was):
        counts["teardown"] += 1
        if was.request.args.get("clear"):
            counts["cleared"] += was.Subprocess("echo 1", filter=int).fetch()


    @app.route("/counts")
    def show(was):
        return was.API(counts)


    @app.route("/proxy/<path>")
    def proxy(was, path, **args):
        return was.ProxyPass("@up", path)


    @app.route("/map_for_nobody")
    def map_for_nobody(was, clear=None):
        while not was.exchange.gone:
            time.sleep(0.01)
        return was.Map(x=was.Thread(lambda: 1))


    @app.route("/then")
    def then(was):
        return was.Thread(lambda: 1).then(lambda was, task: was.API(x=task.fetch()))


    @app.route("/stream", coroutine=True)
    def stream(was):
        yield "a"
        yield was.Thread(lambda: None)
        yield "b"


    @app.route("/queue")
    def queue(was):
        return was.Queue(lambda queue: queue.put("x"))
"""

# Hooks that fail in their turn, as coroutines for routes in threads.
WORSE = """
    import atila
    import lethal

    app = atila.Atila(__name__)


    def fail(was, where):
        if (kind := was.request.args.get(where)) is not None:
            lethal.fail(kind)


    @app.before_request
    async def before(was):
        fail(was, "before")


    @app.finish_request
    async def finish(was, response):
        fail(was, "finish")


    @app.failed_request
    async def failed(was, exc_info):
        fail(was, "failed")


    @app.teardown_request
    async def teardown(was):
        fail(was, "teardown")


    @app.default_error_handler
    def page(was, error):
        fail(was, "page")


    @app.route("/<how>")
    def answer(was, how, **kinds):
        fail(was, "handler")
        if how == "map":
            return was.Map(x=was.Thread(lambda: 1))
        if how == "then":
            return was.Mask(1).then(lambda was, task: fail(was, "then") or "done")
        if how == "stream":
            return (piece for piece in "ab")
        if how == "queue":
            return was.Queue(lambda queue: queue.put("x"))
        return "done"
"""


def files(up: int, threads: int = 4) -> dict[str, str]:
    """The project, with its upstream on a port."""
    return {
        "serve.py": SERVE.format(up=up, threads=threads),
        "service.py": SERVICE,
        "lethal.py": LETHAL,
        "hooked.py": HOOKED,
        "worse.py": WORSE,
    }
