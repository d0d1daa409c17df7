"""The command line: each command a thin shell around a function of the packages, imported inside it."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer

from stancewire.errors import StancewireError

if TYPE_CHECKING:
    from rich.console import Console

    from stancewire.annotations import AnnotatedSentence
    from stancewire.baselines import SystemOutput
    from stancewire.classifier import Prediction, Stance, StanceClassifier
    from stancewire.evaluation import Evaluation
    from stancewire.scoring import Progress as ScoringProgress
    from stancewire_training.trainer import TrainedModel

app = typer.Typer(
    help="Reads the stances that actors take in the news, sentence by sentence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

P = ParamSpec("P")
R = TypeVar("R")

Model = Annotated[str | None, typer.Option(help="A model folder, or the name of a model that comes along.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Sentences under way at once; one a processor.")]
Precision = Annotated[
    float | None,
    typer.Option(help="Thresholds that had this precision where the model was calibrated, not the best F1."),
]
Recall = Annotated[
    float | None, typer.Option(help="The same for a recall: who must miss nothing asks for it.")
]
Prior = Annotated[
    list[str] | None,
    typer.Option(
        help="LABEL=SHARE of your sentences that hold it, if it differs from the model's; any number."
    ),
]
Abstain = Annotated[
    float | None, typer.Option(help="Mark sentences whose stances are wrong with more than this probability.")
]
Encoder = Annotated[Path | None, typer.Option(help="A local folder with the config's encoder.")]


def main() -> None:
    """Run the command line, and leave with the exit code that docs/output.md promises."""
    app()


def main_train() -> None:
    """Run the command `train` alone."""
    typer.run(train)


def _polite(command: Callable[P, R]) -> Callable[P, R]:
    # A fault of the user's is a sentence and exit code 2, ctrl-C is 130, a closed pipe (`| head`) ends it.
    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StancewireError as error:
            from stancewire.summary import printable

            said = printable(f"stancewire: {error}")
            _console(stderr=True).print(said, style="red", markup=False, soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _console(stderr=True).print(
                "stancewire: interrupted; what was there before is as it was", markup=False
            )
            raise typer.Exit(130) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None

    return run


@app.command()
@_polite
def score(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Articles, tables of them, archives, or folders of these; - is what comes on standard input."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write: .jsonl, .csv or .parquet.")],
    model: Model = None,
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
) -> None:
    """Score articles into one file. A run that was cut short goes on where it stood.

    Exit code 1: finished, but documents were skipped.
    """
    from stancewire.rows import RowOptions
    from stancewire.scoring import score_paths
    from stancewire.summary import printable, summary_table

    classifier = _load(
        model, threads, precision=precision, recall=recall, prior=_shares(prior), abstain=abstain
    )
    try:
        with _scoring_progress(quiet=quiet) as on_progress:
            result = score_paths(
                classifier,
                paths,
                out,
                overwrite=overwrite,
                resume=resume,
                any_language=any_language,
                rows=RowOptions(text_column, id_column, date_column, round(max_document * 1e6)),
                spreadsheet=spreadsheet,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        _console(stderr=True).print(
            "stancewire: interrupted; the same command goes on where it stood", markup=False
        )
        raise typer.Exit(130) from None
    written = f"Written to {printable(str(out))}"
    if quiet:
        counts = f"{result.documents} documents, {result.sentences} sentences, {result.skipped_count} skipped"
        _console().print(f"{written}: {counts}.", markup=False, highlight=False, soft_wrap=True)
    else:
        _console().print(summary_table(result))
        _console().print(
            f"{written}; stancewire info on it says what made it.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    raise typer.Exit(1 if result.skipped else 0)


@app.command()
@_polite
def predict(
    sentences: Annotated[
        list[str] | None, typer.Argument(help="Sentences; without any, one a line from standard input.")
    ] = None,
    model: Model = None,
    as_json: Json = False,
    precision: Precision = None,
    recall: Recall = None,
    prior: Prior = None,
    abstain: Abstain = None,
) -> None:
    """Read single sentences, given here or one a line on standard input."""
    texts = sentences or [line for line in _read_lines() if line.strip()]
    if not texts:
        raise StancewireError('there is no sentence: stancewire predict "If they cross, we will respond."')
    classifier = _load(model, precision=precision, recall=recall, prior=_shares(prior), abstain=abstain)
    predictions = classifier.predict(texts)
    if as_json:
        from stancewire.formats import stance_values

        for prediction in predictions:
            _write_json(
                {
                    "text": prediction.text,
                    "probabilities": dict(prediction.probabilities),
                    "stances": [stance_values(stance) for stance in prediction.stances],
                    "risk": prediction.risk,
                    "uncertain": prediction.uncertain,
                }
            )
    else:
        _print_predictions(predictions)


@app.command()
@_polite
def info(
    out: Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote, or a model folder.")],
    as_json: Json = False,
) -> None:
    """Say what made an output, or what a model folder holds."""
    from dataclasses import asdict

    from stancewire.manifest import read_manifest
    from stancewire.provenance import read_provenance

    if out.is_dir():
        manifest, digest = read_manifest(out)
        values = {**asdict(manifest), "digest": digest}
    else:
        values = asdict(read_provenance(out))
    if as_json:
        _write_json(values)
    else:
        _console().print_json(json.dumps(values))


@app.command()
@_polite
def report(
    scores: Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote.")],
    out: Annotated[Path, typer.Option(help="The page to write: .html.")],
    overwrite: Overwrite = False,
) -> None:
    """Make one page of scores, to look at in a browser: counts, who to whom, and the articles."""
    from stancewire.provenance import read_provenance
    from stancewire.report import write_report
    from stancewire.summary import printable

    with _progress("documents", read_provenance(scores).documents) as advance:
        written = write_report(scores, out, overwrite=overwrite, on_progress=advance)
    _console().print(
        f"{printable(str(out))}, {max(written.size / 1e6, 0.1):.1f} MB, is ready: open it in a browser.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if written.extent != "all":
        _console().print(
            f"The articles are too many for one page: it has stances of {written.articles:,} of "
            f"{written.documents:,}, and the counts of all.",
            highlight=False,
        )


@app.command()
@_polite
def events(
    scores: Annotated[Path, typer.Argument(help="A file that `stancewire score` wrote.")],
    out: Annotated[Path, typer.Option(help="The table to write: .csv or .parquet.")],
    by: Annotated[str, typer.Option(help="What a row spans: day, week, month, year, or none.")] = "month",
    actors: Annotated[
        Path | None, typer.Option(help="Actors of your own, CSV: pattern, actor, group. They go first.")
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="A table with one stance a row, to write too: .csv or .parquet.")
    ] = None,
    unmatched: Annotated[
        Path | None, typer.Option(help="A table of the names that no list has, to write too.")
    ] = None,
    each_actor: Annotated[
        bool, typer.Option("--each-actor", help="Count 'Russia and China' for each, not for the first.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Count who takes which stance towards whom, by period: a dyadic table."""
    from stancewire.events import count_events
    from stancewire.events_summary import events_summary
    from stancewire.summary import printable

    with _console(stderr=True).status("counting") as status:
        result = count_events(
            scores,
            out,
            by=by,
            actors=actors,
            sentences=sentences,
            unmatched=unmatched,
            each_actor=each_actor,
            overwrite=overwrite,
            on_document=lambda number: status.update(f"counting: {number:,} documents"),
        )
    _console().print(events_summary(result))
    _console().print(
        f"Written to {printable(str(out))}; docs/events.md says what its columns are.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@app.command()
@_polite
def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Annotated sentences: a .jsonl or .csv file, or a folder of them.")
    ],
    model: Model = None,
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
    classifier = _load(model)
    rival = None if against is None else _load(against)
    folder = resolve_folder(model)
    sentences = read_annotated(data)
    find_groupings(sentences, by or ())
    if baselines:
        outputs = _compute_baselines(classifier, sentences, corpus, keywords, encoder)
        if store:
            store_baselines(folder, classifier.labels, sentences, outputs)
    else:
        outputs = read_baselines(folder, classifier.labels, sentences)
    with _progress("sentences", len(sentences) * (1 if rival is None else 2)) as advance:
        evaluation = measure(classifier, sentences, outputs, against=rival, on_progress=advance)
    if as_json:
        _write_json(evaluation.to_dict())
    else:
        _console().print(
            evaluation_table(evaluation, by=by or (), abstention=abstention, reliability=plots is not None)
        )
    _write_reports(evaluation, plots, errors, _console(stderr=as_json))


