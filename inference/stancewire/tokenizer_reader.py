"""Read a tokenizer.json from anybody, under limits.

The file says which steps cut a text, and the library tokenizers takes any: a regular expression that needs
years for a line of text, a replacement that makes a gigabyte of it, a vocabulary drawn anew at each call. The
steps allowed here are those of BERT, MPNet and RoBERTa and near relatives; all take time in proportion to the
text. Regular expressions are refused, wherever they stand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NoReturn

from tokenizers import Tokenizer

from stancewire.errors import StancewireError
from stancewire.faults import faults_as

MAX_BYTES: Final = 16_000_000
"""BERT's file has 0.7 million bytes; vocabularies of a hundred languages have nine."""

# The steps that may stand in each part.
_NORMALIZERS = "BertNormalizer Lowercase NFC NFD NFKC NFKD Sequence Strip StripAccents"
_PRE_TOKENIZERS = (
    "BertPreTokenizer ByteLevel Digits Metaspace Punctuation Sequence Whitespace WhitespaceSplit"
)
_POST_PROCESSORS = "BertProcessing ByteLevel RobertaProcessing Sequence TemplateProcessing"
_DECODERS = "BPEDecoder ByteLevel Metaspace WordPiece"
_MODELS = "BPE Unigram WordLevel WordPiece"
_PARTS: Final = {
    "normalizer": frozenset(_NORMALIZERS.split()),
    "pre_tokenizer": frozenset(_PRE_TOKENIZERS.split()),
    "post_processor": frozenset(_POST_PROCESSORS.split()),
    "decoder": frozenset(_DECODERS.split()),
    "model": frozenset(_MODELS.split()),
}
_OTHER_KEYS = frozenset(("version", "truncation", "padding", "added_tokens"))
_LISTS = ("normalizers", "pretokenizers", "processors", "decoders")
_MOST_STEPS, _MOST_ADDED_TOKENS, _LONGEST_WORD = 16, 1_000, 200
# The library wants to see an unknown token before it says that it has no way to write one.
_PROBE = "a \ue000"


def read_tokenizer(path: Path, max_length: int) -> Tokenizer:
    """Read a tokenizer that cuts texts into windows of `max_length` tokens, each half over the one before.

    Raises StancewireError for a file that is too large or not a tokenizer, for steps outside the allow-list,
    for regular expressions and for anything random.
    """
    text = _read(path)
    try:
        values = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StancewireError(
            f"{path} is not a tokenizer that can be read ({error}): take a fresh copy of the model folder"
        ) from None
    try:
        _check(values)
    except _UnfitError as error:
        raise StancewireError(f"{path} is not a tokenizer that stancewire runs: {error}") from None
    return _make(text, path, max_length)


class _UnfitError(Exception):
    """Says what makes a tokenizer unfit."""


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StancewireError(f"{path} is not a tokenizer that can be read: {error}") from None
    raise StancewireError(
        f"{path} is not a tokenizer that stancewire runs: it has more than {MAX_BYTES / 1e6:g} MB"
    )


def _make(text: str, path: Path, max_length: int) -> Tokenizer:
    stride = max_length // 2
    with faults_as(lambda why: StancewireError(f"{path} is not a tokenizer that can be read: {why}")):
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
        if special < max_length - stride:
            tokenizer.enable_truncation(max_length, stride=stride)
            tokenizer.encode(_PROBE)
            return tokenizer
    raise StancewireError(
        f"{path} adds {special} tokens to each sentence, too many for windows of {max_length}"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two values under one key Python takes the last, and the library perhaps the first.
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _check(values: Any) -> None:
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise _UnfitError("it has no model")
    unknown = values.keys() - _PARTS.keys() - _OTHER_KEYS
    if unknown:
        raise _UnfitError(f"it has the unknown key {min(unknown)!a}")
    for part in _PARTS:
        if values.get(part) is not None:
            _check_steps(part, values[part])
    added = values.get("added_tokens") or []
    if not isinstance(added, list) or len(added) > _MOST_ADDED_TOKENS:
        raise _UnfitError(f"added_tokens should be a list of at most {_MOST_ADDED_TOKENS:,}")
    _check_model(values["model"])


def _check_steps(part: str, step: Any) -> None:
    # A step may be a sequence of others.
    steps = [step]
    for values in steps:
        kind = values.get("type") if isinstance(values, dict) else None
        # Without a type the library guesses one by the keys.
        if not isinstance(kind, str) or kind not in _PARTS[part]:
            raise _UnfitError(f"its {part} is of type {str(kind)[:40]!a}, which stancewire does not run")
        for key in _LISTS:
            inner = values.get(key, [])
            if not isinstance(inner, list) or len(steps) + len(inner) > _MOST_STEPS:
                raise _UnfitError(f"its {part} has more than {_MOST_STEPS} steps")
            steps += inner


def _check_model(model: dict[str, Any]) -> None:
    if model.get("dropout"):
        raise _UnfitError("it cuts words by chance (dropout)")
    longest = model.get("max_input_chars_per_word", _LONGEST_WORD)
    if type(longest) is not int or longest > _LONGEST_WORD:
        raise _UnfitError(f"max_input_chars_per_word should be a number up to {_LONGEST_WORD}")
