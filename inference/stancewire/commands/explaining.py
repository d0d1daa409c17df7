"""Commands that say what a label rests on: explain, and index for its neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stancewire.commands.common import (
    Json,
    Model,
    Overwrite,
    Precision,
    Prior,
    Recall,
    Sha256,
    load_classifier,
    make_console,
    parse_shares,
    polite,
    read_lines,
    show_progress,
    write_json,
)
from stancewire.errors import StancewireError


@polite
def explain(
    sentences: Annotated[
        list[str] | None, typer.Argument(help="Sentences; without any, one a line from standard input.")
    ] = None,
    model: Model = None,
    sha256: Sha256 = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A label to explain, held or not; by default those that hold.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="An index by stancewire index; by default that of the model folder.")
    ] = None,
    neighbours: Annotated[int, typer.Option(min=0, max=100, help="Annotated sentences to show.")] = 5,
    as_json: Json = False,
    precision: Precision = None,
    recall: Recall = None,
    prior: Prior = None,
) -> None:
    """Say which words carry each label (leave-one-out), and which annotated sentences are nearest."""
    from stancewire.explanation import Explainer

    texts = sentences or [line for line in read_lines() if line.strip()]
    if not texts:
        raise StancewireError('there is no sentence: stancewire explain "If they cross, we will respond."')
    classifier = load_classifier(
        model, sha256=sha256, precision=precision, recall=recall, prior=parse_shares(prior)
    )
    for asked in label or ():
        if asked not in classifier.labels:
            raise StancewireError(f"--label {asked}: the model has {', '.join(classifier.labels)}")
    explainer = Explainer(classifier, index)
    for text in texts:
        explanation = explainer.explain(text, neighbours)
        if as_json:
            write_json(explanation.to_dict())
        else:
            from stancewire.explanation_view import explanation_view

            make_console().print(explanation_view(explanation, label or explanation.labels))


@polite
def index(
    corpus: Annotated[
        Path,
        typer.Argument(help="Annotated sentences: a .jsonl or .csv file, or a folder with a train split."),
    ],
    model: Model = None,
    sha256: Sha256 = None,
    out: Annotated[Path | None, typer.Option(help="The index to write: .parquet.")] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Keep it in the model folder, and its hash in stance.json.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Index annotated sentences, for stancewire explain to find the nearest."""
    from stancewire.manifest import MANIFEST, sha256_of, shipped_digest
    from stancewire.neighbours import build_index, read_train_split
    from stancewire.summary import printable

    if (out is None) != store:
        raise StancewireError(
            "say where the index goes: --out INDEX.parquet, or --store into the model folder"
        )
    classifier = load_classifier(model, sha256=sha256)
    with show_progress("sentences", len(read_train_split(corpus))) as advance:
        report = build_index(classifier, corpus, out, overwrite=overwrite, on_progress=advance)
    told = f"{printable(str(report.out))}, {report.size / 1e6:.1f} MB, has {report.sentences:,} sentences."
    if store and shipped_digest(classifier.folder) is not None:
        told += (
            " The model came with stancewire, which knows its digest: write in inference/stancewire/"
            f"shipped.py {classifier.folder.name!r}: {sha256_of(classifier.folder / MANIFEST)!r}"
        )
    make_console().print(told, markup=False, highlight=False, soft_wrap=True)
