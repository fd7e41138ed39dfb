"""Numbers, cache keys, locks and aliases over the workers of a service, and over its reloads."""

from __future__ import annotations

import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from live_service import eventually, run_script, write_files
from load import Load

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    skitai.register_g ("first")
    skitai.g.first = 1000

    if __name__ == "__main__":
        with skitai.preference () as pref:
            skitai.alias ("@lite", skitai.DB_SQLITE3, ["./lite.db"])
            skitai.mount ("/", myapp, pref)
        skitai.run (address="127.0.0.1", access_log=False, workers=3)
"""

APP = """
    import os
    import time

    import skitai
    from atila import Atila

    CODE = "one"

    def __config__ (pref):
        skitai.register_g ("visits", "tables.users")

    def __app__ ():
        return Atila (__name__)

    def __setup__ (app, mntopt):
        skitai.register_g ("late")

    def __mount__ (app, mntopt):
        @app.route ("/visit")
        def visit (was):
            skitai.g.delta ("late")
            return was.API (sum = skitai.g.delta ("visits"), pid = os.getpid ())

        @app.route ("/who")
        def who (was, token):
            skitai.g.delta ("visits")
            return f"{token} {os.getpid ()}"

        @app.route ("/values")
        def values (was):
            return was.API (code = CODE, pid = os.getpid (), values = dict (skitai.g))

        @app.route ("/update")
        def update (was):
            was.setlu ("tables.users")
            return was.API (time = was.getlu ("tables.users"), pid = os.getpid ())

        @app.route ("/updated")
        def updated (was):
            return was.API (time = was.getlu ("tables.users", "visits"), pid = os.getpid ())

        @app.route ("/exclusive")
        def exclusive (was):
            with was.get_lock ("file"):
                with open ("number") as file:
                    number = int (file.read ())
                time.sleep (0.001)
                with open ("number", "w") as file:
                    file.write (str (number + 1))
            return was.API (pid = os.getpid ())

        @app.route ("/die")
        def die (was):
            was.get_lock ("file").acquire ()
            os.kill (os.getpid (), 9)

        @app.route ("/people")
        def people (was):
            task = was.db ("@lite", use_cache = "tables.users").execute ("SELECT name FROM people")
            rows = task.fetch ()
            names = [row.name for row in rows]
            rows [0].name = "spoiled"
            return was.API (names = names, pid = os.getpid ())

        @app.route ("/rename")
        def rename (was, name):
            with was.db ("@lite", rm_cache = ["tables.users"]) as db:
                db.execute ("CREATE TABLE IF NOT EXISTS people (name TEXT)").commit ()
                db.execute ("DELETE FROM people").commit ()
                db.execute ("INSERT INTO people VALUES (?)", name).commit ()
            return was.API (pid = os.getpid ())

        @app.route ("/query")
        def query (was):
            rows = was.db ("@lite").execute ("SELECT 42 AS answer").fetch ()
            return was.API (answer = rows [0].answer, pid = os.getpid ())
