"""Numbers that processes share: ``skitai.g`` and the times of cache keys."""

from __future__ import annotations

import copy
import fcntl
import math
import multiprocessing
import os
import pickle
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run_python

from skitai.errors import ConfigError
from skitai.stores.shared import CAPACITY, LIMIT, SharedHandle, SharedSlots

if TYPE_CHECKING:
    from collections.abc import Callable


def slots(*names: str) -> SharedSlots:
    g = SharedSlots()
    g.register(*names)
    return g


# Names


def test_a_slot_is_0_and_int_in_the_beginning() -> None:
    g = slots("a", "b.c")
    assert [g["a"], g["b.c"]] == [0, 0]
    assert type(g["a"]) is int


def test_names_are_given_one_by_one_or_in_lists_and_may_be_repeated() -> None:
    g = slots("a")
    g["a"] = 3
    g.register(["a", "b"], "c", ("d",))
    assert g.items() == [("a", 3), ("b", 0), ("c", 0), ("d", 0)]
    assert (g.keys(), g.values()) == (["a", "b", "c", "d"], [3, 0, 0, 0])
    assert (len(g), list(g), dict(g)["a"]) == (4, ["a", "b", "c", "d"], 3)
    assert "a" in g
    assert "e" not in g
    assert 5 not in g


def test_names_can_stand_above_a_class() -> None:
    g = SharedSlots()

    @g.register("tables.users")
    class Users:
        pass

    assert isinstance(Users(), Users)
    assert "tables.users" in g


@pytest.mark.parametrize("access", ["get", "set", "delta", "touch", "version", "item", "attribute"])
def test_a_name_that_is_not_registered_is_refused_by_name(access: str) -> None:
    g = slots("visits")
    calls = {
        "get": lambda: g.get("visitz"),
        "set": lambda: g.set("visitz", 1),
        "delta": lambda: g.delta("visitz"),
        "touch": lambda: g.touch("visitz"),
        "version": lambda: g.version("visitz"),
        "item": lambda: g["visitz"],
        "attribute": lambda: g.visitz,
    }
    with pytest.raises(KeyError) as caught:
        calls[access]()
    assert str(caught.value) == (
        "skitai.g has no slot 'visitz': call skitai.register_g('visitz') before skitai.run() or in "
        "__config__"
    )
    assert isinstance(caught.value, AttributeError) or access != "attribute"


def test_get_has_a_default_for_names_that_are_not_registered() -> None:
    g = slots("a")
    assert g.get("a", 7) == 0
    assert g.get("b", 7) == 7
    assert g.get("b", None) is None


@pytest.mark.parametrize("name", ["", 5, None, b"a", "x" * 128, "ü" * 64, "a\nb", "a\0"])
def test_wrong_names_are_refused(name: object) -> None:
    for names in (name, [name]):
        with pytest.raises(ConfigError, match="^register_g: "):
            SharedSlots().register(names)  # type: ignore[arg-type]  # that's the point


def test_the_longest_names_are_kept() -> None:
    g = slots("x" * 127, "ü" * 63)
    g["ü" * 63] = 2
    assert g.items() == [("x" * 127, 0), ("ü" * 63, 2)]


def test_there_may_be_256_names() -> None:
    g = slots(*(f"n{number}" for number in range(LIMIT)))
    for number in range(LIMIT):
        g[f"n{number}"] = number
    assert g.values() == list(range(256))
    g.register("n0")
    with pytest.raises(ConfigError, match="'more' is one name too many, there may be 256"):
        g.register("more")
    assert len(g) == 256


# Values


@given(st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans())
def test_numbers_come_back_with_their_type(value: float) -> None:
    _ANY["n"] = value
    found = _ANY["n"]
    assert type(found) is (float if isinstance(value, float) else int)
    assert found == value or (math.isnan(found) and math.isnan(value))


_ANY = slots("n")


@pytest.mark.parametrize("value", ["1", None, [], {}, b"1", 1j, object()])
def test_what_is_no_number_is_refused(value: object) -> None:
    g = slots("a")
    g["a"] = 5
    for write in (lambda: g.set("a", value), lambda: g.delta("a", value)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"skitai\.g keeps numbers, int or float, not "):
            write()
    assert g["a"] == 5


def test_whole_numbers_have_64_bits() -> None:
    g = slots("a")
    g["a"] = 2**63 - 1
    for write in (
        lambda: g.delta("a"),
        lambda: g.set("a", 2**63),
        lambda: g.set("a", -(2**63) - 1),
    ):
        with pytest.raises(OverflowError, match="64 bits"):
            write()
    assert g["a"] == 2**63 - 1
    g["a"] = -(2**63)
    assert g["a"] == -(2**63)


