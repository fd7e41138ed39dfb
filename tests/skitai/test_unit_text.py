"""What the systemd unit of a service says."""

from __future__ import annotations

from pathlib import Path

import pytest

from skitai.commands.unit import Owner, unit_text
from skitai.config import Settings


@pytest.mark.parametrize(
    ("ports", "user", "needed"),
    [
        ({"port": 5000}, "www-data", False),
        ({"port": 443}, "www-data", True),
        ({"port": 443}, "root", False),
        ({"port": 8443, "fws_port": 80, "certfile": "server.pem"}, "www-data", True),
        ({"port": 8443, "quic": 443, "certfile": "server.pem"}, "www-data", True),
    ],
)
def test_a_service_may_bind_the_ports_that_it_needs(ports, user, needed):
    command = ["/usr/bin/python3", "/srv/app/serve.py"]
    settings = Settings(name="shop", **ports)
    text = unit_text(settings, Path("/srv/app"), command, Owner(user, user), {})
    assert ("AmbientCapabilities=CAP_NET_BIND_SERVICE" in text) == needed
