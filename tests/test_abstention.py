from __future__ import annotations

import numpy as np
import pytest

from stancewire.abstention import COVERAGES, measure_abstention, sentence_risk
from stancewire.annotations import AnnotatedSentence
from stancewire.judgements import Judgements
from stancewire.metrics import macro_f1


def judgements(probabilities: np.ndarray, targets: np.ndarray) -> Judgements:
    sentences = tuple(AnnotatedSentence(str(number)) for number in range(len(targets)))
    clusters = tuple(range(len(targets)))
    decisions = probabilities >= 0.5
    labels = ("praise", "blame")
    return Judgements(
        "coin", labels, (0.5, 0.5), sentences, clusters, targets, probabilities.astype(np.float32), decisions
    )


def test_the_risk_is_one_less_the_product_of_what_was_decided():
    risk = sentence_risk([[0.9, 0.2], [0.9, 0.2], [0.0, 1.0]], [[True, False], [False, False], [False, True]])

    assert risk == pytest.approx([1 - 0.9 * 0.8, 1 - 0.1 * 0.8, 0.0])


def test_the_surest_sentences_are_kept():
    probabilities = np.column_stack([np.linspace(0.5, 0.99, 100), np.zeros(100)])
    targets = np.column_stack([np.arange(100) >= 40, np.zeros(100)]) > 0.5

    rows = measure_abstention(judgements(probabilities, targets), resamples=20)

    assert [row.coverage for row in rows] == list(COVERAGES)
    assert [row.sentences for row in rows] == [100, 95, 90, 80, 70, 50]
    assert [row.wrong.value for row in rows] == pytest.approx([0.4, 35 / 95, 30 / 90, 20 / 80, 10 / 70, 0])
    assert rows[-1].risk == pytest.approx(1 - probabilities[50, 0], abs=1e-6)


def test_macro_f1_is_that_of_the_sentences_kept():
    generator = np.random.default_rng(5)
    probabilities, targets = generator.random((60, 2)), generator.random((60, 2)) < 0.5
    said = judgements(probabilities, targets)
    surest = np.argsort(sentence_risk(said.probabilities, said.decisions), kind="stable")[:30]

    full, half = measure_abstention(said, (1.0, 0.5), resamples=0)

    assert full.macro_f1.value == pytest.approx(macro_f1(targets, said.decisions))
    assert half.macro_f1.value == pytest.approx(macro_f1(targets[surest], said.decisions[surest]))


def test_one_sentence_is_always_kept():
    rows = measure_abstention(judgements(np.array([[0.9, 0.1]]), np.array([[True, False]])), resamples=5)

    assert {row.sentences for row in rows} == {1}
