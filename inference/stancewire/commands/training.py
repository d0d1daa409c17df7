"""Commands that need the extra train: check, train, distill and export."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancewire.commands.common import Encoder, Overwrite, Sha256, make_console, need_extra, polite
from stancewire.errors import StancewireError

if TYPE_CHECKING:
    from stancewire_training.trainer import TrainedModel


@polite
def check(
    corpus: Annotated[
        str, typer.Argument(help="A corpus folder, a .jsonl or .csv file, or a hub id.")
    ] = "seeds",
) -> None:
    """Test an annotated corpus as a careful editor would. Exit code 1: it has faults."""
    need_extra("check")
    from stancewire_training.check import check_corpus, check_table

    report = check_corpus(corpus)
    make_console().print(check_table(report))
    raise typer.Exit(1 if report.faults else 0)


@polite
def train(
    config: Annotated[Path, typer.Argument(help="A configuration, such as configs/stance-small.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as training.epochs=3; any number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; by default runs/NAME.")] = None,
    encoder: Encoder = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Go on from a model folder, or a model that comes along, not from the encoder."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was cut short.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a model on an annotated corpus."""
    if start is not None and encoder is not None:
        raise StancewireError("--from and --encoder: give one or the other")
    need_extra("train")
    from stancewire_training.checkpoint import as_encoder
    from stancewire_training.config import read_config
    from stancewire_training.trainer import train as fine_tune

    with ExitStack() as stack:
        own = list(overrides or ())
        if start is not None:
            encoder, replaced = stack.enter_context(as_encoder(start))
            own = [*replaced, *own]
        settings = read_config(config, own)
        folder = out or Path("runs") / settings.name
        result = fine_tune(settings, folder, encoder=encoder, resume=resume, overwrite=overwrite)
    _tell_trained(result, settings.name)


@polite
def distill(
    config: Annotated[Path, typer.Argument(help="A configuration with a section distillation.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as training.epochs=3; any number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; by default runs/NAME.")] = None,
    encoder: Encoder = None,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="A trained folder to learn from; of several the mean.")
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="Unlabelled text for the teacher: articles, or a .jsonl or .csv of sentences."),
    ] = None,
    lessons: Annotated[
        Path | None, typer.Option(help="A folder for what the teacher says, to keep or to take up.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was cut short.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a small model on an annotated corpus and on what a teacher says."""
    need_extra("distill")
    from stancewire_training.config import read_config
    from stancewire_training.data import load_corpus, to_arrays
    from stancewire_training.distillation import prepare_lessons
    from stancewire_training.trainer import train as fine_tune

    settings = read_config(config, overrides or ())
    folder = out or Path("runs") / settings.name
    corpus = load_corpus(settings.data.corpus)
    if teacher and lessons is None:
        lessons = folder.with_name(folder.name + "-lessons")
    with make_console(stderr=True).status("preparing the lessons") as status:
        taught = prepare_lessons(
            settings,
            corpus.labels,
            to_arrays(corpus.splits["train"])[0],
            lessons,
            teacher or (),
            text or (),
            on_progress=lambda what, done, total: status.update(
                f"asking about {what}: {done:,} of {total:,}"
            ),
        )
    result = fine_tune(settings, folder, encoder=encoder, lessons=taught, resume=resume, overwrite=overwrite)
    _tell_trained(result, settings.name)


@polite
def export(
    source: Annotated[Path, typer.Argument(help="A trained folder; with --to transformers, a shipped one.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    to: Annotated[
        str, typer.Option(help="onnx: a model folder; transformers: a checkpoint of one.")
    ] = "onnx",
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Annotated sentences to fit probabilities and thresholds on, such as real news."),
    ] = None,
    evaluations: Annotated[
        list[str] | None,
        typer.Option("--evaluate", help="NAME=DATA: measure on it too, for the model card."),
    ] = None,
    sha256: Sha256 = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a trained folder into a model folder (int8 ONNX), or that into a transformers checkpoint."""
    need_extra("export")
    from stancewire_training.checkpoint import write_transformers
    from stancewire_training.export import export as to_onnx

    if sha256 is not None and to != "transformers":
        raise StancewireError("--sha256 is of a shipped model folder, which goes with --to transformers")
    if to == "transformers":
        written = write_transformers(source, out, sha256=sha256)
        make_console().print(f"{written} loads in transformers", markup=False, highlight=False)
    elif to == "onnx":
        named = dict(_named_path(entry) for entry in evaluations or ())
        report = to_onnx(source, out, calibrate=calibrate, evaluations=named, overwrite=overwrite)
        make_console().print(
            f"{report.folder}: {report.model_bytes / 1e6:.1f} MB; on validation int8 moves a probability by "
            f"at most {report.loss.largest_probability_change:.3f}, and macro-F1 from "
            f"{report.loss.macro_f1_float32:.4f} to {report.loss.macro_f1_int8:.4f}",
            markup=False,
            highlight=False,
        )
    else:
        raise StancewireError(f"--to {to}: should be onnx or transformers")


def _tell_trained(result: TrainedModel, name: str) -> None:
    for split, figures in result.record.figures.items():
        make_console().print(
            f"{split}: macro-F1 {figures['macro_f1']['value']:.3f}", markup=False, highlight=False
        )
    make_console().print(
        f"{result.folder} is ready: stancewire export {result.folder} --out models/{name}",
        markup=False,
        highlight=False,
    )


def _named_path(entry: str) -> tuple[str, Path]:
    name, sign, path = entry.partition("=")
    if not sign or not Path(path).exists():
        raise StancewireError(
            f"--evaluate {entry}: should be NAME=DATA, with a file or folder of annotated sentences"
        )
    return name, Path(path)
