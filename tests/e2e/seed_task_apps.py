"""The seed's chapters "Using Task" and "Coroutine", its examples as routes of one service."""

UPSTREAM = """
    import json
    import time

    import atila

    app = atila.Atila(__name__)
    profiles = {100: {"id": 100, "name": "Hans"}}


    @app.route("/api/profiles/<int:id>", methods=["GET", "PUT", "DELETE"])
    def profile(was, id, limit: int = 0, name=None):
        if was.request.method == "PUT":
            return was.API(id=id, name=name, type=was.request.get_content_type())
        if id not in profiles:
            raise was.Error("404 Not Found", "no such profile")
        return was.API(profiles[id], limit=limit)


    @app.route("/rpc2/add")
    def add(was, a, b):
        return a + b


    @app.route("/blur/blar")
    def blar(was):
        return was.response("200 OK", json.dumps([1, 2]), [("Content-Type", "application/json")])


    @app.route("/blur/blar/foo")
    def foo(was):
        return was.API(profile="Roh")


    @app.route("/echo", methods=["OPTIONS"])
    @app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def echo(was, **args):
        body = was.request.payload
        was.response.set_status("202 Accepted")
        was.response.add_header("X-Twice", "1")
        was.response.add_header("X-Twice", "2")
        return was.API(
            method=was.request.method,
            query=was.request.URL,
            size=len(body or b""),
            forwarded=was.request.get_header("x-forwarded-for"),
            connection=was.request.get_header("te"),
            transaction=was.request.get_header("x-gtxn-id"),
            step=was.request.get_header("x-ltxn-id"),
        )


    @app.route("/redirect")
    def redirect(was):
        return was.redirect("/elsewhere")


    @app.route("/slow")
    def slow(was):
        time.sleep(5)
        return "slow"


    @app.route("/gigabyte")
    def gigabyte(was, size: int = 1 << 20):
        def pieces():
            for _ in range(size // 65536):
                yield b"x" * 65536

        return pieces()


    @app.route("/count", methods=["POST"], input_stream=True)
    async def count(was):
        total = 0
        async for block in was.Input(65536):
            total += len(block)
        return was.API(total=total)
"""

SERVE = """
    import sys

    import myapp
    import skitai

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.securekey = "0123456789abcdef0123456789abcdef"
            skitai.alias("@mypg", skitai.DB_PGSQL, ["{pg}"])
            skitai.alias("@mydb", skitai.DB_PGSQL, ["{pg}"])
            skitai.alias("@mylite", skitai.DB_SQLITE3, ["./sqlite3.db"])
            skitai.alias("@sqlite3", skitai.DB_SQLITE3, ["./sqlite3.db"])
            skitai.alias("@mymongo", skitai.DB_MONGODB, ["{mongo}/mycollection"])
            skitai.alias("@myredis", skitai.DB_REDIS, ["{redis}/0"])
            skitai.alias("@myapi", skitai.PROTO_HTTP, ["{api}"])
            skitai.alias("@several", skitai.PROTO_HTTP, ["{api} 20", "{api} 10"])
            skitai.alias("@myupstream", skitai.PROTO_HTTP, ["{api}"])
            skitai.mount("/", myapp, pref)
        skitai.run(workers=2, threads=4)
"""

