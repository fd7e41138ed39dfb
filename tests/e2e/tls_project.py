"""A project whose service speaks TLS, and certificates for it."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))

from certificates import make_certificates as make_certificates  # the path is above
from certificates import make_pair as make_pair  # the path is above

SERVE = """
    import os
    import skitai
    from atila import Atila

    app = Atila(__name__)

    @app.route("/")
    def index(was):
        return f"{was.request.scheme} {was.request.version}"

    @app.route("/who")
    def who(was, token):
        return f"{token} {os.getpid()}"

    @app.route("/unlucky")
    def unlucky(was):
        raise ValueError

    if __name__ == "__main__":
        skitai.mount("/", app)
        SETUP
        skitai.run(address="127.0.0.1", access_log=False)
"""


def script(*setup):
    return SERVE.replace("SETUP", "\n        ".join(setup))


def trusting(folder):
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))
