"""What a sentence is, where it stands, and that no text is lost or makes the splitter slow."""

from __future__ import annotations

import hashlib
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stancewire.segmentation import Sentence, _view, segment, split_sentences, unwrap

BOUNDARIES = Path(__file__).parent / "data" / "boundaries.json"
ARTICLES = Path(__file__).parents[2] / "shared" / "articles"  # a development set kept outside the repository

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
NEWS_LIKE = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                "The",
                "he",
                "Mr.",
                "U.S.",
                "5",
                "1.",
                "word",
                ".",
                "?",
                "!",
                "\u2026",
                "[...]",
                "-",
                "(",
                ")",
            ),
            *('"', "'", "\u201c", "\u201d", "\u2018", "\u2019", "\0", "\ud83d", "\U0001f600", "\u3002\u3042"),
            *(" ", "  ", "\n", "\r\n", "\n\n", "\t", "\u2028", "\u2029", "\f", "\x1c", "\u05e9\u05dc."),
            "a line of which the length is nearly that of the widest line",
        ]
    )
).map("".join)
DOCUMENTS = ANY_TEXT | NEWS_LIKE
UNHURRIED = settings(deadline=None)


def sentences(document: str) -> list[str]:
    return [sentence.text for sentence in split_sentences(document)]


@UNHURRIED
@given(DOCUMENTS)
@example("\ud800. He left.")
@example("\r\n\r\n 5.\r\n")
def test_joined_pieces_are_the_document(document: str) -> None:
    pieces = segment(document)

    assert "".join(pieces) == document
    assert all(pieces)


