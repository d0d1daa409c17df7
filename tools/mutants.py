"""Change the code that carries promises, one place at a time, and see which changes no test notices.

`python tools/mutants.py segmentation` takes one module, by default those that `[tool.mutmut]` in pyproject
names; it needs mutmut, and lays the last commit out in the folder `--place`, where its results stay: there
`mutmut results` lists the changes that no test noticed, and `mutmut show NAME` shows one. Ends with a line of
JSON: how many changes were noticed, and how many were not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lay_out(place: Path) -> None:
    """Lay the last commit out as mutmut wants it: the packages under src/."""
    with tempfile.TemporaryDirectory() as beside:
        archive = Path(beside) / "tree.tar"
        subprocess.run(["git", "archive", "-o", archive, "HEAD"], cwd=ROOT, check=True)
        with tarfile.open(archive) as stream:
            stream.extractall(place, filter="data")
    (place / "inference").rename(place / "src")
    (place / "training" / "stancewire_training").rename(place / "src" / "stancewire_training")
    for data in ("models", "configs"):
        shutil.copytree(place / data, place / "src" / "stancewire" / data)


def count(place: Path) -> Counter[str]:
    """Count the changes by what became of them, from what mutmut prints."""
    said = subprocess.run(
        [sys.executable, "-m", "mutmut", "results", "--all", "true"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return Counter(line.rpartition(": ")[2].strip() for line in said.splitlines() if ": " in line)


def main() -> int:
    """Lay out, change, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", help="such as segmentation, onnx_reader")
    parser.add_argument("--place", type=Path, help="a folder to work in; by default a new one")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    place = arguments.place or Path(tempfile.mkdtemp(prefix="stancewire-mutants-"))
    if not (place / "src").is_dir():
        lay_out(place)
    chosen = [f"stancewire.{module}.*" for module in arguments.modules]
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(arguments.processes), *chosen]
    code = subprocess.run(command, cwd=place, check=False).returncode
    sys.stdout.write(json.dumps({"place": str(place), **count(place)}) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
