"""Fixtures of the tests that start a toy service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from postgresql_server import PostgresqlServer, running_postgresql
from toy_observer import Toy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    service = Toy(tmp_path)
    yield service
    service.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file exists, the workers of a script with GATE wait."""
    path = tmp_path / "gate"
    path.touch()
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The server that all tests share: each makes a database of its own."""
    with running_postgresql() as server:
        yield server
