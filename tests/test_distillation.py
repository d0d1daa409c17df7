"""What a student is given: a teacher's probabilities, for the corpus and for unlabelled text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from conftest import config_values

from stancewire import StanceClassifier
from stancewire.errors import StancewireError
from stancewire_training.config import DistillationConfig, parse_config
from stancewire_training.data import load_corpus, to_arrays
from stancewire_training.distillation import (
    SOFT,
    TEXT,
    Lessons,
    SoftTargets,
    choose_text,
    collect_text,
    prepare_lessons,
    read_soft_targets,
    sentence_id,
)
from stancewire_training.record import read_record
from stancewire_training.trainer import train

LABELS = ("a", "b")
SETTINGS = {
    "soft_targets": "soft.parquet",
    "hard_share": 0.25,
    "text": "made-up sentences",
    "text_sentences": 10,
    "empty_share": 0.5,
    "min_words": 3,
    "max_words": 12,
}


def soft(*texts: str) -> SoftTargets:
    ids = tuple(sentence_id(text) for text in texts)
    return SoftTargets(
        LABELS, ids, np.linspace(0, 1, 2 * len(ids), dtype=np.float32).reshape(-1, 2), {"teachers": []}
    )


def test_soft_targets_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = soft("One sentence.", "And another one.")
    written.write(tmp_path / "deep" / "soft.parquet")

    read = read_soft_targets(tmp_path / "deep" / "soft.parquet", LABELS)

    assert (read.labels, read.ids, read.provenance) == (written.labels, written.ids, written.provenance)
    assert (read.probabilities == written.probabilities).all()


def test_soft_targets_hold_no_text(tmp_path: Path) -> None:
    soft("A sentence nobody should find.").write(tmp_path / "soft.parquet")

    assert b"nobody" not in (tmp_path / "soft.parquet").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}"])
def test_a_file_that_holds_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "soft.parquet").write_bytes(content)

    with pytest.raises(StancewireError, match="not a file of soft targets"):
        read_soft_targets(tmp_path / "soft.parquet", LABELS)


def test_other_labels_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    soft("One sentence.").write(tmp_path / "soft.parquet")

    with pytest.raises(StancewireError, match="for the labels a, b, not a, c"):
        read_soft_targets(tmp_path / "soft.parquet", ("a", "c"))
    with pytest.raises(StancewireError, match="there are no soft targets"):
        read_soft_targets(tmp_path / "none.parquet", LABELS)


def test_targets_mix_labels_and_probabilities_and_keep_labels_where_the_teacher_said_nothing() -> None:
    taught = soft("Known sentence.")  # probabilities 0 and 1
    lessons = Lessons(taught, [], np.empty((0, 2), dtype=np.float32))

    mixed = lessons.targets(
        ["Known sentence.", "Unknown."], np.array([[1, 0], [1, 0]], dtype=np.float32), hard_share=0.25
    )

    assert mixed.dtype == np.float32
    assert mixed.tolist() == [[0.25, 0.75], [1.0, 0.0]]


def test_line_breaks_do_not_make_another_sentence() -> None:
    assert sentence_id("One\n  sentence.") == sentence_id("One sentence.")


def test_text_is_english_different_and_of_some_length(tmp_path: Path) -> None:
    rows = [
        "The minister will visit the port of Gdansk on Tuesday morning.",
        "the minister will visit  the port of gdansk on tuesday morning.",
        "Too short.",
        "Der Minister wird den Hafen von Danzig am Dienstagmorgen besuchen und sprechen.",
        "word " * 20,
    ]
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8"
    )
    folder = tmp_path / "articles"
    folder.mkdir()
    (folder / "one.txt").write_text("A ferry sank off the coast today. Nine people died in it.", "utf-8")

    found = collect_text([tmp_path / "rows.jsonl", folder], DistillationConfig(**SETTINGS))

    assert found == [rows[0], "A ferry sank off the coast today.", "Nine people died in it."]


def test_the_empty_majority_is_thinned_the_same_way_each_time() -> None:
    probabilities = np.zeros((1000, 2), dtype=np.float32)
    probabilities[:4, 0] = 0.6
    settings = DistillationConfig(**SETTINGS)

    chosen = choose_text(probabilities, settings, seed=3)

    assert set(range(4)) <= set(chosen.tolist())
    assert len(chosen) == 8
    assert (chosen == choose_text(probabilities, settings, seed=3)).all()
    assert (chosen != choose_text(probabilities, settings, seed=4)).any()


def test_no_more_text_is_taken_than_asked_for() -> None:
    chosen = choose_text(np.ones((1000, 2), dtype=np.float32), DistillationConfig(**SETTINGS), seed=0)

    assert len(chosen) == 10


def test_a_student_learns_from_a_teacher_and_says_so(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path, tiny_model: Path
) -> None:
    values = config_values(tiny_encoder, tiny_corpus, epochs=1)
    values["distillation"] = SETTINGS | {"soft_targets": str(tmp_path / "none.parquet")}
    config = parse_config(values, "tiny")
    corpus = load_corpus(config.data.corpus)
    texts = to_arrays(corpus.splits["train"])[0]
    text = tmp_path / "articles"
    text.mkdir()
    (text / "one.txt").write_text("A ferry sank off the coast today. They will pay for it, he said.", "utf-8")

    lessons = prepare_lessons(config, corpus.labels, texts, tmp_path / "lessons", [tiny_model], [text])
    kept = prepare_lessons(config, corpus.labels, texts, tmp_path / "lessons")
    trained = train(config, tmp_path / "student", lessons=lessons)

    assert sorted(path.name for path in (tmp_path / "lessons").iterdir()) == sorted([SOFT, TEXT])
    assert (kept.soft.probabilities == lessons.soft.probabilities).all()
    assert list(kept.texts) == list(lessons.texts)
    expected = StanceClassifier.load(tiny_model).probabilities(texts[:5])
    assert lessons.soft.of(texts[:5])[0] == pytest.approx(expected, abs=1e-6)
    record = read_record(trained.folder)
    assert record.distillation["text_sentences"] == len(lessons.texts)
    assert record.distillation["teachers"][0]["name"] == "tiny"
    assert "Taught by tiny" in (trained.folder / "README.md").read_text(encoding="utf-8")


def test_text_without_a_teacher_is_refused(tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path) -> None:
    values = config_values(tiny_encoder, tiny_corpus)
    values["distillation"] = SETTINGS
    config = parse_config(values, "tiny")

    with pytest.raises(StancewireError, match="needs a teacher"):
        prepare_lessons(config, LABELS, [], None, (), [tmp_path])


def test_a_configuration_without_distillation_is_refused(tiny_encoder: Path, tiny_corpus: Path) -> None:
    config = parse_config(config_values(tiny_encoder, tiny_corpus), "tiny")

    with pytest.raises(StancewireError, match="no distillation"):
        prepare_lessons(config, LABELS, [], None)
