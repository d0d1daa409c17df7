"""A classifier that reads by arithmetic: quick, and the same on every machine."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from stancewire.classifier import StanceClassifier
from stancewire.manifest import Manifest
from stancewire.runtime import SentenceReading
from stancewire.spans import Parties, Span

LABELS = ("warm", "cold")


class ArithmeticRuntime:
    """Gives every sentence probabilities that depend on nothing but its characters."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def read(self, sentences: list[str]) -> list[SentenceReading]:
        self.calls.append(len(sentences))
        return [self._read(text) for text in sentences]

    def _read(self, text: str) -> SentenceReading:
        values = [zlib.crc32(f"{label} {text}".encode()) / 2**32 for label in LABELS]
        parties = Parties("span", Span(text[0], 0, 1, 0.5), Span(text[-1], len(text) - 1, len(text), 0.25))
        return SentenceReading(np.array(values, dtype=np.float32), {0: parties})


def make_classifier(runtime: ArithmeticRuntime | None = None, **changes: object) -> StanceClassifier:
    values = {"name": "arithmetic", "labels": LABELS, "thresholds": (0.5, 0.75), "digest": "cd" * 32}
    values |= changes
    manifest = Manifest(values["name"], values["labels"], values["thresholds"], 128, {})
    return StanceClassifier(manifest, values["digest"], runtime or ArithmeticRuntime())


def corpus(folder: Path, **articles: str | bytes) -> Path:
    for name, content in articles.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
