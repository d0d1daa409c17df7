"""Corpora of every kind a user may bring, made ready to train on."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from stancewire.annotations import AnnotatedSentence, AnnotatedStance
from stancewire.errors import StancewireError
from stancewire_training.data import hold_out, load_corpus, read_corpus, to_arrays

FIVE = ("praise", "doubt", "promise", "request", "apology")

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: train/*.jsonl
  - split: validation
    path: validation/*.jsonl
dataset_info:
  features:
  - name: text
    dtype: string
  - name: stances
    list:
    - name: label
      dtype:
        class_label:
          names: {names}
---
"""


def row(text: str, *labels: str, **more: object) -> dict[str, Any]:
    return {"text": text, "stances": [{"label": label} for label in labels]} | more


def write_jsonl(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def five(tmp_path: Path) -> Path:
    folder = tmp_path / "five"
    write_jsonl(
        folder / "train" / "a.jsonl",
        row("The choir thanked its donors.", "praise"),
        row("Sorry, said the mayor, and asked for time.", "apology", "request"),
        row("The gate opens at nine."),
    )
    write_jsonl(
        folder / "validation" / "a.jsonl", row("He doubts it.", "doubt"), row("It will be kept.", "promise")
    )
    names = {str(index): label for index, label in enumerate(FIVE)}
    (folder / "README.md").write_text(CARD.format(names=json.dumps(names)))
    return folder


def test_the_labels_are_those_of_the_card_in_its_order(five: Path) -> None:
    corpus = load_corpus(five)

    assert corpus.labels == FIVE
    assert corpus.splits["train"].features["stances"].feature["label"] == ClassLabel(names=list(FIVE))
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 3, "validation": 2}


def test_a_split_becomes_texts_and_a_multi_hot_matrix(five: Path) -> None:
    texts, targets = to_arrays(load_corpus(five).splits["train"])

    assert texts[2] == "The gate opens at nine."
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


def test_a_label_that_the_card_does_not_name_is_refused_with_file_and_line(five: Path) -> None:
    write_jsonl(five / "train" / "b.jsonl", row("Rain fell."), row("Well done.", "prais"))

    with pytest.raises(
        StancewireError, match=r"b\.jsonl, line 2: the label 'prais' is not one of praise, doubt"
    ):
        load_corpus(five)


def test_a_broken_row_is_refused_with_file_and_line(five: Path) -> None:
    (five / "train" / "b.jsonl").write_text('{"text": "Rain fell.", "stances": []}\n{"text"\n')

    with pytest.raises(StancewireError, match=r"b\.jsonl, line 2: is not JSON"):
        load_corpus(five)


def test_a_changed_or_added_file_is_noticed(five: Path) -> None:
    before = load_corpus(five)
    write_jsonl(five / "train" / "b.jsonl", row("Rain fell."))

    after = load_corpus(five)

    assert len(after.splits["train"]) == len(before.splits["train"]) + 1
    assert after.fingerprint != before.fingerprint


def test_loading_a_folder_needs_no_network_and_leaves_no_cache(
    five: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    before = sorted(five.rglob("*"))

    load_corpus(five)

    assert sorted(five.rglob("*")) == before
    assert not (tmp_path / "cache").exists()


def test_a_folder_of_csv_files_has_the_labels_found_in_them(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(
        "text,labels,doc,i\nWe thank you.,praise,,\nSorry; please wait.,request;apology,,\n"
    )
    (tmp_path / "validation.csv").write_text("text,labels\nNo.,\n")
    (tmp_path / "test.csv").write_text("text,labels\nIs it so?,doubt\n")

    corpus = load_corpus(tmp_path)

    assert corpus.labels == ("apology", "doubt", "praise", "request")
    assert list(corpus.splits) == ["train", "validation", "test"]
    assert to_arrays(corpus.splits["train"])[1].tolist() == [[0, 0, 1, 0], [1, 0, 0, 1]]


@pytest.mark.parametrize("name", ["corpus.csv", "folder"])
def test_one_file_may_say_in_a_column_which_split_a_sentence_is_of(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "corpus.csv" if name == "corpus.csv" else tmp_path / "folder" / "data.csv"
    path.write_text("text,labels,split\nOne.,x,train\nTwo.,y,dev\nThree.,,test\n")

    corpus = load_corpus(tmp_path / name)

    assert {split: corpus.splits[split]["text"][:] for split in corpus.splits} == {
        "train": ["One."],
        "validation": ["Two."],
        "test": ["Three."],
    }


def test_a_split_of_another_name_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", row("One.", "x", split="train"), row("Two.", split="extra"))

    with pytest.raises(
        StancewireError, match="line 2: a split should be train, validation or test, not 'extra'"
    ):
        load_corpus(path)


def test_a_saved_dataset_keeps_its_class_labels(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=list(FIVE)))})
    part = Dataset.from_dict(
        {"text": ["One.", "Two."], "labels": [["doubt", "praise"], []]}, features=features
    )
    DatasetDict(train=part, valid=part, test=part).save_to_disk(tmp_path / "saved")

    corpus = load_corpus(tmp_path / "saved")

    assert corpus.labels == FIVE
    assert list(corpus.splits) == ["train", "validation", "test"]
    assert to_arrays(corpus.splits["validation"])[1].tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_what_load_corpus_made_can_be_saved_and_loaded_again(five: Path, tmp_path: Path) -> None:
    corpus = load_corpus(five)
    corpus.splits.save_to_disk(tmp_path / "saved")

    again = load_corpus(tmp_path / "saved")

    assert again.labels == corpus.labels
    assert again.fingerprint == corpus.fingerprint


