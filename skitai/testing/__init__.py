"""The test client: what app authors and our own end-to-end tests drive a service with.

``skitai.test_client`` is the same object; a running service loads nothing of this.
"""

from __future__ import annotations

from skitai.testing.client import TestClient, test_client

__all__ = ["TestClient", "test_client"]
