"""An app that waits for databases and services in every kind of route; tests break those."""

SERVE = """
    import skitai
    import skitai.upstream.cluster

    if __name__ == "__main__":
        # So that a test need not wait for a minute until a member is tried again.
        skitai.upstream.cluster.DEAD_SECONDS = 0.5
        with skitai.preference() as pref:
            pref.securekey = "0123456789abcdef0123456789abcdef"
            skitai.alias("@pg", skitai.DB_PGSQL, "{pg}", max_conns=4)
            skitai.alias("@two", skitai.DB_PGSQL, "{pg}", max_conns=2)
            skitai.alias("@lite", skitai.DB_SQLITE3, "./sqlite3.db")
            skitai.alias("@up", skitai.PROTO_HTTP, "127.0.0.1:{up}", max_conns=4)
            skitai.alias("@three", skitai.PROTO_HTTP, [
                "127.0.0.1:{up}", "127.0.0.1:{other}", "127.0.0.1:{third}",
            ])
            skitai.mount("/", "service.py", pref)
        skitai.config_executors(4)
        skitai.run(workers={workers}, threads=4, access_log=False, drain_timeout={drain})
"""

SERVICE = """
    import asyncio
    import os
    import sys
    import threading
    import time

    import atila
    import jobs

    app = atila.Atila(__name__)
    events = []


    @app.route("/ok")
    async def ok(was):
        return "ok"


    @app.route("/who")
    def who(was, token):
        return f"{token} {os.getpid()}"


    @app.route("/events")
    async def seen(was):
        return was.API(events=events)


    @app.route("/state")
    async def state(was):
        # What may not grow, whatever clients do.
        kinds = [os.readlink(f"/proc/self/fd/{fd}").partition(":[")[0] for fd in fds()]
        return was.API(
            pid=os.getpid(),
            descriptors=sorted(kinds),
            threads=sorted(name(thread) for thread in threading.enumerate()),
            tasks=[text for task in asyncio.all_tasks() if (text := coroutine_of(task))],
        )


    def coroutine_of(task):
        # Of what goes on beside this request and the worker itself.
        own = task is asyncio.current_task() or "Worker.run" in repr(task.get_coro())
        return "" if own else repr(task.get_coro())


    def name(thread):
        return thread.name.rstrip("0123456789")


    def fds():
        for fd in os.listdir("/proc/self/fd"):
            if os.path.exists(f"/proc/self/fd/{fd}") or os.path.islink(f"/proc/self/fd/{fd}"):
                try:
                    os.readlink(f"/proc/self/fd/{fd}")
                except OSError:
                    continue
                yield fd


    # -- a row of a database, in all ways

    def row(was, alias="@pg", seconds=0.0, timeout=10.0):
        return was.db(alias, timeout=timeout).execute("select 1 as n, pg_sleep(%s)", seconds)


    @app.route("/row/plain")
    def plain(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        return was.API(n=row(was, alias, seconds, timeout).one().n)


    @app.route("/row/generator", coroutine=True)
    def generator(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        task = yield row(was, alias, seconds, timeout)
        return was.API(n=task.one().n)


    @app.route("/row/async")
    async def asynchronous(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        task = await row(was, alias, seconds, timeout)
        return was.API(n=task.one().n)


    @app.route("/row/then")
    def then(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        return row(was, alias, seconds, timeout).then(
            lambda was, task: was.API(n=task.one().n)
        )


    @app.route("/row/map")
    def mapped(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        other = row(was, alias, timeout=timeout)
        return was.Map(n__one__n=row(was, alias, seconds, timeout), other=other)


    @app.route("/row/thread_pass")
    def thread_pass(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        return was.ThreadPass(lambda was: was.API(n=row(was, alias, seconds, timeout).one().n))


    @app.route("/row/thread")
    def thread(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        task = was.Thread(lambda: row(was, alias, seconds, timeout).one().n)
        return was.API(n=task.fetch())


    @app.route("/row/transaction")
    def transaction(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        with was.transaction(alias, timeout=timeout) as tx:
            tx.execute("select pg_sleep(%s)", seconds / 2)
            n = tx.execute("select 1 as n, pg_sleep(%s)", seconds / 2).one().n
            tx.commit()
        return was.API(n=n)


    @app.route("/row/transaction_async")
    async def transaction_async(was, alias="@pg", seconds: float = 0.0, timeout: float = 10.0):
        async with was.transaction(alias, timeout=timeout) as tx:
            await tx.execute("select pg_sleep(%s)", seconds / 2)
            task = await tx.execute("select 1 as n, pg_sleep(%s)", seconds / 2)
            await tx.commit()
        return was.API(n=task.one().n)


    # -- streams of rows

    def series(was, count, alias="@pg"):
        return was.db(alias).stream("select generate_series(1, %s) as n", count, size=100)


    @app.route("/rows/plain")
    def rows(was, count: int = 1000):
        return (f"{row.n}\\n" for row in series(was, count))


    @app.route("/rows/async")
    async def rows_async(was, count: int = 1000):
        try:
            async for row in series(was, count):
                yield f"{row.n}\\n"
        finally:
            events.append("rows_async closed")


    @app.route("/rows/generator", coroutine=True)
    def rows_generator(was, count: int = 1000):
        try:
            stream = series(was, count)
            while batch := (yield stream.fetchmany()).fetch():
                yield "".join(f"{row.n}\\n" for row in batch)
        finally:
            events.append("rows_generator closed")


    @app.route("/rows/queue")
    def rows_queue(was, count: int = 1000):
        def produce(queue):
            for row in series(was, count):
                queue.put(f"{row.n}\\n")

        return was.Queue(produce)


    @app.route("/rows/sleeping", coroutine=True)
    def rows_sleeping(was, seconds: float = 60.0):
        try:
            yield "begun"
            yield row(was, seconds=seconds, timeout=90.0)
            yield "ended"
        finally:
            events.append("rows_sleeping closed")


    @app.route("/many", coroutine=True)
    def many(was, rounds: int = 20):
        total = 0
        for _ in range(rounds):
            group = yield was.Tasks(
                [row(was) for _ in range(20)], [was.get("@up/ok") for _ in range(10)],
                [was.db("@lite").execute("select 1") for _ in range(10)],
                [was.Thread(len, "x") for _ in range(10)],
            )
            total += len(group.fetch())
        return was.API(total=total)


    # -- executors

    @app.route("/command", coroutine=True)
    def command(was, text="sleep 60"):
        task = yield was.Subprocess(text)
        return task.fetch()


    @app.route("/command/plain")
    def command_plain(was, text="sleep 60"):
        return was.Subprocess(text).fetch()


    @app.route("/process", coroutine=True)
    def process(was, seconds: float = 60.0):
        task = yield was.Process(jobs.wait, seconds)
        return was.API(pid=task.fetch())


    @app.route("/process/map")
    def process_map(was, seconds: float = 60.0):
        return was.Map(pid=was.Process(jobs.wait, seconds))


    @app.route("/left_behind")
    def left_behind(was, seconds: float = 60.0):
        # Nobody waits for any of these.
        was.Process(jobs.wait, seconds)
        was.Subprocess(f"sleep {seconds}")
        was.Thread(time.sleep, seconds)
        row(was, seconds=seconds, timeout=90.0)
        return "left"


    # -- services

    @app.route("/get/<path>")
    def get(was, path, timeout: float = 1.0, alias="@up"):
        return was.API(data=was.get(f"{alias}/{path}", timeout=timeout).fetch())


    @app.route("/get/async/<path>")
    async def get_async(was, path, timeout: float = 1.0):
        return was.API(data=(await was.get(f"@up/{path}", timeout=timeout)).fetch())


    @app.route("/post/<path>")
    def post(was, path, timeout: float = 1.0, alias="@up", size: int = 10):
        with was.stub(alias, timeout=timeout) as stub:
            return was.API(data=stub.post("/" + path, {"x": "y" * size}).fetch())


    @app.route("/proxy/<path>", methods=["GET", "POST"])
    def proxy(was, path, timeout: float = 1.0, alias="@up"):
        return was.ProxyPass(alias, path, timeout=timeout)


    @app.route("/proxy/streamed/<path>", methods=["POST"], input_stream=True)
    def proxy_streamed(was, path):
        return was.ProxyPass("@up", path, timeout=60)


    @app.route("/count", methods=["POST"], input_stream=True)
    async def count(was):
        total = 0
        async for block in was.Input(65536):
            total += len(block)
        return was.API(total=total)


    @app.route("/count/thread", methods=["POST"], input_stream=True)
    def count_thread(was):
        total = 0
        while block := was.Input(65536).fetch():
            total += len(block)
        return was.API(total=total)


    @app.umounted
    def umounted(was):
        with open("umounted", "a") as file:
            file.write(f"{os.getpid()}\\n")
"""

JOBS = """
    import os
    import time


    def wait(seconds):
        time.sleep(seconds)
        return os.getpid()
"""


def files(
    pg: str, up: int, other: int = 1, third: int = 1, workers: int = 1, drain: float = 30.0
) -> dict[str, str]:
    """The project, with the addresses of what it needs."""
    serve = SERVE.format(pg=pg, up=up, other=other, third=third, workers=workers, drain=drain)
    return {"serve.py": serve, "service.py": SERVICE, "jobs.py": JOBS}
