"""The demo's library and field rules, without a server."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from shelf_worker import fields, library, working

SAMPLES = 13

# One worker: waits for the start signal, opens the library, adds 20 books from each of 2 threads.
WORKER = """
import sys, threading
from shelf_worker import fields, library, working
with working(sys.argv[1]) as was:
    print("ready", flush=True)
    sys.stdin.readline()
    library.prepare(was)
    def add():
        for number in range(20):
            book = fields.clean({"title": f"Volume {number}", "author": "Anonymous"})
            library.add(was.db("@shelf"), book).commit()
    threads = [threading.Thread(target=add) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


@pytest.fixture
def was(tmp_path):
    with working(tmp_path / "books.sqlite3") as was:
        library.prepare(was)
        yield was


@pytest.fixture
def db(was):
    return was.db("@shelf")


def momo(**changes):
    return fields.clean({"title": "Momo", "author": "Michael Ende", **changes})


def titles(task):
    return [book.title for book in task.fetch()]


def test_first_start_fills_the_shelf(db):
    assert len(library.search(db).fetch()) == SAMPLES
    counts = {row.status: row.books for row in library.counts(db).fetch()}
    assert sum(counts.values()) == SAMPLES
    assert set(counts) == set(fields.STATUSES)


def test_second_start_keeps_what_is_there(tmp_path):
    path = tmp_path / "books 2.sqlite3"
    with working(path) as was:
        library.prepare(was)
        book = library.add(was.db("@shelf"), momo()).one()
    with working(path) as was:
        library.prepare(was)
        assert library.get(was.db("@shelf"), book.id).one().title == "Momo"
        assert len(library.search(was.db("@shelf")).fetch()) == SAMPLES + 1
    assert os.listdir(tmp_path) == [path.name]


def test_a_first_start_that_fails_leaves_nothing_half_done(tmp_path, monkeypatch):
    path = tmp_path / "books.sqlite3"
    with working(path) as was:
        monkeypatch.setattr(library, "SAMPLES", [{"title": "Alone"}])
        with pytest.raises(fields.BadField):
            library.prepare(was)
        monkeypatch.undo()
        library.prepare(was)
        assert len(library.search(was.db("@shelf")).fetch()) == SAMPLES


def test_workers_that_start_together_share_one_shelf(tmp_path):
    path = tmp_path / "books.sqlite3"
    here = Path(__file__).parent
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", WORKER, str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "PYTHONPATH": f"{here}:{here.parents[1]}"},
                )
            )
            for _ in range(4)
        ]
        for worker in workers:
            assert worker.stdout.readline() == "ready\n", worker.stderr.read()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            _, error = worker.communicate(timeout=60)
            assert (worker.returncode, error) == (0, "")
    with working(path) as was:
        assert len(library.search(was.db("@shelf")).fetch()) == SAMPLES + 4 * 2 * 20


def test_threads_share_the_library(was):
    def work(number):
        book = library.add(was.db("@shelf"), momo(year=number)).one()
        results.append(library.get(was.db("@shelf"), book.id).one().year == number)

    results: list[bool] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 16


def test_coroutines_await_the_library(db):
    async def work():
        added = await library.add(db, momo())
        book = await library.get(db, added.one().id)
        return book.one().title

    assert asyncio.run(work()) == "Momo"


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("gödel", "Gödel, Escher, Bach"),
        ("GÖDEL", "Gödel, Escher, Bach"),
        ("jansson", "The Summer Book"),
        ("search party", "Gödel, Escher, Bach"),
    ],
)
def test_search_looks_into_title_author_and_notes(db, words, title):
    assert titles(library.search(db, q=words)) == [title]


@pytest.mark.parametrize("words", ["%", "_", "' OR 1=1 --", "100%", "{}"])
def test_search_takes_every_character_literally(db, words):
    assert library.search(db, q=words).fetch() == []


