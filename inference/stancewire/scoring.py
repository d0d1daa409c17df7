"""Score folders of documents: found, read, cut, scored, kept a group at a time, and written at the end."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancewire import __version__
from stancewire.columns import column_kinds
from stancewire.decoding import UTF8
from stancewire.documents import KINDS, STANDARD_INPUT, Search, Skipped, Source
from stancewire.errors import StancewireError
from stancewire.formats import ScoredDocument, to_line
from stancewire.inputs import Inputs, refuse_columns
from stancewire.language import ENGLISH, UNDETERMINED
from stancewire.outputs import (
    FolderOutput,
    Output,
    WriteError,
    check_place,
    find_existing,
    put_back,
    store_path,
)
from stancewire.parts import is_folder
from stancewire.provenance import Provenance, read_provenance
from stancewire.reading import GROUP_SENTENCES, Reading, read_groups
from stancewire.rereading import parse_line, reread
from stancewire.rows import RowOptions
from stancewire.run_store import RunStore, Stored
from stancewire.sentence_cache import SentenceCache

if TYPE_CHECKING:
    from stancewire.classifier import ScoredSentence, StanceClassifier

_STRONGEST = 3
_SKIPPED_NAMED = 1_000
_COMMIT_EVERY = 1_000
_REPORT_EVERY = 256
_LIBRARIES = (
    "onnxruntime",
    "tokenizers",
    "sentencex",
    "charset-normalizer",
    "ftfy",
    "py3langid",
    "trafilatura",
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: documents done, sentences scored, and the share of what is to be done, 0 to 1.

    First the documents are read and scored, a share of their bytes; then the output is written, a share of
    its documents.
    """

    documents: int
    sentences: int
    share: float
    is_writing: bool = False


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
        """The documents that were left out, and why; the first 1,000 of `skipped_count`."""
        return self.provenance.skipped

    @property
    def skipped_count(self) -> int:
        """How many documents were left out."""
        return self.provenance.skipped_count

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
    resume: bool = False,
    any_language: bool = False,
    rows: RowOptions | None = None,
    spreadsheet: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
) -> ScoringResult:
    """Score files and folders of them into a `.jsonl`, `.csv` or `.parquet` file, or a folder of Parquet.

    That is what an `out` without a suffix becomes: parts of about 100,000 sentences, `part-00000.parquet`.
    `rows` says in which columns of tables the texts stand, and how large a document may be. A document that
    cannot be read, or is not English unless `any_language` is set, is skipped with its reason and never ends
    the run. Memory does not grow with the number of documents. A run that was cut short goes on where it
    stood, and ends with the same bytes as one that was not. `resume` adds to an output that is finished: of
    its documents only those that have changed are scored again, and none is dropped because it is not among
    the inputs any more. Raises StancewireError for a path that is missing, where no document is found; for an
    output that cannot be written, or that another run is writing; for one that is finished where neither
    `overwrite` nor `resume` is set; and for one that another model or other settings began where `overwrite`
    is not set.
    """
    options = rows or RowOptions()
    search = Search(paths, without=out)
    refuse_columns(paths, options)
    report = on_progress or (lambda progress: None)

    def score(store: RunStore, making: Mapping[str, Any]) -> tuple[Progress, Mapping[str, int]]:
        inputs = Inputs(search, options)
        done = _score(classifier, inputs, _measure(search), store, any_language, report)
        return done, dict(sorted((Counter(search.ignored) + inputs.ignored).items()))

    return run_scoring(
        classifier,
        out,
        score,
        places=["standard input" if path == STANDARD_INPUT else os.path.abspath(path) for path in paths],
        options=options,
        any_language=any_language,
        spreadsheet=spreadsheet,
        overwrite=overwrite,
        resume=resume,
        report=report,
    )


