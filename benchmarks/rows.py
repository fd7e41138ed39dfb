"""What is measured: for each row the requests of its check, with the right answers to them.

Standard library only: the command line reads it for its choices.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

from benchmarks.apps.picks import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SYNC, ASYNC = "sync", "async"
PLAINTEXT, JSON, FORM, SESSION, TEMPLATE = "plaintext", "json", "form", "session", "template"
ROW, QUERIES, PAGE, PROXY = "row", "queries", "page", "proxy"
STATIC, TLS, HTTP2, SOCKET = "static", "tls", "http2", "socket"
# Load generators; what a row is asked with.
WRK, H2LOAD, SOCKETS = "wrk", "h2load", "sockets"
# What is asked by the servers in their turn; `benchmarks.services` starts it.
DATABASE, UPSTREAM = "database", "upstream"
PREFIXES = {SYNC: "", ASYNC: "/async"}
STYLES = {SYNC: "plain function", ASYNC: "`async def`"}
# In place of an answer: refused as wrong input, in the contender's own words.
REFUSED = object()

# The form as a client sends it, and what each field is after its conversion.
FIELDS = {
    "name": "Grace Hopper",
    "email": "grace.hopper@example.com",
    "age": "46",
    "gender": "female",
    "birth_year": "1979",
    "newsletter": "true",
    "score": "7.25",
    "city": "New York",
    "zip": "10017",
    "comment": "Rätsel & <answers>: 50 % done",
}
CONVERTED = {**FIELDS, "age": 46, "birth_year": 1979, "newsletter": True, "score": 7.25}
# One for each rule of the form; None leaves the field out.
MISTAKES = (
    ("name", "Al"),
    ("name", "A" * 65),
    ("email", "grace.example.com"),
    ("age", "17"),
    ("age", "131"),
    ("age", "many"),
    ("gender", "robot"),
    ("birth_year", "1899"),
    ("birth_year", "2031"),
    ("score", "high"),
    ("city", None),
    ("zip", "1001"),
    ("zip", "10017-1"),
)

# Rows of a database are drawn from the first 10,000; a page shows 50 from the one that is drawn.
DRAWN, PAGE_ITEMS = 10_000, 50
KILOBYTE = b"0123456789abcdef" * 64


@dataclass(frozen=True)
class Request:
    """A request as the check and the load generator send it.

    `{id}` in a timed target stands for a number from 1 to DRAWN, another one for each request.
    `secure` asks over TLS.
    """

    target: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    secure: bool = False

    def with_cookies(self, cookies: Mapping[str, str]) -> Request:
        """Return this request with the cookies that a client holds; itself if there are none."""
        if not cookies:
            return self
        value = "; ".join(f"{name}={content}" for name, content in cookies.items())
        return replace(self, headers={**self.headers, "Cookie": value})


@dataclass(frozen=True)
class Case:
    """A request and the right answer: bytes as they are, anything else as JSON, or REFUSED."""

    request: Request
    answer: object


@dataclass(frozen=True, eq=False)
class Row:
    """One kind of work, in one style of function.

    The cases are asked in order by one client, which keeps the cookies it is given. Timed is
    `drawn`, or else the request of the first, with these cookies; the others show that answers are
    computed and not constants. `service` is what the servers have to ask for the answer.
    `generator` sends the load, and checks the answers of a row without cases; `size` is in bytes of
    a message.
    """

    work: str
    style: str
    title: str
    content_type: str
    cases: tuple[Case, ...]
    note: str = ""
    drawn: Request | None = None
    service: str = ""
    generator: str = WRK
    size: int = 0

    @property
    def name(self) -> str:
        """The row's name on the command line."""
        return f"{self.work}-{self.style}"

    @property
    def request(self) -> Request:
        """The request that is timed."""
        return self.drawn or self.cases[0].request

    @property
    def probe(self) -> Request:
        """A request that is answered, in whatever way, once the server is up."""
        return self.cases[0].request if self.cases else self.request