def test_delta_adds_and_returns_the_sum() -> None:
    g = slots("a")
    assert [g.delta("a"), g.delta("a", 5), g.delta("a", -10)] == [1, 6, -4]
    assert g.delta("a", 0.5) == -3.5
    assert g["a"] == -3.5


def test_keys_are_attributes() -> None:
    g = slots("visits", "keys")
    g.visits = 3
    g.visits += 1
    assert (g.visits, g["visits"]) == (4, 4)
    with pytest.raises(ConfigError, match=r"keys is a method .* write skitai\.g\['keys'\]"):
        g.keys = 3  # type: ignore[method-assign,assignment]  # that's the point
    g["keys"] = 3
    assert g["keys"] == 3
    assert not hasattr(g, "other")


def test_it_cannot_be_copied_or_pickled() -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"take dict\(skitai\.g\)"):
            attempt(slots("a"))
    assert repr(slots("a")) == "SharedSlots({'a': 0})"


# Times


def test_a_slot_that_was_never_touched_counts_as_the_start() -> None:
    before = time.time()
    g = slots("a", "b")
    assert before <= g.updated("a") <= time.time()
    assert g.updated() == g.updated("a", "b")


def test_touching_sets_the_time_of_the_newest() -> None:
    g = slots("a", "b", "c")
    before = time.time()
    first = g.touch("a")
    assert before <= first <= time.time()
    assert (g["a"], g.updated("a", "c")) == (first, first)
    second = g.touch("b")
    assert g.updated("a", "b", "c") == second > first
    with pytest.raises(KeyError, match="no slot 'd'"):
        g.updated("a", "d")


def test_each_touch_is_later_than_the_one_before_even_if_the_clock_is_not() -> None:
    g = slots("a")
    times = [g.touch("a") for _ in range(10_000)]
    assert times == sorted(set(times))
    g["a"] = future = time.time() + 1000
    assert g.touch("a") > future


def test_every_write_makes_another_version() -> None:
    g = slots("a", "b")
    seen = [g.version("a")]
    for write in (
        lambda: g.set("a", 0),
        lambda: g.set("a", 0),
        lambda: g.set("a", 0.0),
        lambda: g.touch("a"),
        lambda: g.delta("a", 0),
    ):
        write()
        seen.append(g.version("a"))
    assert len(set(seen)) == 6
    assert g.version("b") == seen[0]


# Threads and processes

THREADS = 4
ROUNDS = 2000


def add(g: SharedSlots) -> None:
    for _ in range(ROUNDS):
        g.delta("sum")
        g.delta("float", 0.5)


def join_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_no_addition_of_threads_is_lost() -> None:
    g = slots("sum", "float")
    join_all([threading.Thread(target=add, args=(g,)) for _ in range(THREADS)])
    assert dict(g) == {"sum": THREADS * ROUNDS, "float": THREADS * ROUNDS / 2}


