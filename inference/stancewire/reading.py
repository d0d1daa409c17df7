"""Read documents ahead of their scoring: decoded, their language detected, cut into sentences, in groups."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from stancewire.documents import Document, DocumentError, Source, read_document
from stancewire.language import Language, detect_language
from stancewire.segmentation import Sentence, split_sentences

GROUP_SENTENCES: Final = 512
"""Enough that no scoring thread waits long for the last one, few enough for a progress bar to move."""

# A folder of documents that are skipped makes no sentences, and should move the bar too.
_GROUP_DOCUMENTS = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """A document read and cut, or what was found out before the `reason` to skip it."""

    id: str
    reason: str | None = None
    document: Document | None = None
    language: Language | None = None
    sentences: Sequence[Sentence] = ()


def read_groups(
    sources: Iterable[Source], any_language: bool = False
) -> Generator[list[Reading], None, None]:
    """Read documents in order, in groups of about 512 sentences, while those of the group before are scored.

    A document that cannot be read, or is not English unless `any_language` is set, has a `reason` and no
    sentences.
    """
    groups = _grouped(sources, any_language)
    with ThreadPoolExecutor(1, thread_name_prefix="stancewire-reader") as reader:
        pending = reader.submit(next, groups, None)
        while (group := pending.result()) is not None:
            pending = reader.submit(next, groups, None)
            yield group


def _grouped(sources: Iterable[Source], any_language: bool) -> Iterator[list[Reading]]:
    group: list[Reading] = []
    sentences = 0
    for source in sources:
        reading = _read(source, any_language)
        group.append(reading)
        sentences += len(reading.sentences)
        if sentences >= GROUP_SENTENCES or len(group) >= _GROUP_DOCUMENTS:
            yield group
            group, sentences = [], 0
    if group:
        yield group


def _read(source: Source, any_language: bool) -> Reading:
    try:
        document = read_document(source)
        language = detect_language(document.text)
        if language.is_foreign and not any_language:
            reason = f"is not English: language {language.code}, probability {language.probability:.2f}"
            return Reading(source.id, reason, document, language)
        return Reading(source.id, None, document, language, split_sentences(document.text))
    except DocumentError as error:
        return Reading(source.id, error.reason)
    except Exception as error:  # one document that nobody foresaw should not cost the others
        _log.exception("reading %s failed", source.id)
        return Reading(source.id, f"could not be read and cut ({type(error).__name__}: {error})")
