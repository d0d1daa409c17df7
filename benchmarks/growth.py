"""Measure the time and memory of `stancewire score` from a hundred documents to a hundred thousand.

    python benchmarks/growth.py [--max-documents 100000] [--forms .jsonl .csv .parquet parts] [--model FOLDER]
        [--repeated] [--threads N] [--out FOLDER]

For each number of documents and each form of output a new process scores a folder of text files. A document
has twenty sentences of the corpus, drawn by a fixed seed, and no two documents are alike. Each sentence ends
with a number that no other has, so that every one is computed. 100,000 documents are two million sentences,
which takes hours: with `--repeated` the sentences stand as they are in the corpus, 14,588 of them, and from
the second thousand of documents on nearly all come from the run's memory of sentences. What is measured then
is all but the model. `--model` takes a tiny model for the same end.

Memory is the most that the process and those it starts had at once, as the kernel shares it out (PSS), looked
at ten times a second. Prints a table, writes `growth-seconds.svg` and `growth-memory.svg`, and prints one
line of JSON, with the load that the machine had before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pygal
from rich.console import Console
from rich.table import Table

from stancewire.annotations import read_annotated

SEEDS = Path(__file__).parents[1] / "seeds"
SENTENCES = 20
FORMS = (".jsonl", ".csv", ".parquet", "parts")
A_FOLDER = 1_000


@dataclass(frozen=True, slots=True)
class Growth:
    """One run: how long it took from the start of its process to the end, and the most memory it had."""

    documents: int
    form: str
    seconds: float
    megabytes: float
    output_megabytes: float

    @property
    def sentences_a_second(self) -> float:
        """Sentences of the documents, whether computed or remembered."""
        return self.documents * SENTENCES / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--max-documents", type=int, default=100_000)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--model", default="stance-small", help="a model folder, or the name of one")
    parser.add_argument("--repeated", action="store_true", help="let sentences repeat: all but the model")
    parser.add_argument("--threads", type=int, help="one a processor, if it is not given")
    parser.add_argument("--out", type=Path, default=Path(), help="the folder for the two pictures")
    arguments = parser.parse_args()

    load = os.getloadavg()[0]
    about = (
        "sentences repeat, and nearly all beyond 14,588 come from memory: this is all but the model"
        if arguments.repeated
        else "no two sentences are alike, and the model reads each"
    )
    print(f"{arguments.model}, {SENTENCES} sentences a document: {about}; load before the run {load:.2f}")
    sentences = [
        entry.text for split in ("train", "validation", "test") for entry in read_annotated(SEEDS / split)
    ]
    sizes = [size for size in (100, 1_000, 10_000, 100_000) if size <= arguments.max_documents]
    runs = []
    with tempfile.TemporaryDirectory() as beside:
        for size in sizes:
            documents = Path(beside) / "documents"
            write_documents(documents, sentences, size, repeated=arguments.repeated)
            for form in arguments.forms:
                runs.append(measure(documents, size, form, arguments.model, arguments.threads))
                print_run(runs[-1])
            shutil.rmtree(documents)
    print_table(runs)
    draw(runs, arguments.out, about)
    summary = {"model": arguments.model, "repeated": arguments.repeated, "load": load}
    print(json.dumps(summary | {"runs": [asdict(run) for run in runs]}))


def write_documents(folder: Path, sentences: Sequence[str], count: int, *, repeated: bool) -> None:
    """Write documents that are all different, a thousand a folder, each sentence a paragraph of its own."""
    drawn = shuffled(sentences)
    for number in range(count):
        texts = [next(drawn) for _ in range(SENTENCES)]
        if not repeated:
            texts = [f"{text.rstrip('.')} {number * SENTENCES + place}." for place, text in enumerate(texts)]
        path = folder / f"{number // A_FOLDER:03}" / f"{number:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(texts), encoding="utf-8")


def shuffled(sentences: Sequence[str]) -> Iterator[str]:
    """Give all sentences in an order of chance, and again in another, without end."""
    chance = random.Random(0)
    while True:
        yield from chance.sample(sentences, len(sentences))


def measure(documents: Path, size: int, form: str, model: str, threads: int | None) -> Growth:
    """Score the documents in a process of its own."""
    out = documents.with_name("scores" if form == "parts" else f"scores{form}")
    command = [sys.executable, "-m", "stancewire.cli", "score", str(documents), "--out", str(out)]
    command += ["--model", model, "--any-language", "--quiet"]
    command += ["--threads", str(threads)] if threads else []
    begun, most = time.perf_counter(), 0
    with tempfile.TemporaryFile() as told:
        process = psutil.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, shared_memory(process))
            time.sleep(0.1)
        seconds = time.perf_counter() - begun
        if process.returncode != 0:
            told.seek(0)
            sys.exit(f"{' '.join(command)}: {told.read().decode()}")
    written = sum(file.stat().st_size for file in (out.iterdir() if out.is_dir() else [out]))
    for path in documents.parent.glob("scores*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Growth(size, form, round(seconds, 2), round(most / 1e6, 1), round(written / 1e6, 2))


def shared_memory(process: psutil.Process) -> int:
    """Add up the PSS of a process and of those that it started; bytes."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.NoSuchProcess:
        return total
    return total


def print_run(run: Growth) -> None:
    print(f"{run.documents:,} documents into {run.form}: {run.seconds} s, {run.megabytes} MB", flush=True)


def print_table(runs: Sequence[Growth]) -> None:
    table = Table()
    for name in ("documents", "form", "seconds", "sentences a second", "MB of memory", "MB written"):
        table.add_column(name, justify="left" if name == "form" else "right")
    for run in runs:
        figures = (run.seconds, run.sentences_a_second, run.megabytes, run.output_megabytes)
        table.add_row(f"{run.documents:,}", run.form, *(f"{figure:,.1f}" for figure in figures))
    Console().print(table)


def draw(runs: Sequence[Growth], folder: Path, about: str) -> None:
    """Draw seconds and megabytes over documents, a line a form; both axes of the first are logarithmic."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, unit, logarithmic in (("seconds", "seconds", True), ("memory", "MB", False)):
        chart = pygal.Line(
            js=[],
            logarithmic=logarithmic,
            title=f"stancewire score: {unit}; {about}",
            x_title="documents",
            y_title=unit,
            style=pygal.style.CleanStyle(title_font_size=11),
            width=720,
            height=420,
        )
        sizes = sorted({run.documents for run in runs})
        chart.x_labels = [f"{size:,}" for size in sizes]
        for form in dict.fromkeys(run.form for run in runs):
            found = {run.documents: run for run in runs if run.form == form}
            chart.add(form, [found[size].seconds if logarithmic else found[size].megabytes for size in sizes])
        if not logarithmic:
            chart.config.range = (0, max(run.megabytes for run in runs) * 1.1)
        chart.render_to_file(str(folder / f"growth-{name}.svg"))


if __name__ == "__main__":
    main()
