"""The model card, written from what was measured and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from stancewire_training.config import Config, EncoderConfig
from stancewire_training.record import TrainingRecord

if TYPE_CHECKING:
    from stancewire.manifest import Calibration
    from stancewire_training.export import QuantizationLoss


def write_card(
    config: Config,
    record: TrainingRecord,
    loss: QuantizationLoss | None = None,
    evaluations: Mapping[str, Mapping[str, Any]] | None = None,
    calibration: Calibration | None = None,
) -> str:
    """Write the README.md of a model folder, with the front matter of a Hugging Face model card.

    `loss` says what int8 changed and is given for an exported model; `evaluations` maps the name of further
    data to the JSON document of `stancewire evaluate --json` on it; `calibration` says what the probabilities
    of an exported model were fitted on.
    """
    # A trained folder has no int8 weights yet: what its training measured is what it is.
    precision = "" if loss is None else ", in float32, before quantization"
    parts = [
        _front_matter(config),
        f"# {config.name}\n\n{config.description}",
        _making(config, record),
        _thresholds(record, calibration),
        *(_figures(f"The {split} split{precision}", figures) for split, figures in record.figures.items()),
        *(_figures(name, document) for name, document in (evaluations or {}).items()),
    ]
    if loss is not None:
        parts.append(_int8(loss))
    return "\n\n".join(parts) + "\n"


def _front_matter(config: Config) -> str:
    values = {
        "license": config.encoder.license.lower(),
        "base_model": config.encoder.name,
        "pipeline_tag": "text-classification",
        "library_name": "stancewire",
        "tags": ["stance-detection", "multi-label-classification", "news"],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---"


def _making(config: Config, record: TrainingRecord) -> str:
    encoder = config.encoder
    revision = f", revision `{encoder.revision}`" if encoder.revision else ""
    command = "distill" if record.distillation else "train"
    sentences = ", ".join(f"{count:,} {split}" for split, count in record.corpus_sentences.items())
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    return (
        "## How it was made\n\n"
        f"- Encoder: `{encoder.name}`{revision}, licence {encoder.license}; SHA-256 of its weights "
        f"`{record.encoder_sha256}`. It was trained before on {encoder.trained_on}.{_kept(encoder)}\n"
        f"- Sentences: `{config.data.corpus}` ({sentences}), fingerprint `{record.corpus_fingerprint}`.\n"
        f"- Fine-tuned with seed {record.seed} by `stancewire {command}` from the configuration that lies "
        "beside the trained weights, and in `stance.json`.\n"
        f"- {_chosen_on_validation(config, record)}\n"
        f"{_taught(config, record)}"
        f"- Libraries: {versions}."
    )


def _kept(encoder: EncoderConfig) -> str:
    kept = [
        f"{count:,} of its {what}"
        for count, what in ((encoder.layers, "layers"), (encoder.pieces, "pieces of vocabulary"))
        if count is not None
    ]
    return f" Kept are {' and '.join(kept)}." if kept else ""


def _taught(config: Config, record: TrainingRecord) -> str:
    if not record.distillation or config.distillation is None:
        return ""
    names = " and ".join(
        f"{teacher['name']} (`{teacher['config']['encoder']['name']}`)"
        for teacher in record.distillation["teachers"]
    )
    count, text = record.distillation["text_sentences"], config.distillation.text.strip()
    return (
        f"- Taught by {names}: its probabilities for the training sentences, and for {count:,} unlabelled "
        f"sentences ({text}).\n"
    )


def _chosen_on_validation(config: Config, record: TrainingRecord) -> str:
    parts = []
    if config.calibration.method == "platt":
        parts.append(
            "A slope and an intercept a label (Platt scaling, fitted on validation) are folded into "
            "the last layer."
        )
    by_f1 = config.calibration.thresholds == "best_f1"
    parts.append(
        f"The validation split also chose the epoch{' and the thresholds' if by_f1 else ''}, "
        "so its figures flatter" + ("; the test split's don't." if "test" in record.figures else ".")
    )
    return " ".join(parts)


def _thresholds(record: TrainingRecord, calibration: Calibration | None) -> str:
    shares = {} if calibration is None else calibration.shares
    rows = "\n".join(
        f"| {label} | {value:.3f} |" + (f" {shares[label]:.1%} |" if shares else "")
        for label, value in zip(record.labels, record.thresholds, strict=True)
    )
    head, rule = "| label | holds from this probability |", "| --- | --- |"
    if calibration is None:
        return f"## Labels and thresholds\n\n{head}\n{rule}\n{rows}"
    return (
        f"## Labels and thresholds\n\n{head} share of the sentences |\n{rule} --- |\n{rows}\n\n"
        f"Probabilities were fitted on {calibration.sentences:,} sentences ({calibration.data}), of which "
        "the last column gives the shares that hold each label; thresholds on these and validation. "
        "Where shares differ, `--prior LABEL=SHARE` moves the probabilities."
    )


def _figures(name: str, figures: Mapping[str, Any]) -> str:
    labels = figures["labels"]
    by_label = labels if isinstance(labels, Mapping) else {entry["label"]: entry for entry in labels}
    columns = ("precision", "recall", "f1", "average_precision", "brier_skill")
    rows = "\n".join(
        f"| {label} | {entry['support']} | " + " | ".join(_cell(entry[column]) for column in columns) + " |"
        for label, entry in by_label.items()
    )
    return (
        f"## {name}\n\n"
        "| label | sentences that hold it | precision | recall | F1 | average precision | Brier skill |\n"
        f"| --- | --- | --- | --- | --- | --- | --- |\n{rows}\n\n"
        f"Macro-F1 {_cell(figures['macro_f1'])}, micro-F1 {_cell(figures['micro_f1'])}, "
        f"exact match {_cell(figures['exact_match'])}. In brackets: 95% bootstrap intervals."
    )


def _int8(loss: QuantizationLoss) -> str:
    return (
        "## What int8 changes\n\n"
        "On the validation split the largest change of any probability is "
        f"{loss.largest_probability_change:.3f}, the mean change {loss.mean_probability_change:.4f}; "
        f"macro-F1 is {loss.macro_f1_float32:.3f} in float32 and {loss.macro_f1_int8:.3f} in int8, each with "
        "the thresholds that are best for it there."
    )


def _cell(figure: Mapping[str, float | None]) -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None or value != value:
        return "not defined"
    if low is None or high is None or low != low:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
