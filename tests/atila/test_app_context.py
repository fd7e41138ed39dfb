"""``app.was``: what hooks have in place of the ``was`` of a request."""

from __future__ import annotations

import pytest

from atila import Atila


def test_hooks_have_a_was_without_a_request():
    app = Atila("app")
    assert app.was.app is app
    assert app.was.g is app.peers.g
    with pytest.raises(RuntimeError, match="no request"):
        app.was.request  # noqa: B018 - reading it is what fails


def test_without_a_worker_there_are_no_tasks():
    with pytest.raises(RuntimeError, match="no worker"):
        Atila("app").was.db("@mydb")
