"""Fine-tuning on the Hugging Face stack: corpus and config in, a folder that plain transformers loads out."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    TrainingArguments,
    set_seed,
)

from stancewire.errors import StancewireError
from stancewire.manifest import sha256_of
from stancewire.metrics import best_thresholds, decide, measure
from stancewire.runtime import sigmoid
from stancewire_training.calibration import Calibration, fit_platt, fold_into
from stancewire_training.card import write_card
from stancewire_training.config import Config
from stancewire_training.data import Corpus, load_corpus, to_arrays
from stancewire_training.distillation import Lessons
from stancewire_training.encoder import fetch_encoder
from stancewire_training.metric import compute_metrics_for
from stancewire_training.model import build_model, compute_logits, load_tokenizer
from stancewire_training.record import RECORD, TrainingRecord
from stancewire_training.run_folder import (
    CHECKPOINTS,
    epochs_to_train,
    last_checkpoint,
    prepare_folder,
    refuse_to_mix,
)
from stancewire_training.sampling import LikeLengthTrainer
from stancewire_training.span_labels import has_spans, span_positions
from stancewire_training.trimming import trim_encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stancewire_training.network import StanceForSequenceClassification

_LIBRARIES = (
    "stancewire",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "evaluate",
    "tokenizers",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a training run made: its folder, and the record that lies there."""

    folder: Path
    record: TrainingRecord


