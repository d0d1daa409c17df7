"""What stands in for a command while the documents are run: `documented.py NAME ARGUMENTS`.

Most commands of stancewire are run as they are. These are not:

- `train`, `distill`, `export` and `evaluate --baselines` take minutes to hours. The command line reads their
  arguments and the configuration, a fault of which is a failure; then what they would leave is put there: an
  empty folder for a training, the shipped model for an export.
- `serve` goes on in the background, so that the lines after it can ask.
- `import` reads what people wrote: where a file is missing, the tasks are answered by rote.
- `pip install` asks whether the extras exist, `make` (but for `make score`) whether the target does,
  `python FILE` whether the file and its options do.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "stance-small"
PARSED = ("train", "distill", "export")
PORT_TAKEN = 75
"""The exit code where another program serves on the port that a page names."""

REAL = [sys.executable, "-m", "stancewire.cli"]


def stancewire(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    if name in PARSED or (name == "evaluate" and "--baselines" in arguments):
        return parse_only(name, arguments[1:])
    if name == "serve":
        return serve(arguments)
    if name == "import":
        for file in map(Path, arguments[1 : arguments.index("--into")]):
            if not file.exists():
                annotate(file)
    return subprocess.run([*REAL, *arguments], check=False).returncode


def parse_only(name: str, arguments: list[str]) -> int:
    import typer

    from stancewire.cli import app

    command = typer.main.get_command(app).commands[name]
    values = command.make_context(name, list(arguments)).params
    if name in ("train", "distill"):
        from stancewire_training.config import read_config

        settings = read_config(values["config"], values["overrides"] or ())
        (values["out"] or Path("runs") / settings.name).mkdir(parents=True, exist_ok=True)
    elif name == "export":
        shutil.copytree(MODEL, values["out"], dirs_exist_ok=True)
    return 0


def serve(arguments: list[str]) -> int:
    port = arguments[arguments.index("--port") + 1] if "--port" in arguments else "8765"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(port))) == 0:
            return PORT_TAKEN
    with Path("server.log").open("ab") as log:
        process = subprocess.Popen([*REAL, *arguments], stdout=log, stderr=log, start_new_session=True)
    with Path("servers").open("a", encoding="utf-8") as pids:
        pids.write(f"{process.pid}\n")
    while process.poll() is None:
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return 0
        except OSError:
            time.sleep(0.2)
    sys.stderr.write(Path("server.log").read_text(encoding="utf-8"))
    return 1


def annotate(file: Path) -> None:
    """Answer every third task with the first label, the others with none."""
    if file.suffix == ".csv":
        with Path("sample.csv").open(encoding="utf-8-sig", newline="") as tasks:
            rows = list(csv.DictReader(tasks))
        label = next(name.removeprefix("source_") for name in rows[0] if name.startswith("source_"))
        with file.open("w", encoding="utf-8", newline="") as done:
            writer = csv.DictWriter(done, list(rows[0]))
            writer.writeheader()
            for number, row in enumerate(rows):
                writer.writerow(row | {"labels": label if number % 3 == 0 else "none"})
        return
    tasks = Path(file.name.replace("-done", ""))
    interface = tasks.with_name(tasks.name + ".labels.xml").read_text(encoding="utf-8")
    label = re.findall(r'<Choice value="([^"]+)"', interface)[0]
    values = json.loads(tasks.read_text(encoding="utf-8"))
    for number, task in enumerate(values):
        choices = {"choices": [label] if number % 3 == 0 else []}
        result = {"from_name": "stances", "to_name": "text", "type": "choices", "value": choices}
        task |= {"id": number + 1, "annotations": [{"completed_by": 1, "result": [result]}]}
    file.write_text(json.dumps(values), encoding="utf-8")


def pip(arguments: list[str]) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = set(project["optional-dependencies"])
    for asked in arguments[1:]:
        found = re.fullmatch(r"(?:\.|stancewire)(?:\[([\w,]+)\])?", asked)
        if arguments[0] != "install" or found is None or not set((found[1] or "").split(",")) <= known | {""}:
            sys.stderr.write(f"pip {arguments}: not of this project, or no extra of it\n")
            return 1
    return 0


def make(arguments: list[str]) -> int:
    real = shutil.which("make", path=os.defpath + ":/usr/local/bin")
    flags = [] if arguments[0] == "score" else ["-n"]
    return subprocess.run([str(real), *flags, *arguments], check=False).returncode


def python(arguments: list[str]) -> int:
    if arguments[:2] == ["-m", "venv"]:
        scripts = Path(arguments[2], "bin")
        scripts.mkdir(parents=True, exist_ok=True)
        (scripts / "activate").touch()
        return 0
    source = (ROOT / arguments[0]).read_text(encoding="utf-8")
    missing = [word for word in arguments[1:] if word.startswith("--") and f'"{word}"' not in source]
    if missing:
        sys.stderr.write(f"{arguments[0]} has no {missing}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    stands_in = {"stancewire": stancewire, "pip": pip, "make": make, "python": python, "python3": python}
    sys.exit(stands_in[sys.argv[1]](sys.argv[2:]))
