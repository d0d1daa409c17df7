"""What is read as documents: files, tables, web pages, archives and standard input, and what is refused."""

# ruff: noqa: RUF001

from __future__ import annotations

import csv
import gzip
import io
import json
import stat
import sys
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arithmetic import ArithmeticRuntime, corpus, make_classifier
from conftest import skip_or_fail
from hypothesis import given, settings
from hypothesis import strategies as st

import stancewire.documents
import stancewire.inputs
from stancewire.documents import Search, Skipped, find_documents
from stancewire.errors import StancewireError
from stancewire.inputs import Inputs, RawDocument
from stancewire.reading import read_document
from stancewire.rows import RowOptions
from stancewire.scoring import ScoringResult, score_paths

TEXT = "The envoy said that the convoy would cross the river. The ministry answered that it would not."
SUFFIXES = (".jsonl", ".csv", ".parquet")
PAGE = """<!DOCTYPE html><html><head><title>Strike | The Post</title>
<meta property="article:published_time" content="2022-01-31T10:30:00Z"></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/sport">Sport</a></li></ul></nav>
<article><h1>Dockers will strike on Monday</h1><p>Dockers will strike on Monday, their union said.<br>
Nobody knows what the port will do.</p><p>“We will not yield,” she said.</p>
<ul><li>The firm offers talks to the union.</li></ul></article>
<section class="comments"><p>Bob: They should all go to jail for what they did.</p></section>
<footer><p>Copyright 2026 The Post. All rights reserved.</p></footer></body></html>"""


def read(*paths: Path, **options: object) -> list[RawDocument | Skipped]:
    return list(Inputs(Search(paths), RowOptions(**options)))


def outcome(*paths: Path, **options: object) -> dict[str, str]:
    """Each document's text, or why it was skipped, by its name."""
    return {
        found.document if isinstance(found, Skipped) else found.name: found.reason
        if isinstance(found, Skipped)
        else read_document(found).text
        for found in read(*paths, **options)
    }


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def json_lines(path: Path, *rows: dict) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def parquet(path: Path, **columns: list) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def archive(path: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def score(tmp_path: Path, *paths: Path, suffix: str = ".jsonl", **options: object) -> ScoringResult:
    out = tmp_path / f"o{suffix}"
    return score_paths(make_classifier(), paths, out, overwrite=True, any_language=True, **options)


# Tables


def test_a_row_of_json_lines_is_a_document_with_its_name_date_and_other_values(tmp_path):
    row = {
        "id": 7,
        "text": TEXT,
        "date": "2022-01-31T22:30Z",
        "outlet": "Post",
        "page": 3,
        "gone": None,
        "e": "",
    }
    table = json_lines(tmp_path / "a.jsonl", row)

    (document,) = read(table)

    assert (document.name, document.content, document.date) == ("7", TEXT.encode(), "2022-01-31T22:30Z")
    assert document.columns == {"outlet": "Post", "page": 3}
    assert read_document(document).date == date(2022, 1, 31)


def test_rows_without_a_name_are_called_by_the_file_and_their_number(tmp_path):
    json_lines(tmp_path / "in" / "a.jsonl", {"text": "One."}, {"text": "Two.", "id": ""})
    write(tmp_path / "in" / "b.csv", 'text\r\n"Three,\nin two lines."\r\nFour.\r\n')
    parquet(tmp_path / "in" / "c.parquet", text=["Five."])

    assert outcome(tmp_path / "in") == {
        "a.jsonl:1": "One.",
        "a.jsonl:2": "Two.",
        "b.csv:2": "Three,\nin two lines.",
        "b.csv:3": "Four.",
        "c.parquet:1": "Five.",
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_can_be_named(tmp_path, suffix):
    values = {"body": TEXT, "url": "x/1", "day": "2022-01-31", "text": "no", "id": "no"}
    table = tmp_path / f"a{suffix}"
    if suffix == ".jsonl":
        json_lines(table, values)
    elif suffix == ".csv":
        write(table, ",".join(values) + "\n" + ",".join(f'"{value}"' for value in values.values()))
    else:
        parquet(table, **{name: [value] for name, value in values.items()})

    (document,) = read(table, text_column="body", id_column="url", date_column="day")

    assert (document.name, document.content, document.date) == ("x/1", TEXT.encode(), "2022-01-31")
    assert document.columns == {"text": "no", "id": "no"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": ""}', "has no text"),
        (b'{"text": null}', "has no text"),
        (b'{"body": "x"}', "has no text"),
        (b'{"text": 3}', "has something else than text in text"),
        (b'{"text": ["x"]}', "has something else than text in text"),
        (b'{"text": "x"', "is not JSON: Expecting ',' delimiter at character 13"),
        (b'["x"]', "is not a JSON object"),
        (b'{"text": "caf\xe9"}', "is not in UTF-8, as JSON lines are"),
        (b'{"text": "x", "deep": ' + b"[" * 60 + b"]" * 60 + b"}", "is nested more than 50 deep"),
        (b'{"text": "x", "deep": ' + b"[" * 100_000, "is not JSON"),
        (b'{"text": "x", "n": ' + b"9" * 5_000 + b"}", "is not JSON that can be read"),
        (b'{"text": "' + b"x" * 2_000 + b'"}', "is larger than the 0.001 MB"),
        (b'{"text": "' + b"x" * 2_000_000 + b'"}', "is larger than the 0.001 MB"),
    ],
)
def test_a_bad_line_of_json_costs_only_itself(tmp_path, line, reason):
    table = write(tmp_path / "a.jsonl", b'{"text": "One."}\n' + line + b'\n\n{"text": "Two."}')

    found = outcome(table, max_bytes=1_000)

    assert list(found) == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:4"]
    assert found["a.jsonl:2"].startswith(reason)


def test_json_lines_may_have_a_mark_and_numbers_that_json_has_not(tmp_path):
    table = write(
        tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "One.", "a": NaN, "b": 1e999, "c": [-Infinity]}'
    )

    (document,) = read(table)

    assert document.columns == {"c": [None]}


