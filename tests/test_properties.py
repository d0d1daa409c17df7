"""Over text of every kind: nothing is lost, every offset slices back, a sentence's figures are its own."""

from __future__ import annotations

import json
import random
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from handmade import write_folder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stancewire import StanceClassifier, StancewireError
from stancewire.annotations import read_annotations
from stancewire.segmentation import segment, split_sentences, unwrap, unwrapped_offsets

LINE_ENDS = (
    "\n",
    "\r",
    "\r\n",
    "\n\r",
    "\v",
    "\f",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\n\n",
)
# Lone surrogates, both halves in the wrong order, NUL and other controls, what turns text around, marks that
# stand on nothing, emoji of many characters, flags, tags, variation selectors, private use, the last of all.
ODD = (
    *("\ud800", "\udfff", "\udc00\ud800", "\0", "\x07", "\x1b[31m", "\x7f", "\x9b", "\ufeff", "\ufffe"),
    *(
        "\u202e",
        "\u202c",
        "\u2066",
        "\u200f",
        "\u05e9\u05dc\u05d5\u05dd.",
        "\u0627\u0644\u0633\u0644\u0627\u0645",
    ),
    *(
        "\u0301",
        "e\u0301\u0323",
        "\u200b",
        "\u200d",
        "\xad",
        "\u00a0",
        "\u3000",
        "\u3002",
        "\uff0e",
        "\u0964",
    ),
    *("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1fa\U0001f1f3", "\u2764\ufe0f", "\U000e0041"),
    *("\ue000", "\U0010ffff", "\ufb01", "\u1e9e", "\u0130", "\u01c5", "\u2126", "\u1100\u1161", "\uac00"),
)
NEWS = (
    *(
        "The minister",
        "denied it",
        "said Mr. Roe",
        "\u201cWe will",
        "respond,\u201d",
        "he",
        "U.S.",
        "No. 5",
        "1.",
    ),
    *(".", "!", "?", "\u2026", "...", ",", ":", "\u2014", "(", ")", '"', "'", "\u2019", " ", "  ", "\t", "a"),
)
PIECES = st.sampled_from((*LINE_ENDS, *ODD, *NEWS)) | st.text(
    st.characters(exclude_categories=()), max_size=5
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)
UNHURRIED = settings(deadline=None, max_examples=200)
FEWER = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

LONG = {
    "one word": "a" * 100_000,
    "one word of many pieces": "deny" * 25_000,
    "combining marks": "e" + "\u0301" * 99_999,
    "surrogates": "\ud800" * 100_000,
    "NUL": "\0" * 100_000,
    "right to left": "\u05d0" * 100_000,
    "turned around": "\u202e" * 100_000,
    "a family": "\U0001f468\u200d\U0001f469\u200d" * 25_000,
    "Han": "\u5317" * 100_000,
    "full stops": "." * 100_000,
    "no-break spaces": "a\u00a0" * 50_000,
    "carriage returns": "\r" * 100_000,
    "every line end": "".join(LINE_ENDS) * 6_000,
}


@pytest.fixture(scope="module")
def shipped() -> StanceClassifier:
    return StanceClassifier.load()


@pytest.fixture(scope="module")
def handmade(tmp_path_factory: pytest.TempPathFactory) -> StanceClassifier:
    folder = write_folder(tmp_path_factory.mktemp("models") / "handmade", thresholds={"warm": 0, "cold": 0.5})
    return StanceClassifier.load(folder)


def assert_whole(document: str) -> None:
    pieces, sentences = segment(document), split_sentences(document)

    assert "".join(pieces) == document
    assert all(document[each.start : each.end] == each.text for each in sentences)
    assert all(before.end <= after.start for before, after in pairwise(sentences))
    assert "".join("".join(each.text.split()) for each in sentences) == "".join(document.split())


@UNHURRIED
@given(TEXTS)
@example("")
@example("\r\n\u2029\x85\x1c")
@example("\udc00\ud800. \ud83d")
def test_sentences_joined_are_the_text_and_offsets_slice_back(document: str):
    assert_whole(document)


@pytest.mark.parametrize("kind", LONG)
def test_a_hundred_thousand_characters_lose_nothing(kind: str):
    assert_whole(LONG[kind])


@UNHURRIED
@given(st.lists(st.sampled_from(LINE_ENDS), min_size=1, max_size=6).map("".join))
def test_any_run_of_line_ends_parts_words_and_is_kept(ends: str):
    document = f"The minister left{ends}She denied it."

    assert "".join(segment(document)) == document
    assert unwrap(document) == "The minister left She denied it."


@UNHURRIED
@given(TEXTS)
def test_an_unwrapped_character_stands_where_it_is_said_to(sentence: str):
    line, offsets = unwrap(sentence), unwrapped_offsets(sentence)

    assert len(line) == len(offsets)
    assert all(
        sentence[at] == shown or (shown == " " and sentence[at].isspace())
        for shown, at in zip(line, offsets, strict=True)
    )


