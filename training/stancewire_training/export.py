"""From a trained folder to the one that is shipped: int8 ONNX, tokenizer, manifest, model card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from stancewire.annotations import read_annotated
from stancewire.classifier import StanceClassifier
from stancewire.errors import StancewireError
from stancewire.evaluation import evaluate, target_matrix
from stancewire.manifest import MANIFEST, MODEL, TOKENIZER, Manifest, sha256_of
from stancewire.manifest import Calibration as ManifestCalibration
from stancewire.metrics import best_thresholds, decide, macro_f1, threshold_curve
from stancewire.runtime import logits_of, sigmoid
from stancewire.segmentation import unwrap
from stancewire_training.calibration import fit_platt
from stancewire_training.card import write_card
from stancewire_training.config import Config, read_config
from stancewire_training.data import Corpus, load_corpus, to_arrays
from stancewire_training.graph import fold_into_graph, quantize, to_onnx
from stancewire_training.model import compute_logits, load_checkpoint
from stancewire_training.record import TrainingRecord, read_record
from stancewire_training.run_folder import CONFIG

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stancewire_training.network import StanceForSequenceClassification

CARD = "README.md"

# Training sentences whose activations are looked at before quantization.
_SAMPLES = 150


@dataclass(frozen=True, slots=True)
class QuantizationLoss:
    """What int8 changes on validation: a probability at most and on average, and macro-F1.

    Macro-F1 is before and after, each with the thresholds that are best for it.
    """

    largest_probability_change: float
    mean_probability_change: float
    macro_f1_float32: float
    macro_f1_int8: float


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export made: the folder, the bytes of its graph, and what quantization changed."""

    folder: Path
    model_bytes: int
    loss: QuantizationLoss


