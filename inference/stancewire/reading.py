"""Read documents ahead of their scoring: decoded, their language detected, cut into sentences, in groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from stancewire.documents import (
    Document,
    DocumentError,
    Skipped,
    Source,
    decode_document,
    fingerprint,
    read_bytes,
)
from stancewire.language import Language, detect_language
from stancewire.run_store import Place
from stancewire.segmentation import Sentence, split_sentences

GROUP_SENTENCES: Final = 512
"""Enough that no scoring thread waits long for the last one, few enough for a progress bar to move."""

# A folder of documents that are skipped makes no sentences, and should move the bar too.
_GROUP_DOCUMENTS = 256

_log = logging.getLogger(__name__)

Admit = Callable[[str, str | None], Place]
"""Takes a document's name and fingerprint, and says where it stands, and whether it has to be read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A document read and cut, or what was found out before the `reason` to skip it.

    A document that is known already has neither sentences nor a reason. Its text is left out, since its
    sentences hold it. `consumed` is how many bytes had been read when it was.
    """

    place: Place
    fingerprint: str | None = None
    reason: str | None = None
    document: Document | None = None
    language: Language | None = None
    sentences: Sequence[Sentence] = ()
    consumed: int = 0


def read_groups(
    found: Iterable[Source | Skipped], any_language: bool = False, admit: Admit | None = None
) -> Generator[list[Reading], None, None]:
    """Read documents in order, in groups of about 512 sentences, while those of the group before are scored.

    A document that cannot be read, or is not English unless `any_language` is set, has a `reason` and no
    sentences. `admit` is asked about each document before it is decoded, in a thread of its own.
    """
    groups = _grouped(found, any_language, admit or (lambda name, fingerprint: Place(0, name, False)))
    with ThreadPoolExecutor(1, thread_name_prefix="stancewire-reader") as reader:
        pending = reader.submit(next, groups, None)
        while (group := pending.result()) is not None:
            pending = reader.submit(next, groups, None)
            yield group


def _grouped(found: Iterable[Source | Skipped], any_language: bool, admit: Admit) -> Iterator[list[Reading]]:
    group: list[Reading] = []
    sentences = consumed = 0
    for entry in found:
        if isinstance(entry, Skipped):
            reading = Reading(admit(entry.document, None), reason=entry.reason)
        else:
            reading = _read(entry, any_language, admit)
            consumed += entry.size
        group.append(replace(reading, consumed=consumed))
        sentences += len(reading.sentences)
        if sentences >= GROUP_SENTENCES or len(group) >= _GROUP_DOCUMENTS:
            yield group
            group, sentences = [], 0
    if group:
        yield group


def _read(source: Source, any_language: bool, admit: Admit) -> Reading:
    try:
        raw = read_bytes(source)
    except DocumentError as error:
        return Reading(admit(source.id, None), reason=error.reason)
    mark = fingerprint(raw)
    place = admit(source.id, mark)
    return Reading(place, mark) if place.is_known else _cut(place, mark, raw, any_language)


def _cut(place: Place, mark: str, raw: bytes, any_language: bool) -> Reading:
    try:
        decoded = decode_document(place.name, raw)
        document = replace(decoded, text="")
        language = detect_language(decoded.text)
        if language.is_foreign and not any_language:
            reason = f"is not English: language {language.code}, probability {language.probability:.2f}"
            return Reading(place, mark, reason, document, language)
        return Reading(place, mark, None, document, language, split_sentences(decoded.text))
    except DocumentError as error:
        return Reading(place, mark, error.reason)
    except Exception as error:  # one document that nobody foresaw should not cost the others
        _log.exception("reading %s failed", place.name)
        return Reading(place, mark, f"could not be read and cut ({type(error).__name__}: {error})")
