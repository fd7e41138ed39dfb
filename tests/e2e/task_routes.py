"""An app whose routes wait, stream and answer later; tests of coroutines ask for them."""

SERVE = """
    import skitai

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.securekey = "0123456789abcdef0123456789abcdef"
            skitai.register_g("tables.users")
            skitai.mount("/", "service.py", pref)
            skitai.mount("/hooked", "hooked.py", pref)
        skitai.run(workers=1, threads=4)
"""

SERVICE = """
    import asyncio
    import threading
    import time

    import atila

    app = atila.Atila(__name__)
    events = []


    def on_loop():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True


    # -- generators


    @app.route("/wait", coroutine=True)
    def wait(was):
        before = on_loop()
        task = yield was.Thread(time.sleep, args=(0.01,))
        same = yield task
        return was.API(before=before, after=on_loop(), same=same is task, data=task.fetch())


    @app.route("/marked")
    @app.coroutine
    def marked(was):
        task = yield was.Thread(lambda: "marked")
        return task.fetch()


    @app.route("/group", coroutine=True)
    def group(was):
        tasks = yield was.Tasks(a=was.Mask("m"), b=was.Thread(lambda: "t"))
        task3 = yield was.Thread(lambda: 3)
        task4 = yield was.Subprocess("echo four")
        return was.API(d=task4.fetch().strip(), c=task3.fetch(), **tasks.fetch())


    @app.route("/nothing_yielded", coroutine=True)
    def nothing_yielded(was, now="no"):
        if now == "no":
            return was.API(direct=True)
        yield was.Mask(1)


    @app.route("/text_only", coroutine=True)
    def text_only(was):
        was.response.set_header("X-Kind", "burst")
        yield "a"
        yield b"b"
        return "c"


    @app.route("/csv", coroutine=True)
    def csv(was, rows: int = 100):
        was.response.set_header("Content-Type", "text/csv")
        yield "ID\\n"
        for number in range(rows):
            task = yield was.Thread(lambda: number)
            yield f"{task.fetch()}\\n"


    @app.route("/masks", coroutine=True)
    def masks(was, count: int = 100_000):
        total = 0
        for number in range(count):
            total += (yield was.Mask(number)).fetch()
        return was.API(total=total)


    @app.route("/asyncio", coroutine=True)
    def with_asyncio(was):
        yield was.Thread(lambda: None)
        value = yield asyncio.sleep(0.001, "slept")
        return value


    @app.route("/cookies_late", coroutine=True)
    def cookies_late(was):
        yield was.Thread(lambda: None)
        was.cookie.set("late", "yes")
        was.session.set("name", "late")
        return was.API(ok=True)


    @app.route("/session")
    def session(was):
        return was.API(name=was.session.get("name"))


    @app.route("/fail/<kind>", coroutine=True)
    def fail(was, kind):
        if kind == "early":
            raise was.Error("418 Teapot", "early")
        task = yield was.Thread(lambda: 1 / 0)
        if kind == "fetch":
            task.fetch()
        if kind == "error":
            raise was.Error("409 Conflict", "late")
        if kind == "type":
            yield {"no": "response"}
        if kind == "none":
            yield
        if kind == "stream":
            yield "begun"
            yield was.Thread(lambda: None)
            raise KeyError("broken")
        return "not failed"


    @app.route("/caught", coroutine=True)
    def caught(was):
        try:
            yield asyncio.wait_for(asyncio.sleep(60), 0.001)
        except asyncio.TimeoutError:
            return "caught"


    @app.route("/closed", coroutine=True)
    def closed(was):
        try:
            yield "x" * 100
            while True:
                yield was.Thread(lambda: time.sleep(0.01))
                yield "x" * 100
        finally:
            events.append("closed")


    @app.route("/never", coroutine=True)
    def never(was):
        try:
            yield was.Subprocess("sleep 60")
        finally:
            events.append("never closed")


    @app.route("/events")
    def seen(was):
        return was.API(events=events)


    @app.route("/piped")
    def piped(was):
        return was.pipe("text_only")


    @app.route("/piped_async")
    async def piped_async(was):
        return await was.pipe(nothing_yielded)


    # -- async def


    @app.route("/async")
    async def asynchronous(was):
        first, second = was.Thread(lambda: 1), was.Thread(lambda: 2)
        await second
        group = await was.Tasks(x=first, y=second)
        return was.API(**group.fetch())


    @app.route("/async_fetch")
    async def async_fetch(was):
        return was.API(data=was.Thread(time.sleep, args=(5,)).fetch())


    @app.route("/async_map")
    async def async_map(was):
        return was.Map(x=was.Thread(lambda: 1))


    # -- deferred


    def respond(was, task):
        return was.API(result=task.fetch(), a=task.meta.get("a"), on_loop=on_loop())


    async def respond_async(was, task):
        await asyncio.sleep(0)
        return was.API(result=task.fetch(), on_loop=on_loop())


    @app.route("/then")
    def then(was):
        return was.Thread(lambda: 2.0, meta={"a": 1}).then(respond)


    @app.route("/then_async")
    def then_async(was):
        return was.Thread(lambda: 2.0).then(respond_async)


    @app.route("/then_chain")
    def then_chain(was):
        def again(was, task):
            return was.Map(n=was.Thread(lambda: task.fetch() + 1))

        return was.Thread(lambda: 1).then(again)


    @app.route("/then_group")
    def then_group(was):
        def answer(was, tasks):
            one, two = tasks.fetch()
            return was.API(sum=one + two)

        return was.Tasks(was.Thread(lambda: 1), was.Mask(2)).then(answer)


    @app.route("/then_fails/<kind>")
    def then_fails(was, kind):
        def answer(was, task):
            if kind == "error":
                raise was.Error("404 Not Found", "nobody")
            if kind == "one":
                return was.API(x=task.one())
            return None if kind == "none" else task.fetch()

        data = [] if kind == "one" else None
        return was.Thread(lambda: data).then(answer)


    @app.route("/then_stream")
    def then_stream(was):
        return was.Mask(3).then(lambda was, task: (f"{n}\\n" for n in range(task.fetch())))


    @app.route("/then_session")
    def then_session(was):
        def answer(was, task):
            was.session.set("name", "then")
            was.response.set_status("201 Created")
            return was.API(ok=True)

        was.response.set_header("X-Before", "kept")
        return was.Mask(1).then(answer)


    def process_square(x):
        return x * x


    @app.route("/process")
    def process(was):
        import math

        return was.Process(math.sqrt, args=(4.0,), meta={"a": 1}).then(respond)


    @app.route("/map")
    def mapped(was):
        return was.Map(
            was.Thread(time.sleep, args=(0.01,)),
            files=was.Subprocess("echo a b", filter=lambda text: text.strip().replace(" ", "_")),
            result=was.Thread(lambda: [{"n": 1}, {"n": 2}]),
            count__one=was.Mask([{"cnt": 2}]),
            first__0=was.Mask(["zero", "one"]),
            constant=7,
        )


    @app.route("/map_status")
    def map_status(was):
        return was.Map("408 OK", x=was.Mask(1))


    @app.route("/map_fails/<kind>")
    def map_fails(was, kind):
        task = was.Mask([]) if kind == "410" else was.Mask([1, 2])
        if kind == "500":
            return was.Map(was.Thread(lambda: 1 / 0), x=1)
        return was.Map(x__one=task)


    @app.route("/map_timeout")
    def map_timeout(was):
        return was.Map(x=was.Thread(time.sleep, args=(0.5,)), __timeout=0.05)


    @app.route("/map_etag")
    def map_etag(was):
        return was.Map(x=was.Mask({"version": "v1"}), __etag="x.version", __maxage=60)


    @app.route("/mapped")
    def mapped_group(was):
        return was.Mapped(was.Tasks(was.Mask("unseen"), a=was.Thread(lambda: 1), b=was.Mask(2)))


    @app.route("/page")
    def page(was):
        return was.render_or_Map("page.j2", names=was.Thread(lambda: ["a", "b"]))


    @app.route("/page_mapped")
    def page_mapped(was):
        return was.render_or_Mapped("page.j2", was.Tasks(names=was.Thread(lambda: ["a", "b"])))


    @app.route("/template_fetches")
    def template_fetches(was):
        return was.render("fetch.j2", task1=was.Thread(lambda: ["a"]), task2=was.Mask(["only"]))


    @app.route("/thread_pass")
    def thread_pass(was):
        def answer(was, a):
            was.session.set("name", "passed")
            return was.API(a=a, on_loop=on_loop(), thread=threading.current_thread().name)

        return was.ThreadPass(answer, args=(4.0,))


    @app.route("/thread_pass_map")
    def thread_pass_map(was):
        return was.ThreadPass(lambda was: was.Map(x=was.Thread(lambda: 5)))


    @app.route("/thread_pass_fails/<kind>")
    def thread_pass_fails(was, kind):
        def answer(was):
            raise was.Error("403 Forbidden") if kind == "error" else KeyError(kind)

        return was.ThreadPass(answer)


    class Producing:
        def __init__(self, count, kind):
            self.count, self.kind = count, kind

        def __call__(self, queue):
            for number in range(self.count):
                queue.put(f"{number}\\n")
                if self.kind == "empty":
                    queue.put("")
            if self.kind == "fails":
                raise KeyError("producer")
            if self.kind == "none":
                queue.put(None)
                queue.put("after the end")

        def close(self):
            events.append("producer closed")


    @app.route("/queue")
    def queue(was, count: int = 10, kind: str = "plain"):
        return was.Queue(Producing(count, kind), max_size=3)


    @app.route("/queue_silent")
    def queue_silent(was):
        def produce(queue):
            queue.put("x" * 10)
            time.sleep(0.5)

        return was.Queue(produce, wait_timeout=0.05)


    # -- bodies


    @app.route("/input", methods=["POST"], input_stream=True)
    def input_blocks(was, size: int = 4096):
        sizes = []
        while True:
            data = yield was.Input(size)
            if not data:
                break
            sizes.append(len(data))
        return was.API(sizes=sizes)


    @app.route("/input_join", methods=["POST"], input_stream=True)
    def input_join(was):
        buf = []
        while 1:
            data = yield was.Input(4096)
            if not data:
                break
            buf.append(data)
        return b"".join(buf)


    @app.route("/echo", methods=["POST"], coroutine=True, input_stream=True)
    def echo(was):
        while 1:
            data = yield was.Input(16184)
            if not data:
                break
            yield b":" + data


    @app.route("/input_async", methods=["POST"], input_stream=True)
    async def input_async(was):
        total = 0
        async for block in was.Input(1000):
            total += len(block)
        return was.API(total=total)


    @app.route("/input_thread", methods=["POST"], input_stream=True)
    def input_thread(was):
        total = 0
        while block := was.Input(1000).fetch():
            total += len(block)
        return was.API(total=total)


    @app.route("/input_late", methods=["POST"], input_stream=True)
    def input_late(was):
        yield was.Thread(lambda: time.sleep(0.05))
        return (yield was.Input(100))


    @app.route("/input_unread", methods=["POST"], input_stream=True)
    def input_unread(was):
        return "not interested"


    @app.route("/input_wrong", methods=["POST"])
    def input_wrong(was):
        return was.Input(10).fetch()


    # -- cache times


    @app.on("setlu:tables.users")
    def updated(was, *args, **kwargs):
        events.append(["updated", args, kwargs])


    @app.route("/setlu")
    def setlu(was):
        before = was.getlu("tables.users")
        was.setlu("tables.users", 1, x=2)
        return was.API(newer=was.getlu("tables.users") > before)


    @app.route("/setlu_unknown")
    def setlu_unknown(was, ignore: int = 0):
        was.setlu("tables.nobody", x_ignore=bool(ignore))
        return "ok"
"""

