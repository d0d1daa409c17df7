"""Readers of annotated sentences, and the resolution of spans."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancewire.annotations import AnnotatedStance, find_span, read_annotated, read_annotations
from stancewire.errors import StancewireError

PARTICLES = ["he", "They", "the", "harbour union", "he's", '"no"', "Zoë", "_he", "2he"]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_reads_every_field_of_a_json_line(tmp_path: Path) -> None:
    stance = {"label": "praise", "source": "He", "source_start": 0, "target": "crew", "target_start": None}
    row = {"text": "He thanked the crew.", "doc": "ferry", "i": 3, "stances": [stance], "part": "mixed"}

    (sentence,) = read_annotations(write(tmp_path / "a.jsonl", row))

    assert sentence.stances == (AnnotatedStance("praise", "He", 0, "crew", None),)
    assert (sentence.text, sentence.doc, sentence.i) == ("He thanked the crew.", "ferry", 3)
    assert sentence.extra == {"part": "mixed"}
    assert (sentence.file, sentence.line) == (str(tmp_path / "a.jsonl"), 1)
    assert sentence.labels == {"praise"}


def test_a_row_may_lack_everything_but_text_and_stances(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "Rain fell.", "stances": [{"label": "x"}]})

    (sentence,) = read_annotations(path)

    assert sentence.stances == (AnnotatedStance("x"),)
    assert sentence.doc is None
    assert sentence.i is None


def test_a_row_may_have_plain_labels_instead_of_stances(tmp_path: Path) -> None:
    (sentence,) = read_annotations(write(tmp_path / "a.jsonl", {"text": "Rain fell.", "labels": ["x", "y"]}))

    assert [stance.label for stance in sentence.stances] == ["x", "y"]


def test_a_byte_order_mark_empty_lines_and_line_separators_inside_strings_are_read_right(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        '\ufeff{"text": "One\u2028two", "stances": []}\r\n\n{"text": "Three", "stances": []}'.encode()
    )

    sentences = read_annotations(path)

    assert [(sentence.text, sentence.line) for sentence in sentences] == [("One\u2028two", 1), ("Three", 3)]


def test_reads_csv_with_several_labels_and_quoted_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        '\ufefftext,labels,doc,i,desk\n"Rain,\nthen wind.",,storm,0,weather\n\nWe sue., x; y ,,,\n',
        encoding="utf-8",
    )

    first, second = read_annotations(path)

    assert (first.text, first.stances, first.doc, first.i) == ("Rain,\nthen wind.", (), "storm", 0)
    assert first.extra == {"desk": "weather"}
    assert second.labels == {"x", "y"}
    assert (first.line, second.line) == (2, 5)
    assert (second.doc, second.i) == (None, None)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "should be an object"),
        ('{"text": "\\ud800", "stances": []}', "half of a surrogate pair"),
        ("{}", "text should be a sentence, and is missing"),
        ('{"text": 3, "stances": []}', "text should be a sentence"),
        ('{"text": " ", "stances": []}', "text should be a sentence, and is empty"),
        ('{"text": "a"}', "stances should be a list"),
        ('{"text": "a", "stances": {}}', "stances should be a list"),
        ('{"text": "a", "stances": ["x"]}', "a stance should be an object"),
        ('{"text": "a", "stances": [{}]}', "the label of a stance"),
        ('{"text": "a", "stances": [{"label": 1}]}', "the label of a stance"),
        ('{"text": "a", "stances": [{"label": "x", "sorce": "a"}]}', "did you mean source?"),
        ('{"text": "a", "stances": [{"label": "x", "zzz": "a"}]}', "it may have label, source"),
        ('{"text": "a", "stances": [{"label": "x", "source": ""}]}', "source should be words"),
        (
            '{"text": "a", "stances": [{"label": "x", "target": "a", "target_start": "0"}]}',
            "target_start should be",
        ),
        ('{"text": "a", "stances": [{"label": "x", "target_start": 0}]}', "target is null"),
        ('{"text": "a", "stances": [{"label": "x", "source": "@author", "source_start": 0}]}', '"@author"'),
        ('{"text": "a", "stances": [], "doc": 7}', "doc should be the name"),
        ('{"text": "a", "stances": [], "i": true}', "i should be a position"),
        ('{"text": "a", "stances": [], "i": 2147483648}', "i should be a position"),
        ('{"text": "a", "labels": [null]}', "the label of a stance"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good", "stances": []}\n' + line + "\n")

    with pytest.raises(StancewireError) as raised:
        read_annotations(path)

    assert f"{path}, line 2: " in str(raised.value)
    assert what in str(raised.value)


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"", 1, "should name columns"),
        (b"sentence,labels\na,x\n", 1, "should name columns"),
        (b"text;labels\na;x\n", 1, "should name columns"),
        (b"text,labels\na,x\nb\n", 3, "has 1 cells"),
        (b"text,labels\na,x\n\xff,y\n", 3, "is not UTF-8"),
        (b'text,labels\n"a\nb",x\n"c,y\nd\n', 4, "is not CSV"),
        (b"text,labels,i\na,x,first\n", 2, "i should be a position"),
        (b"text,labels\n ,x\n", 2, "text should be a sentence"),
    ],
)
def test_a_bad_csv_is_refused_with_file_and_line(
    tmp_path: Path, content: bytes, line: int, what: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)

    with pytest.raises(StancewireError) as raised:
        read_annotations(path)

    assert f"{path}, line {line}: " in str(raised.value)
    assert what in str(raised.value)


def test_every_fault_is_told_when_the_caller_asks_for_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{\n{"text": "good", "stances": []}\n"caf\xe9"\n')
    faults: list[tuple[int, str]] = []

    sentences = read_annotations(path, on_fault=lambda line, what: faults.append((line, what)))

    assert [sentence.text for sentence in sentences] == ["good"]
    assert [line for line, _ in faults] == [1, 3]
    assert "is not UTF-8" in faults[1][1]


def test_a_missing_file_and_an_unknown_kind_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StancewireError, match="cannot be read"):
        read_annotations(tmp_path / "missing.jsonl")

    with pytest.raises(StancewireError, match=r"should be a \.jsonl or \.csv file"):
        read_annotations(tmp_path / "notes.txt")


@given(
    text=st.text(min_size=1).filter(str.strip),
    labels=st.lists(st.text("abcé -", min_size=1).filter(str.strip)),
)
def test_csv_and_jsonl_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, text: str, labels: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("same")
    labels = [label.strip() for label in labels]
    (folder / "a.jsonl").write_text(json.dumps({"text": text, "labels": labels}) + "\n")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["text", "labels"], [text, ";".join(labels)]])

    from_jsonl = read_annotations(folder / "a.jsonl")
    from_csv = read_annotations(folder / "a.csv")

    assert [(s.text, s.stances) for s in from_csv] == [(s.text, s.stances) for s in from_jsonl]


def test_a_span_is_a_whole_word() -> None:
    assert find_span("They said he left.", "he") == (10, 12)
    assert find_span('"We," he said', "We") == (1, 3)
    assert find_span("Serbia's army", "Serbia") == (0, 6)


def test_a_start_says_which_of_several_matches_is_meant() -> None:
    assert find_span("The union sued the union.", "union", 19) == (19, 24)


@pytest.mark.parametrize(
    ("text", "words", "start", "what"),
    [
        ("They left.", "he", None, "only inside another word"),
        ("They left.", "she", None, "nowhere in the sentence"),
        ("They left.", "", None, "nowhere in the sentence"),
        ("He said he and he alone", "he", None, r"stands 2 times in the sentence \(at 8 and 15\)"),
        ("He said he and he alone", "he", 0, "does not stand at 0, but at 8 and 15"),
        ("They left.", "left", 4, "does not stand at 4, but at 5"),
    ],
)
def test_a_span_that_cannot_be_placed_is_refused(text: str, words: str, start: int | None, what: str) -> None:
    with pytest.raises(StancewireError, match=what):
        find_span(text, words, start)


@given(pieces=st.lists(st.sampled_from(PARTICLES), min_size=1), chosen=st.data())
def test_a_span_slices_back_to_its_words(pieces: list[str], chosen: st.DataObject) -> None:
    text = " ".join(pieces)
    position = chosen.draw(st.integers(0, len(pieces) - 1))
    offset = len(" ".join(pieces[:position])) + (position > 0)

    start, end = find_span(text, pieces[position], offset)

    assert start == offset
    assert text[start:end] == pieces[position]


def test_reading_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, stancewire.annotations; print({'torch', 'numpy', 'datasets'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"text": "Second.", "stances": []})
    write(tmp_path / "a.jsonl", {"text": "First.", "stances": []})
    (tmp_path / "README.md").write_text("not read", encoding="utf-8")

    sentences = read_annotated(tmp_path)

    assert [sentence.text for sentence in sentences] == ["First.", "Second."]


def test_a_folder_without_annotated_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StancewireError, match=r"has no .jsonl or .csv file"):
        read_annotated(tmp_path)
