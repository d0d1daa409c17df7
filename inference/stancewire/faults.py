"""What the native libraries raise over a stranger's file, as the error that a user can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stancewire.errors import StancewireError

_LONGEST = 300


@contextmanager
def faults_as(make_error: Callable[[str], StancewireError]) -> Iterator[None]:
    """Raise what tokenizers or onnxruntime raise inside as the StancewireError that `make_error` makes of it.

    Their errors have no common class but Exception, and a panic in Rust is told by its name alone. They may
    quote the file, whose words are not for a terminal.
    """
    try:
        yield
    except StancewireError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(ascii(str(error)).split())
        raise make_error(said[:_LONGEST]) from None
