"""The simple systems that a model has to beat: nothing, keywords, TF-IDF, and the encoder as it was before.

Each gives decisions, and all but the first two probabilities, `[sentences, labels]`, so that the same figures
are measured of all. Whatever is chosen (class weight, thresholds) is chosen on the validation sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel

from stancewire.baselines import SystemOutput, predict_none
from stancewire.errors import StancewireError
from stancewire.metrics import best_thresholds, decide, macro_f1
from stancewire.segmentation import unwrap
from stancewire_training.model import load_tokenizer

if TYPE_CHECKING:
    from stancewire.annotations import AnnotatedSentence

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Examples:
    """Sentences on one line each, and their targets: float32 `[sentences, labels]`, 1 where a label holds."""

    texts: tuple[str, ...]
    targets: NDArray[np.float32]


def make_examples(sentences: Iterable[AnnotatedSentence], labels: Sequence[str]) -> Examples:
    """Take texts and targets from annotated sentences; labels other than `labels` do not count."""
    rows = list(sentences)
    targets = np.array([[label in row.labels for label in labels] for row in rows], dtype=np.float32)
    return Examples(tuple(unwrap(row.text) for row in rows), targets.reshape(len(rows), len(labels)))


def compute_baselines(
    labels: Sequence[str],
    train: Iterable[AnnotatedSentence],
    validation: Iterable[AnnotatedSentence],
    sentences: Iterable[AnnotatedSentence],
    *,
    keywords: Path | None = None,
    encoder: Path | None = None,
    on_progress: Callable[[str], object] | None = None,
) -> tuple[SystemOutput, ...]:
    """Fit the baselines on the training sentences and let them judge `sentences`.

    `keywords` is a file of stems by label, `encoder` the folder of a pretrained encoder; without them those
    two are left out. `on_progress` is told the name of each baseline that begins. Raises StancewireError.
    """
    known, held_out, asked = (make_examples(rows, labels) for rows in (train, validation, sentences))
    for split, examples in (("train", known), ("validation", held_out)):
        if not examples.texts:
            raise StancewireError(f"the baselines need sentences of the {split} split, and there are none")
    tell = on_progress or (lambda name: None)
    outputs = [predict_none(len(asked.texts), len(labels))]
    if keywords is not None:
        tell("keywords")
        outputs.append(predict_keywords(read_keywords(keywords), labels, asked.texts))
    tell("TF-IDF")
    outputs.append(predict_tfidf(known, held_out, asked.texts))
    if encoder is not None:
        tell("frozen encoder")
        outputs.append(predict_frozen_encoder(encoder, known, held_out, asked.texts))
    return tuple(outputs)


def read_keywords(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a YAML file that maps each label to a list of stems.

    Raises StancewireError, naming file and label, for anything else; YAML takes a bare `false` for no string.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StancewireError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise StancewireError(f"{path} should map each label to a list of stems")
    for label, stems in values.items():
        if not isinstance(stems, list) or not stems:
            raise StancewireError(f"{path}: {label} should have a list of stems")
        for stem in stems:
            if not isinstance(stem, str) or not stem.strip():
                raise StancewireError(f"{path}: {label} has the stem {stem!r}: put it in quotes")
    return {str(label): tuple(stems) for label, stems in values.items()}


def predict_keywords(
    keywords: Mapping[str, Sequence[str]], labels: Sequence[str], texts: Sequence[str]
) -> SystemOutput:
    """Say that a label holds where any of its stems begins a word, whatever the case.

    Raises StancewireError if a label has no stems.
    """
    missing = [label for label in labels if not keywords.get(label)]
    if missing:
        raise StancewireError(
            f"the keyword list has no stems for {', '.join(missing)}: give one that has (--keywords FILE)"
        )
    patterns = [_stem_pattern(keywords[label]) for label in labels]
    found = [[pattern.search(text) is not None for pattern in patterns] for text in texts]
    return SystemOutput("keywords", np.array(found, dtype=np.bool_).reshape(len(texts), len(labels)))


def predict_tfidf(train: Examples, validation: Examples, texts: Sequence[str]) -> SystemOutput:
    """Fit logistic regression on TF-IDF of words and pairs of words, one classifier a label."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\b\w+\b")
    features = vectorizer.fit_transform(train.texts)
    return _predict_regression(
        "TF-IDF",
        features,
        vectorizer.transform(validation.texts),
        vectorizer.transform(texts),
        train.targets,
        validation.targets,
    )


def predict_frozen_encoder(
    folder: Path, train: Examples, validation: Examples, texts: Sequence[str], *, max_length: int = 128
) -> SystemOutput:
    """Fit logistic regression on the vectors that the pretrained encoder gives, without fine-tuning it."""
    vectors = encode_mean(folder, [*train.texts, *validation.texts, *texts], max_length=max_length)
    bounds = (len(train.texts), len(train.texts) + len(validation.texts))
    known, held_out, asked = np.split(vectors, bounds)
    return _predict_regression("frozen encoder", known, held_out, asked, train.targets, validation.targets)


@torch.inference_mode()
def encode_mean(folder: Path, texts: Sequence[str], *, max_length: int = 128) -> NDArray[np.float32]:
    """Compute sentence vectors, the mean over the tokens of the last layer: float32 `[texts, hidden]`."""
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval()
    positions = getattr(encoder.config, "max_position_embeddings", max_length)
    tokenizer = load_tokenizer(folder, min(max_length, positions))
    token_ids = tokenizer(list(texts), truncation=True)["input_ids"]
    order = sorted(range(len(texts)), key=lambda index: -len(token_ids[index]))
    vectors = np.empty((len(texts), encoder.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        inputs = tokenizer.pad({"input_ids": [token_ids[index] for index in batch]}, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = encoder(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        vectors[batch] = ((hidden * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return vectors


def _stem_pattern(stems: Sequence[str]) -> re.Pattern[str]:
    phrases = (r"\s+".join(map(re.escape, stem.split())) for stem in stems)
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})", re.IGNORECASE)


def _predict_regression(
    name: str,
    known: Any,
    held_out: Any,
    asked: Any,
    targets: NDArray[np.float32],
    held_out_targets: NDArray[np.float32],
) -> SystemOutput:
    fits = [_fit_labels(known, targets, class_weight) for class_weight in (None, "balanced")]
    tried = [_probabilities(fit, held_out) for fit in fits]
    thresholds = [best_thresholds(probabilities, held_out_targets) for probabilities in tried]
    scores = [
        macro_f1(held_out_targets, decide(probabilities, cuts))
        for probabilities, cuts in zip(tried, thresholds, strict=True)
    ]
    best = int(np.argmax(np.nan_to_num(scores)))
    probabilities = _probabilities(fits[best], asked)
    return SystemOutput(name, decide(probabilities, thresholds[best]), probabilities)


def _fit_labels(
    features: Any, targets: NDArray[np.float32], class_weight: str | None
) -> list[LogisticRegression | float]:
    # A label that all sentences hold, or none, leaves nothing to fit: its probability is that share.
    return [
        LogisticRegression(C=10.0, class_weight=class_weight, solver="liblinear").fit(features, column)
        if 0 < column.mean() < 1
        else float(column.mean())
        for column in targets.T
    ]


def _probabilities(fit: list[LogisticRegression | float], features: Any) -> NDArray[np.float32]:
    rows = features.shape[0]
    if rows == 0:
        return np.empty((0, len(fit)), dtype=np.float32)
    columns = [
        np.full(rows, model) if isinstance(model, float) else model.predict_proba(features)[:, 1]
        for model in fit
    ]
    return np.stack(columns, axis=1).astype(np.float32)
