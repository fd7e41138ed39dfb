"""The body of an error answer: JSON for programs, a small page for browsers.

The exchange uses it for what no app answers; apps use it for their own errors (seed, HTTP Error).
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from skitai.errors import HTTPError

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{code} {reason}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 40rem; padding: 0 1rem;
  color: #222; background: #fff }}
h1 {{ font-weight: 600 }} p {{ color: #555 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }}
  p {{ color: #aaa }} }}
</style>
</head>
<body>
<h1>{code} {reason}</h1>
{detail}
</body>
</html>
"""


def wants_html(accept: str) -> bool:
    """Whether a client that sent this Accept header reads HTML (seed, Custom Error Templates)."""
    return "text/html" in accept


def error_fields(error: HTTPError) -> dict[str, Any]:
    """The JSON shape of an error: ``code``, ``message`` and, if there is one, ``more_info``."""
    fields: dict[str, Any] = {
        "code": error.errno or error.code * 100,
        "message": error.reason.lower(),
    }
    if error.explain:
        fields["more_info"] = error.explain
    return fields


def render_error(error: HTTPError, accept: str) -> tuple[str, bytes]:
    """Content type and body for an error, by the client's Accept header."""
    if not wants_html(accept):
        return "application/json", orjson.dumps(error_fields(error))
    detail = f"<p>{escape(error.explain)}</p>" if error.explain else ""
    page = _PAGE.format(code=error.code, reason=escape(error.reason), detail=detail)
    return "text/html; charset=utf-8", page.encode()