def train(
    config: Config,
    out: Path,
    *,
    encoder: Path | None = None,
    lessons: Lessons | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedModel:
    """Fine-tune the encoder of `config` on its corpus and write the result into the folder `out`.

    With `lessons` it learns from a teacher as well, by the configuration's `distillation`.

    The folder ends with the weights, the tokenizer, the resolved `config.yaml`, `training.json` and a model
    card; the Trainer's own state, pickles included, stays in `out/checkpoints`. An unfinished run is gone on
    with by `resume` and thrown away by `overwrite`; the result of a resumed run is that of an uninterrupted
    one. `encoder` is a local folder that holds the config's encoder, for a machine without the hub. Under
    `accelerate launch` each process calls this, and the first one writes. Raises StancewireError.
    """
    # The other processes may come when the first one has begun to write.
    if _is_first_process():
        refuse_to_mix(config, out, resume, overwrite)
    corpus = load_corpus(config.data.corpus)
    folder = fetch_encoder(config.encoder, encoder)
    if folder.resolve().is_relative_to(out.resolve()):
        raise StancewireError(f"{out} holds the encoder: name another folder with --out")
    set_seed(config.training.seed)
    model, tokenizer = _build(config, folder, corpus, lessons)
    # After everything that can fail for a fault of the user's: only now may an older model go.
    if _is_first_process():
        prepare_folder(config, out, overwrite)
    checkpoint = last_checkpoint(out) if resume else None
    trainer = LikeLengthTrainer(
        model=model,
        args=_arguments(config, (out / CHECKPOINTS).absolute(), epochs_to_train(config, checkpoint)),
        train_dataset=_training_rows(config, corpus, tokenizer, lessons),
        eval_dataset=encode_split(corpus, "validation", tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=compute_metrics_for(corpus.labels),
        optimizers=(make_optimizer(model, config), None),
        callbacks=[EarlyStoppingCallback(config.training.early_stopping_patience)],
    )
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    model = trainer.accelerator.unwrap_model(trainer.model)
    teaching = {} if lessons is None else lessons.provenance()
    record = _calibrate(config, corpus, model, tokenizer, folder, teaching)
    if trainer.is_world_process_zero():
        _save(config, out, model, tokenizer, record)
    trainer.accelerator.wait_for_everyone()
    return TrainedModel(out, record)


def _build(
    config: Config, folder: Path, corpus: Corpus, lessons: Lessons | None
) -> tuple[StanceForSequenceClassification, PreTrainedTokenizerBase]:
    spans = config.training.span_weight > 0 and has_spans(corpus.splits["train"])
    with TemporaryDirectory() as place:
        if config.encoder.layers is not None or config.encoder.pieces is not None:
            texts = [*corpus.splits["train"]["text"], *(lessons.texts if lessons is not None else ())]
            folder = trim_encoder(
                folder, Path(place), texts, layers=config.encoder.layers, pieces=config.encoder.pieces
            )
        tokenizer = load_tokenizer(folder, config.data.max_length)
        return build_model(config, folder, corpus.labels, spans=spans), tokenizer


def encode_split(corpus: Corpus, split: str, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Encode a split for the Trainer.

    `input_ids`, their `length`, float32 multi-hot `labels`, and in `span_labels` the tokens that sources and
    targets start and end at.
    """
    texts, targets = to_arrays(corpus.splits[split])
    encoded = tokenizer(texts, truncation=True, return_token_type_ids=False, return_offsets_mapping=True)
    stances = corpus.splits[split].with_format(None)["stances"]
    rows = zip(texts, stances, encoded["offset_mapping"], strict=True)
    return Dataset.from_dict(
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "length": [len(ids) for ids in encoded["input_ids"]],
            "labels": list(targets),
            "span_labels": [span_positions(*row, len(corpus.labels)) for row in rows],
        }
    )


def _training_rows(
    config: Config, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, lessons: Lessons | None
) -> Dataset:
    annotated = encode_split(corpus, "train", tokenizer)
    if lessons is None or config.distillation is None:
        return annotated
    texts, labels = to_arrays(corpus.splits["train"])
    mixed = lessons.targets(texts, labels, config.distillation.hard_share)
    annotated = annotated.remove_columns("labels").add_column("labels", list(mixed))
    if not lessons.texts:
        return annotated
    encoded = tokenizer(list(lessons.texts), truncation=True, return_token_type_ids=False)
    unlabelled = Dataset.from_dict(
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "length": [len(ids) for ids in encoded["input_ids"]],
            "labels": list(lessons.probabilities),
            "span_labels": [span_positions("", (), (), len(corpus.labels))] * len(lessons.texts),
        }
    )
    columns = unlabelled.column_names
    return concatenate_datasets([annotated, unlabelled.cast(annotated.select_columns(columns).features)])


def make_optimizer(model: StanceForSequenceClassification, config: Config) -> torch.optim.Optimizer:
    """Make AdamW with the head's own learning rate, and without weight decay for biases and layer norms."""
    training = config.training
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        head = name.startswith(("classifier.", "span_classifier."))
        rate = training.head_learning_rate if head else training.learning_rate
        decay = training.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]
    )


def _is_first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _arguments(config: Config, checkpoints: Path, epochs: int) -> TrainingArguments:
    training = config.training
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size * 2,
        gradient_accumulation_steps=training.gradient_accumulation,
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup_share,
        max_grad_norm=training.max_gradient_norm,
        bf16=training.bf16,
        use_cpu=not torch.accelerator.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        seed=training.seed,
        data_seed=training.seed,
        report_to="none",
        label_names=["labels"],
        logging_steps=50,
        disable_tqdm=not os.isatty(2),
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _calibrate(
    config: Config,
    corpus: Corpus,
    model: StanceForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    encoder: Path,
    teaching: dict[str, Any],
) -> TrainingRecord:
    texts, targets = to_arrays(corpus.splits["validation"])
    logits = compute_logits(model, tokenizer, texts)
    count = len(corpus.labels)
    calibration = Calibration((1.0,) * count, (0.0,) * count)
    if config.calibration.method == "platt":
        calibration = fit_platt(logits, targets, corpus.labels)
    fold_into(model.classifier, calibration)
    probabilities = sigmoid(compute_logits(model, tokenizer, texts))
    thresholds: tuple[float, ...] = (0.5,) * count
    if config.calibration.thresholds == "best_f1":
        thresholds = tuple(best_thresholds(probabilities, targets).tolist())
    figures = {"validation": _figures(corpus.labels, targets, probabilities, thresholds)}
    if "test" in corpus.splits:
        texts, targets = to_arrays(corpus.splits["test"])
        probabilities = sigmoid(compute_logits(model, tokenizer, texts))
        figures["test"] = _figures(corpus.labels, targets, probabilities, thresholds)
    return TrainingRecord(
        name=config.name,
        labels=corpus.labels,
        thresholds=thresholds,
        max_length=config.data.max_length,
        slopes=calibration.slopes,
        intercepts=calibration.intercepts,
        corpus_fingerprint=corpus.fingerprint,
        corpus_sentences={split: len(rows) for split, rows in corpus.splits.items()},
        encoder_sha256=sha256_of(encoder / "model.safetensors"),
        seed=config.training.seed,
        distillation=teaching,
        versions={name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
        figures=figures,
    )


def _figures(
    labels: Sequence[str],
    targets: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    thresholds: Sequence[float],
) -> dict[str, Any]:
    return asdict(measure(labels, targets, decide(probabilities, thresholds), probabilities))


def _save(
    config: Config,
    out: Path,
    model: StanceForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    record: TrainingRecord,
) -> None:
    # Written beside, then renamed one by one; the record comes last, and only with it is the folder finished.
    beside = out / ".result"
    shutil.rmtree(beside, ignore_errors=True)
    model.float().save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    (beside / "README.md").write_text(write_card(config, record), encoding="utf-8")
    for path in sorted(beside.iterdir()):
        os.replace(path, out / path.name)
    (beside / RECORD).write_text(record.to_json(), encoding="utf-8")
    os.replace(beside / RECORD, out / RECORD)
    beside.rmdir()
