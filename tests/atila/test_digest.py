"""Digest authentication without an app: the arithmetic, nonces, challenges, hostile headers."""

from __future__ import annotations

import threading

import pytest
from digest_client import answer, facts, strongest
from hypothesis import given
from hypothesis import strategies as st

from atila.access.digest import (
    WINDOW,
    DigestCredentials,
    DigestScheme,
    Nonces,
    expected_response,
    parse_parameters,
)
from atila.access.passwords import Account, first_hash
from skitai.wire.request import Request

SECRET = b"of all workers"
MUFASA = Account("Circle of Life")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def request(target: str = "/dir", method: str = "GET") -> Request:
    path, _, query = target.partition("?")
    return Request(method, target, path, query, "1.1", {})


def scheme(**options) -> DigestScheme:
    return DigestScheme("lions", SECRET, clock=options.pop("clock", Clock()), **options)


def headers(fields) -> list[str]:
    assert {name for name, _ in fields} == {"WWW-Authenticate"}
    return [value for _, value in fields]


def log_in(door: DigestScheme, header: str, account: Account | None = MUFASA, **about):
    """None when the header is accepted, the challenges otherwise."""
    asked = request(**about)
    found = door.read(header.removeprefix("Digest "), asked)
    if found is None:
        return headers(door.challenge())
    refused = door.check(found, asked, account)
    return None if refused is None else headers(refused)


def stale(challenges: list[str]) -> bool:
    return {facts(challenge).get("stale") for challenge in challenges} == {"true"}


# -- the arithmetic


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm, response):
    example = DigestCredentials(
        username="Mufasa",
        realm="http-auth@example.org",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        uri="/dir/index.html",
        response=response,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        nc="00000001",
        algorithm=algorithm,
        opaque=None,
    )
    assert expected_response(example, "GET", MUFASA) == response


def test_an_encrypted_password_is_the_first_hash():
    encrypted = Account(first_hash("MD5", "Mufasa", "lions", "Circle of Life").upper(), True)
    door = scheme(only_md5=True)
    header = answer(strongest(headers(door.challenge())), "Mufasa", "Circle of Life", "/dir")
    assert log_in(door, header, encrypted) is None


# -- challenges


def test_sha_256_is_offered_beside_md5_with_one_nonce():
    first, second = map(facts, headers(scheme(opaque="grass").challenge()))
    assert (first.pop("algorithm"), second.pop("algorithm")) == ("SHA-256", "MD5")
    assert first["qop"] == "auth"
    assert first["opaque"] == "grass"
    assert first == second


def test_the_opaque_text_is_the_md5_of_the_realm():
    (challenge, _) = headers(scheme().challenge())
    assert facts(challenge)["opaque"] == "86aa71c6832f46e2d79134fe3d5080b7"


def test_a_realm_is_quoted():
    (challenge, _) = headers(DigestScheme('the "pride" \\ rock', SECRET).challenge())
    assert challenge.startswith('Digest realm="the \\"pride\\" \\\\ rock", qop="auth"')


@pytest.mark.parametrize("algorithm", [0, 1])
def test_a_right_answer_is_accepted_with_each_algorithm(algorithm):
    door = scheme()
    offered = facts(headers(door.challenge())[algorithm])
    assert log_in(door, answer(offered, "Mufasa", "Circle of Life", "/dir")) is None


def test_a_wrong_password_is_refused_and_not_stale():
    door = scheme()
    header = answer(strongest(headers(door.challenge())), "Mufasa", "hakuna", "/dir")
    refused = log_in(door, header)
    assert refused is not None
    assert not stale(refused)


def test_nobody_is_as_wrong_as_a_wrong_password():
    door = scheme()
    header = answer(strongest(headers(door.challenge())), "Scar", "Circle of Life", "/dir")
    refused = log_in(door, header, None)
    assert refused is not None
    assert not stale(refused)


def test_names_and_passwords_are_utf_8():
    door = scheme()
    header = answer(strongest(headers(door.challenge())), "Jäsøn Doe", "pässwörd ✓", "/dir")
    assert log_in(door, header, Account("pässwörd ✓")) is None


def test_a_name_may_be_written_the_long_way():
    door = scheme()
    challenge = strongest(headers(door.challenge()))
    usual = answer(challenge, "Jäsøn Doe", "x", "/dir")
    plain = answer(challenge, "Jäsøn Doe", "x", "/dir", username="").removeprefix("Digest ")
    assert facts(usual)["response"] in plain
    for wrong in (
        "", "username*=latin-1''J%E4s%F8n, ", "username*=UTF-8''%FF, ", "username*=J, ",
        "username=\"J\", username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, ", "userhash=true, username=J, ",
    ):  # fmt: skip
        assert log_in(door, wrong + plain, Account("x"))
    right = f"username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, userhash=false, {plain}"
    assert log_in(door, right, Account("x")) is None


# -- what has to agree with the request


