"""How many jobs run at once, and for how long: what ``skitai.config_executors`` sets.

The service keeps it; each worker makes its executors of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skitai.config import seconds, whole_number
from skitai.errors import ConfigError
from skitai.executors.processes import START_METHOD, ProcessExecutor, check_start_method
from skitai.executors.threaded import DEFAULT_WORKERS, ThreadExecutor

if TYPE_CHECKING:
    from skitai.config import Rule

ZOMBIE_TIMEOUT = 300.0  # seconds
MAX_WORKERS = 1000


@dataclass(frozen=True)
class ExecutorConfig:
    """What is configured for the executors of a worker; see ``config_executors``."""

    workers: int | None = None
    zombie_timeout: float = ZOMBIE_TIMEOUT
    process_start_method: str = START_METHOD

    def threads(self) -> ThreadExecutor:
        """A new executor for ``was.Thread``."""
        return ThreadExecutor(self.workers or DEFAULT_WORKERS)

    def processes(self) -> ProcessExecutor:
        """A new executor for ``was.Process``."""
        return ProcessExecutor(self.workers, self.process_start_method)


def config_executors(
    workers: int | None = None,
    zombie_timeout: float = ZOMBIE_TIMEOUT,
    process_start_method: str | None = None,
) -> ExecutorConfig:
    """Check what a launch script wants (engine README, executors).

    Parameters:
        workers: most threads, and most processes, of each worker. Default: 32 threads, and a
            process for each processor that may be used.
        zombie_timeout: seconds, above 0, after which a job or a command ends that has no timeout
            of its own.
        process_start_method: ``"spawn"``, which is also the default.

    Raises ``ConfigError`` for anything else.
    """
    if workers is not None:
        workers = int(_checked("workers", workers, whole_number(1, MAX_WORKERS), 8))
    timeout = _checked("zombie_timeout", zombie_timeout, seconds(above=True), 300)
    method = START_METHOD if process_start_method is None else process_start_method
    check_start_method(method)
    return ExecutorConfig(workers, timeout, method)


def _checked(name: str, value: object, rule: Rule, example: int) -> float:
    """The value with its type; raises ``ConfigError``."""
    try:
        return float(rule.convert(value))
    except ValueError:
        raise ConfigError(
            f"config_executors: {name}={value!r} must be {rule.wanted}: give {name}={example}"
        ) from None
