"""Scoring folders: what comes out, what is skipped, and that a run ends well or leaves nothing."""

# ruff: noqa: RUF001

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from arithmetic import LABELS, ArithmeticRuntime, corpus, make_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import stancewire.reading
import stancewire.scoring
import stancewire.sentence_cache
from stancewire.classifier import StanceClassifier
from stancewire.documents import decode_document
from stancewire.errors import StancewireError
from stancewire.formats import stance_values
from stancewire.provenance import read_provenance
from stancewire.rows import RowOptions
from stancewire.scoring import Progress, ScoringResult, score_paths
from stancewire.segmentation import Sentence
from stancewire.sentence_cache import SentenceCache
from stancewire.summary import printable, summary_table

ARTICLE = (
    "The envoy said that the convoy would cross the river. The ministry answered that it would not.\n\n"
    "Dockers will strike on Monday unless the firm gives way! Nobody knows what the harbour will do."
)
FRENCH = "Le porte-parole a démenti les accusations et promis de poursuivre les pourparlers avec ses voisins."


@pytest.fixture
def runtime() -> ArithmeticRuntime:
    return ArithmeticRuntime()


@pytest.fixture
def arithmetic(runtime: ArithmeticRuntime) -> StanceClassifier:
    return make_classifier(runtime)


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def shown(result: ScoringResult) -> str:
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(summary_table(result))
    return console.file.getvalue()


