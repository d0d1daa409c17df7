from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pytest
from numpy.typing import NDArray

from stancewire.annotations import AUTHOR, AnnotatedSentence, AnnotatedStance
from stancewire.classifier import Stance
from stancewire.error_page import render_errors
from stancewire.evaluation import Evaluation, evaluate
from stancewire.manifest import Manifest
from stancewire.spans import Span

LABELS = ("praise", "blame")
HOSTILE = "<script>alert(\"x\")</script> & <b onclick='y'>bold</b>"


class Oracle:
    """A model that says what it is told to: for each sentence the probabilities, and spans at will."""

    def __init__(self, *rows: tuple[float, float], labels: Sequence[str] = LABELS) -> None:
        self.manifest = Manifest("oracle", tuple(labels), (0.5, 0.5), 128, {})
        self.digest = "0" * 64
        self._rows = rows

    def probabilities(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        return np.array(self._rows[: len(sentences)], np.float32)


@dataclass
class Said:
    """What is read of a prediction."""

    probabilities: dict[str, float]
    stances: tuple[Stance, ...]


class SpanOracle(Oracle):
    """One that names the first word as the source of each stance, and the last as the target."""

    def predict(self, texts: Sequence[str]) -> list[Said]:
        predictions = []
        for text, row in zip(texts, self._rows, strict=True):
            words = list(re.finditer(r"\w+", text))
            first, last = (Span(word[0], word.start(), word.end(), 0.5) for word in (words[0], words[-1]))
            stances = tuple(
                Stance(label, probability, "span", first, last)
                for label, probability in zip(LABELS, row, strict=True)
                if probability >= 0.5
            )
            predictions.append(Said(dict(zip(LABELS, row, strict=True)), stances))
        return predictions


class Reader(HTMLParser):
    """Collects tags, attributes and text, and the text of each element that has an id."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def sentence(text: str, *labels: str, **extra: object) -> AnnotatedSentence:
    return AnnotatedSentence(text, tuple(map(AnnotatedStance, labels)), None, None, extra, "dir/own.jsonl", 7)


def evaluated(model: Oracle, *rows: AnnotatedSentence) -> Evaluation:
    return evaluate(model, rows, resamples=5)


def section(page: str, anchor: str) -> str:
    """The page from the heading with this id to the next heading."""
    found = re.search(rf'<h[23] id="{anchor}">.*?(?=<h[23] |</body>)', page, re.DOTALL)
    assert found is not None
    return found[0]


def test_missed_and_wrongly_found_labels_stand_apart_and_right_sentences_nowhere():
    rows = [sentence("Missed it.", "praise"), sentence("Found it."), sentence("Right about it.", "blame")]

    page = render_errors(evaluated(Oracle((0.2, 0.1), (0.1, 0.8), (0.1, 0.9)), *rows))

    assert "Missed it." in section(page, "label-0-missed")
    assert "Found it." in section(page, "label-1-found")
    assert "Found it." not in section(page, "label-1-missed")
    assert "Right about it." not in page


def test_counts_say_of_how_many():
    rows = [sentence("a", "praise"), sentence("b", "praise"), sentence("c"), sentence("d", "praise")]

    page = render_errors(evaluated(Oracle((0.2, 0), (0.9, 0), (0.9, 0), (0.9, 0)), *rows))

    assert "praise, missed: 1 of 3 that hold it" in page
    assert "praise, wrongly found: 1 of 3 that were found" in page
    assert "Of 4 sentences, 2 (50.0%)" in page


def test_what_the_model_was_surest_of_comes_first():
    missed = [sentence(f"missed {p}", "praise") for p in (0.3, 0.1, 0.4)]
    found = [sentence(f"found {p}") for p in (0.6, 0.9, 0.7)]
    model = Oracle((0.3, 0), (0.1, 0), (0.4, 0), (0.6, 0), (0.9, 0), (0.7, 0))

    page = render_errors(evaluated(model, *missed, *found))

    assert re.findall(r">missed (0\.\d)", section(page, "label-0-missed")) == ["0.1", "0.3", "0.4"]
    assert re.findall(r">found (0\.\d)", section(page, "label-0-found")) == ["0.9", "0.7", "0.6"]


def test_a_card_says_what_was_expected_what_was_said_and_where_it_is_from():
    row = AnnotatedSentence(
        "Ankara thanked us for Athens.",
        (AnnotatedStance("praise", "Ankara", None, "us"), AnnotatedStance("blame", AUTHOR)),
        "a-1",
        3,
        {"src": "wire"},
        "dir/own.jsonl",
        7,
    )

    text = " ".join(read(render_errors(evaluated(SpanOracle((0.9, 0.2)), row))).text)

    assert "praise (Ankara → us)" in text
    assert "blame (the writer → nobody)" in text
    assert "praise 0.900 (Ankara → Athens)" in text
    assert "praise 0.900 (from 0.500), blame 0.200 (from 0.500)" in text
    assert "own.jsonl, line 7 · document a-1 · src: wire" in text
    assert "dir/" not in text


def test_groups_have_counts_and_lists_that_lead_to_the_cards():
    rows = [sentence("One.", "praise", src="x"), sentence('"Two."', src="y"), sentence("Three.", src="y")]

    page = render_errors(evaluated(Oracle((0.1, 0), (0.9, 0), (0, 0)), *rows))

    assert "y: 1 of 2 sentences wrong" in page
    assert 'href="#s1"' in section(page, "by-src-0")
    assert "quotation mark: 1 of 1 sentences wrong" in page
    assert {"by-src", "by-length", "by-quote", "by-headline", "by-several"} <= set(read(page).ids)


def test_every_link_leads_to_a_place_on_the_page_and_no_place_is_named_twice():
    rows = [
        sentence(f"Sentence {number}.", *LABELS[: number % 3], **{"odd key": number % 2, "sr\u00e7": HOSTILE})
        for number in range(9)
    ]

    reader = read(render_errors(evaluated(SpanOracle(*[(0.9, 0.8)] * 9), *rows)))

    assert len(reader.ids) == len(set(reader.ids))
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert all(link.startswith("#") for link in reader.links)


def test_a_page_has_no_script_and_loads_nothing():
    page = render_errors(evaluated(Oracle((0.9, 0.9)), sentence("Plain.")))

    reader = read(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(reader.tags)
    assert not {name for name in reader.attributes if name.startswith("on")}
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page


def test_everything_that_data_and_model_say_is_escaped():
    row = AnnotatedSentence(
        HOSTILE,
        (AnnotatedStance(HOSTILE, "script", 1),),
        HOSTILE,
        0,
        {HOSTILE: HOSTILE, "src": HOSTILE},
        HOSTILE,
        1,
    )
    model = Oracle((0.1, 0.9), labels=(HOSTILE, "</style><script>"))
    model.manifest = Manifest(HOSTILE, model.manifest.labels, (0.5, 0.5), 128, {})

    page = render_errors(evaluated(model, row))

    assert not {"script", "b onclick"} & set(read(page).tags)
    assert "onclick" not in read(page).attributes
    assert HOSTILE in "".join(read(page).text)


def test_characters_that_reverse_or_control_text_are_not_passed_on():
    page = render_errors(evaluated(Oracle((0.9, 0)), sentence("gnp.\u202eexe \x1b[31m \x00 end")))

    assert not re.search("[\u202e\x1b\x00]", page)
    assert "end" in page


def test_another_source_or_target_of_a_right_label_is_shown_at_the_end():
    right = AnnotatedSentence("Ankara faults Athens", (AnnotatedStance("blame", "Ankara", None, "Athens"),))
    other = AnnotatedSentence("Rome faults Paris", (AnnotatedStance("blame", "Paris", None, "Paris"),))
    nobody = AnnotatedSentence("Oslo faults Bern", (AnnotatedStance("blame", "Oslo"),))

    page = render_errors(evaluated(SpanOracle(*[(0.1, 0.9)] * 3), right, other, nobody))

    assert "another source: 1 in 1 sentences" in page
    assert "Rome faults Paris" in section(page, "other-source")
    assert "another target: 1 in 1 sentences" in page
    assert "Oslo faults Bern" in section(page, "other-target")
    assert "Ankara faults Athens" not in page


@pytest.mark.parametrize("labels", [(), ("praise",)])
def test_a_model_that_is_always_right_has_a_page_too(labels):
    page = render_errors(evaluated(Oracle((0.9 if labels else 0.1, 0.1)), sentence("Fine.", *labels)))

    assert "Of 1 sentences, 0 (0.0%)" in page
