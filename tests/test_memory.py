"""Memory does not grow with what is scored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import json, random, resource, sys
from pathlib import Path
from arithmetic import make_classifier
from stancewire.scoring import score_paths

table, megabytes = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(1)
stems = ("port", "ship", "crew", "envoy", "river", "talk")
words = [f"{stem}{end}" for stem in stems for end in ("", "s", "ing", "ed")]
with table.open("w") as stream:
    number = 0
    while stream.tell() < megabytes * 1_000_000:
        number += 1
        text = " ".join(" ".join(chance.choices(words, k=100)).capitalize() + "." for _ in range(30))
        row = {"id": f"document {number}", "text": text, "outlet": "Post", "page": number}
        stream.write(json.dumps(row) + "\\n")
result = score_paths(make_classifier(), [table], table.with_name(f"o{sys.argv[3]}"), any_language=True)
assert result.documents == number
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, megabytes: int, suffix: str) -> int:
    """The megabytes of memory that scoring so many megabytes of JSON lines takes at most."""
    folder.mkdir()
    command = [sys.executable, "-c", RUN, str(folder / "a.jsonl"), str(megabytes), suffix]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_two_hundred_megabytes_take_no_more_memory_than_ten(tmp_path, suffix):
    small = peak(tmp_path / "small", 10, suffix)

    large = peak(tmp_path / "large", 200, suffix)

    assert large < small + 40
