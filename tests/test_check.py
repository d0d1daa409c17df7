"""The check of a corpus: what an editor would find."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stancewire_training import near_duplicates
from stancewire_training.check import CheckReport, Finding, check_corpus, check_table
from stancewire_training.near_duplicates import find_near_duplicates

FIVE = ("praise", "doubt", "promise", "request", "apology")
LONG = "The harbour board told the fishermen on Tuesday that the new quay would be open by spring"
CARD = """---
configs:
- config_name: default
  data_files:
  - {{split: train, path: train.jsonl}}
  - {{split: validation, path: validation.jsonl}}
  - {{split: test, path: test.jsonl}}
dataset_info:
  features:
  - {{name: text, dtype: string}}
  - name: stances
    list:
    - name: label
      dtype: {{class_label: {{names: {names}}}}}
---
"""


def row(text: str, *labels: str, **more: object) -> dict[str, Any]:
    return {"text": text, "stances": [{"label": label} for label in labels]} | more


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def add(folder: Path, split: str, *rows: dict[str, Any]) -> None:
    with (folder / f"{split}.jsonl").open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def faults(report: CheckReport) -> list[str]:
    return [f"{Path(fault.file).name}:{fault.line}: {fault.what}" for fault in report.faults]


def warnings(report: CheckReport) -> list[str]:
    return [f"{Path(warning.file).name}:{warning.line}: {warning.what}" for warning in report.warnings]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "train.jsonl", [row(f"Train {n}{label}.", label) for n in range(50) for label in FIVE])
    for split in ("validation", "test"):
        write(
            folder / f"{split}.jsonl",
            [row(f"{split} {n}{label}.", label) for n in range(10) for label in FIVE],
        )
    names = json.dumps({str(index): label for index, label in enumerate(FIVE)})
    (folder / "README.md").write_text(CARD.format(names=names))
    return folder


def test_a_sound_corpus_of_five_labels_has_no_findings_and_its_counts(corpus: Path) -> None:
    add(corpus, "train", row("Two at once.", "praise", "doubt"), row("None.", doc="story", i=0))

    report = check_corpus(corpus)

    assert report.faults == ()
    assert report.warnings == ()
    assert report.labels == FIVE
    assert [count.split for count in report.splits] == ["train", "validation", "test"]
    train = report.splits[0]
    assert (train.sentences, train.without_stance, train.articles) == (252, 1, 1)
    assert train.by_label == {"praise": 51, "doubt": 51, "promise": 50, "request": 50, "apology": 50}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (
            row("Rain fell.", "prais"),
            "the label 'prais' is not one of praise, doubt, promise, request, apology",
        ),
        (row("Rain fell.", "doubt", "doubt"), "the label 'doubt' stands 2 times: one entry a label"),
        (row("Rain\nfell."), "the control character U+000A stands at 4"),
        (row("Rain\x07 fell."), "the control character U+0007 stands at 4"),
        (row("Caf\ufffd closed."), "a replacement character stands at 3"),
        (row("Rain fell.", i=0), "i is the position in an article, but doc names none"),
        (row(" "), "text should be a sentence, and is empty"),
        (row("Rain fell.", doc="wet", i=1), "the article 'wet' has a gap or is out of order: i is 1, not 0"),
        (row("TRAIN  7praise."), "the same sentence as"),
    ],
)
def test_a_faulty_row_is_found_with_file_and_line(corpus: Path, bad: dict[str, Any], what: str) -> None:
    add(corpus, "train", bad)

    report = check_corpus(corpus)

    (fault,) = report.faults
    assert fault.where == f"{corpus / 'train.jsonl'}, line 251"
    assert what in fault.what


@pytest.mark.parametrize(
    ("stance", "what"),
    [
        ({"source": "he"}, "source of doubt: the span 'he' stands only inside another word"),
        ({"target": "she"}, "target of doubt: the span 'she' stands nowhere in the sentence"),
        ({"target": "it"}, "target of doubt: the span 'it' stands 2 times in the sentence (at 11 and 24)"),
        ({"target": "it", "target_start": 5}, "target of doubt: the span 'it' does not stand at 5"),
        ({"target": "@author"}, "target of doubt: the span '@author' stands nowhere"),
        ({"sorce": "They"}, "did you mean source?"),
    ],
)
def test_a_span_that_is_not_in_the_sentence_is_a_fault(
    corpus: Path, stance: dict[str, Any], what: str
) -> None:
    add(corpus, "train", {"text": "They doubt it, and said it.", "stances": [{"label": "doubt"} | stance]})

    (fault,) = check_corpus(corpus).faults

    assert what in fault.what


def test_a_span_that_can_be_placed_is_no_fault(corpus: Path) -> None:
    stance = {"label": "doubt", "source": "@author", "target": "it", "target_start": 24}
    add(corpus, "train", {"text": "They doubt it, and said it.", "stances": [stance]})

    assert check_corpus(corpus).faults == ()


def test_all_faults_are_listed_not_only_the_first(corpus: Path) -> None:
    with (corpus / "test.jsonl").open("ab") as stream:
        stream.write(b'{"text"\n"caf\xe9"\n[]\n{"text": "Fine.", "stances": [{"label": "wrong"}]}\n')

    found = faults(check_corpus(corpus))

    assert [fault.split(": ")[0] for fault in found] == [f"test.jsonl:{line}" for line in (51, 52, 53, 54)]


def test_a_duplicate_with_other_labels_says_so(corpus: Path) -> None:
    add(corpus, "train", row("Train 7praise.", "doubt"))

    (fault,) = check_corpus(corpus).faults

    assert fault.what.endswith("line 36, with other labels: praise there, doubt here")


def test_a_duplicate_across_splits_is_a_fault(corpus: Path) -> None:
    add(corpus, "test", row("Train 7praise.", "praise"))

    (fault,) = check_corpus(corpus).faults

    assert fault.what == f"the same sentence as {corpus / 'train.jsonl'}, line 36, which is train"


def test_two_articles_of_one_split_may_share_a_sentence(corpus: Path) -> None:
    add(corpus, "train", row("No comment.", doc="a", i=0), row("No comment.", doc="b", i=0))

    report = check_corpus(corpus)

    assert report.faults == ()
    assert len(report.warnings) == 1


def test_near_duplicates_are_to_look_at_within_a_split_and_faults_across(corpus: Path) -> None:
    add(corpus, "train", row(f"{LONG}.", "promise"), row(f"{LONG} at last.", "promise"))
    within = check_corpus(corpus)
    add(corpus, "test", row(f"So {LONG}.", "promise"))

    across = check_corpus(corpus)

    assert within.faults == ()
    assert "nearly the same (0.88) as" in within.warnings[0].what
    assert [fault.line for fault in across.faults] == [51, 51]
    assert all("which is train" in fault.what for fault in across.faults)


def test_near_twins_whose_labels_differ_are_to_look_at(corpus: Path) -> None:
    add(corpus, "train", row(f"{LONG}.", "promise"), row(f"{LONG} at last."))

    (warning,) = check_corpus(corpus).warnings

    assert warning.what.endswith("line 251, with other labels: promise there, none here")


def test_an_article_that_straddles_splits_is_a_fault(corpus: Path) -> None:
    add(corpus, "train", row("First.", doc="story", i=0))
    add(corpus, "validation", row("Second.", doc="story", i=1))

    found = faults(check_corpus(corpus))

    assert len(found) == 1
    assert found[0].startswith("validation.jsonl:51: this is validation, but the article 'story' begins at")


@pytest.mark.parametrize("order", [(0, 2), (1, 0), (0, 0), (0, None)])
def test_an_article_with_a_gap_or_out_of_order_is_a_fault(corpus: Path, order: tuple[int, int]) -> None:
    add(corpus, "train", *(row(f"Sentence {n}.", doc="story", i=i) for n, i in enumerate(order)))

    (fault,) = check_corpus(corpus).faults

    assert "the article 'story' has a gap or is out of order" in fault.what


def test_an_article_without_positions_is_no_fault(corpus: Path) -> None:
    add(corpus, "train", row("First.", doc="story"), row("Second.", doc="story"))

    assert check_corpus(corpus).faults == ()


def test_a_label_with_few_examples_is_to_look_at_and_one_with_none_in_train_a_fault(corpus: Path) -> None:
    write(corpus / "train.jsonl", [row(f"Train {n}{label}.", label) for n in range(49) for label in FIVE[:4]])

    report = check_corpus(corpus)

    assert faults(report) == ["corpus:None: train has no examples of the label 'apology', fewer than 50"]
    assert "corpus:None: train has 49 examples of the label 'praise', fewer than 50" in warnings(report)


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        (row("word " * 300 + "end."), "the text has 1504 characters"),
        (row("..."), "the text has no letter"),
        (row("Rain  fell."), "white space at its ends or twice in a row"),
        (row(" Rain fell."), "white space at its ends or twice in a row"),
        (row("Rain\u200b fell."), "invisible characters"),
    ],
)
def test_an_odd_text_is_to_look_at(corpus: Path, odd: dict[str, Any], what: str) -> None:
    add(corpus, "train", odd)

    report = check_corpus(corpus)

    assert report.faults == ()
    assert what in report.warnings[0].what


def test_source_and_target_of_the_same_words_are_to_look_at(corpus: Path) -> None:
    add(
        corpus, "train", {"text": "He left.", "stances": [{"label": "doubt", "source": "He", "target": "He"}]}
    )

    (warning,) = check_corpus(corpus).warnings

    assert "source and target of doubt are the same words, 'He'" in warning.what


def test_a_file_that_belongs_to_no_split_is_to_look_at(corpus: Path) -> None:
    write(corpus / "more.jsonl", [row("Rain fell.")])

    assert check_corpus(corpus).warnings == (
        Finding(str(corpus / "more.jsonl"), None, "the file belongs to no split and was not read"),
    )


def test_a_csv_file_is_checked_by_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "corpus.csv"
    path.write_text('text,labels,split\n"Rain\nfell.",x,train\nRain fell.,x,test\nWind.\nSun.,,later\n')

    found = faults(check_corpus(path))

    assert "corpus.csv:2: the control character U+000A stands at 4" in found
    assert "corpus.csv:5: has 1 cells, but the first line names 3 columns" in found
    assert "corpus.csv:6: a split should be train, validation or test, not 'later'" in found
    assert any(fault.startswith("corpus.csv:4: the same sentence as") for fault in found)


def test_a_saved_dataset_is_checked_by_its_rows(tmp_path: Path) -> None:
    part = Dataset.from_dict({"text": ["One.", "Two\tthree.", None], "labels": [["x"], ["x"], []]})
    DatasetDict(train=part).save_to_disk(tmp_path / "saved")

    found = faults(check_corpus(tmp_path / "saved"))

    assert found == [
        "saved (train):2: the control character U+0009 stands at 3",
        "saved (train):3: text should be a sentence, and is not a string",
    ]


def test_an_unlabelled_corpus_and_one_without_train_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, [row("Rain fell.", split="test")])

    assert faults(check_corpus(path)) == [
        "a.jsonl:None: there are no labels: not one sentence has a stance",
        "a.jsonl:None: there is no sentence to train on: no split is named train",
    ]


def test_the_table_shows_counts_every_fault_and_the_first_warnings(corpus: Path) -> None:
    add(corpus, "train", row("Rain fell.", "[red]wrong"), row("Wind  rose."), row("Sun  shone."))
    console = Console(width=400, record=True, file=StringIO())

    console.print(check_table(check_corpus(corpus), most_warnings=1))

    text = console.export_text()
    assert "253" in text
    assert "the label '[red]wrong' is not one of" in text
    assert f"{corpus / 'train.jsonl'}, line 252" in text
    assert f"{corpus / 'train.jsonl'}, line 253" not in text
    assert "and 1 more to look at" in text
    assert "faults: 1, to look at: 2" in text


words = st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join)


@given(st.lists(words, max_size=12), st.sampled_from([0.3, 0.6, 1.0]))
def test_near_duplicates_are_those_of_the_plain_definition(texts: list[str], threshold: float) -> None:
    def jaccard(first: str, second: str) -> float:
        one, other = (
            set(zip(t.split(), t.split()[1:], t.split()[2:], strict=False)) for t in (first, second)
        )
        return len(one & other) / len(one | other) if one | other else 0.0

    # One letter is no word to the usual tokenizer, so that this also tests that ours takes them.
    expected = [
        (i, j) for j in range(len(texts)) for i in range(j) if jaccard(texts[i], texts[j]) >= threshold
    ]

    found = find_near_duplicates(texts, threshold)

    assert [(pair.first, pair.second) for pair in found] == sorted(expected)


def test_near_duplicates_in_different_blocks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_BLOCK", 2)

    found = find_near_duplicates([LONG, "a b c", "d e f", "g h i", LONG.upper()])

    assert [(pair.first, pair.second, pair.similarity) for pair in found] == [(0, 4, 1.0)]
