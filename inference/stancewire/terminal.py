"""What reaches a terminal: other people's words, and no order among them.

A label, a file name or a sentence may hold the sequences that a terminal obeys (its title, its clipboard, the
screen cleared: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html) or what turns text around. Tables put
each text through `stancewire.summary.printable`; what stands here is the last sieve, through which everything
goes that a command prints.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment


class PlainConsole(Console):
    """A console that shows U+FFFD for every character that a terminal would obey; its own colours stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, and sieve the text of each segment."""
        for segment in super().render(renderable, options):
            if segment.control or _is_harmless(segment.text):
                yield segment
            else:
                text = "".join(shown if _is_harmless(shown) else "\ufffd" for shown in segment.text)
                yield Segment(text, segment.style)


def json_for_terminal(values: object, *, indent: int | None = None, in_ascii: bool = False) -> str:
    r"""Write values as JSON, with `\u` escapes for all that a terminal would obey: to a reader the same.

    With `in_ascii` for all that is not ASCII, too.
    """
    text = json.dumps(values, ensure_ascii=in_ascii, indent=indent)
    return re.sub("[^ -~\n]", lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character if _is_harmless(character) else json.dumps(character)[1:-1]


def _is_harmless(text: str) -> bool:
    return text.isprintable() or all(
        character == "\n" or character.isprintable() or unicodedata.category(character) == "Zs"
        for character in text
    )