def test_json_lines_in_utf16_are_refused_as_a_whole(tmp_path):
    table = write(tmp_path / "a.jsonl", '{"text": "One."}\n'.encode("utf-16"))

    assert outcome(table) == {"a.jsonl": "is in UTF-16, and JSON lines are in UTF-8"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_csv_may_be_parted_and_encoded_in_the_usual_ways(tmp_path, delimiter, encoding):
    stream = io.StringIO()
    rows = [
        ["id", "text", "outlet"],
        ["1", "The café’s\nowner, he said: no; “never” | ever.", "Süd"],
        [],
        ["2", "Yes."],
    ]
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    table = write(tmp_path / "a.csv", stream.getvalue().encode(encoding))

    one, two = read(table)

    assert (one.name, read_document(one).text, one.columns) == ("1", rows[1][1], {"outlet": "Süd"})
    assert (two.name, read_document(two).text, two.columns) == ("2", "Yes.", {})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("3,x,y,z", "has 4 cells, and the header 3"),
        ("3,,y", "has no text"),
        ("3", "has no text"),
        (f"3,{'x' * 2_000},y", "is larger than the 0.001 MB"),
    ],
)
def test_a_bad_row_of_csv_costs_only_itself(tmp_path, row, reason):
    table = write(tmp_path / "a.csv", f"id,text,outlet\n1,One.,a\n{row}\n2,Two.,b\n")

    found = outcome(table, max_bytes=1_000)

    assert (found["1"], found["2"]) == ("One.", "Two.")
    assert [reason in found.get(name, "") for name in ("3", "a.csv:3") if name in found] == [True]


def test_a_quotation_mark_that_is_left_open_ends_the_table_with_a_sentence(tmp_path):
    table = write(tmp_path / "a.csv", 'text\nOne.\n"Two.\n' + "Three.\n" * 200_000)

    assert outcome(table, max_bytes=1_000) == {
        "a.csv:2": "One.",
        "a.csv": "is not read beyond row 3, which has more than 1.004 MB: is a quotation mark left open?",
    }


