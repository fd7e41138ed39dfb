"""TLS, HTTP/2, and a port that sends browsers from http to https: `python3 serve.py --devel`

It begins with a certificate that vouches for itself, for trying out. For a public site give the
paths of real files in CERTIFICATE and KEY, and ports 443 and 80.
"""

import os

import skitai
from atila import Atila

import certificate

app = Atila(__name__)


@app.get("/")
async def index(was):
    return was.API(scheme=was.request.scheme, version=was.request.version)


def files():
    """Certificate and key: real ones, or under --devel some that are made here."""
    given = os.environ.get("CERTIFICATE"), os.environ.get("KEY")
    if all(given):
        return given
    if not skitai.is_devel():
        raise skitai.ConfigError("CERTIFICATE and KEY are not set: give the paths of PEM files")
    return certificate.make(skitai.abspath("server.pem"), skitai.abspath("server.key"))


if __name__ == "__main__":
    skitai.mount("/", app)
    # Browsers that were here once come back by https only, for so many seconds. Begin with a small
    # number, and never do it to localhost: it holds for all of its ports.
    hsts = 0 if skitai.is_devel() else 3600
    skitai.enable_ssl(*files(), hsts=hsts)
    skitai.enable_forward(port=5001, forward_port=5000)  # port=80, forward_port=443
    skitai.run(port=5000)
