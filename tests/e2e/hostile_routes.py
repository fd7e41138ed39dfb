"""Routes of the hostile requests' main app that give back what a client sent: arguments, files,
headers. ``hostile_app`` adds them.
"""

import asyncio
import os
import re
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from atila import Atila


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Author(msgspec.Struct):
    name: Annotated[str, Meta(max_length=50)]
    books: "list[Book]" = []


class Book(msgspec.Struct):
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    year: int | None = None
    price: Decimal | None = None
    at: datetime | None = None
    authors: list[Author] = []
    notes: dict[str, list[int]] = {}


def described(file: Any) -> dict[str, Any]:
    return {"name": file.name, "ext": file.ext, "type": file.mimetype, "size": file.size}


def refused(was: Any, exc: ValueError) -> Any:
    """An app gives a client the blame for what it asked for."""
    return was.Error("400 Bad Request", str(exc))


def without_files(args: dict[str, Any]) -> dict[str, Any]:
    """Arguments as they can be sent back."""
    return {key: value for key, value in args.items() if not is_file(value)}


def is_file(value: Any) -> bool:
    return hasattr(value, "save") or (isinstance(value, list) and any(map(is_file, value)))


# -- arguments


def add_values(app: Atila) -> None:
    @app.route("/", methods=["GET"])
    def index(was):
        return "index"

    @app.route("/echo")
    @app.route("/echo/<name>")
    @app.emit_after("echoed")
    def echo(was, name=None, **args):
        app.emit("echoed", args)
        return was.API(without_files({"name": name, "args": without_files(args)}))

    @app.route("/async/echo", methods=["GET", "POST", "PUT", "PATCH"])
    async def async_echo(was, **args):
        await asyncio.sleep(0)
        return was.API(**without_files(args))

    @app.route("/loop")
    async def loop(was, q: str = ""):
        return q

    @app.route("/typed/<int:id>")
    @app.route("/typed/<int:id>/<float:amount>/<uuid:key>/<path:rest>")
    def typed(
        was,
        id: int,
        amount: float = 0.5,
        key: UUID | None = None,
        rest: str = "",
        since: date | None = None,
        color: Color = Color.RED,
        tag: list[str] = (),
        limit: Annotated[int, Meta(ge=1, le=100)] = 10,
        exact: Decimal | None = None,
        on: bool = False,
    ):
        return was.API(
            id=id, amount=amount, key=key, rest=rest, since=since, color=color.value, tag=tag,
            limit=limit, exact=exact, on=on,
        )  # fmt: skip

    @app.post("/books/<int:shelf>")
    async def add_book(was, shelf: int, book: Book, dry: bool = False):
        return was.API("201 Created", shelf=shelf, book=book, dry=dry)

    @app.route("/members", methods=["POST", "PUT"])
    @app.inspect("URL", ints="page", page__between=(0, 99))
    @app.inspect(
        required=["name"], strings=["name"], oneof=["email", "mobile"], emails=["email"],
        nones=["birth_year"], notags=["about"], safes=["about"], lists=["tags"], dicts=["extra"],
        ranges=["span"], uuids=["key"], booleans=["on"], floats=["weight"],
        mobile=re.compile("^[0-9]{3}-[0-9]{3,4}-[0-9]{4}$"), birth_year=int,
        birth_year__between=(1900, 2100), gender__in=["male", "female"], name__len__lte=64,
        extra___items__0___count__gte=1,
    )  # fmt: skip
    def add_member(was, name, **others):
        return was.API(name=name, others=others)

    @app.post("/text", content_types=["text/plain"])
    def text(was):
        return was.API(size=len(was.request.body))

    @app.route("/head", methods=["GET", "POST"])
    def head(was):
        """All that can be asked about the head of a request."""
        request = was.request
        return was.API(
            uri=request.split_uri(), headers=request.get_headers(), version=request.version,
            type=request.content_type, charset=request.charset, kinds=request.acceptables,
            html=request.acceptable("text/html"), loose=request.acceptable("text/xml", False),
            attr=request.get_attr("content-type"), note=request.get_header_params("x-note"),
            agent=request.user_agent, host=request.host, referer=request.referer,
            origin=request.origin, ip=request.real_ip, private=request.is_private_ip(),
            txnid=was.txnid(), length=request.content_length, cookies=dict(request.cookie),
            env={name: str(value) for name, value in was.env.items() if name[:5] != "wsgi."},
            jwt=request.JWT, routable=request.routable["route"],
        )  # fmt: skip


# -- files and bodies


def add_files(app: Atila) -> None:
    @app.post("/upload")
    def upload(was, file, **fields):
        files = file if isinstance(file, list) else [file]
        if not all(hasattr(each, "save") for each in files):
            raise was.Error(400, "file must be a file")
        for each in files:
            os.unlink(each.save(app.joinpath("uploads"), mkdir=True))
        return was.API("201 Created", files=[described(each) for each in files])

    @app.post("/upload/async")
    async def async_upload(was, file, **fields):
        if not hasattr(file, "save"):
            raise was.Error(400, "file must be a file")
        with await asyncio.to_thread(file.as_flashfile) as path:
            return was.API(described(file), path=os.path.basename(path))

    @app.post("/back")
    def back(was, file):
        """The file comes back with the name and type that it was sent with."""
        if not hasattr(file, "save"):
            raise was.Error(400, "file must be a file")
        return was.File(file.file, file.mimetype, file.name)


def add_downloads(app: Atila) -> None:
    @app.route("/download")
    def download(was, name: str):
        return was.File(app.joinpath("static/big.bin"), "application/octet-stream", name)

    @app.route("/static-file/<path:name>")
    def static_file(was, name: str):
        return was.Static(name)

    @app.route("/file")
    async def file(was):
        return was.File(app.joinpath("static/small.txt"), "text/plain")

    @app.route("/long")
    def long(was):
        return "a long text " * 500

    @app.route("/etag")
    def etag(was, version: str = "1"):
        was.response.set_etag_mtime(version, 1_000_000_000, max_age=60)
        return "a long text " * 300


# -- what gets into headers


def add_headers(app: Atila) -> None:
    @app.route("/redirect")
    def redirect(was, to: str):
        return was.redirect(to)

    @app.route("/header")
    def header(was, value: str, name: str = "X-Echo"):
        try:
            was.response.set_header(name, value)
        except ValueError as exc:
            raise refused(was, exc) from None
        return "set"

    @app.route("/cookie")
    def cookie(was, name: str, value: str, path: str | None = None, domain: str | None = None):
        try:
            was.cookie.set(name, value, path=path, domain=domain)
        except ValueError as exc:
            raise refused(was, exc) from None
        return was.API(value=was.cookie[name])

    @app.route("/error")
    def error(was, explain: str = "", errno: int = 0):
        raise was.Error("409 Conflict", explain, errno)

    @app.route("/fault")
    async def fault(was, message: str = ""):
        return was.Fault("418 I'm a teapot", message, traceback=True)

    @app.route("/type")
    def content_type(was, kind: str):
        try:
            was.response.set_header("Content-Type", kind)
        except ValueError as exc:
            raise refused(was, exc) from None
        return "typed"

    @app.route("/page")
    def page(was, title: str = ""):
        return was.render_or_API("page.j2", title=title)

    @app.route("/log")
    def log(was, message: str = "", category: str = "info"):
        was.log(message, category)
        return "logged"
