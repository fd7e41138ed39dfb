"""One door to several servers: balanced, without those that are down, some answers kept."""

import os

import skitai
from atila import Atila

app = Atila(__name__)
SERVERS = os.environ.get("UPSTREAMS", "127.0.0.1:5001 127.0.0.1:5002").split()


# A server is asked only if no answer of the last minute is there.
@app.get("/popular")
async def popular(was):
    task = await was.get("@library/popular", timeout=3)
    return was.API(task.fetch(cache=60))


# map asks all servers at once; dispatch takes their failures as values.
@app.get("/upstreams")
async def upstreams(was):
    with was.stub.map("@library", timeout=5) as stub:
        tasks = await stub.get("/-/health")
    members = [(task.node, task.status_code == 200) for task in tasks.dispatch()]
    return was.API(up=dict(members))


if __name__ == "__main__":
    skitai.alias("@library", skitai.PROTO_HTTP, SERVERS)
    skitai.mount("/", app)
    with skitai.preference() as pref:
        pref.config.PROXY_TIMEOUT = 10  # seconds until an answer has to begin
        pref.config.MAX_UPLOAD_SIZE = 1 << 20  # bytes
        # All below /api goes there, streams and websockets included; /api/x is /x behind it.
        skitai.mount("/api", "@library", pref)

    skitai.run(port=5000, health_path="/-/health", status_path="/-/status")
