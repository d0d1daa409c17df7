"""Which language a document is in: the model reads English, and says nonsense of anything else.

The detector is py3langid, a naive Bayes classifier over byte n-grams (Lui and Baldwin 2011,
http://www.aclweb.org/anthology/I11-1062), here because it is small, offline and right on text without
capitals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

ENGLISH: Final = "en"
UNDETERMINED: Final = "und"

_LOOKED_AT = 1_000
_FEWEST_LETTERS = 40
_LEAST_PROBABILITY = 0.5
_LAST_LATIN_LETTER = "\u024f"
_NO_LANGUAGE = "zxx"
# An English creole, which the detector finds in short English news with Nigerian names.
_NIGERIAN_PIDGIN = "pcm"


@dataclass(frozen=True, slots=True)
class Language:
    """A language by its ISO 639 code, and the detector's probability, 0 to 1.

    The code is `und`, and the probability None, where there is too little text to tell.
    """

    code: str
    probability: float | None

    @property
    def is_english(self) -> bool:
        """Whether the text is English beyond doubt."""
        return self.code == ENGLISH

    @property
    def is_foreign(self) -> bool:
        """Whether the text is in another language than English; what cannot be told is not foreign."""
        return self.code not in (ENGLISH, UNDETERMINED)


def detect_language(text: str) -> Language:
    """Detect the language of a text by its first 1,000 characters, white space before them left out.

    In Latin script, fewer than 40 letters, or a probability under one half, are undetermined: names and
    headlines of a few words look like any language. In another script even a few letters are not English.
    """
    start = text.lstrip()[:_LOOKED_AT]
    letters = [character for character in start if character.isalpha()]
    latin = sum(letter <= _LAST_LATIN_LETTER for letter in letters)
    is_latin = 2 * latin >= len(letters)
    if not letters or (is_latin and len(letters) < _FEWEST_LETTERS):
        return Language(UNDETERMINED, None)
    # The detector knows ordinary copy: text in capitals looks to it like a language of its own.
    if 2 * sum(map(str.isupper, letters)) > len(letters):
        start = start.lower()
    code, probability = _identifier().classify(start)
    if code == _NO_LANGUAGE or (is_latin and probability < _LEAST_PROBABILITY):
        return Language(UNDETERMINED, None)
    return Language(code, round(min(probability, 1.0), 4))


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(set(identifier.labels) - {_NIGERIAN_PIDGIN})
    return identifier
