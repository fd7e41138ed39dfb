"""What is measured: for each row the requests of its check, with the right answers to them.

Standard library only: the command line reads it for its choices.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

SYNC, ASYNC = "sync", "async"
PLAINTEXT, JSON, FORM, SESSION, TEMPLATE = "plaintext", "json", "form", "session", "template"
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


@dataclass(frozen=True)
class Request:
    """A request as the check and the load generator send it."""

    target: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

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

    The cases are asked in order by one client, which keeps the cookies it is given. The request of
    the first is the one that is timed, with these cookies; the others show that answers are
    computed and not constants.
    """

    work: str
    style: str
    title: str
    content_type: str
    cases: tuple[Case, ...]
    note: str = ""

    @property
    def name(self) -> str:
        """The row's name on the command line."""
        return f"{self.work}-{self.style}"

    @property
    def request(self) -> Request:
        """The request that is timed."""
        return self.cases[0].request


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


def _page(title: str) -> bytes:
    """Return what benchmarks/apps/templates/table.html makes of `title` and ITEMS of each app."""
    heading = html.escape(title)
    rows = "".join(
        f"<tr><td>{n}</td><td>&lt;item {n}&gt; &amp; co.</td><td>{n * 2.5}</td></tr>"
        for n in range(1, 51)
    )
    return (
        f"<!doctype html><html><head><title>{heading}</title></head>"
        f"<body><h1>{heading}</h1><table>{rows}</table></body></html>"
    ).encode()


ROWS = tuple(
    make(style) for style in STYLES for make in (_plaintext, _json, _form, _session, _template)
)
