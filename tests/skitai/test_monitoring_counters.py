"""Counting in shared memory: nothing is lost when a worker dies, nothing is counted twice."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import Gate, Serving, Toy, answer, happens, until

from skitai.config import Settings
from skitai.errors import ConfigError
from skitai.monitoring import counters as module
from skitai.monitoring import prometheus
from skitai.monitoring.counters import BOUNDS, LATENCIES, RECEIVED, REQUESTS, SENT, Counters
from skitai.monitoring.meter import Meter
from skitai.monitoring.monitor import PROTOCOLS
from skitai.monitoring.sums import connections_of, upstreams_of
from skitai.stores.memory import SharedMemory
from skitai.stores.shared import MEMORY_BYTES


@pytest.fixture
def memory():
    memory = SharedMemory(MEMORY_BYTES)
    memory.make()
    return memory


def in_process(function, *args):
    """Run it in a fork, which is killed where it calls ``os.kill``."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=function, args=args)
    child.start()
    return child


def count_and_die(memory, cause):
    counters = Counters(memory)
    counters.claim(cause)
    counters.publish({"worker": "w0", "pid": os.getpid()})
    counters.words[counters.at + SENT] += 5
    os.kill(os.getpid(), 9)


def test_what_a_dead_worker_counted_stays_and_its_block_is_taken_again(memory):
    for cause in ("start", "died", "max_memory"):
        in_process(count_and_die, memory, cause).join()
    counters = Counters(memory)
    counters.claim("start")
    counters.words[counters.at + SENT] += 1
    assert counters.totals()[SENT] == 16
    assert counters.at == module.PLACES[0] // 8, "a block for each life of a worker"
    assert counters.restarts == {"died": 1, "max_requests": 0, "max_memory": 1}
    assert counters.snapshots() == [], "the dead are not shown"


def test_reloads_are_no_replacements(memory):
    in_process(count_and_die, memory, "start").join()
    in_process(count_and_die, memory, "reload").join()
    counters = Counters(memory)
    counters.claim("reload")
    counters.reloaded()
    assert set(counters.restarts.values()) == {0}
    assert counters.reloads == 1


def wait_and_count(memory, ready, go):
    counters = Counters(memory)
    counters.claim("start")
    counters.words[counters.at + SENT] += 100
    counters.publish({"worker": "w1", "pid": os.getpid()})
    ready.set()
    go.wait(30)


def test_workers_that_live_have_blocks_of_their_own_and_see_each_other(memory):
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    child = in_process(wait_and_count, memory, ready, go)
    assert ready.wait(30)
    counters = Counters(memory)
    counters.claim("start")
    counters.words[counters.at + SENT] += 1
    counters.publish({"worker": "w0", "pid": os.getpid()})
    assert counters.totals()[SENT] == 101
    seen = counters.snapshots()
    assert [each["pid"] for each in seen] == [os.getpid(), child.pid]
    go.set()
    child.join()
    assert [each["pid"] for each in counters.snapshots()] == [os.getpid()]


def test_a_worker_too_many_serves_without_being_seen(memory, monkeypatch, caplog):
    monkeypatch.setattr(module, "PLACES", range(0))
    counters = Counters(memory)
    counters.claim("start")
    counters.words[counters.at + SENT] += 1
    counters.publish({"worker": "w0", "pid": 1})
    assert counters.snapshots() == []


def test_a_snapshot_that_is_too_long_goes_without_its_upstreams(memory):
    counters = Counters(memory)
    counters.claim("start")
    counters.publish({"worker": "w0", "pid": 1, "upstreams": ["x" * 1000] * 100})
    assert counters.snapshots() == [{"worker": "w0", "pid": 1, "upstreams": []}]


def test_requests_are_counted_by_method_status_and_time(memory):
    counters = Counters(memory)
    counters.claim("start")
    app, gate = Toy(), Gate("gate")
    app.loop("/", lambda exchange: answer(exchange, b"hello", 201))
    app.thread("/slow", gate)
    meter = Meter(counters, None)
    with Serving(app, log=meter) as serving:
        serving.server.dispatch = meter.guard(serving.server.dispatch)
        client = serving.connect()
        client.get("/")
        client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 3", body=b"abc")
        client.read("POST")
        client.get("/none")
        slow = serving.connect()
        slow.send("GET /slow HTTP/1.1", "Host: x")
        assert happens(gate.entered)
        assert meter.running == 1
        slow.reset()
        until(lambda: meter.running == 0, "the end of the request that nobody waits for")
        gate.opened.set()
    totals = counters.totals()
    rows = {name: totals[REQUESTS + 5 * at :][:5] for at, name in enumerate(module.METHODS)}
    assert rows["GET"] == [0, 1, 0, 2, 0]
    assert rows["POST"] == [0, 1, 0, 0, 0]
    assert sum(totals[LATENCIES : LATENCIES + len(BOUNDS) + 1]) == 4
    assert (totals[SENT], totals[RECEIVED]) == (10, 3)


def test_threads_lose_no_count(memory):
    counters = Counters(memory)
    counters.claim("start")
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"x"))
    with Serving(app, log=Meter(counters, None), threads=8) as serving:

        def ask():
            client = serving.connect()
            for _ in range(100):
                client.get("/")

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counters.totals()[SENT] == 800


def test_upstreams_are_up_when_all_workers_find_them_so():
    def seen(up, busy):
        member = {"upstream": "@db", "member": "a:1/", "up": up, "busy": busy, "failures": 1 - up}
        return {"upstreams": [member], "connections": {"http/1": busy}}

    workers = [seen(1, 2), seen(0, 3)]
    assert upstreams_of(workers) == [
        {"upstream": "@db", "member": "a:1/", "up": 0, "busy": 5, "failures": 1}
    ]
    assert connections_of(workers) == {"http/1": 5}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_module_that_tells_a_protocol_has_its_connection(name):
    module = importlib.import_module(name)
    found = [each for each in vars(module).values() if getattr(each, "__module__", "") == name]
    assert any(hasattr(each, "check") and hasattr(each, "close") for each in found)


def test_labels_can_not_forge_lines():
    text = prometheus._family("x", "gauge", "About.", [({"name": 'a"} 1\nskitai_y 2\\'}, 3)])
    (family,) = text_string_to_metric_families(text)
    (sample,) = family.samples
    assert sample.labels == {"name": 'a"} 1\nskitai_y 2\\'}


@pytest.mark.parametrize("path", ["health", "/", "/a/", "/a?b", "/a b", "/a//b", '/"', "/%41"])
def test_paths_that_could_never_be_asked_for_are_refused(path):
    with pytest.raises(ConfigError, match="health_path must be the path of a URL"):
        Settings(health_path=path)