def export(
    checkpoint: Path,
    out: Path,
    *,
    calibrate: Path | None = None,
    evaluations: Mapping[str, Path] | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export a trained folder to `out`: `model.onnx` (int8), `tokenizer.json`, `stance.json`, `README.md`.

    What quantization changes is measured on the validation split of the corpus that the model was trained on.
    Slopes and intercepts are then fitted anew, by the configuration's `calibration`, on what the int8 model
    says of the annotated sentences of `calibrate`, and thresholds on these and validation together; without
    it, thresholds alone, on validation.
    `evaluations` maps names to further annotated files whose figures go into the model card. Raises
    StancewireError past the config's limits, if that corpus is not at hand or has changed, or if `out` exists
    and `overwrite` is not set or `out` is no model folder. The folder is made beside and renamed.
    """
    _refuse_to_lose(out, overwrite)
    record, config = read_record(checkpoint), read_config(checkpoint / CONFIG)
    corpus = _corpus_of(config, record)
    model, tokenizer = load_checkpoint(checkpoint)
    beside = out.absolute().with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        quantize(to_onnx(model), beside / MODEL, _samples(corpus, tokenizer))
        _write_tokenizer(tokenizer, beside / TOKENIZER)
        _write_manifest(beside, config, record, model, tokenizer)
        loss = _measure(beside, corpus, model, tokenizer)
        _refuse_past_limits(config, loss)
        record, calibration = _calibrate(beside, config, record, corpus, calibrate)
        _write_manifest(beside, config, record, model, tokenizer, calibration)
        card = write_card(config, record, loss, _evaluate(beside, evaluations or {}), calibration)
        (beside / CARD).write_text(card, encoding="utf-8")
        _write_manifest(beside, config, record, model, tokenizer, calibration)
        _swap_in(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return ExportReport(out, (out / MODEL).stat().st_size, loss)


def _corpus_of(config: Config, record: TrainingRecord) -> Corpus:
    corpus = load_corpus(config.data.corpus)
    if corpus.fingerprint != record.corpus_fingerprint:
        raise StancewireError(
            f"{config.data.corpus} has changed since the model was trained on it: "
            "export from the corpus of that time, or train again"
        )
    return corpus


def _samples(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    # Training sentences at equal distances: of each family some.
    texts = to_arrays(corpus.splits["train"])[0]
    chosen = texts[:: max(1, len(texts) // _SAMPLES)]
    ids: list[list[int]] = tokenizer(chosen, truncation=True)["input_ids"]
    return ids


def _calibrate(
    folder: Path, config: Config, record: TrainingRecord, corpus: Corpus, data: Path | None
) -> tuple[TrainingRecord, ManifestCalibration]:
    # On the int8 model, which is what is shipped. Thresholds need many examples: validation's are used with
    # those of `data`; slopes, intercepts and curves need the right shares: those of `data` alone.
    texts, targets = to_arrays(corpus.splits["validation"])
    name, given = "the validation split", targets
    if data is not None:
        sentences = read_annotated(data)
        given = target_matrix(sentences, record.labels).astype(np.float32)
        name, targets = data.stem, np.concatenate([targets, given])
        texts = [*texts, *(unwrap(sentence.text) for sentence in sentences)]
    probabilities = StanceClassifier.load(folder).probabilities(texts)
    if data is not None and config.calibration.method == "platt":
        logits = logits_of(probabilities)
        fitted = fit_platt(logits[-len(given) :], given, record.labels)
        fold_into_graph(folder / MODEL, fitted.slopes, fitted.intercepts)
        record = replace(
            record,
            slopes=tuple(a * b for a, b in zip(record.slopes, fitted.slopes, strict=True)),
            intercepts=tuple(
                a * b + c for a, b, c in zip(record.intercepts, fitted.slopes, fitted.intercepts, strict=True)
            ),
        )
        moved = logits * np.array(fitted.slopes) + np.array(fitted.intercepts)
        probabilities = sigmoid(moved.astype(np.float32))
    if config.calibration.thresholds == "best_f1":
        record = replace(record, thresholds=tuple(best_thresholds(probabilities, targets).tolist()))
    return record, ManifestCalibration(
        name,
        len(given),
        dict(zip(record.labels, given.mean(axis=0).tolist(), strict=True)),
        {
            label: threshold_curve(*columns)
            for label, *columns in zip(record.labels, probabilities[-len(given) :].T, given.T, strict=True)
        },
    )


def _write_tokenizer(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    # A copy without the encoder's own truncation and padding: the runtime sets its own.
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fast.no_truncation()
    fast.no_padding()
    fast.save(str(path))


def _write_manifest(
    folder: Path,
    config: Config,
    record: TrainingRecord,
    model: StanceForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    calibration: ManifestCalibration | None = None,
) -> None:
    special = {
        key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)
    }
    manifest = Manifest(
        name=record.name,
        labels=record.labels,
        thresholds=record.thresholds,
        calibration=calibration,
        max_length=record.max_length,
        files={path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST},
        provenance={
            "config": config.model_dump(),
            "corpus_fingerprint": record.corpus_fingerprint,
            "corpus_sentences": dict(record.corpus_sentences),
            "encoder_sha256": record.encoder_sha256,
            "versions": dict(record.versions),
            "architecture": _without_paths(json.loads(model.config.to_json_string())),
            "tokenizer": {
                "tokenizer_class": type(tokenizer).__name__,
                "model_max_length": record.max_length,
                **special,
            },
        },
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _refuse_to_lose(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise StancewireError(f"{out} exists: name another folder, or add --overwrite")
    # Else `--out models --overwrite` would replace all that lies there.
    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise StancewireError(f"{out} is not a model folder, and is not overwritten: name another one")


def _swap_in(beside: Path, out: Path) -> None:
    # The old folder steps aside and goes last: whatever comes between, it is there, or the new one is.
    old = out.absolute().with_name(f".{out.name}.old")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(out, old)
    try:
        os.replace(beside, out)
    except BaseException:
        if old.exists():
            os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _without_paths(architecture: dict[str, Any]) -> dict[str, Any]:
    # transformers notes the folder that a model was loaded from, which is nobody else's business.
    kept = {key: value for key, value in architecture.items() if key != "_name_or_path"}
    return {key: _without_paths(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _measure(
    folder: Path,
    corpus: Corpus,
    model: StanceForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
) -> QuantizationLoss:
    texts, targets = to_arrays(corpus.splits["validation"])
    before = sigmoid(compute_logits(model, tokenizer, texts))
    after = StanceClassifier.load(folder).probabilities(texts)
    # Each with its own best thresholds, as each would be shipped.
    return QuantizationLoss(
        largest_probability_change=float(np.abs(before - after).max()),
        mean_probability_change=float(np.abs(before - after).mean()),
        macro_f1_float32=macro_f1(targets, decide(before, best_thresholds(before, targets))),
        macro_f1_int8=macro_f1(targets, decide(after, best_thresholds(after, targets))),
    )


def _evaluate(folder: Path, evaluations: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    classifier = StanceClassifier.load(folder)
    return {name: evaluate(classifier, read_annotated(path)).to_dict() for name, path in evaluations.items()}


def _refuse_past_limits(config: Config, loss: QuantizationLoss) -> None:
    limits = config.export
    drop = loss.macro_f1_float32 - loss.macro_f1_int8
    if loss.largest_probability_change > limits.max_probability_change:
        raise StancewireError(
            f"int8 moves a probability by {loss.largest_probability_change:.3f} on the validation split, "
            f"export.max_probability_change allows {limits.max_probability_change}"
        )
    if drop > limits.max_macro_f1_drop:
        raise StancewireError(
            f"int8 lowers macro-F1 by {drop:.4f} on the validation split, "
            f"export.max_macro_f1_drop allows {limits.max_macro_f1_drop}"
        )