@dataclass(frozen=True)
class Figure:
    """Something else than a rate, asked for once in a run."""

    name: str
    title: str
    service: str = UPSTREAM


def _plaintext(style: str) -> Row:
    request = Request(f"{PREFIXES[style]}/plaintext")
    return Row(
        PLAINTEXT,
        style,
        f"Plaintext, {STYLES[style]}",
        "text/plain",
        (Case(request, b"Hello, World!"),),
    )


def _json(style: str) -> Row:
    items = f"{PREFIXES[style]}/items"
    return Row(
        JSON,
        style,
        f"JSON with an int path parameter and a query parameter, {STYLES[style]}",
        "application/json",
        (
            Case(Request(f"{items}/42?q=hello"), {"id": 42, "q": "hello"}),
            Case(Request(f"{items}/7?q=other"), {"id": 7, "q": "other"}),
        ),
    )


def _form(style: str) -> Row:
    def case(changes: Mapping[str, str | None], answer: object) -> Case:
        fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        target = f"{PREFIXES[style]}/form"
        return Case(Request(target, "POST", headers, urlencode(fields)), answer)

    return Row(
        FORM,
        style,
        f"POST of a form of ten fields, checked and converted, {STYLES[style]}",
        "application/json",
        (
            case({}, CONVERTED),
            case({"comment": None}, {**CONVERTED, "comment": None}),
            case({"newsletter": "false"}, {**CONVERTED, "newsletter": False}),
            *(case({name: value}, REFUSED) for name, value in MISTAKES),
        ),
        note="Lengths, bounds, a choice, an e-mail address and a regular expression are checked; "
        "the answer is the converted fields as JSON. skitai + atila checks with `@app.inspect`, "
        "Django with a form, all others with a pydantic model.",
    )


def _session(style: str) -> Row:
    request = Request(f"{PREFIXES[style]}/session")
    return Row(
        SESSION,
        style,
        f"A counter read from the session and written back, {STYLES[style]}",
        "application/json",
        tuple(Case(request, {"count": count}) for count in (1, 2, 3)),
        note="The session is in a cookie. skitai + atila encrypts and authenticates it, all others "
        "sign it and leave it readable.",
    )


def _template(style: str) -> Row:
    def case(title: str) -> Case:
        target = f"{PREFIXES[style]}/template?title={quote_plus(title)}"
        return Case(Request(target), _page(title))

    return Row(
        TEMPLATE,
        style,
        f"A Jinja2 template with a table of 50 rows, {STYLES[style]}",
        "text/html",
        (case("Items < 51 & more"), case("Others")),
        note="The same file for all, escaping on, reloading off.",
    )


def item(number: int) -> dict[str, object]:
    """Return a row of the table `item`, which `benchmarks.services` fills."""
    return {"id": number, "name": f"<item {number}> & co.", "price": number * 2.5}


def _page(title: str, first: int = 1) -> bytes:
    """Return what benchmarks/apps/templates/table.html makes of `title` and 50 items."""
    heading = html.escape(title)
    rows = "".join(
        f"<tr><td>{n}</td><td>&lt;item {n}&gt; &amp; co.</td><td>{n * 2.5}</td></tr>"
        for n in range(first, first + PAGE_ITEMS)
    )
    return (
        f"<!doctype html><html><head><title>{heading}</title></head>"
        f"<body><h1>{heading}</h1><table>{rows}</table></body></html>"
    ).encode()


def _from_database(
    work: str, style: str, title: str, content_type: str, answer: Callable[[int], object], note: str
) -> Row:
    """Return a row whose answer depends on a number in the path."""
    target = f"{PREFIXES[style]}/{work}/"
    return Row(
        work,
        style,
        f"{title}, {STYLES[style]}",
        content_type,
        tuple(Case(Request(f"{target}{n}"), answer(n)) for n in (1, 7, 5_000, DRAWN)),
        note,
        Request(f"{target}{{id}}"),
        DATABASE,
    )


