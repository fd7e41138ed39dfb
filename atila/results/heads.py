"""The head of a response: what the handler set on ``was.response``, and the cookies it left.

Everything that sends a result asks ``head_of`` for it, once for each response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.server.representation import Head, add_vary

if TYPE_CHECKING:
    from atila.was import Was


def head_of(was: Was, content_type: str) -> Head:
    """Status, headers and cookies; ``content_type`` is what the result has when none was set."""
    response, request = was._response, was._request
    head = Head(200, content_type) if response is None else response.head(content_type)
    if request is not None:
        cookies, varies = request.set_cookie_values(), request.varies
        if cookies or varies:
            fields = head.fields = list(head.fields or ())
            if varies:
                # A shared cache must not give the page of one user to another.
                add_vary(fields, "Cookie")
            fields += [("Set-Cookie", value) for value in cookies]
    return head
