"""What ``skitai.config_executors`` accepts, and what it makes of it."""

from __future__ import annotations

import os

import pytest

from skitai.errors import ConfigError
from skitai.executors.config import ExecutorConfig, config_executors


def test_by_default_there_are_32_threads_and_a_process_for_each_processor():
    config = config_executors()
    assert config == ExecutorConfig(None, 300.0, "spawn")
    assert config.threads()._workers == 32
    assert config.processes()._threads._workers == len(os.sched_getaffinity(0))


def test_numbers_may_be_text_as_on_a_command_line():
    config = config_executors("3", "1.5", "spawn")
    assert config == ExecutorConfig(3, 1.5, "spawn")
    assert config.threads()._workers == config.processes()._threads._workers == 3


@pytest.mark.parametrize("workers", [0, -1, 1.5, "many", True, 1001])
def test_another_number_of_workers_is_refused(workers):
    with pytest.raises(ConfigError, match=r"workers=.* must be a whole number from 1 to 1000: "):
        config_executors(workers)


@pytest.mark.parametrize("timeout", [0, -1, "soon", None, float("inf"), float("nan")])
def test_another_timeout_is_refused(timeout):
    with pytest.raises(ConfigError, match="zombie_timeout=.* must be a number of seconds above 0"):
        config_executors(zombie_timeout=timeout)


@pytest.mark.parametrize("method", ["fork", "forkserver", "thread", 1])
def test_another_start_method_is_refused(method):
    with pytest.raises(ConfigError, match="process_start_method=.* give 'spawn' or leave it out"):
        config_executors(process_start_method=method)
