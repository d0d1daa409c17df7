"""The annotated sentences that a model reads most like a given one: what it may have learned a label from.

Near is what has nearly the same direction (cosine) in the vectors that the model's last layer reads. An index
keeps texts, labels and vectors (int8) of a corpus in one Parquet file, for the one graph that it was made
with: `neighbours.parquet` in the model folder, or anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from stancewire.annotations import SUFFIXES, AnnotatedSentence, read_annotated
from stancewire.errors import StancewireError
from stancewire.formats import without_surrogates
from stancewire.manifest import MANIFEST, MODEL, read_manifest, sha256_of
from stancewire.segmentation import unwrap
from stancewire.writing import write_text

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stancewire.classifier import StanceClassifier

NEIGHBOURS: Final = "neighbours.parquet"
"""The index of a model folder."""

_KEY: Final = b"stancewire.neighbours"
_FORMAT: Final = 1
_FULL: Final = 127
_MOST_BYTES: Final = 1_000_000_000
_ROWS_AT_A_TIME: Final = 1_024
_TRAIN: Final = "train"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An annotated sentence near another, and the cosine of their vectors, -1 to 1.

    `source` is the file, as named from the corpus' folder, and the line.
    """

    text: str
    labels: tuple[str, ...]
    source: str
    similarity: float


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What was indexed: the file, its bytes, its sentences."""

    out: Path
    size: int
    sentences: int


class NeighbourIndex:
    """An index in memory; `corpus` is the name of what it was made of."""

    def __init__(
        self,
        corpus: str,
        texts: Sequence[str],
        labels: Sequence[Sequence[str]],
        sources: Sequence[str],
        vectors: NDArray[np.int8],
    ) -> None:
        self.corpus = corpus
        self._texts, self._labels, self._sources = texts, labels, sources
        lengths = np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
        self._vectors = vectors / np.maximum(lengths, np.float32(1))

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def width(self) -> int:
        """Figures a vector."""
        return int(self._vectors.shape[1])

    def nearest(self, vector: NDArray[np.float32], count: int) -> tuple[Neighbour, ...]:
        """Find the nearest sentences of a vector `[width]`, the nearest first, of equals the earlier.

        Raises StancewireError for a vector of another width.
        """
        if len(vector) != self.width:
            raise StancewireError(
                f"the index of {self.corpus} has vectors of {self.width} figures, not {len(vector)}: "
                "make one with stancewire index CORPUS --model FOLDER"
            )
        similarities = self._vectors @ vector
        order = np.argsort(-similarities, kind="stable")[:count]
        return tuple(
            Neighbour(
                self._texts[place],
                tuple(self._labels[place]),
                self._sources[place],
                float(similarities[place]),
            )
            for place in order.tolist()
        )


def find_index(folder: Path, index: Path | None = None) -> Path | None:
    """Name the index to read: the one that is given, else that of the model folder if it has one."""
    if index is not None:
        return index
    own = folder / NEIGHBOURS
    return own if own.is_file() else None


def read_index(path: Path, model_sha256: str) -> NeighbourIndex:
    """Read an index that was made with the graph of this SHA-256.

    Raises StancewireError for a file that is missing, damaged or no index, and for that of another graph.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about = json.loads((file.metadata.metadata or {})[_KEY])
            _check_about(path, about, model_sha256)
            table = pa.Table.from_batches(_bounded(path, file), file.schema_arrow)
        if not pa.types.is_list(table.schema.field("labels").type):
            raise ValueError("its labels are no lists")
        vectors = table["vector"].combine_chunks()
        width = vectors.type.list_size
        values = vectors.flatten().to_numpy(zero_copy_only=False)
        if values.dtype != np.int8 or len(values) != width * len(table):
            raise ValueError("its vectors are not int8, or not as many as its sentences")
        return NeighbourIndex(
            str(about["corpus"]),
            [str(text) for text in table["text"].to_pylist()],
            [[str(label) for label in held] for held in table["labels"].to_pylist()],
            [str(source) for source in table["source"].to_pylist()],
            values.reshape(len(table), width),
        )
    except OSError as error:
        # pyarrow raises one without a number for what is no Parquet.
        if error.errno is None:
            raise _unreadable(path, error) from None
        raise StancewireError(f"{path} cannot be read: {error.strerror}") from None
    except (pa.ArrowException, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None


def build_index(
    classifier: StanceClassifier,
    corpus: Path,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> IndexReport:
    """Index the sentences of a corpus, each text once, in the vectors of a model.

    `corpus` is a file or folder of annotated sentences; of a folder with splits its train split is taken.
    Without `out` the index goes into the model folder, and its hash into the folder's `stance.json`: the
    digest of the model is another then. `on_progress` is told how many sentences were just read. Raises
    StancewireError for a corpus that cannot be read, or an index that is already there.
    """
    place = classifier.folder / NEIGHBOURS if out is None else out
    if place.suffix.lower() != ".parquet":
        raise StancewireError(f"{place} should end in .parquet: that is what an index is")
    if not place.parent.is_dir():
        raise StancewireError(f"there is no folder {place.parent} to write {place.name} in: make it first")
    if place.exists() and not overwrite:
        raise StancewireError(f"{place} is already there: --overwrite (overwrite=True) replaces it")
    sentences = list({unwrap(entry.text): entry for entry in reversed(read_train_split(corpus))}.values())
    sentences.reverse()
    if not sentences:
        raise StancewireError(f"{corpus} has no sentences")
    vectors = classifier.embed([sentence.text for sentence in sentences], on_progress)
    largest = np.abs(vectors).max(axis=1, keepdims=True).clip(1e-12)
    levels = np.rint(vectors / largest * _FULL)
    # Read before: what is there already may have its hash in it.
    manifest = read_manifest(classifier.folder)[0] if out is None else None
    _write_index(place, corpus, sentences, levels.astype(np.int8), classifier)
    if manifest is not None:
        files = {**manifest.files, place.name: sha256_of(place)}
        write_text(classifier.folder / MANIFEST, replace(manifest, files=files).to_json())
    return IndexReport(place, place.stat().st_size, len(sentences))


def read_train_split(corpus: Path) -> list[AnnotatedSentence]:
    """Read the annotated sentences of a file, a folder, or the train split of a folder that has one.

    Such a split is a folder `train`, or files `train.jsonl` or `train.csv`. Raises StancewireError as
    `read_annotated` does.
    """
    if not corpus.exists():
        raise StancewireError(f"there is no corpus {corpus}")
    if (corpus / _TRAIN).is_dir():
        return read_annotated(corpus / _TRAIN)
    files = [corpus / (_TRAIN + suffix) for suffix in SUFFIXES]
    found = [file for file in files if file.is_file()]
    return [entry for file in found for entry in read_annotated(file)] if found else read_annotated(corpus)


def _bounded(path: Path, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    # Counted as they are unpacked: a few kilobytes of a stranger's can hold gigabytes.
    size = 0
    for batch in file.iter_batches(_ROWS_AT_A_TIME):
        size += batch.nbytes
        if size > _MOST_BYTES:
            raise StancewireError(f"{path} holds more than {_MOST_BYTES / 1e9:g} GB: it is no index")
        yield batch


def _unreadable(path: Path, error: Exception) -> StancewireError:
    said = " ".join(ascii(str(error)).split())[:200]
    return StancewireError(f"{path} is not an index that stancewire index wrote, or is damaged: {said}")


def _check_about(path: Path, about: Any, model_sha256: str) -> None:
    if not isinstance(about, dict) or type(about.get("format")) is not int:
        raise ValueError("it does not say its format")
    if about["format"] > _FORMAT:
        raise StancewireError(
            f"{path} has format {about['format']}, this stancewire reads {_FORMAT}: "
            "upgrade it with pip install --upgrade stancewire"
        )
    if about.get("model_sha256") != model_sha256:
        raise StancewireError(
            f"{path} was made with another model, whose vectors are others: "
            "make one with stancewire index CORPUS --model FOLDER"
        )


def _write_index(
    place: Path,
    corpus: Path,
    sentences: Sequence[AnnotatedSentence],
    vectors: NDArray[np.int8],
    classifier: StanceClassifier,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {
        "format": _FORMAT,
        "corpus": corpus.resolve().name,
        "model": classifier.manifest.name,
        "model_sha256": classifier.manifest.files[MODEL],
    }
    base = corpus if corpus.is_dir() else corpus.parent
    width = vectors.shape[1]
    table = pa.table(
        {
            "text": [without_surrogates(sentence.text) for sentence in sentences],
            "labels": pa.array([sorted(entry.labels) for entry in sentences], pa.list_(pa.string())),
            "source": [without_surrogates(_source(entry, base)) for entry in sentences],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.int8()), width),
        }
    ).replace_schema_metadata({_KEY: json.dumps(about)})
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        try:
            pq.write_table(table, beside, compression="zstd", compression_level=12, use_dictionary=False)
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StancewireError(f"{place} cannot be written: {error.strerror or error}") from None


def _source(entry: AnnotatedSentence, base: Path) -> str:
    file = Path(entry.file)
    name = file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name
    return f"{name}:{entry.line}"
