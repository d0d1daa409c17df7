from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from transformers import EvalPrediction

from stancewire.annotations import AnnotatedSentence, AnnotatedStance
from stancewire.errors import StancewireError
from stancewire.metrics import macro_f1
from stancewire_training.baselines import (
    compute_baselines,
    encode_mean,
    make_examples,
    predict_keywords,
    predict_tfidf,
    read_keywords,
)
from stancewire_training.metric import StanceMetric, compute_metrics_for

ROOT = Path(__file__).parents[1]
KEYWORDS = ROOT / "configs" / "keywords.yaml"
LABELS = ("praise", "blame")
SHIPPED_LABELS = ("threat", "reassurance", "accusation", "denial")


def sentences(count: int, start: int = 0) -> list[AnnotatedSentence]:
    """Sentences of which every third praises and every fourth blames, each with its own words."""
    rows = []
    for number in range(start, start + count):
        labels = [label for label, step in zip(LABELS, (3, 4), strict=True) if number % step == 0]
        acts = {"praise": "thanked the crew warmly", "blame": "faulted the crew bitterly"}
        told = " and ".join(acts[label] for label in labels) or "met the crew"
        text = f"Captain number {number} {told} on day {number * 7 % 13}."
        rows.append(AnnotatedSentence(text, tuple(map(AnnotatedStance, labels))))
    return rows


@pytest.fixture
def keywords(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text("praise: [thank, full of praise]\nblame: [fault]\n", encoding="utf-8")
    return path


def test_a_stem_is_found_where_a_word_begins_with_it_whatever_the_case() -> None:
    stems = {"praise": ["thank", "full of praise"], "blame": ["fault"]}
    texts = ["THANKFUL, they left.", "An asphalt road, no default.", "Full of  praise; it was his fault."]

    output = predict_keywords(stems, LABELS, texts)

    assert output.decisions.tolist() == [[True, False], [False, False], [True, True]]
    assert output.probabilities is None


def test_a_stem_is_taken_as_it_is_written_and_not_as_a_pattern() -> None:
    output = predict_keywords({"praise": ["well done!", "a.b"]}, ["praise"], ["Well done!", "axb", "a.b"])

    assert output.decisions[:, 0].tolist() == [True, False, True]


def test_a_label_without_stems_is_named() -> None:
    with pytest.raises(StancewireError, match="no stems for blame"):
        predict_keywords({"praise": ["thank"]}, LABELS, ["Thank you."])


def test_the_shipped_list_has_at_least_60_different_stems_a_label_all_from_the_training_sentences() -> None:
    stems = read_keywords(KEYWORDS)
    files = (ROOT / "seeds" / "train").glob("*.jsonl")
    words = "\n".join(path.read_text(encoding="utf-8").lower() for path in files)

    assert set(stems) == set(SHIPPED_LABELS)
    assert min(len(set(own)) for own in stems.values()) >= 60
    assert [stem for own in stems.values() for stem in own if stem not in words] == []


def test_no_shipped_stem_says_what_a_shorter_one_of_its_label_says() -> None:
    stems = read_keywords(KEYWORDS)

    for own in stems.values():
        assert [(one, other) for one, other in permutations(own, 2) if other.startswith(one)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("praise: [thank, false]", "False"),
        ("praise: []", "praise"),
        ("praise: thank", "praise"),
        ("- thank", "map each label"),
        ("praise: [", "YAML"),
        ('praise: [" "]', "quotes"),
    ],
)
def test_a_keyword_file_that_is_no_list_of_stems_is_refused_with_the_place(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(StancewireError, match=rf"own\.yaml.*{said}"):
        read_keywords(path)


def test_a_keyword_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StancewireError, match=r"none\.yaml"):
        read_keywords(tmp_path / "none.yaml")


def test_tf_idf_learns_the_labels_of_any_corpus() -> None:
    train, validation, test = (
        make_examples(sentences(*span), LABELS) for span in ((240,), (60, 240), (60, 300))
    )

    output = predict_tfidf(train, validation, test.texts)

    assert output.probabilities is not None
    assert output.probabilities.shape == output.decisions.shape == (60, 2)
    assert output.probabilities.dtype == np.float32
    assert macro_f1(test.targets, output.decisions) > 0.95


def test_a_label_that_no_training_sentence_holds_is_never_predicted() -> None:
    labels = (*LABELS, "plea")
    train, validation = (make_examples(sentences(*span), labels) for span in ((120,), (60, 120)))

    output = predict_tfidf(train, validation, validation.texts)

    assert output.probabilities is not None
    assert not output.probabilities[:, 2].any()
    assert not output.decisions[:, 2].any()


