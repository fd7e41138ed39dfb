"""What stubs are called with, made a request: path, query or body (seed, HTTP Based Protocols).

Pure: it opens and sends nothing. ``was.stub`` and the verbs of ``was`` call it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from skitai.upstream.http.form_body import FileBody, FormBody, is_file
from skitai.upstream.http.request import HttpRequest
from skitai.upstream.http.target import HOLE, add_query, encode_form, format_path, join_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Encode = Callable[[Any], bytes]
    Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]] | None

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
REQUEST_TYPE = (JSON, JSON)
UPLOAD = "UPLOAD"
# RFC 9110, 9.3: a body means nothing to them.
_BODILESS = frozenset(("GET", "HEAD", "DELETE", "OPTIONS", "TRACE"))
_MISSING: Any = object()


def encode_json(value: Any) -> bytes:
    """JSON in UTF-8; dates in ISO 8601, and what JSON has no type for as text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)


def build_request(
    method: str,
    base: str,
    path: str,
    args: Sequence[Any] = (),
    fields: Mapping[str, Any] | None = None,
    headers: Headers = None,
    request_type: tuple[str, str] = REQUEST_TYPE,
    encode: Encode = encode_json,
) -> HttpRequest:
    """Make the request of ``stub.get("/users/{}", 7, {"fields": "name"})``.

    Parameters:
        method: of HTTP in any case, or ``upload``: POST of a form with files.
        base: path of the stub, before ``path``.
        path: with ``{}`` for values; see ``format_path``.
        args: the values, and behind them the payload, if there is one.
        fields: more fields of the payload, by keyword.
        headers: of the caller, which win over others.
        request_type: media types of the body and, in ``Accept``, of the answer, where ``headers``
            don't say it.
        encode: makes JSON.

    A payload of GET, DELETE, HEAD, OPTIONS and TRACE is added to the query. That of others is the
    body: text, bytes, open files and asynchronous iterators of bytes as they are, other values as
    the type of the body says. Raises ``ValueError`` for what can't be sent; ``TypeError`` for what
    ``encode`` can't.
    """
    method = method.upper()
    values, payload = _split_args(path, args, fields or {})
    target = join_path(base, format_path(path, values))
    pairs = _pairs(headers)
    known = {name.lower() for name, _ in pairs}
    if "accept" not in known:
        pairs.append(("Accept", request_type[1]))
    if method in _BODILESS:
        if payload is not _MISSING:
            target = add_query(target, _query(method, payload))
        return HttpRequest(method, target, pairs)
    given = next((value for name, value in pairs if name.lower() == "content-type"), "")
    kind = given or request_type[0]
    if method == UPLOAD:
        method, kind = "POST", MULTIPART
        if not isinstance(payload, Mapping):
            raise ValueError("an upload takes a dictionary of fields and files")
    body, length, made = _body(payload, kind, encode)
    if made and made != given:
        pairs = [pair for pair in pairs if pair[0].lower() != "content-type"]
        pairs.append(("Content-Type", made))
    return HttpRequest(method, target, pairs, body, length)


def _split_args(
    path: str, args: Sequence[Any], fields: Mapping[str, Any]
) -> tuple[Sequence[Any], Any]:
    """The values of the path, and the payload."""
    payload = _MISSING
    if len(args) == path.count(HOLE) + 1:
        args, payload = args[:-1], args[-1]
    if payload is None:
        payload = _MISSING
    if not fields:
        return args, payload
    if payload is _MISSING:
        return args, dict(fields)
    if not isinstance(payload, Mapping):
        raise ValueError(f"fields by keyword need a dictionary, not {type(payload).__name__}")
    return args, {**payload, **fields}


def _query(method: str, payload: Any) -> Mapping[str, Any] | str:
    if isinstance(payload, (Mapping, str)):
        return payload
    raise ValueError(f"{method} takes fields for the query, not {type(payload).__name__}")


def _body(payload: Any, kind: str, encode: Encode) -> tuple[Any, int | None, str]:
    """Body, its length if it comes in pieces, and Content-Type."""
    media = kind.partition(";")[0].strip().lower()
    if payload is _MISSING:
        return None, None, ""
    if isinstance(payload, Mapping) and media == MULTIPART:
        return _form(payload)
    if isinstance(payload, str):
        return payload.encode(), None, kind
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload), None, kind
    if is_file(payload):
        file = FileBody(payload)
        return file, file.length, kind
    if isinstance(payload, AsyncIterable):
        return payload, None, kind
    if media == JSON or media.endswith("+json"):
        return encode(payload), None, kind
    if media == FORM and isinstance(payload, Mapping):
        return encode_form(payload), None, kind
    raise ValueError(f"a body of {kind} can't be made from {type(payload).__name__}")


def _form(payload: Mapping[str, Any]) -> tuple[Any, int | None, str]:
    form = FormBody(payload)
    whole = form.whole()
    if whole is not None:
        return whole, None, form.content_type
    return form, form.length, form.content_type


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    if headers is None:
        return []
    items = headers.items() if isinstance(headers, Mapping) else headers
    return [(str(name), str(value)) for name, value in items]
