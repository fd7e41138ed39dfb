"""Results that are kept until they are too old or their cache keys are updated."""

from __future__ import annotations

import datetime
import decimal
import os
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.errors import ConfigError
from skitai.sql.rows import Row
from skitai.stores import result_cache
from skitai.stores.copies import ENTRY_BYTES, Kept, NotKept
from skitai.stores.result_cache import ResultCache
from skitai.stores.shared import SharedSlots
from skitai.tasks.reply import Reply

MEGABYTE = 1024 * 1024


@pytest.fixture
def g() -> SharedSlots:
    slots = SharedSlots()
    slots.register("users", "photos")
    return slots


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(result_cache, "monotonic", clock)
    return clock


def keep(cache: ResultCache, key: object, value: Any, names: Any = (), age: Any = None) -> None:
    cache.put(key, value, cache.stamp(names), age)


# How long a result counts


def test_a_result_is_kept_for_its_age(g: SharedSlots, clock: Clock) -> None:
    cache = ResultCache(g)
    stamp = cache.stamp()
    clock.now += 4  # the query takes that long; what it brings is that old
    cache.put("q", [1], stamp, 10)
    clock.now += 5.9
    assert cache.get("q") == [1]
    clock.now += 0.2
    assert cache.get("q") is None
    assert (len(cache), cache.size) == (0, 0)


def test_a_result_without_an_age_is_kept_until_a_name_is_updated(
    g: SharedSlots, clock: Clock
) -> None:
    cache = ResultCache(g)
    keep(cache, "q", [1], ["users", "photos"])
    clock.now += 1e9
    assert cache.get("q", ["users", "photos"]) == [1]
    g.touch("photos")
    assert cache.get("q", ["users", "photos"]) is None
    assert len(cache) == 0


def test_an_age_and_names_count_both(g: SharedSlots, clock: Clock) -> None:
    cache = ResultCache(g)
    keep(cache, "q", [1], ["users"], 10)
    g.touch("photos")
    assert cache.get("q", ["users"]) == [1]
    clock.now += 10
    assert cache.get("q", ["users"]) is None
    keep(cache, "q", [1], ["users"], 10)
    g.touch("users")
    assert cache.get("q", ["users"]) is None


def test_what_was_updated_after_the_query_was_sent_makes_its_result_useless(
    g: SharedSlots, clock: Clock
) -> None:
    """The clocks show the same: it is the order that counts."""
    cache = ResultCache(g)
    stamp = cache.stamp(["users"])
    g.touch("users")
    cache.put("q", ["may be old"], stamp)
    assert (cache.get("q", ["users"]), len(cache)) == (None, 0)
    keep(cache, "q", ["new"], ["users"])
    assert cache.get("q", ["users"]) == ["new"]


def test_every_way_to_write_a_slot_is_an_update(g: SharedSlots) -> None:
    cache = ResultCache(g)
    for write in (lambda: g.set("users", 0), lambda: g.delta("users", 0), lambda: g.touch("users")):
        keep(cache, "q", [1], ["users"])
        assert cache.get("q", ["users"]) == [1]
        write()
        assert cache.get("q", ["users"]) is None


def test_a_result_that_was_stored_with_fewer_names_does_not_count(g: SharedSlots) -> None:
    cache = ResultCache(g)
    keep(cache, "q", [1], ["users"], 100)
    assert cache.get("q", ["users", "photos"]) is None
    assert cache.get("q", ["users"]) == [1]
    assert cache.get("q") == [1]


def test_names_have_to_be_registered(g: SharedSlots) -> None:
    with pytest.raises(KeyError, match="no slot 'user'"):
        ResultCache(g).stamp(["user"])


def test_the_result_of_the_later_query_stays(g: SharedSlots, clock: Clock) -> None:
    cache = ResultCache(g)
    first = cache.stamp()
    clock.now += 1
    second = cache.stamp()
    cache.put("q", "second", second, 10)
    cache.put("q", "first", first, 100)
    assert cache.get("q") == "second"
    clock.now += 20
    cache.put("q", "first", first, 100)
    assert cache.get("q") == "first"


@pytest.mark.parametrize("age", [0, -1])
def test_an_age_of_nothing_removes(g: SharedSlots, age: int) -> None:
    cache = ResultCache(g)
    keep(cache, "q", [1], age=10)
    keep(cache, "q", [1], age=age)
    assert (cache.get("q"), cache.size) == (None, 0)
    keep(cache, "never", [1], age=age)
    assert len(cache) == 0


def test_an_update_by_another_process_counts(g: SharedSlots) -> None:
    cache = ResultCache(g)
    keep(cache, "q", [1], ["users"])
    pid = os.fork()
    if pid == 0:
        g.touch("users")
        os._exit(0)
    os.waitpid(pid, 0)
    assert cache.get("q", ["users"]) is None


