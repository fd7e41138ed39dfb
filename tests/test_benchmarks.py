"""The benchmark's options, plan, checks, figures and tables."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from benchmarks import figures, launcher, report, services, suite
from benchmarks.apps.picks import keys
from benchmarks.contenders import (
    CONTENDERS,
    LIMIT,
    NGINX,
    OURS,
    OURS_DATABASE,
    OURS_PROXY,
    OURS_STATIC,
    OURS_TLS,
    limit_of,
    ours_of,
)
from benchmarks.environment import ROOT, Cores
from benchmarks.load import Load, LoadError, parse
from benchmarks.plan import Plan
from benchmarks.plan import parse as parse_options
from benchmarks.rows import (
    DATABASE,
    DRAWN,
    FIGURES,
    REFUSED,
    ROWS,
    UPSTREAM,
    Figure,
    Request,
    Row,
)


def row(name: str) -> Row:
    return next(one for one in ROWS if one.name == name)


def outcome(
    name: str,
    *rates: float,
    share: float = 1.0,
    client: float = 0.5,
    service: float = 0.0,
    work: str = "json-sync",
) -> suite.Outcome:
    contender = next(one for one in CONTENDERS if one.name == name)
    made = suite.Outcome(contender)
    made.samples[work] = [
        suite.Sample(rate, share / rate * 1e6, share, client, 1.0, 2.0, {}, service)
        for rate in rates
    ]
    return made


def figure(name: str) -> Figure:
    return next(one for one in FIGURES if one.name == name)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratio_has_two_decimals_and_a_dash_for_what_is_missing():
    assert report.ratio(3.0, 2.0) == "1.50"
    assert report.ratio(None, 2.0) == report.ratio(2.0, None) == report.ratio(1.0, 0.0) == "–"


def test_table_is_aligned_markdown_with_figures_to_the_right():
    assert report.table(("name", "figure", "remark"), [("a", "1", ""), ("bb", "1,000", "x")]) == (
        "| name | figure | remark |\n"
        "| ---- | -----: | ------ |\n"
        "| a    |      1 |        |\n"
        "| bb   |  1,000 | x      |"
    )


def test_row_table_shows_medians_and_ratios_fastest_first():
    outcomes = [
        outcome("granian-wsgi", 30_000, 10_000, 20_000),
        outcome(OURS, 41_000, 40_000, 39_000),
        outcome(LIMIT, 80_000, 90_000, 70_000),
    ]
    lines = report.row_table(row("json-sync"), outcomes).splitlines()
    limit, ours, peer = (cells(line) for line in lines[2:])
    assert limit[:5] == ["bare uvloop + httptools", "80,000", "70,000–90,000", "0.50", "1.00"]
    assert ours[:5] == ["skitai + atila", "40,000", "39,000–41,000", "1.00", "0.50"]
    assert peer[:7] == [
        "Granian, raw WSGI",
        "20,000",
        "10,000–30,000",
        "2.00",
        "0.25",
        "50.0",
        "2.00",
    ]


def test_row_table_names_who_did_not_run_and_why():
    lost = suite.Outcome(CONTENDERS[0], failures={"json-sync": f"a | b\nin {ROOT}/app.py"})
    lines = report.row_table(row("json-sync"), [outcome(OURS, 10.0), lost]).splitlines()
    assert cells(lines[-1])[0] == "bare uvloop + httptools"
    assert cells(lines[-1])[-1] == "not run: a / b in app.py"


def test_row_table_leaves_out_who_cannot_do_the_row():
    assert "Granian" not in report.row_table(row("json-async"), [outcome("granian-wsgi", 1.0)])


def test_row_table_tells_failed_requests_and_missing_rounds():
    made = outcome(OURS, 10.0)
    made.samples["json-sync"] = [suite.Sample(10.0, 1.0, 1.0, 0.5, 1.0, 2.0, {"timeout": 3})] * 2
    made.failures["json-sync"] = "it broke"
    remark = cells(report.row_table(row("json-sync"), [made]).splitlines()[-1])[-1]
    assert remark == "6 requests timeout; only 2 rounds: it broke"


def test_a_busy_server_gives_no_warning():
    assert report.warnings(ROWS, [outcome(OURS, 10.0, share=0.95)]) == []


@pytest.mark.parametrize(
    ("client", "reason"), [(0.99, "load generator was saturated"), (0.40, "other processes")]
)
def test_an_idle_server_gives_a_warning_with_the_likely_reason(client, reason):
    (note,) = report.warnings(ROWS, [outcome(OURS, 10.0, share=0.7, client=client)])
    assert note.startswith("json-sync, skitai + atila: the server used 70% of its core")
    assert reason in note


def test_a_database_that_shares_its_core_with_the_load_generator_is_named_as_the_reason():
    made = outcome(OURS_DATABASE, 10.0, share=0.7, client=0.3, service=0.65, work="row-sync")
    (note,) = report.warnings(ROWS, [made])
    assert "wrk 30% of its own, the database 65% of one" in note
    assert "the database held it down" in note


def test_rows_of_databases_and_proxies_are_compared_with_our_own_and_nginx():
    outcomes = [
        outcome(OURS_PROXY, 5_000, work="proxy-sync"),
        outcome(NGINX, 20_000, work="proxy-sync"),
    ]
    lines = report.row_table(row("proxy-sync"), outcomes).splitlines()
    limit, ours = (cells(line) for line in lines[2:])
    assert (limit[0], limit[3], limit[4]) == ("nginx, proxy_pass", "0.25", "1.00")
    assert ours[3:5] == ["1.00", "0.25"]
    others = {OURS_DATABASE, OURS_PROXY, OURS_STATIC, OURS_TLS}
    assert {ours_of(one) for one in ROWS} == {OURS, *others}
    assert limit_of(row("row-sync")) == LIMIT


def test_figures_have_seconds_and_memory_or_the_reason_for_none():
    contender = next(one for one in CONTENDERS if one.name == OURS_PROXY)
    taken = figures.Reading(figure("waiting"), contender, 1.234, 3 * 1024**2)
    lost = figures.Reading(figure("stream-route"), contender, remark="not run: a | b")
    lines = report.figure_table([taken, lost]).splitlines()
    assert cells(lines[2])[2:] == ["1.23", "3.0", ""]
    assert cells(lines[3])[2:] == ["–", "–", "not run: a / b"]


def test_a_package_that_could_not_be_installed_is_the_reason_shown():
    made = outcome("bjoern-falcon")
    made.failures = {"json-sync": "ended with code 1"}
    report.explain(made, {"bjoern": "ev.h: No such file"})
    assert made.failures == {"json-sync": "bjoern could not be installed: ev.h: No such file"}


def test_document_has_every_row_the_facts_and_the_warnings():
    text = report.document(
        Plan(rounds=2, seconds=7),
        [outcome(OURS, 10.0, share=0.5)],
        [figures.Reading(one, CONTENDERS[0], 1.0, 1) for one in FIGURES],
        cores=Cores(3, 4, (5, 6)),
        now=datetime(2030, 1, 2, 3, 4, tzinfo=timezone.utc),
        machine={"CPU": "a processor"},
        versions={"falcon": "9.9"},
    )
    assert text.startswith("# Benchmark of 2030-01-02 03:04 UTC\n")
    expected = ["CPU: a processor", "falcon 9.9", "pinned to core 3", "Rounds: 2", "for 7 s"]
    expected += ["run on core 5, 6", *(one.title for one in FIGURES)]
    for part in [*expected, "## Start-up and memory", "## Warnings", *(one.name for one in ROWS)]:
        assert part in text


def test_sample_is_rate_and_cpu_time_per_request():
    load = Load(requests=1000, seconds=2.0, p50=1.0, p99=3.0, faults={}, client_seconds=0.5)
    taken = suite.sample(load, server_seconds=1.9, service_seconds=0.6)
    assert (taken.per_second, taken.microseconds) == (500.0, pytest.approx(1900.0))
    assert (taken.server_share, taken.client_share, taken.service_share) == (0.95, 0.25, 0.3)


def test_the_summary_of_wrk_is_read_from_its_last_line():
    load = parse(
        "Running 2s test\n  Requests/sec: 5\n\n"
        '{"requests": 10, "microseconds": 2000000, "p50": 1500, "p99": 2500,'
        ' "refused": 0, "broken": 2, "status": 0, "timeout": 0}\n',
        client_seconds=0.1,
    )
    assert load == Load(10, 2.0, 1.5, 2.5, {"broken": 2}, 0.1)


@pytest.mark.parametrize("output", ["", "unable to connect", '{"requests": 0}'])
def test_a_run_of_wrk_without_figures_is_an_error(output):
    with pytest.raises(LoadError):
        parse(output, client_seconds=0.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (launcher.Answer(404, "text/plain", b"Hello, World!"), "status 404"),
        (launcher.Answer(200, "text/html", b"Hello, World!"), "type 'text/html'"),
        (launcher.Answer(200, "text/plain", b"Hello"), "body b'Hello'"),
    ],
)
def test_a_wrong_answer_is_refused_with_what_is_wrong(answer, said):
    with pytest.raises(suite.WrongAnswer, match="wrong answer to /plaintext") as caught:
        suite.check(row("plaintext-sync"), lambda request: answer)
    assert said in str(caught.value)


def test_json_is_compared_by_value_and_a_constant_is_found_out():
    constant = launcher.Answer(200, "application/json", b'{"q": "hello",\n "id": 42}')
    with pytest.raises(suite.WrongAnswer, match=r"/items/7\?q=other"):
        suite.check(row("json-sync"), lambda request: constant)


def test_no_answer_is_a_wrong_answer():
    def refuse(request: Request) -> launcher.Answer:
        raise ConnectionRefusedError

    with pytest.raises(suite.WrongAnswer, match="no answer"):
        suite.check(row("json-sync"), refuse)


def test_a_form_that_is_not_refused_is_a_wrong_answer():
    form = row("form-sync")
    right = {one.request.body: one.answer for one in form.cases if one.answer is not REFUSED}

    def take(request: Request) -> launcher.Answer:
        body = json.dumps(right.get(request.body, {})).encode()
        return launcher.Answer(200, "application/json", body)

    with pytest.raises(suite.WrongAnswer, match="with name=Al&.*: status 200, not refused"):
        suite.check(form, take)


def test_cookies_are_kept_through_the_cases_and_given_to_the_load_generator():
    held = []

    def count(request: Request) -> launcher.Answer:
        held.append(request.headers.get("Cookie"))
        body = b'{"count": %d}' % len(held)
        return launcher.Answer(200, "application/json", body, {"s": f"v{len(held)}"})

    timed = suite.check(row("session-sync"), count)
    assert held == [None, "s=v1", "s=v2"]
    assert timed == Request("/session", headers={"Cookie": "s=v3"})


def test_every_row_is_done_by_us_and_a_contender_does_only_what_it_can():
    able = {one.name: {row.name for row in one.rows()} for one in CONTENDERS}
    for one in ROWS:
        assert one.name in able[ours_of(one)]
    assert able["granian-flask-database"] == {"row-sync", "queries-sync", "page-sync"}
    assert able["granian-falcon"] == {"plaintext-sync", "json-sync", "form-sync"}
    protocols = {"http2-async", "socket-small-async", "socket-large-async"}
    assert able["uvicorn-starlette"] == able[OURS] - {"form-sync"} - protocols
    assert able["sanic-sockets"] == protocols - {"http2-async"}


def test_options_have_defaults_and_a_full_run_is_not_partial():
    plan = parse_options([])
    assert (plan.rounds, plan.seconds, plan.connections) == (5, 3, 64)
    assert plan.contenders == CONTENDERS
    assert (plan.rows, plan.figures) == (ROWS, FIGURES)
    assert plan.services() == {DATABASE, UPSTREAM}
    assert not plan.partial()


def test_options_choose_contenders_and_rows_that_fit():
    plan = parse_options(["--only", "granian-wsgi,bare", "--row", "json-async", "--quick"])
    assert [one.name for one in plan.contenders] == ["bare"]
    assert [one.name for one in plan.rows] == ["json-async"]
    assert (plan.rounds, plan.seconds, plan.partial()) == (1, 1, True)
    assert (plan.figures, plan.services()) == ((), set())


def test_a_figure_is_chosen_like_a_row():
    plan = parse_options(["--row", "waiting"])
    assert ([one.name for one in plan.contenders], plan.rows) == ([OURS_PROXY], ())
    assert [one.name for _, one in plan.asked_figures()] == ["waiting"]
    assert plan.services() == {UPSTREAM}


def test_a_row_whose_service_does_not_run_has_the_reason_and_starts_no_contender():
    plan = parse_options(["--only", "nginx,ours-proxy", "--row", "proxy-sync,waiting"])
    lost = services.Services(failures={UPSTREAM: "no upstream: it broke"})
    said: list[str] = []
    places = {"root": ROOT, "cores": Cores(0, 1, (1,)), "services": lost, "say": said.append}
    for made in suite.measure(plan, **places):
        assert made.failures == {one.name: "no upstream: it broke" for one in made.contender.rows()}
        assert made.startups == []
    (reading,) = figures.measure(plan, **places)
    assert reading.remark == "not run: no upstream: it broke"


def test_the_keys_of_a_page_with_many_queries_differ_and_are_in_the_table():
    for number in (1, 7, DRAWN):
        assert len(set(keys(number))) == 20
        assert all(1 <= key <= DRAWN for key in keys(number))


def test_a_drawn_row_is_checked_with_keys_of_its_own():
    asked = []

    def answer(request: Request) -> launcher.Answer:
        asked.append(request.target)
        body = json.dumps(
            next(case.answer for case in row("row-sync").cases if case.request == request)
        )
        return launcher.Answer(200, "application/json", body.encode())

    timed = suite.check(row("row-sync"), answer)
    assert asked == ["/row/1", "/row/7", "/row/5000", "/row/10000"]
    assert timed == Request("/row/{id}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "bare,nobody"], "--only knows no nobody; choose of: bare, ours"),
        (["--row", "json"], "--row knows no json; choose of: plaintext-sync"),
        (["--rounds", "0"], "--rounds: '0' is not a whole number above 0"),
        (["--duration", "1.5"], "--duration: '1.5' is not a whole number"),
        (["--only", "granian-wsgi", "--row", "json-async"], "nobody who can do --row json-async"),
    ],
)
def test_a_wrong_option_is_named_with_the_choices(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)
    assert caught.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
