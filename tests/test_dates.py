from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire.dates import DATELINE_CHARACTERS, find_date

JANUARY_31 = date(2022, 1, 31)
DATES = st.dates(date(1700, 1, 1), date(2099, 12, 31))


@pytest.mark.parametrize(
    "written",
    [
        "2022-01-31",
        "2022-01-31T22:30:00Z",
        "2022-01-31 22:30:00+02:00",
        "20220131",
        "20220131T223000Z",
        "20220131223000",
        "2022/01/31",
        "2022/1/31",
        "31 January 2022",
        "31st of January, 2022",
        "January 31, 2022",
        "Jan. 31, 2022",
        "Mon, 31 Jan 2022 22:30:00 GMT",
        "31.01.2022",
        "31/01/2022",
        "1/31/2022",
        " 2022-01-31 ",
    ],
)
def test_a_date_that_is_given_is_read_in_each_form(written):
    assert find_date("name", "text", written) == JANUARY_31


@pytest.mark.parametrize(
    "name",
    [
        "war-20220131T223000Z-US-en-272c2d715d.txt",
        "20220131T223000Z",
        "2022-01-31.txt",
        "2022_01_31_kyiv.txt",
        "kyiv 2022-01-31",
        "kyiv.2022.01.31.md",
        "AFP_ENG_20220131.0772",
        "APW20220131.txt",
        "20220131223000.txt",
        "31-jan-2022.txt",
        "Jan_31_2022.txt",
        "news/2022/01/31/kyiv.txt",
        "2022-01-31/kyiv.txt",
        "kept-2023-05-06/2022-01-31.txt",
        "2020/01/01/2022/01/31/kyiv.txt",
        "https://news.example/2022/01/31/kyiv",
    ],
)
def test_a_date_is_read_from_the_name_of_the_file_or_else_its_folders(name):
    assert find_date(name, "No date in here.") == JANUARY_31


@pytest.mark.parametrize(
    "name",
    [
        "",
        "article.txt",
        "2022.txt",
        "2022-01.txt",
        "20221331.txt",
        "20220230.txt",
        "120220131.txt",
        "202201311.txt",
        "20220131a5.txt",
        "7d01520220131e984.txt",
        "03-04-2022.txt",
    ],
)
def test_a_name_that_holds_no_full_and_certain_date_gives_none(name):
    assert find_date(name, "No date in here.") is None


@pytest.mark.parametrize(
    "text",
    [
        "MUSCAT, 14 March 2026 \u2014 Iran's navy said on Saturday that any vessel would be boarded.",
        "Gulf neighbours trade warnings\n\nMUSCAT, 14 March 2026 - Iran's navy said",
        "muscat, 14 march 2026 -- iran's navy said",
        "MUSCAT, March 14, 2026 (Reuters) - Iran's navy said",
        "MUSCAT, Mar. 14, 2026: Iran's navy said",
        "Warnings traded\r\n14 March 2026\r\nIran's navy said",
        "Warnings traded\nSaturday, March 14, 2026\nIran's navy said",
        "Warnings traded\nPublished: 14 March 2026 Updated: 15 March 2026",
        "Warnings traded\nLast updated on March 14, 2026 at 5:00 PM",
        "By A. Reporter | 14 March 2026, 10:30 GMT\nIran's navy said",
        "By A. Reporter, March 14, 2026, 5 p.m.\nIran's navy said",
        "Muscat. 2026-03-14\nIran's navy said".replace(". ", ", "),
        "14.03.2026 10:30\nIran's navy said",
        "(14 March 2026) Iran's navy said",
    ],
)
def test_a_dateline_at_the_start_of_the_text_is_read(text):
    assert find_date("article.txt", text) == date(2026, 3, 14)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "On 24 February 2022 Russia invaded Ukraine.",
        "On 24 February 2022 - a day that nobody forgets - Russia invaded Ukraine.",
        "The treaty of 24 February 2022 was torn up.",
        "Since February 24, 2022, the port has been closed.",
        "KYIV, Jan 31 (Reuters) - The ministry denied it.",
        "SAN TELMO, 7 AUG -- THE COLUMN SAID",
        "WASHINGTON (AP) \u2014 The ministry denied it.",
        "Line\n" * 10 + "KYIV, 31 January 2022 - The ministry denied it.",
        "x" * DATELINE_CHARACTERS + "\n31 January 2022\n",
        "KYIV, 31 February 2022 - The ministry denied it.",
    ],
)
def test_a_date_in_running_text_or_without_a_year_is_not_the_documents(text):
    assert find_date("article.txt", text) is None


def test_what_is_given_goes_before_the_name_and_the_name_before_the_text():
    text = "KYIV, 3 January 2022 - The ministry denied it."

    assert find_date("2022-01-02.txt", text, "2022-01-01") == date(2022, 1, 1)
    assert find_date("2022-01-02.txt", text) == date(2022, 1, 2)
    assert find_date("article.txt", text) == date(2022, 1, 3)


@pytest.mark.parametrize("unread", ["", "yesterday", "03/04/2022", "2022-13-01", "nan"])
def test_a_given_date_that_cannot_be_read_passes_on_to_the_name(unread):
    assert find_date("2022-01-02.txt", "", unread) == date(2022, 1, 2)


@given(day=DATES)
def test_every_date_is_found_in_every_form(day):
    month = day.strftime("%B")

    assert find_date("a", "", day.isoformat()) == day
    assert find_date(f"a/{day:%Y%m%d}T223000Z-x.txt", "") == day
    assert find_date(f"a/{day:%Y/%m/%d}/x.txt", "") == day
    assert find_date("a", f"A headline\nPLACE, {day.day} {month} {day.year} - The ministry said") == day


@given(name=st.text(), text=st.text(), stated=st.none() | st.text())
def test_any_text_gives_a_date_or_none(name, text, stated):
    assert isinstance(find_date(name, text, stated), date | None)