def test_all_can_be_forgotten(g: SharedSlots) -> None:
    cache = ResultCache(g)
    keep(cache, "q", [1])
    cache.clear()
    assert (cache.get("q"), len(cache), cache.size) == (None, 0, 0)


# Whose a result is

ROWS = [
    Row(id=1, name="a", price=decimal.Decimal("1.5"), at=datetime.datetime.now(), raw=b"x"),
    Row(id=2, name=None, price=decimal.Decimal(2), at=datetime.date.today(), raw=uuid.uuid4()),
]


def test_nobody_changes_the_rows_of_another(g: SharedSlots) -> None:
    cache = ResultCache(g)
    rows = [Row(row) for row in ROWS]
    keep(cache, "q", Reply(rows), age=10)
    rows[0].name = "changed by who asked the database"
    rows.clear()
    first, second = cache.get("q"), cache.get("q")
    assert first.data == ROWS
    first.data[0].name = "changed by who asked the cache"
    first.data[1].clear()
    first.data.append(3)
    first.node = "x"
    assert [type(row) for row in second.data] == [Row, Row]
    assert (second.data, second.node, cache.get("q").data) == (ROWS, "", ROWS)


class OwnReply(Reply):
    """As drivers have them: with slots of its own, one that is never set, shared parts."""

    __slots__ = ("_mark", "headers", "unset")

    mark = object()

    def __init__(self, data: Any) -> None:
        super().__init__(data, 203, "Fine")
        self._mark = OwnReply.mark
        self.headers = Unknown()


class Unknown:
    pass


class OpenReply(Reply):
    """Without slots."""


def test_a_reply_comes_back_as_it_was(g: SharedSlots) -> None:
    cache = ResultCache(g)
    reply = OwnReply({"a": [1, {"b": 2}]})
    keep(cache, "q", reply, age=10)
    found = cache.get("q")
    assert type(found) is OwnReply
    assert found is not reply
    assert (found.status_code, found.reason, found.error, found.node) == (203, "Fine", None, "")
    assert found._mark is OwnReply.mark
    assert found.headers is reply.headers
    assert not hasattr(found, "unset")
    found.data["a"][1]["b"] = 3
    assert cache.get("q").data == {"a": [1, {"b": 2}]}


def test_a_reply_with_a_dictionary_of_attributes_comes_back_as_it_was(g: SharedSlots) -> None:
    cache = ResultCache(g)
    reply = OpenReply("text")
    reply.notes = [1]  # type: ignore[attr-defined]  # what it is about
    keep(cache, "q", reply, age=10)
    cache.get("q").notes.append(2)
    assert (cache.get("q").notes, cache.get("q").data) == ([1], "text")


VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False) | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


def containers(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [id(value), *(found for each in value.values() for found in containers(each))]
    if isinstance(value, (list, tuple)):
        own = [id(value)] if isinstance(value, list) else []
        return own + [found for each in value for found in containers(each)]
    return []


@given(VALUES | st.lists(st.dictionaries(st.text(), st.integers() | st.text())))
def test_copies_are_equal_and_share_nothing_that_can_be_changed(value: Any) -> None:
    kept = Kept(value, MEGABYTE)
    first, second = kept.copy(), kept.copy()
    assert first == second == value
    assert not {*containers(first)} & {*containers(second)}
    assert not {*containers(first), *containers(second)} & {*containers(value)}


@pytest.mark.parametrize(
    "value",
    [
        [Row(a=[1])],  # a row with an array
        [Row(a=1), {"a": 1}],
        [{"a": 1}, Row(a=1)],
        [{"a": 1}, 5],
        [],
        {1, 2},
        bytearray(b"abc"),
        [Row()],
    ],
)
def test_types_are_kept(value: Any) -> None:
    copy = Kept(value, MEGABYTE).copy()
    assert copy == value
    assert type(copy) is type(value)
    if isinstance(value, list):
        assert [type(each) for each in copy] == [type(each) for each in value]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [[lambda: 0], {"a": threading.Lock()}, nested(100_000), (n for n in [])]
)
def test_what_cannot_be_copied_is_not_kept(g: SharedSlots, value: Any) -> None:
    cache = ResultCache(g)
    keep(cache, "q", value, age=10)
    keep(cache, "r", Reply(value if isinstance(value, (list, dict)) else [value]), age=10)
    assert len(cache) == 0


# How much is kept


def test_when_there_is_no_room_the_fifth_goes_that_expires_first(
    g: SharedSlots, clock: Clock
) -> None:
    cache = ResultCache(g, max_entries=10)
    ages = [50, None, 20, 40, 10, None, 30, 70, 60, 80]
    for number, age in enumerate(ages):
        clock.now += 1
        keep(cache, number, [number], age=age and age - number)  # as if all had begun at once
    assert len(cache) == 10
    keep(cache, 10, [10], age=5)
    assert [number for number in range(11) if cache.get(number) is None] == [2, 4]
    assert len(cache) == 9
    keep(cache, 11, [11], age=90)
    keep(cache, 12, [12], age=90)
    assert [number for number in range(13) if cache.get(number) is None] == [2, 4, 6, 10]


