"""What a script may declare, and how it is told what it may not."""

from __future__ import annotations

import functools
import sys

import pytest

from skitai.errors import ConfigError
from skitai.schedules.declarations import MOST_JOBS, Schedules


def work() -> None:
    """A job."""


@pytest.fixture
def schedules(tmp_path):
    (tmp_path / "task.py").write_text("")
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    return Schedules(lambda: tmp_path, lambda: True)


def job(schedules):
    return list(schedules)[-1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("task.py --level 'a b'", (sys.executable, "task.py", "--level", "a b")),
        (["task.py", "$HOME"], (sys.executable, "task.py", "$HOME")),
        (("sleep", "1"), ("sleep", "1")),
        ("sleep 1", ("sleep", "1")),
        ("sleep $N", "sleep $N"),
        ("sleep 1; sleep 2", "sleep 1; sleep 2"),
        ("exit 3", "exit 3"),
        ("LEVEL=3 sleep 1", "LEVEL=3 sleep 1"),
    ],
)
def test_commands_are_programs_unless_they_need_a_shell(schedules, command, expected):
    schedules.background_task("x", command)
    assert job(schedules).command == expected


def test_a_python_program_in_a_line_for_the_shell_has_the_interpreter_too(schedules):
    schedules.cron("@daily", "task.py > out.txt")
    assert job(schedules).command == f"{sys.executable} task.py > out.txt"


def test_a_program_beside_the_script_is_found_there(schedules, tmp_path):
    schedules.cron("@daily", "./tool")
    assert job(schedules).command[0] == f"{tmp_path}/tool"
    assert job(schedules).cwd == str(tmp_path)


def test_jobs_are_named_by_what_they_run(schedules):
    schedules.sched(5, work)
    schedules.cron("@daily", "sleep 1")
    schedules.sched(5, ["task.py"])
    schedules.sched(5, functools.partial(int, "3"))
    schedules.sched(5, "sleep 1", name="other")
    assert [each.name for each in schedules] == ["work", "sleep", "task", "int", "other"]
    assert [each.when for each in schedules][:2] == ["every 5 s", "@daily"]


def test_both_decorate_functions(schedules):
    @schedules.cron("0 3 * * *", timezone="Europe/Berlin", timeout=60)
    def nightly():
        return 7

    @schedules.sched(0.5, name="often")
    async def poll():
        pass

    assert nightly() == 7
    assert [(each.name, each.when) for each in schedules] == [
        ("nightly", "0 3 * * * Europe/Berlin"), ("often", "every 0.5 s"),
    ]  # fmt: skip
    assert list(schedules)[0].timeout == 60


