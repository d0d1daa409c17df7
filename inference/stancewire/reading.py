"""Read documents ahead of their scoring: decoded, their language detected, cut into sentences, in groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from stancewire.dates import find_date
from stancewire.documents import Document, DocumentError, Skipped, Source, decode_document
from stancewire.inputs import Inputs, RawDocument
from stancewire.language import Language, detect_language
from stancewire.run_store import Place
from stancewire.segmentation import Sentence, split_sentences
from stancewire.webpages import read_page

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
    sentences hold it. `consumed` is how many bytes of the files had been read when it was.
    """

    place: Place
    fingerprint: str | None = None
    reason: str | None = None
    document: Document | None = None
    language: Language | None = None
    sentences: Sequence[Sentence] = ()
    consumed: int = 0


def read_groups(
    found: Iterable[Source | Skipped] | Inputs, any_language: bool = False, admit: Admit | None = None
) -> Generator[list[Reading], None, None]:
    """Read documents in order, in groups of about 512 sentences, while those of the group before are scored.

    A document that cannot be read, or is not English unless `any_language` is set, has a `reason` and no
    sentences. `admit` is asked about each document before it is decoded, in a thread of its own.
    """
    inputs = found if isinstance(found, Inputs) else Inputs(found)
    groups = _grouped(inputs, any_language, admit or (lambda name, fingerprint: Place(0, name, False)))
    with ThreadPoolExecutor(1, thread_name_prefix="stancewire-reader") as reader:
        pending = reader.submit(next, groups, None)
        while (group := pending.result()) is not None:
            pending = reader.submit(next, groups, None)
            yield group


def read_document(raw: RawDocument) -> Document:
    """Decode a document, and find its date; raises DocumentError, with the reason, if it is no text."""
    mark = raw.fingerprint
    if raw.is_html:
        page = read_page(raw.name, raw.content)
        document = Document(raw.name, page.text, page.encoding, page.repaired, mark)
        given = page.date
    else:
        document = decode_document(raw.name, raw.content)
        given = raw.date
    date = find_date(raw.name, document.text, given)
    return replace(document, fingerprint=mark, date=date, columns=raw.columns)


def _grouped(inputs: Inputs, any_language: bool, admit: Admit) -> Iterator[list[Reading]]:
    group: list[Reading] = []
    sentences = 0
    for entry in inputs:
        if isinstance(entry, Skipped):
            reading = Reading(admit(entry.document, None), reason=entry.reason)
        else:
            mark = entry.fingerprint
            place = admit(entry.name, mark)
            reading = Reading(place, mark) if place.is_known else _read(place, mark, entry, any_language)
        group.append(replace(reading, consumed=inputs.consumed))
        sentences += len(reading.sentences)
        if sentences >= GROUP_SENTENCES or len(group) >= _GROUP_DOCUMENTS:
            yield group
            group, sentences = [], 0
    if group:
        yield group


def _read(place: Place, mark: str, raw: RawDocument, any_language: bool) -> Reading:
    try:
        full = read_document(replace(raw, name=place.name))
        document = replace(full, text="")
        language = detect_language(full.text)
        if language.is_foreign and not any_language:
            reason = f"is not English: language {language.code}, probability {language.probability:.2f}"
            return Reading(place, mark, reason, document, language)
        return Reading(place, mark, None, document, language, split_sentences(full.text))
    except DocumentError as error:
        return Reading(place, mark, error.reason)
    except Exception as error:  # one document that nobody foresaw should not cost the others
        _log.exception("reading %s failed", place.name)
        return Reading(place, mark, f"could not be read and cut ({type(error).__name__}: {error})")
