"""What of a tokenizer.json is refused, and that those of known encoders are read as they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from handmade import make_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from stancewire.errors import StancewireError
from stancewire.tokenizer_reader import MAX_BYTES, read_tokenizer

SHIPPED = sorted((ROOT / "models").glob("*/tokenizer.json"))
CATASTROPHIC = {"Regex": "(a+)+$"}
SPLIT = {"type": "Split", "pattern": CATASTROPHIC, "behavior": "Isolated", "invert": False}
REPLACE = {"type": "Replace", "pattern": CATASTROPHIC, "content": "b"}
MPNET = {
    "post_processor": {
        "type": "RobertaProcessing",
        "sep": ["[SEP]", 3],
        "cls": ["[CLS]", 2],
        "trim_offsets": True,
        "add_prefix_space": False,
    },
    "added_tokens": [
        {
            "id": 10,
            "content": "<mask>",
            "single_word": False,
            "lstrip": True,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ],
}
ROBERTA = {
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    "post_processor": None,
}


def write(folder: Path, values: Any) -> Path:
    path = folder / "tokenizer.json"
    text = values if isinstance(values, str) else json.dumps(values)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


def changed(**values: Any) -> dict[str, Any]:
    return make_tokenizer() | values


def with_model(**values: Any) -> dict[str, Any]:
    return changed(model=make_tokenizer()["model"] | values)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_tokenizer_cuts_as_the_library_alone_does(path: Path):
    text = "The minister's naïve spokeswoman — quoted in São Paulo — denied it, 北京 said. " * 20

    ids = read_tokenizer(path, 8192).encode(text).ids

    assert ids == Tokenizer.from_file(str(path)).encode(text).ids


@pytest.mark.parametrize("values", [{}, MPNET, ROBERTA], ids=["BERT", "MPNet", "RoBERTa"])
def test_the_steps_of_known_encoders_are_read(tmp_path: Path, values: dict[str, Any]):
    path = write(tmp_path, changed(**values))

    ids = read_tokenizer(path, 16).encode("ab deny").ids

    assert ids == Tokenizer.from_file(str(path)).encode("ab deny").ids


def test_a_long_text_is_cut_into_windows_that_overlap_by_half(tmp_path: Path):
    encoding = read_tokenizer(write(tmp_path, make_tokenizer()), 8).encode("deny warn " * 10)

    windows = [encoding, *encoding.overflowing]

    assert all(len(window.ids) <= 8 for window in windows)
    assert {offset for window in windows for offset in window.offsets if offset != (0, 0)} == {
        (start, start + 4) for start in range(0, 100, 5)
    }


HOSTILE = {
    "a catastrophic regex": (changed(pre_tokenizer=SPLIT), "pre_tokenizer is of type 'Split'"),
    "a regex within a sequence": (
        changed(pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, SPLIT]}),
        "pre_tokenizer is of type 'Split'",
    ),
    "a regex two sequences deep": (
        changed(
            normalizer={
                "type": "Sequence",
                "normalizers": [{"type": "Sequence", "normalizers": [REPLACE]}],
            }
        ),
        "normalizer is of type 'Replace'",
    ),
    "a regex whose step has no type": (
        changed(pre_tokenizer={key: value for key, value in SPLIT.items() if key != "type"}),
        "pre_tokenizer is of type 'None'",
    ),
    "a regex in the normalizer": (changed(normalizer=REPLACE), "normalizer is of type 'Replace'"),
    "a regex in the decoder": (changed(decoder=REPLACE), "decoder is of type 'Replace'"),
    "a replacement that makes text longer": (
        changed(normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10_000}),
        "normalizer is of type 'Replace'",
    ),
    "a table of characters": (
        changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "normalizer is of type 'Precompiled'",
    ),
    "a type that is no text": (changed(normalizer={"type": ["NFC"]}), "normalizer is of type"),
    "a step that is no object": (changed(pre_tokenizer="Whitespace"), "pre_tokenizer is of type 'None'"),
    "too many steps": (
        changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 100}),
        "more than 16 steps",
    ),
    "steps that are no list": (
        changed(normalizer={"type": "Sequence", "normalizers": {"type": "NFC"}}),
        "more than 16 steps",
    ),
    "a model of an unknown type": (with_model(type="Oracle"), "model is of type 'Oracle'"),
    "no model": (changed(model=None), "it has no model"),
    "no object": (["BERT"], "it has no model"),
    "an unknown part": (changed(code="import os"), "unknown key 'code'"),
    "words cut by chance": (with_model(type="BPE", dropout=0.5), "by chance"),
    "words of any length": (with_model(max_input_chars_per_word=10**9), "max_input_chars_per_word"),
    "too many added tokens": (changed(added_tokens=[{}] * 1_001), "at most 1,000"),
    "added tokens that are no list": (changed(added_tokens={"a": 1}), "at most 1,000"),
    "a key that stands twice": ('{"model": {"type": "BPE"}, "model": {"type": "WordPiece"}}', "stands twice"),
    "a number that is none": ('{"model": NaN}', "NaN is no number"),
    "a number of a million digits": (f'{{"model": {"9" * 1_000_000}}}', "cannot be read|can be read"),
    "nesting without an end": ("[" * 200_000, "can be read"),
    "a pickle": ("\x80\x04\x95", "can be read"),
    "nothing": ("", "can be read"),
    "a vocabulary without the unknown word": (with_model(unk_token="[NONE]"), "can be read"),
    # Of these the library makes a panic in Rust, which no `except Exception` catches.
    "a template of tokens that are not there": (
        changed(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            }
        ),
        "can be read",
    ),
    "merges that do not fit": (
        changed(**ROBERTA | {"model": {**ROBERTA["model"], "continuing_subword_prefix": "##"}}),
        "can be read",
    ),
    "more special tokens than a window has": (
        changed(
            post_processor={
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": "x", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                ],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"x": {"id": "x", "ids": [2] * 9, "tokens": ["[CLS]"] * 9}},
            }
        ),
        "adds 9 tokens to each sentence",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_model_needs_is_refused_and_named(tmp_path: Path, name: str):
    values, said = HOSTILE[name]
    path = write(tmp_path, values)

    with pytest.raises(StancewireError, match=said) as caught:
        read_tokenizer(path, 16)

    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)

    with pytest.raises(StancewireError, match=r"more than 16 MB"):
        read_tokenizer(path, 16)


@pytest.mark.parametrize("text", ["a" * 100_000, "deny" * 25_000, "##s" * 30_000, "\u0301" * 50_000])
def test_a_text_without_a_space_takes_time_in_proportion_to_its_length(tmp_path: Path, text: str):
    tokenizer = read_tokenizer(write(tmp_path, with_model(max_input_chars_per_word=200)), 16)

    begin = time.process_time()
    tokenizer.encode(text)

    assert time.process_time() - begin < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused_with_a_sentence(tmp_path: Path, data: st.DataObject):
    values = changed(**MPNET)
    part = values[data.draw(st.sampled_from(sorted(values)))]
    inner = part if isinstance(part, dict) else values
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(JSON)

    read_or_refuse(write(tmp_path, values))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_with_a_sentence(tmp_path: Path, position: int, value: int):
    content = bytearray(json.dumps(changed(**MPNET)).encode())
    content[position % len(content)] = value
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)

    read_or_refuse(path)


def read_or_refuse(path: Path) -> None:
    try:
        tokenizer = read_tokenizer(path, 16)
    except StancewireError as error:
        assert str(error).startswith(str(path))
    else:
        assert len(tokenizer.encode("The minister denies it. " * 9).ids) <= 16
