"""An exception as plain data: its chain, its frames with source and variables, as text only.

``report_of`` reads everything at once; nothing that it returns refers to a frame or a value, so
that they are freed as without it.
"""

from __future__ import annotations

import inspect
import linecache
import os
import re
import sysconfig
import traceback
from dataclasses import dataclass, field
from itertools import islice
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateNotFound

from atila.debugging.editor import editor_link
from atila.debugging.records import name_of
from atila.debugging.values import cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType, TracebackType

    from atila.debugging.masking import Masker
    from atila.debugging.values import Describer

CONTEXT = 7  # lines of source around the one that runs
MAX_FRAMES = 60  # of one exception; of more, those in the middle are left out
MAX_VARIABLES = 50
MAX_EXCEPTIONS = 30
MAX_MESSAGE = 4000  # characters
MAX_LINE = 400
MAX_LINES = 1000  # of a traceback as text

# What every template has.
_OF_TEMPLATES = ("was", "app", "request", "response", "context", "lipsum", "cycler", "joiner")
_REMOTE_FRAME = re.compile(
    r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)$', re.M
)
_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OURS = tuple(os.path.join(_HERE, name) + os.sep for name in ("atila", "skitai"))
_LIBRARIES = tuple(
    {
        path + os.sep
        for path in (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib"))
        if path
    }
)
_LIBRARY = re.compile(r"[/\\](site-packages|dist-packages)[/\\]|^<frozen |[/\\]lib[/\\]python3")


@dataclass
class Line:
    """A line of source: what is before, in and behind the marked part."""

    number: int
    before: str
    marked: str = ""
    after: str = ""
    here: bool = False


@dataclass
class Frame:
    """One call.

    Attributes:
        kind: ``"app"``, ``"library"``, ``"engine"`` or ``"template"``.
        link: opens the line in the developer's editor; empty when there is none.
        variables: names and texts.
        more: how many variables are not among them.
    """

    file: str
    line: int
    name: str
    kind: str
    link: str = ""
    lines: list[Line] = field(default_factory=list)
    variables: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0

    @property
    def opened(self) -> bool:
        """Whether its source is shown at once."""
        return self.kind in ("app", "template")


@dataclass
class ExceptionReport:
    """One exception of a chain.

    Attributes:
        relation: what it has to do with the one before: ``"cause"``, ``"context"``, ``"member"`` of
            a group, or empty.
        frames: innermost first.
        remote: the traceback in another process, as text.
        template: name of a template that was not found.
        searched: directories where a template was looked for.
        similar: names of templates that are nearly the same.
        depth: of groups.
    """

    name: str
    message: str
    relation: str = ""
    notes: list[str] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    left_out: int = 0
    remote: str = ""
    template: str | None = None
    searched: list[str] = field(default_factory=list)
    similar: list[str] = field(default_factory=list)
    depth: int = 0

    @property
    def templates(self) -> list[Frame]:
        """The lines of templates on the way to the failure, outermost first."""
        return [frame for frame in reversed(self.frames) if frame.kind == "template"]


def report_of(exc: BaseException, describer: Describer, masker: Masker) -> list[ExceptionReport]:
    """The exception, what it was raised from or while, and the members of groups."""
    reports: list[ExceptionReport] = []
    seen: set[int] = set()

    def add(each: BaseException, relation: str, depth: int) -> None:
        if id(each) in seen or len(reports) == MAX_EXCEPTIONS:
            return
        seen.add(id(each))
        reports.append(_one(each, relation, depth, describer, masker))
        for member in _members(each):
            add(member, "member", depth + 1)
        cause, context = each.__cause__, each.__context__
        if cause is not None:
            add(cause, "cause", depth)
        elif context is not None and not each.__suppress_context__:
            add(context, "context", depth)

    add(exc, "", 0)
    return reports


def text_of(exc: BaseException, masker: Masker) -> str:
    """The whole traceback as the interpreter writes it, without secrets."""
    return "\n".join("".join(lines_of(exc, masker)).splitlines())


def lines_of(exc: BaseException, masker: Masker) -> list[str]:
    """``traceback.format_exception`` without secrets, of long texts the beginning."""
    try:
        lines = traceback.format_exception(type(exc), exc, exc.__traceback__)
    except Exception as trouble:  # e.g. groups that are nested too deep
        lines = [f"{type(exc).__qualname__}: {message_of(exc, masker)}\n",
                 f"its traceback can't be written: {type(trouble).__name__}\n"]  # fmt: skip
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        lines = [*lines[:half], f"  … {len(lines) - 2 * half:,} more …\n", *lines[-half:]]
    told = (f"{_beginning(line, masker)}\n" for line in lines)
    return [masker.code(line) if 'File "' in line else line for line in told]


def _beginning(text: str, masker: Masker) -> str:
    return cut(masker.beginning(text.rstrip("\n"), MAX_MESSAGE + 1), MAX_MESSAGE)


def _field(exc: BaseException, name: str, default: Any) -> Any:
    """An attribute of an exception, which may run code of others."""
    try:
        return getattr(exc, name, default)
    except Exception:
        return default


def _members(exc: BaseException) -> tuple[BaseException, ...]:
    members = _field(exc, "exceptions", ())
    if type(members) is not tuple:
        return ()
    return tuple(each for each in members if isinstance(each, BaseException))


def message_of(exc: object, masker: Masker) -> str:
    """What an exception or a note says; never raises."""
    try:
        text = str(exc)
    except BaseException as trouble:  # whatever code of others raises
        text = f"<its text raises {type(trouble).__name__}>"
    return cut(masker.beginning(text, MAX_MESSAGE + 1), MAX_MESSAGE)


def _one(
    exc: BaseException, relation: str, depth: int, describer: Describer, masker: Masker
) -> ExceptionReport:
    kind = type(exc)
    report = ExceptionReport(name_of(kind), message_of(exc, masker), relation, depth=depth)
    notes = _field(exc, "__notes__", None)
    if isinstance(notes, (list, tuple)):
        report.notes = [message_of(note, masker) for note in notes[:20]]
    if isinstance(exc, TemplateNotFound):
        report.template = str(exc.name)
    steps = list(_walk(exc.__traceback__))
    if len(steps) > MAX_FRAMES:
        half = MAX_FRAMES // 2
        report.left_out = len(steps) - 2 * half
        steps = steps[:half] + steps[-half:]
    frames = [_frame(each, lasti, line, describer, masker) for each, lasti, line in steps]
    if isinstance(exc, SyntaxError) and exc.filename and exc.lineno:
        frames.append(_of_syntax(exc, masker))
    remote = _field(exc, "text", "")
    if kind.__name__ == "RemoteTraceback" and isinstance(remote, str):
        report.name, report.message = "The other process", "where the task ran"
        report.remote = "\n".join(masker.code(line) for line in remote.splitlines())
        frames = _remote_frames(remote, masker)
    report.frames = frames[::-1]
    _bring_template_first(report)
    return report


def _walk(trace: TracebackType | None) -> Iterator[tuple[FrameType, int, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lasti, trace.tb_lineno or 0
        trace = trace.tb_next


def _bring_template_first(report: ExceptionReport) -> None:
    """Whoever writes a template looks for its line, not for what it called."""
    frames = report.frames
    first = next((frame for frame in frames if frame.kind == "template"), None)
    if first is not None:
        frames.remove(first)
        frames.insert(0, first)


def _frame(frame: FrameType, lasti: int, line: int, describer: Describer, masker: Masker) -> Frame:
    code = frame.f_code
    template = "__jinja_exception__" in frame.f_globals
    kind = "template" if template else kind_of(code.co_filename)
    name = getattr(code, "co_qualname", code.co_name).rpartition("<locals>.")[2]
    if template:
        part_of = code.co_name.removeprefix("top-level template code").replace("'", "")
        name = f"{os.path.basename(code.co_filename)} {part_of}".rstrip()
    made = Frame(code.co_filename, line, name, kind, editor_link(code.co_filename, line))
    part = None if template else _position(code, lasti)
    made.lines = _source(code.co_filename, line, part, masker, frame.f_globals)
    if made.opened or kind == "library":
        made.variables, made.more = _variables(frame, describer)
    return made


def kind_of(file: str) -> str:
    """Whose code is in a file: ``"app"``, ``"library"`` or ``"engine"``."""
    if file.startswith(_OURS):
        return "engine"
    # An app may live in a directory below that of an environment, and the other way round.
    if _LIBRARY.search(file) or (file.startswith(_LIBRARIES) and "-packages" not in file):
        return "library"
    return "app"


def _variables(frame: FrameType, describer: Describer) -> tuple[list[tuple[str, str]], int]:
    names = frame.f_locals
    snapshot = type(names) is dict and frame.f_code.co_flags & inspect.CO_OPTIMIZED
    wanted = [(name, value) for name, value in list(names.items()) if _is_told(name, value, frame)]
    shown = [(name, describer.named(name, value)) for name, value in wanted[:MAX_VARIABLES]]
    more = len(wanted) - len(shown)
    del wanted
    if snapshot:
        # Before 3.13 the interpreter keeps this copy with the frame: of one that goes on it
        # would hold what the function itself has let go.
        names.clear()
    return shown, more


def _is_told(name: str, value: object, frame: FrameType) -> bool:
    """Whether a variable is worth a line: not the names that every module or template has."""
    if name.startswith("__") and name.endswith("__"):
        return False
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return True
    if "__jinja_exception__" in frame.f_globals and name in _OF_TEMPLATES:
        return False
    return type(value) not in (FunctionType, BuiltinFunctionType, ModuleType, type)


def _position(code: CodeType, lasti: int) -> tuple[int, int, int, int] | None:
    """First and last line and column, in bytes, of what runs (PEP 657); None before 3.11."""
    positions = getattr(code, "co_positions", None)
    if positions is None or lasti < 0:
        return None
    found = next(islice(positions(), lasti // 2, None), None)
    return found if found is not None and None not in found else None


def _source(
    file: str,
    line: int,
    part: tuple[int, int, int, int] | None,
    masker: Masker,
    module_globals: dict[str, Any] | None = None,
) -> list[Line]:
    linecache.checkcache(file)
    text = linecache.getlines(file, module_globals)
    first = max(1, line - CONTEXT)
    found = []
    for number in range(first, min(len(text), line + CONTEXT) + 1):
        source = text[number - 1].rstrip()
        found.append(_line(number, source, line, part, masker))
    return found


def _line(
    number: int, source: str, line: int, part: tuple[int, int, int, int] | None, masker: Masker
) -> Line:
    here = number == line
    hidden = cut(masker.code(source[: MAX_LINE + masker.longest + 1]), MAX_LINE)
    if part is None or not part[0] <= number <= part[1]:
        return Line(number, hidden, here=here)
    start = _column(source, part[2]) if number == part[0] else len(source) - len(source.lstrip())
    end = _column(source, part[3]) if number == part[1] else len(source)
    if (start, end) == (len(source) - len(source.lstrip()), len(source)) and part[0] == part[1]:
        return Line(number, hidden, here=here)  # all of the line: it is marked anyway
    return Line(number, hidden[:start], hidden[start:end], hidden[end:], here or part[0] != part[1])


def _column(source: str, size: int) -> int:
    """Columns are counted in bytes of UTF-8."""
    return len(source.encode()[:size].decode("utf-8", "ignore"))


def _of_syntax(exc: SyntaxError, masker: Masker) -> Frame:
    """Where the text is that could not be compiled."""
    file, line = str(exc.filename), exc.lineno or 1
    column = max(0, (exc.offset or 1) - 1)
    end = getattr(exc, "end_offset", None)
    last = end - 1 if end and getattr(exc, "end_lineno", line) == line else column + 1
    made = Frame(file, line, "syntax", kind_of(file), editor_link(file, line))
    made.lines = _source(file, line, None, masker)
    for each in made.lines:
        if each.here:
            text, last = each.before, max(last, column + 1)
            each.before, each.marked, each.after = text[:column], text[column:last], text[last:]
    return made


def _remote_frames(text: str, masker: Masker) -> list[Frame]:
    """The frames of a traceback that is only text."""
    frames = []
    for found in islice(_REMOTE_FRAME.finditer(text), MAX_FRAMES):
        file, line = found["file"], int(found["line"])
        made = Frame(file, line, found["name"], kind_of(file), editor_link(file, line))
        made.lines = _source(file, line, None, masker)
        frames.append(made)
    return frames
