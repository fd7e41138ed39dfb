"""Fixtures of the end-to-end tests: services that end with the test, whatever happens."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import requests
from live_service import LiveService, write_files
from static_project import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., LiveService]]:
    """Write files into a folder and start serve.py there, as often as the test likes."""
    yield from _launch(tmp_path)


@pytest.fixture(scope="module")
def launch_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LiveService]]:
    """``launch`` for services that all tests of a module share."""
    yield from _launch(tmp_path_factory.mktemp("module"))


def _launch(place: Path) -> Iterator[Callable[..., LiveService]]:
    with contextlib.ExitStack() as cleanup:

        def start(files: Mapping[str, str | bytes], **options: Any) -> LiveService:
            folder = place / "project"
            write_files(folder, files)
            service = LiveService(folder, **options)
            cleanup.callback(service.close)
            return service

        yield start


@pytest.fixture
def browser(service: LiveService) -> Iterator[Callable[..., requests.Response]]:
    """A client of the module's fixture ``service``, which keeps cookies."""
    with requests.Session() as session:
        session.trust_env = False

        def ask(path: str, method: str = "GET", **options: Any) -> requests.Response:
            return session.request(method, f"http://127.0.0.1:{service.port}{path}", **options)

        ask.cookies = session.cookies  # type: ignore[attr-defined]  # for tests that look at them
        yield ask


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """The project of static files, served."""
    folder = tmp_path_factory.mktemp("static") / "project"
    build(folder)
    service = LiveService(folder)
    yield service
    service.close()
