"""`training.json`: what a training run says of itself, beside the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from stancewire.errors import StancewireError

RECORD: Final = "training.json"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """The labels, thresholds and origin of trained weights.

    `slopes` and `intercepts` are those of the calibration, already folded into the weights; `figures` maps a
    split to its measured figures; `versions` the libraries to theirs; `distillation` says who taught it, and
    is empty if nobody did.
    """

    name: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    max_length: int
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    corpus_fingerprint: str
    corpus_sentences: Mapping[str, int]
    encoder_sha256: str
    seed: int
    versions: Mapping[str, str]
    figures: Mapping[str, Any]
    distillation: Mapping[str, Any]

    def to_json(self) -> str:
        """Write the record as JSON; a figure that is not defined is null."""
        return json.dumps(_without_nan(asdict(self)), indent=2, ensure_ascii=False) + "\n"


def read_record(folder: Path) -> TrainingRecord:
    """Read the record of a trained folder; StancewireError if there is none, or if it is damaged."""
    path = folder / RECORD
    try:
        return _from_values(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StancewireError(
            f"{folder} has no {RECORD}: it should be a folder that a finished training made"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StancewireError(f"{path} is not the record of a training: {error!r}") from None


def _from_values(values: dict[str, Any]) -> TrainingRecord:
    read = {entry.name: values[entry.name] for entry in fields(TrainingRecord)}
    for name, kind in _KINDS.items():
        if not isinstance(read[name], kind):
            raise TypeError(f"{name} is {read[name]!r}")
    for name in _LISTS:
        kinds = str if name == "labels" else (int, float)
        if len(read[name]) != len(read["labels"]) or not all(isinstance(v, kinds) for v in read[name]):
            raise ValueError(f"{name} is {read[name]!r}")
    return TrainingRecord(**read | {name: tuple(read[name]) for name in _LISTS})


_LISTS: Final = ("labels", "thresholds", "slopes", "intercepts")
_KINDS: Final[Mapping[str, type]] = {
    **dict.fromkeys(_LISTS, list),
    **dict.fromkeys(("name", "corpus_fingerprint", "encoder_sha256"), str),
    **dict.fromkeys(("max_length", "seed"), int),
    **dict.fromkeys(("corpus_sentences", "versions", "figures", "distillation"), dict),
}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
