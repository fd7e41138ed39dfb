"""The example of three frameworks in one service."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.sync.client import connect

import skitai

SCRIPT = Path(__file__).parents[2] / "examples" / "hosting" / "serve.py"


@pytest.mark.e2e
def test_all_three_answer():
    with skitai.test_client(SCRIPT, port=0) as client:
        assert client.get("/").json()["shop"] == "/shop/"
        assert client.get("/shop/").text == "a shop with a list at /shop/items"
        assert client.get("/shop/items").text == "item 0\nitem 1\nitem 2\n"
        assert client.get("/api/hello").json()["serving_since"] > 0
        assert client.get("/api/docs").status_code == 200
        with connect(f"ws://127.0.0.1:{client.port}/api/echo") as socket:
            socket.send("hello")
            assert socket.recv(10) == "hello"