APP = """
    import math
    import random
    import time

    import skitai
    from atila import Atila, Q


    def __config__(pref):
        skitai.register_g("tables.users", "table.photos")


    def __app__():
        return Atila(__name__)


    def my_func(a, b):
        return a + b


    def hide_password(rows):
        for row in rows:
            row.password = "****"
        return rows


    def respond(was, task):
        return was.API(result=task.fetch(), a=task.meta.get("a"))


    class Producer:
        def __init__(self):
            self.left = 3

        def get(self, n):
            self.left -= 1
            return [random.randrange(1000) for _ in range(n)] if self.left >= 0 else []


    def producing(producer):
        def produce(queue):
            while 1:
                items = producer.get(100)
                if not items:
                    queue.put(None)  # end of stream
                    break
                queue.put(str(items))

        return produce


    def __setup__(app, mntopt):
        lite = app.g

        @app.on("setlu:tables.users")
        def table_updated(was, *args, **kargs):
            app.g.set("updated", list(args))


    def __mount__(app, mntopt):
        def hidden(was):
            return was.db("@mypg", filter=hide_password).execute("select * from users order by id")

        # -- Task

        @app.route("/task/http")
        def http(was):
            with was.stub("@myapi/api") as stub:
                task1 = stub.get("/profiles/{}?limit={}", 100, 10)
                payload = dict(name="Hans Roh")
                task2 = stub.put("/profiles/{}", 100, payload)
            with was.xmlrpc("@myapi/rpc2") as stub:
                task3 = stub.add(156, 952)
            with was.jsonrpc("@myapi/rpc2") as stub:
                task4 = stub.add(1, 2)
            return was.API(
                get=task1.fetch(), put=task2.fetch(), rpc=task3.fetch(), json=task4.fetch()
            )

        @app.route("/task/pg")
        def postgresql(was):
            with was.db("@mypg") as db:
                task = (
                    db.select("my_table")
                    .filter(name="Hans")
                    .with_("a", db.insert("my_table").set(name="Hans"))
                ).execute()
            before = task.fetch()
            return was.API(before=before, after=db.select("my_table").execute().fetch())

        @app.route("/task/sqlite")
        def sqlite(was):
            with was.db("@mylite") as db:
                task = db.select("my_table").filter(name="Hans").execute()
            return was.API(rows=task.fetch())

        @app.route("/task/mongo")
        def mongo(was):
            with was.db("@mymongo") as db:
                db.insert_one({"city": "New York", "name": "Hans"}).commit()
                task = db.find({"city": "New York"})
            return was.API(found=task.fetch())

        @app.route("/task/redis")
        def redis(was):
            with was.db("@myredis") as db:
                task1 = db.set("foo", "bar")
                task1.commit()
                task2 = db.get("foo")
            return was.API(foo=task2.fetch(), number=db.incr("counter").fetch())

        @app.route("/task/executors")
        def executors(was):
            thread = was.Thread(my_func, 1, 2)
            process = was.Process(my_func, 3, 4)
            subprocess = was.Subprocess("echo hello", timeout=3)
            return was.API(t=thread.fetch(), p=process.fetch(), s=subprocess.fetch())

        @app.route("/task/mask")
        def mask(was):
            task = was.Mask(1)
            result = task.fetch()
            tasks = was.Mask([1, 2])
            result1, result2 = tasks.fetch()
            return was.API(results=[result, result1, result2])

        @app.route("/tasks/list")
        def tasks_list(was):
            with was.db("@mymongo") as db:
                task1 = db.find({"city": "nowhere"})
            with was.stub("@myapi/api") as stub:
                task2 = stub.get("/profiles/{}?limit={}", 100, 10)
            task3 = was.Process(my_func, 1, 2)
            tasks = was.Tasks([task1, task2, task3])
            a, b, c = tasks.fetch()
            return was.API(a=a, b=b, c=c)

        @app.route("/tasks/named")
        def tasks_named(was):
            with was.db("@mydb") as db:
                tasks = was.Tasks(
                    db.insert("city").set(name="Hans").execute(),
                    files=was.Subprocess("echo 'a b'", filter=lambda x: x.replace(" ", "_")),
                    result=hidden(was),
                )
                results = tasks.fetch()
                return was.API(files=results["files"], result=results["result"])

        # -- Generator Based Coroutine

        @app.route("/coroutine/2", coroutine=True)
        def coroutine2(was, url):
            with was.stub(url) as stub:
                task = yield stub.get("/api/profiles/100")
            return was.API(task.fetch())

        @app.route("/coroutine", coroutine=True)
        def coroutine(was):
            def wait_hello(timeout=1.0):
                time.sleep(timeout)
                return "mask"

            tasks = yield was.Tasks(
                a=was.Mask("Example Domain"), b=was.Thread(wait_hello, args=(0.01,))
            )
            task3 = yield was.Thread(wait_hello, args=(0.01,))
            task4 = yield was.Subprocess("echo ls")
            return was.API(d=task4.fetch(), c=task3.fetch(), **tasks.fetch())

        # -- Map / Load-Balancing

        @app.route("/map/merge")
        def map_merge(was):
            with was.stub.map("@several") as stub:
                task = stub.get("@several/api/profiles/{}?limit={}", 100, 10)
                all_results = []
                for resp in task.dispatch():
                    if resp.status != skitai.STA_NORMAL:
                        continue
                    all_results.append(resp.data)
            codes = task.members.status_code
            return was.API(results=all_results, fetched=task.fetch(), codes=codes)

        @app.route("/map/lb")
        def map_lb(was):
            with was.stub.lb("@several") as stub:
                task = stub.get("@several/api/profiles/{}?limit={}", 100, 10)
                return was.API(task.fetch())

        # -- Cache Control

        @app.route("/update")
        def update(was):
            was.db("@mydb", rm_cache="tables.users").execute(
                "update users set name = name || '!' where id = 1"
            ).commit()
            return "updated"

        @app.route("/query")
        def query(was):
            return was.API(
                rows=was.db("@mydb", use_cache="tables.users")
                .execute("select name, random() as chance from users where id = 1")
                .fetch()
            )

        @app.route("/query2")
        def query2(was):
            return was.API(
                rows=was.db("@mydb", use_cache=["tables.users", "table.photos"])
                .execute("select random() as chance")
                .fetch()
            )

        @app.route("/setlu")
        def setlu(was):
            was.setlu("tables.users", "something")
            return was.API(heard=app.g.get("updated"))

        def clear_memory(was, name):
            was.response.add_header("X-Cleared", name)

        @app.route("/checked")
        @app.if_cache_updated(["tables.users", "table.photos"], clear_memory, interval=0)
        def checked(was, q=""):
            return "ok"

        # -- Making Response

        @app.route("/proxy/<path:path>", methods=["OPTIONS"])
        @app.route("/proxy/<path:path>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
        def proxy(was, path=None, **query):
            return was.ProxyPass("@myupstream", path)

        @app.route("/proxy_stream/<path:path>", methods=["POST"], input_stream=True)
        def proxy_stream(was, path=None):
            return was.ProxyPass("@myupstream", path)

        @app.route("/thread_future", methods=["GET"])
        def thread_future_respond(was):
            def respond(was, a):
                was.db("@mydb").execute("select 1").commit()
                return was.API(result=a)

            return was.ThreadPass(respond, args=(4.0,))

        @app.route("/threaproducer")
        def threaproducer(was):
            return was.Queue(producing(Producer()))

        @app.route("/then/db")
        def then_db(was):
            task = was.db("@sqlite3").execute("select * from my_table")
            return task.then(respond)

        @app.route("/then/process")
        def then_process(was):
            return was.Process(math.sqrt, args=(4.0,), meta={"a": 1}).then(respond)

        @app.route("/then/thread")
        def then_thread(was):
            def sqrt(a):
                return math.sqrt(a)

            return was.Thread(sqrt, args=(4.0,)).then(respond)

        @app.route("/datalist/api")
        def datalist_api(was):
            task = was.db("@sqlite3").execute("select * from my_table")
            return was.API(result=task.fetch())

        @app.route("/datalist/map")
        def datalist_map(was):
            task = was.db("@sqlite3").execute("select * from my_table")
            return was.Map(result=task)

        @app.route("/bench/sp", methods=["GET"])
        def bench_sp(was):
            with was.db("@mydb") as db:
                root = (
                    db.select("foo")
                    .order_by("-created_at")
                    .limit(10)
                    .filter(Q(from_wallet_id=8) | Q(detail="ReturnTx"))
                )
                return was.Map(
                    was.Thread(time.sleep, args=(0.01,)),
                    files=was.Subprocess("echo 1"),
                    result=root.clone().execute(),
                    record_count__one=root.clone().aggregate("count (id) as cnt").execute(),
                )

        @app.route("/map/filter")
        def map_filter(was):
            return was.Map(
                files=was.Subprocess("echo 'a b'", filter=lambda x: x.replace(" ", "_")),
                result=hidden(was),
            )

        @app.route("/page")
        def page(was):
            return was.render_or_Map("index.j2", result=hidden(was))

        @app.route("/mapped")
        def mapped(was):
            return was.Mapped(was.Tasks(result=hidden(was), more=was.Mask(1)))

        @app.route("/page/mapped")
        def page_mapped(was):
            return was.render_or_Mapped("index.j2", was.Tasks(result=hidden(was)))

        @app.route("/download_csv", coroutine=True)
        def download_csv(was, fetch_count: int = 10):
            yield "ID, NAME\\n"
            current_id = 0
            while 1:
                task = yield (
                    was.db("@mydb")
                    .select("tble")
                    .get("id, name")
                    .filter(id__gt=current_id)
                    .order_by("id")
                    .limit(fetch_count)
                ).execute()
                rows = task.fetch()
                if not rows:
                    break
                current_id += fetch_count
                yield "\\n".join(['{}, "{}"'.format(row.id, row.name) for row in rows]) + "\\n"

        @app.route("/template")
        def template(was, api):
            return was.render(
                "template.html",
                task1=was.get(api + "/blur/blar"),
                task2=was.get(api + "/blur/blar/foo"),
            )

        @app.route("/one/<kind>")
        def one(was, kind):
            db = was.db("@mypg")
            texts = {
                "none": "select * from users where id = -1",
                "many": "select * from users",
                "missing": "select * from no_such_table",
                "conflict": "insert into users values (1, 'x', 'y')",
            }
            return was.API(db.execute(texts[kind]).one())

        @app.route("/wait")
        def wait(was):
            tasks = was.Tasks(was.db("@mypg").execute("insert into users values (1, 'x', 'y')"))
            tasks.wait()
            return "waited"

        @app.route("/commit")
        def commit(was):
            was.Tasks(was.db("@mypg").execute("insert into users values (1, 'x', 'y')")).commit()

        @app.route("/transaction")
        def transaction(was, alias="@mypg", end="commit"):
            with was.transaction(alias) as tx:
                tx.insert("city").set(name="Seoul").execute()
                rows = tx.select("city").filter(name="Seoul").execute().fetchall(as_dict=True)
                if end == "commit":
                    tx.commit()
                elif end == "rollback":
                    tx.rollback()
            left = was.db(alias).select("city").filter(name="Seoul").execute().fetch()
            was.db(alias).delete("city").filter(name="Seoul").execute().commit()
            return was.API(inside=len(rows), after=len(left))

        @app.route("/transaction_async")
        async def transaction_async(was, alias="@mypg"):
            async with was.transaction(alias) as tx:
                await tx.insert("city").set(name="Rome").execute()
                await tx.commit()
                await tx.insert("city").set(name="Rome").execute()
            task = await was.db(alias).select("city").filter(name="Rome").execute()
            await was.db(alias).delete("city").filter(name="Rome").execute()
            return was.API(after=len(task.fetch()))

        @app.route("/rows")
        def rows(was, alias="@mypg"):
            stream = was.db(alias).stream(was.db(alias).select("tble").order_by("id"), size=7)
            return (f"{row.id}\\n" for row in stream)

        @app.route("/rows_async")
        async def rows_async(was, alias="@mypg"):
            async for row in was.db(alias).stream("select id from tble order by id", size=7):
                yield f"{row.id}\\n"

        @app.route("/rows_coroutine", coroutine=True)
        def rows_coroutine(was, alias="@mypg"):
            stream = was.db(alias).stream("select id from tble order by id", size=7)
            while batch := (yield stream.fetchmany()).fetch():
                yield "".join(f"{row.id}\\n" for row in batch)

        @app.route("/api_status/<path:path>")
        def api_status(was, path):
            task = was.get("@myapi/" + path, timeout=0.3)
            task.dispatch()
            return was.API(status=task.status, code=task.status_code, text=task.text[:10])

        @app.route("/api_fetch/<path:path>")
        def api_fetch(was, path):
            return was.API(data=was.get("@myapi/" + path, timeout=0.3).fetch())
"""
