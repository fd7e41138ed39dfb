"""What ``was`` has beside request and response, and how code without one finds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading

import pytest
from driving import Driver, answer

import skitai
from atila import Atila, temporary
from atila.context import AppContext
from skitai import current
from skitai.executors.threads import ThreadPool


@pytest.fixture
def was():
    return AppContext(Atila("was"))


# Where it runs


def test_was_says_where_it_runs():
    assert answer(lambda was: was.ID).text == f"{os.getpid()}/MainThread"
    assert answer(lambda was: was.version).text == skitai.__version__
    assert re.fullmatch(r"\d{13}", answer(lambda was: str(was.timestamp)).text)
    assert re.fullmatch(r"\w{20}", answer(lambda was: was.uniqid).text)


# Temporary files


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """An empty directory for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    temporary._directory.cache_clear()
    yield tmp_path
    temporary._directory.cache_clear()


def test_temporary_paths_are_unused_and_private(was, directory):
    paths = {was.tempfile, was.tempfile, was.gentemp(), was.gentemp()}
    assert len(paths) == 4
    assert not any(os.path.exists(path) for path in paths)
    (place,) = {os.path.dirname(path) for path in paths}
    assert place == f"{directory}/atila-{os.getuid()}"
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o700


def test_a_directory_that_others_prepared_is_not_used(was, directory):
    (directory / f"atila-{os.getuid()}").mkdir(mode=0o777)
    os.chmod(directory / f"atila-{os.getuid()}", 0o777)
    place = os.path.dirname(was.tempfile)
    assert re.fullmatch(rf"{directory}/atila-\w{{8}}", place)
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
    assert os.path.dirname(was.gentemp()) == place


def test_a_link_that_others_prepared_is_not_followed(was, directory):
    (directory / "elsewhere").mkdir(mode=0o700)
    (directory / f"atila-{os.getuid()}").symlink_to(directory / "elsewhere")
    assert "elsewhere" not in os.path.realpath(was.tempfile)


def test_a_flash_file_is_deleted_behind_its_block(was, directory):
    with was.flashfile as path:
        with open(path, "w") as file:
            file.write("x")
        assert os.path.exists(path)
        assert isinstance(path, str)
    assert not os.path.exists(path)
    with was.flashfile as path:
        assert not os.path.exists(path)  # nothing has to be there
    with contextlib.suppress(KeyError), was.flashfile as path:
        open(path, "w").close()
        raise KeyError
    assert not os.path.exists(path)


def test_was_of_a_request_has_them_too():
    paths = answer(lambda was: [was.tempfile, was.gentemp(), str(was.flashfile)]).json
    assert len(set(paths)) == 3


# Without a request


@pytest.mark.parametrize("name", ["request", "response", "cookie", "session", "mbox", "env"])
def test_without_a_request_there_is_none(was, name):
    with pytest.raises(RuntimeError, match=f"was.{name}: there is no request here"):
        getattr(was, name)


def test_attributes_that_do_not_exist(was):
    with pytest.raises(AttributeError, match="'was' has no attribute 'misspelled'"):
        _ = was.misspelled
    with pytest.raises(AttributeError):
        was.misspelled = 1


# skitai.was


@pytest.fixture
def wanted():
    before = current.was.wanted
    found = skitai.was
    yield found
    object.__setattr__(current.was, "wanted", before)


def found_by(app, wanted, token):
    """What code without ``was`` finds."""
    return [wanted.request.args["token"], wanted.app.name, wanted.request.g.token == token]


def test_skitai_was_is_that_of_the_running_request(wanted):
    app = Atila("current")

    @app.route("/plain/<token>")
    def plain(was, token):
        was.request.g.token = token
        wanted.response.set_header("X-Token", token)
        return found_by(app, wanted, token)

    @app.route("/async/<token>")
    async def waits(was, token):
        was.request.g.token = token
        await asyncio.sleep(0)
        return [found_by(app, wanted, token), await asyncio.to_thread(found_by, app, wanted, token)]

    for pool in (None, ThreadPool(2, 10)):
        driver = Driver(app, pool=pool) if pool is None else Driver(again(app), pool=pool)
        got = driver.get("/plain/a")
        assert got.json == ["a", "current", True]
        assert got["X-Token"] == "a"
        assert driver.get("/plain/b").json == ["b", "current", True]
        assert driver.get("/async/c").json == [["c", "current", True]] * 2
        if pool is not None:
            pool.stop(5)
    with pytest.raises(RuntimeError, match="there is no request here"):
        _ = wanted.request


def test_skitai_was_is_known_to_every_piece_of_a_stream(wanted):
    app = Atila("current")
    seen = []

    @app.on("piece")
    def on_piece(was, token):
        seen.append(was.request.args["token"] == token)

    @app.route("/stream/<token>")
    def stream(was, token):
        try:
            for _ in range(4):
                app.emit("piece", token)
                yield f"{wanted.request.args['token']} {threading.current_thread().name} "
        finally:
            seen.append(wanted.request is was.request)

    pool = ThreadPool(3, 10)
    driver = Driver(app, pool=pool, slow=True)  # it waits for the client behind each piece
    for token in ("a", "b"):
        assert driver.get(f"/stream/{token}").text.split()[::2] == [token] * 4
    pool.stop(5)
    assert seen == [True] * 10


def again(app):
    """The same routes in an app that has not begun."""
    other = Atila(app.name)
    for route in app.routes:
        other.route(route.rule.text)(route.function)
    return other


def test_skitai_was_outside_of_requests(wanted):
    assert repr(wanted) == "<skitai.was, no request>"
    with pytest.raises(RuntimeError, match="from skitai import was"):
        wanted.log("x")
    with pytest.raises(RuntimeError, match="there is no request here"):
        wanted.x = 1


def test_skitai_was_costs_nothing_where_nobody_wants_it():
    code = """
import skitai, sys
from atila import Atila
app = Atila("cheap")
app.route("/")(lambda was: "x")
app.setup(None, {})
app.freeze("/", None)
plain = app.routes[0].endpoint._pipeline is None
from skitai import was
app = Atila("watched")
app.route("/")(lambda was: "x")
app.setup(None, {})
app.freeze("/", None)
print(plain, app.routes[0].endpoint._pipeline is not None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
