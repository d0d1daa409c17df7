"""The configuration of a model: one YAML file, checked key by key, with nothing hidden.

Every key stands in the file: there are no silent defaults. The sentence below each field is its help text;
the resolved configuration is saved beside the weights.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stancewire.errors import StancewireError

Words = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )


class EncoderConfig(_Section):
    """The pretrained encoder that is fine-tuned."""

    name: Words
    """A Hugging Face hub id, or a local folder with config.json, model.safetensors and tokenizer.json."""
    revision: str | None
    """The commit of the hub repository; not used for a local folder."""
    sha256: str | None
    """The SHA-256 that model.safetensors must have, wherever it comes from; null accepts any."""
    license: str
    """The encoder's licence, for the model card."""
    trained_on: str
    """What the encoder was trained on before, for the model card."""
    layers: Positive | None
    """How many of its layers are kept, evenly between the first and the last; null: all."""
    pieces: Positive | None
    """How many pieces of its vocabulary are kept, those that the training's sentences use most; null: all."""


class DataConfig(_Section):
    """The annotated sentences."""

    corpus: Words
    """A corpus folder, as `stancewire check` reads it, or the hub id of a dataset."""
    max_length: Annotated[int, Field(ge=8, le=8192)]
    """The token budget of a sentence, special tokens included; longer ones are scored in windows."""


class TrainingConfig(_Section):
    """How the encoder is fine-tuned."""

    epochs: Positive
    """Passes over the training sentences."""
    batch_size: Positive
    """Sentences in one forward pass on one device."""
    gradient_accumulation: Positive
    """Forward passes whose gradients are added up for one step."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)]
    """The peak of AdamW's learning rate, reached after the warm-up, falling linearly to 0."""
    head_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)]
    """The same for the last layer, which starts from nothing and may learn faster."""
    weight_decay: Share
    """AdamW's weight decay; biases and layer norms have none."""
    warmup_share: Rate
    """The share of all steps over which the learning rate rises from 0."""
    frozen_layers: Annotated[int, Field(ge=0)]
    """Layers of the encoder, from the embeddings up, that stay as they are; 0: all are trained."""
    hidden_dropout: Rate
    """Dropout inside the encoder."""
    head_dropout: Rate
    """Dropout before the last layer."""
    span_weight: Annotated[float, Field(ge=0.0, le=10.0)]
    """How much the loss of sources and targets counts beside that of the labels; 0: they are not learnt."""
    max_gradient_norm: Annotated[float, Field(gt=0.0)]
    """Gradients are scaled down to this norm."""
    bf16: bool
    """Mixed precision in bfloat16, on a processor that has it three times as fast as float32."""
    early_stopping_patience: Positive
    """Epochs without a better macro-F1 on validation after which training ends; the best epoch is kept."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """The seed of everything random: head, dropout, order of the sentences."""


class DistillationConfig(_Section):
    """What a student learns from a teacher, besides the annotated labels."""

    soft_targets: Words
    """The teacher's probabilities for the training sentences, as `stancewire distill` keeps them."""
    hard_share: Share
    """How much the annotated label counts in the target of a training sentence; the teacher has the rest."""
    text: str
    """What the unlabelled text was, for the model card."""
    text_sentences: Annotated[int, Field(ge=0)]
    """At most so many sentences of unlabelled text."""
    empty_share: Rate
    """At most this share of them without a stance, by the teacher."""
    min_words: Positive
    """Shorter ones are left out."""
    max_words: Positive
    """Longer ones are left out."""


class CalibrationConfig(_Section):
    """How logits become probabilities: in training on the validation split, in export on what it is given."""

    method: Literal["platt", "none"]
    """platt: a slope and an intercept a label, folded into the last layer. none: the logits as they are."""
    thresholds: Literal["best_f1", "half"]
    """best_f1: for each label the probability that gives the best F1. half: 0.5 for each."""


class ExportConfig(_Section):
    """What the int8 model may differ by from the float32 one, on the validation split."""

    max_probability_change: Share
    """The largest change of any probability; beyond it the export is refused."""
    max_macro_f1_drop: Share
    """The largest drop of macro-F1; beyond it the export is refused."""


