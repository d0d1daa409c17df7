"""The table that ends a scoring run.

File names and article text are other people's: they are shown as plain text, with no markup read into them
and nothing in them that a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from stancewire.provenance import errors_path

if TYPE_CHECKING:
    from stancewire.scoring import Highlight, ScoringResult

_LONGEST_SENTENCE: Final = 160
_SKIPPED_SHOWN: Final = 10


def summary_table(result: ScoringResult) -> Group:
    """Build what a run says at its end: counts, strongest sentences, what was skipped or read unusually."""
    table = Table(
        title=Text(f"{number_of(result.documents, 'document')}, {number_of(result.sentences, 'sentence')}"),
        title_justify="left",
        show_lines=True,
    )
    table.add_column("stance", no_wrap=True)
    table.add_column("sentences", justify="right")
    table.add_column("share", justify="right")
    table.add_column("strongest")
    for label, held in result.counts.items():
        share = f"{held / result.sentences:.1%}" if result.sentences else ""
        table.add_row(Text(printable(label)), f"{held:,}", share, _strongest(result.strongest[label]))
    return Group(table, *_notes(result))


def printable(text: str) -> str:
    """Put a text on one line that a terminal shows as it is: no control characters, nothing reversed."""
    shown = "".join(
        character if character.isprintable() or character.isspace() else "\ufffd" for character in text
    )
    return " ".join(shown.split())


def number_of(number: int, noun: str, nouns: str | None = None) -> str:
    """Write a number and what it counts, `nouns` or the noun with an s where it is not 1."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def _strongest(highlights: tuple[Highlight, ...]) -> Text:
    lines = []
    for highlight in highlights:
        sentence = printable(highlight.text)
        if len(sentence) > _LONGEST_SENTENCE:
            sentence = sentence[: _LONGEST_SENTENCE - 1] + "…"
        document = (printable(highlight.document), "dim")
        lines.append(Text.assemble(f"{highlight.probability:.2f} ", sentence, " ", document))
    return Text("\n").join(lines)


def _notes(result: ScoringResult) -> Iterator[Text]:
    provenance = result.provenance
    if result.other_encodings:
        yield Text(f"Read in other encodings than UTF-8: {_listed(result.other_encodings)}")
    if provenance.repaired:
        yield Text(f"Mojibake mended in {number_of(provenance.repaired, 'document')}")
    if result.other_languages:
        done = (
            "scored all the same"
            if provenance.settings.get("any_language")
            else "skipped; --any-language scores them"
        )
        yield Text(f"Not in English: {_listed(result.other_languages)} ({done})")
    if provenance.ignored:
        yield Text(f"Files of other kinds, not looked at: {_listed(provenance.ignored)}")
    if result.skipped:
        yield Text(f"Skipped {number_of(result.skipped_count, 'document')}:", style="yellow")
    for skipped in result.skipped[:_SKIPPED_SHOWN]:
        yield Text(f"  {printable(skipped.document)} {printable(skipped.reason)}")
    if result.skipped_count > _SKIPPED_SHOWN:
        yield Text(
            f"  … and {result.skipped_count - _SKIPPED_SHOWN:,} more, all in "
            f"{printable(errors_path(result.out).name)}"
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{printable(name)} {number:,}" for name, number in counts.items())
