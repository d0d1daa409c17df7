from __future__ import annotations

import csv
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire import StancewireError
from stancewire.actors import Actor, ActorList, Pattern, read_patterns, shipped_patterns

KNOWN = ActorList.load()


def names(text, known=KNOWN):
    return [actor.name for actor in known.find(text)]


@pytest.mark.parametrize(
    ("text", "actor"),
    [
        ("the Russian foreign ministry", "Russia"),
        ("RUSSIA'S FOREIGN MINISTRY", "Russia"),
        ("the kremlin", "Russia"),
        ("Moscow", "Russia"),
        ("South Sudan", "South Sudan"),
        ("Papua New Guinean officers", "Papua New Guinea"),
        ("the Democratic People's Republic of Korea", "North Korea"),
        ("the Republic of Korea", "South Korea"),
        ("the Democratic Republic of the Congo", "DR Congo"),
        ("Côte d'Ivoire", "Ivory Coast"),
        ("Cote d\u2019Ivoire", "Ivory Coast"),
        ("the White House", "United States"),
        ("the U.S. ambassador", "United States"),
        ("u.s. officials", "United States"),
        ("the US-led coalition", "United States"),
        ("Washington, D.C.", "United States"),
        ("the UN Security Council", "United Nations"),
        ("Nato", "NATO"),
        ("WHO", "World Health Organization"),
        ("the Iranian-backed Houthis", "Houthis"),
        ("the Taliban's man in Doha", "Taliban"),
    ],
)
def test_names_adjectives_capitals_and_offices_give_their_actor(text, actor):
    assert names(text) == [actor]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "us",
        "who",
        "he told us",
        "the eu",
        "a russianised name",
        "Chinatown",
        "the foreign ministry",
        "let",
    ],
)
def test_parts_of_words_and_short_words_in_other_letters_are_nobody(text):
    assert names(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "New Mexico",
        "Latin American leaders",
        "the South China Sea",
        "pro-Russian separatists",
        "the Iran-backed militia",
        "Ukraine's Western allies",
        "Ukraine\u2019s allies",
    ],
)
def test_who_is_only_part_of_another_name_is_not_meant(text):
    assert names(text) == []


@pytest.mark.parametrize(
    ("text", "actor"),
    [
        ("Russia's ambassador to the United States", "Russia"),
        ("the embassy of Russia in Kyiv", "Russia"),
        ("the Washington-based IMF", "International Monetary Fund"),
        ("the US Iran envoy", "United States"),
        ("Canada's House of Commons", "Canada"),
        ("Lebanon's Hezbollah", "Hezbollah"),
        ("the Palestinian militant group Hamas", "Hamas"),
        ("NATO ally Turkey", "Turkey"),
        ("Turkey, a NATO member", "Turkey"),
    ],
)
def test_of_several_that_are_not_joined_the_one_who_acts_is_meant(text, actor):
    assert names(text) == [actor]


@pytest.mark.parametrize(
    ("text", "actors"),
    [
        ("Russia and China", ["Russia", "China"]),
        ("the foreign ministers of France, Germany and Poland", ["France", "Germany", "Poland"]),
        ("US-Israeli strikes", ["United States", "Israel"]),
        ("Moscow and the Kremlin", ["Russia"]),
    ],
)
def test_actors_that_are_joined_are_all_found_in_order(text, actors):
    assert names(text) == actors


def test_the_users_rows_go_before_those_that_come_along(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text(
        "pattern,actor,group\nKremlin,Presidency,government\nGazprom,Gazprom,firm\nMoscow,,\n",
        encoding="utf-8",
    )

    known = ActorList.load(own)

    assert known.find("the Kremlin") == (Actor("Presidency", "government"),)
    assert names("Russia's Gazprom", known) == ["Gazprom"]
    assert names("Moscow", known) == []
    assert names("the Russian army", known) == ["Russia"]


def test_a_list_may_have_a_byte_order_mark_and_further_columns(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("\ufeffpattern,note,actor,group\nBrennhaven,made up,Brennhaven,city\n", encoding="utf-8")

    assert read_patterns(own) == [Pattern("Brennhaven", Actor("Brennhaven", "city"))]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("pattern,actor\nA,B\n", "lacks the column group"),
        ("pattern,actor,group\nA,B,c\n --,B,c\n", "line 3"),
        ("pattern,actor,group\nA,@other,c\n", "@other"),
        ("pattern,actor,group\nA,B;C,c\n", "semicolon"),
        ('pattern,actor,group\n"A,B,c\n', "not CSV"),
        ("", "lacks the column pattern"),
    ],
)
def test_a_faulty_list_is_refused_with_its_place(tmp_path, content, said):
    own = tmp_path / "own.csv"
    own.write_text(content, encoding="utf-8")

    with pytest.raises(StancewireError, match=said):
        read_patterns(own)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(StancewireError, match=r"own\.csv"):
        ActorList.load(tmp_path / "own.csv")


def test_the_list_that_comes_along_is_sound():
    with files("stancewire").joinpath("data/actors.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    patterns = [row[0].casefold() for row in rows]
    groups = {}
    for _, actor, group in rows[1:]:
        groups.setdefault(actor, set()).add(group)

    assert all(len(row) == 3 and row[0] == row[0].strip() for row in rows)
    assert len(set(patterns)) == len(patterns)
    assert [actor for actor, group in groups.items() if len(group) > 1] == []
    assert {group for each in groups.values() for group in each} == {
        "state",
        "territory",
        "international body",
        "armed group",
        "",
    }
    assert (
        sum("state" in group for group in groups.values()) == 193 + 1
    )  # the United Nations' and the Holy See
    assert min(patterns.count(actor.casefold()) for actor in groups if actor and "(" not in actor) == 1


def test_every_pattern_finds_its_own_actor():
    wrong = [
        pattern.words
        for pattern in shipped_patterns()
        if KNOWN.find(pattern.words) != ((pattern.actor,) if pattern.actor else ())
    ]

    assert wrong == []


@given(st.text() | st.text(alphabet=st.sampled_from("RusianUSA.,'- and"), max_size=40))
def test_any_words_give_different_known_actors(text):
    found = KNOWN.find(text)

    assert len(set(found)) == len(found)


@given(before=st.sampled_from(["", "the ", "officials of "]), after=st.sampled_from(["", " army", "'s army"]))
def test_words_around_a_name_do_not_change_who_it_is(before, after):
    assert names(f"{before}Russian{after}") == ["Russia"]
