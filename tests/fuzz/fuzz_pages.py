"""Fuzz the escaping of the report and of the page of errors: no text or name becomes markup."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from harness import main, text_of

from stancewire.runtime import SentenceReading

PLACE = Path(tempfile.mkdtemp(prefix="stancewire-fuzz-"))
# Each stands in every page as often as the page itself needs it.
WATCHED = ("script", "style", "img", "iframe", "object", "link", "base", "form", "textarea", "html", "body")


class Reader(HTMLParser):
    """Counts the elements that can do something, and collects attributes that can."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements += [tag] if tag in WATCHED else []
        for name, value in attrs:
            goes_out = name in ("href", "src", "action") and not (value or "").startswith("#")
            if name.startswith("on") or name == "style" or goes_out:
                self.attributes.append(f"{tag} {name}={value}")


def one_input(data: bytes) -> None:
    """A page of hostile texts holds the elements that one of harmless texts does."""
    page = report if data[:1] == b"r" else errors
    texts = [text_of(part) for part in data[1:].split(b"\0", 4)]
    found = Reader(page(*texts, *[""] * (5 - len(texts))))
    assert found.elements == expected(page), found.elements
    assert not found.attributes, found.attributes


@cache
def expected(page: Callable[..., str]) -> list[str]:
    """Give the elements of a page of harmless texts."""
    return Reader(page("a.txt", "They left.", "They", "left", "outlet")).elements


def report(name: str, text: str, source: str, target: str, column: str) -> str:
    """Score one sentence, by hand, and report on it."""
    from stancewire.classifier import ScoredSentence, Stance
    from stancewire.documents import Document
    from stancewire.formats import ScoredDocument
    from stancewire.language import Language
    from stancewire.outputs import Output
    from stancewire.provenance import Provenance
    from stancewire.report import write_report
    from stancewire.spans import Span

    text, name, source, target, column = (
        part.encode("utf-8", "replace").decode() or "-" for part in (text, name, source, target, column)
    )
    spans = (Span(words, 0, len(words), 0.5) for words in (source, target))
    stances = (Stance("threat", 0.75, "span", *spans),)
    said = ScoredSentence(text, {"threat": 0.75}, stances, 0.125, False, 0, len(text))
    values = {"stancewire": "0", "model": column, "digest": "ab" * 32, "labels": ("threat",)}
    values |= {"thresholds": {"threat": 0.5}, "settings": {column: column}, "libraries": {column: column}}
    values |= {"documents": 1, "sentences": 1, "counts": {"threat": 1}, "languages": {column: 1}}
    values |= {"encodings": {column: 1}, "repaired": 0, "skipped": (), "ignored": {name: 3}}
    scores, page = PLACE / "scores.jsonl", PLACE / "page.html"
    for old in PLACE.iterdir():
        old.unlink()
    with Output(scores, ("threat",)) as output:
        written = Document(f"{name} 2022-01-31.txt", "", "utf-8", False, columns={column: column})
        output.write(ScoredDocument(written, Language("en", 0.99), (said,)))
        output.commit(Provenance(**values))
    write_report(scores, page)
    return page.read_text(encoding="utf-8")


def errors(name: str, text: str, source: str, target: str, column: str) -> str:
    """Let a model be wrong about one sentence, and render the page."""
    from stancewire.annotations import AnnotatedSentence, AnnotatedStance
    from stancewire.classifier import StanceClassifier
    from stancewire.error_page import render_errors
    from stancewire.evaluation import evaluate
    from stancewire.manifest import Manifest

    manifest = Manifest("silent", ("threat",), (0.5,), 128, {})
    silent = StanceClassifier(manifest, "cd" * 32, Silent())
    stances = (AnnotatedStance("threat", source or None, None, target or None),)
    sentence = AnnotatedSentence(text or "-", stances, name, 0, {"outlet": column}, name, 1)
    return render_errors(evaluate(silent, [sentence], resamples=1))


class Silent:
    """A model that finds nothing."""

    def read(self, sentences: list[str]) -> list[SentenceReading]:
        """Read sentences as the runtime does."""
        return [SentenceReading(np.zeros(1, np.float32)) for _ in sentences]

    def probabilities(self, sentences: list[str], on_progress: object = None) -> np.ndarray:
        """Give every sentence a probability of 0."""
        return np.zeros((len(sentences), 1), np.float32)


if __name__ == "__main__":
    main(one_input, ["stancewire.error_page", "stancewire.report.page", "stancewire.report.archive"])