def test_columns_of_the_same_name_or_without_one_are_told_apart(tmp_path):
    table = write(tmp_path / "a.csv", "text,a,a,,\nOne.,1,2,3,4\n")

    (document,) = read(table)

    assert document.columns == {"a": "1", "a 2": "2", "column 4": "3", "column 5": "4"}


def test_parquet_keeps_what_json_can_hold(tmp_path):
    moment = datetime(2022, 1, 31, 10, 30)
    table = parquet(
        tmp_path / "a.parquet",
        text=["One.", "Two."], id=[1, 2], day=[date(2022, 1, 31), None], at=[moment, None],
        price=[Decimal("1.50"), None], share=[0.5, float("nan")], tags=[["a", "b"], []],
        raw=[b"\x89PNG\0", b"x"], flag=[True, False],
    )  # fmt: skip

    one, two = read(table, date_column="day")

    assert (one.date, two.date) == ("2022-01-31", None)
    assert one.columns == {
        "at": "2022-01-31T10:30:00", "price": "1.50", "share": 0.5, "tags": ["a", "b"], "flag": True
    }  # fmt: skip
    assert two.columns == {"tags": [], "raw": "x", "flag": False}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, suffix):
    table = tmp_path / "in" / f"a{suffix}"
    write(table, "id,body\n1,One.\n")
    if suffix == ".parquet":
        parquet(table, id=[1], body=["One."])

    said = "has no column 'text'; its columns are id, body: name the one with the text, `--text-column body`"
    assert outcome(tmp_path / "in") == {table.name: said}
    with pytest.raises(StancewireError, match=rf"a\{suffix} {said}$"):
        score(tmp_path, table)
    with pytest.raises(StancewireError, match=rf"a\{suffix} has no column 'day'; its columns are id, body$"):
        score(tmp_path, table, rows=RowOptions("body", date_column="day"))
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id;full text;day", "id, full text, day: name the one with the text, `--text-column 'full text'`"),
        ("id,said,day", "id, said, day: name the one with the text, `--text-column NAME`"),
    ],
)
def test_a_table_without_the_text_column_is_told_what_it_may_be(tmp_path, header, said):
    write(tmp_path / "in" / "a.csv", f"{header}\n1,One.\n")

    assert outcome(tmp_path / "in") == {"a.csv": f"has no column 'text'; its columns are {said}"}


@pytest.mark.parametrize("damage", [slice(0, 100), slice(50, None), slice(0, 0)])
def test_a_broken_parquet_file_costs_only_itself(tmp_path, damage):
    whole = parquet(tmp_path / "a.parquet", text=["One."] * 1000).read_bytes()
    write(tmp_path / "in" / "a.parquet", whole[damage])
    write(tmp_path / "in" / "b.txt", "Two.")

    found = outcome(tmp_path / "in")

    assert found["b.txt"] == "Two."
    assert found["a.parquet"].startswith("is not a Parquet file that can be read: ")


