"""What the commands share: options, the console, faults told politely, and loading a model."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, ParamSpec, TypeVar

import typer

from stancewire.errors import StancewireError, install_hint

if TYPE_CHECKING:
    from rich.console import Console

    from stancewire.classifier import StanceClassifier

P = ParamSpec("P")
R = TypeVar("R")
# A message names an option as the terminal does, and beside it as Python does.
_KEYWORD: Final = re.compile(r"(--overwrite|--resume) \(\w+=True\)")

Model = Annotated[str | None, typer.Option(help="A model folder, or the name of a model that comes along.")]
Sha256 = Annotated[
    str | None,
    typer.Option(help="The digest that the model folder must have, from somebody you trust; info shows it."),
]
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


def polite(command: Callable[P, R]) -> Callable[P, R]:
    """Tell a fault of the user's in a sentence with exit code 2; ctrl-C is 130, a closed pipe (| head) 0."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StancewireError as error:
            from stancewire.summary import printable

            said = printable("stancewire: " + _KEYWORD.sub(r"\1", str(error)))
            make_console(stderr=True).print(said, style="red", markup=False, soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            make_console(stderr=True).print(
                "stancewire: interrupted; what was there before is as it was", markup=False
            )
            raise typer.Exit(130) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None

    return run


def load_classifier(
    model: str | None,
    threads: int | None = None,
    *,
    sha256: str | None = None,
    precision: float | None = None,
    recall: float | None = None,
    prior: Mapping[str, float] | None = None,
    abstain: float | None = None,
) -> StanceClassifier:
    """Load a model for a command, and say which labels its operating point never marks."""
    from stancewire.classifier import StanceClassifier
    from stancewire.operating_point import NEVER

    classifier = StanceClassifier.load(
        model,
        sha256=sha256,
        threads=threads,
        precision=precision,
        recall=recall,
        prior=prior,
        abstain=abstain,
    )
    for label, threshold in classifier.thresholds.items():
        if threshold >= NEVER:
            make_console(stderr=True).print(
                f"stancewire: {label} never had that where the model was calibrated: it is not marked at all",
                markup=False,
            )
    return classifier


def parse_shares(entries: Sequence[str] | None) -> dict[str, float]:
    """Parse the entries of `--prior`, LABEL=SHARE; StancewireError where one is not."""
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


def make_console(*, stderr: bool = False) -> Console:
    """Make a console for what a command says; faults and progress go to standard error."""
    from stancewire.terminal import PlainConsole

    return PlainConsole(stderr=stderr)


def need_extra(command: str) -> None:
    """Refuse `command` with a sentence where the extra train is not installed."""
    missing = [
        module for module in ("torch", "transformers", "datasets", "pydantic") if find_spec(module) is None
    ]
    if missing:
        raise StancewireError(f"stancewire {command} needs {', '.join(missing)}: {install_hint('train')}")


def read_lines() -> list[str]:
    """Read the lines of standard input, none from a terminal."""
    if sys.stdin.isatty():
        return []
    return sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()


def write_json(values: object) -> None:
    """Print values as one line of JSON, in ASCII where the terminal has no Unicode."""
    from stancewire.terminal import json_for_terminal

    sys.stdout.write(json_for_terminal(values, in_ascii=not _prints_unicode()) + "\n")


def show_json(values: object) -> None:
    """Print values as JSON for people to read, in colours where the terminal has them."""
    from rich.highlighter import JSONHighlighter

    from stancewire.terminal import json_for_terminal

    text = json_for_terminal(values, indent=2, in_ascii=not _prints_unicode())
    make_console().print(JSONHighlighter()(text), soft_wrap=True)


def _prints_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


@contextmanager
def show_progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a bar on a terminal; the function that is given advances it by a number."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = make_console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)
