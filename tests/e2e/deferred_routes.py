"""Apps whose responses come late, from hooks, pipes and streams; test_deferred_responses asks."""

SERVE = """
    import skitai

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.securekey = "0123456789abcdef0123456789abcdef"
            skitai.mount("/", "late.py", pref)
            skitai.mount("/hooked", "late_hooks.py", pref)
        skitai.run(workers=1, threads=4)
"""

LATE = """
    import asyncio
    import gc
    import threading
    import time

    import atila

    app = atila.Atila(__name__)
    events = []
    stuck = threading.Event()


    def on_loop():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True


    def places(count=3):
        for _ in range(count):
            yield f"{on_loop()} "


    def broken():
        raise KeyError("broken")
        yield


    @app.error_handler(500)
    async def crashed(was, error):
        await asyncio.sleep(0)
        return "my page"


    @app.route("/late_stream")
    def late_stream(was):
        return was.Mask(1).then(lambda was, task: places())


    @app.route("/late_failure")
    def late_failure(was):
        return was.Mask(1).then(lambda was, task: broken())


    @app.route("/stop")
    def stop(was):
        return was.Mask(1).then(lambda was, task: next(iter(())))


    @app.route("/stepwise", coroutine=True)
    def stepwise(was):
        yield "a"
        yield was.Thread(lambda: None)
        yield "b"


    @app.route("/piped")
    def piped(was):
        return was.pipe("stepwise")


    async def counting():
        for number in range(3):
            await asyncio.sleep(0)
            yield str(number)


    @app.route("/given_away")
    def given_away(was):
        return counting()


    @app.route("/stuck")
    def stuck_producer(was):
        def produce(queue):
            queue.put("begun")
            stuck.wait(20)
            events.append("produced")

        return was.Queue(produce, wait_timeout=0.05)


    @app.route("/free")
    def free(was):
        stuck.set()
        return was.API(events=events)


    @app.route("/input", methods=["POST"], input_stream=True)
    def blocks(was):
        total = 0
        try:
            while data := (yield was.Input(1000)):
                total += len(data)
            return str(total)
        finally:
            events.append("input closed")


    @app.route("/echo", methods=["POST"], input_stream=True)
    def echo(was):
        try:
            while data := (yield was.Input(1000)):
                yield b":" + data
        finally:
            events.append("echo closed")


    @app.route("/unread", methods=["POST"], input_stream=True)
    def unread(was):
        time.sleep(0.3)
        return "unread"


    @app.route("/events")
    def seen(was):
        return was.API(events=events)


    # -- what is freed by its last reference


    @app.route("/plain")
    def plain(was):
        was.session.get("x")
        return was.API(method=was.request.method)


    @app.route("/tasks")
    def tasks(was):
        was.Thread(lambda: was.request.method, filter=lambda text: was.request.path).fetch()
        return was.API(x=1)


    @app.route("/then")
    def then(was):
        return was.Thread(lambda: 1).then(lambda was, task: was.API(x=task.fetch()))


    @app.route("/map")
    def mapped(was):
        return was.Map(x=was.Thread(lambda: was.request.method, filter=lambda text: was.ID))


    @app.route("/async")
    async def waits(was):
        await was.Thread(lambda: was.request.method)
        return "x"


    @app.route("/thread_pass")
    def thread_pass(was):
        return was.ThreadPass(lambda was: "x")


    @app.route("/queue")
    def queue(was):
        return was.Queue(lambda queue: queue.put(was.request.method))


    @app.route("/error")
    def error(was):
        raise was.Error("418 Teapot")


    @app.route("/count")
    def count(was):
        gc.disable()
        kinds = [type(thing).__name__ for thing in gc.get_objects()]
        names = ("Was", "Exchange", "BodyStream", "Task", "Owner", "Request")
        return was.API(**{name: kinds.count(name) for name in names})
"""

HOOKED = """
    import asyncio
    import time

    import atila

    app = atila.Atila(__name__)
    seen = []


    @app.before_request
    def before(was):
        kind = was.request.args.get("before")
        if kind == "deferred":
            return was.Thread(time.sleep, args=(0.05,)).then(lambda was, task: made("then"))
        if kind == "stream":
            return pieces()


    def made(name):
        seen.append(name)
        return name


    def pieces():
        for number in range(3):
            yield f"{number}"
            time.sleep(0.02)
        seen.append("last piece")


    async def pieces_async():
        for number in range(3):
            yield f"{number}"
            await asyncio.sleep(0.02)
        seen.append("last piece")


    @app.finish_request
    def finish(was, response):
        if was.request.path.startswith("/hooked/own"):
            return
        seen.append("finish")
        kind = was.request.args.get("finish")
        if kind == "deferred":
            return was.Thread(time.sleep, args=(0.05,)).then(lambda was, task: made("then"))
        if kind == "stream":
            return pieces()
        if kind == "fails":
            raise KeyError("finish")


    @app.failed_request
    def failed(was, exc_info):
        seen.append("failed")
        kind = was.request.args.get("failed")
        if kind == "deferred":
            return was.Thread(time.sleep, args=(0.05,)).then(lambda was, task: made("then"))
        if kind == "stream":
            return pieces()
        if kind == "stream_async":
            return pieces_async()
        if kind == "bad":
            return was.Mask(1).then(lambda was, task: {}["nothing"])


    @app.teardown_request
    def teardown(was):
        if not was.request.path.startswith("/hooked/own"):
            seen.append("teardown")


    @app.route("/fails")
    def fails(was, **args):
        raise was.Error("418 Teapot")


    @app.route("/fails_async")
    async def fails_async(was, **args):
        raise was.Error("418 Teapot")


    @app.route("/fine")
    def fine(was, **args):
        return "fine"


    @app.route("/fine_async")
    async def fine_async(was, **args):
        return "fine"


    @app.route("/stream")
    def stream(was, **args):
        return pieces()


    @app.route("/stream_async")
    async def stream_async(was, **args):
        for number in range(3):
            yield f"{number}"
        seen.append("last piece")


    @app.route("/left")
    def left(was):
        while not was.exchange.gone:
            time.sleep(0.01)
        return was.Mask(1).then(lambda was, task: "for nobody")


    @app.route("/given_away")
    def given_away(was):
        return pieces_async()


    @app.route("/own/seen")
    def show(was):
        return was.API(seen=seen)


    @app.route("/own/clear")
    def clear(was):
        seen.clear()
        return "ok"
"""

FILES = {"serve.py": SERVE, "late.py": LATE, "late_hooks.py": HOOKED}
