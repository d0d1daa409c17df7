"""The three forms of an output hold the same, say what made them, and are whole or not there."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stancewire.classifier import ScoredSentence, Stance
from stancewire.documents import Document, Skipped
from stancewire.errors import StancewireError
from stancewire.formats import FORMATS, ScoredDocument
from stancewire.language import Language
from stancewire.outputs import Output
from stancewire.provenance import FORMAT, Provenance, meta_path, parse_provenance, read_provenance
from stancewire.rereading import reread
from stancewire.spans import Span
from stancewire.spreadsheet import guard, unguard

LABELS = ("threat", "text", "A b.c")
SUFFIXES = (".jsonl", ".csv", ".parquet")
PARTY_COLUMNS = (
    *("source_kind", "source_text", "source_start", "source_end", "source_p"),
    *("target_text", "target_start", "target_end", "target_p"),
)

PROVENANCE = Provenance(
    stancewire="0.1.0",
    model="toy",
    digest="ab" * 32,
    labels=LABELS,
    thresholds={"threat": 0.5, "text": 0.25, "A b.c": 0.75},
    settings={"any_language": False, "max_bytes": 20_000_000},
    libraries={"tokenizers": "0.22"},
    documents=1,
    sentences=2,
    counts={"threat": 1, "text": 2, "A b.c": 0},
    languages={"en": 1, "fr": 1},
    encodings={"cp1252": 1, "utf-8": 1},
    repaired=1,
    skipped=(Skipped("sub/caf\\xe9.txt", "is not English: language fr, probability 1.00"),),
    ignored={".pdf": 3},
)

float32s = st.integers(0, 0x3F800000).map(lambda bits: float(np.uint32(bits).view(np.float32)))
anything = st.text(st.characters(exclude_categories=[]))


spans = st.none() | st.builds(Span, anything, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), float32s)


def stance_of(label: str, probability: float) -> st.SearchStrategy[Stance]:
    kinds = st.sampled_from(["span", "author", "none"])
    return st.builds(Stance, st.just(label), st.just(probability), kinds, spans, spans)


@st.composite
def documents(draw: st.DrawFn) -> ScoredDocument:
    texts = draw(st.lists(anything, min_size=1, max_size=4))
    sentences = []
    for text in texts:
        probabilities = {label: draw(float32s) for label in LABELS}
        held = draw(st.lists(st.sampled_from(LABELS), unique=True))
        stances = tuple(draw(stance_of(label, probabilities[label])) for label in held)
        start = draw(st.integers(0, 2**31 - 1))
        sentences.append(
            ScoredSentence(
                text, probabilities, stances, draw(float32s), draw(st.booleans()), start, len(text)
            )
        )
    language = draw(st.sampled_from([Language("en", 0.9987), Language("und", None)]))
    return ScoredDocument(
        Document(draw(anything), "", "cp1252", draw(st.booleans()), draw(st.sampled_from(["", "cafe"]))),
        language,
        tuple(sentences),
    )


def scored(*texts: str) -> ScoredDocument:
    probabilities = {"threat": float(np.float32(0.1)), "text": 0.5, "A b.c": 1e-6}
    sentences = tuple(
        ScoredSentence(text, probabilities, (Stance("text", 0.5),), 0.25, False, 0, len(text))
        for text in texts
    )
    return ScoredDocument(Document("a.txt", "", "utf-8", False, "cafe"), Language("en", 0.9987), sentences)


def write(path: Path, *scored_documents: ScoredDocument, overwrite: bool = False) -> Path:
    with Output(path, LABELS, overwrite=overwrite) as output:
        for document in scored_documents:
            output.write(document)
        output.commit(PROVENANCE)
    return path


def in_memory(suffix: str, document: ScoredDocument) -> bytes:
    stream = io.BytesIO()
    writer = FORMATS[suffix](stream, LABELS)
    writer.write(document)
    writer.finish(PROVENANCE)
    return stream.getvalue()


def bits(values: list) -> tuple[bytes, ...]:
    return tuple(np.float32(value).tobytes() for value in values)


def rows_of_json(content: bytes) -> list[tuple]:
    rows = []
    for line in map(json.loads, content.decode().splitlines()):
        about = (line["language"], line["language_probability"], line["encoding"], line["repaired"])
        for position, row in enumerate(line["sentences"]):
            where = (line["document"], position, row["start"], row["end"], row["text"])
            probabilities = bits([row["probabilities"][label] for label in LABELS])
            held = tuple(stance["label"] for stance in row["stances"])
            rows.append((*where, probabilities, held, *about))
    return rows


def rows_of_csv(content: bytes) -> list[tuple]:
    reader = csv.DictReader(io.StringIO(content.decode(), newline=""))
    rows = []
    for row in reader:
        language_probability = float(row["language_probability"]) if row["language_probability"] else None
        about = (row["language"], language_probability, row["encoding"], row["repaired"] == "true")
        where = (row["document"], int(row["sentence"]), int(row["start"]), int(row["end"]), row["text"])
        stances = tuple(filter(None, row["stances"].split(";")))
        rows.append((*where, bits([row[f"p_{label}"] for label in LABELS]), stances, *about))
    return rows


def rows_of_parquet(content: bytes) -> list[tuple]:
    rows = []
    for row in pq.read_table(io.BytesIO(content)).to_pylist():
        certainty = row["language_probability"]
        about = (row["language"], certainty and round(certainty, 4), row["encoding"], row["repaired"])
        where = (row["document"], row["sentence"], row["start"], row["end"], row["text"])
        rows.append((*where, bits([row[f"p_{label}"] for label in LABELS]), tuple(row["stances"]), *about))
    return rows


@settings(deadline=None)
@given(documents())
def test_the_three_forms_give_back_the_same_text_and_the_same_bits(document):
    rows = rows_of_json(in_memory(".jsonl", document))

    assert (
        rows == rows_of_csv(in_memory(".csv", document)) == rows_of_parquet(in_memory(".parquet", document))
    )
    for row, sentence in zip(rows, document.sentences, strict=True):
        assert row[2:4] == (sentence.start, sentence.end)
        assert row[5] == bits([sentence.probabilities[label] for label in LABELS])
        assert row[6] == tuple(stance.label for stance in sentence.stances)


@settings(deadline=None)
@given(documents())
def test_text_comes_back_but_for_lone_surrogates_which_become_one_character_each(document):
    rows = rows_of_json(in_memory(".jsonl", document))

    for row, sentence in zip(rows, document.sentences, strict=True):
        assert len(row[4]) == len(sentence.text)
        assert all(
            found == given or (found == "\ufffd" and "\ud800" <= given <= "\udfff")
            for found, given in zip(row[4], sentence.text, strict=True)
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None)
@given(written=st.lists(documents(), max_size=3))
def test_what_is_read_back_in_full_is_written_as_it_was(tmp_path_factory, suffix, written):
    folder = tmp_path_factory.mktemp("again")
    named = [replace(one, document=replace(one.document, id=f"{n}")) for n, one in enumerate(written)]
    out = write(folder / f"one{suffix}", *named)

    again = write(folder / f"two{suffix}", *reread(out, LABELS))

    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "'=1", "''-", "\uff1dx"])
def test_with_an_apostrophe_a_spreadsheet_runs_nothing_and_all_comes_back(tmp_path, start):
    document = scored(start, f"He said {start}")
    came = replace(document, document=replace(document.document, id=start, columns={start: start, "n": -1.5}))
    columns = {start: "string", "n": "number"}
    out = tmp_path / "o.csv"
    with Output(out, LABELS, columns=columns, spreadsheet=True) as output:
        output.write(came)
        output.commit(PROVENANCE)

    rows = list(csv.reader(io.StringIO(out.read_bytes().decode(), newline="")))
    assert [row[0] for row in rows[1:]] == [f"'{start}"] * 2
    assert [row[5] for row in rows[1:]] == [f"'{start}", f"He said {start}"]
    assert sorted([rows[0][-1], rows[0][-2]]) == sorted([f"'{start}", "n"])
    (back,) = reread(out, LABELS, spreadsheet=True)
    assert back.document.columns == {start: start, "n": "-1.5"}
    assert [sentence.text for sentence in back.sentences] == [start, f"He said {start}"]


@given(st.text())
def test_every_guarded_cell_comes_back(text):
    assert unguard(guard(text)) == text


def test_one_document_is_one_line_of_json_whatever_breaks_its_sentences_hold(tmp_path):
    out = write(tmp_path / "o.jsonl", scored("a\nb\x85c\u2028d\u2029e\x1cf\rg"), scored("h"))

    assert len(out.read_text("utf-8").splitlines()) == 2
    assert json.loads(out.read_text("utf-8").splitlines()[0])["sentences"][0]["text"] == (
        "a\nb\x85c\u2028d\u2029e\x1cf\rg"
    )


def test_probabilities_are_written_with_no_more_digits_than_they_need(tmp_path):
    out = write(tmp_path / "o.csv", scored("x"))

    assert out.read_bytes().decode().splitlines()[1] == (
        "a.txt,,0,0,1,x,0.1,0.5,1e-06,text,0.25,false,"
        ",,,,,,,,,none,,,,,,,,,,,,,,,,,,en,0.9987,utf-8,false,cafe"
    )


def test_parquet_columns_have_types_and_names_that_cannot_collide(tmp_path):
    schema = pq.read_schema(write(tmp_path / "o.parquet", scored("x")))

    assert schema.names == [
        "document", "date", "sentence", "start", "end", "text", "p_threat", "p_text", "p_A b.c",
        "stances", "risk", "uncertain",
        *[f"{part}_{label}" for label in LABELS for part in PARTY_COLUMNS],
        "language", "language_probability", "encoding", "repaired", "fingerprint",
    ]  # fmt: skip
    assert schema.field("p_text").type == pa.float32()
    assert schema.field("stances").type == pa.list_(pa.string())
    assert schema.field("start").type == pa.int32()


def test_a_parquet_file_of_many_sentences_is_written_in_row_groups(tmp_path):
    out = write(tmp_path / "o.parquet", *[scored(*map(str, range(1000)))] * 20)

    file = pq.ParquetFile(out)

    assert (file.metadata.num_rows, file.num_row_groups) == (20_000, 2)
    assert file.read(["sentence"])["sentence"].to_pylist() == list(range(1000)) * 20


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_output_says_what_made_it(tmp_path, suffix):
    out = write(tmp_path / f"o{suffix}", scored("x"))

    assert read_provenance(out) == PROVENANCE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_run_gives_the_same_bytes(tmp_path, suffix):
    one = write(tmp_path / f"one{suffix}", scored("x", "y"))
    two = write(tmp_path / f"two{suffix}", scored("x", "y"))

    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_of_no_documents_is_still_an_output(tmp_path, suffix):
    out = write(tmp_path / f"o{suffix}")

    assert out.is_file()
    assert read_provenance(out) == PROVENANCE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_lies_beside_a_finished_output_but_its_metadata(tmp_path, suffix):
    out = write(tmp_path / f"o{suffix}", scored("x"))

    beside = {path.name for path in tmp_path.iterdir()} - {out.name}

    assert beside == (set() if suffix == ".parquet" else {meta_path(out).name})


def test_an_output_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()

    out = write(tmp_path / "o.csv", scored("x"))

    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_run_leaves_nothing_new_and_the_old_output_as_it_was(tmp_path, suffix, interruption):
    out = write(tmp_path / f"o{suffix}", scored("old"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(interruption), Output(out, LABELS, overwrite=True) as output:
        output.write(scored("new"))
        raise interruption

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_error_with_a_sentence_and_leaves_nothing(tmp_path, suffix, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(StancewireError, match=rf"o\{suffix} cannot be written: No space left on device"):
        write(tmp_path / f"o{suffix}", scored("x"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_that_is_there_is_refused_unless_overwritten(tmp_path, suffix):
    out = write(tmp_path / f"o{suffix}", scored("old"))
    content = out.read_bytes()

    with pytest.raises(StancewireError, match=r"is already there: --overwrite"):
        write(out, scored("new"))

    assert out.read_bytes() == content
    assert write(out, scored("new"), overwrite=True).read_bytes() != content


def test_metadata_that_remains_of_an_output_is_not_overwritten_unasked(tmp_path):
    out = write(tmp_path / "o.csv", scored("old"))
    out.unlink()

    with pytest.raises(StancewireError, match=r"o\.csv\.meta\.json is already there"):
        write(out, scored("new"))


@pytest.mark.parametrize("name", ["scores.xlsx", ".scores", "scores.json", "scores.jsonl.gz"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(StancewireError, match=r"should end in \.jsonl, \.csv, \.parquet"):
        Output(tmp_path / name, LABELS)


def test_a_folder_that_is_missing_or_an_output_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "o.csv").mkdir()

    with pytest.raises(StancewireError, match=r"there is no folder .*missing"):
        Output(tmp_path / "missing" / "o.csv", LABELS)
    with pytest.raises(StancewireError, match=r"o\.csv is a folder"):
        Output(tmp_path / "o.csv", LABELS)


def test_a_label_with_a_semicolon_goes_into_any_form_but_csv(tmp_path):
    with pytest.raises(StancewireError, match=r"'a;b'"), Output(tmp_path / "o.csv", ["a;b"]):
        pass
    with Output(tmp_path / "o.jsonl", ["a;b"]) as output:
        output.commit(PROVENANCE)

    assert {path.name for path in tmp_path.iterdir()} == {"o.jsonl", "o.jsonl.meta.json"}


def test_an_output_without_provenance_says_so(tmp_path):
    bare = tmp_path / "bare.csv"
    bare.write_text("a,b\n")
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    broken = tmp_path / "broken.parquet"
    broken.write_text("not parquet")

    with pytest.raises(StancewireError, match=r"bare\.csv\.meta\.json should lie beside it"):
        read_provenance(bare)
    with pytest.raises(StancewireError, match=r"foreign\.parquet does not say what made it"):
        read_provenance(foreign)
    with pytest.raises(StancewireError, match=r"broken\.parquet is not a Parquet file"):
        read_provenance(broken)
    with pytest.raises(StancewireError, match=r"there is no output"):
        read_provenance(tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 1}', '{"format": "x"}', "[" * 100_000])
def test_damaged_provenance_is_refused_with_a_sentence(text):
    with pytest.raises(StancewireError, match=r"^here does not say what made the output"):
        parse_provenance(text, "here")


def test_provenance_of_a_newer_format_says_to_upgrade():
    with pytest.raises(StancewireError, match=rf"here has format {FORMAT + 1}, .*pip install --upgrade"):
        parse_provenance(f'{{"format": {FORMAT + 1}, "other": []}}', "here")
