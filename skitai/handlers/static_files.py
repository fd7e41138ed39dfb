"""Which file answers a url path: roots, their priority, and what is known about a found file.

The static handler asks before every GET that a static mount covers, so misses are the cheap case.
"""

from __future__ import annotations

import enum
import mimetypes
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from skitai.errors import ConfigError
from skitai.wire.dates import format_date

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEX_NAMES = ("index.htm", "index.html")
PRECOMPRESSED = (("br", ".br"), ("gzip", ".gz"))
CONTENT_LIMIT = 16 * 1024
"""Bytes up to which the content of a file is kept in memory."""
CACHE_FILES = 1024
CACHE_BYTES = 8 * 1024 * 1024
"""Bounds of the cache of one root: files, and bytes of their contents."""
RECHECK = 1.0
"""Seconds for which a root trusts what it knows of names, links and precompressed siblings."""

_MAX_NAMES = 4096
# A file changed twice within one tick of the clock of its file system looks unchanged.
_SETTLED = 2.0
_WRAPPED = {
    "gzip": "application/gzip",
    "br": "application/octet-stream",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}

Signature: TypeAlias = tuple[int, int, int, int, int]


class Lookup(enum.Enum):
    """What a look-up can find that is no file."""

    ADD_SLASH = "a directory with an index file was asked for without the trailing slash"


ADD_SLASH: Final = Lookup.ADD_SLASH
Found: TypeAlias = "StaticFile | Literal[Lookup.ADD_SLASH] | None"


