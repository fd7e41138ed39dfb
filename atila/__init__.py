"""atila, the web framework on skitai: the names that apps use."""

from __future__ import annotations

from atila.app import Atila
from atila.errors import HTTPError
from atila.life.events import (
    EVT_BEFORE_MOUNT,
    EVT_BEFORE_RELOAD,
    EVT_BEFORE_UMOUNT,
    EVT_MOUNTED,
    EVT_MOUNTED_RELOADED,
    EVT_RELOADED,
    EVT_REQ_FAILED,
    EVT_REQ_FINISHED,
    EVT_REQ_STARTED,
    EVT_REQ_SUCCESS,
    EVT_REQ_TEARDOWN,
    EVT_SPEC_CREATED,
    EVT_UMOUNTED,
)
from atila.life.loading import load
from atila.results.api import API
from atila.results.files import File
from atila.was import Was
from skitai import preference
from skitai.sql import D, F, Q, V

__all__ = [
    "API",
    "D",
    "EVT_BEFORE_MOUNT",
    "EVT_BEFORE_RELOAD",
    "EVT_BEFORE_UMOUNT",
    "EVT_MOUNTED",
    "EVT_MOUNTED_RELOADED",
    "EVT_RELOADED",
    "EVT_REQ_FAILED",
    "EVT_REQ_FINISHED",
    "EVT_REQ_STARTED",
    "EVT_REQ_SUCCESS",
    "EVT_REQ_TEARDOWN",
    "EVT_SPEC_CREATED",
    "EVT_UMOUNTED",
    "Atila",
    "F",
    "File",
    "HTTPError",
    "Q",
    "V",
    "Was",
    "load",
    "preference",
]