@UNHURRIED
@given(DOCUMENTS)
def test_every_offset_slices_back_to_its_sentence(document: str) -> None:
    found = split_sentences(document)

    assert all(document[each.start : each.end] == each.text == each.text.strip() != "" for each in found)
    assert [each.start for each in found] == sorted(each.start for each in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@UNHURRIED
@given(DOCUMENTS)
def test_sentences_leave_out_nothing_but_white_space(document: str) -> None:
    assert "".join("".join(sentences(document)).split()) == "".join(document.split())


@UNHURRIED
@given(DOCUMENTS)
@example("A?\u00b2")
def test_each_piece_holds_a_letter_unless_the_document_has_none(document: str) -> None:
    pieces = segment(document)

    assert len(pieces) <= 1 or all(any(map(str.isalpha, piece)) for piece in pieces)


@UNHURRIED
@given(DOCUMENTS)
def test_unwrapping_twice_is_unwrapping_once(document: str) -> None:
    assert unwrap(unwrap(document)) == unwrap(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param("", [], id="an empty document has none"),
        pytest.param(" \n\t\n", [], id="white space has none"),
        pytest.param("12. 34.", ["12. 34."], id="a document without a letter is one"),
        pytest.param("He left. She stayed.", ["He left.", "She stayed."], id="a full stop ends one"),
        pytest.param("Why? Go! Now", ["Why?", "Go!", "Now"], id="other end marks end one"),
        pytest.param("A new plan\n\nIt failed.", ["A new plan", "It failed."], id="a headline is one"),
        pytest.param("It fell\r\n \r\nin May.", ["It fell", "in May."], id="a blank line always ends one"),
        pytest.param("It fell\u2029in May.", ["It fell", "in May."], id="a paragraph separator ends one"),
        pytest.param(
            "Lt. Gen. Abel Roe met Dr. J. K. Poe of the U.S. mission.",
            ["Lt. Gen. Abel Roe met Dr. J. K. Poe of the U.S. mission."],
            id="titles, initials and abbreviations do not end one",
        ),
        pytest.param(
            "THE U.S. ENVOY LEFT. HE WAS ILL.", ["THE U.S. ENVOY LEFT.", "HE WAS ILL."], id="capitals are cut"
        ),
        pytest.param(
            "the envoy left in 2003. he was ill.",
            ["the envoy left in 2003.", "he was ill."],
            id="small letters are cut",
        ),
        pytest.param(
            '"We lost. We go," he said.', ['"We lost.', 'We go," he said.'], id="a quotation is cut inside"
        ),
        pytest.param(
            "\u2018We lost. We won\u2019t go,\u2019 he said.",
            ["\u2018We lost.", "We won\u2019t go,\u2019 he said."],
            id="a quotation in single marks is cut inside",
        ),
        pytest.param(
            'He said: "We lost." She left. "Go. " ',
            ['He said: "We lost."', "She left.", '"Go. "'],
            id="a closing quote belongs to what it closes",
        ),
        pytest.param(
            '"Is it over?" he asked. Yes.',
            ['"Is it over?" he asked.', "Yes."],
            id="a small letter after a closing quote goes on",
        ),
        pytest.param(
            "We know\u2026 nothing. They left\u2026 We stay... Or so.",
            ["We know\u2026 nothing.", "They left\u2026", "We stay...", "Or so."],
            id="an ellipsis ends one before a capital only",
        ),
        pytest.param(
            'He fled.The crew stayed. "We lost."They left.- I know.',
            ["He fled.", "The crew stayed.", '"We lost."', "They left.", "- I know."],
            id="sentences glued together are cut",
        ),
        pytest.param(
            "We ask:\n\n   1. LEAVE. GO.\n\n   IV. Stay.",
            ["We ask:", "1. LEAVE.", "GO.", "IV. Stay."],
            id="a list number belongs to its item",
        ),
        pytest.param("He left.\n\n***\n\nShe stayed.", ["He left.\n\n***", "She stayed."], id="stars join"),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(document: str, expected: list[str]) -> None:
    assert sentences(document) == expected


def test_a_hard_wrapped_paragraph_is_not_cut_at_its_line_breaks() -> None:
    document = (
        "TODAY\n"
        "THE HARBOUR MASTER SAID THAT THE FERRY WHICH RAN AGROUND ON SUNDAY WOULD\n"
        "BE TOWED AWAY BY MR. ROE'S TUGS.  NOBODY WAS HURT WHEN IT STRUCK THE\n"
        "SANDBANK.\n\n"
        "   THE PORT HAS BEEN OPEN SINCE NOON, ALTHOUGH THE FERRY WILL NOT SAIL\n"
        "AGAIN BEFORE MAY.\n"
    )

    found = [unwrap(sentence) for sentence in sentences(document)]

    assert found == [
        "TODAY THE HARBOUR MASTER SAID THAT THE FERRY WHICH RAN AGROUND ON SUNDAY WOULD BE TOWED AWAY BY MR. "
        "ROE'S TUGS.",
        "NOBODY WAS HURT WHEN IT STRUCK THE SANDBANK.",
        "THE PORT HAS BEEN OPEN SINCE NOON, ALTHOUGH THE FERRY WILL NOT SAIL AGAIN BEFORE MAY.",
    ]


def test_each_line_is_a_paragraph_where_lines_are_long() -> None:
    long = (
        "The ferry that ran aground on Sunday will be towed away by two tugs by May, the harbour master said."
    )
    document = f"Ferry to be towed away\n{long}\nA caption without a full stop\n{long}"

    assert sentences(document) == ["Ferry to be towed away", long, "A caption without a full stop", long]


def test_each_line_is_a_paragraph_where_short_lines_are_not_full() -> None:
    headlines = [
        "Ferry to be towed away",
        "Harbour open since noon as two tugs pull at the stranded ship",
        "Nobody hurt",
        "Mayor asks for a deeper channel",
    ]

    assert sentences("\n".join(headlines)) == headlines


def test_a_sentence_tells_where_it_stands() -> None:
    document = "  \U0001f600 He left.\n\nShe stayed. "

    assert split_sentences(document) == [
        Sentence("\U0001f600 He left.", 2, 12),
        Sentence("She stayed.", 14, 25),
    ]


def test_unwrapping_makes_each_run_of_white_space_one_space() -> None:
    assert unwrap(" the\r\nferry \u2028 left\n") == "the ferry left"


@pytest.mark.parametrize(
    "unit",
    ["a", "\u3002\u3042", "a.) ", "1. ", " ", "\n", "ab\n", '"', "\u201ca ", "a@b.org. ", "\ud800", "\0. "],
)
def test_a_long_document_takes_time_in_proportion_to_its_length(unit: str) -> None:
    document = unit * (300_000 // len(unit))

    begin = time.process_time()
    pieces = segment(document)
    seconds = time.process_time() - begin

    # Linear time is below 1.2 s on one slow core; quadratic time would be minutes.
    assert "".join(pieces) == document
    assert seconds < 10


@pytest.mark.skipif(not ARTICLES.is_dir(), reason="the development articles are not here")
@pytest.mark.parametrize("kind", ["war", "lower", "upper", "headline"])
def test_boundaries_are_those_a_reader_marked(kind: str) -> None:
    articles = json.loads(BOUNDARIES.read_text("utf-8"))["articles"]
    hits = found = expected = 0

    for name, article in articles.items():
        content = (ARTICLES / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == article["sha256"]
        if article["kind"] == kind:
            until = article.get("until", len(content))
            ends = {each.end for each in split_sentences(content.decode("utf-8")) if each.end <= until}
            hits += len(ends & set(article["ends"]))
            found += len(ends)
            expected += len(article["ends"])

    assert expected
    assert 2 * hits / (found + expected) >= 0.95


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from("'\u2019\u2026\ud800\"\n a.")))
def test_what_sentencex_sees_has_a_character_for_each_of_the_document(document):
    assert len(_view(document)) == len(document)


def test_the_first_character_of_a_document_counts():
    assert segment("a. The minister denied it. He left.") == ["a. The minister denied it. ", "He left."]
    assert segment("I\n\nThey left.") == ["I\n\n", "They left."]


@pytest.mark.parametrize(("width", "pieces"), [(100, 1), (101, 4)])
def test_lines_of_a_hundred_characters_are_wrapped_and_longer_ones_are_paragraphs(width, pieces):
    line = "wwwwwwwww " * 9 + "w" * (width - 90)

    assert len(segment("\n".join([line] * 4))) == pieces
