"""Commands that read text: score, predict, and info on what they write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stancewire.commands.common import (
    Abstain,
    Json,
    Model,
    Overwrite,
    Precision,
    Prior,
    Recall,
    Sha256,
    Threads,
    load_classifier,
    make_console,
    parse_shares,
    polite,
    read_lines,
    show_json,
    write_json,
)
from stancewire.errors import StancewireError

if TYPE_CHECKING:
    from stancewire.classifier import Prediction, Stance
    from stancewire.scoring import Progress as ScoringProgress


@polite
def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Articles, tables of them, archives, or folders of these; - is what comes on standard input."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(help="The file to write: .jsonl, .csv, .parquet; or scores/, a folder of .parquet."),
    ],
    model: Model = None,
    sha256: Sha256 = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Add to what is there: score what is new or has changed.")
    ] = False,
    overwrite: Overwrite = False,
    any_language: Annotated[
        bool, typer.Option("--any-language", help="Score documents that are not in English, too.")
    ] = False,
    max_document: Annotated[
        float,
        typer.Option(min=0.001, max=200, help="Megabytes that a document may have; larger ones are skipped."),
    ] = 20,
    spreadsheet: Annotated[
        bool,
        typer.Option(
            "--spreadsheet", help="In .csv: an apostrophe before cells that a spreadsheet would run."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress and no table: one line at the end, for logs.")
    ] = False,
    text_column: Annotated[
        str, typer.Option(help="In .jsonl, .csv and .parquet: the column with the text.")
    ] = "text",
    id_column: Annotated[
        str | None, typer.Option(help="The column with the document's name; id, where there is one.")
    ] = None,
    date_column: Annotated[
        str | None, typer.Option(help="The column with its date; date, where there is one.")
    ] = None,
    threads: Threads = None,
    precision: Precision = None,
    recall: Recall = None,
    prior: Prior = None,
    abstain: Abstain = None,
    engine: Annotated[
        str, typer.Option(help="Where it is done: local, or ray, on many machines (docs/cluster.md).")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="The Ray cluster that is there; without, one on this machine alone.")
    ] = None,
) -> None:
    """Score articles into one file. A run that was cut short goes on where it stood.

    Exit code 1: finished, but documents were skipped.
    """
    from stancewire.outputs import parse_out
    from stancewire.rows import RowOptions
    from stancewire.scoring import score_paths
    from stancewire.summary import printable, summary_table

    _check_engine(engine, [*paths, out], ray_address, threads)
    asked: dict[str, Any] = {
        "sha256": sha256,
        "precision": precision,
        "recall": recall,
        "prior": parse_shares(prior),
        "abstain": abstain,
    }
    classifier = load_classifier(model, threads, **asked)
    rows = RowOptions(text_column, id_column, date_column, round(max_document * 1e6))
    try:
        with _scoring_progress(quiet=quiet) as on_progress:
            if engine == "ray":
                from stancewire.engines.ray import score_with_ray

                result = score_with_ray(
                    classifier,
                    paths,
                    out,
                    {"model": model, **asked},
                    address=ray_address,
                    overwrite=overwrite,
                    resume=resume,
                    any_language=any_language,
                    rows=rows,
                    spreadsheet=spreadsheet,
                    on_progress=on_progress,
                )
            else:
                result = score_paths(
                    classifier,
                    [Path(path) for path in paths],
                    parse_out(out),
                    overwrite=overwrite,
                    resume=resume,
                    any_language=any_language,
                    rows=rows,
                    spreadsheet=spreadsheet,
                    on_progress=on_progress,
                )
    except KeyboardInterrupt:
        make_console(stderr=True).print(
            "stancewire: interrupted; the same command goes on where it stood", markup=False
        )
        raise typer.Exit(130) from None
    written = f"Written to {printable(out)}"
    if quiet:
        documents = f"{result.documents} document{'' if result.documents == 1 else 's'}"
        sentences = f"{result.sentences} sentence{'' if result.sentences == 1 else 's'}"
        counts = f"{documents}, {sentences}, {result.skipped_count} skipped"
        make_console().print(f"{written}: {counts}.", markup=False, highlight=False, soft_wrap=True)
    else:
        make_console().print(summary_table(result))
        make_console().print(
            f"{written}; stancewire info on it says what made it.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    raise typer.Exit(1 if result.skipped else 0)


@polite
def predict(
    sentences: Annotated[
        list[str] | None, typer.Argument(help="Sentences; without any, one a line from standard input.")
    ] = None,
    model: Model = None,
    sha256: Sha256 = None,
    as_json: Json = False,
    precision: Precision = None,
    recall: Recall = None,
    prior: Prior = None,
    abstain: Abstain = None,
) -> None:
    """Read single sentences, given here or one a line on standard input."""
    texts = sentences or [line for line in read_lines() if line.strip()]
    if not texts:
        raise StancewireError('there is no sentence: stancewire predict "If they cross, we will respond."')
    if not all(text.strip() for text in texts):
        raise StancewireError("the sentence is empty")
    classifier = load_classifier(
        model,
        sha256=sha256,
        precision=precision,
        recall=recall,
        prior=parse_shares(prior),
        abstain=abstain,
    )
    predictions = classifier.predict(texts)
    if as_json:
        from stancewire.formats import prediction_values

        for prediction in predictions:
            write_json(prediction_values(prediction))
    else:
        _print_predictions(predictions)


@polite
def info(
    out: Annotated[Path, typer.Argument(help="What `stancewire score` wrote, or a model folder.")],
    sha256: Sha256 = None,
    as_json: Json = False,
) -> None:
    """Say what made an output, or what a model folder holds."""
    from dataclasses import asdict

    from stancewire.manifest import read_manifest
    from stancewire.parts import part_paths
    from stancewire.provenance import read_provenance

    if out.is_dir() and not part_paths(out):
        manifest, digest = read_manifest(out, sha256)
        values = {**asdict(manifest), "digest": digest}
    elif sha256 is not None:
        raise StancewireError(f"--sha256 is of a model folder, and {out} is none")
    else:
        values = asdict(read_provenance(out))
    if as_json:
        write_json(values)
    else:
        show_json(values)


def _check_engine(engine: str, places: list[str], ray_address: str | None, threads: int | None) -> None:
    if engine not in ("local", "ray"):
        raise StancewireError(f"--engine {engine}: should be local or ray")
    if engine == "ray" and threads is not None:
        raise StancewireError(
            "--threads is of one machine: each worker of Ray has one thread, on its own processor"
        )
    if engine == "local":
        if ray_address is not None:
            raise StancewireError("--ray-address is of --engine ray")
        for place in places:
            if "://" in place:
                raise StancewireError(f"{place} is on another machine: add --engine ray")


def _print_predictions(predictions: list[Prediction]) -> None:
    from rich.table import Table
    from rich.text import Text

    from stancewire.summary import printable

    table = Table()
    for label in predictions[0].probabilities:
        table.add_column(Text(printable(label)), justify="right")
    table.add_column("sentence")
    for prediction in predictions:
        held = {stance.label for stance in prediction.stances}
        cells = [
            Text(f"{probability:.3f}", style="bold" if label in held else "dim")
            for label, probability in prediction.probabilities.items()
        ]
        said = Text(printable(prediction.text))
        for stance in prediction.stances:
            said.append(f"\n{_who_to_whom(stance)}", style="dim")
        table.add_row(*cells, said)
    make_console().print(table)


def _who_to_whom(stance: Stance) -> str:
    from stancewire.summary import printable

    writer = "the writer" if stance.source_kind == "author" else "?"
    source = writer if stance.source is None else printable(stance.source.text)
    target = "" if stance.target is None else f" \u2192 {printable(stance.target.text)}"
    return f"{printable(stance.label)}: {source}{target}"


@contextmanager
def _scoring_progress(*, quiet: bool = False) -> Iterator[Callable[[ScoringProgress], object]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = make_console(stderr=True)
    columns = (
        TextColumn("{task.description} {task.fields[documents]:,} documents"),
        BarColumn(),
        TextColumn("{task.fields[sentences]:,} sentences, {task.fields[rate]:,.0f} a second"),
        TimeRemainingColumn(),
    )
    is_silent = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_silent) as bar:
        task = bar.add_task("scoring", total=1.0, documents=0, sentences=0, rate=0.0)

        def show(progress: ScoringProgress) -> None:
            rate = bar.tasks[0].fields["rate"]
            if not progress.is_writing:
                rate = progress.sentences / max(bar.tasks[0].elapsed or 0.0, 1e-3)
            elif bar.tasks[0].description == "scoring":
                bar.reset(task, total=1.0, description="writing")
            bar.update(
                task,
                completed=progress.share,
                documents=progress.documents,
                sentences=progress.sentences,
                rate=rate,
            )

        yield show
