"""What the API takes and gives, as its OpenAPI description has it. `docs/serve.md` tells it in words."""

from __future__ import annotations

import base64
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from stancewire.dates import find_date
from stancewire.documents import KINDS, Document, DocumentError, fingerprint
from stancewire.inputs import RawDocument
from stancewire.reading import read_document
from stancewire.server.settings import LONGEST_NAME, LONGEST_SENTENCE

_MOST_ENTRIES = 10_000
_BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

Name = Annotated[str, Field(max_length=LONGEST_NAME, description="The document's name, such as a file's.")]


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(_Taken):
    """Sentences to be read one by one."""

    sentences: Annotated[
        list[Annotated[str, Field(max_length=LONGEST_SENTENCE)]],
        Field(max_length=_MOST_ENTRIES, fail_fast=True, examples=[["We will respond, the minister said."]]),
    ]


class TextDocument(_Taken):
    """A document as text; offsets in the answer count its characters (Unicode code points) from 0."""

    document: Name = "text"
    text: str

    def read(self) -> Document:
        """Make a document of it."""
        mark = fingerprint(self.text.encode())
        if not self.text.strip():
            raise DocumentError(self.document, "holds nothing but white space")
        date = find_date(self.document, self.text, None)
        return Document(self.document, self.text, "utf-8", False, mark, date)


class FileDocument(_Taken):
    """A document as the bytes of a file in base64, decoded as `stancewire score` decodes it."""

    document: Name
    content: Annotated[str, Field(pattern=_BASE64, description="The bytes of the file, in base64.")]

    def read(self) -> Document:
        """Decode the file; raises DocumentError, with the reason, if it is no text."""
        kind = KINDS.get(PurePath(self.document).suffix.lower(), "text")
        if kind not in ("text", "html"):
            raise DocumentError(self.document, "is a table or an archive: stancewire score reads those")
        raw = RawDocument(self.document, base64.b64decode(self.content), is_html=kind == "html")
        return read_document(raw)


def _form(value: Any) -> str:
    has_content = "content" in value if isinstance(value, dict) else hasattr(value, "content")
    return "content" if has_content else "text"


class ScoreRequest(_Taken):
    """Documents to be cut into sentences and read."""

    documents: Annotated[
        list[
            Annotated[
                Annotated[TextDocument, Tag("text")] | Annotated[FileDocument, Tag("content")],
                Discriminator(_form),
            ]
        ],
        Field(max_length=_MOST_ENTRIES, fail_fast=True),
    ]
    any_language: Annotated[bool, Field(description="Read documents that are not in English, too.")] = False


Probability = Annotated[float, Field(ge=0, le=1)]


class SpanAnswer(BaseModel):
    """Words that name a party, and where they stand: in the sentence for predict, else in the document."""

    text: str
    start: int
    end: int
    probability: Probability


class StanceAnswer(BaseModel):
    """A stance that holds, and who performs it towards whom."""

    label: str
    probability: Probability
    source_kind: Literal["span", "author", "none"]
    source: SpanAnswer | None
    target: SpanAnswer | None


class PredictionAnswer(BaseModel):
    """A sentence: every label's probability, and the stances whose probability reaches their threshold."""

    text: str
    probabilities: dict[str, Probability]
    stances: list[StanceAnswer]
    risk: Probability
    uncertain: bool


class SentenceAnswer(PredictionAnswer):
    """A sentence of a document, with its place in the text."""

    start: int
    end: int


class DocumentAnswer(BaseModel):
    """A document as a line of the `.jsonl` that `stancewire score` writes."""

    document: str
    date: str | None
    language: str
    language_probability: Probability | None
    encoding: str
    repaired: bool
    fingerprint: str
    sentences: list[SentenceAnswer]


class SkippedAnswer(BaseModel):
    """A document that was not read, and why."""

    document: str
    reason: str


class PredictAnswer(BaseModel):
    """What the model says of each sentence, in order."""

    model: str
    digest: str
    predictions: list[PredictionAnswer]


class ScoreAnswer(BaseModel):
    """The documents that were read, in order, and those that were not."""

    model: str
    digest: str
    documents: list[DocumentAnswer]
    skipped: list[SkippedAnswer]


class LimitsAnswer(BaseModel):
    """How much one request may ask for."""

    body_bytes: int
    sentences: int
    sentence_characters: int
    seconds: float


class ModelAnswer(BaseModel):
    """The model, and the limits of this server."""

    model: str
    digest: str
    stancewire: str
    labels: list[str]
    thresholds: dict[str, float]
    prior: dict[str, float]
    abstain: float | None
    limits: LimitsAnswer


class HealthAnswer(BaseModel):
    """How busy the server is: requests in the queue and under way, and how many there is room for."""

    status: Literal["ok", "full"]
    requests: int
    room: int


class Problem(BaseModel):
    """Why a request was refused, in a sentence."""

    detail: str
