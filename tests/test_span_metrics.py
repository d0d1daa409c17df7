from __future__ import annotations

import math

import numpy as np
import pytest

from stancewire.annotations import AUTHOR, AnnotatedSentence, AnnotatedStance
from stancewire.classifier import Stance
from stancewire.judgements import Judgements
from stancewire.metrics import bootstrap_f1, bootstrap_share
from stancewire.span_metrics import find_places, guess_parties, measure_spans, shares_word
from stancewire.spans import Span

LABELS = ("praise", "blame")
TEXT = "The harbour master blamed the old pilot for the wreck."
MASTER, PILOT, WRECK = "The harbour master", "the old pilot", "the wreck"


def span(words: str, text: str = TEXT) -> Span:
    start = text.index(words)
    return Span(words, start, start + len(words), 0.9)


def said(
    source: str | None = None, target: str | None = None, *, label: str = "blame", text: str = TEXT
) -> Stance:
    if source == AUTHOR:
        return Stance(label, 0.9, "author", None, target and span(target, text))
    kind = "none" if source is None else "span"
    return Stance(label, 0.9, kind, source and span(source, text), target and span(target, text))


def held(source: str | None = None, target: str | None = None, *, label: str = "blame") -> AnnotatedStance:
    return AnnotatedStance(label, source, None, target)


def judge(*rows: tuple[list[AnnotatedStance], list[Stance]], text: str = TEXT, file: str = "") -> Judgements:
    sentences = tuple(AnnotatedSentence(text, tuple(stances), None, None, {}, file) for stances, _ in rows)
    stances = tuple({stance.label: stance for stance in predicted} for _, predicted in rows)
    decisions = np.array([[label in row for label in LABELS] for row in stances])
    targets = np.array([[label in row.labels for label in LABELS] for row in sentences])
    probabilities = decisions.astype(np.float32)
    clusters = tuple(range(len(rows)))
    return Judgements(
        "m", LABELS, (0.5, 0.5), sentences, clusters, targets, probabilities, decisions, stances
    )


def figures(*rows: tuple[list[AnnotatedStance], list[Stance]], **more: str):
    evaluation = measure_spans(judge(*rows, **more), resamples=20)
    assert evaluation is not None
    return evaluation.model


def test_the_same_words_are_an_exact_hit():
    model = figures(([held(MASTER, PILOT)], [said(MASTER, PILOT)]))

    assert (model.source.exact_f1.value, model.source.overlap_f1.value) == (1, 1)
    assert (model.target.exact_f1.value, model.target.overlap_f1.value) == (1, 1)
    assert model.source_kind.value == 1


def test_one_shared_word_is_an_overlap_and_not_exact():
    model = figures(([held(MASTER, "pilot")], [said("master", PILOT)]))

    assert (model.source.exact_f1.value, model.source.overlap_f1.value) == (0, 1)
    assert (model.target.exact_f1.value, model.target.overlap_f1.value) == (0, 1)


def test_other_words_are_both_missed_and_falsely_found():
    right = ([held(MASTER, PILOT)], [said(MASTER, PILOT)])

    model = figures(right, ([held(MASTER, PILOT)], [said(MASTER, WRECK)]))

    assert (model.target.annotated, model.target.predicted) == (2, 2)
    assert model.target.overlap_f1.value == pytest.approx(0.5)


def test_nobody_or_the_writer_in_place_of_words_is_a_miss():
    right = ([held(MASTER, PILOT)], [said(MASTER, PILOT)])

    model = figures(right, ([held(MASTER, PILOT)], [said(None)]), ([held(MASTER)], [said(AUTHOR)]))

    assert (model.source.annotated, model.source.predicted) == (3, 1)
    assert model.source.overlap_f1.value == pytest.approx(2 / 4)
    assert model.target.overlap_f1.value == pytest.approx(2 / 3)
    assert model.source_kind.value == pytest.approx(1 / 3)