def test_a_folder_of_parquet_is_read(five: Path, tmp_path: Path) -> None:
    corpus = load_corpus(five)
    (tmp_path / "parquet").mkdir()
    corpus.splits["train"].to_parquet(tmp_path / "parquet" / "train.parquet")
    corpus.splits["validation"].to_parquet(tmp_path / "parquet" / "validation.parquet")

    again = load_corpus(tmp_path / "parquet")

    assert again.fingerprint == corpus.fingerprint


def test_a_saved_row_that_cannot_be_read_is_named_by_its_number(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["One.", None], "labels": [["x"], ["x"]]}).save_to_disk(tmp_path / "saved")

    with pytest.raises(StancewireError, match=r"saved \(train\), row 2: text should be a sentence"):
        load_corpus(tmp_path / "saved")


def test_the_fingerprint_is_that_of_the_content_whatever_the_format(tmp_path: Path) -> None:
    rows = [row("One.", "x", split="train"), row("Two.", "y", split="validation")]
    from_jsonl = load_corpus(write_jsonl(tmp_path / "a.jsonl", *rows))
    (tmp_path / "a.csv").write_text("labels,text,split\nx,One.,train\ny,Two.,validation\n")

    from_csv = load_corpus(tmp_path / "a.csv")

    assert from_csv.fingerprint == from_jsonl.fingerprint


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../gone"])
def test_a_corpus_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(StancewireError, match="there is no corpus"):
        load_corpus(name)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StancewireError, match="cannot be read as a dataset"):
        load_corpus(tmp_path)


def test_a_corpus_without_labels_or_without_train_is_refused(tmp_path: Path) -> None:
    unlabelled = write_jsonl(tmp_path / "a.jsonl", row("One."), row("Two."))
    test_only = write_jsonl(tmp_path / "b.jsonl", row("One.", "x", split="test"))

    with pytest.raises(StancewireError, match="has no labels"):
        load_corpus(unlabelled)
    with pytest.raises(StancewireError, match="a split named train"):
        load_corpus(test_only)


def test_a_hub_id_is_loaded_through_datasets_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def stand_in(path: str, revision: str | None = None) -> DatasetDict:
        asked.append((path, revision))
        part = Dataset.from_dict({"text": ["One.", "Two."], "labels": [["x"], []]})
        return DatasetDict(train=part, validation=part)

    monkeypatch.setattr(datasets, "load_dataset", stand_in)

    corpus = load_corpus("someone/stances", revision="abc123")

    assert asked == [("someone/stances", "abc123")]
    assert corpus.labels == ("x",)


def test_a_hub_id_that_cannot_be_had_is_an_error_with_both_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(path: str, revision: str | None = None) -> DatasetDict:
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", stand_in)

    with pytest.raises(StancewireError, match="there is no folder someone/stances, and no such dataset"):
        load_corpus("someone/stances")


def test_progress_bars_are_left_as_they_were(five: Path) -> None:
    before = datasets.are_progress_bars_disabled()

    load_corpus(five)

    assert datasets.are_progress_bars_disabled() == before


def test_reading_tells_every_fault_when_asked(five: Path) -> None:
    (five / "train" / "b.jsonl").write_text('{"text"\n{"text": "Rain fell.", "stances": []}\n[]\n')
    faults: list[tuple[str, int]] = []

    rows = read_corpus(five, on_fault=lambda file, line, what: faults.append((Path(file).name, line)))

    assert faults == [("b.jsonl", 1), ("b.jsonl", 3)]
    assert len(rows.splits["train"]) == 4


def test_where_there_is_no_validation_split_each_label_gives_its_share(tmp_path: Path) -> None:
    rows = [row(f"Sentence {index}.", *(["x"] if index % 4 == 0 else [])) for index in range(200)]

    corpus = load_corpus(write_jsonl(tmp_path / "a.jsonl", *rows), holdout=0.2)

    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 160, "validation": 40}
    assert to_arrays(corpus.splits["validation"])[1].sum() == 10


annotated = st.builds(
    AnnotatedSentence,
    st.text("abc", min_size=1),
    st.lists(st.sampled_from([AnnotatedStance("x"), AnnotatedStance("y")]), max_size=2).map(tuple),
    st.sampled_from([None, None, "p", "q", "r"]),
)


@settings(max_examples=60)
@given(st.lists(annotated, min_size=8, max_size=60), st.sampled_from([0.1, 0.3]))
def test_holding_out_parts_the_sentences_and_keeps_articles_whole(
    sentences: list[AnnotatedSentence], share: float
) -> None:
    sentences = [*sentences, AnnotatedSentence("d"), AnnotatedSentence("e")]

    kept, held = hold_out(sentences, share)

    assert sorted(map(repr, kept + held)) == sorted(map(repr, sentences))
    assert kept
    assert held
    assert not {s.doc for s in kept} & {s.doc for s in held} - {None}
    assert not {s.text for s in kept if s.doc is None} & {s.text for s in held if s.doc is None}
    assert hold_out(sentences, share) == (kept, held)
