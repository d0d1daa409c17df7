"""The one error that a user of stancewire can cause."""

from __future__ import annotations


class StancewireError(Exception):
    """A fault that its reader can mend: the message says what was wrong, where, and what to do.

    The command line prints the message and exits with code 2; anything else that reaches the user as a
    traceback is a bug in stancewire.
    """


def install_hint(extra: str) -> str:
    """Say how an extra is installed, by a user and in a clone."""
    return f"pip install 'stancewire[{extra}]', or in a clone pip install '.[{extra}]'"
