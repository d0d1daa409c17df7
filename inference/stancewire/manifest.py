"""What a model folder holds, and the check that it is whole.

The folder is `model.onnx`, `tokenizer.json`, `stance.json` (this manifest) and `README.md`. The hashes in the
manifest detect damage (a cut download, a file from another version). They do not detect malice: whoever can
change the weights can change the hash beside them. Against malice there is the hash of `stance.json` itself,
known from elsewhere: that of a shipped model stands in the code, that of another is given by who loads it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from stancewire.errors import StancewireError
from stancewire.shipped import DIGESTS

FORMAT: Final = 2
MANIFEST: Final = "stance.json"
MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
DEFAULT_MODEL: Final = "stance-small"
MAX_LENGTH: Final = 8192
"""The most tokens of a window: attention takes memory with its square."""

# Both are far beyond what a model has, and keep a file without an end from being read to it.
_MOST_MANIFEST_BYTES, _MOST_BYTES = 10_000_000, 2_000_000_000
# Control characters, ends of lines, and what turns text around. A name and a label are shown everywhere.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a model's probabilities were calibrated on, and what a threshold costs there.

    `shares` has the share of the `sentences` that hold each label; `curves` for each label the points
    `(threshold, precision, recall)` that can be chosen from, thresholds rising.
    """

    data: str
    sentences: int
    shares: Mapping[str, float]
    curves: Mapping[str, tuple[tuple[float, float, float], ...]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `stance.json`.

    `labels` are in the order of the model's outputs; `thresholds` has one probability a label, at or above
    which the stance is said to hold; `max_length` is the token budget of one window, special tokens included;
    `files` maps each other file of the folder to its SHA-256; `provenance` says what made the model;
    `calibration` is None for a model of which nothing is known but its thresholds.
    """

    name: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    max_length: int
    files: Mapping[str, str]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    format: int = FORMAT

    def to_json(self) -> str:
        """Write the manifest as the text of `stance.json`; thresholds stand there by label."""
        values = asdict(self) | {"thresholds": dict(zip(self.labels, self.thresholds, strict=True))}
        order = ("format", "name", "labels", "thresholds", "calibration", "max_length", "files", "provenance")
        return json.dumps({key: values[key] for key in order}, indent=2, ensure_ascii=False) + "\n"


def parse_manifest(text: str, where: str) -> Manifest:
    """Read the text of a `stance.json`; `where` names it in the StancewireError that this may raise."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StancewireError(
            f"{where} is not JSON ({error}): take a fresh copy of the model folder"
        ) from None
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise StancewireError(f"{where} has no format number: it is not the manifest of a stancewire model")
    if values["format"] > FORMAT:
        raise StancewireError(
            f"{where} has format {values['format']}, this stancewire reads up to {FORMAT}: "
            "upgrade it with pip install --upgrade stancewire"
        )
    for key, is_right, wanted in _SHAPE:
        if key not in values or not is_right(values[key]):
            raise StancewireError(f"{where}: {key} should be {wanted}")
    labels, thresholds = values["labels"], values["thresholds"]
    if set(thresholds) != set(labels):
        raise StancewireError(
            f"{where}: thresholds should have one figure for each of {', '.join(map(repr, labels))}"
        )
    return Manifest(
        name=values["name"],
        labels=tuple(labels),
        thresholds=tuple(float(thresholds[label]) for label in labels),
        max_length=values["max_length"],
        files=values["files"],
        provenance=values.get("provenance", {}),
        calibration=_read_calibration(values.get("calibration"), labels, where),
        format=values["format"],
    )


def resolve_folder(model: str | Path | None = None) -> Path:
    """Find the folder of a model: a path, the name of a shipped model, or None for the default one.

    Raises StancewireError if there is no such folder, with the names of the shipped models, and for the name
    of a shipped model where a folder of that name lies here too. None is the shipped one whatever lies here.
    """
    name = DEFAULT_MODEL if model is None else str(model)
    here, shipped = Path(name), _shipped_folder(name)
    is_here = bool(name) and _is_folder(here)
    if model is not None and is_here and shipped is not None and not here.samefile(shipped):
        raise StancewireError(
            f"{name} is a folder here and a model that comes with stancewire: "
            f"write ./{name} for the one, or go elsewhere for the other"
        )
    if shipped is not None and (model is None or not is_here):
        return shipped
    if is_here:
        return here
    raise StancewireError(
        f"there is no model folder {name!r}; the models that come with stancewire are: "
        f"{', '.join(shipped_models())}"
    )


def shipped_models() -> list[str]:
    """List the names of the models that come with the package."""
    return sorted(
        entry.name for entry in files("stancewire.models").iterdir() if entry.joinpath(MANIFEST).is_file()
    )


def shipped_digest(folder: Path) -> str | None:
    """Give the SHA-256 that the code knows of a shipped model's `stance.json`; None for any other folder."""
    return DIGESTS.get(folder.name) if folder == _shipped_folder(folder.name) else None


