"""What a handler may return and how it becomes a response (seed, Making Response).

The endpoints call ``send`` with the handler's result; the table at the end maps types to senders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeAlias

from atila.errors import HTTPError
from atila.failures import FAILURES, answer_status
from atila.invoking import from_loop
from atila.results.api import API, Fault
from atila.results.files import File, MountedFile
from atila.results.heads import head_of
from atila.results.minify import make_minifier
from atila.results.streams import HTML, is_stream, send_async_stream, send_stream
from atila.results.xml import JSON, choose_format, encode_xml
from atila.tasks.deferred import LATE, AsyncResult, hand_over, settle
from atila.templating.jinja import PlainText
from skitai.server.exchange import ClientGone
from skitai.server.representation import add_vary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atila.was import Was
    from skitai.server.representation import Head

    Sender: TypeAlias = Callable[[Was, Any], None]


def _send_api(was: Was, result: API) -> None:
    if result.status is not None:
        was.response.set_status(result.status)
    exchange, body = was.exchange, was.app.encode(result.data)
    head = head_of(was, JSON)
    # PERF: one search tells nearly all clients that never get XML: 0.1 us instead of 0.4 us.
    if "xml" in exchange.request.headers.get("accept", ""):
        head, body = _negotiate(was, head, body)
    elif head.fields is not None:
        # Without any header nothing lets a cache keep the answer, so that one need not vary.
        add_vary(head.fields, "Accept")
    exchange.respond(head, body)


def _negotiate(was: Was, head: Head, body: bytes) -> tuple[Head, bytes]:
    """The form of an answer of ``was.API`` for a client that knows XML."""
    head.fields = list(head.fields or ())
    add_vary(head.fields, "Accept")
    chosen = choose_format(was.exchange.request.headers["accept"])
    if chosen != JSON and head.content_type == JSON:
        head.content_type, body = chosen, encode_xml(body)
    return head, body


def _send_fault(was: Was, result: Fault) -> None:
    if result.trace and was.app.debug:
        from atila.debugging.error_page import without_secrets  # only for --devel

        result.data["traceback"] = without_secrets(was, result.trace)
    _send_api(was, result)


def _send_text(was: Was, result: str) -> None:
    body = result.encode()
    was.exchange.respond(head_of(was, HTML if body else ""), body)


def _send_plain(was: Was, result: PlainText) -> None:
    was.exchange.respond(head_of(was, result.content_type if result else ""), result.encode())


def _send_bytes(was: Was, result: bytes) -> None:
    was.exchange.respond(head_of(was, HTML if result else ""), bytes(result))


def _send_json(was: Was, result: Any) -> None:
    body = was.app.encode(result)
    was.exchange.respond(head_of(was, JSON), body)


def _send_file(was: Was, result: File | MountedFile) -> None:
    result.send(was)


def _send_error(was: Was, result: HTTPError) -> None:
    """A raised or returned status: those below 400 are results like others."""
    if result.code >= 400:
        raise result
    answer_status(was, result)


async def _answer_later(was: Was, result: Any) -> None:
    """Wait for a deferred response and send it; never raises, unless its client left."""
    exchange, handlers = was.exchange, was.app.error_handlers
    try:
        await send_from_loop(was, await settle(was, result))
    except ClientGone:
        pass
    except FAILURES as exc:
        await handlers.answer(was, exc, from_loop)
    except asyncio.CancelledError as exc:
        if exchange.gone:
            raise
        await handlers.answer(was, exc, from_loop)
    finally:
        if exchange.gone:
            exchange.release()


def _send_other(was: Was, result: Any) -> None:
    """Results whose exact type is not in the table."""
    senders = was.app.senders
    for kind in type(result).__mro__:
        if kind in senders:
            senders[kind](was, result)
            return
    if isinstance(result, LATE):
        hand_over(was, _answer_later(was, result))
    elif hasattr(result, "read"):
        File(result, HTML).send(was)
    elif is_stream(result):
        send_stream(was, result)
    elif hasattr(type(result), "__dataclass_fields__") or hasattr(
        type(result), "__struct_fields__"
    ):
        _send_json(was, result)
    else:
        name = was.route.function.__qualname__ if was.route is not None else "of the error"
        raise TypeError(f"handler {name} returned {type(result).__name__}, which is no response")


SENDERS: dict[type, Sender] = {
    API: _send_api,
    Fault: _send_fault,
    str: _send_text,
    PlainText: _send_plain,
    bytes: _send_bytes,
    bytearray: _send_bytes,
    dict: _send_json,
    list: _send_json,
    tuple: _send_json,
    File: _send_file,
    MountedFile: _send_file,
    HTTPError: _send_error,
}


def senders_of(config: Mapping[str, Any]) -> dict[type, Sender]:
    """The table of an app: with ``config.MINIFY_HTML`` its pages get smaller.

    Raises ``ConfigError`` for a setting that doesn't exist or needs what isn't installed.
    """
    minify = make_minifier(config.get("MINIFY_HTML"))
    if minify is None:
        return SENDERS

    def send_page(was: Was, result: str) -> None:
        head = head_of(was, HTML if result else "")
        page = minify(result) if head.content_type.startswith("text/html") else result
        was.exchange.respond(head, page.encode())

    return {**SENDERS, str: send_page}


def send(was: Was, result: Any) -> None:
    """Answer the request of ``was`` with what its handler returned.

    Raises ``TypeError`` for a result that is no response, ``HTTPError`` for one that is an error.
    """
    was.app.senders.get(type(result), _send_other)(was, result)


async def send_from_loop(was: Was, result: Any) -> None:
    """``send`` for coroutines, which may also return asynchronous generators.

    It sends in a thread where that waits for the server that keeps a session.
    """
    # PERF: the table knows most types; to ask those what they are takes 1 us.
    if type(result) not in was.app.senders:
        result = await settle(was, result)
        if isinstance(result, AsyncGenerator):
            await send_async_stream(was, result)
            return
        if isinstance(result, AsyncResult):
            await result.send(was)
            return
    if was._request is not None and was._request.saving_waits:
        await asyncio.to_thread(send, was, result)
    else:
        send(was, result)
