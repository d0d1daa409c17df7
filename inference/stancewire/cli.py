"""The command line: the commands of `stancewire.commands`, each imported with no more than it needs."""

from __future__ import annotations

import typer

from stancewire.commands.comparing import compare
from stancewire.commands.counting import events, report
from stancewire.commands.explaining import explain, index
from stancewire.commands.measuring import evaluate
from stancewire.commands.reviewing import import_answers, review, validate
from stancewire.commands.scoring import info, predict, score
from stancewire.commands.serving import serve
from stancewire.commands.training import check, distill, export, train

app = typer.Typer(
    help="Reads the stances that actors take in the news, sentence by sentence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_COMMANDS = (
    score,
    predict,
    info,
    report,
    events,
    compare,
    serve,
    explain,
    index,
    evaluate,
    review,
    import_answers,
    validate,
    check,
    train,
    distill,
    export,
)
for command in _COMMANDS:
    # What is a word of Python's cannot be the name of a function.
    app.command("import" if command is import_answers else None)(command)


def main() -> None:
    """Run the command line, and leave with the exit code that docs/output.md promises."""
    app()


def main_train() -> None:
    """Run the command `train` alone."""
    typer.run(train)


if __name__ == "__main__":
    main()
