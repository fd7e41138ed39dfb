"""The files of ``page``, rendered: pages that load nothing, and run nothing that isn't theirs."""

from __future__ import annotations

import secrets
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from skitai.server.representation import Fields

DIRECTORY = Path(__file__).with_name("page")
CONTENT_TYPE = "text/html; charset=utf-8"
# Scripts of the same origin may be added to pages by what refreshes them.
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}' 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(DIRECTORY),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def render_page(name: str, **names: Any) -> tuple[bytes, Fields]:
    """A page, and the header fields that belong to it.

    Parameters:
        name: of the file.
        names: what it shows; everything is escaped.
    """
    nonce = secrets.token_urlsafe(16)
    text = _environment().get_template(name).render(nonce=nonce, **names)
    fields = [
        ("Content-Security-Policy", _POLICY.format(nonce=nonce)),
        ("Cache-Control", "no-store"),
    ]
    return text.encode("utf-8", "backslashreplace"), fields
