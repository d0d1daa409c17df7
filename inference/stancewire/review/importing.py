"""From the answers of people to sentences of a corpus, checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

from stancewire.annotations import SUFFIXES, AnnotatedSentence, read_annotated
from stancewire.errors import StancewireError
from stancewire.review.agreement import Difference, PairAgreement, compare_annotators, merge_answers
from stancewire.review.answers import Answers, read_answers
from stancewire.review.asked import asked_labels
from stancewire.review.candidates import sentence_key
from stancewire.review.checks import Finding, stance_faults, text_faults, text_warnings
from stancewire.writing import write_text


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What came of an import; `out` is None where there was nothing to write.

    `sentences` were written, `by_label` of them hold each label; `unanswered` tasks have no answer;
    `repeated` sentences stood in the corpus already, with the same labels. A fault costs the sentence, a
    warning does not.
    """

    out: Path | None
    sentences: int
    by_label: Mapping[str, int]
    unanswered: int
    repeated: int
    faults: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    agreements: tuple[PairAgreement, ...]
    differences: tuple[Difference, ...]

    @property
    def undecided(self) -> int:
        """How many sentences are left out because half of their annotators differ from the other half."""
        return sum(difference.decided is None for difference in self.differences)


def import_answers(
    files: Sequence[Path],
    into: Path,
    *,
    labels: Sequence[str] = (),
    final: str | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Write the answers of `files` as JSONL into a folder of annotated sentences, or into a `.jsonl` file.

    Each sentence is checked as `stancewire check` does, as far as a sentence by itself can be, and against
    those in the folder. `labels` are those that may occur, by default those that the tasks asked for, where
    that is known; `final` is whose answers count where people differ, otherwise most of them do. Raises
    StancewireError for files that cannot be read or hold no answer, or an output that is there and may not be
    written over.
    """
    out = into if into.suffix.lower() == ".jsonl" else into / f"{files[0].stem}.jsonl"
    if out.is_dir() or (into.is_file() and out != into):
        raise StancewireError(f"--into {into}: should be a folder, or a .jsonl file")
    if out.resolve() in (file.resolve() for file in files):
        raise StancewireError(f"--into {into}: {out} is what is read: name another place")
    if out.exists() and not overwrite:
        raise StancewireError(f"{out} is already there: --overwrite replaces it")
    allowed = tuple(labels) or asked_labels(files)
    read = read_answers(files, allowed)
    _refuse_unanswered(files, read)
    if final is not None and final not in {answer.annotator for answer in read.answers}:
        people = ", ".join(sorted({answer.annotator for answer in read.answers}))
        raise StancewireError(f"--final {final}: nobody is named so; there are {people or 'no answers'}")
    faults, warnings = list(read.faults), list(read.warnings)
    there = _read_beside(out)
    merged = merge_answers(read.answers, final)
    found = tuple(sorted({label for answer in read.answers for label in answer.sentence.labels}))
    if not allowed:
        known = tuple(sorted({label for one in there for label in one.labels}))
        warnings += _new_labels(str(files[0]), found, known)

    kept, repeated = [], 0
    present = {_known(sentence): sentence for sentence in there}
    for sentence in merged.sentences:
        wrong = list(chain(text_faults(sentence), stance_faults(sentence, allowed or found)))
        other = present.get(_known(sentence))
        if other is not None and other.labels != sentence.labels:
            wrong.append(
                f"the same sentence stands in {other.file}, line {other.line}, with other labels: "
                f"{_listed(other)} there, {_listed(sentence)} here"
            )
        faults += [Finding(sentence.file, sentence.line, what) for what in wrong]
        warnings += [Finding(sentence.file, sentence.line, what) for what in text_warnings(sentence)]
        repeated += not wrong and other is not None
        if not wrong and other is None:
            kept.append(sentence)
    if kept:
        write_text(out, "".join(json.dumps(_row(one), ensure_ascii=False) + "\n" for one in kept))
    every = tuple(dict.fromkeys((*allowed, *found)))
    return ImportReport(
        out=out if kept else None,
        sentences=len(kept),
        by_label={label: sum(label in one.labels for one in kept) for label in every},
        unanswered=read.unanswered,
        repeated=repeated,
        faults=tuple(faults),
        warnings=tuple(warnings),
        agreements=compare_annotators(read.answers, every),
        differences=merged.differences,
    )


def _read_beside(out: Path) -> list[AnnotatedSentence]:
    folder = out.parent
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path != out)
    return [sentence for file in files for sentence in read_annotated(file)]


def _refuse_unanswered(files: Sequence[Path], read: Answers) -> None:
    if not read.answers and not read.faults:
        raise StancewireError(
            f"{', '.join(map(str, files))}: none of {read.unanswered:,} sentences has an answer; in a "
            "spreadsheet the column labels is filled in: labels parted by semicolons, or none"
        )


def _new_labels(file: str, found: Sequence[str], known: Sequence[str]) -> Iterator[Finding]:
    if found and not known:
        names = ", ".join(found)
        yield Finding(file, None, f"nothing says which labels there are (--labels does): taken are {names}")
    for label in found if known else ():
        if label not in known:
            near = get_close_matches(label, known, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            yield Finding(file, None, f"the label {label!r} is new in this corpus{hint}")


def _known(sentence: AnnotatedSentence) -> str:
    return sentence_key(sentence.doc, sentence.text)


def _row(sentence: AnnotatedSentence) -> dict[str, Any]:
    # A position would promise the whole article; the keys are those of the shipped corpus, no more.
    stances = [asdict(stance) for stance in sentence.stances]
    return {"text": sentence.text, "doc": sentence.doc, "i": None, "stances": stances}


def _listed(sentence: AnnotatedSentence) -> str:
    return " and ".join(sorted(sentence.labels)) or "none"
