"""Keep a spreadsheet from running the cells of a CSV file as formulas.

What is guarded are the characters that OWASP names (https://owasp.org/www-community/attacks/CSV_Injection),
and their full-width forms. The apostrophe that is put before them is seen in some programs, and taken away by
`unguard`.
"""

from __future__ import annotations

import re

_RUNS = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def guard(cell: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run, and before one that looks guarded."""
    return f"'{cell}" if _RUNS.match(cell) else cell


def unguard(cell: str) -> str:
    """Give back the text of which `guard` made the cell."""
    return cell[1:] if cell.startswith("'") and _RUNS.match(cell) else cell
