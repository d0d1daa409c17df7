"""Why a sentence got its labels: what each word adds, and the annotated sentences nearest to it.

A model folder is an ONNX graph, which has no gradients. So each word is left out in turn, and the sentence is
read again (leave-one-out: Li, Monroe and Jurafsky 2016, https://arxiv.org/abs/1612.08220). What a word adds
is by how much its absence lowers the log-odds of a label, and not the probability, which near 0 and 1 hardly
moves. Where two words say the same, each alone can be missed, and neither seems to count: therefore it is
also tried how few words together have to go until the label no longer holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stancewire.manifest import MODEL
from stancewire.neighbours import Neighbour, find_index, read_index
from stancewire.runtime import logits_of

if TYPE_CHECKING:
    from stancewire.classifier import Prediction, StanceClassifier

MOST_PARTS: Final = 200
"""Parts that are left out in turn, each one word, or several in a sentence that has more words."""

MOST_DECISIVE: Final = 8
"""Words that are taken away at most to see whether a label still holds."""

# Shares of the strongest word from which a word is shaded, and darker, and darkest.
_SHADES: Final = (0.15, 0.4, 0.75)

# A word, with what joins its parts: don't, co-operate, U.S, 3,000.
_WORD = re.compile(r"\w+(?:['\u2019.,\-\u2010\u2011]\w+)*")


@dataclass(frozen=True, slots=True)
class WordWeight:
    """A word, `text == sentence[start:end]`, and by label what it adds, in log-odds.

    Above 0 it speaks for the label, below 0 against it. `without` is the probability of each label where the
    word is left out.
    """

    text: str
    start: int
    end: int
    weights: Mapping[str, float]
    without: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Decisive:
    """The words, strongest first, without which a label no longer holds, and its probability then.

    `words` are positions in the list of words.
    """

    words: tuple[int, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a sentence's labels rest on.

    `words` are all of the sentence's, in order; `decisive` has each label that holds and that the absence of
    at most `MOST_DECISIVE` words takes away; `neighbours` are None where there is no index to find them in,
    and `corpus` is what that index was made of.
    """

    prediction: Prediction
    words: tuple[WordWeight, ...]
    decisive: Mapping[str, Decisive]
    neighbours: tuple[Neighbour, ...] | None
    corpus: str | None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that hold, the likeliest first; where none does, the likeliest of all."""
        held = tuple(stance.label for stance in self.prediction.stances)
        probabilities = self.prediction.probabilities
        return held or (max(probabilities, key=lambda label: probabilities[label]),)

    def marked(self, label: str) -> tuple[tuple[str, int], ...]:
        """Cut the sentence into pieces `(text, shade)` that joined are the sentence.

        A shade is from 1 to 3 for what speaks for a label, -1 to -3 for what speaks against it, else 0:
        relative to the strongest word, or to a log-odds of 1 where none has that much.
        """
        pieces, position = [], 0
        largest = max([1.0, *(abs(word.weights[label]) for word in self.words)])
        for word in self.words:
            share = abs(word.weights[label]) / largest
            shade = sum(share >= border for border in _SHADES)
            pieces.append((self.prediction.text[position : word.start], 0))
            pieces.append((word.text, shade if word.weights[label] > 0 else -shade))
            position = word.end
        return (*pieces, (self.prediction.text[position:], 0))

    def to_dict(self) -> dict[str, Any]:
        """Write the explanation as values that JSON can hold; `docs/explain.md` describes them."""
        from stancewire.formats import stance_values

        return {
            "text": self.prediction.text,
            "probabilities": dict(self.prediction.probabilities),
            "stances": [stance_values(stance) for stance in self.prediction.stances],
            "method": "leave-one-out",
            "words": [asdict(word) for word in self.words],
            "decisive": {
                label: {
                    "words": [self.words[place].text for place in decisive.words],
                    "probability": decisive.probability,
                }
                for label, decisive in self.decisive.items()
            },
            "corpus": self.corpus,
            "neighbours": None
            if self.neighbours is None
            else [asdict(neighbour) for neighbour in self.neighbours],
        }


class Explainer:
    """Explains sentences with one model, and one index where there is one.

    Raises StancewireError, when made, for an index that cannot be read, or is of another model.
    """

    def __init__(self, classifier: StanceClassifier, index: Path | None = None) -> None:
        self._classifier = classifier
        path = find_index(classifier.folder, index)
        self._index = None if path is None else read_index(path, classifier.manifest.files[MODEL])

    def explain(self, sentence: str, neighbours: int = 5) -> Explanation:
        """Explain one sentence; it is read about once a word."""
        prediction = self._classifier.predict(sentence)
        words = self._weigh(prediction)
        return Explanation(
            prediction,
            words,
            self._find_decisive(prediction, words),
            self._find_neighbours(sentence, neighbours),
            None if self._index is None else self._index.corpus,
        )

    def _weigh(self, prediction: Prediction) -> tuple[WordWeight, ...]:
        parts = _cut(prediction.text)
        texts = [_without(prediction.text, [part]) for part in parts]
        probabilities = self._probabilities(texts)
        labels = list(prediction.probabilities)
        whole = logits_of(np.array(list(prediction.probabilities.values()), dtype=np.float32))
        weights = (whole - logits_of(probabilities)).tolist()
        return tuple(
            WordWeight(
                prediction.text[start:end],
                start,
                end,
                dict(zip(labels, added, strict=True)),
                dict(zip(labels, left, strict=True)),
            )
            for (start, end), added, left in zip(parts, weights, probabilities.tolist(), strict=True)
        )

    def _find_decisive(self, prediction: Prediction, words: Sequence[WordWeight]) -> dict[str, Decisive]:
        thresholds = self._classifier.thresholds
        labels = list(prediction.probabilities)
        found: dict[str, Decisive] = {}
        for stance in prediction.stances:
            ranked = sorted(range(len(words)), key=lambda place: -words[place].weights[stance.label])
            ranked = [place for place in ranked[:MOST_DECISIVE] if words[place].weights[stance.label] > 0]
            texts = [
                _without(
                    prediction.text, [(words[place].start, words[place].end) for place in ranked[:count]]
                )
                for count in range(1, len(ranked) + 1)
            ]
            column = self._probabilities(texts)[:, labels.index(stance.label)].tolist()
            for count, probability in enumerate(column, 1):
                if probability < thresholds[stance.label]:
                    found[stance.label] = Decisive(tuple(ranked[:count]), probability)
                    break
        return found

    def _find_neighbours(self, sentence: str, count: int) -> tuple[Neighbour, ...] | None:
        if self._index is None:
            return None
        vector = self._classifier.embed([sentence])[0]
        return self._index.nearest(vector, count)

    def _probabilities(self, texts: Sequence[str]) -> Any:
        from stancewire.segmentation import unwrap

        return self._classifier.probabilities([unwrap(text) for text in texts])


def _cut(text: str) -> list[tuple[int, int]]:
    # Of a very long sentence neighbouring words go out together, so that the time has a bound.
    words = [match.span() for match in _WORD.finditer(text)]
    step = -(-len(words) // MOST_PARTS) or 1
    groups = [words[first : first + step] for first in range(0, len(words), step)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    kept, position = [], 0
    for start, end in sorted(spans):
        kept.append(text[position:start])
        position = end
    return "".join([*kept, text[position:]])