def test_every_sentence_of_every_document_is_scored_as_by_score_article(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", b=ARTICLE, a__c="One sentence stands here, and it is quite enough.")

    result = score_paths(arithmetic, [folder], tmp_path / "o.jsonl")

    assert [line["document"] for line in lines(tmp_path / "o.jsonl")] == ["a/c.txt", "b.txt"]
    article = arithmetic.score_article(ARTICLE)
    assert [
        (row["text"], row["start"], row["end"], row["stances"])
        for row in lines(tmp_path / "o.jsonl")[1]["sentences"]
    ] == [(s.text, s.start, s.end, list(map(stance_values, s.stances))) for s in article.sentences]
    assert (result.documents, result.sentences, result.skipped) == (2, 5, ())
    assert result.out == tmp_path / "o.jsonl"


def test_offsets_slice_back_to_the_sentences_in_the_text_as_decoded(tmp_path, arithmetic):
    text = "The café’s owner said it wasn’t so.\r\nHe had closed the shop on Monday – for good.\r\n"
    mojibake = text.encode().decode("cp1252", "ignore").encode("utf-16")
    folder = corpus(tmp_path / "in", plain=text, page=text.encode("cp1252"), mojibake=mojibake)

    score_paths(arithmetic, [folder], tmp_path / "o.jsonl")

    for line in lines(tmp_path / "o.jsonl"):
        document = decode_document("", (folder / line["document"]).read_bytes())
        assert document.text == text
        assert [text[row["start"] : row["end"]] for row in line["sentences"]] == [
            row["text"] for row in line["sentences"]
        ]


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=1, max_size=300))
def test_offsets_slice_back_whatever_the_text(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "a.txt"
    path.write_bytes(text.encode())

    result = score_paths(make_classifier(), [path], folder / "o.jsonl", any_language=True)

    written = lines(folder / "o.jsonl")
    assert len(written) == 1 - len(result.skipped)
    for line in written:
        decoded = decode_document("", path.read_bytes()).text
        assert all(decoded[row["start"] : row["end"]] == row["text"] for row in line["sentences"])


def test_the_forms_hold_the_same_sentences(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", a=ARTICLE, b=ARTICLE.upper())

    for suffix in ("jsonl", "csv", "parquet"):
        score_paths(arithmetic, [folder], tmp_path / f"o.{suffix}")

    table = pq.read_table(tmp_path / "o.parquet").to_pylist()
    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["text"] for row in csv.DictReader(stream)] == [row["text"] for row in table]
    assert [row["text"] for row in table] == [
        row["text"] for line in lines(tmp_path / "o.jsonl") for row in line["sentences"]
    ]


def test_an_output_does_not_depend_on_how_documents_fall_into_groups(tmp_path, arithmetic, monkeypatch):
    folder = corpus(tmp_path / "in", **{f"n{i:03}": f"{ARTICLE} This is number {i}." for i in range(40)})

    score_paths(arithmetic, [folder], tmp_path / "one.jsonl")
    monkeypatch.setattr(stancewire.reading, "GROUP_SENTENCES", 7)
    score_paths(arithmetic, [folder], tmp_path / "two.jsonl")

    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_sentences_are_scored_in_calls_of_some_hundreds(tmp_path, arithmetic, runtime):
    long = "".join(f"The harbour was shut again on day {i}. " for i in range(1500))
    articles = {f"n{i:03}": ARTICLE.replace("would", f"on day {i} would") for i in range(300)}
    folder = corpus(tmp_path / "in", long=long, **articles)

    score_paths(arithmetic, [folder], tmp_path / "o.jsonl")

    assert sum(runtime.calls) == 1500 + 2 * 300 + 2
    assert max(runtime.calls) == 512
    assert len(runtime.calls) < 10


def test_a_sentence_that_comes_again_is_not_read_again(tmp_path, arithmetic, runtime, monkeypatch):
    moved = f"By our own correspondent, Muscat.\n\n{ARTICLE}"
    folder = corpus(
        tmp_path / "in", a=ARTICLE, b=ARTICLE + " " + ARTICLE, c=moved, d=ARTICLE.replace(" ", "\n")
    )
    score_paths(arithmetic, [folder], tmp_path / "o.jsonl")
    seen = sum(runtime.calls)
    texts = [row["text"] for line in lines(tmp_path / "o.jsonl") for row in line["sentences"]]
    uncached = stancewire.sentence_cache.SentenceCache
    monkeypatch.setattr(stancewire.scoring, "SentenceCache", lambda classifier: uncached(classifier, 0))
    monkeypatch.setattr(stancewire.reading, "GROUP_SENTENCES", 1)
    runtime.calls.clear()

    score_paths(arithmetic, [folder], tmp_path / "uncached.jsonl")

    assert seen == len(set(texts)) < sum(runtime.calls) <= len(texts)
    assert (tmp_path / "o.jsonl").read_bytes() == (tmp_path / "uncached.jsonl").read_bytes()


def test_the_sentences_that_are_remembered_are_the_last_used_and_so_many(arithmetic, runtime):
    cache = SentenceCache(arithmetic, 2)
    one, two, three, long = (Sentence(text, 0, len(text)) for text in ("One.", "Two.", "Three.", "x" * 1001))

    for sentence in (one, two, one, three, one, two, long, long):
        cache.score([sentence], 512, lambda done: None)

    assert runtime.calls == [1, 1, 1, 1, 1, 1]


def test_progress_counts_up_to_all_documents_and_sentences(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", bad=b"\0\1\2", **{f"n{i:03}": ARTICLE for i in range(300)})
    seen: list[Progress] = []

    result = score_paths(arithmetic, [folder], tmp_path / "o.csv", on_progress=seen.append)

    reading = [progress for progress in seen if not progress.is_writing]
    writing = [progress for progress in seen if progress.is_writing]
    assert seen == reading + writing
    assert reading[-1] == Progress(301, result.sentences, 1.0)
    assert reading == sorted(reading, key=lambda progress: (progress.documents, progress.sentences))
    assert [progress.share for progress in reading] == sorted(progress.share for progress in reading)
    assert [progress.share for progress in writing] == [0, 256 / 301]
    assert len(seen) > 2


def test_what_cannot_be_read_is_named_skipped_and_counted(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", binary=b"\x7fELF\0\0", empty="", good=ARTICLE, white=" \n")

    result = score_paths(arithmetic, [folder], tmp_path / "o.jsonl")

    assert [(skipped.document, skipped.reason) for skipped in result.skipped] == [
        ("binary.txt", "is binary, not text"),
        ("empty.txt", "is empty"),
        ("white.txt", "holds nothing but white space"),
    ]
    assert [line["document"] for line in lines(tmp_path / "o.jsonl")] == ["good.txt"]
    assert read_provenance(tmp_path / "o.jsonl").skipped == result.skipped
    assert lines(tmp_path / "o.jsonl.errors.jsonl") == [
        {"document": skipped.document, "reason": skipped.reason} for skipped in result.skipped
    ]


def test_of_very_many_skipped_documents_the_list_beside_the_output_has_all(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", **{f"n{i:04}": "" for i in range(1100)})

    result = score_paths(arithmetic, [folder], tmp_path / "o.parquet")

    assert (len(result.skipped), result.skipped_count) == (1000, 1100)
    assert read_provenance(tmp_path / "o.parquet") == result.provenance
    assert len(lines(tmp_path / "o.parquet.errors.jsonl")) == 1100
    assert "and 1,090 more, all in o.parquet.errors.jsonl" in shown(result)


def test_the_largest_document_can_be_chosen(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", long=ARTICLE * 10, short=ARTICLE)

    result = score_paths(arithmetic, [folder], tmp_path / "o.jsonl", rows=RowOptions(max_bytes=1_000))

    assert [(skipped.document, skipped.reason) for skipped in result.skipped] == [
        ("long.txt", "is larger than the 0.001 MB that one document may have")
    ]
    assert result.provenance.settings["max_bytes"] == 1_000


def test_a_document_that_breaks_the_splitter_costs_only_itself(tmp_path, arithmetic, monkeypatch):
    folder = corpus(tmp_path / "in", bad="This one is the bad one of the two.", good=ARTICLE)
    split = stancewire.reading.split_sentences
    monkeypatch.setattr(
        stancewire.reading, "split_sentences", lambda text: split(text) if "bad" not in text else 1 / 0
    )

    result = score_paths(arithmetic, [folder], tmp_path / "o.jsonl")

    assert [skipped.document for skipped in result.skipped] == ["bad.txt"]
    assert "ZeroDivisionError" in result.skipped[0].reason
    assert result.documents == 1


def test_another_language_is_flagged_and_scored_only_when_asked(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", english=ARTICLE, french=FRENCH, short="Non.")

    strict = score_paths(arithmetic, [folder], tmp_path / "strict.jsonl")
    lax = score_paths(arithmetic, [folder], tmp_path / "lax.jsonl", any_language=True)

    assert [(skipped.document, skipped.reason) for skipped in strict.skipped] == [
        ("french.txt", "is not English: language fr, probability 1.00")
    ]
    assert strict.other_languages == lax.other_languages == {"fr": 1}
    assert lax.skipped == ()
    assert [(line["document"], line["language"]) for line in lines(tmp_path / "lax.jsonl")] == [
        ("english.txt", "en"),
        ("french.txt", "fr"),
        ("short.txt", "und"),
    ]


def test_a_run_that_skips_everything_still_writes_what_it_did(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", empty="")

    result = score_paths(arithmetic, [folder], tmp_path / "o.parquet")

    assert (result.documents, len(result.skipped)) == (0, 1)
    assert read_provenance(tmp_path / "o.parquet").skipped == result.skipped


def test_provenance_names_model_thresholds_settings_and_decisions(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", a=ARTICLE, b="The café was shut on Monday.".encode("cp1252"))
    (folder / "c.pdf").touch()

    result = score_paths(arithmetic, [folder], tmp_path / "o.csv")

    provenance = read_provenance(tmp_path / "o.csv")
    assert provenance == result.provenance
    assert (provenance.model, provenance.digest) == ("arithmetic", "cd" * 32)
    assert provenance.thresholds == {"warm": 0.5, "cold": 0.75}
    assert provenance.settings["any_language"] is False
    assert provenance.encodings == {"cp1252": 1, "utf-8": 1}
    assert provenance.ignored == {".pdf": 1}
    assert "tokenizers" in provenance.libraries


def test_counts_and_the_strongest_sentences_agree_with_the_output(tmp_path, arithmetic):
    folder = corpus(tmp_path / "in", **{f"n{i}": f"Number {i} is here. {ARTICLE}" for i in range(9)})

    result = score_paths(arithmetic, [folder], tmp_path / "o.jsonl")

    rows = [(line["document"], row) for line in lines(tmp_path / "o.jsonl") for row in line["sentences"]]
    for label in LABELS:
        held = [
            (stance["probability"], name, row["text"])
            for name, row in rows
            for stance in row["stances"]
            if stance["label"] == label
        ]
        best = sorted(held, key=lambda entry: -entry[0])[:3]
        assert result.counts[label] == len(held)
        assert [(entry.document, entry.text) for entry in result.strongest[label]] == [
            entry[1:] for entry in best
        ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "nothing to score"),
        (["missing"], "no file or folder .*missing"),
        (["in"], r"no file of articles .* in .*in; of other kinds: 1 \.pdf"),
    ],
)
def test_nothing_to_score_is_the_users_fault_and_leaves_nothing(tmp_path, arithmetic, names, message):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").touch()

    with pytest.raises(StancewireError, match=message):
        score_paths(arithmetic, [tmp_path / name for name in names], tmp_path / "o.csv")

    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_output_that_is_there_is_refused_before_anything_is_scored(tmp_path, arithmetic, runtime):
    folder = corpus(tmp_path / "in", a=ARTICLE)
    score_paths(arithmetic, [folder], tmp_path / "o.csv")
    runtime.calls.clear()

    with pytest.raises(StancewireError, match="already there"):
        score_paths(arithmetic, [folder], tmp_path / "o.csv")

    assert runtime.calls == []
    assert score_paths(arithmetic, [folder], tmp_path / "o.csv", overwrite=True).documents == 1


def test_the_summary_shows_counts_decisions_and_what_was_skipped(tmp_path, arithmetic):
    folder = corpus(
        tmp_path / "in", a=ARTICLE, b="The café was shut.".encode("cp1252"), c=FRENCH, d="It wasnâ€™t so."
    )

    text = shown(score_paths(arithmetic, [folder], tmp_path / "o.csv"))

    assert "3 documents, 6 sentences" in text
    assert "warm" in text and "cold" in text
    assert "Read in other encodings than UTF-8: cp1252 1" in text
    assert "Mojibake mended in 1 document" in text
    assert "Not in English: fr 1 (skipped; --any-language scores them)" in text
    assert "c.txt is not English" in text


def test_the_summary_obeys_no_markup_and_no_control_characters_of_others(tmp_path, arithmetic):
    folder = corpus(
        tmp_path / "in", **{"[red]x\x1b[31m": f"[bold]He[/nothing] said so \x1b]0;title\x07. {ARTICLE}"}
    )
    (folder / "[link=http:x]e.txt").touch()

    text = shown(score_paths(arithmetic, [folder], tmp_path / "o.jsonl"))

    assert "\x1b" not in text and "\x07" not in text
    assert "[link=http:x]e.txt is empty" in text


@given(st.text())
def test_printable_text_is_one_line_that_a_terminal_only_shows(text):
    line = printable(text)

    assert all(character.isprintable() for character in line)
    assert len(line.splitlines()) <= 1
