"""Where the processes of ``was.Process`` find functions, and that none outlives its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from executing import PATIENCE
from processes import ROOT, eventually

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import os, sys
import skitai
from executing import *
from skitai.executors.processes import ProcessExecutor
"""

SCRIPT = (
    HEAD
    + """
print("loaded as", __name__, flush=True)

class Refused(Exception):
    pass

class Point:
    def __init__(self, x):
        self.x = x

def double(value):
    return 2 * value

def move(point):
    return Point(point.x + 1)

def refuse():
    raise Refused("by the script")

def main():
    executor = ProcessExecutor(1)
    print(call(executor, os.getpid) != os.getpid(), flush=True)
    print(call(executor, double, 21), flush=True)
    print(call(executor, move, Point(1)).x, flush=True)
    try:
        call(executor, refuse)
    except Refused as exc:
        print("refused", exc, flush=True)
    executor.stop(1)
"""
)
EXPECTED = [
    "loaded as __main__",
    "True",
    "loaded as __mp_main__",
    "42",
    "2",
    "refused by the script",
]


def run(
    directory: Path, source: str, *, module: bool = False, start: str = "serve.py"
) -> subprocess.CompletedProcess[str]:
    path = directory / start
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    words = ["-m", start.removesuffix(".py").replace("/", ".")] if module else [str(path)]
    return subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def environment() -> dict[str, str]:
    here = os.path.dirname(os.path.abspath(__file__))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), here])}


# Where functions are found


def test_functions_of_the_launch_script_are_found(tmp_path):
    done = run(tmp_path, SCRIPT + "\nif __name__ == '__main__':\n    main()\n")
    assert (done.stderr, done.stdout.splitlines()) == ("", EXPECTED)
    assert not (tmp_path / "__pycache__").exists()


def test_also_when_it_was_started_by_its_name(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "names.py").write_text("name = 'relative'\n")
    source = "from .names import name\n" + SCRIPT + "\nif __name__ == '__main__':\n    main()\n"
    for start in ("shop/serve.py", "shop/__main__.py"):
        done = run(tmp_path, source, module=True, start=start)
        assert (done.stderr, done.stdout.splitlines()) == ("", EXPECTED)


def test_also_when_it_has_no_ending(tmp_path):
    done = run(tmp_path, SCRIPT + "\nif __name__ == '__main__':\n    main()\n", start="serve")
    assert (done.stderr, done.stdout.splitlines()) == ("", EXPECTED)


def test_a_launch_script_without_a_guard_does_not_start_a_second_service(tmp_path):
    source = SCRIPT + (
        "if __name__ == '__main__':\n    main()\n"
        "skitai.run(port='not a port')\n"  # ends a process that takes it seriously
    )
    done = run(tmp_path, source)
    assert done.stdout.splitlines() == EXPECTED
    assert "port" in done.stderr
    assert done.returncode == 2


def test_nor_does_it_in_a_process_of_multiprocessing(tmp_path):
    source = (
        "import multiprocessing, skitai\n"
        "def double(value):\n    return 2 * value\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(double, (21,)))\n"
        "    skitai.run()\n"
        "else:\n"
        "    print(skitai.run(port='not a port'), flush=True)\n"  # before the pool is ended
    )
    done = run(tmp_path, source)
    assert done.stdout == "None\n42\n"
    assert done.stderr == (
        "serve.py: nothing is mounted: call skitai.mount('/', app) before skitai.run()\n"
    )
    assert done.returncode == 2


def test_a_launch_script_that_cannot_be_loaded_again_is_a_clear_error(tmp_path):
    source = (
        f"{HEAD}\ndef double(value):\n    return 2 * value\n"
        "if __name__ == '__main__':\n"
        "    executor = ProcessExecutor(1)\n"
        "    for _ in range(2):\n"
        "        try:\n"
        "            call(executor, double, 1)\n"
        "        except TypeError as exc:\n"
        "            print(exc)\n"
        "    print(call(executor, abs, -1))\n"
        "    executor.stop(1)\n"
        "else:\n    sys.exit(3)\n"
    )
    done = run(tmp_path, source)
    line = "__main__.double or an argument can't be loaded in another process: "
    line += "ImportError: the script of the service ended with SystemExit(3)"
    assert (done.stderr, done.stdout.splitlines()) == ("", [line, line, "1"])


def test_a_launch_script_that_is_no_file_is_a_clear_error(tmp_path):
    source = (
        f"{HEAD}\ndef double(value):\n    return 2 * value\n"
        "executor = ProcessExecutor(1)\n"
        "print(call(executor, abs, -1))\n"
        "try:\n    call(executor, double, 1)\nexcept TypeError as exc:\n    print(exc)\n"
        "executor.stop(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=source,
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stderr, done.stdout.splitlines()[0]) == ("", "1")
    assert "the launch script is no file: move the function to a module" in done.stdout


MOUNTED = """
from dataclasses import dataclass

@dataclass
class Order:
    number: int

def order(number):
    return Order(number), __name__, __file__
"""


@pytest.mark.parametrize(
    ("place", "module"),
    [
        ("orders.py", "orders"),
        ("apps/orders.py", "apps.orders"),
        ("apps/my-orders.py", "apps.my_orders"),
        ("../elsewhere/orders.py", "orders"),
    ],
)
def test_functions_of_apps_that_were_mounted_by_their_file_are_found(tmp_path, place, module):
    home = tmp_path / "home"
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    path.write_text(MOUNTED)
    source = HEAD + (
        "from pathlib import Path\n"
        "from skitai.importer import import_file\n"
        "if __name__ == '__main__':\n"
        "    home = Path(__file__).parent\n"
        f"    app = import_file(home.joinpath('{place}').resolve(), home)\n"
        "    executor = ProcessExecutor(1)\n"
        "    for number in range(2):\n"
        "        order, name, file = call(executor, app.order, number)\n"
        "        print(order == app.Order(number), type(order) is app.Order, name, file)\n"
        "    executor.stop(1)\n"
    )
    done = run(home, source)
    assert (done.stderr, done.stdout) == ("", f"True True {module} {path.resolve()}\n" * 2)


