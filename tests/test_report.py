"""The report shows what the scores hold, in one page that needs nothing and runs nothing but its own."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Iterable
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import skip_or_fail
from typer.testing import CliRunner

from stancewire.classifier import ScoredSentence, Stance
from stancewire.cli import app
from stancewire.documents import Document, Skipped
from stancewire.errors import StancewireError
from stancewire.formats import ScoredDocument
from stancewire.language import Language
from stancewire.outputs import Output
from stancewire.provenance import Provenance, meta_path
from stancewire.report import write_report
from stancewire.report.dating import date_document
from stancewire.report.parties import AUTHOR, LARGEST_SIDE, NOBODY, OTHERS, PartyTally, without_article
from stancewire.report.tally import DayCount, Tally
from stancewire.report.timeline import make_timeline
from stancewire.scores import ScoredText, StoredSentence, read_scores
from stancewire.spans import Span

LABELS = ("threat", "denial")
THRESHOLDS = {"threat": 0.5, "denial": 0.25}
SUFFIXES = (".jsonl", ".csv", ".parquet")
HOSTILE = (
    "</script></style></title></textarea>--><script>document.title='broken in'</script>"
    "<img src=x onerror=\"document.title='broken in'\"><a href='javascript:void 0'>&lt;b&gt; {{ 7 * 7 }}"
)


def sentence(
    text: str, start: int, *, threat: float = 0.125, denial: float = 0.0625, uncertain: bool = False
) -> ScoredSentence:
    probabilities = {"threat": threat, "denial": denial}
    held = [label for label in LABELS if probabilities[label] >= THRESHOLDS[label]]
    return ScoredSentence(
        text=text,
        probabilities=probabilities,
        stances=tuple(Stance(label, probabilities[label]) for label in held),
        risk=0.125,
        uncertain=uncertain,
        start=start,
        end=start + len(text),
    )


def with_parties(
    said: ScoredSentence, source: str | None, target: str | None, kind: str = "span"
) -> ScoredSentence:
    def span(words: str | None) -> Span | None:
        if words is None:
            return None
        start = said.start + said.text.index(words)
        return Span(words, start, start + len(words), 0.5)

    stances = tuple(
        Stance(stance.label, stance.probability, kind, span(source), span(target)) for stance in said.stances
    )
    return ScoredSentence(
        said.text, said.probabilities, stances, said.risk, said.uncertain, said.start, said.end
    )


def document(name: str, *sentences: ScoredSentence) -> ScoredDocument:
    return ScoredDocument(Document(name, "", "utf-8", False), Language("en", 0.998), sentences)


def write_scores(path: Path, documents: Iterable[ScoredDocument], **changes: object) -> Path:
    documents = list(documents)
    sentences = [said for scored in documents for said in scored.sentences]
    values = {
        "stancewire": "0.1.0",
        "model": "toy",
        "digest": "ab" * 32,
        "labels": LABELS,
        "thresholds": THRESHOLDS,
        "settings": {"any_language": False, "max_bytes": 20_000_000},
        "libraries": {"tokenizers": "0.22"},
        "documents": len(documents),
        "sentences": len(sentences),
        "counts": dict.fromkeys(LABELS, 0),
        "languages": {"en": len(documents)},
        "encodings": {"utf-8": len(documents)},
        "repaired": 0,
        "skipped": (Skipped("sub/broken.txt", "is binary"),),
        "ignored": {".pdf": 3},
    }
    with Output(path, LABELS) as output:
        for scored in documents:
            output.write(scored)
        output.commit(Provenance(**(values | changes)))
    return path


def two_documents() -> list[ScoredDocument]:
    said = with_parties(sentence("The admiral warned Iran.", 0, threat=0.75), "The admiral", "Iran")
    denied = with_parties(sentence("It is not so.", 26, denial=0.5, uncertain=True), None, None, "author")
    return [
        document("2022-01-31/a.txt", said, denied),
        document("b-20220207T101500Z.txt", sentence("Grain fell.", 0)),
    ]


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, its text, what its scripts and styles hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self.held: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        self.held.get(self._inside, self.shown).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())

    def attributes(self, name: str) -> list[str]:
        return [values[name] or "" for _, values in self.elements if name in values]


def report_on(folder: Path, documents: Iterable[ScoredDocument], **settings: object) -> Page:
    scores = write_scores(folder / "scores.jsonl", documents)
    out = folder / "report.html"
    write_report(scores, out, **settings)
    return Page(out.read_text(encoding="utf-8"))


def unpack(page: Page) -> list[list]:
    (packed,) = (text for text in page.held["script"] if re.fullmatch("[A-Za-z0-9+/=]+", text.strip()))
    lines = zlib.decompress(base64.b64decode(packed)).decode().split("\n")
    return [json.loads(line) for line in lines if line]


def stored(text: str, start: int = 0, **probabilities: float) -> StoredSentence:
    held = [label for label, value in probabilities.items() if value >= THRESHOLDS[label]]
    stances = tuple(Stance(label, probabilities[label]) for label in held)
    return StoredSentence(text, start, start + len(text), probabilities, stances, False)


# Reading the scores


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_three_forms_are_read_back_as_written(tmp_path, suffix):
    documents = two_documents()
    scores = write_scores(tmp_path / f"scores{suffix}", documents)

    texts = list(read_scores(scores, LABELS))

    assert [text.document for text in texts] == [scored.document.id for scored in documents]
    for text, scored in zip(texts, documents, strict=True):
        assert [
            (said.text, said.start, said.end, said.probabilities, said.stances, said.uncertain)
            for said in text.sentences
        ] == [
            (said.text, said.start, said.end, said.probabilities, said.stances, said.uncertain)
            for said in scored.sentences
        ]


def test_scores_from_before_the_spans_are_read(tmp_path):
    scores = tmp_path / "old.jsonl"
    said = {
        "start": 0,
        "end": 3,
        "text": "No.",
        "probabilities": {"threat": 0.1, "denial": 0.9},
        "stances": ["denial"],
    }
    scores.write_text(json.dumps({"document": "a", "sentences": [said]}), encoding="utf-8")

    (text,) = read_scores(scores, LABELS)

    assert text.sentences[0].stances == (Stance("denial", 0.9),)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_what_score_did_not_write_is_named_with_its_line(tmp_path, suffix):
    scores = write_scores(tmp_path / f"scores{suffix}", two_documents())
    lines = scores.read_bytes().splitlines(keepends=True)
    scores.write_bytes(lines[0] + b'{"document": 3, "sentences": 7}\n')

    with pytest.raises(StancewireError, match=r"scores\.\w+, line 2, is not what stancewire score writes"):
        list(read_scores(scores, LABELS))


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    scores = write_scores(tmp_path / "scores.parquet", two_documents())
    scores.write_bytes(scores.read_bytes()[:200])

    with pytest.raises(StancewireError, match=r"scores\.parquet"):
        write_report(scores, tmp_path / "report.html")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_date_column_is_read(tmp_path, suffix):
    scores = write_scores(tmp_path / f"scores{suffix}", two_documents())
    add_dates(scores)

    assert [text.date for text in read_scores(scores, LABELS)] == ["2021-05-04", "2021-05-04"]


def add_dates(scores: Path) -> None:
    if scores.suffix == ".jsonl":
        lines = map(json.loads, scores.read_text(encoding="utf-8").splitlines())
        dated = [json.dumps(line | {"date": "2021-05-04"}) for line in lines]
        scores.write_text("\n".join(dated), encoding="utf-8")
    elif scores.suffix == ".csv":
        head, *rows = scores.read_text(encoding="utf-8").splitlines()
        assert head.startswith("document,date,")
        dated = [head, *(row.replace(",,", ",2021-05-04,", 1) for row in rows)]
        scores.write_text("\r\n".join(dated), encoding="utf-8")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(scores)
        column = pa.array([date(2021, 5, 4)] * len(table), pa.date32())
        pq.write_table(table.set_column(table.schema.get_field_index("date"), "date", column), scores)


# Dates


def test_a_date_is_taken_from_the_scores_then_the_name_then_the_dateline():
    dateline = (stored("PORT TALL, 3 March 2020 (Agency) - Ships sailed.", threat=0.1),)

    found = [
        date_document(ScoredText("x-20210405T101500Z.txt", "2022-01-31", dateline)),
        date_document(ScoredText("x-20210405T101500Z.txt", None, dateline)),
        date_document(ScoredText("x.txt", None, dateline)),
        date_document(ScoredText("x.txt", None, (stored("He came on 3 March 2020.", threat=0.1),))),
    ]

    assert [dating and (dating.day.isoformat(), dating.origin) for dating in found] == [
        ("2022-01-31", "date"),
        ("2021-04-05", "name"),
        ("2020-03-03", "dateline"),
        None,
    ]


@pytest.mark.parametrize(
    ("days", "unit", "periods"),
    [(0, "day", 1), (30, "day", 31), (100, "week", 15), (700, "month", 24), (5_000, "year", 14)],
)
def test_days_are_folded_into_a_unit_that_a_chart_can_show(days, unit, periods):
    first = date(2015, 1, 1)

    timeline = make_timeline(
        {first: DayCount(documents=1, sentences=2), first + timedelta(days): DayCount(3, 4)}
    )

    assert (timeline.unit, len(timeline.periods)) == (unit, periods)
    assert sum(period.count.documents for period in timeline.periods) == (4 if days else 3)


def test_the_page_says_how_many_documents_have_a_date_and_from_where(tmp_path):
    page = report_on(tmp_path, [*two_documents(), document("undated.txt", sentence("Rain.", 0))])

    assert "By day. Documents dated: 2 from the name of the document; 1 has no date" in page.text
    assert "2022-02-07" in page.text


def test_the_page_says_so_where_no_document_has_a_date(tmp_path):
    page = report_on(tmp_path, [document("undated.txt", sentence("Rain.", 0))])

    assert "No document has a date" in page.text


# Who to whom


@pytest.mark.parametrize("name", ["the  White\nHouse", "The White House", "WHITE HOUSE", " a White House "])
def test_names_that_differ_by_case_white_space_or_an_article_are_one(name):
    names = PartyTally(LABELS).names

    assert names.number("White House") == names.number(name)
    assert without_article("Thessaly") == "Thessaly"


def test_a_matrix_shows_the_most_frequent_names_and_sums_the_others():
    tally = PartyTally(LABELS)
    for number in range(20):
        for _ in range(20 - number):
            tally.add(Stance("threat", 0.9, "span", Span(f"source {number}", 0, 1, 1.0), None))
    tally.add(Stance("denial", 0.9, "author", None, Span("target", 0, 1, 1.0)))

    matrix = tally.matrix()

    assert len(matrix.sources) == LARGEST_SIDE + 2
    assert matrix.sources[-2:] == (OTHERS, AUTHOR)
    assert matrix.targets[1:] == (NOBODY,)
    assert (matrix.other_sources, matrix.total) == (5, 211)
    assert matrix.counts[matrix.sources.index(OTHERS)] == (0, 15)
    assert tally.matrix(1).counts == ((1,),)


def test_the_page_shows_sources_and_targets(tmp_path):
    page = report_on(tmp_path, two_documents())

    assert "Sources and targets of all stances (2)" in page.text
    assert "admiral Iran threat 1" in page.text
    assert "the writer" in page.text


def test_the_page_says_plainly_that_a_model_names_nobody(tmp_path):
    page = report_on(tmp_path, [document("a.txt", sentence("We will fire.", 0, threat=0.75))])

    assert "These scores name nobody: no stance has a source or a target." in page.text
    assert "matrix" not in page.attributes("class")
    assert "source" not in page.attributes("name")


# Counts and sentences


def test_a_tally_counts_what_the_sentences_hold():
    tally = Tally(THRESHOLDS)

    tally.add(ScoredText("a", None, (stored("x", threat=0.75, denial=0.5), stored("y", threat=0.5))), None)
    tally.add(ScoredText("b", None, (stored("z", threat=0.25),)), None)

    assert (tally.documents, tally.sentences, tally.with_stance) == (2, 3, 2)
    assert (tally.labels["threat"].sentences, tally.labels["threat"].documents) == (2, 1)
    assert tally.labels["threat"].expected == 1.5
    assert tally.labels["denial"].sentences == 1


def test_the_strongest_and_the_least_certain_are_shown_once_each():
    tally = Tally(THRESHOLDS)
    values = [0.9, 0.8, 0.5625, 0.4375, 0.1, 0.9, 0.7, 0.6, 0.99]
    texts = ["a", "b", "c", "d", "e", "a", "g", "h", "i"]

    for text, value in zip(texts, values, strict=True):
        tally.add(ScoredText("x", None, (stored(text, threat=value),)), None)

    assert [found.text for found in tally.strongest("threat")] == ["i", "a", "b", "g", "h"]
    assert [found.text for found in tally.uncertain("threat")] == ["c", "d", "h", "g"]
    assert [found.held for found in tally.uncertain("threat")] == [True, False, True, True]


def test_the_counts_are_readable_without_javascript(tmp_path):
    page = report_on(tmp_path, two_documents())

    assert "2 documents with 3 sentences, read by the model toy" in page.text
    assert "threat 1 33.3% 1 1 50.0%" in page.text
    assert "1 sentence is marked uncertain" in page.text
    assert "switch JavaScript on" in page.text
    assert "ab" * 32 in page.text
    assert "sub/broken.txt is binary" in page.text


def test_the_page_says_when_scores_were_cut_since_they_were_written(tmp_path):
    scores = write_scores(tmp_path / "scores.jsonl", two_documents())
    scores.write_bytes(scores.read_bytes().splitlines(keepends=True)[0])
    write_report(scores, tmp_path / "report.html")

    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    assert "The metadata say that 3 sentences were scored, but the file holds 2" in page.text


def test_settings_of_any_kind_are_told(tmp_path):
    settings = {
        "any_language": True,
        "max_bytes": 5_000,
        "prior": {"threat": 0.02},
        "abstain": None,
        "x": "y",
    }
    scores = write_scores(tmp_path / "scores.jsonl", two_documents(), settings=settings)

    write_report(scores, tmp_path / "report.html")

    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "any_language: yes, max_bytes: 5,000, prior: threat=0.02, abstain: none, x: y" in page.text


def test_scores_without_documents_or_sentences_make_a_page(tmp_path):
    page = report_on(tmp_path, [document("empty.txt")])

    assert "1 document with 0 sentences" in page.text
    assert unpack(page) == [[0, "empty.txt", "", []]]


def test_any_number_of_labels_is_shown(tmp_path):
    labels = tuple(f"label <{number}>" for number in range(30))
    probabilities = dict.fromkeys(labels, 0.75)
    said = ScoredSentence("Say.", probabilities, (Stance(labels[29], 0.75),), 0.5, False, 0, 4)
    scores = tmp_path / "scores.jsonl"
    with Output(scores, labels) as output:
        output.write(document("2022-01-01.txt", said))
        output.write(document("2022-01-09.txt", said))
        meta = write_scores(tmp_path / "other.jsonl", [])
        provenance = json.loads(meta_path(meta).read_text(encoding="utf-8"))
        provenance |= {"labels": labels, "thresholds": dict.fromkeys(labels, 0.5)}
        provenance |= {"documents": 2, "sentences": 2, "skipped": ()}
        output.commit(Provenance(**provenance))

    write_report(scores, tmp_path / "report.html")

    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "label <29> 2 100.0%" in page.text
    assert "The charts show the 8 most frequent stances" in page.text


# The page itself


def test_all_text_is_escaped_and_nothing_runs_but_the_pages_own(tmp_path):
    said = sentence(HOSTILE, 0, threat=0.75)
    hostile = with_parties(said, HOSTILE[:40], HOSTILE[-30:])

    page = report_on(tmp_path, [document(f"{HOSTILE}-2022-01-31.txt", hostile), *two_documents()])

    scripts = [values for tag, values in page.elements if tag == "script"]
    assert [values.get("type") for values in scripts] == ["application/json", "text/plain", None]
    assert not {tag for tag, _ in page.elements} & {"img", "iframe", "object", "link", "base", "textarea"}
    assert not [name for _, values in page.elements for name in values if name.startswith("on")]
    assert not page.attributes("style")
    assert not page.attributes("src")
    assert all(target.startswith("#") for target in page.attributes("href"))
    assert HOSTILE in page.text
    assert unpack(page)[0][3][0][1] == HOSTILE


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(tmp_path):
    page = report_on(tmp_path, two_documents())
    policy = page.attributes("content")[0]

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert f"style-src 'sha256-{digest(page.held['style'][0])}'" in policy
    assert f"script-src 'sha256-{digest(page.held['script'][-1])}'" in policy


def test_the_page_names_nothing_on_the_network(tmp_path):
    page = report_on(tmp_path, two_documents())

    held = "".join([*page.held["style"], page.held["script"][-1], page.text])
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest|innerHTML", held)


def test_every_part_has_a_name_for_screen_readers(tmp_path):
    page = report_on(tmp_path, two_documents())
    names = page.attributes("id")

    assert len(names) == len(set(names))
    assert set(page.attributes("aria-labelledby")) <= set(names)
    assert {target[1:] for target in page.attributes("href") if not target.startswith("#find:")} <= set(names)
    assert all(
        "aria-label" in values for _, values in page.elements if values.get("role") in ("region", "img")
    )
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert all("scope" in values for tag, values in page.elements if tag == "th")
    assert ("html", {"lang": "en"}) in page.elements


def test_the_same_scores_give_the_same_bytes_in_each_form(tmp_path):
    pages = []
    for suffix in SUFFIXES:
        scores = write_scores(tmp_path / f"scores{suffix}", two_documents())
        write_report(scores, tmp_path / "report.html", overwrite=True)
        pages.append((tmp_path / "report.html").read_bytes().replace(scores.name.encode(), b"scores"))

    assert pages[0] == pages[1] == pages[2]


# The articles in it


def test_offsets_count_what_javascript_counts(tmp_path):
    said = sentence("\U0001f600\U0001f600 Lagunia warned Morra.", 7, threat=0.75)

    page = report_on(tmp_path, [document("a.txt", with_parties(said, "Lagunia", "Morra"))])

    (label, _, _, source, target) = unpack(page)[0][3][0][3][0]
    units = said.text.encode("utf-16-le")
    assert label == 0
    assert units[2 * source[0] : 2 * source[1]].decode("utf-16-le") == "Lagunia"
    assert units[2 * target[0] : 2 * target[1]].decode("utf-16-le") == "Morra"


def test_a_span_that_does_not_stand_in_its_sentence_is_counted_but_not_marked(tmp_path):
    said = with_parties(sentence("Lagunia warned Morra.", 0, threat=0.75), "Lagunia", "Morra")
    moved = Stance("threat", 0.75, "span", Span("Lagunia", 90, 97, 0.5), said.stances[0].target)
    wrong = ScoredSentence(said.text, said.probabilities, (moved,), 0.1, False, said.start, said.end)

    page = report_on(tmp_path, [document("a.txt", wrong)])

    assert unpack(page)[0][3][0][3] == [[0, 0, 1, 0, [15, 20]]]
    assert "Lagunia Morra threat 1" in page.text


def test_paragraphs_are_told_by_the_white_space_between_sentences(tmp_path):
    page = report_on(
        tmp_path,
        [document("a.txt", sentence("One.", 2), sentence("Two.", 7), sentence("Three.", 13))],
    )

    assert [said[0] for said in unpack(page)[0][3]] == [0, 1, 2]


def noise(count: int, letters: int) -> list[str]:
    source = random.Random(3)
    return ["".join(source.choices("abcdefghij ", k=letters)) + "." for _ in range(count)]


def test_too_many_articles_leave_only_sentences_with_stances_and_the_page_says_so(tmp_path):
    documents = [
        document(f"{number}.txt", sentence(text, 0), sentence("We will fire.", 900, threat=0.75))
        for number, text in enumerate(noise(200, 800))
    ]

    page = report_on(tmp_path, [*documents, document("calm.txt", sentence("Rain.", 0))], budget=20_000)

    articles = unpack(page)
    assert "Of each there are the sentences that hold a stance" in page.text
    assert "(1 of 201)" in page.text
    assert [[said[1] for said in article[3]] for article in articles] == [["We will fire."]] * 200
    assert "threat 200" in page.text


def test_more_than_that_leaves_the_first_articles_and_the_page_says_so(tmp_path):
    documents = [
        document(f"{number}.txt", sentence(text, 0, threat=0.75))
        for number, text in enumerate(noise(500, 800))
    ]
    scores = write_scores(tmp_path / "scores.jsonl", documents)

    written = write_report(scores, tmp_path / "report.html", budget=20_000)

    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    articles = unpack(page)
    assert (written.extent, written.articles, written.documents) == ("part", len(articles), 500)
    assert 20 < len(articles) < 400
    assert f"Here are {len(articles)} of 500" in page.text
    assert "threat 500" in page.text


# Writing it


def test_the_command_writes_a_page_and_refuses_to_replace_one(tmp_path):
    scores = write_scores(tmp_path / "scores.jsonl", two_documents())
    arguments = ["report", str(scores), "--out", str(tmp_path / "report.html")]

    first = CliRunner().invoke(app, arguments)
    second = CliRunner().invoke(app, arguments)
    third = CliRunner().invoke(app, [*arguments, "--overwrite"])

    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 2, 0)
    assert "open it in a browser" in first.output
    assert "is already there" in second.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.html",
        "scores.jsonl",
        "scores.jsonl.meta.json",
    ]


@pytest.mark.parametrize(
    ("scores", "out", "reason"),
    [
        ("scores.jsonl", "report.txt", "should end in .html"),
        ("scores.jsonl", "scores.jsonl", "should end in .html"),
        ("scores.jsonl", "nowhere/report.html", "there is no folder"),
        ("scores.jsonl", "folder.html", "is a folder"),
        ("missing.jsonl", "report.html", "there is no output"),
        ("bare.jsonl", "report.html", "does not say what made it"),
        (
            "t.csv",
            "report.html",
            "not what stancewire score writes: it has no column document; score it first: `stancewire score ",
        ),
        ("t.jsonl", "report.html", "line 1, is not what stancewire score writes"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, scores, out, reason):
    write_scores(tmp_path / "scores.jsonl", two_documents())
    (tmp_path / "bare.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "t.csv").write_text("id,text\n1,One.\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text('{"text": "One."}\n', encoding="utf-8")
    (tmp_path / "folder.html").mkdir()

    with pytest.raises(StancewireError, match=reason):
        write_report(tmp_path / scores, tmp_path / out, overwrite=True)


def test_a_page_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    scores = write_scores(tmp_path / "scores.jsonl", two_documents())
    (tmp_path / "report.html").write_text("old", encoding="utf-8")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)

    with pytest.raises(StancewireError, match="No space left"):
        write_report(scores, tmp_path / "report.html", overwrite=True)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "old"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_thousand_articles_take_less_than_five_megabytes_and_ten_seconds(tmp_path):
    vocabulary = [word for word in " ".join(noise(40, 2_000)).split() if word]
    source = random.Random(5)

    def sentences() -> Iterable[ScoredSentence]:
        for position in range(25):
            text = " ".join(source.choices(vocabulary, k=24))[:120].ljust(119, "x") + "."
            said = sentence(
                text, 121 * position, threat=source.betavariate(0.3, 3), denial=source.random() / 3
            )
            yield with_parties(said, text.split()[0], text.split()[-1]) if said.stances else said

    documents = [
        document(f"{number}-2022-{1 + number % 12:02}-03.txt", *sentences()) for number in range(1_000)
    ]
    scores = write_scores(tmp_path / "scores.jsonl", documents)
    started = time.perf_counter()

    written = write_report(scores, tmp_path / "report.html")

    assert time.perf_counter() - started < 10
    assert written.extent == "all"
    assert written.size < 5_000_000


@pytest.mark.slow
def test_a_browser_shows_a_hostile_article_as_text(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        skip_or_fail("chromium", "there is no chromium to look at the page with")
    said = with_parties(sentence(HOSTILE, 0, threat=0.75), HOSTILE[:40], HOSTILE[-30:])
    report_on(tmp_path, [document("hostile.txt", said), document("b.txt", sentence("Rain fell.", 0))])

    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command += ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "report.html").as_uri()]
    dumped = subprocess.run(command, capture_output=True, check=True, timeout=120)

    page = Page(dumped.stdout.decode())
    assert "2 articles of 2." in page.text
    assert "broken in</title>" not in dumped.stdout.decode()
    assert "Stances in scores.jsonl" in page.text
    assert "Rain fell." in page.text
    assert not {tag for tag, _ in page.elements} & {"img", "textarea"}
    assert "threat 75.0%" in page.text
