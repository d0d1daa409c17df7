"""Commands for people's eyes on scores: review, import and validate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancewire.commands.common import (
    Json,
    Model,
    Overwrite,
    make_console,
    polite,
    show_json,
    show_progress,
)
from stancewire.errors import StancewireError

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedStance
    from stancewire.review.candidates import Candidate
    from stancewire.review.tasks import Task
    from stancewire.validation import Validation

Scores = Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote.")]


@polite
def review(
    scores: Scores,
    out: Annotated[Path, typer.Option(help="What to write: .json (Label Studio), .jsonl (doccano) or .csv.")],
    random: Annotated[
        int | None, typer.Option(min=1, help="Draw so many sentences by chance, to validate with.")
    ] = None,
    uncertain: Annotated[
        int | None, typer.Option(min=1, help="Choose so many that are most worth a look, to train with.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="With --random: strata, such as label or label,month; also any column of yours."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="With --uncertain: another model's scores of the same documents.")
    ] = None,
    skip: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --uncertain: annotated sentences to pass over, a file or folder; any number."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels to ask for, parted by commas, if not the model's.")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Do not show what the model said; --random never does.")
    ] = False,
    seed: Annotated[int, typer.Option(help="With --random: another seed draws other sentences.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Choose sentences of scores for people to annotate."""
    from stancewire.review.candidates import labels_of
    from stancewire.review.tasks import check_place

    if (random is None) == (uncertain is None):
        raise StancewireError("give either --random, to validate with, or --uncertain, to train with")
    _refuse_misplaced(random is not None, by=by, against=against, skip=skip)
    asked = _names(labels) or labels_of(scores)
    check_place(out, asked, overwrite=overwrite)
    if out.resolve() in {read.resolve() for read in (scores, against, *(skip or ())) if read is not None}:
        raise StancewireError(f"--out {out}: is what is read: name another place")
    if random is not None:
        _review_random(scores, out, random, _names(by), asked, seed, overwrite=overwrite)
    elif uncertain is not None:
        _review_uncertain(scores, out, uncertain, against, skip or [], asked, blind, overwrite=overwrite)


