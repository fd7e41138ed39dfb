"""HTTP dates: the three forms, odd calendars and hostile input."""

from __future__ import annotations

import calendar
import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.dates import format_date, parse_date

RFC_MOMENT = 784111777.0  # the example of RFC 9110, 5.6.7


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994",
        "Mon, 06 Nov 1994 08:49:37 GMT",  # a wrong weekday is only decoration
    ],
)
def test_all_forms_of_a_date_are_read(text: str) -> None:
    assert parse_date(text) == RFC_MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "784111777",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Okt 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun Nov    08:49:37 1994",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT" * 2000,
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    assert parse_date(text) is None


def test_leap_days_and_leap_seconds_are_read() -> None:
    assert parse_date("Thu, 29 Feb 2024 00:00:00 GMT") == calendar.timegm((2024, 2, 29, 0, 0, 0))
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == calendar.timegm((2017, 1, 1, 0, 0, 0))
    assert parse_date("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert parse_date("Wed, 31 Dec 1969 23:59:59 GMT") == -1.0


def test_two_digit_years_are_at_most_fifty_years_ahead() -> None:
    this_year = time.gmtime().tm_year
    for year in (this_year, this_year + 50, this_year - 49):
        text = f"Monday, 01-Jan-{year % 100:02d} 00:00:00 GMT"
        assert parse_date(text) == calendar.timegm((year, 1, 1, 0, 0, 0))
    text = f"Monday, 01-Jan-{(this_year + 51) % 100:02d} 00:00:00 GMT"
    assert parse_date(text) == calendar.timegm((this_year - 49, 1, 1, 0, 0, 0))


def test_dates_are_written_as_imf_fixdate_without_fractions() -> None:
    assert format_date(RFC_MOMENT) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(RFC_MOMENT + 0.999) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(-0.5) == "Wed, 31 Dec 1969 23:59:59 GMT"


@pytest.mark.parametrize("epoch", [1e12, -1e12, 1e300, float("inf"), float("nan")])
def test_moments_without_a_four_digit_year_are_refused(epoch: float) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        format_date(epoch)


@given(st.integers(min_value=-62135596800, max_value=253402300799))
@settings(deadline=None)
def test_every_moment_survives_writing_and_reading(epoch: int) -> None:
    text = format_date(epoch)
    assert parse_date(text) == epoch
    assert text == formatdate(epoch, usegmt=True)


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    assert parse_date(text) is None or isinstance(parse_date(text), float)
