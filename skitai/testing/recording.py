"""Keeps pairs of request and answer while a session of tests makes documents of them.

An app under ``--devel`` says in ``__spec__`` what a resource is. The test client asks here after
each answer; ``pytest --docs`` reads the records at its end (seed, Integrating pytest).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from skitai.testing.sessions import Response

KEY = "__spec__"
VARIABLE = "SKITAI_TEST_RECORDS"
"""Environment variable with the directory of the records; set while documents are made."""

_MARK = b'"__spec__"'
_FORM = "application/x-www-form-urlencoded"


def take_spec(response: Response) -> None:
    """Move ``__spec__`` from the data of an answer to ``response.spec``, and keep a record of both.

    Raises ``OSError`` when the record can't be written.
    """
    if _MARK not in response.content:
        return
    data = response.data
    spec = data.get(KEY) if isinstance(data, dict) else None
    if not isinstance(spec, dict):
        return
    response.spec = spec
    directory = os.environ.get(VARIABLE)
    if directory:
        # One file for each process: those of pytest-xdist write at the same time.
        with open(Path(directory) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(_record(response, spec)) + "\n")


def read_records(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All records of a directory in the order in which the answers came.

    Keys: ``time`` in seconds; ``spec``; ``method``; ``url``: path and query; ``request`` and
    ``response``: each with ``type`` (a media type, or ``""``) and ``data``, the latter with
    ``status`` (``"200 OK"``) as well.
    """
    lines = [
        line
        for path in sorted(Path(directory).glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return sorted(map(json.loads, lines), key=lambda record: float(record["time"]))


def _record(response: Response, spec: dict[str, Any]) -> dict[str, Any]:
    request = response.request
    url = urlsplit(request.url or "")
    target = url.path + (f"?{url.query}" if url.query else "")
    kind = _media_type(request.headers.get("Content-Type", "")) if request.body else ""
    return {
        "time": time.time(),
        "spec": spec,
        "method": request.method,
        "url": target,
        "request": {"type": kind, "data": _sent(request.body, kind)},
        "response": {
            "status": f"{response.status_code} {response.reason}".strip(),
            "type": _media_type(response.headers.get("Content-Type", "")),
            "data": response.data,
        },
    }


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _sent(body: Any, kind: str) -> Any:
    """The body of a request as data; None for what is no text."""
    if isinstance(body, bytes):
        try:
            body = body.decode()
        except UnicodeDecodeError:
            return None
    if not isinstance(body, str):
        return None
    if kind == "application/json":
        try:
            return json.loads(body)
        except ValueError:
            return body
    if kind == _FORM:
        return dict(parse_qsl(body, keep_blank_values=True))
    return None if kind.startswith("multipart/") else body
