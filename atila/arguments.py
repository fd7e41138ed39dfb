"""The arguments of a request, parsed from where they are: path, query string, form, JSON.

``was.arguments`` and ``was.request`` call these, each at most once a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from atila.errors import HTTPError
from skitai.wire.forms import MalformedForm, parse_query, parse_urlencoded
from skitai.wire.multipart import MultipartReader

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
CHUNK_SIZE = 64 * 1024

_decode = msgspec.json.Decoder().decode


def media_type(content_type: str) -> str:
    """The type without parameters, lower-case."""
    return content_type.partition(";")[0].strip().lower()


def charset(content_type: str) -> str:
    """The charset parameter, ``utf-8`` when there is none."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or "utf-8"
    return "utf-8"


def query_arguments(query: str) -> dict[str, Any]:
    """Fields of a query string; 400 when it is malformed."""
    try:
        return parse_query(query)
    except MalformedForm as exc:
        raise HTTPError(400, f"query string: {exc}") from None


def json_body(exchange: Exchange) -> Any:
    """The JSON document in the body; 400 when it is malformed. None when it isn't JSON."""
    if exchange.body is None:
        return None
    content_type = exchange.request.headers.get("content-type", "")
    if content_type[: len(JSON)].lower() != JSON:
        return None
    try:
        return _decode(exchange.body.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise HTTPError(400, f"JSON body: {exc}") from None
    except RecursionError:
        raise HTTPError(400, "JSON body: nested too deeply") from None


def form_body(exchange: Exchange) -> dict[str, Any] | None:
    """Fields and files of a form in the body; 400 when malformed. None when it isn't a form."""
    if exchange.body is None:
        return None
    content_type = exchange.request.headers.get("content-type", "")
    kind = media_type(content_type)
    try:
        if kind == FORM:
            return parse_urlencoded(exchange.body.read(), charset(content_type))
        if kind == MULTIPART:
            return _read_multipart(exchange, content_type)
    except MalformedForm as exc:
        raise HTTPError(400, f"form: {exc}") from None
    return None


def _read_multipart(exchange: Exchange, content_type: str) -> dict[str, Any]:
    assert exchange.body is not None
    reader = MultipartReader(content_type)
    source = exchange.body.open()
    while data := source.read(CHUNK_SIZE):
        reader.feed(data)
    return reader.close()
