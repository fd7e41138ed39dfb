from pathlib import Path

import pytest
import skitai

SCRIPT = Path(__file__).parents[1] / "serve.py"


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Start the service on a free port, with an empty database; start it again, it is the same."""
    monkeypatch.setenv("LINKS_DB", str(tmp_path / "links.sqlite3"))
    return lambda **options: skitai.test_client(SCRIPT, port=0, **options)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One service for all tests of a module that don't mind each other."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        database = tmp_path_factory.mktemp("links") / "links.sqlite3"
        monkeypatch.setenv("LINKS_DB", str(database))
        with skitai.test_client(SCRIPT, port=0) as client:
            yield client
