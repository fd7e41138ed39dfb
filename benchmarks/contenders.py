"""Who is measured: the command line of each contender and the kinds of work it does.

Read by the command line for its choices and by the suite for what to start. Every contender runs
one worker on one core with its access log off, unless its name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.rows import (
    ASYNC,
    FIGURES,
    FORM,
    HTTP2,
    JSON,
    PAGE,
    PLAINTEXT,
    PROXY,
    QUERIES,
    ROW,
    ROWS,
    SESSION,
    SOCKET,
    STATIC,
    SYNC,
    TEMPLATE,
    TLS,
    Figure,
    Row,
)

LIMIT, OURS = "bare", "ours"
OURS_DATABASE, OURS_PROXY, NGINX = "ours-database", "ours-proxy", "nginx"
OURS_TLS, OURS_STATIC, NGINX_STATIC = "ours-tls", "ours-static", "nginx-static"
# Works that need no more than a server, those of a framework without templates and sessions, all.
SIMPLE = (PLAINTEXT, JSON)
CHECKED = (*SIMPLE, FORM)
EVERY = (*CHECKED, SESSION, TEMPLATE)
DATABASE = (ROW, QUERIES, PAGE)
SOCKETS = (f"{SOCKET}-small", f"{SOCKET}-large")
SECURE = (TLS, f"{TLS}-handshake")
FILES = (f"{STATIC}-1k", f"{STATIC}-1m")


@dataclass(frozen=True, eq=False)
class Contender:
    """One server and application under measure.

    `command` follows the interpreter; `{port}` and `{scratch}` stand for the port and for a
    directory that is removed in the end. It does its `works` in each of
    its `styles`, but for the rows it is `unable` to do. `needs` are the distributions whose
    versions are reported and whose absence explains a failure.
    """

    name: str
    title: str
    command: tuple[str, ...]
    styles: tuple[str, ...]
    needs: tuple[str, ...]
    works: tuple[str, ...] = SIMPLE
    unable: tuple[str, ...] = ()
    remark: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        """Return the rows this contender can do."""
        return tuple(
            row
            for row in ROWS
            if row.style in self.styles and row.work in self.works and row.name not in self.unable
        )


def ours_of(row: Row) -> str:
    """Return the name of the contender that others are compared with in a row."""
    if row.work in DATABASE:
        return OURS_DATABASE
    if row.work in SECURE:
        return OURS_TLS
    if row.work in FILES:
        return OURS_STATIC
    return OURS_PROXY if row.work == PROXY else OURS


def limit_of(row: Row) -> str:
    """Return the name of the contender that shows what could be reached at most in a row."""
    if row.work in FILES:
        return NGINX_STATIC
    return NGINX if row.work == PROXY else LIMIT


def _granian(interface: str, module: str, *options: str) -> tuple[str, ...]:
    fixed = "-m granian --host 127.0.0.1 --port {port} --workers 1 --loop uvloop --http 1 --no-ws"
    quiet = ("--no-access-log", "--log-level", "warning")
    target = f"benchmarks.apps.{module}:app"
    return (*fixed.split(), *quiet, "--interface", interface, *options, target)


def _uvicorn(module: str) -> tuple[str, ...]:
    fixed = "-m uvicorn --host 127.0.0.1 --port {port} --workers 1 --loop uvloop --http httptools"
    quiet = ("--no-access-log", "--log-level", "warning")
    return (*fixed.split(), *quiet, f"benchmarks.apps.{module}:app")


def _gunicorn(module: str) -> tuple[str, ...]:
    fixed = "-m gunicorn --bind 127.0.0.1:{port} --workers 1 --log-level warning"
    threads = "--worker-class gthread --threads 8 --keep-alive 30"
    return (*fixed.split(), *threads.split(), f"benchmarks.apps.{module}:app")


BOTH = (SYNC, ASYNC)
OURS_OPTIONS = ("--port", "{port}", "--workers", "1")
OURS_COMMAND = ("benchmarks/apps/ours.py", *OURS_OPTIONS)
HOSTED_COMMAND = ("-m", "benchmarks.apps.hosted", *OURS_OPTIONS)
# Functions that wait for a database; of 1 to 32 threads, 8 gave Flask its best figures.
DATABASE_THREADS = "8"
OURS_DATABASE_COMMAND = (
    "-m",
    "benchmarks.apps.database_ours",
    *OURS_OPTIONS,
    "--threads",
    DATABASE_THREADS,
)
# Granian's default for WSGI is several threads; one is its best figure on one core.
ONE_THREAD = ("--blocking-threads", "1")
GTHREAD = "gthread, 8 threads; the sync worker reconnects for each request and is no faster"
FALCON = ("falcon", "pydantic")
FLASK = ("flask", "pydantic", "jinja2", "itsdangerous")
DJANGO = ("django", "jinja2")
BLACKSHEEP = ("blacksheep", "pydantic", "jinja2", "itsdangerous")
STARLETTE = ("starlette", "pydantic", "python-multipart", "jinja2", "itsdangerous")
FASTAPI = ("fastapi", *STARLETTE)
FASTAPI_DATABASE = ("fastapi", "starlette", "pydantic", "jinja2", "asyncpg", "psycopg2-binary")
OURS_DATABASE_NEEDS = ("skitai", "psycopg2-binary", "jinja2")
DATABASE_WSGI = ("--blocking-threads", DATABASE_THREADS)
PLAIN_FASTAPI = "plain functions use psycopg2's pool"

PEM = {"CERTIFICATE": "{scratch}/certificate.pem", "KEY": "{scratch}/key.pem"}
PEM_OPTIONS = ("--ssl-certificate", PEM["CERTIFICATE"], "--ssl-keyfile", PEM["KEY"])
UVICORN_PEM = ("--ssl-certfile", PEM["CERTIFICATE"], "--ssl-keyfile", PEM["KEY"])
HYPERCORN = "-m hypercorn --bind 127.0.0.1:{port} --workers 1 --worker-class uvloop"
RAW_SOCKETS = "benchmarks.apps.raw_asgi:app"
# Servers as they are started for other protocols than HTTP/1 in clear text.
PROTOCOLS = (
    Contender(
        OURS_TLS,
        "skitai + atila",
        OURS_COMMAND,
        (ASYNC,),
        ("skitai",),
        SECURE,
        environment=PEM,
    ),
    Contender(
        "granian-asgi-tls",
        "Granian, raw ASGI",
        _granian("asgi", "raw_asgi", *PEM_OPTIONS),
        (ASYNC,),
        ("granian",),
        SECURE,
    ),
    Contender(
        "uvicorn-asgi-tls",
        "uvicorn, raw ASGI",
        (*_uvicorn("raw_asgi"), *UVICORN_PEM),
        (ASYNC,),
        ("uvicorn",),
        SECURE,
    ),
    Contender(
        OURS_STATIC,
        "skitai",
        OURS_COMMAND,
        (ASYNC,),
        ("skitai",),
        FILES,
        environment={"FILES": "{scratch}/files"},
    ),
    Contender(
        NGINX_STATIC,
        "nginx",
        ("-m", "benchmarks.apps.nginx", "--port", "{port}", "--folder", "{scratch}"),
        (ASYNC,),
        (),
        FILES,
        remark="one worker process",
        environment={"UPSTREAM_PORT": "1"},
    ),
    Contender(
        "granian-asgi-http2",
        "Granian, raw ASGI",
        _granian("asgi", "raw_asgi", "--http", "auto"),
        (ASYNC,),
        ("granian",),
        (HTTP2,),
    ),
    Contender(
        "hypercorn-asgi",
        "hypercorn, raw ASGI",
        (*HYPERCORN.split(), RAW_SOCKETS),
        (ASYNC,),
        ("hypercorn",),
        (HTTP2,),
    ),
    *(
        Contender(
            f"uvicorn-{library}",
            f"uvicorn, {library}",
            (*_uvicorn("raw_asgi")[:-1], "--ws", library, RAW_SOCKETS),
            (ASYNC,),
            ("uvicorn", library),
            SOCKETS,
        )
        for library in ("websockets", "wsproto")
    ),
    Contender(
        "granian-asgi-sockets",
        "Granian, raw ASGI",
        tuple(word for word in _granian("asgi", "raw_asgi") if word != "--no-ws"),
        (ASYNC,),
        ("granian",),
        SOCKETS,
    ),
    Contender(
        "sanic-sockets",
        "Sanic",
        ("-m", "benchmarks.apps.with_sanic", "--port", "{port}"),
        (ASYNC,),
        ("sanic", "websockets"),
        SOCKETS,
    ),
)
CONTENDERS = (
    Contender(
        LIMIT,
        "bare uvloop + httptools",
        ("-m", "benchmarks.apps.bare", "--port", "{port}"),
        BOTH,
        ("uvloop", "httptools"),
        remark="the limit: answers written by hand in the protocol, no functions",
    ),
    Contender(
        OURS,
        "skitai + atila",
        OURS_COMMAND,
        BOTH,
        ("skitai", "jinja2"),
        (*EVERY, HTTP2, *SOCKETS),
    ),
    Contender(
        "ours-log",
        "skitai + atila, access log on",
        OURS_COMMAND,
        BOTH,
        ("skitai",),
        remark="access log written to a file",
        environment={"ACCESS_LOG": "on"},
    ),
    Contender(
        "ours-flask",
        "skitai + Flask",
        HOSTED_COMMAND,
        (SYNC,),
        ("skitai", *FLASK),
        EVERY,
        environment={"HOSTED": "with_flask"},
    ),
    Contender(
        "ours-django",
        "skitai + Django",
        HOSTED_COMMAND,
        (SYNC,),
        ("skitai", *DJANGO),
        EVERY,
        environment={"HOSTED": "with_django"},
    ),
    Contender(
        "ours-fastapi",
        "skitai + FastAPI",
        HOSTED_COMMAND,
        BOTH,
        ("skitai", *FASTAPI),
        EVERY,
        environment={"HOSTED": "with_fastapi"},
    ),
    Contender(
        "ours-wsgi",
        "skitai, raw WSGI",
        HOSTED_COMMAND,
        (SYNC,),
        ("skitai",),
        environment={"HOSTED": "raw_wsgi"},
    ),
    Contender(
        "ours-asgi",
        "skitai, raw ASGI",
        HOSTED_COMMAND,
        (ASYNC,),
        ("skitai",),
        environment={"HOSTED": "raw_asgi"},
    ),
    Contender(
        "granian-rsgi", "Granian, raw RSGI", _granian("rsgi", "raw_rsgi"), (ASYNC,), ("granian",)
    ),
    Contender(
        "granian-asgi", "Granian, raw ASGI", _granian("asgi", "raw_asgi"), (ASYNC,), ("granian",)
    ),
    Contender(
        "granian-wsgi",
        "Granian, raw WSGI",
        _granian("wsgi", "raw_wsgi", *ONE_THREAD),
        (SYNC,),
        ("granian",),
    ),
    Contender(
        "granian-falcon",
        "Granian + Falcon (WSGI)",
        _granian("wsgi", "with_falcon", *ONE_THREAD),
        (SYNC,),
        ("granian", *FALCON),
        CHECKED,
    ),
    Contender(
        "granian-flask",
        "Granian + Flask (WSGI)",
        _granian("wsgi", "with_flask", *ONE_THREAD),
        (SYNC,),
        ("granian", *FLASK),
        EVERY,
    ),
    Contender(
        "granian-django",
        "Granian + Django (WSGI)",
        _granian("wsgi", "with_django", *ONE_THREAD),
        (SYNC,),
        ("granian", *DJANGO),
        EVERY,
    ),
    Contender(
        "granian-blacksheep",
        "Granian + BlackSheep (ASGI)",
        _granian("asgi", "with_blacksheep"),
        (ASYNC,),
        ("granian", *BLACKSHEEP),
        EVERY,
        # What its template engine adds to the name of a template.
        environment={"APP_JINJA_EXTENSION": ".html"},
    ),
    Contender(
        "granian-fastapi",
        "Granian + FastAPI (ASGI)",
        _granian("asgi", "with_fastapi"),
        BOTH,
        ("granian", *FASTAPI),
        EVERY,
    ),
    Contender("uvicorn-asgi", "uvicorn, raw ASGI", _uvicorn("raw_asgi"), (ASYNC,), ("uvicorn",)),
    Contender(
        "uvicorn-starlette",
        "uvicorn + Starlette",
        _uvicorn("with_starlette"),
        BOTH,
        ("uvicorn", *STARLETTE),
        EVERY,
        # Reading a form needs `await`.
        unable=(f"{FORM}-{SYNC}",),
    ),
    Contender(
        "uvicorn-fastapi",
        "uvicorn + FastAPI",
        _uvicorn("with_fastapi"),
        BOTH,
        ("uvicorn", *FASTAPI),
        EVERY,
    ),
    Contender(
        "bjoern-falcon",
        "bjoern + Falcon",
        ("-m", "benchmarks.apps.with_falcon", "--port", "{port}"),
        (SYNC,),
        ("bjoern", *FALCON),
        CHECKED,
        remark="the function runs on the event loop: one slow request stops all others",
    ),
    Contender(
        "gunicorn-flask",
        "gunicorn + Flask",
        _gunicorn("with_flask"),
        (SYNC,),
        ("gunicorn", *FLASK),
        EVERY,
        remark=GTHREAD,
    ),
    Contender(
        "gunicorn-django",
        "gunicorn + Django",
        _gunicorn("with_django"),
        (SYNC,),
        ("gunicorn", *DJANGO),
        EVERY,
        remark=GTHREAD,
    ),
    Contender(
        OURS_DATABASE,
        "skitai + atila",
        OURS_DATABASE_COMMAND,
        BOTH,
        OURS_DATABASE_NEEDS,
        DATABASE,
        remark="statements as text",
    ),
    Contender(
        "ours-builder",
        "skitai + atila, builder",
        OURS_DATABASE_COMMAND,
        BOTH,
        OURS_DATABASE_NEEDS,
        DATABASE,
        remark="each statement is built anew",
        environment={"STATEMENTS": "builder"},
    ),
    Contender(
        "ours-generator",
        "skitai + atila, generator",
        OURS_DATABASE_COMMAND,
        (ASYNC,),
        OURS_DATABASE_NEEDS,
        DATABASE,
        remark="`yield` in place of `await`",
        environment={"COROUTINES": "generator"},
    ),
    Contender(
        "granian-flask-database",
        "Granian + Flask, psycopg2 pool",
        _granian("wsgi", "database_with_flask", *DATABASE_WSGI),
        (SYNC,),
        ("granian", "flask", "psycopg2-binary", "jinja2"),
        DATABASE,
    ),
    Contender(
        "granian-django-database",
        "Granian + Django, psycopg2",
        _granian("wsgi", "database_with_django", *DATABASE_WSGI),
        (SYNC,),
        ("granian", "django", "psycopg2-binary", "jinja2"),
        DATABASE,
    ),
    Contender(
        "granian-fastapi-database",
        "Granian + FastAPI, asyncpg",
        _granian("asgi", "database_with_fastapi"),
        BOTH,
        ("granian", *FASTAPI_DATABASE),
        DATABASE,
        remark=PLAIN_FASTAPI,
    ),
    Contender(
        "granian-fastapi-no-reset",
        "Granian + FastAPI, asyncpg, no reset",
        _granian("asgi", "database_with_fastapi"),
        (ASYNC,),
        ("granian", *FASTAPI_DATABASE),
        DATABASE,
        remark="the pool does not reset connections, which it does by default",
        environment={"RESET": "off"},
    ),
    Contender(
        "uvicorn-fastapi-database",
        "uvicorn + FastAPI, asyncpg",
        _uvicorn("database_with_fastapi"),
        BOTH,
        ("uvicorn", *FASTAPI_DATABASE),
        DATABASE,
        remark=PLAIN_FASTAPI,
    ),
    Contender(
        NGINX,
        "nginx, proxy_pass",
        ("-m", "benchmarks.apps.nginx", "--port", "{port}", "--folder", "{scratch}"),
        BOTH,
        (),
        (PROXY,),
        remark="one worker process",
    ),
    Contender(
        OURS_PROXY,
        "skitai + atila, `was.ProxyPass`",
        ("benchmarks/apps/proxy_ours.py", *OURS_OPTIONS),
        BOTH,
        ("skitai",),
        (PROXY,),
        figures=FIGURES,
    ),
    *PROTOCOLS,
)
