"""Fixtures for tests of the examples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from example_project import ExampleProject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ExampleProject]:
    """Copy the example of a name; what its service keeps elsewhere is in the same directory."""
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path / ".skitai"))
    return partial(ExampleProject, place=tmp_path)