@app.command()
@_polite
def check(
    corpus: Annotated[
        str, typer.Argument(help="A corpus folder, a .jsonl or .csv file, or a hub id.")
    ] = "seeds",
) -> None:
    """Test an annotated corpus as a careful editor would. Exit code 1: it has faults."""
    _need_extra("check")
    from stancewire_training.check import check_corpus, check_table

    report = check_corpus(corpus)
    _console().print(check_table(report))
    raise typer.Exit(1 if report.faults else 0)


@app.command()
@_polite
def train(
    config: Annotated[Path, typer.Argument(help="A configuration, such as configs/stance-small.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as training.epochs=3; any number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; by default runs/NAME.")] = None,
    encoder: Encoder = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was cut short.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a model on an annotated corpus."""
    _need_extra("train")
    from stancewire_training.config import read_config
    from stancewire_training.trainer import train as fine_tune

    settings = read_config(config, overrides or ())
    folder = out or Path("runs") / settings.name
    result = fine_tune(settings, folder, encoder=encoder, resume=resume, overwrite=overwrite)
    _tell_trained(result, settings.name)


@app.command()
@_polite
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
    _need_extra("distill")
    from stancewire_training.config import read_config
    from stancewire_training.data import load_corpus, to_arrays
    from stancewire_training.distillation import prepare_lessons
    from stancewire_training.trainer import train as fine_tune

    settings = read_config(config, overrides or ())
    folder = out or Path("runs") / settings.name
    corpus = load_corpus(settings.data.corpus)
    if teacher and lessons is None:
        lessons = folder.with_name(folder.name + "-lessons")
    with _console(stderr=True).status("preparing the lessons") as status:
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


@app.command()
@_polite
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
    overwrite: Overwrite = False,
) -> None:
    """Make a trained folder into a model folder (int8 ONNX), or that into a transformers checkpoint."""
    _need_extra("export")
    from stancewire_training.checkpoint import write_transformers
    from stancewire_training.export import export as to_onnx

    if to == "transformers":
        _console().print(f"{write_transformers(source, out)} loads in transformers", highlight=False)
    elif to == "onnx":
        named = dict(_named_path(entry) for entry in evaluations or ())
        report = to_onnx(source, out, calibrate=calibrate, evaluations=named, overwrite=overwrite)
        _console().print(
            f"{report.folder}: {report.model_bytes / 1e6:.1f} MB; on validation int8 moves a probability by "
            f"at most {report.loss.largest_probability_change:.3f}, and macro-F1 from "
            f"{report.loss.macro_f1_float32:.4f} to {report.loss.macro_f1_int8:.4f}",
            highlight=False,
        )
    else:
        raise StancewireError(f"--to {to}: should be onnx or transformers")


def _tell_trained(result: TrainedModel, name: str) -> None:
    for split, figures in result.record.figures.items():
        _console().print(f"{split}: macro-F1 {figures['macro_f1']['value']:.3f}", highlight=False)
    _console().print(f"{result.folder} is ready: stancewire export {result.folder} --out models/{name}")


def _load(
    model: str | None,
    threads: int | None = None,
    *,
    precision: float | None = None,
    recall: float | None = None,
    prior: Mapping[str, float] | None = None,
    abstain: float | None = None,
) -> StanceClassifier:
    from stancewire.classifier import StanceClassifier
    from stancewire.operating_point import NEVER

    classifier = StanceClassifier.load(
        model, threads=threads, precision=precision, recall=recall, prior=prior, abstain=abstain
    )
    for label, threshold in classifier.thresholds.items():
        if threshold >= NEVER:
            _console(stderr=True).print(
                f"stancewire: {label} never had that where the model was calibrated: it is not marked at all",
                markup=False,
            )
    return classifier


def _shares(entries: Sequence[str] | None) -> dict[str, float]:
    shares = {}
    for entry in entries or ():
        label, sign, share = entry.partition("=")
        try:
            shares[label] = float(share)
        except ValueError:
            sign = ""
        if not sign:
            raise StancewireError(f"--prior {entry}: should be LABEL=SHARE, the share between 0 and 1")
    return shares


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _need_extra(command: str) -> None:
    missing = [
        module for module in ("torch", "transformers", "datasets", "pydantic") if find_spec(module) is None
    ]
    if missing:
        raise StancewireError(
            f"stancewire {command} needs {', '.join(missing)}: pip install 'stancewire[train]', "
            "or in a clone pip install '.[train]'"
        )


def _read_lines() -> list[str]:
    if sys.stdin.isatty():
        return []
    return sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()


def _write_json(values: object) -> None:
    sys.stdout.write(json.dumps(values, ensure_ascii=not _prints_unicode()) + "\n")


def _prints_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


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
    _console().print(table)


def _who_to_whom(stance: Stance) -> str:
    from stancewire.summary import printable

    writer = "the writer" if stance.source_kind == "author" else "?"
    source = writer if stance.source is None else printable(stance.source.text)
    target = "" if stance.target is None else f" \u2192 {printable(stance.target.text)}"
    return f"{printable(stance.label)}: {source}{target}"


def _named_path(entry: str) -> tuple[str, Path]:
    name, sign, path = entry.partition("=")
    if not sign or not Path(path).exists():
        raise StancewireError(
            f"--evaluate {entry}: should be NAME=DATA, with a file or folder of annotated sentences"
        )
    return name, Path(path)


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
    _need_extra("evaluate --baselines")
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
    config = parse_config(dict(classifier.manifest.provenance["config"]), "the model's configuration")
    with _console(stderr=True).status("measuring the baselines") as status:
        return compute_baselines(
            classifier.labels,
            splits["train"],
            splits["validation"],
            sentences,
            keywords=keywords or Path(str(files("stancewire.configs"))) / "keywords.yaml",
            encoder=fetch_encoder(config.encoder, encoder),
            on_progress=lambda name: status.update(f"measuring the baseline {name}"),
        )


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)


@contextmanager
def _scoring_progress(*, quiet: bool = False) -> Iterator[Callable[[ScoringProgress], object]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console(stderr=True)
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


if __name__ == "__main__":
    main()