def test_the_same_sentences_give_the_same_output() -> None:
    train, validation = make_examples(sentences(120), LABELS), make_examples(sentences(60, 120), LABELS)

    first = predict_tfidf(train, validation, validation.texts)
    again = predict_tfidf(train, validation, validation.texts)

    assert first.probabilities is not None
    assert again.probabilities is not None
    assert (first.probabilities == again.probabilities).all()


def test_all_baselines_judge_the_same_sentences(keywords: Path, tiny_encoder: Path) -> None:
    told: list[str] = []

    outputs = compute_baselines(
        LABELS,
        sentences(240),
        sentences(60, 240),
        sentences(30, 300),
        keywords=keywords,
        encoder=tiny_encoder,
        on_progress=told.append,
    )

    assert [output.name for output in outputs] == ["none", "keywords", "TF-IDF", "frozen encoder"]
    assert told == ["keywords", "TF-IDF", "frozen encoder"]
    assert {output.decisions.shape for output in outputs} == {(30, 2)}
    targets = make_examples(sentences(30, 300), LABELS).targets
    assert macro_f1(targets, outputs[1].decisions) == 1


def test_keywords_and_encoder_can_be_left_out() -> None:
    outputs = compute_baselines(LABELS, sentences(60), sentences(30, 60), sentences(9, 90))

    assert [output.name for output in outputs] == ["none", "TF-IDF"]


def test_a_missing_split_is_named() -> None:
    with pytest.raises(StancewireError, match="validation"):
        compute_baselines(LABELS, sentences(60), [], sentences(9, 90))


def test_a_sentence_vector_is_the_mean_over_its_own_tokens_whatever_stands_beside_it(
    tiny_encoder: Path,
) -> None:
    texts = [
        "The crew left.",
        "The crew left on the morning tide, and the captain thanked the harbour master.",
    ]

    together = encode_mean(tiny_encoder, texts)
    alone = np.concatenate([encode_mean(tiny_encoder, [text]) for text in texts])

    assert together.shape == (2, 32)
    assert together.dtype == np.float32
    assert together == pytest.approx(alone, abs=0.05)


def test_the_metric_gives_the_figures_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    probabilities = generator.random((50, 2)).astype(np.float32)
    targets = (generator.random((50, 2)) < 0.4).astype(np.float32)

    figures = StanceMetric(LABELS, "half").compute(predictions=probabilities, references=targets)

    decisions = probabilities >= 0.5
    assert figures["macro_f1"] == pytest.approx(sklearn.f1_score(targets, decisions, average="macro"))
    assert figures["micro_f1"] == pytest.approx(sklearn.f1_score(targets, decisions, average="micro"))
    assert figures["exact_match"] == pytest.approx(sklearn.accuracy_score(targets, decisions))
    assert figures["f1_blame"] == pytest.approx(sklearn.f1_score(targets[:, 1], decisions[:, 1]))


def test_the_metric_adds_up_batches_and_single_sentences() -> None:
    probabilities = np.array([[0.9, 0.2], [0.4, 0.8], [0.1, 0.1]], dtype=np.float32)
    targets = np.array([[1, 0], [1, 1], [0, 0]], dtype=np.float32)
    metric = StanceMetric(LABELS)
    at_once = metric.compute(predictions=probabilities, references=targets)

    metric.add_batch(predictions=probabilities[:2], references=targets[:2])
    metric.add(prediction=probabilities[2], reference=targets[2])

    assert metric.compute() == at_once


def test_the_metric_takes_a_threshold_a_label_and_refuses_another_number_of_them() -> None:
    probabilities, targets = [[0.3, 0.3], [0.1, 0.1]], [[1, 1], [0, 0]]

    figures = StanceMetric(LABELS, [0.2, 0.4]).compute(predictions=probabilities, references=targets)

    assert (figures["f1_praise"], figures["f1_blame"]) == (1, 0)
    with pytest.raises(ValueError, match="2"):
        StanceMetric(LABELS, [0.5])


def test_the_trainer_gets_its_figures_from_logits() -> None:
    logits = np.array([[3.0, -3.0], [-0.5, -3.0], [-3.0, -3.0]], dtype=np.float32)
    targets = np.array([[1, 0], [1, 0], [0, 0]], dtype=np.float32)

    best = compute_metrics_for(LABELS)(EvalPrediction(predictions=logits, label_ids=targets))
    half = compute_metrics_for(LABELS, "half")(EvalPrediction(predictions=(logits, None), label_ids=targets))

    assert best["macro_f1"] == 1
    assert half["macro_f1"] == pytest.approx(2 / 3)


def test_the_metric_works_offline_and_leaves_nothing_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from stancewire_training.metric import StanceMetric\n"
        "metric = StanceMetric(['praise', 'blame'])\n"
        "assert metric.compute(predictions=[[0.9, 0.1]], references=[[1, 0]])['f1_praise'] == 1\n"
    )
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "HF_HUB_OFFLINE": "1"}

    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | home)

    assert list(tmp_path.iterdir()) == []