def test_outputs_of_a_run_are_not_taken_for_articles(tmp_path):
    folder = corpus(tmp_path / "in", a=TEXT, b="")
    for suffix in SUFFIXES:
        score_paths(make_classifier(), [folder], folder / f"scores{suffix}")

    result = score(tmp_path, folder)

    assert result.provenance.ignored == {".json": 2, "stancewire output": 5}
    assert result.documents == 1
    assert [skipped.reason for skipped in result.skipped] == [
        "is empty",
        "is an output of stancewire score, not articles",
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_output_may_lie_among_the_articles(tmp_path, suffix):
    corpus(tmp_path, a=TEXT)
    for flags in ({}, {"resume": True}, {"overwrite": True}):
        result = score_paths(make_classifier(), [tmp_path], tmp_path / f"o{suffix}", **flags)

        assert (result.documents, result.skipped) == (1, ())


# What came with a document comes out again


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return json_lines(
        tmp_path / "a.jsonl",
        {
            "id": "x",
            "text": TEXT,
            "outlet": "Post",
            "page": 3,
            "share": 1,
            "mixed": 1,
            "language": "x",
            "on": True,
        },
        {"id": "y", "text": TEXT, "share": 0.5, "mixed": "a", "tags": ["b", {"c": None}], "big": 2**70},
    )


def test_json_lines_hold_the_other_values_under_one_key(tmp_path, table):
    score(tmp_path, table)

    one, two = map(json.loads, (tmp_path / "o.jsonl").read_text("utf-8").splitlines())
    assert one["columns"] == {
        "outlet": "Post", "page": 3, "share": 1, "mixed": 1, "language": "x", "on": True
    }  # fmt: skip
    assert two["columns"] == {"share": 0.5, "mixed": "a", "tags": ["b", {"c": None}], "big": 2**70}


def test_csv_holds_the_other_values_as_columns(tmp_path, table):
    score(tmp_path, table, suffix=".csv")

    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[-8:] == ["big", "language_input", "mixed", "on", "outlet", "page", "share", "tags"]
    assert list(rows[0].values())[-8:] == ["", "x", "1", "true", "Post", "3", "1.0", ""]
    assert list(rows[2].values())[-8:] == [str(2**70), "", "a", "", "", "", "0.5", '["b", {"c": null}]']


def test_parquet_holds_the_other_values_as_columns_with_types(tmp_path, table):
    score(tmp_path, table, suffix=".parquet")

    found = pq.read_table(tmp_path / "o.parquet")
    types = {name: str(found.schema.field(name).type) for name in found.column_names[-8:]}
    assert types == {
        "big": "string", "language_input": "string", "mixed": "string", "on": "bool", "outlet": "string",
        "page": "int64", "share": "double", "tags": "string",
    }  # fmt: skip
    assert found["page"].to_pylist() == [3, 3, None, None]
    assert found["date"].type == pa.date32()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_other_values_outlast_a_resumed_run(tmp_path, table, suffix):
    runtime = ArithmeticRuntime()
    out = tmp_path / f"o{suffix}"
    score_paths(make_classifier(), [table], out)
    with table.open("a") as stream:
        stream.write(json.dumps({"id": "z", "text": TEXT, "page": 4, "outlet": "Times"}) + "\n")

    score_paths(make_classifier(runtime), [table], out, resume=True)
    score_paths(make_classifier(), [table], tmp_path / f"fresh{suffix}")

    assert sum(runtime.calls) == 2
    assert out.read_bytes() == (tmp_path / f"fresh{suffix}").read_bytes()


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
nested = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@settings(deadline=None, max_examples=12)
@given(rows=st.lists(st.dictionaries(st.text(max_size=4), nested, max_size=4), min_size=1, max_size=4))
def test_any_values_of_json_come_out_in_each_form(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    table = folder / "a.jsonl"
    lines = [json.dumps({**row, "text": TEXT}) for row in rows]
    table.write_text("\n".join(lines), encoding="utf-8")

    for suffix in SUFFIXES:
        out = folder / f"o{suffix}"
        assert score_paths(make_classifier(), [table], out).documents == len(rows)
        before = out.read_bytes()
        score_paths(make_classifier(), [table], out, resume=True)
        assert out.read_bytes() == before


def test_rows_of_the_same_name_are_told_apart_and_known_again(tmp_path):
    runtime = ArithmeticRuntime()
    rows = [{"id": name, "text": f"{TEXT} {n}"} for n, name in enumerate(["x", "x#2", "x", "x", "x#2"])]
    table = json_lines(tmp_path / "a.jsonl", *rows)
    out = tmp_path / "o.csv"
    score_paths(make_classifier(), [table], out)

    result = score_paths(make_classifier(runtime), [table], out, resume=True)

    with out.open(encoding="utf-8", newline="") as stream:
        names = [row["document"] for row in csv.DictReader(stream)]
    assert list(dict.fromkeys(names)) == ["x", "x#2", "x#3", "x#4", "x#2#2"]
    assert (result.documents, runtime.calls) == (5, [])


# Dates


def test_the_date_is_that_of_the_row_then_of_the_name_then_of_the_text(tmp_path):
    rows = [
        {"id": "2020-01-01", "text": TEXT, "date": "31 January 2022"},
        {"id": "2021-05-04", "text": TEXT, "date": "yesterday"},
        {"id": "x", "text": f"MUSCAT, 14 March 2026 — {TEXT}"},
        {"id": "y", "text": TEXT},
    ]

    score(tmp_path, json_lines(tmp_path / "a.jsonl", *rows))

    found = [json.loads(line)["date"] for line in (tmp_path / "o.jsonl").read_text("utf-8").splitlines()]
    assert found == ["2022-01-31", "2021-05-04", "2026-03-14", None]


# Web pages


@pytest.fixture
def html() -> None:
    if not stancewire.documents.reads_html():
        skip_or_fail("html", "the extra html is not installed")


def test_of_a_web_page_the_article_and_its_date_are_read(tmp_path, html):
    (document,) = read(write(tmp_path / "a.html", PAGE))

    found = read_document(document)

    assert found.text.split("\n\n") == [
        "Dockers will strike on Monday",
        "Dockers will strike on Monday, their union said.",
        "Nobody knows what the port will do.",
        "“We will not yield,” she said.",
        "The firm offers talks to the union.",
    ]
    assert (found.date, found.encoding) == (date(2022, 1, 31), "utf-8")


def test_a_page_is_decoded_as_it_says(tmp_path, html):
    page = (
        "<meta charset='windows-1251'><body><p>Посол заявил, что Москва ответит на санкции Запада.</p></body>"
    )

    found = read_document(read(write(tmp_path / "a.htm", page.encode("cp1251")))[0])

    assert (found.text, found.encoding) == ("Посол заявил, что Москва ответит на санкции Запада.", "cp1251")


@pytest.mark.parametrize(
    "page", ["", " ", "<html></html>", "<html><body><script>x()</script></body></html>", "<", "\0\1\2" * 50]
)
def test_a_page_without_an_article_gets_a_sentence(tmp_path, html, page):
    result = score(tmp_path, write(tmp_path / "a.html", page))

    assert [skipped.document for skipped in result.skipped] == ["a.html"]
    assert "Error" not in result.skipped[0].reason


def test_without_the_extra_web_pages_are_left_alone_and_said_to_need_it(tmp_path, monkeypatch):
    monkeypatch.setattr(stancewire.documents, "reads_html", lambda: False)
    monkeypatch.setattr("stancewire.webpages.reads_html", lambda: False)
    write(tmp_path / "in" / "a.html", PAGE)
    write(tmp_path / "in" / "b.txt", TEXT)

    result = score(tmp_path, tmp_path / "in")

    assert result.provenance.ignored == {
        ".html (pip install 'stancewire[html]', or in a clone pip install '.[html]')": 1
    }
    assert score(tmp_path, tmp_path / "in" / "a.html").skipped[0].reason == (
        "is HTML, which needs more to be read: "
        "pip install 'stancewire[html]', or in a clone pip install '.[html]'"
    )


# Archives


def test_what_is_compressed_is_read_like_what_it_holds(tmp_path):
    folder = tmp_path / "in"
    write(folder / "a.txt.gz", gzip.compress(b"One."))
    write(folder / "b.jsonl.gz", gzip.compress(b'{"text": "Two."}\n'))
    write(folder / "c.csv.GZ", gzip.compress(b"text\nThree.\n"))
    write(
        folder / "d.parquet.gz", gzip.compress(parquet(tmp_path / "d.parquet", text=["Four."]).read_bytes())
    )
    write(folder / "e.gz", gzip.compress(b'{"text": "Five."}\n{"text": "Six."}\n'))
    write(folder / "f.pdf.gz", gzip.compress(b"%PDF-1.7"))

    assert outcome(folder) == {
        "a.txt.gz": "One.",
        "b.jsonl.gz:1": "Two.",
        "c.csv.GZ:2": "Three.",
        "d.parquet.gz:1": "Four.",
        "e.gz:1": "Five.",
        "e.gz:2": "Six.",
    }
    assert find_documents([folder]).ignored == {".pdf.gz": 1}


def test_a_member_without_a_name_costs_only_itself(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("b.txt", "Good.")
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        with packed.open(nameless, "w") as member:
            member.write(b"Lost.")

    found = list(Inputs(find_documents([tmp_path / "a.zip"]).sources, RowOptions()))

    assert [type(entry).__name__ for entry in found] == ["RawDocument", "Skipped"]
    assert "without a name" in found[1].reason


def test_a_zip_archive_is_read_like_a_folder(tmp_path):
    packed = archive(
        tmp_path / "a.zip",
        **{
            "b/one.txt": "One.",
            "b/.hidden.txt": "no",
            "__MACOSX/b/one.txt": "no",
            "two.jsonl": '{"text": "Two."}\n',
            "three.csv": "id,text\nx,Three.\n",
            "four.txt.gz": gzip.compress(b"Four."),
            "five.parquet": parquet(tmp_path / "five.parquet", text=["Five."]).read_bytes(),
            "x.png": b"no",
        },
    )
    inputs = Inputs(Search([packed]))

    found = {document.name: read_document(document).text for document in inputs}

    assert found == {
        "a.zip/b/one.txt": "One.",
        "a.zip/two.jsonl:1": "Two.",
        "x": "Three.",
        "a.zip/four.txt.gz": "Four.",
        "a.zip/five.parquet:1": "Five.",
    }
    assert inputs.ignored == {".png": 1}


@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil.txt"]
)
def test_a_name_that_leads_out_of_an_archive_is_refused_and_the_rest_read(tmp_path, name):
    packed = archive(tmp_path / "a.zip", **{name: "Evil.", "b.txt": "Good."})

    found = outcome(packed)

    assert found.pop("a.zip/b.txt") == "Good."
    assert list(found.values()) == ["has a name that leads out of the archive, and is not read"]


def test_links_archives_and_locked_files_in_an_archive_are_refused(tmp_path):
    packed = archive(tmp_path / "a.zip", **{"inner.zip": archive(tmp_path / "b.zip", a="x").read_bytes()})
    with zipfile.ZipFile(packed, "a") as opened:
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
        opened.writestr("locked.txt", "x")
    raw = bytearray(packed.read_bytes())
    raw[raw.rfind(b"PK\x01\x02") + 8] |= 1
    packed.write_bytes(raw)

    found = outcome(packed)

    assert found["a.zip/inner.zip"] == "is an archive in an archive: unpack that one first"
    assert found["a.zip/link.txt"] == "is a link, and links in archives are not followed"
    assert "encrypted" in found["a.zip/locked.txt"]


@pytest.mark.parametrize(("suffix", "start"), [(".txt", b""), (".jsonl", b""), (".csv", b'text\n"')])
def test_what_unpacks_to_a_thousand_times_its_size_is_not_read_further(tmp_path, suffix, start):
    content = start + b" " * 30_000_000
    bomb = write(tmp_path / f"a{suffix}.gz", gzip.compress(content))
    packed = archive(tmp_path / "b.zip", **{f"bomb{suffix}": content, "good.txt": "Good."})
    reason = "unpacks to more than 1,000 times its size, and is not read further"

    assert outcome(bomb, max_bytes=10**8)[bomb.name] == reason
    found = outcome(packed, max_bytes=10**8)
    assert (found[f"b.zip/bomb{suffix}"], found["b.zip/good.txt"]) == (reason, "Good.")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3nonsense"),
        ("a.txt.gz", gzip.compress(b"Text." * 1000)[:-20]),
        ("a.txt.gz", b"no gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 5)[:-12]),
        ("a.zip", b"no archive"),
        ("a.zip", b"PK\x05\x06" + b"\0" * 10),
        ("a.zip", b""),
    ],
)
def test_a_broken_archive_costs_only_itself(tmp_path, name, content):
    write(tmp_path / "in" / name, content)
    write(tmp_path / "in" / "b.txt", "Good.")

    found = outcome(tmp_path / "in")

    assert found["b.txt"] == "Good."
    assert found[name].startswith("cannot be read: ")


def test_a_damaged_member_costs_only_itself(tmp_path):
    packed = archive(tmp_path / "a.zip", **{"one.txt": "One. " * 100, "two.txt": "Two."})
    raw = bytearray(packed.read_bytes())
    raw[45] ^= 255
    packed.write_bytes(raw)

    found = outcome(packed)

    assert found["a.zip/one.txt"].startswith("cannot be read: ")
    assert found["a.zip/two.txt"] == "Two."


@settings(deadline=None, max_examples=60)
@given(
    content=st.binary(max_size=200),
    suffix=st.sampled_from(sorted(stancewire.documents.KINDS)),
    cut=st.integers(0, 400),
)
def test_any_bytes_under_any_suffix_give_documents_or_sentences(tmp_path_factory, content, suffix, cut):
    folder = tmp_path_factory.mktemp("any")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("a.csv", content)
    for number, raw in enumerate((content, gzip.compress(content)[:cut], packed.getvalue()[cut:])):
        write(folder / "in" / f"{number}{suffix}", raw)

    write(folder / "in" / "good.txt", TEXT)
    result = score_paths(make_classifier(), [folder / "in"], folder / "o.jsonl")

    assert not [skipped for skipped in result.skipped if "Error:" in skipped.reason]


# Standard input


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"The talks went on.", {"stdin": "The talks went on."}),
        (b'{"text": "One."}\n{"text": "Two."}\n', {"stdin:1": "One.", "stdin:2": "Two."}),
        (b"id,text\nx,One.\n", {"x": "One."}),
        (b'{"text": "' + b"x" * 100_000 + b'"}', {"stdin:1": "x" * 100_000}),
        (gzip.compress(b'{"text": "One."}\n'), {"stdin:1": "One."}),
        (b"{curly} text, it is.", {"stdin": "{curly} text, it is."}),
        (b"", {"stdin": "is empty"}),
    ],
)
def test_standard_input_is_read_as_what_it_looks_like(monkeypatch, content, expected):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    assert outcome(Path("-")) == expected


