"""Background tasks and jobs of real services."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
from typing import TYPE_CHECKING

import psutil
import pytest
from live_service import eventually, run_script, write_files
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

APP = """
    import asyncio
    import os
    import subprocess
    import skitai
    from atila import Atila

    app = Atila (__name__)
    skitai.register_g ("ticks")

    @app.route ("/ticks")
    def ticks (was):
        return str (skitai.g.ticks)

    def tick ():
        skitai.g.delta ("ticks", 1)
        print ("it is", os.getpid ())

    def hang ():
        child = subprocess.Popen (["sleep", "1000"])
        print ("I hang")
        child.wait ()

    async def broken ():
        await asyncio.sleep (0)
        raise ValueError ("no such thing")

    if __name__ == "__main__":
        skitai.mount ("/", app)
        JOBS
        skitai.run (name = "jobs-test")
"""
TASK = """
    import os
    import subprocess
    import sys
    import time

    subprocess.Popen (["sleep", "1000"])
    print ("WORD from", os.getpid (), *sys.argv [1:])
    time.sleep (1000)
"""


def project(jobs: str, word: str = "first") -> dict[str, str]:
    return {"serve.py": APP.replace("JOBS", jobs), "task.py": TASK.replace("WORD", word)}


def living(folder: Path) -> list[psutil.Process]:
    """All processes that run in a folder, whatever group or session they are in."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.append(process)
    return found


def tasks(folder: Path) -> list[int]:
    found = []
    for process in living(folder):
        with contextlib.suppress(psutil.Error, OSError):
            if "task.py" in process.cmdline():
                found.append(process.pid)
    return found


def keeper(folder: Path) -> int:
    for process in living(folder):
        with contextlib.suppress(psutil.Error, OSError):
            if process.cmdline()[:1] == ["jobs-test:jobs"]:
                return process.pid
    return 0


def test_a_task_runs_once_beside_three_workers_and_again_when_it_dies(launch):
    service = launch(
        project(
            "skitai.background_task ('mirror', 'task.py --level 3'); "
            "skitai.cron ('@reboot', 'echo hello; exit 3', name = 'greet')"
        ),
        workers=3,
    )
    first = int(service.wait_for_log(r"mirror: first from (\d+) --level 3")[1])
    service.wait_for_log(r"\[error:jobs\] job greet failed, it ended with exit code 3 after")
    assert "greet: hello" in service.log()
    assert tasks(service.folder) == [first]
    os.kill(first, signal.SIGKILL)
    service.wait_for_log(r"job mirror was killed by SIGKILL after .*: it is started again at once")
    second = int(
        eventually(
            lambda: re.findall(rf"mirror: first from (?!{first}\b)(\d+)", service.log()),
            "another process",
        )[0]
    )
    assert tasks(service.folder) == [second]
    sleeps = [each for each in living(service.folder) if each.name() == "sleep"]
    assert len(sleeps) == 1, "what the first one had started was left"

    # A reload brings new code, of the script too; what runs at the start doesn't run again.
    write_files(
        service.folder,
        project(
            "skitai.background_task ('mirror', 'task.py --level 4'); "
            "skitai.cron ('@reboot', 'echo hello', name = 'greet'); "
            "skitai.sched (0.1, tick)",
            "second",
        ),
    )
    service.send(signal.SIGHUP)
    third = int(service.wait_for_log(r"mirror: second from (\d+) --level 4")[1])
    service.wait_for_log(r"job mirror was stopped")
    service.wait_for_log(r"tick: it is \d+")
    assert tasks(service.folder) == [third]
    assert service.log().count("greet: hello") == 1
    service.close()
    assert living(service.folder) == []
    assert service.wait() == 0


def test_jobs_run_by_the_second_once_share_g_and_their_failures_are_logged(launch):
    service = launch(
        project(
            "skitai.sched (0.1, tick); skitai.sched (0.2, broken); "
            "skitai.sched (0.2, ['sleep', '1000'], name = 'slow', timeout = 0.5); "
            "skitai.sched (0.1, 'sleep 0.3', name = 'queued', overlap = 'queue'); "
            "skitai.sched (0.1, 'sleep 0.35', name = 'allowed', overlap = 'allow', jitter = 0.01)"
        ),
        workers=2,
    )
    service.wait_for_log(r"job slow has not ended within 0.5 s, and was ended")
    service.wait_for_log(r"\[warning:jobs\] job slow still runs: this time .* it is left out")
    service.wait_for_log(r"job broken failed, it ended with exit code 1 .*; its last output was\n"
                         r"  Traceback [^[]*ValueError: no such thing")  # fmt: skip
    eventually(lambda: int(service.get("/ticks").text) > 3, "ticks in the shared memory")
    eventually(lambda: service.log().count("job queued ended") > 2, "queued runs")
    overlaps = re.sub(r"job allowed begins|job allowed ended", r"\n\g<0>\n", service.log())
    steps = [
        1 if "begins" in line else -1
        for line in overlaps.splitlines()
        if line in ("job allowed begins", "job allowed ended")
    ]
    assert max(sum(steps[:end]) for end in range(len(steps))) > 1
    queued = re.findall(r"job queued (begins|ended)", service.log())
    assert all(one != other for one, other in zip(queued, queued[1:], strict=False))
    began = service.log().count("job tick begins")
    assert began - int(service.get("/ticks").text) <= 1, "not by every worker"