def read_manifest(folder: Path, sha256: str | None = None) -> tuple[Manifest, str]:
    """Read and check a model folder: the manifest, and the SHA-256 of `stance.json` as the model's digest.

    Raises StancewireError for a missing file, a file whose hash differs, a name or link that leads out of the
    folder, and, where `sha256` is given, for a manifest that has another digest.
    """
    path = folder / MANIFEST
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise StancewireError(f"sha256 should be 64 hexadecimal digits, not {sha256!r}")
    if not path.is_file():
        raise StancewireError(f"{folder} has no {MANIFEST}: it is not a stancewire model folder")
    try:
        _refuse_outside(folder, MANIFEST)
        with path.open("rb") as stream:
            raw = stream.read(_MOST_MANIFEST_BYTES)
        digest = hashlib.sha256(raw).hexdigest()
        if sha256 is not None and digest != sha256.lower():
            raise StancewireError(_not_pinned(path, digest, sha256))
        manifest = parse_manifest(raw.decode("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StancewireError(f"{path} cannot be read: {error}") from None
    for name in (MODEL, TOKENIZER):
        if name not in manifest.files:
            raise StancewireError(f"{path} gives no hash for {name}: take a fresh copy of the model folder")
    for name, expected in manifest.files.items():
        try:
            _check_file(folder, name, expected)
        except OSError as error:
            raise StancewireError(f"{folder}: {name!r} cannot be read: {error.strerror}") from None
    return manifest, digest


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_calibration(values: Any, labels: list[str], where: str) -> Calibration | None:
    if values is None:
        return None
    try:
        return Calibration(
            str(values["data"]),
            int(values["sentences"]),
            {label: float(values["shares"][label]) for label in labels},
            {label: tuple(_point(entry) for entry in values["curves"][label]) for label in labels},
        )
    except (KeyError, TypeError, ValueError):
        raise StancewireError(
            f"{where}: calibration should have data, sentences, and shares and curves of each label"
        ) from None


def _point(entry: Any) -> tuple[float, float, float]:
    threshold, precision, recall = (float(value) for value in entry)
    if not all(map(_is_share, (threshold, precision, recall))):
        raise ValueError(entry)
    return threshold, precision, recall


def _shipped_folder(name: str) -> Path | None:
    if not name or not _is_plain(name):
        return None
    shipped = Path(str(files("stancewire.models"))) / name
    return shipped if _is_folder(shipped) else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for the system
        return False


def _not_pinned(path: Path, found: str, wanted: str) -> str:
    if wanted == shipped_digest(path.parent):
        return (
            f"{path} is not the one that came with this stancewire: install it afresh. If you replaced the "
            f"model yourself, write in inference/stancewire/shipped.py: {path.parent.name!r}: {found!r}"
        )
    return f"{path} has the SHA-256 {found}, and {wanted} was asked for: it is another model, or was changed"


def _is_plain(name: str) -> bool:
    return PurePosixPath(name).name == PureWindowsPath(name).name == name and name.isprintable()


def _refuse_outside(folder: Path, name: str) -> None:
    # A link that leads to itself has no end to resolve to.
    try:
        inside = _is_plain(name) and (folder / name).resolve().parent == folder.resolve()
    except RuntimeError:
        inside = False
    if not inside:
        raise StancewireError(f"{folder / MANIFEST} names {name!r}, which leads out of the folder: refused")


def _check_file(folder: Path, name: str, expected: str) -> None:
    _refuse_outside(folder, name)
    path = folder / name
    if not path.is_file():
        raise StancewireError(f"{folder} lacks {name}: take a fresh copy of the model folder")
    if path.stat().st_size > _MOST_BYTES:
        raise StancewireError(f"{path} has more than {_MOST_BYTES / 1e9:g} GB: no model of stancewire's has")
    found = sha256_of(path)
    if found != expected:
        raise StancewireError(
            f"{path} is damaged or of another version: its SHA-256 is {found[:12]}…, "
            f"{MANIFEST} says {expected[:12]}…"
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and _OBEYED.search(value) is None


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _are_labels(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(map(_is_text, value))
        and len(set(value)) == len(value)
    )


_SHAPE = (
    ("name", _is_text, "a name without control characters"),
    ("labels", _are_labels, "a list of different labels without control characters"),
    (
        "thresholds",
        lambda v: isinstance(v, dict) and all(map(_is_share, v.values())),
        "probabilities by label",
    ),
    (
        "max_length",
        lambda v: type(v) is int and 8 <= v <= MAX_LENGTH,
        f"a number of tokens, 8 to {MAX_LENGTH}",
    ),
    ("files", lambda v: isinstance(v, dict) and all(map(_is_text, v.values())), "a SHA-256 for each file"),
    ("provenance", lambda v: isinstance(v, dict), "an object that says what made the model"),
)
