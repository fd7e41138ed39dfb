"""The page for a crash, and its traceback for programs; ``atila.failures`` asks for them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING

from atila.debugging.editor import VARIABLE
from atila.debugging.frames import Frame, lines_of, report_of, text_of
from atila.debugging.masking import MASK, Masker, secrets_of
from atila.debugging.matching import routes_page_of
from atila.debugging.rendering import render_page
from atila.debugging.requests import describe_app, describe_request, sent_secrets, shown_target
from atila.debugging.values import Describer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atila.app import Atila
    from atila.debugging.frames import ExceptionReport
    from atila.errors import HTTPError
    from atila.was import Was
    from skitai.server.representation import Fields


@dataclass
class Group:
    """Frames that follow each other, with their anchors; those of others are folded."""

    title: str
    folded: bool
    frames: list[tuple[Frame, str]]


def render_error_page(was: Was, error: HTTPError, exc: BaseException) -> tuple[bytes, Fields]:
    """The page, and its header fields.

    Parameters:
        error: what the client is answered with.
        exc: what is shown; it is not kept.
    """
    masker = masker_of(was)
    describer = Describer(masker)
    reports = report_of(exc, describer, masker)
    if describer.hidden:
        # What is hidden in one place must not be read in another one, e.g. in the source.
        masker = masker_of(was, describer.hidden)
        describer = Describer(masker)
        reports = report_of(exc, describer, masker)
    _add_directories(was.app, reports)
    anchors = [
        {id(frame): f"e{number}f{at}" for at, frame in enumerate(report.frames)}
        for number, report in enumerate(reports)
    ]
    request = was.exchange.request
    target = shown_target(was.exchange, masker)
    return render_page(
        "error.html",
        error=error,
        method=request.method,
        target=target,
        reports=reports,
        groups=[_groups(each, anchors[at]) for at, each in enumerate(reports)],
        anchor=lambda number, frame: anchors[number][id(frame)],
        request=describe_request(was, describer, masker),
        app=describe_app(was, describer),
        text=f"{request.method} {target} HTTP/{request.version} -> {error.code}\n"
        f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n\n{text_of(exc, masker)}",
        editor=os.environ.get(VARIABLE),
        mask=MASK,
        routes_page=routes_page_of(was.app),
    )


def traceback_lines(was: Was, exc: BaseException) -> list[str]:
    """The traceback for programs, without secrets."""
    return [line.rstrip() for line in lines_of(exc, masker_of(was))]


def without_secrets(was: Was, lines: Iterable[str]) -> list[str]:
    """The lines of a traceback that was written before."""
    masker = masker_of(was)
    return [masker.code(masker.text(line)) for line in lines]


def masker_of(was: Was, hidden: Iterable[str] = ()) -> Masker:
    """Knows the secrets of the app and of the request, and others that were found."""
    return Masker(secrets_of(was.app), [*sent_secrets(was), *hidden])


def _groups(report: ExceptionReport, anchors: dict[int, str]) -> list[Group]:
    frames = report.frames
    opened = {id(frame) for frame in frames if frame.opened}
    if not opened and frames:
        opened = {id(frames[0])}
    groups = []
    for own, run in groupby(frames, key=lambda frame: id(frame) in opened):
        members = [(frame, anchors[id(frame)]) for frame in run]
        groups.append(Group("" if own else _title(members), not own, members))
    return groups


def _title(members: list[tuple[Frame, str]]) -> str:
    whose = dict.fromkeys(_package_of(frame) for frame, _ in members)
    count = len(members)
    return f"{count} {'call' if count == 1 else 'calls'} in {', '.join(whose)}"


def _package_of(frame: Frame) -> str:
    """The package that a file is of, for people."""
    parts = frame.file.replace("\\", "/").split("/")
    for mark in ("site-packages", "dist-packages"):
        if mark in parts[:-1]:
            return parts[parts.index(mark) + 1].removesuffix(".py")
    if frame.kind == "engine":
        return next((part for part in reversed(parts) if part in ("atila", "skitai")), "skitai")
    return "Python"


def _add_directories(app: Atila, reports: list[ExceptionReport]) -> None:
    """Tell of a template that isn't there where it was looked for, and what there is."""
    for report in reports:
        if report.template is not None:
            report.searched = list(app.template_directories())
            report.similar = get_close_matches(report.template, app.templates.env.list_templates())
