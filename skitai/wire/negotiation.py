"""Proactive negotiation (RFC 9110, 12.5): quality values, content codings and media types.

Called when a response is encoded, when an error page is chosen, and by static files.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Browsers send a dozen members at most. Without a bound a 64 KiB header would cost 30 ms.
MAX_MEMBERS = 64
_CACHED_LENGTH = 512
_PREFERENCE = ("br", "zstd", "gzip", "deflate")

_QUALITY = re.compile(r"(?:0(?:\.[0-9]*)?|1(?:\.0*)?|\.[0-9]+)")
_QUOTED = r'"(?:\\.|[^"\\])*"?'
_MEMBER = re.compile(rf"(?:[^,\"]|{_QUOTED})+")
_PARAMETER = re.compile(rf"(?:[^;\"]|{_QUOTED})+")


def parse_qualities(value: str) -> list[tuple[str, float]]:
    """Read a list such as ``Accept`` or ``Accept-Language`` as ``(name, quality)`` pairs.

    Names are in lower case and in the order sent; parameters before ``q`` stay part of the name,
    without blanks (``"text/html;level=1"``). The default quality is 1.0. Members whose quality
    can't be read (RFC 9110, 12.4.2) and members after the 64th are left out.
    """
    if '"' in value:
        members = _MEMBER.findall(value)[:MAX_MEMBERS]
    else:
        members = value.split(",", MAX_MEMBERS)[:MAX_MEMBERS]
    qualities: list[tuple[str, float]] = []
    for member in members:
        name, quality = _split_member(member)
        if name and quality is not None:
            qualities.append((name, quality))
    return qualities


def _split_member(member: str) -> tuple[str, float | None]:
    name, _, parameters = member.partition(";")
    kept = [name.strip().lower()]
    for parameter in _PARAMETER.findall(parameters) if kept[0] else ():
        key, _, text = parameter.partition("=")
        key, text = key.strip().lower(), text.strip()
        if key == "q":
            # What follows q was an extension of the Accept field and means nothing today.
            return ";".join(kept), float(text) if _QUALITY.fullmatch(text) else None
        if key:
            kept.append(f"{key}={text.lower()}")
    return ";".join(kept), 1.0


def choose_encoding(accept_encoding: str, available: tuple[str, ...]) -> str | None:
    """Choose the content coding to answer with (RFC 9110, 12.5.3).

    Parameters:
        accept_encoding: the header value, ``""`` when it is missing.
        available: the codings that can be produced, e.g. ``("br", "gzip")``.

    Returns the acceptable coding of the highest quality; among equals br, zstd, gzip, deflate,
    then the order of ``available``. ``None`` means: send it as it is, because nothing else is
    acceptable or the client likes identity better. It is also the answer when nothing at all is
    acceptable, as RFC 9110 advises against refusing.
    """
    if not accept_encoding or not available:
        return None
    if len(accept_encoding) > _CACHED_LENGTH:
        return _choose_encoding.__wrapped__(accept_encoding, available)
    return _choose_encoding(accept_encoding, available)


# PERF: browsers of one kind send the same text: 0.1 us from the cache, 2.7 us to parse.
@lru_cache(maxsize=256)
def _choose_encoding(accept_encoding: str, available: tuple[str, ...]) -> str | None:
    qualities = dict(parse_qualities(accept_encoding))
    others = qualities.get("*", 0.0)
    # Among equals every coding beats identity: fewer bytes for the same wish.
    best, best_rank = None, (qualities.get("identity", 0.0), -len(_PREFERENCE) - 1)
    for coding in available:
        quality = qualities.get(coding, qualities.get(f"x-{coding}", others))
        preference = _PREFERENCE.index(coding) if coding in _PREFERENCE else len(_PREFERENCE)
        rank = (quality, -preference)
        if quality > 0.0 and rank > best_rank:
            best, best_rank = coding, rank
    return best


def prefers(accept: str, candidates: tuple[str, ...]) -> str | None:
    """Choose the media type that the client likes best (RFC 9110, 12.5.1).

    Parameters:
        accept: the header value, ``""`` when it is missing (anything is welcome).
        candidates: media types in lower case, the server's favourite first.

    The quality of a candidate is that of the most specific range it falls in. Returns the first
    candidate of the highest quality, ``None`` when none is acceptable.
    """
    if not accept:
        return candidates[0] if candidates else None
    if len(accept) > _CACHED_LENGTH:
        return _prefers.__wrapped__(accept, candidates)
    return _prefers(accept, candidates)


@lru_cache(maxsize=256)
def _prefers(accept: str, candidates: tuple[str, ...]) -> str | None:
    ranges = [(name.split(";"), quality) for name, quality in parse_qualities(accept)]
    best, best_quality = None, 0.0
    for candidate in candidates:
        quality = _quality_of(candidate, ranges)
        if quality > best_quality:
            best, best_quality = candidate, quality
    return best


def _quality_of(candidate: str, ranges: list[tuple[list[str], float]]) -> float:
    media, *parameters = (part.strip() for part in candidate.split(";"))
    closest, found = 0, 0.0
    for (pattern, *wanted), quality in ranges:
        closeness = _closeness(media, parameters, pattern, wanted)
        if closeness > closest:
            closest, found = closeness, quality
    return found


def _closeness(media: str, parameters: list[str], pattern: str, wanted: list[str]) -> int:
    """How narrowly a range fits a media type, 0 when it doesn't."""
    if pattern == media:
        return 3 + len(wanted) if all(item in parameters for item in wanted) else 0
    if pattern.endswith("/*") and media.startswith(pattern[:-1]):
        return 2
    # A bare asterisk is no media range, but the HTTP client of old Java versions sends it.
    return 1 if pattern in ("*/*", "*") else 0
