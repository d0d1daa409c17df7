"""Sources and targets: from annotated words to pointers, and from a model's pointers back to words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire.annotations import AUTHOR
from stancewire.segmentation import unwrap, unwrapped_offsets
from stancewire.spans import POINTERS, find_parties

SENTENCE = "Kyiv accused the Russians of lying."
#          [CLS]  Kyiv    accused  the       Russian   ##s       of        lying     .         [SEP]
OFFSETS = [(0, 0), (0, 4), (5, 12), (13, 16), (17, 24), (24, 25), (26, 28), (29, 34), (34, 35), (0, 0)]


def pointing(source: tuple[int, int], target: tuple[int, int], strength: float = 9.0) -> np.ndarray:
    scores = np.zeros((len(OFFSETS), POINTERS), dtype=np.float32)
    for column, token in enumerate((*source, *target)):
        scores[token, column] = strength
    return scores


def test_pointers_give_the_words_their_offsets_and_a_probability() -> None:
    parties = find_parties(pointing((1, 1), (3, 5)), OFFSETS, SENTENCE)

    assert parties.source_kind == "span"
    assert (parties.source.text, parties.source.start, parties.source.end) == ("Kyiv", 0, 4)
    assert parties.target.text == SENTENCE[parties.target.start : parties.target.end] == "the Russians"
    assert 0.9 < parties.source.probability < 1


def test_the_first_token_is_nobody_and_the_last_one_the_writer() -> None:
    last = len(OFFSETS) - 1

    written = find_parties(pointing((last, last), (0, 0)), OFFSETS, SENTENCE)
    unnamed = find_parties(pointing((0, 0), (0, 0)), OFFSETS, SENTENCE)

    assert (written.source_kind, written.source, written.target) == ("author", None, None)
    assert (unnamed.source_kind, unnamed.source) == ("none", None)


def test_a_target_is_never_the_writer() -> None:
    last = len(OFFSETS) - 1
    scores = pointing((1, 1), (last, last))

    assert find_parties(scores, OFFSETS, SENTENCE).target is not None or scores[0, 2] >= scores[1:-1, 2].max()


def test_a_span_neither_starts_nor_ends_inside_a_word() -> None:
    # The best end is "Russian", the piece before "##s".
    parties = find_parties(pointing((1, 1), (3, 4)), OFFSETS, SENTENCE)

    assert parties.target is None or parties.target.text in ("the Russians", "Russians", "the")


@given(st.integers(0, 2**32 - 1))
def test_whatever_the_scores_a_span_is_whole_words_of_the_sentence(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 4, (len(OFFSETS), POINTERS)).astype(np.float32)

    parties = find_parties(scores, OFFSETS, SENTENCE)

    assert (parties.source_kind == "span") == (parties.source is not None)
    for span in (parties.source, parties.target):
        if span is not None:
            assert span.text == SENTENCE[span.start : span.end] != ""
            assert 0 <= span.probability <= 1
            around = SENTENCE[max(span.start - 1, 0) : span.start] + SENTENCE[span.end : span.end + 1]
            assert not any(char.isalnum() for char in around)


def test_a_sentence_without_tokens_has_no_parties() -> None:
    parties = find_parties(np.zeros((2, POINTERS), dtype=np.float32), [(0, 0), (0, 0)], "")

    assert (parties.source, parties.target) == (None, None)


@given(st.text())
def test_unwrapped_characters_are_found_where_they_stood(text: str) -> None:
    plain, offsets = unwrap(text), unwrapped_offsets(text)

    assert len(offsets) == len(plain)
    for character, offset in zip(plain, offsets, strict=True):
        assert text[offset] == character or (character == " " and text[offset].isspace())


def stance(**values: object) -> dict:
    empty = {"label": 0, "source": None, "source_start": None, "target": None, "target_start": None}
    return empty | values


def test_annotated_words_become_the_tokens_they_cover() -> None:
    labels = pytest.importorskip("stancewire_training.span_labels")
    held = [stance(label=1, source="Kyiv", target="the Russians")]

    positions = labels.span_positions(SENTENCE, held, OFFSETS, 2)

    assert positions == [labels.NOTHING] * POINTERS + [1, 1, 3, 5]


def test_nobody_the_writer_and_what_was_cut_off() -> None:
    labels = pytest.importorskip("stancewire_training.span_labels")
    last = len(OFFSETS) - 1

    written = labels.span_positions(SENTENCE, [stance(source=AUTHOR)], OFFSETS, 1)
    cut = labels.span_positions(SENTENCE, [stance(target="lying")], [*OFFSETS[:6], (0, 0)], 1)

    assert written == [last, last, 0, 0]
    assert cut == [0, 0, labels.NOTHING, labels.NOTHING]


def test_pointers_made_from_annotations_are_read_back_as_the_same_words() -> None:
    labels = pytest.importorskip("stancewire_training.span_labels")
    held = [stance(source="the Russians", target="Kyiv")]

    positions = labels.span_positions(SENTENCE, held, OFFSETS, 1)
    parties = find_parties(pointing(tuple(positions[:2]), tuple(positions[2:])), OFFSETS, SENTENCE)

    assert (parties.source.text, parties.target.text) == ("the Russians", "Kyiv")


def test_a_trained_model_gives_spans_that_slice_back(classifier) -> None:
    text = "Kyiv accused\nthe Russians of lying.  Nothing else happened.\n"

    article = classifier.score_article(text)

    for sentence in article.sentences:
        for found in sentence.stances:
            for span in (found.source, found.target):
                assert span is None or text[span.start : span.end] == span.text
                assert span is None or sentence.start <= span.start < span.end <= sentence.end
