"""Read a corpus as a careful editor would, and say what is wrong with it.

A fault is what makes a corpus wrong or its figures untrue: rows that cannot be read, unknown labels, spans
that are not in the sentence, duplicates, articles that straddle splits. A warning is what an editor should
look at: sentences that are nearly the same, in particular those whose labels differ (a slip, or a minimal
pair written on purpose), labels with few examples, odd white space.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from stancewire.annotations import SUFFIXES, AnnotatedSentence
from stancewire.review.checks import Finding, stance_faults, text_faults, text_warnings
from stancewire.summary import printable
from stancewire_training.data import CorpusRows, read_corpus
from stancewire_training.near_duplicates import THRESHOLD, find_near_duplicates

FEWEST: Final = {"train": 50, "validation": 10, "test": 10}
"""Examples of a label below which its figures say little."""


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """How many sentences a split has: in all, without a stance, with each label; and of how many articles."""

    split: str
    sentences: int
    without_stance: int
    articles: int
    by_label: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found in a corpus; it is fit for use if there are no faults."""

    source: str
    labels: tuple[str, ...]
    splits: tuple[SplitCounts, ...]
    faults: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def check_corpus(source: str | Path) -> CheckReport:
    """Check every row of a corpus, of any kind that `load_corpus` reads; nothing stops at the first fault.

    Raises StancewireError only if there is no such corpus or its files cannot be told.
    """
    faults: list[Finding] = []
    rows = read_corpus(source, on_fault=lambda file, line, what: faults.append(Finding(file, line, what)))
    labels = rows.labels or tuple(sorted(set().union(*(s.labels for s in chain(*rows.splits.values())))))
    counts = tuple(_count(split, sentences, labels) for split, sentences in rows.splits.items())
    splits = [split for split, sentences in rows.splits.items() for _ in sentences]
    sentences = list(chain(*rows.splits.values()))

    warnings: list[Finding] = []
    for sentence in sentences:
        faults += _at(sentence, chain(text_faults(sentence), stance_faults(sentence, labels)))
        warnings += _at(sentence, text_warnings(sentence))
    faults += _article_faults(sentences, splits)
    for found, is_fault in chain(_duplicates(sentences, splits), _near_duplicates(sentences, splits)):
        (faults if is_fault else warnings).append(found)
    for found, is_fault in _label_findings(str(source), counts, labels):
        (faults if is_fault else warnings).append(found)
    warnings += _files_left_out(Path(source), rows)
    return CheckReport(str(source), labels, counts, _sorted(faults), _sorted(warnings))


def check_table(report: CheckReport, most_warnings: int = 40) -> Group:
    """Lay a report out for rich: counts by split and label, every fault, the first warnings, the totals."""
    counts = Table(title=Text(printable(report.source)))
    counts.add_column("split")
    for column in ("sentences", "articles", "without stance", *report.labels):
        counts.add_column(Text(printable(column)), justify="right")
    for split in report.splits:
        figures = (split.sentences, split.articles, split.without_stance, *split.by_label.values())
        counts.add_row(Text(printable(split.split)), *(f"{figure:,}" for figure in figures))

    parts: list[Table | Text] = [counts]
    if report.faults:
        parts.append(_findings_table("faults", report.faults))
    if report.warnings:
        parts.append(_findings_table("to look at", report.warnings[:most_warnings]))
    if len(report.warnings) > most_warnings:
        parts.append(Text(f"and {len(report.warnings) - most_warnings} more to look at"))
    parts.append(Text(f"faults: {len(report.faults)}, to look at: {len(report.warnings)}"))
    return Group(*parts)


def _findings_table(title: str, findings: Sequence[Finding]) -> Table:
    table = Table("where", "what", title=title, title_justify="left")
    for finding in findings:
        cells = (printable(finding.where), printable(finding.what))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def _count(split: str, sentences: Sequence[AnnotatedSentence], labels: tuple[str, ...]) -> SplitCounts:
    held = Counter(label for sentence in sentences for label in sentence.labels)
    return SplitCounts(
        split,
        len(sentences),
        sum(not sentence.stances for sentence in sentences),
        len({sentence.doc for sentence in sentences if sentence.doc is not None}),
        {label: held[label] for label in labels},
    )