def run_scoring(
    classifier: StanceClassifier,
    out: Path,
    score: Callable[[RunStore, Mapping[str, Any]], tuple[Progress, Mapping[str, int]]],
    *,
    places: Sequence[str],
    options: RowOptions,
    any_language: bool,
    overwrite: bool,
    resume: bool,
    report: Callable[[Progress], object],
    spreadsheet: bool = False,
) -> ScoringResult:
    """Begin a run or go on with it, let `score` fill its store, and write the output.

    `score` gets the store and what decides the bytes of the output, and returns how far it came and which
    files it ignored, by suffix. Raises StancewireError as `score_paths` does.
    """
    if resume and overwrite:
        raise StancewireError("--resume keeps what is there and --overwrite does not: give one of them")
    check_place(out, classifier.labels)
    if os.path.realpath(out) in map(os.path.realpath, places):
        raise StancewireError(f"{out} is what is read: give the output another name")
    if spreadsheet and out.suffix.lower() != ".csv":
        raise StancewireError(f"{out} is no CSV: what a spreadsheet would run is a question of .csv alone")
    making = describe_making(classifier, describe_settings(classifier, options, any_language, spreadsheet))
    if not store_path(out).exists():
        _refuse_finished(out, overwrite=overwrite, resume=resume)
    with RunStore(store_path(out), out, anew=overwrite) as store:
        try:
            put_back(out)
            _begin(store, out, making, places, overwrite=overwrite, resume=resume)
            done, ignored = score(store, making)
            return _write(
                classifier,
                store,
                out,
                making,
                ignored,
                lambda share: report(replace(done, share=share, is_writing=True)),
            )
        except WriteError as error:
            raise StancewireError(f"{error}; what is done is kept, and the same command goes on") from None
        except BaseException:
            if store.is_empty:
                store.remove()
            raise


def _begin(
    store: RunStore,
    out: Path,
    making: Mapping[str, Any],
    places: Sequence[str],
    *,
    overwrite: bool,
    resume: bool,
) -> None:
    begun = None if store.is_empty else store.begun
    changed: list[str] = []
    if begun is not None:
        changed = differences(begun["making"], making)
        if begun["paths"] != places:
            changed.append(f"paths were {_listed(begun['paths'])}, are {_listed(places)}")
        if overwrite and (changed or not begun["overwrites"]):
            begun = None
    if begun is not None and begun["is_whole"]:
        refuse_changed(out, "unfinished", changed)
        if begun["replaces"]:
            _refuse_finished(out, overwrite=overwrite, resume=resume)
        return
    _refuse_finished(out, overwrite=overwrite, resume=resume)
    existing = find_existing(out)
    values = {
        "making": making,
        "paths": places,
        "overwrites": overwrite,
        "replaces": existing is not None,
        "is_whole": True,
    }
    if existing is None or overwrite:
        store.clear()
        store.begin(values)
    else:
        earlier = read_provenance(out)
        refuse_changed(out, "finished", differences(making_of(earlier), making))
        store.clear()
        store.begin({**values, "is_whole": False})
        spreadsheet = making["settings"]["spreadsheet"]
        for number, scored in enumerate(reread(out, earlier.labels, spreadsheet=spreadsheet)):
            document = scored.document
            stored = Stored(to_line(scored), kinds=column_kinds(document.columns))
            store.put_earlier(document.id, document.fingerprint, stored)
            if number % _COMMIT_EVERY == 0:
                store.commit()
        store.begin(values)


def _score(
    classifier: StanceClassifier,
    inputs: Inputs,
    size: int,
    store: RunStore,
    any_language: bool,
    report: Callable[[Progress], object],
) -> Progress:
    documents = sentences = consumed = 0
    cache = SentenceCache(classifier)

    def tell(scored: int) -> None:
        report(Progress(documents, sentences + scored, min(consumed / size, 1.0) if size else 0.0))

    store.start_over()
    with closing(read_groups(inputs, any_language, store.admit)) as groups:
        for group in groups:
            for reading, stored in score_group(group, cache, tell):
                if stored is not None:
                    store.put(reading.place, reading.fingerprint, stored)
            store.commit()
            documents += len(group)
            sentences += sum(len(reading.sentences) for reading in group)
            consumed = group[-1].consumed
            tell(0)
    return Progress(documents, sentences, 1.0)


def score_group(
    group: Sequence[Reading], cache: SentenceCache, on_progress: Callable[[int], object]
) -> Iterator[tuple[Reading, Stored | None]]:
    """Score documents that were read, and give each with what is to be kept of it, None if it is known.

    `on_progress` is told how many of their sentences are scored.
    """
    flat = [sentence for reading in group for sentence in reading.sentences]
    rest = iter(cache.score(flat, GROUP_SENTENCES, on_progress))
    for reading in group:
        if reading.place.is_known:
            yield reading, None
        else:
            yield reading, store_reading(reading, tuple(islice(rest, len(reading.sentences))))