def test_search_by_status_and_words(db):
    assert {book.status for book in library.search(db, "reading").fetch()} == {"reading"}
    assert titles(library.search(db, "finished", "calvino")) == ["Invisible Cities"]
    assert titles(library.search(db, "wanted", "calvino")) == []


def test_newest_book_comes_first(db):
    library.add(db, momo()).commit()
    assert titles(library.search(db))[0] == "Momo"


def test_books_of_an_author_in_the_order_they_were_written(db):
    library.add(db, momo(year=1973)).commit()
    library.add(db, momo(title="Jim Button", year=1960)).commit()
    assert titles(library.by_author(db, "michael ende")) == ["Jim Button", "Momo"]


def test_change_stores_only_what_is_given(db):
    book = library.add(db, momo(notes="Time is life.")).one()
    changed = library.change(db, book.id, {"rating": 5}).one()
    assert changed == {**book, "rating": 5}
    assert library.get(db, book.id).one() == changed
    assert library.change(db, book.id, {}).one() == changed


def test_remove_happens_once(db):
    book = library.add(db, momo()).one()
    assert library.remove(db, book.id).fetch() == [{"id": book.id}]
    assert library.remove(db, book.id).fetch() == []
    assert library.get(db, book.id).fetch() == []


@pytest.mark.parametrize("number", [0, -1, 10**30, "me", "1 OR 1=1"])
def test_unknown_numbers_are_no_books(db, number):
    assert library.get(db, number).fetch() == []
    assert library.change(db, number, {"rating": 1}).fetch() == []
    assert library.remove(db, number).fetch() == []


def test_all_books_are_read_in_pages_while_others_write(db):
    numbers = [book.id for book in library.page_after(db, 0, size=2).fetch()]
    added = library.add(db, momo()).one()
    while books := library.page_after(db, numbers[-1], size=2).fetch():
        numbers += [book.id for book in books]
    assert numbers == sorted(numbers)
    assert len(numbers) == SAMPLES + 1
    assert numbers[-1] == added.id


def test_a_book_knows_its_day(db):
    book = library.add(db, momo()).one()
    today = db.execute("SELECT date('now') AS today").one().today
    assert book.added.isoformat() == today


def test_a_place_that_cant_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "books.sqlite3"
    with working(path) as was, pytest.raises(sqlite3.OperationalError, match=str(path)):
        library.prepare(was)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "books.sqlite3"
    path.write_text("a shopping list, certainly longer than the header of a database" * 20)
    with working(path) as was, pytest.raises(sqlite3.DatabaseError, match=rf"not a.*{path}"):
        library.prepare(was)


def test_clean_makes_a_whole_book_of_a_form():
    form = {"title": "  Momo\n", "author": "Michael  Ende", "year": "1973", "rating": "4"}
    assert fields.clean(form) == {
        "title": "Momo",
        "author": "Michael Ende",
        "year": 1973,
        "status": "wanted",
        "rating": 4,
        "notes": "",
    }


def test_clean_of_a_change_adds_nothing():
    assert fields.clean({"year": ""}, whole=False) == {"year": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": " "}, "title must not be empty"),
        ({"title": 7}, "title must be text"),
        ({"title": ["a"]}, "title must be text"),
        ({"title": "a" * 201}, "at most 200"),
        ({"author": None}, "author must be text"),
        ({"year": "soon"}, "year must be a whole number"),
        ({"year": 1973.5}, "year must be a whole number"),
        ({"year": 9999}, "from -3000 to 2200"),
        ({"rating": 6}, "from 0 to 5"),
        ({"rating": True}, "rating must be a whole number"),
        ({"rating": None}, "rating must be a whole number"),
        ({"status": "burnt"}, "wanted, reading, finished"),
        ({"status": ["reading"]}, "status is one of"),
        ({"id": 4}, "no field 'id'"),
        ({"pages": 4}, "no field 'pages'"),
    ],
)
def test_clean_says_what_is_wrong(change, message):
    with pytest.raises(fields.BadField, match=message):
        momo(**change)