def test_words_in_place_of_nobody_or_the_writer_are_a_false_find():
    right = ([held(MASTER, PILOT)], [said(MASTER, PILOT)])

    model = figures(right, ([held(None)], [said(MASTER, PILOT)]), ([held(AUTHOR)], [said(MASTER)]))

    assert (model.source.annotated, model.source.predicted) == (1, 3)
    assert model.source.exact_f1.value == pytest.approx(2 / 4)
    assert model.target.exact_f1.value == pytest.approx(2 / 3)
    assert model.source_kind.value == pytest.approx(1 / 3)


def test_nobody_and_the_writer_are_different_kinds_of_source():
    model = figures(
        ([held(AUTHOR, PILOT)], [said(AUTHOR, PILOT)]), ([held(None, PILOT)], [said(AUTHOR, PILOT)])
    )

    assert model.source_kind.value == 0.5
    assert (model.source.annotated, model.source.predicted) == (0, 0)
    assert math.isnan(model.source.exact_f1.value)


def test_only_labels_that_are_held_and_found_count():
    model = figures(
        ([held(MASTER, PILOT)], [said(MASTER, PILOT)]),
        ([held(MASTER, PILOT)], []),
        ([], [said(MASTER, PILOT)]),
        ([held(MASTER, label="praise")], [said(WRECK)]),
    )

    assert model.stances == 1


def test_words_that_stand_several_times_are_right_in_each_place():
    text = "The pilot said the pilot was asleep."
    second = Stance("blame", 0.9, "span", Span("pilot", 19, 24, 0.9), None)

    assert figures(([held("pilot")], [second]), text=text).source.exact_f1.value == 1


def test_an_annotated_start_says_which_place_is_right():
    text = "The pilot said the pilot was asleep."
    first = AnnotatedStance("blame", "pilot", 4)
    second = Stance("blame", 0.9, "span", Span("pilot", 19, 24, 0.9), None)

    assert figures(([first], [second]), text=text).source.overlap_f1.value == 0


def test_words_that_stand_nowhere_are_left_out_and_counted():
    evaluation = measure_spans(judge(([held("the bishop", PILOT)], [said(MASTER, PILOT)])), resamples=5)

    assert evaluation is not None
    assert evaluation.unplaced == 1
    assert (evaluation.model.source.annotated, evaluation.model.source.predicted) == (0, 0)
    assert evaluation.model.target.exact_f1.value == 1


def test_of_a_label_annotated_twice_the_party_that_fits_counts():
    model = figures(([held(MASTER, WRECK), held(WRECK, PILOT)], [said(MASTER, PILOT)]))

    assert (model.source.exact_f1.value, model.target.exact_f1.value) == (1, 1)


def test_labels_are_measured_one_by_one_too():
    evaluation = measure_spans(
        judge(
            ([held(MASTER, PILOT)], [said(MASTER, PILOT)]),
            ([held(MASTER, label="praise")], [said(WRECK, label="praise")]),
        ),
        resamples=5,
    )

    assert evaluation is not None
    (first, praise), (second, blame) = evaluation.labels
    assert (first, praise.stances, praise.source.overlap_f1.value) == ("praise", 1, 0)
    assert (second, blame.stances, blame.source.overlap_f1.value) == ("blame", 1, 1)


def test_a_label_that_is_never_found_has_no_figures():
    evaluation = measure_spans(judge(([held(MASTER)], [said(MASTER)])), resamples=5)

    assert evaluation is not None
    assert evaluation.labels[0][1].stances == 0
    assert math.isnan(evaluation.labels[0][1].source_kind.value)


def test_annotations_without_parties_are_not_measured():
    assert measure_spans(judge(([held()], [said(MASTER)]))) is None


def test_a_model_without_parties_is_not_measured():
    assert measure_spans(judge(([held(MASTER)], [said()]))) is None


