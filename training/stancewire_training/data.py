"""From a corpus on disk to datasets with typed features.

A corpus is a folder of JSONL or CSV files with or without a Hugging Face dataset card, one such file with
an optional column `split`, a dataset saved by `save_to_disk`, any other dataset that `datasets` reads, or
the id of one on the Hugging Face hub. `datasets` says which file is of which split and what the card
declares; JSONL and CSV are then read by stancewire itself, so that a fault has a file and a line and
nothing is taken from a cache that may be stale.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from numpy.typing import NDArray

from stancewire.annotations import SUFFIXES, AnnotatedSentence, parse_annotation, read_annotations
from stancewire.errors import StancewireError

SPLITS: Final = ("train", "validation", "test")

_ALIASES = {"training": "train", "dev": "validation", "valid": "validation", "val": "validation"}
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

OnFault = Callable[[str, int, str], object]
"""Told of a row that cannot be read: the file, the line, what is wrong."""


@dataclass(frozen=True, slots=True)
class CorpusRows:
    """The sentences of a corpus as they were read, by split, in the order train, validation, test.

    `labels` are those that the corpus declares, in the order of its ClassLabel, or None; `files` are the
    JSONL and CSV files read, none for a dataset in another format, whose sentences have the corpus as
    `file` and the number of their row, from 1, as `line`.
    """

    splits: Mapping[str, Sequence[AnnotatedSentence]]
    labels: tuple[str, ...] | None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus ready to train on.

    `splits` has train, validation and, where the corpus has one, test, with the columns `text`, `doc`, `i`
    and `stances`; `labels` are in the order of the ClassLabel; `fingerprint` is the SHA-256 of labels and
    rows in order, the same whatever format they were read from.
    """

    splits: DatasetDict
    labels: tuple[str, ...]
    fingerprint: str


def load_corpus(source: str | Path, *, holdout: float = 0.1, revision: str | None = None) -> Corpus:
    """Load a corpus: see the head of this module for what `source` may be; `revision` pins one from the hub.

    The labels are those that the dataset declares as a ClassLabel, else the sorted set found. Where there
    is no validation split, about the share `holdout` of train is held out: always the same sentences, those
    of one article together, with each label at about its share. Raises StancewireError for a corpus that
    cannot be had, a row that cannot be read, a label that is not declared.
    """
    rows = read_corpus(source, revision=revision)
    splits = {name: list(sentences) for name, sentences in rows.splits.items() if sentences}
    if "train" not in splits:
        raise StancewireError(f"{source} has no sentences to train on: it should have a split named train")
    if "validation" not in splits:
        train, validation = hold_out(splits["train"], holdout)
        splits = {"train": train, "validation": validation} | {k: v for k, v in splits.items() if k == "test"}

    labels = rows.labels or _labels_found(splits)
    if not labels:
        raise StancewireError(f"{source} has no labels: not one of its sentences has a stance")
    for sentence in chain(*splits.values()):
        for label in sorted(sentence.labels.difference(labels)):
            where = f"{sentence.file}, line {sentence.line}"
            raise StancewireError(f"{where}: the label {label!r} is not one of {', '.join(labels)}")
    features = corpus_features(labels)
    return Corpus(
        DatasetDict({name: _to_dataset(sentences, features) for name, sentences in splits.items()}),
        labels,
        _fingerprint(splits, labels),
    )


def read_corpus(
    source: str | Path, *, revision: str | None = None, on_fault: OnFault | None = None
) -> CorpusRows:
    """Read the sentences of a corpus with file and line.

    A row that cannot be read raises StancewireError; with `on_fault` it is told and left out.
    """
    path = Path(source)
    if path.is_file():
        return _read_files({"train": [path]}, None, on_fault)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        with _wrapped(f"{path} cannot be read as a saved dataset"):
            return _from_datasets(datasets.load_from_disk(str(path)), str(path), on_fault)
    if path.is_dir():
        return _read_folder(path, on_fault)
    if not _HUB_ID.fullmatch(str(source)):
        raise StancewireError(f"there is no corpus {source}: it should be a folder or a .jsonl or .csv file")
    with _wrapped(f"there is no folder {source}, and no such dataset could be had from the Hugging Face hub"):
        return _from_datasets(datasets.load_dataset(str(source), revision=revision), str(source), on_fault)