def store_reading(reading: Reading, sentences: tuple[ScoredSentence, ...]) -> Stored:
    """Make what is kept of a document: its line, or why it was skipped."""
    document, language = reading.document, reading.language
    if reading.reason is None and document is not None and language is not None:
        line = to_line(ScoredDocument(document, language, sentences))
        return Stored(line, kinds=column_kinds(document.columns))
    values = {
        "document": reading.place.name,
        "reason": reading.reason,
        "language": language and language.code,
        "encoding": document and document.encoding,
        "repaired": document is not None and document.repaired,
    }
    # Escaped, so that a lone surrogate does no harm.
    return Stored(json.dumps(values), is_skipped=True)


def _write(
    classifier: StanceClassifier,
    store: RunStore,
    out: Path,
    making: Mapping[str, Any],
    ignored: Mapping[str, int],
    report: Callable[[float], object],
) -> ScoringResult:
    spreadsheet = making["settings"]["spreadsheet"]
    total = store.count()
    kinds = store.kinds()
    gone_through = 0

    def documents() -> Iterator[Stored]:
        nonlocal gone_through
        for stored in store:
            if gone_through % _REPORT_EVERY == 0:
                report(gone_through / total / (2 if is_folder(out) else 1))
            gone_through += 1
            yield stored

    output: Output
    if is_folder(out):
        # Each part says what all of them hold, which has to be known before the first is written.
        whole, digest = (
            _Tally(classifier.labels),
            hashlib.blake2b(json.dumps([making, ignored]).encode(), digest_size=16),
        )
        for stored in documents():
            digest.update(f"{stored.is_skipped:d}{stored.line}\n".encode())
            whole.take(stored)
        holds = whole.provenance(making, ignored)
        output = FolderOutput(
            out, classifier.labels, holds, digest.hexdigest(), columns=kinds, overwrite=True
        )
    else:
        output = Output(out, classifier.labels, columns=kinds, spreadsheet=spreadsheet, overwrite=True)
    tally = _Tally(classifier.labels)
    with output:
        for stored in documents():
            taken = tally.take(stored)
            if isinstance(taken, Skipped):
                output.skip(taken)
            else:
                output.write(taken, stored.line)
        provenance = tally.provenance(making, ignored)
        output.commit(provenance)
    store.remove()
    return ScoringResult(out, provenance, tally.strongest())


class _Tally:
    """What an output holds, added up as it is written."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._documents = self._sentences = self._repaired = self._skipped_count = 0
        self._counts = dict.fromkeys(labels, 0)
        self._languages: Counter[str] = Counter()
        self._encodings: Counter[str] = Counter()
        self._skipped: list[Skipped] = []
        self._heaps: dict[str, list[tuple[float, int, Highlight]]] = {label: [] for label in labels}
        self._order = count(0, -1)

    def take(self, stored: Stored) -> ScoredDocument | Skipped:
        if stored.is_skipped:
            return self._skip(json.loads(stored.line))
        scored = parse_line(stored.line)
        self._add(scored)
        return scored

    def _add(self, scored: ScoredDocument) -> None:
        document = scored.document
        self._documents += 1
        self._sentences += len(scored.sentences)
        self._languages[scored.language.code] += 1
        self._encodings[document.encoding] += 1
        self._repaired += document.repaired
        for sentence in scored.sentences:
            for stance in sentence.stances:
                self._counts[stance.label] += 1
                highlight = Highlight(document.id, sentence.text, stance.probability)
                # Of equals the earlier one stays: the order falls, and a heap drops its smallest.
                heapq.heappush(self._heaps[stance.label], (stance.probability, next(self._order), highlight))
                if len(self._heaps[stance.label]) > _STRONGEST:
                    heapq.heappop(self._heaps[stance.label])

    def _skip(self, values: Mapping[str, Any]) -> Skipped:
        skipped = Skipped(values["document"], values["reason"])
        self._skipped_count += 1
        if len(self._skipped) < _SKIPPED_NAMED:
            self._skipped.append(skipped)
        if values["language"] is not None:
            self._languages[values["language"]] += 1
        if values["encoding"] is not None:
            self._encodings[values["encoding"]] += 1
        self._repaired += values["repaired"]
        return skipped

    def strongest(self) -> dict[str, tuple[Highlight, ...]]:
        return {
            label: tuple(entry[2] for entry in sorted(heap, reverse=True))
            for label, heap in self._heaps.items()
        }

    def provenance(self, making: Mapping[str, Any], ignored: Mapping[str, int]) -> Provenance:
        return Provenance(
            **{**making, "labels": tuple(making["labels"])},
            documents=self._documents,
            sentences=self._sentences,
            counts=self._counts,
            languages=dict(sorted(self._languages.items())),
            encodings=dict(sorted(self._encodings.items())),
            repaired=self._repaired,
            skipped=tuple(self._skipped),
            skipped_count=self._skipped_count,
            ignored=ignored,
        )


def describe_settings(
    classifier: StanceClassifier, options: RowOptions, any_language: bool, spreadsheet: bool
) -> dict[str, Any]:
    """Give the settings that an output says it was made with."""
    return {
        "any_language": any_language,
        "max_bytes": options.max_bytes,
        "text_column": options.text_column,
        "id_column": options.id_column,
        "date_column": options.date_column,
        "spreadsheet": spreadsheet,
        "prior": classifier.prior,
        "abstain": classifier.abstain,
    }


def describe_making(classifier: StanceClassifier, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Say what decides the bytes of an output, but for the documents; as it comes back from JSON."""
    making = {
        "stancewire": __version__,
        "model": classifier.manifest.name,
        "digest": classifier.digest,
        "labels": list(classifier.labels),
        "thresholds": classifier.thresholds,
        "settings": settings,
        "libraries": _library_versions(),
    }
    values: dict[str, Any] = json.loads(json.dumps(making))
    return values