@pytest.mark.parametrize(
    "changes",
    [
        {"realm": "hyenas"},
        {"uri": "/dir?x=1"},
        {"uri": "/other"},
        {"opaque": "another"},
        {"algorithm": "MD5-sess"},
        {"algorithm": "SHA-512"},
        {"qop": "auth-int"},
        {"qop": ""},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"nc": ""},
        {"cnonce": ""},
        {"nonce": ""},
        {"response": ""},
        {"response": "é"},
        {"username": ""},
        {"username": "Mu\tfasa"},
    ],
)
def test_what_does_not_fit_is_refused(changes):
    door = scheme()
    header = answer(
        strongest(headers(door.challenge())), "Mufasa", "Circle of Life", "/dir", **changes
    )
    refused = log_in(door, header)
    assert refused is not None
    assert not stale(refused)


def test_the_answer_to_one_method_is_none_to_another():
    door = scheme()
    header = answer(strongest(headers(door.challenge())), "Mufasa", "Circle of Life", "/dir")
    assert log_in(door, header, method="DELETE")
    assert log_in(door, header, method="GET") is None


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("/dir?a=1&b=%20", "/dir?a=1&b=%20"),
        ("/dir?a=1", "http://example.com/dir?a=1"),
        ("http://example.com/dir?a=1", "http://example.com/dir?a=1"),
        ("/", "http://example.com"),
    ],
)
def test_the_uri_is_that_of_the_request(uri, target):
    door = scheme()
    header = answer(strongest(headers(door.challenge())), "Mufasa", "Circle of Life", uri)
    assert log_in(door, header, target=target) is None


def test_a_client_without_opaque_and_algorithm_is_an_old_one():
    door = scheme()
    md5 = facts(headers(door.challenge())[1])
    header = answer(md5, "Mufasa", "Circle of Life", "/dir", opaque="", algorithm="")
    assert log_in(door, header) is None


# -- encrypted passwords


def test_accounts_that_have_but_an_md5_get_only_that_offered():
    door = scheme()
    encrypted = Account(first_hash("MD5", "Mufasa", "lions", "Circle of Life"), True)
    sha = strongest(headers(door.challenge()))
    refused = log_in(door, answer(sha, "Mufasa", "Circle of Life", "/dir"), encrypted)
    assert refused is not None
    assert stale(refused), "the client tries again without asking its user"
    (again,) = refused
    assert facts(again)["algorithm"] == "MD5"
    header = answer(facts(again), "Mufasa", "Circle of Life", "/dir")
    assert log_in(door, header, encrypted) is None
    assert [facts(text)["algorithm"] for text in headers(door.challenge())] == ["MD5"]


def test_with_encrypted_accounts_nobody_can_find_out_who_is_one():
    door = scheme()
    sha = strongest(headers(door.challenge()))
    door.only_md5 = True
    for account in (None, MUFASA, Account("0" * 32, True)):
        refused = log_in(door, answer(sha, "Mufasa", "wrong", "/dir"), account)
        assert refused is not None
        assert stale(refused)


# -- nonces


def test_a_nonce_holds_for_its_lifetime_and_is_then_stale():
    clock = Clock()
    door = scheme(clock=clock)
    challenge = strongest(headers(door.challenge()))
    clock.now += 299
    assert log_in(door, answer(challenge, "Mufasa", "Circle of Life", "/dir")) is None
    clock.now += 1
    late = answer(challenge, "Mufasa", "Circle of Life", "/dir", number=2)
    refused = log_in(door, late)
    assert refused is not None
    assert stale(refused)
    fresh = answer(strongest(refused), "Mufasa", "Circle of Life", "/dir")
    assert log_in(door, fresh) is None


def test_an_old_nonce_with_a_wrong_password_is_not_stale():
    clock = Clock()
    door = scheme(clock=clock)
    challenge = strongest(headers(door.challenge()))
    clock.now += 1000
    refused = log_in(door, answer(challenge, "Mufasa", "hakuna", "/dir"))
    assert refused is not None
    assert not stale(refused)


def test_a_request_that_is_sent_again_is_refused():
    door = scheme()
    header = answer(strongest(headers(door.challenge())), "Mufasa", "Circle of Life", "/dir")
    assert log_in(door, header) is None
    refused = log_in(door, header)
    assert refused is not None
    assert stale(refused)


def test_any_worker_knows_the_nonces_of_another():
    here, there = scheme(), scheme()
    challenge = strongest(headers(here.challenge()))
    assert log_in(there, answer(challenge, "Mufasa", "Circle of Life", "/dir")) is None


def test_without_a_secret_the_workers_of_one_master_share_one():
    clock = Clock()
    here, there = DigestScheme("lions", clock=clock), DigestScheme("lions", clock=clock)
    challenge = strongest(headers(here.challenge()))
    assert log_in(there, answer(challenge, "Mufasa", "Circle of Life", "/dir")) is None


