"""One of the services behind the gateway: `python3 backend.py --port 5001`"""

import skitai
from atila import Atila

app = Atila(__name__)
TITLES = {1: "Momo", 2: "Krabat"}


@app.get("/books/<int:id>")
async def book(was, id):
    if id not in TITLES:
        raise was.Error("404 Not Found", "there is no such book")
    # The gateway asks by the address of this server, so the host tells which one it is.
    return was.API(title=TITLES[id], server=was.request.host, client=was.request.real_ip)


@app.get("/popular")
async def popular(was):
    app.g.increment("asked")
    return was.API(titles=list(TITLES.values()), asked=app.g["asked"])


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5001, address="127.0.0.1", health_path="/-/health")