@UNHURRIED
@given(TEXTS)
def test_an_article_of_anything_is_read_and_its_offsets_slice_back(handmade: StanceClassifier, text: str):
    article = handmade.score_article(text)

    assert [text[each.start : each.end] for each in article.sentences] == [s.text for s in article.sentences]
    assert all(0 <= p <= 1 for each in article.sentences for p in each.probabilities.values())
    assert [each.text for each in article.sentences] == [each.text for each in split_sentences(text)]


@FEWER
@given(TEXTS)
def test_the_shipped_model_reads_anything_and_its_spans_slice_back(shipped: StanceClassifier, text: str):
    for sentence in shipped.score_article(text).sentences:
        spans = [span for stance in sentence.stances for span in (stance.source, stance.target) if span]
        assert text[sentence.start : sentence.end] == sentence.text
        assert all(text[span.start : span.end] == span.text for span in spans)
        assert all(sentence.start <= span.start < span.end <= sentence.end for span in spans)


@pytest.mark.parametrize(
    "kind", ["one word", "combining marks", "surrogates", "NUL", "Han", "every line end"]
)
def test_a_hundred_thousand_characters_are_read(handmade: StanceClassifier, kind: str):
    prediction = handmade.predict(LONG[kind])

    assert all(0 <= probability <= 1 for probability in prediction.probabilities.values())


@FEWER
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), seed=st.integers(0, 99))
def test_the_shipped_models_probabilities_are_the_same_bits_whatever_the_batch(
    shipped: StanceClassifier, texts: list[str], seed: int
):
    alone = [shipped.probabilities([text])[0].tobytes() for text in texts]
    order = [index % len(texts) for index in range(20)]
    random.Random(seed).shuffle(order)

    together = shipped.probabilities([texts[index] for index in order])

    assert [row.tobytes() for row in together] == [alone[index] for index in order]


@pytest.mark.parametrize("kind", ["one word", "Han", "every line end"])
def test_a_long_text_has_the_same_bits_alone_and_in_a_batch(handmade: StanceClassifier, kind: str):
    alone = handmade.probabilities([LONG[kind]])[0]

    together = handmade.probabilities(["The minister denies it.", LONG[kind], ""] * 7)

    assert {row.tobytes() for row in together[1::3]} == {alone.tobytes()}


def test_a_lone_surrogate_is_read_as_a_question_mark_and_kept_in_the_text(handmade: StanceClassifier):
    odd, plain = handmade.predict(["It is \ud800 so.", "It is ? so."])

    assert odd.text == "It is \ud800 so."
    assert odd.probabilities == plain.probabilities


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from([".jsonl", ".csv"]), content=st.binary(max_size=200), rows=st.booleans())
@example(suffix=".jsonl", content=b'{"text": "a", "stances": [], "i": ' + b"9" * 5_000 + b"}", rows=False)
@example(suffix=".jsonl", content=b"[" * 100_000, rows=False)
@example(suffix=".csv", content=b"\0,\0", rows=True)
@example(suffix=".csv", content=b'"' + b"a" * 200_000, rows=True)
def test_any_bytes_as_annotations_are_read_or_refused_with_file_and_line(
    tmp_path: Path, suffix: str, content: bytes, rows: bool
):
    head = {".jsonl": b'{"text": "a", "stances": []}\n', ".csv": b"text,labels\n"}[suffix] if rows else b""
    path = tmp_path / f"annotations{suffix}"
    path.write_bytes(head + content)

    try:
        sentences = read_annotations(path)
    except StancewireError as error:
        assert str(error).startswith(f"{path}, line ")
    else:
        assert all(sentence.text.strip() for sentence in sentences)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_an_annotation_is_read_or_refused_with_file_and_line(
    tmp_path: Path, data: st.DataObject
):
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=5,
    )
    stance = {"label": "warm", "source": "He", "source_start": 0, "target": None}
    row = {"text": "He left.", "stances": [stance], "doc": "a", "i": 0}
    changed = data.draw(st.sampled_from([row, stance]))
    changed[data.draw(st.sampled_from([*sorted(changed), "more"]))] = data.draw(values)
    path = tmp_path / "annotations.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")

    try:
        (sentence,) = read_annotations(path)
    except StancewireError as error:
        assert str(error).startswith(f"{path}, line 1: ")
    else:
        assert sentence.text.strip()


def test_the_texts_here_are_of_every_kind():
    kinds = {unicodedata.category(character) for text in (*ODD, *NEWS, *LINE_ENDS) for character in text}

    assert kinds >= {"Cc", "Cf", "Cn", "Co", "Cs", "Ll", "Lo", "Lt", "Lu", "Mn", "So", "Zl", "Zp", "Zs"}