def forked(work: Callable[[], None]) -> int:
    """Run a function in a forked process; its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def succeeded(pids: list[int]) -> bool:
    return all(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 for pid in pids)


def test_no_addition_of_forked_processes_with_threads_is_lost() -> None:
    g = slots("sum", "float")

    def work() -> None:
        join_all([threading.Thread(target=add, args=(g,)) for _ in range(2)])

    assert succeeded([forked(work) for _ in range(3)])
    assert dict(g) == {"sum": 6 * ROUNDS, "float": 6 * ROUNDS / 2}


def test_a_reader_never_sees_half_of_a_number() -> None:
    """Of a float and an int with nothing in common, the bits of one are never read as the other."""
    g = slots("n", "end")
    values = [2**62 + 12345, -1.5e300, -7, 2.0**-1000, 0x0123456789ABCDEF]

    def write() -> None:
        while not g["end"]:
            for value in values:
                g["n"] = value

    writers = [forked(write) for _ in range(2)]
    known = {(type(value), value) for value in [0, *values]}
    seen = set()
    try:
        deadline = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < deadline:
            for _ in range(20_000):
                value = g["n"]
                seen.add((type(value), value))
        assert seen <= known
        assert len(seen) >= 5, "there was nothing to tear"
    finally:
        g["end"] = 1
        assert succeeded(writers)


def test_a_killed_writer_locks_nobody_out() -> None:
    g = slots("n", "rounds")

    def write() -> None:
        while True:
            g.delta("n")

    for _ in range(20):
        before = g["n"]
        pid = forked(write)
        while g["n"] < before + 10:
            pass
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        now = g["n"]
        assert g.delta("n") == now + 1


def test_what_another_process_registers_later_is_the_same_slot_here() -> None:
    g = slots("a")

    def work() -> None:
        g.register("x", "y")
        g["y"] = 5

    assert succeeded([forked(work)])
    assert "y" not in g
    g.register("y", "z")
    g["z"] = 7
    assert dict(g) == {"a": 0, "y": 5, "z": 7}
    g.register("x")
    assert g["x"] == 0


# Joining


def joined(g: SharedSlots, *names: str) -> SharedSlots:
    """Slots as a new program would have them that knows these names."""
    other = slots(*names)
    other.join(os.dup(g.handle()._descriptor))
    return other


def test_new_code_finds_the_values_of_the_names_it_shares_with_the_old() -> None:
    old = slots("a", "b", "c")
    old.a, old.b, old.c = 1, 2.5, 3
    new = joined(old, "d", "c", "a")
    assert dict(new) == {"d": 0, "c": 3, "a": 1}
    new.c = 30
    assert old.c == 30
    old.register("d")
    new.delta("d", 4)
    assert old.d == 4
    assert new.updated("d") == new.updated()
    assert new.updated() == old.updated()


def test_first_values_count_for_names_that_are_new() -> None:
    old = slots("visits")
    old.visits = 100
    new = SharedSlots()
    new.register("visits", "limit")
    new.visits, new.limit = 0, 20
    new.join(os.dup(old.handle()._descriptor))
    assert dict(new) == {"visits": 100, "limit": 20}


def test_there_is_room_for_the_names_of_many_states_of_the_code() -> None:
    g = slots("kept")
    g.kept = 1
    for state in range(CAPACITY // LIMIT):
        joined(g, "kept", *(f"{state}.{number}" for number in range(LIMIT - 1)))
    with pytest.raises(ConfigError, match="no room for .* stop the service and start it again"):
        joined(g, *(f"new{number}" for number in range(LIMIT)))
    assert joined(g, "kept").kept == 1


def test_other_descriptors_are_refused() -> None:
    g = slots("a")
    read, write = os.pipe()
    other = os.memfd_create("other")
    small = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    os.ftruncate(small, 100)
    fcntl.fcntl(small, fcntl.F_ADD_SEALS, 1 | 2 | 4)
    foreign = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    os.ftruncate(foreign, os.fstat(g.handle()._descriptor).st_size)
    fcntl.fcntl(foreign, fcntl.F_ADD_SEALS, 1 | 2 | 4)
    for descriptor in (read, other, small, foreign, 98765):
        with pytest.raises(ConfigError, match="is not the memory of a service .*start it again"):
            g.join(descriptor)
    for descriptor in (read, write, other, small, foreign):
        os.close(descriptor)
    g.a = 3
    assert g.a == 3


def work_elsewhere(handle: SharedHandle, end: int) -> None:
    g = SharedSlots()
    handle.join(g)
    add(g)
    g["pid"] = end


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_of_multiprocessing_share_the_slots(method: str) -> None:
    g = slots("sum", "float", "pid")
    context = multiprocessing.get_context(method)
    workers = [
        context.Process(target=work_elsewhere, args=(g.handle(), number)) for number in (1, 2)
    ]
    for worker in workers:
        worker.start()
    add(g)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
        worker.close()
    assert (g["sum"], g["float"]) == (3 * ROUNDS, 1.5 * ROUNDS)
    assert g["pid"] in (1, 2)


# In plain processes


def test_a_script_without_a_service_can_use_it() -> None:
    done = run_python(
        "import skitai, sys\n"
        "assert 'multiprocessing' not in sys.modules\n"
        "skitai.register_g('a', 'b')\n"
        "skitai.g.a = 1\n"
        "skitai.g.delta('a', 2)\n"
        "print(dict(skitai.g), len(skitai.g), skitai.g.updated('b') > 1e9)\n",
        "-W", "error",
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("{'a': 3, 'b': 0} 2 True\n", "")


def test_unused_slots_take_no_descriptor() -> None:
    done = run_python(
        "import os\n"
        "before = os.listdir('/proc/self/fd')\n"
        "import skitai\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "skitai.register_g('a')\n"
        "print(len(os.listdir('/proc/self/fd')) - len(before))\n"
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_no_program_that_is_started_inherits_the_memory() -> None:
    g = slots("a")
    descriptor = g.handle()._descriptor
    assert not os.get_inheritable(descriptor)
    del g
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