def _row(style: str) -> Row:
    note = (
        "The load generator draws one of 10,000 rows. Every contender may have 32 connections; "
        "where functions run in threads of a server, there are 8."
    )
    title = "One row of PostgreSQL by its key as JSON"
    return _from_database(ROW, style, title, "application/json", item, note)


def _queries(style: str) -> Row:
    def answer(number: int) -> list[dict[str, object]]:
        return [item(one) for one in keys(number)]

    note = (
        "The keys of the rows follow from the drawn one. Flask and Django ask one after the other, "
        "as their users do; FastAPI with asyncpg gathers over the connections of its pool."
    )
    title = "20 queries to PostgreSQL for a row by its key, all rows as JSON"
    return _from_database(QUERIES, style, title, "application/json", answer, note)


def _database_page(style: str) -> Row:
    def answer(number: int) -> bytes:
        return _page(f"Items from {number}", number)

    note = "One query for 50 rows; the same Jinja2 file for all, escaping on, reloading off."
    title = "50 rows of PostgreSQL in a Jinja2 template"
    return _from_database(PAGE, style, title, "text/html", answer, note)


def _proxy(style: str) -> Row:
    request = Request(f"{PREFIXES[style]}/proxy")
    return Row(
        PROXY,
        style,
        f"1 KB of an upstream passed on, {STYLES[style]}",
        "text/plain",
        (Case(request, KILOBYTE),),
        "The limit is nginx with one worker process; connections to the upstream are kept alive.",
        service=UPSTREAM,
    )


MAKERS = (
    _plaintext,
    _json,
    _form,
    _session,
    _template,
    _row,
    _queries,
    _database_page,
    _proxy,
)


def _static(name: str, content: bytes, title: str) -> Row:
    return Row(
        f"{STATIC}-{name}",
        ASYNC,
        f"A static file of {title}",
        "text/plain",
        (Case(Request(f"/files/{name}.txt"), content),),
        "The limit is nginx with one worker process.",
    )


def _over_tls(work: str, title: str, headers: Mapping[str, str]) -> Row:
    items = f"{PREFIXES[ASYNC]}/items"
    return Row(
        work,
        ASYNC,
        title,
        "application/json",
        (
            Case(
                Request(f"{items}/42?q=hello", secure=True, headers=headers),
                {"id": 42, "q": "hello"},
            ),
        ),
        "TLS 1.3, a certificate with an elliptic key of 256 bits.",
    )


def _socket(name: str, size: int, title: str) -> Row:
    return Row(
        f"{SOCKET}-{name}",
        ASYNC,
        f"Messages of {title} sent back over 200 websockets",
        "",
        (),
        "Each socket sends the next message when it has the answer to the last one. Text, without "
        "compression.",
        Request(f"{PREFIXES[ASYNC]}/echo"),
        generator=SOCKETS,
        size=size,
    )


FILES = {"1k": KILOBYTE, "1m": KILOBYTE * 1024}
OF_ONE_STYLE = (
    _static("1k", FILES["1k"], "1 KiB"),
    _static("1m", FILES["1m"], "1 MiB"),
    _over_tls(TLS, "JSON over TLS, connections kept alive", {}),
    _over_tls(f"{TLS}-handshake", "JSON over TLS, a connection each", {"Connection": "close"}),
    replace(
        _json(ASYNC),
        work=HTTP2,
        title="JSON over HTTP/2 in clear text, `async def`",
        note="h2load with 4 connections of 64 streams.",
        generator=H2LOAD,
    ),
    _socket("small", 20, "20 bytes"),
    _socket("large", 64 * 1024, "64 KiB"),
)
ROWS = (*(make(style) for style in STYLES for make in MAKERS), *OF_ONE_STYLE)
FIGURES = (
    Figure("waiting", "500 coroutines at once that wait 1 s each"),
    Figure("waiting-upstream", "500 generators at once that wait 1 s each for an upstream"),
    Figure("stream-route", "1 GiB from a route"),
    Figure("stream-proxy", "1 GiB of an upstream through `was.ProxyPass`"),
)
