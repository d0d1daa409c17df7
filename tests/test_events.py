from __future__ import annotations

import csv
import json
import re
from datetime import date
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from stancewire import StancewireError
from stancewire.cli import app
from stancewire.duplicates import DuplicateFinder, compared_text
from stancewire.events import (
    AUTHOR,
    NOBODY,
    OTHER,
    count_events,
    dyad_schema,
    period_start,
    sentence_schema,
    unmatched_schema,
)

LABELS = ("threat", "denial")
COPY = "The Russian foreign ministry on Monday denied that it plans to invade Ukraine in the coming weeks."
ALMOST = COPY.replace("Monday", "Tuesday")
SHORT = "He denied the charges."


def stance(label="threat", source=None, target=None, probability=0.75, kind=None):
    kind = kind or ("none" if source is None else "span")
    spans = {"source": source, "target": target}
    return {
        "label": label,
        "probability": probability,
        "source_kind": kind,
        **{
            role: words and {"text": words, "start": 0, "end": len(words), "probability": 0.5}
            for role, words in spans.items()
        },
    }


def sentence(text, *stances):
    held = {each["label"]: each["probability"] for each in stances}
    return {
        "start": 0,
        "end": len(text),
        "text": text,
        "probabilities": {**dict.fromkeys(LABELS, 0.125), **held},
        "stances": list(stances),
    }


def document(name, *sentences, **more):
    return {"document": name, "language": "en", "sentences": list(sentences), **more}