def _at(sentence: AnnotatedSentence, what: Iterable[str]) -> list[Finding]:
    return [Finding(sentence.file, sentence.line, one) for one in what]


def _article_faults(sentences: Sequence[AnnotatedSentence], splits: Sequence[str]) -> Iterator[Finding]:
    articles: dict[str, list[int]] = defaultdict(list)
    for index, sentence in enumerate(sentences):
        if sentence.doc is not None:
            articles[sentence.doc].append(index)
    for doc, indices in articles.items():
        first = sentences[indices[0]]
        strays = [index for index in indices if splits[index] != splits[indices[0]]]
        if strays:
            stray = sentences[strays[0]]
            what = f"this is {splits[strays[0]]}, but the article {doc!r} begins at {_place(first)}"
            yield Finding(stray.file, stray.line, f"{what}: it straddles splits")
        elif any(sentences[index].i is not None for index in indices):
            for expected, index in enumerate(indices):
                sentence = sentences[index]
                if sentence.i != expected:
                    what = f"the article {doc!r} has a gap or is out of order"
                    yield Finding(sentence.file, sentence.line, f"{what}: i is {sentence.i}, not {expected}")
                    break


def _duplicates(
    sentences: Sequence[AnnotatedSentence], splits: Sequence[str]
) -> Iterator[tuple[Finding, bool]]:
    seen: dict[str, int] = {}
    for index, sentence in enumerate(sentences):
        first = seen.setdefault(_plain(sentence.text), index)
        if first == index:
            continue
        other = sentences[first]
        across = splits[first] != splits[index]
        differ = sentence.labels != other.labels
        what = f"the same sentence as {_place(other)}" + (f", which is {splits[first]}" if across else "")
        if differ:
            what += f", with other labels: {_listed(other)} there, {_listed(sentence)} here"
        # Two articles may well have a short sentence in common.
        in_articles = None not in (sentence.doc, other.doc) and sentence.doc != other.doc
        yield Finding(sentence.file, sentence.line, what), across or differ or not in_articles


def _near_duplicates(
    sentences: Sequence[AnnotatedSentence], splits: Sequence[str]
) -> Iterator[tuple[Finding, bool]]:
    texts = [sentence.text for sentence in sentences]
    for pair in find_near_duplicates(texts, THRESHOLD):
        first, second = sentences[pair.first], sentences[pair.second]
        if _plain(first.text) == _plain(second.text):
            continue
        across = splits[pair.first] != splits[pair.second]
        what = f"nearly the same ({pair.similarity:.2f}) as {_place(first)}"
        if across:
            what += f", which is {splits[pair.first]}"
        if first.labels != second.labels:
            what += f", with other labels: {_listed(first)} there, {_listed(second)} here"
        yield Finding(second.file, second.line, what), across


def _label_findings(
    source: str, counts: tuple[SplitCounts, ...], labels: tuple[str, ...]
) -> Iterator[tuple[Finding, bool]]:
    if not any(count.split == "train" and count.sentences for count in counts):
        yield Finding(source, None, "there is no sentence to train on: no split is named train"), True
    if not labels:
        yield Finding(source, None, "there are no labels: not one sentence has a stance"), True
    for count in counts:
        for label, held in count.by_label.items():
            if held < FEWEST[count.split]:
                what = f"{count.split} has {held or 'no'} examples of the label {label!r}"
                few = f"{what}, fewer than {FEWEST[count.split]}"
                yield Finding(source, None, few), held == 0 and count.split == "train"


def _files_left_out(source: Path, rows: CorpusRows) -> Iterator[Finding]:
    if source.is_dir() and rows.files:
        for path in source.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
            if path.suffix.lower() in SUFFIXES and path not in rows.files and not hidden:
                yield Finding(str(path), None, "the file belongs to no split and was not read")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _place(sentence: AnnotatedSentence) -> str:
    return f"{sentence.file}, line {sentence.line}"


def _listed(sentence: AnnotatedSentence) -> str:
    return " and ".join(sorted(sentence.labels)) or "none"


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (finding.file, finding.line or 0, finding.what)))
