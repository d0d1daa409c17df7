"""The work behind the API, done in a thread of the queue: from a request's bytes to those of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from stancewire.classifier import Prediction, ScoredSentence, StanceClassifier
from stancewire.documents import Document, DocumentError
from stancewire.formats import ScoredDocument, prediction_values, to_line, without_surrogates
from stancewire.language import Language, detect_language
from stancewire.segmentation import Sentence, split_sentences
from stancewire.server.schemas import PredictRequest, ScoreRequest
from stancewire.server.settings import LONGEST_SENTENCE, Limits
from stancewire.server.work_queue import Check

M = TypeVar("M", bound=BaseModel)

Task = Callable[[StanceClassifier, Limits, bytes, Check], bytes]
"""Answers the body of a request; raises HTTPException for one that it cannot answer."""

_SLICE: Final = 16
_LONGEST_WHERE = 200


def predict(classifier: StanceClassifier, limits: Limits, body: bytes, check: Check) -> bytes:
    """Read the sentences of a PredictRequest: a PredictAnswer."""
    sentences = _parse(PredictRequest, body).sentences
    _refuse_many(len(sentences), limits)
    predictions: list[Prediction] = []
    for start in range(0, len(sentences), _SLICE):
        check()
        predictions += classifier.predict(sentences[start : start + _SLICE])
    values = {**_model(classifier), "predictions": [prediction_values(entry) for entry in predictions]}
    return _encode(json.dumps(values, ensure_ascii=False))


def score(classifier: StanceClassifier, limits: Limits, body: bytes, check: Check) -> bytes:
    """Cut and read the documents of a ScoreRequest: a ScoreAnswer."""
    request = _parse(ScoreRequest, body)
    skipped: list[dict[str, str]] = []
    taken: list[tuple[Document, Language, Sequence[Sentence]]] = []
    sentences: list[Sentence] = []
    for entry in request.documents:
        check()
        try:
            document = entry.read()
            language = _language(document, request.any_language)
        except DocumentError as error:
            skipped.append({"document": error.document, "reason": error.reason})
            continue
        cut = split_sentences(document.text)
        _refuse_long(document, cut)
        sentences += cut
        _refuse_many(len(sentences), limits)
        taken.append((replace(document, text=""), language, cut))
    scored = iter(_score(classifier, sentences, check))
    lines = [
        to_line(ScoredDocument(document, language, tuple(islice(scored, len(cut)))))
        for document, language, cut in taken
    ]
    head = json.dumps(_model(classifier), ensure_ascii=False)[:-1]
    rest = json.dumps(skipped, ensure_ascii=False)
    return _encode(f'{head}, "documents": [{", ".join(lines)}], "skipped": {rest}}}')


def _score(classifier: StanceClassifier, sentences: Sequence[Sentence], check: Check) -> list[ScoredSentence]:
    scored: list[ScoredSentence] = []
    for start in range(0, len(sentences), _SLICE):
        check()
        scored += classifier.score_sentences(sentences[start : start + _SLICE])
    return scored


def _language(document: Document, any_language: bool) -> Language:
    language = detect_language(document.text)
    if language.is_foreign and not any_language:
        reason = f"is not English: language {language.code}, probability {language.probability:.2f}"
        raise DocumentError(document.id, reason)
    return language


def _refuse_many(number: int, limits: Limits) -> None:
    if number > limits.sentences:
        raise HTTPException(413, f"there are more than {limits.sentences:,} sentences: send fewer at once")


def _refuse_long(document: Document, sentences: Sequence[Sentence]) -> None:
    for sentence in sentences:
        length = sentence.end - sentence.start
        if length > LONGEST_SENTENCE:
            raise HTTPException(
                413,
                f"{document.id} has a sentence of {length:,} characters at {sentence.start:,}, "
                f"more than {LONGEST_SENTENCE:,}",
            )


def _parse(kind: type[M], body: bytes) -> M:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise HTTPException(400, first["msg"])
    # What stands behind a document's number is which of the two forms it was taken for.
    parts = [str(part) for place, part in enumerate(first["loc"]) if place != 2]
    where = ".".join(parts)[:_LONGEST_WHERE]
    raise HTTPException(422, f"{where}: {first['msg']}" if where else first["msg"])


def _model(classifier: StanceClassifier) -> dict[str, Any]:
    return {"model": classifier.manifest.name, "digest": classifier.digest}


def _encode(text: str) -> bytes:
    return without_surrogates(text).encode()