"""

FILES = {"serve.py": SERVE, "myapp/__init__.py": APP, "number": "0"}


def ask(service, path):
    response = service.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def from_all(service, path):
    """One answer of each worker."""
    answers = {}

    def complete():
        answer = ask(service, path)
        answers[answer["pid"]] = answer
        return len(answers.keys() & set(service.workers())) == 3

    eventually(complete, "an answer of all workers")
    return [answers[pid] for pid in service.workers()]


def reload_with(service, app):
    old = set(service.workers())
    write_files(service.folder, {"myapp/__init__.py": app})
    service.send(signal.SIGHUP)
    eventually(
        lambda: len(service.workers()) == 3 and old.isdisjoint(service.workers()), "new workers"
    )


def test_all_workers_count_with_the_same_numbers(launch):
    service = launch(FILES)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: ask(service, "/visit"), range(300)))
    assert sorted(answer["sum"] for answer in answers) == list(range(1, 301))
    assert len({answer["pid"] for answer in answers}) > 1
    for answer in from_all(service, "/values"):
        assert answer["values"] == {"first": 1000, "visits": 300, "tables.users": 0, "late": 300}


def test_an_update_is_seen_by_all_workers_at_once(launch):
    service = launch(FILES)
    started = {answer["time"] for answer in from_all(service, "/updated")}
    assert len(started) == 1
    update = ask(service, "/update")
    assert update["time"] > started.pop()
    assert {answer["time"] for answer in from_all(service, "/updated")} == {update["time"]}


def test_a_reload_keeps_the_numbers_and_maps_the_names_of_the_new_code(launch):
    service = launch(FILES)
    for _ in range(5):
        ask(service, "/visit")
    time = ask(service, "/update")["time"]
    new = APP.replace('"visits", "tables.users"', '"added", "tables.users", "visits"')
    reload_with(service, new.replace('"one"', '"two"').replace('"late"', '"later"'))
    for answer in from_all(service, "/values"):
        assert answer["code"] == "two"
        assert answer["values"] == {
            "first": 1000, "added": 0, "tables.users": time, "visits": 5, "later": 0,
        }  # fmt: skip
    assert ask(service, "/visit")["sum"] == 6
    reload_with(service, APP)
    for answer in from_all(service, "/values"):
        assert answer["values"] == {"first": 1000, "visits": 6, "tables.users": time, "late": 5}


def test_old_and_new_workers_lose_no_count_during_reloads(launch):
    service = launch(FILES)
    with Load(service.port) as load:
        for _ in range(2):
            reload_with(service, APP)
            load.wait_for_more(50)
    assert load.failures == []
    assert ask(service, "/values")["values"]["visits"] == sum(load.answers.values())


def test_a_replaced_worker_counts_on_and_leaves_no_lock(launch):
    service = launch(FILES)
    ask(service, "/visit")
    old = set(service.workers())
    with pytest.raises(requests.ConnectionError):
        service.get("/die")
    eventually(lambda: len(set(service.workers()) - old) == 1, "the replacement")
    assert {answer["values"]["visits"] for answer in from_all(service, "/values")} == {1}
    for answer in from_all(service, "/exclusive"):
        assert answer


def test_locks_exclude_the_threads_of_all_workers(launch):
    service = launch(FILES)
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: ask(service, "/exclusive"), range(120)))
    assert len({answer["pid"] for answer in answers}) > 1
    assert (service.folder / "number").read_text() == "120"


def test_results_are_kept_in_all_workers_until_one_changes_the_table(launch):
    service = launch(FILES)
    ask(service, "/rename?name=first")
    for _ in range(2):
        assert {answer["names"][0] for answer in from_all(service, "/people")} == {"first"}
    with sqlite3.connect(service.folder / "lite.db") as other:
        other.execute("UPDATE people SET name = 'behind its back'")
    other.close()
    assert {answer["names"][0] for answer in from_all(service, "/people")} == {"first"}
    for name in ("second", "third"):
        ask(service, f"/rename?name={name}")
        assert {answer["names"][0] for answer in from_all(service, "/people")} == {name}


def test_aliases_are_known_to_all_workers_also_those_of_a_reload(launch):
    service = launch(FILES)
    assert {answer["answer"] for answer in from_all(service, "/query")} == {42}
    reload_with(service, APP)
    assert {answer["answer"] for answer in from_all(service, "/query")} == {42}
    os.kill(service.workers()[0], signal.SIGKILL)
    assert {answer["answer"] for answer in from_all(service, "/query")} == {42}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            'skitai.alias ("@pg", skitai.DB_SQLITE3, "")',
            "serve.py, line 3: alias '@pg': member '': it is empty: give the path of a file, as in "
            "'./sqlite3.db'",
        ),
        (
            'skitai.alias ("@pg", "*nosql", "h")',
            "serve.py, line 3: alias '@pg': type '*nosql' is unknown: ",
        ),
        (
            "skitai.register_g (5)",
            "serve.py, line 3: register_g: a name must be text, not 5: give 'tables.users'",
        ),
        (
            "skitai.set_max_rcache (-1)",
            "serve.py, line 3: set_max_rcache: the number of results must be 0 or more, not -1",
        ),
    ],
)
def test_what_is_wrong_ends_the_start_with_one_line(tmp_path, statement, message):
    write_files(tmp_path, {"serve.py": f"import skitai\n\n{statement}\n"})
    done = run_script(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


def test_what_is_wrong_in_a_config_hook_ends_the_start(tmp_path):
    app = APP.replace(
        'register_g ("visits", "tables.users")', 'alias ("@api", skitai.PROTO_HTTP, "h:x")'
    )
    write_files(tmp_path, {"serve.py": SERVE, "myapp/__init__.py": app})
    done = run_script(tmp_path)
    assert done.returncode == 2
    assert "alias '@api': member 'h:x': the port must be a number from 1 to 65535" in done.stderr


def test_a_reload_that_breaks_an_alias_leaves_the_old_workers(launch):
    service = launch(FILES)
    old = set(service.workers())
    write_files(service.folder, {"serve.py": SERVE.replace('"./lite.db"', '""')})
    service.send(signal.SIGHUP)
    service.wait_for_log("reload given up, the old workers go on")
    eventually(lambda: set(service.workers()) == old, "the end of the new workers")
    assert ask(service, "/query")["answer"] == 42
