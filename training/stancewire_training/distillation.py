"""Learn from a teacher: its probabilities for the training sentences, and for text that nobody annotated.

After Hinton et al. (2015), https://arxiv.org/abs/1503.02531. A teacher's probabilities for the sentences of a
corpus are kept as soft targets (`seeds/soft/`), by a hash of each sentence, so that the teacher need not be
trained again; text without annotations stays where it is, and what was taken of it is kept with the run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stancewire.annotations import SUFFIXES, read_texts
from stancewire.classifier import StanceClassifier
from stancewire.documents import find_documents
from stancewire.errors import StancewireError
from stancewire.language import ENGLISH, UNDETERMINED, detect_language
from stancewire.manifest import MANIFEST, read_manifest
from stancewire.reading import read_groups
from stancewire.runtime import sigmoid
from stancewire.segmentation import unwrap
from stancewire_training.config import read_config
from stancewire_training.model import compute_logits, load_checkpoint
from stancewire_training.record import read_record
from stancewire_training.run_folder import CONFIG

if TYPE_CHECKING:
    from stancewire_training.config import Config, DistillationConfig

Floats = NDArray[np.float32]

SOFT: Final = "soft.parquet"
"""The soft targets in a folder of lessons."""

TEXT: Final = "text.parquet"
"""The unlabelled sentences in a folder of lessons."""

_METADATA: Final = b"stancewire"
_ID: Final = "sentence"


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """A teacher's probabilities for sentences: float32 `[sentences, labels]`, by `sentence_id`.

    `provenance` says what the teacher is: for each of its models the configuration, corpus, and hash of the
    encoder.
    """

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    probabilities: Floats
    provenance: dict[str, Any]

    def of(self, texts: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
        """Give the probabilities of sentences `[texts, labels]`, and whether each one is known."""
        rows = {sentence: row for row, sentence in enumerate(self.ids)}
        found = np.array([rows.get(sentence_id(text), -1) for text in texts], dtype=np.int64)
        return self.probabilities[found], found >= 0

    def write(self, path: Path) -> None:
        """Write them as Parquet: the sentence's hash, and a column a label."""
        columns = {_ID: pa.array([bytes.fromhex(name) for name in self.ids], pa.binary(8))}
        columns |= {
            label: pa.array(column, pa.float32())
            for label, column in zip(self.labels, self.probabilities.T, strict=True)
        }
        table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(self.provenance)})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a student learns besides the annotated labels.

    `soft` are the teacher's probabilities for the corpus; `texts` unlabelled sentences, and `probabilities`
    what the teacher says of them, float32 `[texts, labels]`.
    """

    soft: SoftTargets
    texts: Sequence[str]
    probabilities: Floats

    def targets(self, texts: Sequence[str], labels: Floats, hard_share: float) -> Floats:
        """Mix annotated labels `[texts, labels]` with the teacher's probabilities where it gave some."""
        probabilities, known = self.soft.of(texts)
        mixed = hard_share * labels + (1 - hard_share) * probabilities
        return np.where(known[:, None], mixed, labels).astype(np.float32)

    def provenance(self) -> dict[str, Any]:
        """Say what they are, for the record of a training."""
        return {**self.soft.provenance, "text_sentences": len(self.texts)}


def prepare_lessons(
    config: Config,
    labels: Sequence[str],
    texts: Sequence[str],
    folder: Path | None,
    teachers: Sequence[Path] = (),
    text: Sequence[Path] = (),
    on_progress: Callable[[str, int, int], Any] | None = None,
) -> Lessons:
    """Make the lessons of a student, or take up those made before.

    With `teachers` they are asked about the corpus (`texts`) and about unlabelled `text`, and all is kept in
    `folder`. Else the lessons in `folder` are read, and without a folder the soft targets that the
    configuration names. `on_progress` is told (what, done, of how many). Raises StancewireError.
    """
    settings = config.distillation
    if settings is None:
        raise StancewireError("the configuration has no distillation: stancewire train is its command")
    soft_file = Path(settings.soft_targets) if folder is None else folder / SOFT
    if not teachers:
        if text:
            raise StancewireError("--text needs a teacher that reads it: name one with --teacher")
        found = read_text(folder / TEXT, labels) if folder is not None else ([], np.empty((0, len(labels))))
        return Lessons(read_soft_targets(soft_file, labels), found[0], found[1].astype(np.float32))
    if folder is None:
        raise StancewireError("a teacher's lessons need a folder to be kept in: name one with --lessons")
    soft = make_soft_targets(teachers, labels, texts, _counter("the corpus", len(texts), on_progress))
    soft.write(soft_file)
    pool = collect_text(text, settings)
    probabilities = ask_teachers(teachers, labels, pool, _counter("text", len(pool), on_progress))
    chosen = choose_text(probabilities, settings, config.training.seed)
    lessons = Lessons(soft, [pool[row] for row in chosen], probabilities[chosen])
    write_text(folder / TEXT, lessons.texts, labels, lessons.probabilities)
    return lessons


def _counter(
    what: str, total: int, on_progress: Callable[[str, int, int], Any] | None
) -> Callable[[int], Any] | None:
    if on_progress is None:
        return None
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        on_progress(what, done, total)

    return count