def test_results_that_do_not_count_any_more_go_first(g: SharedSlots, clock: Clock) -> None:
    cache = ResultCache(g, max_entries=4)
    keep(cache, "expires first", 1, age=5)
    keep(cache, "updated", 2, ["users"], 1000)
    keep(cache, "too old", 3, age=1)
    keep(cache, "later", 4, age=100)
    g.touch("users")
    clock.now += 2
    keep(cache, "new", 5, age=100)
    assert [cache.get(key) for key in ("expires first", "later", "new")] == [1, 4, 5]
    assert len(cache) == 3


def test_of_those_that_never_expire_the_oldest_goes_first(g: SharedSlots, clock: Clock) -> None:
    cache = ResultCache(g, max_entries=5)
    for number in (3, 1, 2, 5, 4, 6):
        clock.now += 1
        keep(cache, number, number, ["users"])
    assert [number for number in range(1, 7) if cache.get(number) is None] == [3]


def test_storing_again_takes_no_more_room(g: SharedSlots) -> None:
    cache = ResultCache(g, max_entries=2)
    keep(cache, "a", "x" * 1000)
    keep(cache, "b", "x")
    size = cache.size
    for _ in range(10):
        keep(cache, "a", "x" * 1000)
    assert (len(cache), cache.size) == (2, size)
    assert cache.get("b") == "x"


def test_bytes_are_limited(g: SharedSlots) -> None:
    cache = ResultCache(g, max_bytes=MEGABYTE)
    for number in range(100):
        keep(cache, number, [{"text": "x" * 50_000}], age=1000 + number)
        assert cache.size <= MEGABYTE
    assert 10 < len(cache) < 21
    assert cache.get(99) == [{"text": "x" * 50_000}]
    keep(cache, "too big", "x" * (MEGABYTE // 8))
    assert cache.get("too big") is None


@pytest.mark.parametrize(
    "value",
    [
        "x" * MEGABYTE,
        [Row(text="x" * 1000)] * 1000,
        [{"number": number} for number in range(30_000)],
        {"a": ["x" * 1000 + str(number) for number in range(1000)]},
        Reply([{"a": [number]} for number in range(100_000)]),
        Reply("x" * MEGABYTE),
    ],
)
def test_what_is_too_big_is_refused(value: Any) -> None:
    with pytest.raises(NotKept):
        Kept(value, MEGABYTE // 2)


def test_sizes_are_about_right() -> None:
    text = "x" * 10_000
    for value in (text, [text], Reply([{"a": text}]), {"b": {"c": text}}, [Row(a=text)]):
        assert 10_000 < Kept(value, MEGABYTE).size < 12_000
    assert Kept(None, MEGABYTE).size >= ENTRY_BYTES


def test_the_number_of_results_can_be_set(g: SharedSlots) -> None:
    cache = ResultCache(g)
    for number in range(150):
        keep(cache, number, number)
    assert 80 <= len(cache) <= 100
    cache.limit(10)
    assert 0 < len(cache) <= 10
    cache.limit(0)
    assert (len(cache), cache.size) == (0, 0)
    keep(cache, "q", 1)
    assert len(cache) == 0
    cache.limit(1)
    keep(cache, "q", 1)
    keep(cache, "r", 2)
    assert (cache.get("q"), cache.get("r")) == (None, 2)


@pytest.mark.parametrize("entries", [-1, "5", None, 1.5, True])
def test_a_wrong_number_of_results_is_refused(g: SharedSlots, entries: Any) -> None:
    with pytest.raises(ConfigError, match="set_max_rcache: .* 0 or more, not .*: give 100"):
        ResultCache(g).limit(entries)


# Threads


def test_threads_see_whole_results_and_never_one_from_before_an_update(g: SharedSlots) -> None:
    """What a writer counts up, readers get from a slow database by way of the cache."""
    cache = ResultCache(g, max_entries=3)
    database = {"value": 0}
    problems: list[str] = []
    ended = threading.Event()

    def write() -> None:
        for _ in range(300):
            database["value"] += 1
            g.touch("users")
        ended.set()

    def read(number: int) -> None:
        while not ended.is_set():
            before = database["value"]
            version = g.version("users")
            key = ("q", number % 5)
            rows = cache.get(key, ["users"])
            if rows is None:
                stamp = cache.stamp(["users"])
                rows = [Row(value=database["value"], twin=[database["value"]])]
                cache.put(key, rows, stamp)
            elif version == g.version("users") and rows[0].value < before - 1:
                problems.append(f"{rows} when there was {before}")
            rows[0].value = -1
            number += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert 0 <= len(cache) <= 3
    assert (cache.size > 0) == (len(cache) > 0)