def write_scores(path: Path, *documents) -> Path:
    """Write by hand what `stancewire score` writes, in the form of the suffix."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(each) + "\n" for each in documents), encoding="utf-8")
        return path
    rows = [
        {
            "document": each["document"],
            "sentence": position,
            **{key: scored[key] for key in ("start", "end", "text")},
            **{f"p_{label}": scored["probabilities"][label] for label in LABELS},
            "stances": [held["label"] for held in scored["stances"]],
            **{key: value for held in scored["stances"] for key, value in _columns(held)},
            **({"date": each["date"]} if "date" in each else {}),
        }
        for each in documents
        for position, scored in enumerate(each["sentences"])
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
        return path
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows({**row, "stances": ";".join(row["stances"])} for row in rows)
    return path


def _columns(held):
    label = held["label"]
    yield f"source_kind_{label}", held["source_kind"]
    for role in ("source", "target"):
        for part, name in (("text", "text"), ("start", "start"), ("end", "end"), ("probability", "p")):
            yield f"{role}_{name}_{label}", held[role] and held[role][part]


def read(path: Path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def dyads(path: Path):
    return [
        (
            row["date"],
            row["source"],
            row["target"],
            row["stance"],
            int(row["count"]),
            int(row["count_unique"]),
        )
        for row in read(path)
    ]


@pytest.fixture
def corpus():
    return [
        document(
            "2022-01-30.txt", sentence(COPY, stance("denial", "The Russian foreign ministry", "Ukraine"))
        ),
        document(
            "2022-02-01.txt", sentence(ALMOST, stance("denial", "The Russian foreign ministry", "Ukraine"))
        ),
        document(
            "2022-02-02.txt",
            sentence("Nothing was said of the harbour on that day."),
            sentence("Washington threatened Moscow.", stance("threat", "Washington", "Moscow", 0.5)),
            sentence(
                "The regime lies and will pay for it.", stance("threat", None, "the regime", kind="author")
            ),
        ),
        document("letter.txt", sentence("They will be punished, it said.", stance("threat", "it", "They"))),
    ]


def test_stances_are_counted_by_month_source_and_target(tmp_path, corpus):
    scores = write_scores(tmp_path / "scores.jsonl", *corpus)

    count_events(scores, tmp_path / "dyads.csv")

    assert dyads(tmp_path / "dyads.csv") == [
        ("2022-01-01", "Russia", "Ukraine", "denial", 1, 1),
        ("2022-02-01", AUTHOR, OTHER, "threat", 1, 1),
        ("2022-02-01", "Russia", "Ukraine", "denial", 1, 0),
        ("2022-02-01", "United States", "Russia", "threat", 1, 1),
        ("", OTHER, OTHER, "threat", 1, 1),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_all_three_forms_of_an_output_give_the_same_table(tmp_path, corpus, suffix):
    lines = write_scores(tmp_path / "scores.jsonl", *corpus)
    rows = write_scores(tmp_path / f"scores{suffix}", *corpus)

    count_events(lines, tmp_path / "lines.csv", sentences=tmp_path / "line-sentences.csv")
    count_events(rows, tmp_path / "rows.csv", sentences=tmp_path / "row-sentences.csv")

    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "lines.csv").read_bytes()
    assert (tmp_path / "row-sentences.csv").read_bytes() == (tmp_path / "line-sentences.csv").read_bytes()


def test_a_parquet_table_holds_what_the_csv_holds_with_types(tmp_path, corpus):
    scores = write_scores(tmp_path / "scores.jsonl", *corpus)

    count_events(scores, tmp_path / "dyads.csv", sentences=tmp_path / "sentences.parquet")
    count_events(scores, tmp_path / "dyads.parquet")

    table = pq.read_table(tmp_path / "dyads.parquet").to_pylist()
    assert [row["date"] for row in table] == [date(2022, 1, 1), *[date(2022, 2, 1)] * 3, None]
    assert [str(value) for row in table for value in row.values() if value is not None] == [
        value
        for row in read(tmp_path / "dyads.csv")
        for name, value in row.items()
        if value or "group" in name
    ]
    stances = pq.read_table(tmp_path / "sentences.parquet").to_pylist()
    assert stances[1] == {
        "document": "2022-02-01.txt",
        "sentence": 0,
        "date": date(2022, 2, 1),
        "text": ALMOST,
        "source": "The Russian foreign ministry",
        "target": "Ukraine",
        "source_actors": ["Russia"],
        "target_actors": ["Ukraine"],
        "source_groups": ["state"],
        "target_groups": ["state"],
        "stance": "denial",
        "probability": 0.75,
        "uncertain": False,
        "duplicate_of": "2022-01-30.txt#0",
    }


def test_expected_counts_and_documents_are_summed(tmp_path):
    line = stance("threat", "Moscow", "Kyiv", 0.25)
    scores = write_scores(
        tmp_path / "scores.jsonl",
        document(
            "2022-01-01.txt",
            sentence("Moscow told Kyiv that its ships would be sunk.", line),
            sentence("Any ship that leaves Odesa is a target from Friday on, it said.", line),
        ),
        document("2022-01-02.txt", sentence("Moscow told Kyiv that its ships would be sunk.", line)),
    )

    count_events(scores, tmp_path / "dyads.csv")

    (row,) = read(tmp_path / "dyads.csv")
    assert (row["count"], row["expected"], row["documents"]) == ("3", "0.75", "2")
    assert (row["count_unique"], row["expected_unique"]) == ("2", "0.5")
    assert (row["source_group"], row["target_group"]) == ("state", "state")


@pytest.mark.parametrize(
    ("by", "first"),
    [
        ("day", date(2022, 2, 2)),
        ("week", date(2022, 1, 31)),
        ("month", date(2022, 2, 1)),
        ("year", date(2022, 1, 1)),
        ("none", None),
    ],
)
def test_a_period_is_named_by_its_first_day(by, first):
    assert period_start(date(2022, 2, 2), by) == first
    assert period_start(None, by) is None


def test_a_date_that_stands_in_the_output_goes_before_the_file_name(tmp_path):
    text = sentence(COPY, stance("denial", "Russia", "Ukraine"))
    scores = write_scores(tmp_path / "scores.csv", document("2022-01-30.txt", text, date="2021-12-31"))

    count_events(scores, tmp_path / "dyads.csv", by="day")

    assert [row["date"] for row in read(tmp_path / "dyads.csv")] == ["2021-12-31"]


def test_a_dateline_dates_a_document_whose_name_does_not(tmp_path):
    text = sentence("KYIV, 31 January 2022 - Russia denied it.", stance("denial", "Russia"))
    scores = write_scores(tmp_path / "scores.jsonl", document("a.txt", text))

    count_events(scores, tmp_path / "dyads.csv", by="day")

    assert dyads(tmp_path / "dyads.csv") == [("2022-01-31", "Russia", NOBODY, "denial", 1, 1)]


def test_joined_actors_count_for_the_first_or_for_each(tmp_path):
    line = stance("threat", "Washington and London", "Moscow")
    scores = write_scores(tmp_path / "scores.jsonl", document("a", sentence("Both threatened Moscow.", line)))

    count_events(scores, tmp_path / "first.csv")
    count_events(scores, tmp_path / "each.csv", each_actor=True)

    assert [row[1] for row in dyads(tmp_path / "first.csv")] == ["United States"]
    assert [row[1] for row in dyads(tmp_path / "each.csv")] == ["United Kingdom", "United States"]


def test_forty_prints_of_agency_copy_are_one_stance(tmp_path):
    line = stance("denial", "The Russian foreign ministry", "Ukraine")
    prints = [document(f"paper-{number}", sentence((COPY, ALMOST)[number % 2], line)) for number in range(40)]
    scores = write_scores(tmp_path / "scores.jsonl", *prints)

    result = count_events(scores, tmp_path / "dyads.csv", sentences=tmp_path / "sentences.csv")

    assert dyads(tmp_path / "dyads.csv") == [("", "Russia", "Ukraine", "denial", 40, 1)]
    assert result.duplicates == 39
    assert {row["duplicate_of"] for row in read(tmp_path / "sentences.csv")} == {"", "paper-0#0"}


def test_the_same_words_about_another_country_are_another_stance(tmp_path):
    texts = [COPY, COPY.replace("Russian", "Belarusian")]
    lines = [
        stance("denial", source, "Ukraine") for source in ("The Russian ministry", "The Belarusian ministry")
    ]
    scores = write_scores(
        tmp_path / "scores.jsonl",
        *(
            document(f"{n}", sentence(text, line))
            for n, text, line in zip(count(), texts, lines, strict=False)
        ),
    )

    result = count_events(scores, tmp_path / "dyads.csv")

    assert result.duplicates == 0


def test_a_short_sentence_repeats_only_where_the_one_before_it_does():
    finder: DuplicateFinder[str] = DuplicateFinder()
    first, other = "The treasurer was in the dock.", "A goalkeeper was asked about a brawl in the tunnel."

    found = [
        finder.find(compared_text(SHORT, before), ["denial"], name)
        for before, name in ((first, "a"), (other, "b"), (first, "c"))
    ]

    assert found == [[None], [None], ["a"]]


def test_only_so_many_sentences_are_remembered():
    finder: DuplicateFinder[int] = DuplicateFinder(remembered=2)
    texts = [f"sentence {word} of the corpus about {word} things" for word in ("one", "two", "three", "one")]

    found = [finder.find(text, ["k"], number) for number, text in enumerate(texts)]

    assert found == [[None]] * 4


def test_unmatched_names_are_listed_by_frequency_without_pronouns_and_articles(tmp_path):
    lines = [
        stance("threat", source, target)
        for source, target in (
            ("the governor", "He"),
            ("The governor", "dockers"),
            ("dockers", "the Governor"),
        )
    ]
    scores = write_scores(
        tmp_path / "scores.jsonl",
        document("a", *(sentence(f"A threat by {n}.", x) for n, x in enumerate(lines))),
    )

    result = count_events(scores, tmp_path / "dyads.csv", unmatched=tmp_path / "names.csv")

    assert [tuple(row.values()) for row in read(tmp_path / "names.csv")] == [
        ("governor", "3", "2", "1"),
        ("dockers", "2", "1", "1"),
    ]
    assert result.pronouns == 1


def test_what_score_marked_as_uncertain_is_counted_and_told(tmp_path):
    doubted = {**sentence("So be it.", stance("threat", "Rome")), "uncertain": True}
    scores = write_scores(tmp_path / "scores.jsonl", document("a", doubted))

    count_events(scores, tmp_path / "dyads.csv", sentences=tmp_path / "sentences.csv")

    assert dyads(tmp_path / "dyads.csv") == [("", "Italy", NOBODY, "threat", 1, 1)]
    assert [row["uncertain"] for row in read(tmp_path / "sentences.csv")] == ["true"]


def test_labels_are_whatever_the_output_has(tmp_path):
    scores = write_scores(
        tmp_path / "scores.jsonl", document("a", sentence("So be it.", stance("praise, §1", "Rome")))
    )

    count_events(scores, tmp_path / "dyads.csv")

    assert dyads(tmp_path / "dyads.csv") == [("", "Italy", NOBODY, "praise, §1", 1, 1)]


def test_outputs_that_were_put_together_need_nothing_beside_them(tmp_path, corpus):
    scores = write_scores(tmp_path / "scores.jsonl", *corpus, *corpus)

    result = count_events(scores, tmp_path / "dyads.csv")

    assert (result.documents, result.stances) == (8, 10)


def test_an_output_without_documents_gives_a_table_without_rows(tmp_path):
    scores = write_scores(tmp_path / "scores.jsonl")

    count_events(scores, tmp_path / "dyads.csv")

    assert read(tmp_path / "dyads.csv") == []


ACTORS = [None, "Moscow", "the Russian army", "Kyiv and London", "the mayor", "he"]
STANCES = st.builds(
    stance,
    st.sampled_from(LABELS),
    st.sampled_from(ACTORS),
    st.sampled_from(ACTORS),
    st.floats(0.5, 1.0, width=32),
)
SENTENCES = st.builds(
    lambda text, held: sentence(text, *{each["label"]: each for each in held}.values()),
    st.sampled_from([COPY, ALMOST, SHORT, "", "\n", "Any ship that enters the strait will be sunk."]),
    st.lists(STANCES, max_size=3),
)
CORPORA = st.lists(
    st.builds(
        lambda name, sentences: document(name, *sentences),
        st.sampled_from(["2022-01-30", "2022-02-01", "letter"]),
        st.lists(SENTENCES, max_size=4),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=CORPORA, by=st.sampled_from(["day", "month", "none"]))
def test_the_table_sums_to_the_stances_and_duplicates_only_take_away(tmp_path, documents, by):
    scores = write_scores(tmp_path / "scores.jsonl", *documents)
    held = [each for text in documents for scored in text["sentences"] for each in scored["stances"]]

    result = count_events(
        scores, tmp_path / "dyads.csv", by=by, sentences=tmp_path / "sentences.csv", overwrite=True
    )

    rows = [row for _, row in result.rows]
    originals = [row["duplicate_of"] for row in read(tmp_path / "sentences.csv")]
    assert sum(row.count for row in rows) == len(held) == len(originals)
    assert sum(row.expected for row in rows) == pytest.approx(sum(each["probability"] for each in held))
    assert all(row.count >= row.count_unique >= 0 for row in rows)
    assert all(row.expected >= row.expected_unique - 1e-9 for row in rows)
    assert all(1 <= row.documents <= row.count for row in rows)
    assert sum(row.count_unique for row in rows) == originals.count("")
    assert read(tmp_path / "dyads.csv") == sorted(
        read(tmp_path / "dyads.csv"),
        key=lambda row: (row["date"] or "9", row["source"], row["target"], row["stance"]),
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense\n", "line 1"),
        ('{"document": "a"}\n', "line 1"),
        ('{"document": "a", "sentences": [{"text": "b"}]}\n', "line 1"),
        ('{"document": "a", "sentences": []}\n[]\n', "line 2"),
    ],
)
def test_what_score_did_not_write_is_refused_and_nothing_is_left(tmp_path, content, said):
    scores = tmp_path / "scores.jsonl"
    scores.write_text(content, encoding="utf-8")

    with pytest.raises(StancewireError, match=said):
        count_events(scores, tmp_path / "dyads.csv", sentences=tmp_path / "sentences.csv")

    assert [path.name for path in tmp_path.iterdir()] == ["scores.jsonl"]


@pytest.mark.parametrize(
    "header", ["", "document,text\r\n", "p_threat,stances\r\n", "document,text,stances\r\n"]
)
def test_a_table_of_something_else_is_refused(tmp_path, header):
    scores = tmp_path / "scores.csv"
    scores.write_text(header, encoding="utf-8")

    with pytest.raises(StancewireError, match="not what stancewire score writes"):
        count_events(scores, tmp_path / "dyads.csv")


def test_the_page_has_every_column_and_option():
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    schemas = (dyad_schema(), sentence_schema(), unmatched_schema())
    options = [
        option for parameter in get_command(app).commands["events"].params for option in parameter.opts
    ]

    assert [name for schema in schemas for name in schema.names if f"`{name}`" not in page] == []
    assert [name for name in options if name.startswith("--") and f"`{name}`" not in page] == []


def test_the_pages_example_in_pandas_runs(tmp_path, corpus, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    count_events(write_scores(tmp_path / "scores.jsonl", *corpus), tmp_path / "dyads.csv")
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    values = {}

    exec(example, values)

    assert values["monthly"]["denial"].tolist() == [1, 0]
    assert values["undated"].sum() == 5
    assert len(values["states"]) == 3


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, ["events", *map(str, arguments)])


def test_the_command_writes_the_table_and_prints_the_pairs(run, tmp_path, corpus):
    scores = write_scores(tmp_path / "scores.parquet", *corpus)
    out = tmp_path / "dyads.csv"

    result = run(scores, "--out", out, "--by", "year")

    assert result.exit_code == 0, result.output
    assert "4 documents, 5 stances, 1 of them printed before" in result.output
    assert f"all periods together; by year in {out}" in " ".join(result.output.split())
    assert "United States" in result.output
    assert "Without a date: 1 document" in result.output
    assert "In no list of actors: regime 1" in result.output
    assert f"Written to {out};" in result.output
    assert len(dyads(out)) == 4


def test_only_rows_without_a_date_are_told_of(run, tmp_path):
    scores = write_scores(
        tmp_path / "scores.parquet", document("2022-01-31.txt", sentence("One.", stance())), document("a.txt")
    )

    assert "Without a date" not in run(scores, "--out", tmp_path / "dyads.csv").output
    result = run(scores, "--out", tmp_path / "all.csv", "--by", "none")
    assert "Without a date" not in result.output
    assert "all periods together" not in result.output


def test_the_command_says_plainly_that_a_model_names_nobody(run, tmp_path):
    scores = write_scores(tmp_path / "scores.jsonl", document("2022-01-30", sentence(COPY, stance("denial"))))

    result = run(scores, "--out", tmp_path / "dyads.csv")

    assert result.exit_code == 0, result.output
    assert "No stance has a source or a target" in result.output
    assert dyads(tmp_path / "dyads.csv") == [("2022-01-01", NOBODY, NOBODY, "denial", 1, 1)]


def test_outputs_of_models_from_before_the_spans_are_read(run, tmp_path):
    scored = {**sentence(COPY), "stances": ["denial"]}
    scores = write_scores(tmp_path / "scores.jsonl", document("a", scored))

    result = run(scores, "--out", tmp_path / "dyads.csv")

    assert result.exit_code == 0, result.output
    assert dyads(tmp_path / "dyads.csv") == [("", NOBODY, NOBODY, "denial", 1, 1)]


@pytest.mark.parametrize("option", ["--out", "--sentences", "--unmatched"])
def test_a_table_that_is_there_is_refused_without_overwrite_and_kept(run, tmp_path, corpus, option):
    scores = write_scores(tmp_path / "scores.jsonl", *corpus)
    there = tmp_path / "there.csv"
    there.write_text("old", encoding="utf-8")
    options = {"--out": tmp_path / "dyads.csv", option: there}
    arguments = [word for pair in options.items() for word in pair]

    refused = run(scores, *arguments)

    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert there.read_text(encoding="utf-8") == "old"
    assert run(scores, *arguments, "--overwrite").exit_code == 0
    assert there.read_text(encoding="utf-8") != "old"


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing.jsonl", "--out", "dyads.csv"),
        ("scores.jsonl", "--out", "dyads.xls"),
        ("scores.jsonl", "--out", "nowhere/dyads.csv"),
        ("scores.jsonl", "--out", "dyads.csv", "--by", "fortnight"),
        ("scores.jsonl", "--out", "dyads.csv", "--actors", "missing.csv"),
        ("scores.jsonl", "--out", "dyads.csv", "--sentences", "dyads.csv"),
        ("scores.csv", "--out", "scores.csv", "--overwrite"),
        ("notes.txt", "--out", "dyads.csv"),
    ],
    ids=" ".join,
)
def test_a_fault_of_the_users_is_one_sentence_and_exit_code_2(run, tmp_path, monkeypatch, corpus, arguments):
    monkeypatch.chdir(tmp_path)
    for name in ("scores.jsonl", "scores.csv"):
        write_scores(Path(name), *corpus)
    Path("notes.txt").write_text("notes", encoding="utf-8")
    before = sorted(path.name for path in tmp_path.iterdir())

    result = run(*arguments)

    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("stancewire: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