def test_nonces_of_another_service_are_stale():
    door = scheme()
    strange = strongest(headers(DigestScheme("lions", b"another", clock=Clock()).challenge()))
    refused = log_in(door, answer(strange, "Mufasa", "Circle of Life", "/dir"))
    assert refused is not None
    assert stale(refused)


def test_counts_may_overtake_each_other_but_never_come_twice():
    nonces = Nonces(SECRET, "lions", Clock())
    nonce = nonces.issue()
    assert [nonces.spend(nonce, count) for count in (3, 1, 2, 2, 3, 1, 0)] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip
    assert nonces.spend(nonce, 1000)
    assert not nonces.spend(nonce, 1000 - WINDOW)
    assert nonces.spend(nonce, 1000 - WINDOW + 1)
    assert not nonces.spend(nonce, 1000 - WINDOW + 1)


@given(st.lists(st.integers(0, 200), max_size=60))
def test_no_count_is_ever_taken_twice(counts):
    nonces = Nonces(SECRET, "lions", Clock())
    nonce = nonces.issue()
    taken = [count for count in counts if nonces.spend(nonce, count)]
    assert len(taken) == len(set(taken))
    assert 0 not in taken


def test_what_is_remembered_is_bounded_and_what_is_forgotten_can_not_be_replayed():
    clock = Clock()
    nonces = Nonces(SECRET, "lions", clock, capacity=3)
    used = []
    for _ in range(5):
        clock.now += 1
        used.append(nonces.issue())
        assert nonces.spend(used[-1], 1)
    assert len(nonces._used) == 3
    assert [nonces.spend(nonce, 1) for nonce in used] == [False] * 5
    assert [nonces.spend(nonce, 2) for nonce in used] == [False, False, True, True, True]


def test_nonces_that_do_not_hold_any_more_are_forgotten_first():
    clock = Clock()
    nonces = Nonces(SECRET, "lions", clock, lifetime=10)
    for _ in range(4):
        assert nonces.spend(nonces.issue(), 1)
    clock.now += 11
    assert nonces.spend(nonces.issue(), 1)
    assert len(nonces._used) == 1


def test_a_clock_that_is_set_back_makes_nonces_old():
    clock = Clock()
    nonces = Nonces(SECRET, "lions", clock)
    nonce = nonces.issue()
    clock.now -= 30
    assert nonces.spend(nonce, 1)
    clock.now -= 60
    assert not nonces.spend(nonce, 2)


def test_many_threads_can_use_a_count_once():
    nonces = Nonces(SECRET, "lions")
    nonce = nonces.issue()
    won = []
    start = threading.Barrier(8)

    def spend() -> None:
        start.wait()
        won.extend(count for count in range(1, 50) if nonces.spend(nonce, count))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == len(set(won))


def test_a_nonce_can_be_written_in_one_way_only():
    nonces = Nonces(SECRET, "lions", Clock())
    nonce = nonces.issue()
    assert nonces.spend(nonce, 1)
    for other in (
        nonce.rstrip("="), nonce + "=", nonce.replace("-", "+").replace("_", "/") + " ",
        nonce[:-2] + chr(ord(nonce[-2]) + 1) + "=", nonce.lower(), "", "é", "A" * 44, "\ud800",
    ):  # fmt: skip
        assert other == nonce or not nonces.spend(other, 2)


# -- headers from anywhere


def test_parameters_are_read_as_rfc_9110_has_them():
    assert parse_parameters('a=1, B = "x, \\"y\\"" ,, c*=UTF-8\'\'%20') == {
        "a": "1",
        "b": 'x, "y"',
        "c*": "UTF-8''%20",
    }
    assert parse_parameters("") == {}
    assert parse_parameters(" , ,") == {}


@pytest.mark.parametrize("text", ["a", "a=", "=1", 'a="1', "a=1 b=2", "a=1, a=2", 'a="1"b', "a=é"])
def test_malformed_parameters_are_none(text):
    assert parse_parameters(text) is None


def test_a_long_header_is_read_in_time():
    assert parse_parameters("a=1, " * 2 + "b=" * 20000) is None
    assert len(parse_parameters(", ".join(f"a{n}=1" for n in range(5000))) or ()) == 5000
    assert parse_parameters("," * 60000) == {}
    assert parse_parameters('a="' + "\\" * 60000) is None


NAMES = st.sampled_from(
    ["username", "username*", "realm", "nonce", "uri", "response", "cnonce", "nc", "qop",
     "algorithm", "opaque", "userhash", "x"]
)  # fmt: skip


@given(st.lists(st.tuples(NAMES, st.text(max_size=20)), max_size=14))
def test_no_parameters_crash(pairs):
    door = scheme()
    log_in(door, ", ".join(f'{name}="{text}"' for name, text in pairs))


@given(st.text())
def test_no_header_crashes(text):
    assert log_in(scheme(), text)
