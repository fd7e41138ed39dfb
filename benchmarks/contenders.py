"""Who is measured and at what: the rows of work and the command line of each contender.

Read by the command line for its choices and by the suite for what to start. Every contender runs
one worker on one core with its access log off, unless its name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SYNC, ASYNC = "sync", "async"
LIMIT, OURS = "bare", "ours"


@dataclass(frozen=True, eq=False)
class Row:
    """One kind of work: a request target and what the right answer to it is."""

    name: str
    style: str
    title: str
    target: str
    content_type: str
    # Further targets, asked before timing, show that the answer is computed and not a constant.
    answers: dict[str, object]


def _rows() -> tuple[Row, ...]:
    rows = []
    for style, prefix, how in ((SYNC, "", "plain function"), (ASYNC, "/async", "`async def`")):
        hello, item = f"{prefix}/plaintext", f"{prefix}/items"
        rows.append(
            Row(
                name=f"plaintext-{style}",
                style=style,
                title=f"Plaintext, {how}",
                target=hello,
                content_type="text/plain",
                answers={hello: b"Hello, World!"},
            )
        )
        rows.append(
            Row(
                name=f"json-{style}",
                style=style,
                title=f"JSON with an int path parameter and a query parameter, {how}",
                target=f"{item}/42?q=hello",
                content_type="application/json",
                answers={
                    f"{item}/42?q=hello": {"id": 42, "q": "hello"},
                    f"{item}/7?q=other": {"id": 7, "q": "other"},
                },
            )
        )
    return tuple(rows)


ROWS = _rows()


@dataclass(frozen=True, eq=False)
class Contender:
    """One server and application under measure.

    `command` follows the interpreter; `{port}` stands for the port. `needs` are the distributions
    whose versions are reported and whose absence explains a failure.
    """

    name: str
    title: str
    command: tuple[str, ...]
    styles: tuple[str, ...]
    needs: tuple[str, ...]
    remark: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows this contender can do: those of its styles."""
        return tuple(row for row in ROWS if row.style in self.styles)


def _granian(interface: str, module: str, *options: str) -> tuple[str, ...]:
    fixed = "-m granian --host 127.0.0.1 --port {port} --workers 1 --loop uvloop --http 1 --no-ws"
    quiet = ("--no-access-log", "--log-level", "warning")
    target = f"benchmarks.apps.{module}:app"
    return (*fixed.split(), *quiet, "--interface", interface, *options, target)


def _uvicorn(module: str) -> tuple[str, ...]:
    fixed = "-m uvicorn --host 127.0.0.1 --port {port} --workers 1 --loop uvloop --http httptools"
    quiet = ("--no-access-log", "--log-level", "warning")
    return (*fixed.split(), *quiet, f"benchmarks.apps.{module}:app")


BOTH = (SYNC, ASYNC)
OURS_COMMAND = ("benchmarks/apps/ours.py", "--port", "{port}", "--workers", "1")
# Granian's default for WSGI is several threads; one is its best figure on one core.
ONE_THREAD = ("--blocking-threads", "1")

CONTENDERS = (
    Contender(
        LIMIT,
        "bare uvloop + httptools",
        ("-m", "benchmarks.apps.bare", "--port", "{port}"),
        BOTH,
        ("uvloop", "httptools"),
        remark="the limit: answers written by hand in the protocol, no functions",
    ),
    Contender(OURS, "skitai + atila", OURS_COMMAND, BOTH, ("skitai",)),
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
        ("granian", "falcon"),
    ),
    Contender(
        "granian-flask",
        "Granian + Flask (WSGI)",
        _granian("wsgi", "with_flask", *ONE_THREAD),
        (SYNC,),
        ("granian", "flask"),
    ),
    Contender(
        "granian-blacksheep",
        "Granian + BlackSheep (ASGI)",
        _granian("asgi", "with_blacksheep"),
        (ASYNC,),
        ("granian", "blacksheep"),
    ),
    Contender(
        "granian-fastapi",
        "Granian + FastAPI (ASGI)",
        _granian("asgi", "with_fastapi"),
        BOTH,
        ("granian", "fastapi"),
    ),
    Contender("uvicorn-asgi", "uvicorn, raw ASGI", _uvicorn("raw_asgi"), (ASYNC,), ("uvicorn",)),
    Contender(
        "uvicorn-starlette",
        "uvicorn + Starlette",
        _uvicorn("with_starlette"),
        BOTH,
        ("uvicorn", "starlette"),
    ),
    Contender(
        "uvicorn-fastapi",
        "uvicorn + FastAPI",
        _uvicorn("with_fastapi"),
        BOTH,
        ("uvicorn", "fastapi"),
    ),
    Contender(
        "bjoern-falcon",
        "bjoern + Falcon",
        ("-m", "benchmarks.apps.with_falcon", "--port", "{port}"),
        (SYNC,),
        ("bjoern", "falcon"),
        remark="the function runs on the event loop: one slow request stops all others",
    ),
    Contender(
        "gunicorn-flask",
        "gunicorn + Flask",
        (
            *"-m gunicorn --bind 127.0.0.1:{port} --workers 1 --log-level warning".split(),
            *"--worker-class gthread --threads 8 --keep-alive 30".split(),
            "benchmarks.apps.with_flask:app",
        ),
        (SYNC,),
        ("gunicorn", "flask"),
        remark="gthread, 8 threads; the sync worker reconnects for each request and is as fast",
    ),
)
