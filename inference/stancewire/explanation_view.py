"""An explanation as a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stancewire.explanation import Explanation
from stancewire.summary import printable

_FOR: Final = ("", "black on #cfe8ff", "black on #7dbdff", "bold white on #0b57b0")
# Underlined as well, for those who tell the colours badly and for terminals with few.
_AGAINST: Final = (
    "",
    "underline black on #ffe0cc",
    "underline black on #ffb27d",
    "underline bold white on #a34100",
)
_WORDS_LISTED: Final = 6
# Below this, in log-odds, a word is not listed.
_LEAST: Final = 0.1
_LONGEST: Final = 300


def explanation_view(explanation: Explanation, labels: Sequence[str]) -> Group:
    """Show the sentence with its words coloured, once a label, then the nearest annotated sentences."""
    parts: list[RenderableType] = []
    for label in labels:
        parts += _label(explanation, label)
    return Group(*parts, *_neighbours(explanation))


def _label(explanation: Explanation, label: str) -> Iterator[RenderableType]:
    probability = explanation.prediction.probabilities[label]
    held = label in {stance.label for stance in explanation.prediction.stances}
    yield Text.assemble(
        (printable(label), "bold"), f" {probability:.3f}", ("" if held else ", does not hold", "dim")
    )
    marked = Text()
    for piece, shade in explanation.marked(label):
        shown = " ".join(piece.split()) if shade else _one_line(piece)
        marked.append(shown, style=_FOR[shade] if shade > 0 else _AGAINST[-shade])
    yield Padding(marked, (0, 0, 0, 2))
    ranked = sorted(explanation.words, key=lambda word: -abs(word.weights[label]))
    listed = [word for word in ranked[:_WORDS_LISTED] if abs(word.weights[label]) >= _LEAST]
    if listed:
        told = ", ".join(f"{printable(word.text)} {word.weights[label]:+.1f}" for word in listed)
        yield Padding(Text(f"log-odds: {told}", style="dim"), (0, 0, 0, 2))
    decisive = explanation.decisive.get(label)
    if decisive is not None:
        words = " and ".join(f"“{printable(explanation.words[at].text)}”" for at in decisive.words)
        yield Padding(
            Text(f"without {words} it does not hold: {decisive.probability:.3f}", style="dim"), (0, 0, 0, 2)
        )
    yield Text()


def _neighbours(explanation: Explanation) -> Iterator[RenderableType]:
    if explanation.neighbours is None:
        yield Text(
            "There is no index to find annotated sentences in: stancewire index CORPUS --out INDEX.parquet "
            "makes one, and --index INDEX.parquet takes it.",
            style="dim",
        )
        return
    if not explanation.neighbours:
        return
    table = Table(
        title=Text(f"Nearest annotated sentences in {printable(explanation.corpus or 'the corpus')}"),
        title_justify="left",
    )
    table.add_column("near", justify="right")
    table.add_column("annotated as")
    table.add_column("sentence")
    for neighbour in explanation.neighbours:
        text = printable(neighbour.text)
        shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        table.add_row(
            f"{neighbour.similarity:.2f}",
            Text(
                ", ".join(map(printable, neighbour.labels)) or "none", style="" if neighbour.labels else "dim"
            ),
            Text.assemble(shown, " ", (printable(neighbour.source), "dim")),
        )
    yield table


def _one_line(text: str) -> str:
    return "".join(" " if character.isspace() else character for character in text)