def making_of(provenance: Provenance) -> dict[str, Any]:
    """Give what `describe_making` said when an output was made."""
    names = ("stancewire", "model", "digest", "labels", "thresholds", "settings", "libraries")
    values: dict[str, Any] = json.loads(json.dumps({name: getattr(provenance, name) for name in names}))
    return values


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs between two that decide the bytes of an output."""
    if before["digest"] != now["digest"]:
        models = [f"{made['model']} ({made['digest'][:8]})" for made in (before, now)]
        changed = [f"the model was {models[0]}, is {models[1]}"]
        groups = ["settings"]
    else:
        changed = []
        groups = ["thresholds", "settings", "libraries"]
        if before["stancewire"] != now["stancewire"]:
            changed.append(f"stancewire was {before['stancewire']}, is {now['stancewire']}")
    for group in groups:
        for name in sorted({*before[group], *now[group]}):
            old, new = before[group].get(name), now[group].get(name)
            if old != new:
                changed.append(
                    f"{'' if group == 'libraries' else group[:-1] + ' '}{name} was {old}, is {new}"
                )
    return changed


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def refuse_changed(out: Path | str, state: str, changed: Sequence[str]) -> None:
    """Raise StancewireError for an output of which something differs that decides its bytes."""
    if changed:
        raise StancewireError(
            f"{out} is {state}, and was made otherwise: {'; '.join(changed)}. "
            "Go on as it was begun, or start anew with --overwrite (overwrite=True)"
        )


def _refuse_finished(out: Path, *, overwrite: bool, resume: bool) -> None:
    existing = None if overwrite or resume else find_existing(out)
    if existing is not None:
        raise StancewireError(
            f"{existing} is already there: --resume (resume=True) adds what is new or has changed, "
            "--overwrite (overwrite=True) starts anew"
        )


def _measure(search: Search) -> int:
    size = 0
    is_empty = True
    unread: list[Skipped] = []
    for found in search:
        if isinstance(found, Source):
            size += found.size
            is_empty = False
        elif len(unread) < 3:
            unread.append(found)
    if is_empty:
        raise StancewireError(_nothing_found(search, unread))
    return size


def _nothing_found(search: Search, unread: Sequence[Skipped]) -> str:
    if not search.paths:
        return "there is nothing to score: name files, or folders of text files"
    kinds = ", ".join(suffix for suffix in KINDS if suffix)
    where = f"no file of articles ({kinds} or without a suffix) in {', '.join(map(str, search.paths))}"
    others = ", ".join(f"{number} {suffix}" for suffix, number in search.ignored.items())
    reasons = "; ".join(f"{skipped.document} {skipped.reason}" for skipped in unread)
    return where + (f"; of other kinds: {others}" if others else "") + (f"; {reasons}" if reasons else "")


def _library_versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