@polite
def import_answers(
    files: Annotated[
        list[Path], typer.Argument(help="Exports of Label Studio or doccano, or the CSV; any number.")
    ],
    into: Annotated[
        Path, typer.Option(help="The folder of annotated sentences to put them in, or a .jsonl file.")
    ],
    labels: Annotated[
        str | None,
        typer.Option(help="The labels that may occur, parted by commas, if not those that review asked for."),
    ] = None,
    final: Annotated[
        str | None, typer.Option(help="Whose answers count where people differ; by default most of them.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Read annotated sentences back, and check them. Exit code 1: some were left out."""
    from stancewire.review.importing import import_answers as read_back
    from stancewire.review.tables import import_table

    report = read_back(files, into, labels=_names(labels), final=final, overwrite=overwrite)
    make_console().print(import_table(report))
    raise typer.Exit(1 if report.faults or report.undecided else 0)


@polite
def validate(
    scores: Scores,
    design: Annotated[
        Path | None, typer.Option(help="The .design.json that review --random wrote beside the tasks.")
    ] = None,
    answers: Annotated[
        list[Path] | None, typer.Option(help="What `stancewire import` made of the answers; any number.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Parts to count by, such as month, or month,outlet (a column of yours)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A table to write, too: .csv or .parquet.")] = None,
    assume: Annotated[
        Path | None,
        typer.Option(help="Without a sample: annotated sentences whose errors are ASSUMED to be yours, too."),
    ] = None,
    model: Model = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Validate scores on your own collection: precision, recall and corrected counts, with 95% intervals."""
    if assume is not None:
        if design is not None or answers or by or out:
            raise StancewireError("--assume is for want of a sample: it goes with --model and --json alone")
        _assume(scores, assume, model, as_json=as_json)
        return
    if design is None or not answers:
        raise StancewireError(
            "validating needs a sample that people annotated, --design and --answers: stancewire review "
            f"{scores} --random 300 --by label --out sample.json draws one (docs/validation.md)"
        )
    from stancewire.annotations import read_annotated
    from stancewire.review.sampling import read_design
    from stancewire.review.tables import validation_table
    from stancewire.tables import check_writable
    from stancewire.validation import validate as measure

    if out is not None:
        check_writable(out, overwrite=overwrite)
    for path in answers:
        _refuse_missing(path)
    annotated = [sentence for path in answers for sentence in read_annotated(path)]
    with _counting() as advance:
        result = measure(scores, read_design(design), annotated, by=_names(by), on_sentence=advance)
    if out is not None:
        _write_table(out, result, overwrite=overwrite)
    if as_json:
        show_json(result.to_dict())
    else:
        make_console().print(validation_table(result))


def _review_random(
    scores: Path,
    out: Path,
    size: int,
    by: tuple[str, ...],
    labels: tuple[str, ...],
    seed: int,
    *,
    overwrite: bool,
) -> None:
    from stancewire.review.sampling import DESIGN_SUFFIX, draw_sample
    from stancewire.review.tables import sample_table
    from stancewire.review.tasks import Task
    from stancewire.writing import write_text

    design = out.with_name(out.name + DESIGN_SUFFIX)
    if design.exists() and not overwrite:
        raise StancewireError(f"{design} is already there: --overwrite replaces it")
    with _counting() as advance:
        sample = draw_sample(scores, size, by=by, labels=labels, seed=seed, on_sentence=advance)
    # The design first: tasks without it are work for nothing.
    write_text(design, sample.design.to_json())
    tasks = [Task(sentence, None) for sentence in sample.sentences]
    _write(tasks, out, labels, "docs/validation.md", overwrite=overwrite)
    make_console().print(sample_table(sample))
    _say(f"How the sample was drawn is in {design}: keep it for stancewire validate.")


def _review_uncertain(
    scores: Path,
    out: Path,
    size: int,
    against: Path | None,
    skip: list[Path],
    labels: tuple[str, ...],
    blind: bool,
    *,
    overwrite: bool,
) -> None:
    from stancewire.annotations import read_annotated
    from stancewire.review.choosing import choose_uncertain
    from stancewire.review.tasks import Task

    known = [sentence.text for path in skip for sentence in read_annotated(path)]
    with _counting() as advance:
        choices = choose_uncertain(scores, size, against=against, skip=known, on_sentence=advance)
    if not choices:
        raise StancewireError(f"{scores} has no sentence that is not passed over")
    tasks = [Task(choice.sentence, _suggestions(choice.sentence, labels, blind)) for choice in choices]
    _write(tasks, out, labels, "docs/review.md", overwrite=overwrite)


def _suggestions(
    sentence: Candidate, labels: tuple[str, ...], blind: bool
) -> tuple[AnnotatedStance, ...] | None:
    if blind:
        return None
    return tuple(stance for stance in sentence.suggestions if stance.label in labels)


def _write(tasks: list[Task], out: Path, labels: tuple[str, ...], page: str, *, overwrite: bool) -> None:
    from stancewire.review.tasks import write_tasks

    files = write_tasks(out, tasks, labels, overwrite=overwrite)
    _say(f"{len(tasks):,} sentences are in {', '.join(map(str, files))}; {page} says how to go on.")


def _write_table(out: Path, result: Validation, *, overwrite: bool) -> None:
    from stancewire.tables import Table
    from stancewire.validation import validation_rows, validation_schema

    with Table(out, validation_schema(), overwrite=overwrite) as table:
        for row in validation_rows(result):
            table.write(row)
        table.commit()


def _assume(scores: Path, data: Path, model: str | None, *, as_json: bool) -> None:
    import numpy as np

    from stancewire.annotations import read_annotated
    from stancewire.classifier import load_maker
    from stancewire.provenance import read_provenance
    from stancewire.review.tables import assumption_table
    from stancewire.validation import assume_errors

    sentences = read_annotated(data)
    # Its errors are those of this model, at these thresholds, and of no other.
    classifier = load_maker(read_provenance(scores), model)
    with show_progress("sentences", len(sentences)) as advance:
        decisions = []
        for sentence in sentences:
            held = {stance.label for stance in classifier.predict(sentence.text).stances}
            decisions.append([label in held for label in classifier.labels])
            advance(1)
    targets = np.array([[label in one.labels for label in classifier.labels] for one in sentences])
    counts = assume_errors(scores, classifier.labels, targets, np.array(decisions))
    if as_json:
        show_json({"assumption": f"errors as in {data}", "labels": [count.to_dict() for count in counts]})
    else:
        make_console().print(assumption_table(counts, str(data)))


def _refuse_missing(answers: Path) -> None:
    from stancewire.annotations import SUFFIXES

    if not answers.exists():
        kind, end = ("file", "") if answers.suffix.lower() in SUFFIXES else ("folder", "/")
        raise StancewireError(
            f"there is no {kind} {answers}: `stancewire import FILE --into {answers}{end}` makes it"
        )


def _refuse_misplaced(is_random: bool, *, by: object, against: object, skip: object) -> None:
    misplaced = {"--against": against, "--skip": skip} if is_random else {"--by": by}
    for name, value in misplaced.items():
        if value:
            raise StancewireError(f"{name} goes with {'--uncertain' if is_random else '--random'}")


def _names(joined: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in (joined or "").split(",") if name.strip()))


def _say(line: str) -> None:
    from stancewire.summary import printable

    make_console().print(printable(line), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _counting() -> Iterator[Callable[[int], object]]:
    with make_console(stderr=True).status("reading") as status:

        def advance(number: int) -> None:
            if number % 10_000 == 0:
                status.update(f"reading: {number:,} sentences")

        yield advance
