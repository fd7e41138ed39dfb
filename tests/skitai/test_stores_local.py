"""The store of one worker: keys as items and attributes, expiry, and many threads at once."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import pytest

from skitai.errors import ConfigError
from skitai.stores import local
from skitai.stores.local import LocalStore


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when it is told to."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(local, "monotonic", lambda: Clock.now)
    return Clock


def in_threads(number, work):
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Keys


def test_items_and_attributes_are_the_same():
    g = LocalStore()
    g.a = 1
    g["b"] = 2
    assert (g["a"], g.b, g.get("a")) == (1, 2, 1)
    g.a = [3]
    assert g["a"] == [3]
    del g.a
    del g["b"]
    assert len(g) == 0


@pytest.mark.parametrize("name", ["__b__", "_private", "__version", "ünder", "class", "was"])
def test_names_of_any_look_are_ordinary_keys(name):
    g = LocalStore()
    setattr(g, name, 2)
    assert (g[name], getattr(g, name), name in g, g.keys()) == (2, 2, True, [name])
    delattr(g, name)
    assert not hasattr(g, name)


def test_keys_need_not_be_text():
    g = LocalStore()
    g[1] = "one"
    g["a", 2] = "two"
    g[None] = None
    assert (g[1], g["a", 2], g[None]) == ("one", "two", None)
    assert None in g


def test_what_is_missing():
    g = LocalStore()
    for missing in (lambda: g["x"], lambda: g.__delitem__("x")):
        with pytest.raises(KeyError, match="'x'"):
            missing()
    for error in (KeyError, AttributeError):
        with pytest.raises(error):
            _ = g.x
        with pytest.raises(error):
            del g.x
    assert g.get("x") is None
    assert g.get("x", 5) == 5
    assert getattr(g, "x", 6) == 6
    assert "x" not in g
    g.remove("x")
    assert g.pop("x") is None
    assert g.pop("x", 7) == 7


@pytest.mark.parametrize("name", ["get", "set", "lock", "clear", "__class__", "__slots__"])
def test_methods_can_not_be_hidden_but_their_names_are_keys(name):
    g = LocalStore()
    with pytest.raises(ConfigError, match=f"{name} is a method of the store"):
        setattr(g, name, 1)
    g[name] = 1
    assert g[name] == 1
    assert g.keys() == [name]


def test_views_are_lists_of_plain_values():
    g = LocalStore()
    g.a, g.b = 1, 2
    g.set("c", 3, timeout=100)
    assert g.keys() == list(g) == ["a", "b", "c"]
    assert g.values() == [1, 2, 3]
    assert g.items() == [("a", 1), ("b", 2), ("c", 3)]
    assert dict(g) == {"a": 1, "b": 2, "c": 3}
    assert len(g) == 3
    assert repr(g) == "LocalStore({'a': 1, 'b': 2, 'c': 3})"
    for key in g:
        g.remove(key)
    assert len(g) == 0


def test_clear_pop_and_setdefault():
    g = LocalStore()
    assert g.setdefault("a", 1) == 1
    assert g.setdefault("a", 2) == 1
    assert g.setdefault("n") is None
    assert g.pop("a") == 1
    g.clear()
    assert g.items() == []


def test_a_store_can_be_probed_like_any_object():
    g = LocalStore()
    assert not hasattr(g, "__len__x")
    assert not callable(g)
    assert not hasattr(g, "__html__")
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="take dict"):
            copied(g)


# Expiry


def test_a_value_vanishes_after_its_time(clock):
    g = LocalStore()
    g.set("a", 1, timeout=10)
    g.set("b", 2, 0.5)
    g.set("c", 3, timeout=0)
    g.set("d", 4, timeout=None)
    clock.now += 0.4
    assert g.keys() == ["a", "b", "c", "d"]
    clock.now += 0.1
    assert "b" not in g
    assert g.get("b", 5) == 5
    assert g.keys() == ["a", "c", "d"]
    clock.now += 9.5
    assert len(g) == 2
    for missing in (lambda: g["a"], lambda: g.a, lambda: g.__delitem__("a")):
        with pytest.raises(KeyError):
            missing()
    assert g.pop("a", 8) == 8
    assert g.setdefault("b", 6) == 6


def test_a_new_value_has_a_new_time(clock):
    g = LocalStore()
    g.set("a", 1, timeout=10)
    g["a"] = 2
    g.set("b", 1, timeout=10)
    clock.now += 6
    g.set("b", 2, timeout=10)
    clock.now += 6
    assert (g.a, g.b) == (2, 2)
    clock.now += 6
    assert g.keys() == ["a"]


def test_counting_keeps_the_time(clock):
    g = LocalStore()
    g.set("tries", 1, timeout=10)
    clock.now += 6
    assert g.increment("tries") == 2
    clock.now += 6
    assert g.increment("tries") == 1
    clock.now += 1000
    assert g.tries == 1


@pytest.mark.parametrize("timeout", [-1, "10", float("nan"), [1]])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ValueError, match="timeout must be seconds"):
        LocalStore().set("a", 1, timeout)


def test_what_nobody_reads_again_does_not_pile_up(clock):
    class Value:
        pass

    g = LocalStore()
    g.kept = 1
    alive = weakref.WeakSet()
    most = 0
    for number in range(5000):
        value = Value()
        alive.add(value)
        g.set(number, value, timeout=10)
        clock.now += 1
        most = max(most, len(alive))
    del value
    gc.collect()
    assert most < 4 * local.SWEEP_AFTER
    assert g.kept == 1
    assert g.keys() == ["kept", *range(4991, 5000)]


# Threads


def test_increments_are_not_lost():
    g = LocalStore()

    def work():
        for _ in range(2000):
            g.increment("n")
            g.increment("half", 0.5)

    in_threads(4, work)
    assert (g.n, g.half) == (8000, 4000.0)


def test_the_lock_makes_more_than_one_step_atomic():
    g = LocalStore()
    g.n = 0
    g.log = []

    def work():
        for _ in range(1000):
            with g.lock:
                g["n"] += 1
                g.log.append(g.n)

    in_threads(4, work)
    assert g.n == 4000
    assert g.log == list(range(1, 4001))


def test_a_writer_waits_for_the_lock_and_a_reader_does_not():
    g = LocalStore()
    g.a = 1
    seen = []
    with g.lock:
        writer = threading.Thread(target=lambda: g.__setitem__("a", 2))
        writer.start()
        reader = threading.Thread(target=lambda: seen.append((g.a, g.get("a"), g.items())))
        reader.start()
        reader.join(10)
        assert seen == [(1, 1, [("a", 1)])]
        assert writer.is_alive()
    writer.join(10)
    assert g.a == 2


def test_reading_all_while_others_write_never_fails():
    g = LocalStore()
    done = threading.Event()
    failures = []

    def write():
        for number in range(3000):
            g.set(number % 700, number, timeout=0.0001 if number % 2 else 0)
            g.remove((number * 7) % 700)
        done.set()

    def read():
        try:
            while not done.is_set():
                g.items()
                len(g)
                g.get(5)
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=target) for target in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