def test_a_file_is_not_mistaken_for_another_of_the_same_name(tmp_path):
    home = tmp_path / "home"
    for directory in (home, tmp_path / "elsewhere"):
        directory.mkdir()
        (directory / "orders.py").write_text(MOUNTED)
    source = HEAD + (
        "from pathlib import Path\n"
        "from skitai.importer import import_file\n"
        "if __name__ == '__main__':\n"
        "    home = Path(__file__).parent\n"
        "    there = import_file(home.parent / 'elsewhere' / 'orders.py', home)\n"
        "    here = import_file(home / 'orders.py', home)\n"
        "    copy = import_file(home / 'orders.py', home, copy=1)\n"
        "    executor = ProcessExecutor(1)\n"
        "    for app in (there, here, copy):\n"
        "        order, name, file = call(executor, app.order, 1)\n"
        "        print(type(order) is app.Order, name == app.__name__, file == app.__file__)\n"
        "    executor.stop(1)\n"
    )
    done = run(home, source)
    assert (done.stderr, done.stdout) == ("", "True True True\n" * 3)


def test_a_file_whose_name_is_taken_in_the_process_is_a_clear_error(tmp_path):
    home, there = tmp_path / "home", tmp_path / "elsewhere"
    for directory in (home, there):
        directory.mkdir()
        (directory / "orders.py").write_text(MOUNTED)
    (home / "billing.py").write_text("import orders\n\ndef bill():\n    return orders.__file__\n")
    source = HEAD + (
        "from pathlib import Path\n"
        "from skitai.importer import import_file\n"
        "if __name__ == '__main__':\n"
        "    home = Path(__file__).parent\n"
        "    there = import_file(home.parent / 'elsewhere' / 'orders.py', home)\n"
        "    sys.path.remove(str(home.parent / 'elsewhere'))\n"
        "    import billing\n"
        "    executor = ProcessExecutor(1)\n"
        "    print(call(executor, billing.bill) == str(home / 'orders.py'))\n"
        "    try:\n        call(executor, there.order, 1)\n"
        "    except TypeError as exc:\n        print(exc)\n"
        "    executor.stop(1)\n"
    )
    done = run(home, source)
    assert done.stderr == ""
    assert f"module 'orders' is {home / 'orders.py'} here, and {there}" in done.stdout


# The end of the worker


def start(directory: Path, source: str) -> subprocess.Popen[str]:
    (directory / "worker.py").write_text(HEAD + source)
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(directory / "worker.py")],
        cwd=directory, env=environment(), text=True, stdout=subprocess.PIPE,
    )  # fmt: skip


def pids_in(path: Path) -> list[int]:
    eventually(path.exists, path.name)
    return [int(word) for word in path.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


LIVES = {
    "idle": "outcome.get()\n",
    "running": "executor.submit(touch_and_wait, ('runs',), {}, Outcome())\n",
    "computing": "executor.submit(spin, ('runs',), {}, Outcome())\n",
}


@pytest.mark.parametrize("life", LIVES)
def test_no_child_outlives_a_worker_that_is_killed(tmp_path, life):
    worker = start(
        tmp_path,
        "executor, outcome = ProcessExecutor(1), Outcome()\n"
        "executor.submit(announce, ('first', 1), {}, outcome)\n"
        f"outcome.get()\n{LIVES[life]}announce('pids', executor.pids[0])\nsys.stdin.read()\n"
        "time.sleep(1000)\n",
    )
    with worker:
        (pid,) = pids_in(tmp_path / "pids")
        if life != "idle":
            assert pids_in(tmp_path / "runs") == [pid]
        assert is_alive(pid)
        worker.kill()
        worker.wait(PATIENCE)
        eventually(lambda: not is_alive(pid), "the child is gone")


def test_nothing_that_a_job_started_in_its_group_outlives_a_worker_that_is_killed(tmp_path):
    worker = start(
        tmp_path,
        "executor = ProcessExecutor(1)\n"
        "executor.submit(start_tree, ('tree',), {}, Outcome())\ntime.sleep(1000)\n",
    )
    with worker:
        same_group, *others = pids_in(tmp_path / "tree")
        worker.kill()
        worker.wait(PATIENCE)
        eventually(lambda: not is_alive(same_group), "the program is gone")
    for pid in others:  # no kernel can know them
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("way", ["sys.exit()", "os._exit(0)", "1 / 0"])
def test_no_child_outlives_a_worker_that_ends_without_stopping_it(tmp_path, way):
    worker = start(
        tmp_path,
        "executor = ProcessExecutor(1)\n"
        "executor.submit(touch_and_wait, ('runs',), {}, Outcome())\n"
        "while not os.path.exists('runs'):\n    time.sleep(0.01)\n"
        f"sys.stderr = sys.__stderr__ = open(os.devnull, 'w')\n{way}\n",
    )
    with worker:
        assert worker.wait(PATIENCE) in (0, 1)
        (pid,) = pids_in(tmp_path / "runs")
        eventually(lambda: not is_alive(pid), "the child is gone")
