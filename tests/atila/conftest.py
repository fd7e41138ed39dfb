"""Fixtures of the framework's tests."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """What the engine and the app log, even when another test has installed the engine's log."""
    engine = logging.getLogger("skitai")
    monkeypatch.setattr(engine, "propagate", True)
    monkeypatch.setattr(engine, "level", logging.INFO)
    return caplog