HOOKED = """
    import time

    import atila

    app = atila.Atila(__name__)
    seen = []


    @app.before_request
    def before(was):
        was.request.g.began = True
        if was.request.args.get("refuse"):
            raise was.Error("403 Forbidden", "refused by the hook")


    @app.finish_request
    def finish(was, response):
        seen.append(["finish", type(response).__name__])


    @app.failed_request
    def failed(was, exc_info):
        seen.append(["failed", exc_info[0].__name__])


    @app.teardown_request
    def teardown(was):
        seen.append(["teardown", was.request.routed.__name__])


    def after(was):
        seen.append(["after"])


    @app.route("/coroutine", coroutine=True)
    @app.run_after(after)
    def coroutine(was, refuse=""):
        task = yield was.Thread(lambda: "done")
        return was.API(data=task.fetch(), began=was.request.g.began)


    @app.route("/stream", coroutine=True)
    def stream(was):
        yield "a"
        yield was.Thread(lambda: None)
        yield "b"


    @app.route("/map")
    def mapped(was):
        return was.Map(x=was.Thread(lambda: 1))


    @app.route("/then_fails")
    def then_fails(was):
        return was.Thread(lambda: 1 / 0).then(lambda was, task: task.fetch())


    @app.route("/seen")
    def show(was):
        result = list(seen)
        seen.clear()
        return was.API(seen=result)
"""

FILES = {
    "serve.py": SERVE,
    "service.py": SERVICE,
    "templates/page.j2": "{% for name in context.names %}<li>{{ name }}</li>{% endfor %}",
    "templates/fetch.j2": (
        "{% for name in context.task1.fetch() %}<li>{{ name }}</li>{% endfor %}"
        "{{ context.task2.one() }}"
    ),
    "hooked.py": HOOKED,
}