@pytest.mark.parametrize("devel", [False, True])
def test_nothing_is_left_of_a_master_that_was_killed(launch, devel):
    jobs = "skitai.background_task ('mirror', 'task.py'); skitai.cron ('@reboot', hang)"
    service = launch(project(jobs), devel=devel)
    service.wait_for_log(r"mirror: first from (\d+)")
    service.wait_for_log(r"hang: I hang")
    service.send(signal.SIGKILL)
    eventually(lambda: living(service.folder) == [], "the end of all processes")


def test_tasks_end_with_a_killed_process_of_jobs_and_begin_anew(launch):
    service = launch(
        project(
            "skitai.background_task ('mirror', 'task.py'); skitai.sched (0.1, tick); "
            "skitai.cron ('@reboot', hang)"
        )
    )
    service.wait_for_log(r"hang: I hang")
    first = int(service.wait_for_log(r"mirror: first from (\d+)")[1])
    os.kill(eventually(lambda: keeper(service.folder), "the process of jobs"), signal.SIGKILL)
    service.wait_for_log(
        r"\[error:m\] the process of jobs \(pid \d+\) was killed by SIGKILL: another one is started"
    )
    second = int(service.wait_for_log(rf"mirror: first from (?!{first}\b)(\d+)")[1])
    eventually(lambda: tasks(service.folder) == [second], "the end of the first task")
    eventually(
        lambda: [each.name() for each in living(service.folder)].count("sleep") == 1,
        "the end of what the first processes had started",
    )
    ticks = int(service.get("/ticks").text)
    eventually(lambda: int(service.get("/ticks").text) > ticks, "ticks go on")
    assert service.get("/ticks").status_code == 200


