import pytest
import skitai
from atila.pytest_hooks import *  # noqa: F403  # the options --docs and --run-slow


@pytest.fixture(scope="module")
def client():
    """Start the service on a free port; its database is the one of development."""
    with skitai.test_client("serve.py", port=0, devel=True) as client:
        yield client