def read_soft_targets(path: Path, labels: Sequence[str]) -> SoftTargets:
    """Read what `SoftTargets.write` wrote; StancewireError if it is none, or not for these labels."""
    try:
        table = pq.read_table(path)
        provenance = json.loads((table.schema.metadata or {})[_METADATA])
        ids = tuple(value.hex() for value in table[_ID].to_pylist())
        found = tuple(name for name in table.column_names if name != _ID)
        columns = [table[name].to_numpy() for name in found]
    except FileNotFoundError:
        raise StancewireError(f"there are no soft targets {path}: name a teacher with --teacher") from None
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise StancewireError(f"{path} is not a file of soft targets: {error!r}") from None
    if found != tuple(labels):
        raise StancewireError(f"{path} is for the labels {', '.join(found)}, not {', '.join(labels)}")
    return SoftTargets(found, ids, np.stack(columns, axis=1).astype(np.float32), provenance)


def sentence_id(text: str) -> str:
    """Name a sentence by 64 bits of the SHA-256 of its text, in hexadecimal."""
    return hashlib.sha256(unwrap(text).encode("utf-8", "replace")).hexdigest()[:16]


def ask_teachers(
    teachers: Sequence[Path],
    labels: Sequence[str],
    texts: Sequence[str],
    on_progress: Callable[[int], Any] | None = None,
) -> Floats:
    """Compute the mean of several teachers' probabilities: float32 `[texts, labels]`.

    A teacher is a model folder, which is quick, or a trained folder that was not exported.
    """
    total = np.zeros((len(texts), len(labels)), dtype=np.float64)
    for folder in teachers:
        shipped = (folder / MANIFEST).is_file()
        known = read_manifest(folder)[0].labels if shipped else read_record(folder).labels
        if known != tuple(labels):
            raise StancewireError(f"the teacher {folder} was not trained on the labels {', '.join(labels)}")
        if shipped:
            total += StanceClassifier.load(folder).probabilities(texts, on_progress)
        else:
            model, tokenizer = load_checkpoint(folder)
            total += sigmoid(compute_logits(model, tokenizer, texts, on_progress=on_progress))
    return (total / len(teachers)).astype(np.float32)


def make_soft_targets(
    teachers: Sequence[Path],
    labels: Sequence[str],
    texts: Sequence[str],
    on_progress: Callable[[int], Any] | None = None,
) -> SoftTargets:
    """Ask teachers about the sentences of a corpus, and note what they are."""
    provenance = {"teachers": [_provenance_of(folder) for folder in teachers]}
    probabilities = ask_teachers(teachers, labels, texts, on_progress)
    ids = tuple(sentence_id(text) for text in texts)
    return SoftTargets(tuple(labels), ids, probabilities, provenance)


def _provenance_of(folder: Path) -> dict[str, Any]:
    if (folder / MANIFEST).is_file():
        manifest, digest = read_manifest(folder)
        made = manifest.provenance
        kept = {key: made[key] for key in ("corpus_fingerprint", "corpus_sentences", "encoder_sha256")}
        return {"name": manifest.name, "digest": digest, "config": made["config"], **kept}
    record = read_record(folder)
    return {
        "name": record.name,
        "config": read_config(folder / CONFIG).model_dump(),
        "corpus_fingerprint": record.corpus_fingerprint,
        "corpus_sentences": dict(record.corpus_sentences),
        "encoder_sha256": record.encoder_sha256,
    }


def collect_text(paths: Sequence[Path], settings: DistillationConfig) -> list[str]:
    """Collect the different English sentences of unlabelled text, in order.

    A `.jsonl` or `.csv` file has a sentence a row; anything else is a document or a folder of them. Sentences
    shorter or longer than the settings allow are left out, and those that are in another language.
    """
    kept: dict[str, str] = {}
    for text in _sentences(paths):
        words = text.split()
        if settings.min_words <= len(words) <= settings.max_words:
            kept.setdefault(" ".join(words).casefold(), " ".join(words))
    return [text for text in kept.values() if detect_language(text).code in (ENGLISH, UNDETERMINED)]


def choose_text(probabilities: Floats, settings: DistillationConfig, seed: int) -> NDArray[np.int64]:
    """Choose at most `text_sentences` rows, of which at most `empty_share` hold nothing by the teacher.

    Empty means that no label has a probability of 0.1; real news is mostly so, and teaches little more.
    """
    generator = np.random.default_rng(seed)
    full = probabilities.max(axis=1) >= 0.1
    held, empty = generator.permutation(np.flatnonzero(full)), generator.permutation(np.flatnonzero(~full))
    held = held[: settings.text_sentences]
    by_share = round(len(held) * settings.empty_share / max(1 - settings.empty_share, 1e-9))
    empty = empty[: max(0, min(by_share, settings.text_sentences - len(held)))]
    return np.sort(np.concatenate([held, empty]))


def write_text(path: Path, texts: Sequence[str], labels: Sequence[str], probabilities: Floats) -> None:
    """Keep unlabelled sentences with a teacher's probabilities, for a run that is gone on with."""
    columns = {"text": pa.array(texts)} | {
        f"p_{label}": pa.array(column) for label, column in zip(labels, probabilities.T, strict=True)
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def read_text(path: Path, labels: Sequence[str]) -> tuple[list[str], Floats]:
    """Read what `write_text` kept."""
    table = pq.read_table(path)
    columns = [table[f"p_{label}"].to_numpy() for label in labels]
    return table["text"].to_pylist(), np.stack(columns, axis=1).astype(np.float32)


def _sentences(paths: Sequence[Path]) -> Iterable[str]:
    for path in paths:
        if path.suffix.lower() in SUFFIXES:
            yield from read_texts(path)
        else:
            for group in read_groups(find_documents([path]).sources):
                for reading in group:
                    yield from (sentence.text for sentence in reading.sentences)