def test_a_job_that_runs_at_a_reload_ends_in_peace_and_does_not_overlap(launch, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job = f"skitai.sched (0.1, 'cat {gate}', name = 'long')"
    files = project(job)
    files["serve.py"] = files["serve.py"].replace(
        "skitai.run (", "skitai.run (status_path = '/status', "
    )
    service = launch(files)
    service.wait_for_log(r"job long begins")
    service.send(signal.SIGHUP)
    service.wait_for_log(r"reloaded: generation 1")
    eventually(
        lambda: service.log().partition("reloaded: generation 1")[2].count("job long still runs"),
        "the new process of jobs, which leaves a run out",
    )
    assert service.log().count("job long begins") == 1
    with open(gate, "w") as opened:
        opened.write("in peace\n")
    service.wait_for_log(r"long: in peace")
    service.wait_for_log(r"job long ended after")
    eventually(lambda: service.log().count("job long begins") == 2, "the next run")

    def jobs():
        return service.get("/status/data").json()["jobs"]

    eventually(lambda: jobs()[0]["last_success"] > 0, "what the old process has to tell")
    assert [(job["name"], job["failures"]) for job in jobs()] == [("long", 0)]
    write_files(service.folder, {"serve.py": files["serve.py"].replace(job, "pass")})
    service.send(signal.SIGHUP)
    service.wait_for_log(r"reloaded: generation 2")
    eventually(lambda: jobs() == [], "figures without jobs")


def test_a_stubborn_task_is_killed_after_its_time(launch):
    service = launch(
        project("skitai.background_task ('deaf', 'trap \"\" TERM; echo deaf; sleep 1000; sleep 9', "
                "stop_timeout = 0.2)")
    )  # fmt: skip
    service.wait_for_log(r"deaf: deaf")
    service.close()
    assert service.wait() == 0
    assert living(service.folder) == []
    assert "job deaf was stopped, it was killed by SIGKILL" in service.log()


def test_figures_of_jobs_are_with_the_others(launch):
    files = project(
        "skitai.sched (0.1, tick); skitai.background_task ('mirror', 'task.py'); "
        "skitai.sched (0.1, ['false'], name = 'bad')"
    )
    files["serve.py"] = files["serve.py"].replace(
        "skitai.run (", "skitai.run (metrics_path = '/metrics', status_path = '/status', "
    )
    service = launch(files, workers=2)
    service.wait_for_log(r"mirror: first")
    eventually(lambda: service.log().count("job bad failed") > 1, "failures")

    def figure(name: str, **labels: str) -> float:
        for family in text_string_to_metric_families(service.get("/metrics").text):
            for sample in family.samples:
                if sample.name == f"skitai_jobs_{name}" and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0

    eventually(lambda: figure("failures_total", job="bad", reason="failed") > 1, "counted failures")
    assert figure("runs_total", job="tick") > 1
    assert figure("failures_total", job="tick", reason="failed") == 0
    assert figure("last_success_timestamp_seconds", job="tick") > 1_700_000_000
    assert figure("running", job="mirror") == 1
    os.kill(tasks(service.folder)[0], signal.SIGKILL)
    eventually(lambda: figure("restarts_total", job="mirror") == 1, "the restart")
    ticks = figure("runs_total", job="tick")
    service.send(signal.SIGHUP)
    service.wait_for_log(r"reloaded: generation 1")
    eventually(lambda: figure("runs_total", job="tick") > ticks + 1, "counting goes on")
    jobs = service.get("/status/data").json()["jobs"]
    assert [(job["name"], job["when"]) for job in jobs] == [
        ("tick", "every 0.1 s"), ("mirror", "always"), ("bad", "every 0.1 s"),
    ]  # fmt: skip


DATABASE_APP = """
    import skitai
    from atila import Atila

    app = Atila (__name__)

    @app.route ("/rows")
    def rows (was):
        return was.API (rows = was.db ("@store").execute ("select word from notes").fetch ())

    def plain (was):
        was.db ("@store").execute ("insert into notes values ('plain')").commit ()
        was.db ("@no-such-place").execute ("select 1").fetch ()

    async def waiting (was):
        await was.db ("@store").execute ("insert into notes values ('awaited')")
        print ("it has", len (was.apps))

    class Caller:
        async def __call__ (self, was):
            await waiting (was)
            raise ValueError ("called")

    if __name__ == "__main__":
        skitai.alias ("@store", skitai.DB_SQLITE3, "store.db")
        skitai.mount ("/", app, name = "notes")
        skitai.cron ("@reboot", plain)
        skitai.cron ("@reboot", waiting, app = "notes")
        skitai.cron ("@reboot", lambda was: waiting (was), name = "short")
        skitai.cron ("@reboot", Caller (), name = "caller")
        skitai.run (name = "jobs-test")
"""


def test_functions_of_jobs_have_the_databases_of_an_app(launch, tmp_path):
    (tmp_path / "project").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "project" / "store.db")) as store:
        store.execute("create table notes (word text)")
    service = launch({"serve.py": DATABASE_APP}, workers=2)
    service.wait_for_log(r"job waiting ended after")
    service.wait_for_log(r"job plain failed, it ended with exit code 1 "
                         r"[^[]*Traceback [^[]* in plain\n[^[]*no-such-place")  # fmt: skip
    assert "waiting: it has 1" in service.log()
    service.wait_for_log(r"short: it has 1")
    service.wait_for_log(r"job caller failed.*its last output was\n[^[]*ValueError: called")
    words = {row["word"] for row in service.get("/rows").json()["rows"]}
    assert words == {"plain", "awaited"}


def test_a_job_of_an_app_that_is_not_mounted_ends_the_start(tmp_path):
    script = DATABASE_APP.replace('app = "notes")', 'app = "shop")')
    write_files(tmp_path, {"serve.py": script})
    done = run_script(tmp_path)
    assert done.returncode == 2
    assert "job 'waiting': app='shop' is not mounted, there are 'notes'" in done.stderr


def test_a_reload_that_fails_leaves_the_jobs_alone_and_a_save_restarts_them(launch):
    service = launch(project("skitai.background_task ('mirror', 'task.py')"), devel=True)
    first = int(service.wait_for_log(r"mirror: first from (\d+)")[1])
    write_files(service.folder, {"serve.py": project("skitai.cron ('* * *', tick)")["serve.py"]})
    service.wait_for_log(r"reload given up.*has 3 fields, not 5")
    assert tasks(service.folder) == [first]
    assert "was stopped" not in service.log()
    write_files(service.folder, project("skitai.background_task ('mirror', 'task.py')", "second"))
    second = int(service.wait_for_log(r"mirror: second from (\d+)")[1])
    assert tasks(service.folder) == [second]
    write_files(service.folder, project("pass"))
    eventually(lambda: not tasks(service.folder) and not keeper(service.folder), "no jobs at all")
    assert service.get("/ticks").status_code == 200
