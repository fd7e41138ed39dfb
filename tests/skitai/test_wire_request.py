"""The request as every protocol hands it on."""

from __future__ import annotations

import pytest

from skitai.wire.request import Request, split_target


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs?", "/docs/?"),
        ("/docs?a=1&b=%20", "/docs/?a=1&b=%20"),
        ("/a%20b/%C3%A9", "/a%20b/%C3%A9/"),
        ("http://elsewhere/docs?a=1", "/docs/?a=1"),
        ("//elsewhere/docs", "/elsewhere/docs/"),
    ],
)
def test_the_target_to_redirect_to_has_a_slash_and_never_a_host(target, location):
    path, query = split_target(target, "GET", {"host": "here"})
    assert Request("GET", target, path, query, "1.1", {}).slashed() == location