def test_archives_and_parquet_come_on_standard_input_too(tmp_path, monkeypatch):
    packed = archive(tmp_path / "a.zip", **{"one.txt": "One."}).read_bytes()
    table = parquet(tmp_path / "a.parquet", text=["Two."]).read_bytes()

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    assert outcome(Path("-")) == {"stdin/one.txt": "One."}
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(table)))
    assert outcome(Path("-")) == {"stdin:1": "Two."}


# Files that are no good


def test_a_link_that_loops_is_named_and_skipped(tmp_path):
    folder = tmp_path / "in"
    write(folder / "good.txt", "Good.")
    (folder / "a.txt").symlink_to(folder / "b.txt")
    (folder / "b.txt").symlink_to(folder / "a.txt")

    looped = "cannot be read: Too many levels of symbolic links"
    assert outcome(folder) == {"good.txt": "Good.", "a.txt": looped, "b.txt": looped}
    assert outcome(folder / "a.txt") == {"a.txt": looped}


def test_a_table_that_changes_while_it_is_read_is_named(tmp_path):
    table = json_lines(tmp_path / "a.jsonl", {"id": "x", "text": TEXT}, {"id": "y", "text": TEXT})

    reading = iter(Inputs(Search([table])))
    first = next(reading)
    json_lines(
        table, {"id": "x", "text": "No."}, {"id": "y", "text": "No, never."}, {"id": "z", "text": "No."}
    )
    rest = list(reading)

    assert first.name == "x"
    assert rest[-1] == Skipped("a.jsonl", "changed while it was read")


def test_an_article_that_changes_while_it_is_read_is_not_scored(tmp_path, monkeypatch):
    article = write(tmp_path / "a.txt", TEXT)

    class Changing(stancewire.inputs._Unchanged):
        def __init__(self, stream) -> None:
            super().__init__(stream)
            article.write_text("Something else.")

    monkeypatch.setattr(stancewire.inputs, "_Unchanged", Changing)

    assert outcome(article) == {"a.txt": "changed while it was read"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /sys")
def test_an_output_folder_that_may_not_be_written_gets_a_sentence(tmp_path):
    article = write(tmp_path / "a.txt", TEXT)

    with pytest.raises(StancewireError, match=r"/sys/o\.csv cannot be written: (Operation not|Permission)"):
        score_paths(make_classifier(), [article], Path("/sys/o.csv"))
