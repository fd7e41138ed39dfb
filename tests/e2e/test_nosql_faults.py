"""A service whose Redis and MongoDB go away and come back, and what its clients see."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from live_service import eventually

from tests.skitai.mongo_process import running_mongodb
from tests.skitai.redis_process import running_redis

pytestmark = pytest.mark.e2e

SCRIPT = """
    import skitai
    from atila import Atila

    app = Atila(__name__)

    @app.route("/redis")
    def redis(was):
        return was.API(n=was.db("@redis").incr("n").fetch())

    @app.route("/redis-later")
    async def redis_later(was):
        return was.API(n=(await was.db("@redis").incr("n")).fetch())

    @app.route("/waiting")
    async def waiting(was):
        task = await was.db("@redis", timeout=0.2).blpop("none", 0)
        return was.API(task.fetch())

    @app.route("/mongo")
    def mongo(was):
        return was.API(n=was.db("@mongo").count_documents({{}}).fetch())

    @app.route("/alive")
    async def alive(was):
        return "yes"

    if __name__ == "__main__":
        with skitai.preference() as pref:
            skitai.alias("@redis", skitai.DB_REDIS, "127.0.0.1:{redis}")
            skitai.alias("@mongo", skitai.DB_MONGODB, "127.0.0.1:{mongo}/test")
            skitai.mount("/", app, pref)
        skitai.run(workers=1)
"""


@pytest.mark.parametrize("path", ["/redis", "/redis-later"])
def test_without_redis_clients_get_502_at_once_and_others_are_served(launch, path):
    with running_redis() as redis:
        service = launch({"serve.py": SCRIPT.format(redis=redis.port, mongo=1)})
        assert service.client.get(path).status_code == 200
        redis.kill()
        began = time.monotonic()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: service.client.get(path), range(40)))
        assert {answer.status_code for answer in answers} == {502}
        assert time.monotonic() - began < 5
        assert service.client.get("/alive").text == "yes"
        redis.start()
        assert service.client.get(path).json() == {"n": 1}


def test_a_command_that_takes_too_long_is_504_and_its_connection_is_gone(launch):
    with running_redis() as redis:
        service = launch({"serve.py": SCRIPT.format(redis=redis.port, mongo=1)})
        assert service.client.get("/waiting").status_code == 504
        with redis.client() as client:
            eventually(lambda: client.info("clients")["blocked_clients"] == 0, "nobody waits")
        assert service.client.get("/redis").json() == {"n": 1}


def test_without_mongodb_clients_get_502_until_it_is_back(launch):
    with running_mongodb() as mongo:
        service = launch({"serve.py": SCRIPT.format(redis=1, mongo=mongo.port)})
        assert service.client.get("/mongo").status_code == 200
        mongo.kill()
        assert service.client.get("/mongo").status_code == 502
        began = time.monotonic()
        assert {service.client.get("/mongo").status_code for _ in range(20)} == {502}
        assert time.monotonic() - began < 5
        assert service.client.get("/alive").text == "yes"
        mongo.start()
        eventually(lambda: service.client.get("/mongo").status_code == 200, "MongoDB is found")