def test_a_file_without_any_party_does_not_count_beside_one_that_has_them():
    with_parties = judge(([held(MASTER)], [said(MASTER)]), file="spans.jsonl")
    labels_only = judge(([held()], [said(MASTER)]), file="labels.csv")
    both = Judgements(
        "m",
        LABELS,
        (0.5, 0.5),
        with_parties.sentences + labels_only.sentences,
        (0, 1),
        np.concatenate([with_parties.targets, labels_only.targets]),
        np.concatenate([with_parties.probabilities, labels_only.probabilities]),
        np.concatenate([with_parties.decisions, labels_only.decisions]),
        (with_parties.stances or ()) + (labels_only.stances or ()),
    )

    evaluation = measure_spans(both, resamples=5)

    assert evaluation is not None
    assert evaluation.model.stances == 1


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("The Kremlin accused the United States of lying.", "The Kremlin", "the United States"),
        ("U.S. President Joe Biden warned the Kremlin.", "U.S. President Joe Biden", "the Kremlin"),
        ("Iran's Zarif dismissed Israel's claims.", "Iran's Zarif", "Israel"),
        ("Paris, London and Rome blamed Berlin, then Vienna.", "Rome", "Berlin"),
        ("But Moscow denied it.", "Moscow", None),
        ("In the capital, Ankara rejected it.", "Ankara", None),
        ("The ministry rejected it.", None, None),
        ("protesters marched on the palace.", None, None),
        ("He threatened the U.S.", "He", "the U.S."),
        ("MOSCOW WARNS NATO", "MOSCOW WARNS NATO", None),
        ("", None, None),
    ],
)
def test_the_baseline_takes_the_names_nearest_to_the_first_lower_case_word(text, source, target):
    guess = guess_parties(text)

    assert [text[start:end] for start, end in guess.source or ()] == [source] * (source is not None)
    assert [text[start:end] for start, end in guess.target or ()] == [target] * (target is not None)
    assert guess.source_kind == ("none" if source is None else "span")


def test_the_baseline_is_measured_on_the_same_stances():
    text = "Ankara blamed Athens."
    right = said("Ankara", "Athens", text=text)

    evaluation = measure_spans(judge(([held("Ankara", "Athens")], [right]), text=text), resamples=5)

    assert evaluation is not None
    assert evaluation.baseline.stances == 1
    assert evaluation.baseline.target.exact_f1.value == 1


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [((0, 5), (4, 9), True), ((0, 5), (5, 9), False), ((0, 4), (3, 9), False), ((0, 9), (2, 3), True)],
)
def test_ranges_share_a_word_where_a_letter_of_it_is_in_both(one, other, shared):
    assert shares_word("abc defgh", one, other) is shared


def test_places_are_whole_words_and_else_what_is_inside_of_one():
    assert find_places("ant, antler, ant", "ant") == ((0, 3), (13, 16))
    assert find_places("antlers", "antler") == ((0, 6),)
    assert find_places("an ant", "ant", 3) == ((3, 6),)
    assert find_places("an ant", "ant", 2) == ()
    assert find_places("an ant", "bee") == ()


def test_f1_of_counts_has_an_interval_drawn_by_cluster():
    hits, predicted, annotated = [1, 0, 1, 0] * 25, [1, 1, 1, 0] * 25, [1, 1, 1, 1] * 25

    figure = bootstrap_f1(hits, predicted, annotated, clusters=[row // 4 for row in range(100)])

    # Every document is the same, so that each resample is too.
    assert figure.value == figure.low == figure.high == pytest.approx(2 * 50 / (75 + 100))


def test_f1_of_nothing_annotated_and_a_share_of_nothing_are_not_defined():
    assert math.isnan(bootstrap_f1([0, 0], [1, 0], [0, 0]).value)
    assert math.isnan(bootstrap_share([0, 0], [0, 0]).value)


def test_a_share_of_counts_has_an_interval_around_it():
    figure = bootstrap_share([1, 0] * 50, [1] * 100)

    assert figure.low < figure.value == 0.5 < figure.high
