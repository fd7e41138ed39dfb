"""A project whose service speaks HTTP/3 with two workers, and a client for it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))

from http3_driving import connected as connected  # the path is above

SERVE = """
    import os
    import time
    import skitai
    from atila import Atila

    app = Atila(__name__)

    @app.route("/")
    def index(was):
        return f"{was.request.scheme} {was.request.version} {os.getpid()}"

    @app.route("/wait")
    def wait(was):
        open("waiting", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
        return f"waited {os.getpid()}"

    if __name__ == "__main__":
        skitai.mount("/", app)
        SETUP
        skitai.run(address="127.0.0.1", workers=2, quic=PORT)
"""


def script(port, setup="skitai.enable_ssl('server.pem')"):
    return SERVE.replace("SETUP", setup).replace("PORT", str(port))
