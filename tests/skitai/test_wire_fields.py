"""Fields that apps send: the same ones on all versions of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from skitai.wire import http1
from skitai.wire.hpack import encoder as hpack_encoder
from skitai.wire.http1_client import encode_request
from skitai.wire.http3 import fields as http3_fields

if TYPE_CHECKING:
    from collections.abc import Callable

ENCODERS: dict[str, Callable[[list[Any]], Any]] = {
    "1": http1.encode_fields,
    "2": hpack_encoder.encode_fields,
    "3": http3_fields.encode_fields,
    "request": lambda fields: encode_request("GET", "/", fields),
}


@pytest.mark.parametrize("version", ENCODERS)
@pytest.mark.parametrize("value", [5, None, b"text", 1.5, True])
@pytest.mark.parametrize("name", ["X-Count", "Connection"])
def test_a_value_that_is_no_text_is_refused(version: str, name: str, value: object) -> None:
    for _ in range(2):
        with pytest.raises(TypeError, match=f"header {name} must be a str, not {value!r}"):
            ENCODERS[version]([("A", "b"), (name, value)])


@pytest.mark.parametrize("version", ENCODERS)
@pytest.mark.parametrize("name", [5, None, b"X"])
def test_a_name_that_is_no_text_is_refused(version: str, name: object) -> None:
    with pytest.raises(TypeError, match=f"name of a header must be a str, not {name!r}"):
        ENCODERS[version]([(name, "b")])


@pytest.mark.parametrize("version", ENCODERS)
@pytest.mark.parametrize("name", ["X-A", "Connection"])
def test_a_line_break_is_refused_also_in_what_is_left_out(version: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"header {name} has a line break"):
        ENCODERS[version]([(name, "a\r\nX: y")])


@pytest.mark.parametrize("version", ["1", "2", "3"])
@pytest.mark.parametrize(
    "name",
    ["Date", "server", "Content-Length", "Connection", "Keep-Alive", "Transfer-Encoding"],
)
def test_fields_of_the_server_are_left_out(version: str, name: str) -> None:
    assert not ENCODERS[version]([(name, "x")])


def test_only_http1_has_fields_of_connections() -> None:
    fields = [("Upgrade", "x"), ("Proxy-Connection", "y")]
    assert http1.encode_fields(fields) == b"Upgrade: x\r\nProxy-Connection: y\r\n"
    assert not hpack_encoder.encode_fields(fields)
    assert not http3_fields.encode_fields(fields)
