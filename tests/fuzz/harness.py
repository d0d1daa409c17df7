"""What the harnesses share: atheris around one function, the corpus that is kept, and what counts as a fault.

A harness is a file `fuzz_NAME.py` with a function `one_input(data: bytes)`, which raises only where the code
is at fault. `tests/fuzz/run.py` runs all of them, and `tests/test_fuzz.py` tries what lies in
`tests/fuzz/corpus/NAME/` on each, so that what was found once stays mended. A further harness, such as one
for importers of annotations, is a further file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
sys.path.insert(0, str(Path(__file__).parents[1]))


def text_of(data: bytes) -> str:
    """Make text of any bytes: UTF-8, and lone surrogates of what is none."""
    return data.decode("utf-8", "surrogateescape")


def main(one_input: Callable[[bytes], None], instrumented: Sequence[str]) -> None:
    """Fuzz a function under atheris, with libFuzzer's options from the command line."""
    import importlib

    import atheris

    with atheris.instrument_imports(include=list(instrumented)):
        for name in instrumented:
            importlib.import_module(name)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
