import pytest
import skitai
from atila.pytest_hooks import *  # noqa: F403  # the options --docs and --run-slow


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The service on a free port, with an empty database; --docs needs --devel."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("NOTES_DB", str(tmp_path_factory.mktemp("notes") / "notes.sqlite3"))
        with skitai.test_client("serve.py", port=0, devel=True) as client:
            yield client
