"""A project whose service hosts apps of several frameworks, as their users write them."""

from __future__ import annotations

SERVE = """
    import os
    import skitai
    from atila import Atila

    native = Atila("native")

    @native.route("/native")
    def page(was):
        return "native"

    def bare(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")]

    async def bare_asgi(scope, receive, send):
        assert scope["type"] == "http"
        text = f"{scope['root_path']}|{scope['path']}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    if __name__ == "__main__":
        skitai.mount("/", "shop/main:create_app")
        skitai.mount("/", native)
        skitai.mount("/django", "project/mysite/wsgi:application")
        skitai.mount("/django-asgi", "project/mysite/asgi:application", name="asynchronous")
        skitai.mount("/api", "api:app")
        skitai.mount("/b\\u00e9", bare)
        skitai.mount("/bare-asgi", bare_asgi)
        skitai.mount("/", bare, host="www.example.com .example.org", name="hosts")
        skitai.run(address="127.0.0.1")
"""

FLASK = """
    import os
    from flask import Flask, request, redirect, url_for, send_file, stream_with_context, session

    def create_app(config=None):
        app = Flask(__name__)
        app.secret_key = "k"

        @app.get("/")
        def home():
            return "flask"

        @app.get("/pid")
        def pid():
            return str(os.getpid())

        @app.post("/upload")
        def upload():
            file = request.files["file"]
            data = file.read()
            return {"name": file.filename, "size": len(data), "field": request.form["field"]}

        @app.get("/stream")
        def stream():
            @stream_with_context
            def pieces():
                for number in range(5):
                    yield f"{number}{request.args['mark']}"
            return pieces()

        @app.get("/source")
        def source():
            return send_file(__file__, conditional=True)

        @app.get("/away")
        def away():
            return redirect(url_for("home"))

        @app.get("/visits")
        def visits():
            session["visits"] = session.get("visits", 0) + 1
            return str(session["visits"])

        @app.get("/crash")
        def crash():
            raise LookupError("in flask")

        return app
"""

FASTAPI = """
    import asyncio
    import os
    from contextlib import asynccontextmanager

    from fastapi import BackgroundTasks, FastAPI, Request, UploadFile, WebSocket
    from fastapi.responses import FileResponse, StreamingResponse

    @asynccontextmanager
    async def lifespan(app):
        print("api started", flush=True)
        yield {"pool": "open"}
        print("api stopped", flush=True)

    app = FastAPI(lifespan=lifespan)
    done = []

    @app.get("/items/{id}")
    async def item(id: int, q: str = ""):
        return {"id": id, "q": q}

    @app.get("/plain")
    def plain(request: Request):
        return {"pool": request.state.pool, "url": str(request.url_for("plain"))}

    @app.post("/upload")
    async def upload(file: UploadFile):
        return {"name": file.filename, "size": len(await file.read())}

    @app.get("/stream")
    async def stream():
        async def pieces():
            for number in range(5):
                yield str(number)
                await asyncio.sleep(0)
        return StreamingResponse(pieces())

    @app.get("/source")
    def source():
        return FileResponse(__file__)

    @app.get("/work")
    def work(tasks: BackgroundTasks):
        tasks.add_task(done.append, os.getpid())
        return os.getpid()

    @app.get("/done")
    def look():
        return done

    @app.get("/crash")
    async def crash():
        raise LookupError("in fastapi")

    @app.websocket("/socket")
    async def socket(socket: WebSocket):
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"<{text}>")
"""

SETTINGS = """
    import pathlib

    HERE = pathlib.Path(__file__).parent.parent
    SECRET_KEY = "k"
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "mysite_urls"
    MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}
    }
    USE_TZ = True
    # Without it Django keeps errors to itself in production.
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    }
"""

URLS = """
    from django.db import connection
    from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path, reverse

    def home(request):
        return HttpResponse(f"django at {reverse('home')}")

    def rows(request):
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM item ORDER BY id")
            return JsonResponse([name for name, in cursor.fetchall()], safe=False)

    def stream(request):
        def pieces():
            with connection.cursor() as cursor:
                cursor.execute("SELECT name FROM item ORDER BY id")
                for name, in cursor:
                    yield name
        return StreamingHttpResponse(pieces())

    def upload(request):
        return JsonResponse({"size": request.FILES["file"].size})

    def source(request):
        return FileResponse(open(__file__, "rb"))

    async def coroutine(request):
        return HttpResponse("a coroutine")

    def crash(request):
        raise LookupError("in django")

    urlpatterns = [
        path("", home, name="home"), path("rows", rows), path("stream", stream),
        path("upload", upload), path("source", source), path("coroutine", coroutine),
        path("crash", crash),
    ]
"""

APPLICATION = """
    from django.core.{0} import get_{0}_application

    application = get_{0}_application()
"""

FILES: dict[str, str | bytes] = {
    "serve.py": SERVE,
    "shop/__init__.py": "",
    "shop/main.py": FLASK,
    "api.py": FASTAPI,
    "project/manage.py": "",
    "project/mysite_urls.py": URLS,
    "project/mysite/__init__.py": "",
    "project/mysite/settings.py": SETTINGS,
    "project/mysite/wsgi.py": APPLICATION.format("wsgi"),
    "project/mysite/asgi.py": APPLICATION.format("asgi"),
}
