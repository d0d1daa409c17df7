"""Run every harness side by side, and say how many inputs each tried.

`python tests/fuzz/run.py --minutes 5` needs atheris (`make fuzz` installs it). It ends with a line of JSON.
If anything failed, the exit code is 1, and what made it fail is kept in the folder that is named: copy such
an input into `tests/fuzz/corpus/NAME/` when its fault is mended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Start the harnesses, wait for them, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", action="append", help="one harness, such as sentences; any number")
    arguments = parser.parse_args()
    seconds, place = round(arguments.minutes * 60), Path(tempfile.mkdtemp(prefix="stancewire-fuzz-"))
    commands = {"folders": ["folders.py", "--seconds", str(seconds)]}
    for path in sorted(HERE.glob("fuzz_*.py")):
        name = path.stem.removeprefix("fuzz_")
        (place / name).mkdir()
        kept = HERE / "corpus" / name
        commands[name] = [
            *(
                path.name,
                f"-max_total_time={seconds}",
                "-timeout=30",
                "-rss_limit_mb=4096",
                "-print_final_stats=1",
            ),
            *(
                f"-artifact_prefix={place}/{name}-",
                str(place / name),
                *([str(kept)] if kept.is_dir() else []),
            ),
        ]
    if arguments.only:
        commands = {name: commands[name] for name in arguments.only}
    running = {}
    for name, command in commands.items():
        log = (place / f"{name}.log").open("w", encoding="utf-8")
        running[name] = subprocess.Popen(
            [sys.executable, *command], cwd=HERE, stdout=log, stderr=log, preexec_fn=lambda: os.nice(19)
        )
    failed = [name for name, process in running.items() if process.wait()]
    counts = {}
    for name in running:
        said = (place / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        found = re.findall(r"number_of_executed_units: (\d+)|^\{\"folders\": (\d+)", said, re.MULTILINE)
        counts[name] = sum(int(number) for pair in found for number in pair if number)
    for name in failed:
        sys.stderr.write(
            f"{name} failed: {place / name}.log says how, and what made it fail lies beside it\n"
        )
    sys.stdout.write(json.dumps({"seconds": seconds, **counts, "failed": failed}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