@dataclass(slots=True)
class StaticFile:
    """A file as it was when last looked at; treat it as read-only.

    Attributes:
        path: real path, without links.
        size: bytes.
        mtime: last modification, seconds since the epoch.
        etag: strong entity tag, quoted.
        last_modified: ``mtime`` as HTTP date, never in the future.
        content_type: by extension, with the charset for text.
        encoding: content coding of a precompressed file, ``""`` for a plain one.
        content: the bytes of a file up to 16 KiB, ``None`` when it has to be opened.
        variants: precompressed siblings by coding, each with an etag of its own.
    """

    path: str
    size: int
    mtime: float
    etag: str
    last_modified: str
    content_type: str
    encoding: str
    content: bytes | None
    signature: Signature
    variants: dict[str, StaticFile] = field(default_factory=dict)
    weight: int = 0

    def open(self) -> int:
        """Open the file and return its descriptor, which the caller closes.

        Raises ``FileNotFoundError`` when it vanished or is no longer the file described here (so
        etag and size would lie): look it up again. Raises ``OSError`` for other failures.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _sign(os.fstat(descriptor)) != self.signature:
                raise FileNotFoundError(f"{self.path} has changed since it was looked up")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class StaticRoot:
    """One directory whose files may be served.

    Parameters:
        directory: path of an existing directory.
        recheck: seconds for which the names in the directory itself, the choice of index files
            and precompressed siblings are trusted; 0 looks at the disk each time (for
            development). Files that were changed or removed are always noticed at once.

    Only regular, readable files are found. Symbolic links are followed as long as their real path
    stays inside this root; a link that leads out is not found. Hidden files and directories (a
    leading dot, except ``.well-known``) are not found, nor are links to them. The directory itself
    may be a link; it is resolved here, once.

    Raises ``ConfigError`` when the directory does not exist.
    """

    def __init__(self, directory: str, recheck: float = RECHECK) -> None:
        if not os.path.isdir(directory):
            raise ConfigError(
                f"static directory {directory!r} does not exist: create it or correct the path"
            )
        self.directory = os.path.abspath(directory)
        self._base = os.path.realpath(directory).rstrip("/") + "/"
        self._recheck = recheck
        self._names: frozenset[str] | None = frozenset()
        self._names_until = float("-inf")
        self._names_signature: Signature | None = None
        self._cache: dict[str, tuple[StaticFile, str, float]] = {}
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def find(self, relative_path: str) -> Found:
        """Look a file up.

        Parameters:
            relative_path: below this root, percent-decoded once, without a leading slash. Empty
                or with a trailing slash it asks for the index file of a directory.

        Returns the file, ``ADD_SLASH`` for a directory that has an index file and was asked for
        without the slash, or ``None``: also for every path that tries to leave the root, has
        empty or dot segments, backslashes or NUL.
        """
        now = time.monotonic()
        known = self._cache.get(relative_path)
        if known is not None and now < known[2]:
            # PERF: one stat proves a known file: 1.3 us; resolving it again costs 20 us.
            try:
                if _sign(os.stat(known[1])) == known[0].signature:
                    return known[0]
            except OSError:
                pass
        # PERF: most misses end here without a system call: 0.4 us, and the loop keeps the GIL.
        if now >= self._names_until:
            self._list_names(now)
        names = self._names
        first = relative_path.partition("/")[0]
        if names is not None and first not in names and (first or names.isdisjoint(INDEX_NAMES)):
            return None
        if not _is_plain(relative_path):
            return None
        try:
            return self._resolve(relative_path, now)
        except (OSError, ValueError):
            return None

    def _list_names(self, now: float) -> None:
        """Learn the names in the root itself, unless nothing changed since the last time."""
        try:
            status = os.stat(self._base)
            signature = _sign(status)
            if signature != self._names_signature:
                with os.scandir(self._base) as entries:
                    names = frozenset(entry.name for entry in islice(entries, _MAX_NAMES))
                self._names = names if len(names) < _MAX_NAMES else None
                self._names_signature = signature if _is_settled(status) else None
        except OSError:
            self._names, self._names_signature = frozenset(), None
        # Last, so that no other thread trusts names that are not there yet.
        self._names_until = now + self._recheck

    def _resolve(self, relative_path: str, now: float) -> Found:
        path = self._base + relative_path
        if not relative_path or relative_path.endswith("/"):
            for name in INDEX_NAMES:
                found = self._describe(relative_path, path + name, now)
                if found:
                    return found
            return None
        # PERF: access() says no in 0.35 us, the exception of a failing stat() takes 0.85 us.
        if not os.access(path, os.R_OK):
            return None
        if not os.path.isdir(path):
            return self._describe(relative_path, path, now)
        if any(self._real_file(f"{path}/{name}") for name in INDEX_NAMES):
            return ADD_SLASH
        return None

    def _describe(self, key: str, path: str, now: float) -> StaticFile | None:
        located = self._real_file(path)
        if not located:
            return None
        real, status = located
        known = self._cache.get(key)
        former = known[0] if known else None
        real, status = located
        found = _describe_file(real, status, _content_type(path), "", former)
        settled = _is_settled(status)
        for encoding, suffix in PRECOMPRESSED:
            sibling = self._real_file(path + suffix)
            if sibling and sibling[1].st_mtime_ns >= status.st_mtime_ns:
                variant = former.variants.get(encoding) if former else None
                found.variants[encoding] = _describe_file(
                    *sibling, found.content_type, encoding, variant
                )
                settled = settled and _is_settled(sibling[1])
        found.weight = sum(len(item.content or b"") for item in (found, *found.variants.values()))
        if settled:
            self._remember(key, found, path, now)
        return found

    def _real_file(self, path: str) -> tuple[str, os.stat_result] | None:
        """The real path and status of a readable regular file inside this root."""
        if not os.access(path, os.R_OK):
            return None
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        real = os.path.realpath(path)
        if not real.startswith(self._base) or not _is_plain(real[len(self._base) :]):
            return None
        return real, status

    def _remember(self, key: str, found: StaticFile, path: str, now: float) -> None:
        with self._lock:
            self._forget(key)
            if found.weight > CACHE_BYTES:
                return
            while self._cache and (
                len(self._cache) >= CACHE_FILES or self._cached_bytes + found.weight > CACHE_BYTES
            ):
                self._forget(next(iter(self._cache)))
            self._cache[key] = (found, path, now + self._recheck)
            self._cached_bytes += found.weight

    def _forget(self, key: str) -> None:
        former = self._cache.pop(key, None)
        if former is not None:
            self._cached_bytes -= former[0].weight


class StaticDirectory:
    """The roots stacked on one url prefix; the first that has the file wins.

    Parameters:
        prefix: url path, e.g. ``"/static"`` or ``"/"``; it covers itself and what is below it.
        roots: in order of priority.
        recheck: for the roots that ``add`` makes, see ``StaticRoot``.
    """

    def __init__(
        self, prefix: str, roots: Iterable[StaticRoot] = (), recheck: float = RECHECK
    ) -> None:
        self.prefix = "/" + prefix.strip("/") + "/" if prefix.strip("/") else "/"
        self.roots = list(roots)
        self._length = len(self.prefix)
        self._recheck = recheck

    def add(self, path: str, first: bool = False) -> None:
        """Stack another directory; ``first`` gives it priority over those already there.

        Raises ``ConfigError`` when it does not exist.
        """
        self.roots.insert(0 if first else len(self.roots), StaticRoot(path, self._recheck))

    def find(self, path: str) -> Found:
        """Look up a url path, percent-decoded once; the answers are those of ``StaticRoot``."""
        if not path.startswith(self.prefix):
            if path + "/" != self.prefix:
                return None
            has_index = any(isinstance(root.find(""), StaticFile) for root in self.roots)
            return ADD_SLASH if has_index else None
        relative_path = path[self._length :]
        for root in self.roots:
            found = root.find(relative_path)
            if found is not None:
                return found
        return None


def _is_plain(relative_path: str) -> bool:
    """Whether a path is free of all that could lead out of a root or to a hidden file."""
    if "\0" in relative_path or "\\" in relative_path or "//" in relative_path:
        return False
    if relative_path.startswith("/"):
        return False
    if "/." not in relative_path and not relative_path.startswith("."):
        return True
    return not any(
        part.startswith(".") and part != ".well-known" for part in relative_path.split("/")
    )


def _sign(status: os.stat_result) -> Signature:
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_dev,
    )


def _is_settled(status: os.stat_result) -> bool:
    return time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED


def _describe_file(
    real: str, status: os.stat_result, content_type: str, encoding: str, former: StaticFile | None
) -> StaticFile:
    signature = _sign(status)
    mark = f"-{encoding}" if encoding else ""
    found = StaticFile(
        path=real,
        size=status.st_size,
        mtime=status.st_mtime,
        etag=f'"{status.st_size:x}-{status.st_mtime_ns:x}{mark}"',
        last_modified=format_date(min(status.st_mtime, time.time())),
        content_type=content_type,
        encoding=encoding,
        content=None,
        signature=signature,
    )
    if former is not None and former.signature == signature:
        found.content = former.content
    elif status.st_size <= CONTENT_LIMIT:
        found.content = _read(found)
    return found


def _read(found: StaticFile) -> bytes | None:
    """The content, unless the file changes while it is read."""
    try:
        descriptor = found.open()
    except FileNotFoundError:
        return None
    try:
        content = os.read(descriptor, found.size + 1)
        return content if len(content) == found.size else None
    finally:
        os.close(descriptor)


# Only Python's own table: what the machine has installed must not change an answer.
_TYPES = mimetypes.MimeTypes()
for _extension, _type in (
    (".js", "text/javascript"),
    (".mjs", "text/javascript"),
    (".md", "text/markdown"),
    (".wasm", "application/wasm"),
    (".webmanifest", "application/manifest+json"),
    (".webp", "image/webp"),
    (".avif", "image/avif"),
    (".ico", "image/x-icon"),
    (".woff", "font/woff"),
    (".woff2", "font/woff2"),
    (".ttf", "font/ttf"),
    (".otf", "font/otf"),
):
    _TYPES.add_type(_type, _extension)


def _content_type(path: str) -> str:
    kind, encoding = _TYPES.guess_type("/" + os.path.basename(path))
    if encoding:
        # A downloaded archive stays what it is: it is not the coding of something else.
        return _WRAPPED.get(encoding, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