class Config(_Section):
    """One model: its name and the parts of its making."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """The model's name, and that of its folder."""
    description: str
    """What it is, what it is for and where it fails, in Markdown, for the model card."""
    encoder: EncoderConfig
    data: DataConfig
    training: TrainingConfig
    distillation: DistillationConfig | None
    """What a student learns from a teacher; null for a model that has none."""
    calibration: CalibrationConfig
    export: ExportConfig

    def to_yaml(self) -> str:
        """Write the configuration as YAML, every key in the order of the classes."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True, width=100)


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration file and apply overrides such as `training.learning_rate=1e-4`.

    Raises StancewireError, naming the file and the key, for an unknown key (with the nearest right one), a
    missing key, one that stands twice, a value of the wrong type or out of range.
    """
    try:
        values = _load_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StancewireError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StancewireError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise StancewireError(f"{path} should hold keys and values, such as name: stance-small")
    for override in overrides:
        _override(values, override)
    return parse_config(values, str(path))


def parse_config(values: dict[str, Any], where: str) -> Config:
    """Check the values of a configuration; `where` names their source in the StancewireError it may raise."""
    try:
        return Config.model_validate(_read_floats(values, Config))
    except ValidationError as error:
        problems = "; ".join(_sentence(problem) for problem in error.errors())
        raise StancewireError(f"{where}: {problems}") from None


def documented_keys(model: type[BaseModel] = Config, prefix: str = "") -> dict[str, str | None]:
    """List every dotted key with its help text; None where a field has no docstring and is no section."""
    keys: dict[str, str | None] = {}
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            keys[prefix + name] = field.description
        else:
            keys |= documented_keys(section, f"{prefix}{name}.")
    return keys


def _load_yaml(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        _refuse_twins(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_twins(node: yaml.Node | None) -> None:
    # YAML's second key of a name silently wins over the first. What an alias repeats is looked at once.
    waiting, looked_at = [node], set()
    while waiting:
        at = waiting.pop()
        if at is None or id(at) in looked_at:
            continue
        looked_at.add(id(at))
        names = set()
        for key, value in at.value if isinstance(at, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                problem = f"{key.value} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            names.add(str(key.value))
            waiting.append(value)


def _override(values: dict[str, Any], override: str) -> None:
    dotted, sign, text = override.partition("=")
    dotted = dotted.strip()
    *sections, key = dotted.split(".")
    if not sign or not key:
        raise StancewireError(f"--set {override}: should be KEY=VALUE, such as training.epochs=3")
    at = values
    for section in sections:
        nested = at.get(section)
        if not isinstance(nested, dict):
            raise StancewireError(f"--set {override}: {_unknown(dotted)}")
        at = nested
    try:
        at[key] = _load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise StancewireError(f"--set {override}: {text!r} is not a YAML value") from None


def _read_floats(values: Any, model: type[BaseModel]) -> Any:
    # YAML reads 1e-4 as a string: right where a float is wanted, and nowhere else.
    if not isinstance(values, dict):
        return values
    mended = {}
    for key, value in values.items():
        field = model.model_fields.get(str(key))
        section = _section(field.annotation) if field else None
        if section is not None:
            value = _read_floats(value, section)
        elif field and field.annotation is float:
            value = _number(value)
        mended[str(key)] = value
    return mended


def _number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value) if "e" in value.lower() and value[:1] in "0123456789.+-" else value
        except ValueError:
            return value
    return value


def _section(annotation: Any) -> type[BaseModel] | None:
    # A section that may be null is one too.
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _sentence(problem: Any) -> str:
    dotted = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return _unknown(dotted)
    if problem["type"] == "missing":
        return f"{dotted} is missing: {documented_keys().get(dotted) or 'it needs a section of keys'}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{dotted} is {reprlib.repr(problem['input'])}: {message}"


def _unknown(dotted: str) -> str:
    known: Sequence[str] = [*documented_keys(), *Config.model_fields]
    near = difflib.get_close_matches(dotted, known, n=1, cutoff=0.0)[0]
    return f"there is no key {dotted}; the nearest is {near}"
