"""An app that answers with what it finds of its request wherever code runs, in every kind of route.

``test_task_isolation`` sends each request with a token and looks whether only that comes back.
"""

SERVE = """
    import skitai

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.securekey = "0123456789abcdef0123456789abcdef"
            skitai.alias("@pg", skitai.DB_PGSQL, "{pg}", max_conns=4)
            skitai.alias("@lite", skitai.DB_SQLITE3, "./sqlite3.db")
            skitai.alias("@up", skitai.PROTO_HTTP, "127.0.0.1:{up}", max_conns=8)
            skitai.mount("/", "service.py", pref)
            skitai.mount("/hooked", "hooked.py", pref)
        skitai.run(workers=2, threads=4, access_log=False)
"""

SERVICE = """
    import atila
    import routes

    app = atila.Atila(__name__)
    routes.declare(app)
"""

HOOKED = """
    import atila
    import routes

    app = atila.Atila(__name__)


    @app.before_request
    def before(was):
        was.request.g.hook = was.request.args["token"]


    @app.finish_request
    def finish(was, response):
        was.response.set_header("X-Hook", was.request.g.hook + was.request.args["token"])


    routes.declare(app)
"""

ROUTES = """
    import asyncio
    import json
    import random
    import time

    from skitai import was as current


    def begin(was, token):
        # What a request writes into all that belongs to it.
        was.request.g.token = token
        was.response.set_header("X-Token", token)
        was.cookie.set("token", token)
        was.session.set("client", was.session.get("client") or token)


    def found(was, *more):
        # Every place where a token of another request could show up.
        here = current.request  # of the thread or the task that runs here
        return [
            was.request.g.token,
            was.request.args["token"],
            was.request.get_header("x-sent"),
            was.response.get_header("x-token"),
            was.cookie.get("token"),
            here.g.token,
            here.args["token"],
            here.uri.rpartition("/")[2],
            *more,
        ]


    def answer(was, *places):
        tokens = [token for place in places for token in place]
        return was.API(tokens=tokens, client=was.session.get("client"))


    def pause():
        time.sleep(random.random() / 500)


    def elsewhere(was, token):
        # In a thread of a task.
        pause()
        return found(was, token)


    def same(token):
        return token


    def in_process(token):
        try:
            return f"{current.request.uri} in a process"
        except RuntimeError:
            return token


    def one(rows):
        (row,) = rows
        return row.token


    def declare(app):
        def query(was, token):
            return was.db("@pg").execute(
                "select %s as token, pg_sleep(random() / 500)", token
            )

        def lite(was, token):
            return was.db("@lite", filter=one).execute("select ? as token", token)

        def service(was, token):
            return was.get("@up/echo/" + token, headers={"X-Sent": token}, filter=str.split)

        def told(task, token):
            # Path and header as the service has got them.
            path, sent = task.fetch()
            return [path.rpartition("/")[2], sent]

        @app.route("/plain/<token>", methods=["GET", "POST"])
        def plain(was, token):
            begin(was, token)
            rows, http, thread = query(was, token), service(was, token), was.Thread(
                elsewhere, was, token
            )
            return answer(
                was, found(was), [one(rows.fetch()), lite(was, token).fetch()],
                told(http, token), thread.fetch(), found(was),
            )

        @app.route("/generator/<token>", methods=["GET", "POST"], coroutine=True)
        def generator(was, token):
            begin(was, token)
            first = found(was)
            rows = yield query(was, token)
            second = found(was, one(rows.fetch()))
            group = yield was.Tasks(
                http=service(was, token), thread=was.Thread(elsewhere, was, token),
                lite=lite(was, token),
            )
            results = group.fetch()
            return answer(
                was, first, second, found(was), results.http[1:], results.thread, [results.lite]
            )

        @app.route("/async/<token>", methods=["GET", "POST"])
        async def asynchronous(was, token):
            begin(was, token)
            await asyncio.sleep(0)
            rows, http = query(was, token), service(was, token)
            first = found(was, one((await rows).fetch()))
            return answer(was, first, told(await http, token), found(was))

        @app.route("/then/<token>", methods=["GET", "POST"])
        def then(was, token):
            def respond(was, task):
                pause()
                return answer(was, found(was, one(task.fetch()), task.meta["token"]))

            begin(was, token)
            task = query(was, token)
            task.meta["token"] = token
            return task.then(respond)

        @app.route("/then_async/<token>", methods=["GET", "POST"])
        def then_async(was, token):
            async def respond(was, task):
                thread = await was.Thread(elsewhere, was, token)
                return answer(was, told(task, token), found(was), thread.fetch())

            begin(was, token)
            return service(was, token).then(respond)

        @app.route("/map/<token>", methods=["GET", "POST"])
        def mapped(was, token):
            begin(was, token)
            return was.Map(
                tokens=was.Thread(elsewhere, was, token), constant=token,
                http__1=service(was, token), lite=lite(was, token),
                row__one__token=was.db("@pg").execute("select %s as token", token),
                client=was.session.get("client"),
            )

        @app.route("/page/<token>", methods=["GET", "POST"])
        def page(was, token):
            begin(was, token)
            return was.render_or_Map(
                "page.j2", tokens=was.Thread(elsewhere, was, token), row=lite(was, token),
                client=was.session.get("client"),
            )

        @app.route("/thread_pass/<token>", methods=["GET", "POST"])
        def thread_pass(was, token):
            def respond(was, token):
                pause()
                return answer(was, found(was, token), [one(query(was, token).fetch())], found(was))

            begin(was, token)
            return was.ThreadPass(respond, token)

        @app.route("/process/<token>", methods=["GET", "POST"], coroutine=True)
        def process(was, token):
            begin(was, token)
            task = yield was.Process(in_process, token)
            return answer(was, found(was, task.fetch()))

        @app.route("/transaction/<token>", methods=["GET", "POST"])
        def transaction(was, token):
            begin(was, token)
            with was.transaction("@pg") as tx:
                tx.execute("create temporary table kept (token text) on commit drop")
                tx.execute("insert into kept values (%s)", token)
                rows = tx.execute("select token from kept").fetchall()
            return answer(was, found(was), [token for row in rows for token in row])

        @app.route("/rows/<token>", methods=["GET", "POST"])
        async def rows(was, token):
            begin(was, token)
            tokens = []
            select = "select %s as token from generate_series(1, 20)"
            async for row in was.db("@pg").stream(select, token, size=3):
                tokens.append(row.token)
            return answer(was, tokens, found(was))

        def written(tokens):
            return "".join(f"{token} " for token in tokens)

        @app.route("/queue/<token>", methods=["GET", "POST"])
        def queue(was, token):
            def produce(queue):
                for _ in range(3):
                    pause()
                    queue.put(written(found(was)))

            begin(was, token)
            return was.Queue(produce)

        @app.route("/stream/<token>", methods=["GET", "POST"])
        def stream(was, token):
            def pieces():
                for _ in range(3):
                    yield written(found(was))
                    pause()
                    yield written([one(query(was, token).fetch())])

            begin(was, token)
            return pieces()

        @app.route("/stream_generator/<token>", methods=["GET", "POST"], coroutine=True)
        def stream_generator(was, token):
            begin(was, token)
            for _ in range(3):
                yield written(found(was))
                task = yield query(was, token)
                yield written([one(task.fetch())])

        @app.route("/stream_async/<token>", methods=["GET", "POST"])
        async def stream_async(was, token):
            begin(was, token)
            for _ in range(3):
                yield written(found(was))
                yield written(told(await service(was, token), token))

        @app.route("/input/<token>", methods=["POST"], input_stream=True)
        def read(was, token):
            begin(was, token)
            while data := (yield was.Input(len(token) + 1)):
                task = yield was.Thread(elsewhere, was, token)
                yield written(found(was)) + written(task.fetch())
                yield data

        @app.route("/proxy/<token>", methods=["GET", "POST"])
        def proxy(was, token):
            begin(was, token)
            return was.ProxyPass("@up", "/echo/" + token)

        @app.route("/deadlines")
        async def deadlines(was, count: int):
            # Tasks whose deadline may pass at any moment, also when the answer is on its way.
            outcomes = {"right": 0, "late": 0, "wrong": []}

            def start(token, timeout):
                select = "select %s as token, pg_sleep(random() / 50)"
                busy = (
                    "with recursive n (i) as (select 1 union all select i + 1 from n where i < ?) "
                    "select ? as token, max(i) from n"
                )
                return random.choice([
                    lambda: was.db("@pg", timeout=timeout, filter=one).execute(select, token),
                    lambda: was.db("@lite", timeout=timeout, filter=one).execute(
                        busy, random.randrange(20_000), token
                    ),
                    lambda: was.get("@up/echo/" + token, headers={"X-Sent": token}, timeout=timeout,
                                    filter=lambda text: text.split()[1], use_cache=False),
                    lambda: was.Thread(later, args=(token,), timeout=timeout),
                    lambda: was.Process(same, args=(token,), timeout=timeout),
                ])()

            async def try_on():
                while numbers:
                    token = f"t-{numbers.pop()}-0"
                    task = await start(token, random.random() / 20 + 0.001)
                    if task.error is not None:
                        outcomes["late"] += isinstance(task.error, TimeoutError)
                    elif task.fetch() == token:
                        outcomes["right"] += 1
                    else:
                        outcomes["wrong"].append([token, task.fetch()])

            numbers = list(range(count))
            await asyncio.gather(*[try_on() for _ in range(40)])
            return was.API(outcomes)

        def later(token):
            pause()
            return token

        @app.route("/failing/<token>", methods=["GET", "POST"], coroutine=True)
        def failing(was, token):
            begin(was, token)
            task = yield was.Thread(elsewhere, was, token)
            raise was.Error("409 Conflict", " ".join(task.fetch()))
"""

PAGE = """{"tokens": [{% for token in context.tokens %}"{{ token }}", {% endfor %}
"{{ context.row }}", "{{ was.request.args.token }}"], "client": "{{ context.client }}"}"""


def files(pg: str, up: int) -> dict[str, str]:
    """The project, with its database and its upstream."""
    return {
        "serve.py": SERVE.format(pg=pg, up=up),
        "service.py": SERVICE,
        "hooked.py": HOOKED,
        "routes.py": ROUTES,
        "templates/page.j2": PAGE,
    }
