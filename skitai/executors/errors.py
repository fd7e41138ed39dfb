"""What goes wrong with a job beside what its own function raises."""

from __future__ import annotations

from skitai.errors import SkitaiError


class ExecutorError(SkitaiError):
    """A job could not run, or its outcome could not be had."""


class ExecutorFull(ExecutorError):
    """More jobs wait than the executor accepts."""


class ExecutorStopped(ExecutorError):
    """The executor stops: the worker is about to end."""


class JobExited(ExecutorError):
    """A job raised ``SystemExit``, ``KeyboardInterrupt`` or the like; ``__cause__`` is that.

    These would end the loop or the thread in which somebody fetches the outcome.
    """


class NotPicklable(ExecutorError, TypeError):
    """A function, its arguments or its result can't be sent to or from another process."""


class ProcessDied(ExecutorError):
    """The process of a job ended before the job did, or could not be started."""


class RemoteError(ExecutorError):
    """A job in another process raised something that can't be sent; the text describes it."""


class OutputTooLarge(ExecutorError):
    """A command wrote more than was allowed."""


class RemoteTraceback(Exception):
    """The traceback of an exception in the process where it was raised, as its ``__cause__``.

    Parameters:
        text: as the interpreter writes it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
