"""The command evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancewire.commands.common import (
    Encoder,
    Json,
    Model,
    Sha256,
    load_classifier,
    make_console,
    need_extra,
    polite,
    show_progress,
    write_json,
)
from stancewire.errors import StancewireError

if TYPE_CHECKING:
    from rich.console import Console

    from stancewire.annotations import AnnotatedSentence
    from stancewire.baselines import SystemOutput
    from stancewire.classifier import StanceClassifier
    from stancewire.evaluation import Evaluation


@polite
def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Annotated sentences: a .jsonl or .csv file, or a folder of them.")
    ],
    model: Model = None,
    sha256: Sha256 = None,
    as_json: Json = False,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Measure the baselines anew on --corpus (extra train).")
    ] = False,
    corpus: Annotated[str, typer.Option(help="With --baselines: the corpus they learn from.")] = "seeds",
    keywords: Annotated[
        Path | None, typer.Option(help="With --baselines: label to stems, YAML; by default the shipped list.")
    ] = None,
    encoder: Encoder = None,
    store: Annotated[
        bool, typer.Option("--store", help="With --baselines: keep their outputs in the model folder.")
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Figures by group: src, part, length, quote, headline, several, or any key of the data; "
            "any number."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another model to compare with: a folder, or the name of a model.")
    ] = None,
    abstention: Annotated[
        bool, typer.Option("--abstention", help="Show what is gained by leaving unsure sentences out.")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option(help="A folder for reliability diagrams and precision-recall curves.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="An .html file for every sentence that the model got wrong.")
    ] = None,
) -> None:
    """Measure a model on annotated sentences, with 95% intervals, beside baselines."""
    from stancewire.annotations import read_annotated
    from stancewire.baselines import read_baselines, store_baselines
    from stancewire.evaluation import evaluate as measure
    from stancewire.evaluation_tables import evaluation_table
    from stancewire.grouping import find_groupings
    from stancewire.manifest import resolve_folder

    _refuse_places(plots, errors)
    classifier = load_classifier(model, sha256=sha256)
    rival = None if against is None else load_classifier(against)
    folder = resolve_folder(model)
    sentences = read_annotated(data)
    find_groupings(sentences, by or ())
    if baselines:
        outputs = _compute_baselines(classifier, sentences, corpus, keywords, encoder)
        if store:
            store_baselines(folder, classifier.labels, sentences, outputs)
    else:
        outputs = read_baselines(folder, classifier.labels, sentences)
    with show_progress("sentences", len(sentences) * (1 if rival is None else 2)) as advance:
        evaluation = measure(classifier, sentences, outputs, against=rival, on_progress=advance)
    if as_json:
        write_json(evaluation.to_dict())
    else:
        make_console().print(
            evaluation_table(evaluation, by=by or (), abstention=abstention, reliability=plots is not None)
        )
    _write_reports(evaluation, plots, errors, make_console(stderr=as_json))


def _refuse_places(plots: Path | None, errors: Path | None) -> None:
    # Before minutes of reading, not after them.
    if plots is not None and plots.exists() and not plots.is_dir():
        raise StancewireError(f"--plots {plots}: should be a folder, and is a file")
    if errors is not None and errors.suffix.lower() not in (".html", ".htm"):
        raise StancewireError(f"--errors {errors}: should end in .html")
    if errors is not None and errors.is_dir():
        raise StancewireError(f"--errors {errors}: should be a file, and is a folder")


def _write_reports(evaluation: Evaluation, plots: Path | None, errors: Path | None, console: Console) -> None:
    from stancewire.summary import printable

    if plots is not None:
        from stancewire.plots import write_plots

        count = len(write_plots(evaluation, plots))
        console.print(f"{count} pictures are in {printable(str(plots))}.", markup=False, highlight=False)
    if errors is not None:
        from stancewire.error_page import render_errors
        from stancewire.writing import write_text

        write_text(errors, render_errors(evaluation))
        console.print(f"What went wrong is in {printable(str(errors))}.", markup=False, highlight=False)


def _compute_baselines(
    classifier: StanceClassifier,
    sentences: Sequence[AnnotatedSentence],
    corpus: str,
    keywords: Path | None,
    encoder: Path | None,
) -> tuple[SystemOutput, ...]:
    need_extra("evaluate --baselines")
    from importlib.resources import files

    from stancewire_training.baselines import compute_baselines
    from stancewire_training.config import parse_config
    from stancewire_training.data import read_corpus
    from stancewire_training.encoder import fetch_encoder

    splits = read_corpus(corpus).splits
    if not {"train", "validation"} <= set(splits):
        raise StancewireError(
            f"{corpus} should have a train and a validation split for the baselines to learn from"
        )
    values = classifier.manifest.provenance.get("config")
    if not isinstance(values, dict):
        raise StancewireError(
            f"the model {classifier.manifest.name} does not give the configuration that it was trained by, "
            "without which the frozen encoder is not known: leave --baselines out, or export the model afresh"
        )
    config = parse_config(values, "the model's configuration")
    with make_console(stderr=True).status("measuring the baselines") as status:
        return compute_baselines(
            classifier.labels,
            splits["train"],
            splits["validation"],
            sentences,
            keywords=keywords or Path(str(files("stancewire.configs"))) / "keywords.yaml",
            encoder=fetch_encoder(config.encoder, encoder),
            on_progress=lambda name: status.update(f"measuring the baseline {name}"),
        )
