"""A smaller encoder out of a larger one: what is kept is what it was, and trains and exports as any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from conftest import config_values  # noqa: E402
from transformers import AutoModel, AutoTokenizer  # noqa: E402

from stancewire import StanceClassifier  # noqa: E402
from stancewire.errors import StancewireError  # noqa: E402
from stancewire_training.config import parse_config  # noqa: E402
from stancewire_training.export import export  # noqa: E402
from stancewire_training.trainer import train  # noqa: E402
from stancewire_training.trimming import choose_pieces, trim_encoder  # noqa: E402

TEXTS = ["The ministry denied the report.", "The union threatened to close the port."]


def test_kept_layers_and_rows_are_those_of_the_encoder(tiny_encoder: Path, tmp_path: Path) -> None:
    kept = choose_pieces(tiny_encoder, TEXTS, 150)
    trimmed = trim_encoder(tiny_encoder, tmp_path / "small", TEXTS, layers=1, pieces=150)

    old, new = AutoModel.from_pretrained(tiny_encoder), AutoModel.from_pretrained(trimmed)
    assert new.config.num_hidden_layers == 1
    assert len(kept) <= 150
    rows = old.embeddings.word_embeddings.weight[list(kept.values())]
    assert torch.equal(new.embeddings.word_embeddings.weight, rows)
    for name, weight in old.encoder.layer[0].state_dict().items():
        assert torch.equal(new.encoder.layer[0].state_dict()[name], weight)


def test_a_text_of_kept_pieces_is_cut_as_before(tiny_encoder: Path, tmp_path: Path) -> None:
    trimmed = trim_encoder(tiny_encoder, tmp_path / "small", TEXTS, layers=None, pieces=400)
    old, new = AutoTokenizer.from_pretrained(tiny_encoder), AutoTokenizer.from_pretrained(trimmed)

    for text in TEXTS:
        assert new.convert_ids_to_tokens(new(text)["input_ids"]) == old.convert_ids_to_tokens(
            old(text)["input_ids"]
        )


def test_a_word_without_its_piece_is_read_in_smaller_ones(tiny_encoder: Path, tmp_path: Path) -> None:
    trimmed = trim_encoder(tiny_encoder, tmp_path / "small", ["the"], layers=None, pieces=1)
    tokenizer = AutoTokenizer.from_pretrained(trimmed)

    assert tokenizer.tokenize("denied") == ["d", "##e", "##n", "##i", "##e", "##d"]
    assert tokenizer.unk_token_id not in tokenizer("The ministry denied the report.")["input_ids"]


def test_more_layers_than_there_are_is_a_sentence(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(StancewireError, match=r"encoder.layers is 3, more than the 2 layers"):
        trim_encoder(tiny_encoder, tmp_path / "small", TEXTS, layers=3, pieces=None)


def test_a_tokenizer_of_another_kind_is_a_sentence(tiny_encoder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in tiny_encoder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    described = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    described["model"] = {"type": "WordLevel", "vocab": described["model"]["vocab"], "unk_token": "[UNK]"}
    (other / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")

    with pytest.raises(StancewireError, match="needs WordPiece"):
        trim_encoder(other, tmp_path / "small", TEXTS, layers=None, pieces=100)


@pytest.mark.slow
def test_a_trimmed_encoder_trains_and_exports(
    tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    # From a checkpoint of ours, as a tiny model is from a small one.
    values = config_values(tiny_checkpoint, tiny_corpus, epochs=1)
    values["encoder"] |= {"layers": 1, "pieces": 300}

    trained = train(parse_config(values, "tiny"), tmp_path / "run")
    export(trained.folder, tmp_path / "model")

    prediction = StanceClassifier.load(tmp_path / "model").predict("The ministry denied the report.")
    assert set(prediction.probabilities) == {"threat", "reassurance", "accusation", "denial"}
    vocabulary = json.loads((tmp_path / "model" / "tokenizer.json").read_text(encoding="utf-8"))
    assert len(vocabulary["model"]["vocab"]) <= 300
