"""Score folders of documents: found, read, cut, scored and written, a group at a time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancewire import __version__
from stancewire.decoding import UTF8
from stancewire.documents import MAX_BYTES, Found, Skipped, find_documents
from stancewire.errors import StancewireError
from stancewire.formats import ScoredDocument
from stancewire.language import ENGLISH, UNDETERMINED
from stancewire.outputs import Output
from stancewire.provenance import Provenance
from stancewire.reading import GROUP_SENTENCES, Reading, read_groups

if TYPE_CHECKING:
    from stancewire.classifier import ScoredSentence, StanceClassifier

_STRONGEST = 3
_LIBRARIES = ("onnxruntime", "tokenizers", "sentencex", "charset-normalizer", "ftfy", "py3langid")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: documents done, of how many, and sentences scored."""

    documents: int
    total: int
    sentences: int


@dataclass(frozen=True, slots=True)
class Highlight:
    """A sentence that holds a stance with a high probability, and the document it stands in."""

    document: str
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """What a run wrote, and of what: the output, its provenance, and by label its strongest sentences."""

    out: Path
    provenance: Provenance
    strongest: Mapping[str, tuple[Highlight, ...]]

    @property
    def documents(self) -> int:
        """How many documents stand in the output."""
        return self.provenance.documents

    @property
    def sentences(self) -> int:
        """How many sentences stand in the output."""
        return self.provenance.sentences

    @property
    def counts(self) -> Mapping[str, int]:
        """How many sentences hold each stance, every label named."""
        return self.provenance.counts

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The documents that were left out, and why."""
        return self.provenance.skipped

    @property
    def other_languages(self) -> Mapping[str, int]:
        """How many documents were in each language but English, scored or not."""
        known = (ENGLISH, UNDETERMINED)
        return {code: number for code, number in self.provenance.languages.items() if code not in known}

    @property
    def other_encodings(self) -> Mapping[str, int]:
        """How many documents were in each encoding but plain UTF-8."""
        return {name: number for name, number in self.provenance.encodings.items() if name != UTF8}


def score_paths(
    classifier: StanceClassifier,
    paths: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
    any_language: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
) -> ScoringResult:
    """Score files and folders of text files into a `.jsonl`, `.csv` or `.parquet` file.

    A document that cannot be read, or is not English unless `any_language` is set, is skipped with its reason
    and never ends the run. Memory does not grow with the number of documents but by their names. Raises
    StancewireError for a path that is missing, where no document is found, or for an output that cannot be
    written, or is there already and `overwrite` is not set.
    """
    output = Output(out, classifier.labels, overwrite=overwrite)
    found = find_documents(paths)
    if not found.sources:
        raise StancewireError(_nothing_found(paths, found))
    tally = _Tally(classifier.labels, found)
    report = on_progress or (lambda progress: None)
    with output, closing(read_groups(found.sources, any_language)) as groups:
        for group in groups:
            flat = [sentence for reading in group for sentence in reading.sentences]
            scored: list[ScoredSentence] = []
            for start in range(0, len(flat), GROUP_SENTENCES):
                scored += classifier.score_sentences(flat[start : start + GROUP_SENTENCES])
                report(Progress(tally.done, len(found.sources), tally.sentences + len(scored)))
            rest = iter(scored)
            for reading in group:
                sentences = tuple(islice(rest, len(reading.sentences)))
                tally.add(reading, sentences)
                if reading.reason is None and reading.document and reading.language:
                    output.write(ScoredDocument(reading.document, reading.language, sentences))
            report(Progress(tally.done, len(found.sources), tally.sentences))
        settings = {
            "any_language": any_language,
            "max_bytes": MAX_BYTES,
            "prior": classifier.prior,
            "abstain": classifier.abstain,
        }
        provenance = tally.provenance(classifier, settings)
        output.commit(provenance)
    return ScoringResult(out, provenance, tally.strongest())


class _Tally:
    """What a run adds up as it goes."""

    def __init__(self, labels: Sequence[str], found: Found) -> None:
        self.done = self.documents = self.sentences = self.repaired = 0
        self._counts = dict.fromkeys(labels, 0)
        self._languages: Counter[str] = Counter()
        self._encodings: Counter[str] = Counter()
        self._skipped = list(found.skipped)
        self._ignored = found.ignored
        self._heaps: dict[str, list[tuple[float, int, Highlight]]] = {label: [] for label in labels}
        self._order = count(0, -1)

    def add(self, reading: Reading, sentences: Sequence[ScoredSentence]) -> None:
        self.done += 1
        if reading.document is not None:
            self._encodings[reading.document.encoding] += 1
            self.repaired += reading.document.repaired
        if reading.language is not None:
            self._languages[reading.language.code] += 1
        if reading.reason is not None:
            self._skipped.append(Skipped(reading.id, reading.reason))
            return
        self.documents += 1
        self.sentences += len(sentences)
        for sentence in sentences:
            for stance in sentence.stances:
                self._counts[stance.label] += 1
                highlight = Highlight(reading.id, sentence.text, stance.probability)
                # Of equals the earlier one stays: the order falls, and a heap drops its smallest.
                heapq.heappush(self._heaps[stance.label], (stance.probability, next(self._order), highlight))
                if len(self._heaps[stance.label]) > _STRONGEST:
                    heapq.heappop(self._heaps[stance.label])

    def strongest(self) -> dict[str, tuple[Highlight, ...]]:
        return {
            label: tuple(entry[2] for entry in sorted(heap, reverse=True))
            for label, heap in self._heaps.items()
        }

    def provenance(self, classifier: StanceClassifier, settings: Mapping[str, Any]) -> Provenance:
        return Provenance(
            stancewire=__version__,
            model=classifier.manifest.name,
            digest=classifier.digest,
            labels=tuple(classifier.labels),
            thresholds=classifier.thresholds,
            settings=settings,
            libraries=_library_versions(),
            documents=self.documents,
            sentences=self.sentences,
            counts=self._counts,
            languages=dict(sorted(self._languages.items())),
            encodings=dict(sorted(self._encodings.items())),
            repaired=self.repaired,
            skipped=tuple(self._skipped),
            ignored=self._ignored,
        )


def _nothing_found(paths: Sequence[Path], found: Found) -> str:
    if not paths:
        return "there is nothing to score: name files, or folders of text files"
    where = f"no text file (.txt, .text, .md or without a suffix) in {', '.join(map(str, paths))}"
    others = ", ".join(f"{number} {suffix}" for suffix, number in found.ignored.items())
    unread = "; ".join(f"{skipped.document} {skipped.reason}" for skipped in found.skipped[:3])
    return where + (f"; of other kinds: {others}" if others else "") + (f"; {unread}" if unread else "")


def _library_versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
