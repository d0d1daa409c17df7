"""What several areas need: a tiny real model, made by the real training code, and the shipped one."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

# Imported by `evaluate`, it tries whether the machine has IPv6: before the tests may open no socket.
with contextlib.suppress(ImportError):
    import urllib3  # noqa: F401

ROOT = Path(__file__).parents[1]
SEEDS = ROOT / "seeds"
DEVELOPMENT_SET = ROOT.parent / "shared"
REQUIRED = frozenset(os.environ.get("STANCEWIRE_REQUIRE", "").split(",")) - {""}

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def skip_or_fail(what: str, reason: str) -> None:
    """Skip for want of what a machine may lack, or fail where STANCEWIRE_REQUIRE says that it is there."""
    if what in REQUIRED:
        pytest.fail(f"STANCEWIRE_REQUIRE names {what}, but {reason}")
    pytest.skip(reason)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests of what trains, where torch is not installed: they cannot even be read there."""
    if find_spec("torch") is None and collection_path.suffix == ".py":
        training = r"^(from|import) (stancewire_training|datasets)\b"
        return re.search(training, collection_path.read_text(encoding="utf-8"), re.M) is not None or None
    return None


@pytest.fixture(scope="session")
def development_set() -> Path:
    if not DEVELOPMENT_SET.is_dir():
        skip_or_fail("shared", "the development set, kept outside the repository, is not here")
    return DEVELOPMENT_SET


def seed_rows(split: str, count: int) -> list[dict]:
    lines = []
    for path in sorted((SEEDS / split).glob("*.jsonl")):
        lines += path.read_text(encoding="utf-8").splitlines()[:8]
    return [json.loads(line) for line in lines][:count]


def write_corpus(folder: Path, splits: dict[str, list[dict]], labels: list[str]) -> Path:
    """Write a corpus as seeds/ is laid out: a JSONL file a split, and a card that names the labels."""
    stances = "\n".join(f"            '{index}': {label}" for index, label in enumerate(labels))
    files = "\n".join(f"  - split: {split}\n    path: {split}/*.jsonl" for split in splits)
    card = (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}\ndataset_info:\n  features:\n"
        "  - name: text\n    dtype: string\n  - name: doc\n    dtype: string\n  - name: i\n    dtype: int32\n"
        "  - name: stances\n    list:\n    - name: label\n      dtype:\n"
        "        class_label:\n          names:\n"
        f"{stances}\n    - name: source\n      dtype: string\n    - name: source_start\n      dtype: int32\n"
        "    - name: target\n      dtype: string\n    - name: target_start\n      dtype: int32\n---\n"
    )
    for split, rows in splits.items():
        (folder / split).mkdir(parents=True)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / split / "all.jsonl").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {
        "train": seed_rows("train", 160),
        "validation": seed_rows("validation", 60),
        "test": seed_rows("test", 40),
    }
    return write_corpus(
        tmp_path_factory.mktemp("corpus"), splits, ["threat", "reassurance", "accusation", "denial"]
    )


def commonest_pieces(path: Path, count: int) -> dict[str, int]:
    """Number the pieces of a WordPiece vocabulary: the special ones, single characters, the commonest words.

    Counted here, because the trainers of `tokenizers` break ties differently in each process.
    """
    texts = [json.loads(line)["text"].lower() for line in path.read_text(encoding="utf-8").splitlines()]
    characters = sorted(set("".join(texts)) - {" "})
    words = Counter(word for text in texts for word in re.findall(r"\w\w+", text))
    ranked = sorted(words, key=lambda word: (-words[word], word))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    pieces += [f"##{character}" for character in characters] + ranked
    return {piece: index for index, piece in enumerate(pieces[:count])}


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Path:
    """A BERT of two layers, 32 wide, with random weights and the commonest words of the tiny corpus."""
    torch = pytest.importorskip("torch")
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = commonest_pieces(tiny_corpus / "train" / "all.jsonl", 800)
    BertWordPieceTokenizer(vocab=vocabulary).save(str(folder / "tokenizer.json"))
    BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def config_values(encoder: Path, corpus: Path, **training: object) -> dict:
    """The shipped configuration made tiny: this encoder, this corpus, three quick epochs."""
    import yaml

    values = yaml.safe_load((ROOT / "configs" / "stance-small.yaml").read_text(encoding="utf-8"))
    values |= {"name": "tiny"}
    values["encoder"] |= {"name": str(encoder), "revision": None, "sha256": None}
    values["data"] |= {"corpus": str(corpus), "max_length": 48}
    values["training"] |= {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3, "bf16": False} | training
    values["distillation"] = None
    values["export"] |= {"max_probability_change": 1.0, "max_macro_f1_drop": 1.0}
    return values


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_corpus: Path) -> Path:
    from stancewire_training.config import parse_config
    from stancewire_training.trainer import train

    config = parse_config(config_values(tiny_encoder, tiny_corpus), "tiny")
    return train(config, tmp_path_factory.mktemp("runs") / "tiny").folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    from stancewire_training.export import export

    return export(tiny_checkpoint, tmp_path_factory.mktemp("models") / "tiny").folder


@pytest.fixture(scope="session")
def classifier(tiny_model: Path):
    from stancewire import StanceClassifier

    return StanceClassifier.load(tiny_model)
