"""The demo's library and field rules, without a server."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

EXAMPLES = str(Path(__file__).parents[2] / "examples")
sys.path.insert(0, EXAMPLES)
fields = importlib.import_module("shelf.fields")
library = importlib.import_module("shelf.library")
SAMPLES = 13

# One worker: waits for the start signal, opens the library, adds 20 books from each of 2 threads.
WORKER = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from shelf.fields import clean
from shelf.library import Library
print("ready", flush=True)
sys.stdin.readline()
library = Library(sys.argv[2])
def add():
    for number in range(20):
        library.add(clean({"title": f"Volume {number}", "author": "Anonymous"}))
threads = [threading.Thread(target=add) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
library.close()
"""


@pytest.fixture
def books(tmp_path):
    opened = library.Library(tmp_path / "books.sqlite3")
    yield opened
    opened.close()


def momo(**changes):
    return fields.clean({"title": "Momo", "author": "Michael Ende", **changes})


def test_first_start_fills_the_shelf(books):
    assert len(books.search()) == SAMPLES
    assert sum(books.counts().values()) == SAMPLES
    assert set(books.counts()) == set(fields.STATUSES)


def test_second_start_keeps_what_is_there(tmp_path):
    path = tmp_path / "new" / "directory" / "books.sqlite3"
    first = library.Library(path)
    book = first.add(momo())
    first.close()
    second = library.Library(path)
    assert second.get(book["id"])["title"] == "Momo"
    assert len(second.search()) == SAMPLES + 1
    second.close()


def test_workers_that_start_together_share_one_shelf(tmp_path):
    path = tmp_path / "books.sqlite3"
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, EXAMPLES, str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
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
    opened = library.Library(path)
    assert len(opened.search()) == SAMPLES + 4 * 2 * 20
    opened.close()


def test_threads_have_their_own_connections(books):
    def work(number):
        book = books.add(momo(year=number))
        results.append(books.get(book["id"])["year"] == number)

    results: list[bool] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 16


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("gödel", "Gödel, Escher, Bach"),
        ("GÖDEL", "Gödel, Escher, Bach"),
        ("jansson", "The Summer Book"),
        ("search party", "Gödel, Escher, Bach"),
    ],
)
def test_search_looks_into_title_author_and_notes(books, words, title):
    assert [book["title"] for book in books.search(q=words)] == [title]


@pytest.mark.parametrize("words", ["%", "_", "' OR 1=1 --", "100%"])
def test_search_takes_every_character_literally(books, words):
    assert books.search(q=words) == []


def test_search_by_status_and_words(books):
    assert {book["status"] for book in books.search("reading")} == {"reading"}
    assert [book["title"] for book in books.search("finished", "calvino")] == ["Invisible Cities"]
    assert books.search("wanted", "calvino") == []


def test_newest_book_comes_first(books):
    books.add(momo())
    assert books.search()[0]["title"] == "Momo"


def test_books_of_an_author_in_the_order_they_were_written(books):
    books.add(momo(year=1973))
    books.add(momo(title="Jim Button", year=1960))
    titles = [book["title"] for book in books.by_author("michael ende")]
    assert titles == ["Jim Button", "Momo"]


def test_change_stores_only_what_is_given(books):
    book = books.add(momo(notes="Time is life."))
    changed = books.change(book["id"], {"rating": 5})
    assert changed == {**book, "rating": 5}
    assert books.get(book["id"]) == changed


def test_remove_happens_once(books):
    book = books.add(momo())
    assert books.remove(book["id"])
    assert not books.remove(book["id"])
    assert books.get(book["id"]) is None


@pytest.mark.parametrize("number", [0, -1, 10**30, "me", "1 OR 1=1"])
def test_unknown_numbers_are_no_books(books, number):
    assert books.get(number) is None
    assert books.change(number, {"rating": 1}) is None
    assert not books.remove(number)


def test_each_reads_in_pages_while_others_write(books):
    reader = books.each(page=2)
    first = next(reader)
    added = books.add(momo())
    numbers = [first["id"]] + [book["id"] for book in reader]
    assert numbers == sorted(numbers)
    assert len(numbers) == SAMPLES + 1
    assert numbers[-1] == added["id"]


def test_a_place_that_cant_be_written_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RuntimeError, match=r"SHELF_DB.*file/books\.sqlite3"):
        library.Library(tmp_path / "file" / "books.sqlite3")


def test_a_file_that_is_no_database_names_the_setting(tmp_path):
    path = tmp_path / "books.sqlite3"
    path.write_text("a shopping list, certainly longer than the header of a database" * 20)
    with pytest.raises(RuntimeError, match=r"SHELF_DB.*not a database"):
        library.Library(path)


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
