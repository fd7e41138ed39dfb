"""A client that answers digest challenges, written from RFC 7616 alone, for tests."""

from __future__ import annotations

import hashlib
import re

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def facts(challenge: str) -> dict[str, str]:
    """The parameters of a challenge."""
    assert challenge.startswith("Digest ")
    pairs = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', challenge)
    return {name: quoted.replace("\\", "") or token for name, quoted, token in pairs}


def strongest(challenges: list[str]) -> dict[str, str]:
    """The challenge that a client chooses: the first whose algorithm it knows."""
    return next(found for found in map(facts, challenges) if found["algorithm"] in HASHES)


def answer(
    challenge: dict[str, str],
    username: str,
    password: str,
    uri: str,
    /,
    method: str = "GET",
    number: int = 1,
    **changes: str,
) -> str:
    """An Authorization header for the request of that number.

    ``changes`` are parameters that go out other than they should; empty ones are left out.
    """
    algorithm = challenge["algorithm"]

    def hashed(text: str) -> str:
        return HASHES[algorithm](text.encode()).hexdigest()

    count, cnonce = f"{number:08x}", "0a4f113b"
    first = hashed(f"{username}:{challenge['realm']}:{password}")
    second = hashed(f"{method}:{uri}")
    response = hashed(f"{first}:{challenge['nonce']}:{count}:{cnonce}:auth:{second}")
    values = {
        "username": username,
        "realm": challenge["realm"],
        "nonce": challenge["nonce"],
        "uri": uri,
        "response": response,
        "cnonce": cnonce,
        "opaque": challenge["opaque"],
    }
    bare = {"algorithm": algorithm, "qop": "auth", "nc": count}
    quoted = {**values, **{name: text for name, text in changes.items() if name in values}}
    plain = {**bare, **{name: text for name, text in changes.items() if name in bare}}
    parts = [f'{name}="{text}"' for name, text in quoted.items() if text]
    parts += [f"{name}={text}" for name, text in plain.items() if text]
    return "Digest " + ", ".join(parts).encode().decode("latin-1")