def to_arrays(split: Dataset) -> tuple[list[str], NDArray[np.float32]]:
    """Return the sentences of a split and their labels, multi-hot: float32 `[sentences, labels]`."""
    stances = split.with_format(None)["stances"]
    targets = np.zeros((len(split), len(_declared_labels(split.features) or ())), dtype=np.float32)
    for row, held in enumerate(stances):
        targets[row, [stance["label"] for stance in held]] = 1
    return list(split["text"]), targets


def corpus_features(labels: Sequence[str]) -> Features:
    """Return the typed features of a corpus with these labels."""
    stance = {
        "label": ClassLabel(names=list(labels)),
        "source": Value("string"),
        "source_start": Value("int32"),
        "target": Value("string"),
        "target_start": Value("int32"),
    }
    words, position = Value("string"), Value("int32")
    return Features({"text": words, "doc": words, "i": position, "stances": List(stance)})


def hold_out(
    sentences: Sequence[AnnotatedSentence], share: float
) -> tuple[list[AnnotatedSentence], list[AnnotatedSentence]]:
    """Part sentences into those kept and those held out, each in order.

    Articles stay whole. Which ones are held out depends on the texts alone: groups are sorted by their
    labels, then by a hash, and taken at equal distances, so that each label has about the same share on
    both sides.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, sentence in enumerate(sentences):
        key = ("doc", sentence.doc) if sentence.doc is not None else ("text", sentence.text)
        groups.setdefault(key, []).append(index)
    if len(groups) < 2 or not 0 < share < 1:
        raise StancewireError(
            f"there is no validation split, and none can be held out: {len(groups)} groups, share {share}"
        )

    def rank(key: tuple[str, str]) -> tuple[list[str], str]:
        labels = set().union(*(sentences[index].labels for index in groups[key]))
        return sorted(labels), hashlib.sha256("\0".join(key).encode()).hexdigest()

    held: set[int] = set()
    passed = 0
    for key in sorted(groups, key=rank):
        passed += len(groups[key])
        if share * (passed - len(groups[key]) / 2) >= len(held) + 0.5:
            held.update(groups[key])
    held = held or set(groups[min(groups, key=rank)])
    kept = [sentence for index, sentence in enumerate(sentences) if index not in held]
    return kept, [sentences[index] for index in sorted(held)]


def _read_folder(folder: Path, on_fault: OnFault | None) -> CorpusRows:
    with TemporaryDirectory(prefix="stancewire-") as cache, _wrapped(f"{folder} cannot be read as a dataset"):
        builder = datasets.load_dataset_builder(str(folder), cache_dir=cache)
        found = builder.config.data_files or {}
        files = {str(split): [_as_given(Path(str(file)), folder) for file in found[split]] for split in found}
        if not all(file.suffix.lower() in SUFFIXES for paths in files.values() for file in paths):
            loaded = datasets.load_dataset(str(folder), cache_dir=cache, keep_in_memory=True)
            return _from_datasets(loaded, str(folder), on_fault)
    return _read_files(files, _declared_labels(builder.info.features or Features()), on_fault)


def _as_given(file: Path, folder: Path) -> Path:
    whole = folder.resolve()
    return folder / file.relative_to(whole) if file.is_relative_to(whole) else file


def _read_files(
    files: Mapping[str, list[Path]], labels: tuple[str, ...] | None, on_fault: OnFault | None
) -> CorpusRows:
    splits: dict[str, list[AnnotatedSentence]] = {}
    for split, paths in files.items():
        for path in paths:
            tell = None if on_fault is None else _bind(on_fault, str(path))
            splits.setdefault(split, []).extend(read_annotations(path, tell))

    # One file for all splits says in a column which sentence is of which.
    if list(splits) == ["train"] and any("split" in sentence.extra for sentence in splits["train"]):
        sentences, splits = splits["train"], {}
        for sentence in sentences:
            splits.setdefault(str(sentence.extra.get("split")), []).append(sentence)
    return CorpusRows(_in_order(splits, on_fault), labels, tuple(chain(*files.values())))


def _bind(on_fault: OnFault, file: str) -> Callable[[int, str], object]:
    return lambda line, what: on_fault(file, line, what)


def _from_datasets(loaded: Dataset | DatasetDict, source: str, on_fault: OnFault | None) -> CorpusRows:
    parts = {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)
    splits: dict[str, list[AnnotatedSentence]] = {}
    labels = None
    for split, part in parts.items():
        labels = labels or _declared_labels(part.features)
        file = f"{source} ({split})"
        rows = splits.setdefault(str(split), [])
        for number, row in enumerate(part.with_format(None), start=1):
            try:
                rows.append(parse_annotation(_named(row, labels), file, number))
            except StancewireError as fault:
                if on_fault is None:
                    raise StancewireError(f"{file}, row {number}: {fault}") from None
                on_fault(file, number, str(fault))
    return CorpusRows(_in_order(splits, on_fault), labels)


def _named(row: dict[str, Any], labels: tuple[str, ...] | None) -> dict[str, Any]:
    def name(label: object) -> object:
        return labels[label] if labels and isinstance(label, int) and 0 <= label < len(labels) else label

    if isinstance(row.get("stances"), list):
        return row | {"stances": [stance | {"label": name(stance.get("label"))} for stance in row["stances"]]}
    if isinstance(row.get("labels"), list):
        return row | {"labels": [name(label) for label in row["labels"]]}
    return row


def _declared_labels(features: Features) -> tuple[str, ...] | None:
    item = getattr(features.get("stances", features.get("labels")), "feature", None)
    label = item.get("label") if isinstance(item, dict) else item
    return tuple(label.names) if isinstance(label, ClassLabel) else None


def _in_order(
    splits: Mapping[str, list[AnnotatedSentence]], on_fault: OnFault | None
) -> dict[str, list[AnnotatedSentence]]:
    ordered: dict[str, list[AnnotatedSentence]] = {}
    for split, sentences in splits.items():
        name = _ALIASES.get(split, split)
        if name in SPLITS:
            ordered.setdefault(name, []).extend(sentences)
        elif sentences:
            fault = f"a split should be train, validation or test, not {split!r}"
            if on_fault is None:
                raise StancewireError(f"{sentences[0].file}, line {sentences[0].line}: {fault}")
            on_fault(sentences[0].file, sentences[0].line, fault)
    return {name: ordered[name] for name in SPLITS if name in ordered}


def _labels_found(splits: Mapping[str, Sequence[AnnotatedSentence]]) -> tuple[str, ...]:
    return tuple(sorted({label for sentence in chain(*splits.values()) for label in sentence.labels}))


def _to_dataset(sentences: Sequence[AnnotatedSentence], features: Features) -> Dataset:
    names = tuple(features["stances"].feature)
    stances = [[astuple(stance) for stance in sentence.stances] for sentence in sentences]
    columns = {
        "text": [sentence.text for sentence in sentences],
        "doc": [sentence.doc for sentence in sentences],
        "i": [sentence.i for sentence in sentences],
        "stances": [[dict(zip(names, values, strict=True)) for values in held] for held in stances],
    }
    return Dataset.from_dict(columns, features=features)


def _fingerprint(splits: Mapping[str, Sequence[AnnotatedSentence]], labels: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps(labels).encode())
    for split, sentences in splits.items():
        for sentence in sentences:
            stances = [astuple(stance) for stance in sentence.stances]
            row = json.dumps([split, sentence.text, sentence.doc, sentence.i, stances])
            digest.update(b"\n" + row.encode())
    return digest.hexdigest()


@contextmanager
def _wrapped(what: str) -> Iterator[None]:
    # `datasets` has no common class of errors, and draws its bars whether anybody sees them or not.
    quiet = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if quiet:
        datasets.disable_progress_bars()
    try:
        yield
    except StancewireError:
        raise
    except Exception as error:
        raise StancewireError(f"{what}: {' '.join(str(error).split())}") from error
    finally:
        if quiet:
            datasets.enable_progress_bars()