def generator():
    yield


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda s: s.background_task("a b", "sleep 1"), "name='a b' must be up to 64 letters"),
        (lambda s: s.background_task("", "sleep 1"), "name=''"),
        (lambda s: s.background_task("x", ""), "command '' is empty: give a program"),
        (lambda s: s.background_task("x", []), "is empty"),
        (lambda s: s.background_task("x", ["sleep", 1]), "neither a command"),
        (lambda s: s.background_task("x", work), "neither a command"),
        (lambda s: s.background_task("x", "say 'hi"), "can't be read: No closing quotation"),
        (lambda s: s.background_task("x", "other.py"), "'other.py' is not in"),
        (lambda s: s.background_task("x", "slep 1"), "there is no program 'slep'"),
        (lambda s: s.background_task("x", "./no/tool"), "there is no program './no/tool'"),
        (lambda s: s.background_task("x", "sleep 1", stop_timeout=-1), "stop_timeout=-1 must be"),
        (lambda s: s.background_task("x", "sleep 1", env={"A": 1}), "env={'A': 1} must be a dict"),
        (lambda s: s.background_task("x", "sleep 1", env="A=1"), "must be a dict of texts"),
        (lambda s: s.background_task("x", "sleep 1", env={"A=B": "1"}), "env has 'A=B', which"),
        (lambda s: s.background_task("x", "sleep 1", env={"": "1"}), "env has '', which is no"),
        (lambda s: s.background_task("x", "sleep 1", env={"A": "\ud800"}), "a dict of texts"),
        (lambda s: s.background_task("x", ["sleep", "1\0"]), "has signs that no command may have"),
        (lambda s: s.background_task("x", "sleep \ud800"), "has signs that no command may have"),
        (lambda s: s.cron("@daily", work, name=""), "name=''"),
        (lambda s: s.cron("@daily", work, name=0), "name=0 must be up to 64 letters"),
        (lambda s: s.cron("@daily", lambda was: 0, app=0), "app=0 must be the name of an app"),
        (lambda s: s.cron(5, work), "the expression is text"),
        (lambda s: s.cron("* * * *", work), "has 4 fields"),
        (lambda s: s.cron("@reboot", work, timezone="No/where"), "timezone 'No/where'"),
        (lambda s: s.cron("@daily", work, timezone=2), "timezone=2 must be a name"),
        (lambda s: s.cron("@daily", 7), "7 is neither a command"),
        (lambda s: s.cron("@daily", generator), "generator is a generator"),
        (lambda s: s.cron("@daily", lambda day: 0, name="x"), "is called without arguments"),
        (lambda s: s.cron("@daily", lambda was, day: 0, name="x"), "bind others by functools"),
        (lambda s: s.cron("@daily", work, app="shop"), "app='shop' is for functions that take was"),
        (lambda s: s.cron("@daily", "sleep 1", app="shop"), "is for functions that take was"),
        (lambda s: s.cron("@daily", lambda was: 0, app=3), "app=3 must be the name of an app"),
        (lambda s: s.cron("@daily", lambda: 0), "name='lambda'"),
        (lambda s: s.cron("@daily", work, env={"A": "1"}), "env is for commands"),
        (lambda s: s.cron("@daily", work, overlap="never"), "must be one of skip, queue, allow"),
        (
            lambda s: s.cron("@daily", work, timeout=0),
            "timeout=0 must be a number of seconds above",
        ),
        (lambda s: s.cron("@daily", work, timeout="5"), "timeout='5'"),
        (lambda s: s.cron("@daily", work, jitter=True), "jitter=True"),
        (lambda s: s.cron("@daily", work, retries=3), "unknown option 'retries' with value 3"),
        (lambda s: s.cron("@daily")("text"), "must decorate a function, not 'text'"),
        (lambda s: s.sched(0, work), "seconds=0 must be at least 0.1"),
        (lambda s: s.sched(float("inf"), work), "seconds=inf"),
        (lambda s: s.sched("5", work), "seconds='5' must be a number"),
    ],
)
def test_what_can_not_be_is_refused_where_it_is_declared(schedules, declare, words):
    if "'lambda'" in words:
        schedules.sched(1, lambda: 0)  # it has a name that another one then can't have
    with pytest.raises(ConfigError) as caught:
        declare(schedules)
    assert words in str(caught.value)
    assert str(caught.value).startswith(("skitai.", "cron expression", "timezone"))


def test_functions_may_take_was_of_an_app_that_is_mounted(schedules):
    schedules.sched(5, lambda was: 0, name="one", app="shop")
    schedules.sched(5, functools.partial(lambda day, was: 0, 5), name="two")
    assert [(each.takes_was, each.app) for each in schedules] == [(True, "shop"), (True, "")]
    schedules.check_apps(["shop", "blog"])
    with pytest.raises(ConfigError, match="job 'one': app='shop' is not mounted, there are 'blog'"):
        schedules.check_apps(["blog"])


def test_names_are_unique_among_all_kinds(schedules):
    schedules.background_task("work", "sleep 1")
    with pytest.raises(ConfigError, match="'work' is taken by the job that runs always"):
        schedules.sched(5, work)


def test_after_run_nothing_can_be_declared(tmp_path):
    late = Schedules(lambda: tmp_path, lambda: False)
    for declare in (
        lambda: late.background_task("x", "sleep 1"),
        lambda: late.cron("@daily", work),
        lambda: late.sched(5, work),
    ):
        with pytest.raises(
            ConfigError, match=r"comes after skitai\.run\(\): call it in the script"
        ):
            declare()


def test_there_is_a_limit(schedules):
    for number in range(MOST_JOBS):
        schedules.sched(5, work, name=f"job-{number}")
    with pytest.raises(ConfigError, match="is one too many, a service may have 100"):
        schedules.sched(5, work, name="one-more")


def test_a_service_has_them_and_its_functions_are_public():
    import skitai
    from skitai.service import Service

    service = Service()
    service.schedules.sched(5, work)
    assert len(service.schedules) == 1
    assert {"background_task", "cron", "sched"} <= set(skitai.__all__)
