from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import SEEDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stancewire import Prediction, StanceClassifier, StancewireError
from stancewire.runtime import sigmoid

ARTICLE = """Harbour talks collapse

"If the pilots' fees are not paid by Friday, not one tug will leave the quay," the union's chairwoman said.
The port authority denied that it owed the pilots anything.

It rained in the afternoon. The terminal's gates will stay open all week, the operator assured hauliers.
"""


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    lines = (SEEDS / "test" / "wire-events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def test_one_sentence_gives_one_prediction_with_every_label(classifier):
    prediction = classifier.predict("We will respond.")

    assert isinstance(prediction, Prediction)
    assert list(prediction.probabilities) == list(classifier.labels)
    assert all(0 <= probability <= 1 for probability in prediction.probabilities.values())


def test_many_sentences_give_a_list_in_order(classifier, sentences):
    predictions = classifier.predict(sentence for sentence in sentences)

    assert [prediction.text for prediction in predictions] == sentences
    assert predictions[3] == classifier.predict(sentences[3])


def test_no_sentences_give_an_empty_list(classifier):
    assert classifier.predict([]) == []
    assert classifier.probabilities([]).shape == (0, len(classifier.labels))


def test_stances_are_those_at_or_above_their_threshold_the_likeliest_first(classifier, sentences):
    for prediction in classifier.predict(sentences):
        held = {s.label: s.probability for s in prediction.stances}
        expected = {
            label: probability
            for label, probability in prediction.probabilities.items()
            if probability >= classifier.thresholds[label]
        }

        assert held == expected
        assert list(held.values()) == sorted(held.values(), reverse=True)


@pytest.mark.parametrize("wrong", [[None], ["a", 5], [b"bytes"]])
def test_something_that_is_no_string_is_refused_with_its_place(classifier, wrong):
    with pytest.raises(StancewireError, match=f"sentence {len(wrong) - 1} is of type"):
        classifier.predict(wrong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(texts=st.lists(st.text(st.characters(codec=None)), max_size=40), seed=st.integers(0, 99))
def test_probabilities_are_the_same_bits_whatever_the_batch_and_the_order(classifier, texts, seed):
    alone = [classifier.probabilities([text])[0].tobytes() for text in texts]
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)

    together = classifier.probabilities([texts[index] for index in order])

    assert [row.tobytes() for row in together] == [alone[index] for index in order]


def test_probabilities_are_the_same_bits_on_any_number_of_threads(tiny_model, sentences):
    one, three, seven = (StanceClassifier.load(tiny_model, threads=count) for count in (1, 3, 7))

    expected = one.probabilities(sentences).tobytes()

    assert three.probabilities(sentences).tobytes() == expected
    assert seven.probabilities(sentences).tobytes() == expected


def test_one_classifier_serves_many_threads_at_once(classifier, sentences):
    expected = classifier.probabilities(sentences).tobytes()
    start = threading.Barrier(8)

    def score(_: int) -> bytes:
        start.wait()
        return classifier.probabilities(sentences).tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(score, range(8))) == {expected}


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(tiny_model, threads):
    with pytest.raises(StancewireError, match="threads should be at least 1"):
        StanceClassifier.load(tiny_model, threads=threads)


def test_a_sentence_past_the_budget_is_read_to_its_end(classifier):
    filler = "the committee met and the minutes were read and approved " * 30
    said = "if they cross we will respond with everything we have"

    long = classifier.predict(filler + said)
    cut = classifier.predict(filler)

    assert long.probabilities != cut.probabilities


def test_a_long_sentence_takes_the_highest_probability_of_its_windows(classifier, sentences):
    joined = " ".join(sentences[:30])
    budget = classifier.manifest.max_length
    windows = classifier._runtime._tokenizer.encode(joined)

    row = classifier.probabilities([joined])[0]

    rows = [sigmoid(classifier._runtime._run_window(w.ids)[0][0]) for w in (windows, *windows.overflowing)]
    assert len(rows) > 2
    assert all(len(w.ids) <= budget for w in (windows, *windows.overflowing))
    assert row.tolist() == np.max(rows, axis=0).tolist()


def test_an_article_is_cut_and_each_offset_slices_back(classifier):
    article = classifier.score_article(ARTICLE)

    assert len(article.sentences) == 5
    assert [ARTICLE[s.start : s.end] for s in article.sentences] == [s.text for s in article.sentences]


def test_a_sentence_of_an_article_has_the_probabilities_that_it_has_alone(classifier):
    article = classifier.score_article(ARTICLE)

    for sentence in article.sentences:
        assert sentence.probabilities == classifier.predict(sentence.text).probabilities


def test_the_summary_counts_sentences_and_stances(classifier):
    article = classifier.score_article(ARTICLE)

    assert set(article.counts) == set(classifier.labels)
    assert sum(article.counts.values()) == sum(len(s.stances) for s in article.sentences)
    assert article.summary.startswith("5 sentences: ")
    for label, sentence in article.strongest.items():
        assert sentence.probabilities[label] == max(s.probabilities[label] for s in article.sentences)


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00", "\ud800", "…", "\u202e" * 50])
def test_an_odd_article_is_scored_without_a_fault(classifier, text):
    article = classifier.score_article(text)

    assert article.summary


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, stancewire; "
        "print(sorted({'numpy', 'onnxruntime', 'tokenizers', 'torch', 'rich'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_scoring_never_imports_torch(tiny_model):
    code = (
        "import sys; from stancewire import StanceClassifier; "
        f"StanceClassifier.load({str(tiny_model)!r}).score_article('They denied it. It rained.'); "
        "print([m for m in ('torch', 'transformers', 'datasets', 'sklearn') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_public_names_resolve_and_others_do_not():
    import stancewire

    assert all(getattr(stancewire, name) is not None for name in stancewire.__all__)
    assert set(stancewire.__all__) <= set(dir(stancewire))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = stancewire.Nonsense  # type: ignore[attr-defined]


def test_the_package_is_marked_as_typed():
    import stancewire

    assert (Path(stancewire.__file__).parent / "py.typed").is_file()
