"""What simple systems said of an annotated set of sentences, stored in the model folder as `baselines.json`.

Making a baseline needs the training extra and the training sentences; comparing with one needs only its
answers. So a model folder keeps them, a bit a label and a probability of two bytes, under the SHA-256 of the
sentences they were given for. Whoever evaluates on the same sentences gets every figure and the paired
comparison from them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from stancewire.errors import StancewireError
from stancewire.manifest import MANIFEST, read_manifest, sha256_of

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedSentence

BASELINES: Final = "baselines.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class SystemOutput:
    """What one system said: decisions `[sentences, labels]`, and float32 probabilities if it gives any."""

    name: str
    decisions: NDArray[np.bool_]
    probabilities: NDArray[np.float32] | None = None


def predict_none(sentences: int, labels: int) -> SystemOutput:
    """Make the baseline that says of every sentence that it holds no stance."""
    return SystemOutput("none", np.zeros((sentences, labels), dtype=np.bool_))


def fingerprint(sentences: Sequence[AnnotatedSentence]) -> str:
    """Compute the SHA-256 of the sentences' texts and labels, in order; spans and documents do not count."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(json.dumps([sentence.text, sorted(sentence.labels)]).encode("ascii") + b"\n")
    return digest.hexdigest()


def read_baselines(
    folder: Path, labels: Sequence[str], sentences: Sequence[AnnotatedSentence]
) -> tuple[SystemOutput, ...]:
    """Read the outputs that a model folder keeps for these sentences, columns in the order of `labels`.

    Empty if it keeps none for just these. Raises StancewireError for a file that is damaged.
    """
    stored = _read(folder / BASELINES)
    for entry in stored["data"]:
        if entry.get("sha256") == fingerprint(sentences):
            try:
                columns = [entry["labels"].index(label) for label in labels]
                shape = (len(sentences), len(entry["labels"]))
                return tuple(_unpack(system, shape, columns) for system in entry["systems"])
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise _damaged(folder / BASELINES, error) from None
    return ()


def store_baselines(
    folder: Path,
    labels: Sequence[str],
    sentences: Sequence[AnnotatedSentence],
    outputs: Sequence[SystemOutput],
) -> None:
    """Keep the outputs for these sentences in a model folder, and enter the file's hash in its `stance.json`.

    Outputs for other sentences stay; earlier ones for these are replaced.
    """
    manifest, _ = read_manifest(folder)
    path = folder / BASELINES
    digest = fingerprint(sentences)
    entry = {
        "sha256": digest,
        "sentences": len(sentences),
        "labels": list(labels),
        "systems": [_pack(output) for output in outputs],
    }
    others = [kept for kept in _read(path)["data"] if kept.get("sha256") != digest]
    _write(path, json.dumps({"format": _FORMAT, "data": [*others, entry]}, indent=1) + "\n")
    files = {**manifest.files, BASELINES: sha256_of(path)}
    _write(folder / MANIFEST, replace(manifest, files=files).to_json())


def _pack(output: SystemOutput) -> dict[str, str | None]:
    probabilities = output.probabilities
    return {
        "name": output.name,
        "decisions": _encode(np.packbits(output.decisions).tobytes()),
        "probabilities": None if probabilities is None else _encode(probabilities.astype("<f2").tobytes()),
    }


def _unpack(system: dict[str, Any], shape: tuple[int, int], columns: list[int]) -> SystemOutput:
    name = str(system["name"])
    bits = np.frombuffer(_decode(system["decisions"]), dtype=np.uint8)
    decisions = np.unpackbits(bits)[: shape[0] * shape[1]].reshape(shape).astype(np.bool_)
    if system["probabilities"] is None:
        return SystemOutput(name, decisions[:, columns])
    halves = np.frombuffer(_decode(system["probabilities"]), dtype="<f2").reshape(shape)
    return SystemOutput(name, decisions[:, columns], halves.astype(np.float32)[:, columns])


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {"format": _FORMAT, "data": []}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    if not isinstance(stored, dict) or not isinstance(stored.get("data"), list):
        raise _damaged(path, "it has no list of data")
    if stored.get("format") != _FORMAT:
        raise StancewireError(
            f"{path} has format {stored.get('format')}, this stancewire reads {_FORMAT}: "
            "upgrade it with pip install --upgrade stancewire"
        )
    if not all(isinstance(entry, dict) for entry in stored["data"]):
        raise _damaged(path, "an entry of data is not an object")
    return stored


def _damaged(path: Path, why: object) -> StancewireError:
    return StancewireError(
        f"{path} cannot be read as stored baselines ({why}): take a fresh copy of the model folder"
    )


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
