"""How well a model says who performs a stance and towards whom, beside a baseline that looks for names.

Only labels count that the sentence holds and that the model found: of a stance that was missed nobody can be
named. For each of them the annotated words and those of the model are compared as ranges of characters.
`exact` asks for the same range, `overlap` for one word at least that both share. Words that are annotated and
not given are missed, words that are given where the annotation has nobody (or the writer) are a false find;
words that are other words are both. F1 is taken over all of them together.

Where annotated words stand several times in the sentence and nothing says which is meant, each place is
right. Where a label is annotated several times in one sentence, whichever of its parties fits best is
compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stancewire.annotations import AUTHOR, AnnotatedSentence, AnnotatedStance
from stancewire.metrics import RESAMPLES, Figure, bootstrap_f1, bootstrap_share
from stancewire.spans import ROLES

if TYPE_CHECKING:
    from stancewire.classifier import Stance
    from stancewire.judgements import Judgements
    from stancewire.spans import SourceKind

Range = tuple[int, int]
"""Where words stand in a sentence, `text[start:end]`, in characters from 0."""

_WORD = re.compile(r"\w+(?:[.&'\u2019-]\w+)*")
# These name nobody with a capital, and are no verb without one.
_SMALL_WORD = re.compile(
    "an?|the|and|but|n?or|so|yet|if|unless|when|while|after|before|since|until|as|because|although|though|in|on"
    "|at|by|for|from|of|to|with|without|under|over|during|amid|despite|according|there|here|then|now|that|this"
    "|th[eo]se|its?|what|who|why|how|where|not?|yes",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Named:
    """Who is named for one stance: kind of source, and where the words of source and target stand.

    For an annotation a role has every place that is right, for a prediction one at most. A role is None where
    its annotated words cannot be found in the sentence.
    """

    source_kind: SourceKind
    source: tuple[Range, ...] | None
    target: tuple[Range, ...] | None


@dataclass(frozen=True, slots=True)
class RoleMetrics:
    """Figures of one role: how many stances have words for it annotated and given, and F1 of the words."""

    annotated: int
    predicted: int
    exact_f1: Figure
    overlap_f1: Figure


@dataclass(frozen=True, slots=True)
class SpanMetrics:
    """Figures of one system on the stances whose label is right.

    `source_kind` is the share that has the right kind of source. Intervals are drawn by document.
    """

    stances: int
    source: RoleMetrics
    target: RoleMetrics
    source_kind: Figure


@dataclass(frozen=True, slots=True)
class SpanEvaluation:
    """A model's figures, those of the baseline on the same stances, and the model's label by label.

    `unplaced` counts the annotated sources and targets whose words stand nowhere in their sentence: they are
    left out.
    """

    model: SpanMetrics
    baseline: SpanMetrics
    labels: tuple[tuple[str, SpanMetrics], ...]
    unplaced: int


@dataclass(frozen=True, slots=True)
class _Pair:
    # One label that is rightly found: the sentence's row, the label's column, and who is named.
    row: int
    column: int
    text: str
    annotated: tuple[Named, ...]
    predicted: Named
    baseline: Named


def measure_spans(
    judgements: Judgements, *, resamples: int = RESAMPLES, seed: int = 0
) -> SpanEvaluation | None:
    """Measure the parties of the stances whose label is rightly found.

    None where nothing can be compared: if the annotations name nobody, if the model never names anybody, or
    if it found no label. The sentences of a file that names nobody at all do not count: it has labels only.
    """
    pairs = _pair_up(judgements)
    if not pairs or not _names_anybody(judgements):
        return None

    def figures(chosen: Sequence[_Pair], *, of_baseline: bool = False) -> SpanMetrics:
        said = [pair.baseline if of_baseline else pair.predicted for pair in chosen]
        return _measure(chosen, said, judgements.clusters, resamples, seed)

    return SpanEvaluation(
        model=figures(pairs),
        baseline=figures(pairs, of_baseline=True),
        labels=tuple(
            (label, figures([pair for pair in pairs if pair.column == column]))
            for column, label in enumerate(judgements.labels)
        ),
        unplaced=sum(
            all(getattr(named, role) is None for named in pair.annotated) for pair in pairs for role in ROLES
        ),
    )


def find_other_parties(judgements: Judgements, role: str) -> tuple[tuple[int, int], ...]:
    """Find the stances, rightly found, whose source or target shares no word with what is annotated.

    Gives row and column of each, in order. Words in place of nobody count, nobody in place of words, and as a
    source the writer in place of nobody or the other way.
    """
    return tuple(
        (pair.row, pair.column) for pair in _pair_up(judgements) if _names_another(role, pair, pair.predicted)
    )


def guess_parties(text: str) -> Named:
    """Guess source and target as the names that stand nearest before and after the main verb, the baseline.

    A name is a run of words with a capital that no punctuation parts, together with a `the` before it. Small
    words (`But`, `In`, `The`) are no part of it at its beginning. The main verb is taken to be the first word
    in lower case after the first name that is no small word (`and`, `of`, `the`). Nothing else is known: the
    guess is the same for every label. Without a name before the verb the source is `none`.
    """
    names, verb = _find_names(text)
    before = [name for name in names if verb is None or name[1] <= verb]
    after = [name for name in names if verb is not None and name[0] > verb]
    source, target = tuple(before[-1:]), tuple(after[:1])
    return Named("span" if source else "none", source, target)


def shares_word(text: str, one: Range, other: Range) -> bool:
    """Say whether two ranges of a sentence have at least one word in common."""
    return re.search(r"\w", text[max(one[0], other[0]) : min(one[1], other[1])]) is not None


def find_places(text: str, words: str, start: int | None = None) -> tuple[Range, ...]:
    """Find where the words of an annotated span may stand: at `start`, or wherever they are whole words.

    Words that stand only inside other ones (a plural without its apostrophe) are found there. Empty if they
    stand nowhere.
    """
    if start is not None:
        return ((start, start + len(words)),) if text.startswith(words, start) else ()
    escaped = re.escape(words)
    for pattern in (rf"(?<!\w)(?={escaped}(?!\w))", f"(?={escaped})"):
        found = tuple(match.start() for match in re.finditer(pattern, text))
        if found:
            return tuple((place, place + len(words)) for place in found)
    return ()


def annotated_parties(text: str, stance: AnnotatedStance) -> Named:
    """Find who is named by an annotated stance."""
    kind: SourceKind = "none" if stance.source is None else "author" if stance.source == AUTHOR else "span"
    source = None if kind != "span" else stance.source
    return Named(
        kind,
        _places(text, source, stance.source_start),
        _places(text, stance.target, stance.target_start),
    )


def predicted_parties(stance: Stance) -> Named:
    """Find who is named by a stance that a model gave; its offsets count in the sentence."""
    source, target = (
        () if span is None else ((span.start, span.end),) for span in (stance.source, stance.target)
    )
    return Named(stance.source_kind, source, target)


def fits(text: str, annotated: tuple[Range, ...], predicted: tuple[Range, ...], *, exact: bool) -> bool:
    """Say whether the words that were given are those annotated, or share a word with them."""
    return any(
        one == other if exact else shares_word(text, one, other) for one in annotated for other in predicted
    )


def _places(text: str, words: str | None, start: int | None) -> tuple[Range, ...] | None:
    return () if words is None else find_places(text, words, start) or None


def _pair_up(judgements: Judgements) -> list[_Pair]:
    if judgements.stances is None:
        return []
    with_parties = {
        sentence.file
        for sentence in judgements.sentences
        if any(stance.source or stance.target for stance in sentence.stances)
    }
    found = judgements.targets & judgements.decisions
    return [
        _Pair(
            row,
            column,
            sentence.text,
            _annotated(sentence, judgements.labels[column]),
            predicted_parties(judgements.stances[row][judgements.labels[column]]),
            guess_parties(sentence.text),
        )
        for row, sentence in enumerate(judgements.sentences)
        if sentence.file in with_parties
        for column in np.flatnonzero(found[row]).tolist()
    ]


def _annotated(sentence: AnnotatedSentence, label: str) -> tuple[Named, ...]:
    return tuple(
        annotated_parties(sentence.text, stance) for stance in sentence.stances if stance.label == label
    )


def _names_anybody(judgements: Judgements) -> bool:
    return any(
        stance.source_kind != "none" or stance.target is not None
        for stances in judgements.stances or ()
        for stance in stances.values()
    )


def _measure(
    pairs: Sequence[_Pair], said: Sequence[Named], clusters: Sequence[Hashable], resamples: int, seed: int
) -> SpanMetrics:
    if not pairs:
        nothing = Figure(math.nan, math.nan, math.nan)
        nobody = RoleMetrics(0, 0, nothing, nothing)
        return SpanMetrics(0, nobody, nobody, nothing)
    drawn = [clusters[pair.row] for pair in pairs]
    right = [
        any(named.source_kind == given.source_kind for named in pair.annotated)
        for pair, given in zip(pairs, said, strict=True)
    ]
    source, target = (_measure_role(role, pairs, said, drawn, resamples, seed) for role in ROLES)
    share = bootstrap_share(right, np.ones(len(pairs)), clusters=drawn, resamples=resamples, seed=seed)
    return SpanMetrics(len(pairs), source, target, share)


def _measure_role(
    role: str,
    pairs: Sequence[_Pair],
    said: Sequence[Named],
    clusters: Sequence[Hashable],
    resamples: int,
    seed: int,
) -> RoleMetrics:
    rows = [_compare(role, pair, getattr(given, role)) for pair, given in zip(pairs, said, strict=True)]
    exact, overlap, predicted, annotated = np.array(rows, dtype=np.float64).T
    both = [
        bootstrap_f1(hits, predicted, annotated, clusters=clusters, resamples=resamples, seed=seed)
        for hits in (exact, overlap)
    ]
    return RoleMetrics(int(annotated.sum()), int(predicted.sum()), *both)


def _compare(role: str, pair: _Pair, given: tuple[Range, ...]) -> tuple[bool, bool, bool, bool]:
    # Exact hit, overlapping hit, given, annotated. Of several annotations the one that fits best.
    choices = [places for named in pair.annotated if (places := getattr(named, role)) is not None]
    if not choices:
        return False, False, False, False
    compared = [
        (
            fits(pair.text, places, given, exact=True),
            fits(pair.text, places, given, exact=False),
            bool(given),
            bool(places),
        )
        for places in choices
    ]
    return max(compared, key=lambda hit: (hit[0], hit[1], hit[2] == hit[3]))


def _names_another(role: str, pair: _Pair, said: Named) -> bool:
    _, overlap, given, annotated = _compare(role, pair, getattr(said, role))
    if given or annotated:
        return not overlap
    return role == "source" and all(
        named.source == () and named.source_kind != said.source_kind for named in pair.annotated
    )


def _find_names(text: str) -> tuple[list[Range], int | None]:
    # The names in order, and where the verb begins.
    words = list(_WORD.finditer(text))
    names = []
    for run in _capitalised_runs(text, words):
        while run and _SMALL_WORD.fullmatch(words[run[0]].group()):
            run.pop(0)
        if run:
            has_article = run[0] > 0 and _follows_article(text, words[run[0] - 1], words[run[0]])
            first, last = words[run[0] - has_article], words[run[-1]]
            names.append((first.start(), _end(text, last)))
    verbs = (
        word.start()
        for word in words
        if names
        and word.start() > names[0][1]
        and word.group()[0].islower()
        and not _SMALL_WORD.fullmatch(word.group())
    )
    return names, next(verbs, None)


def _capitalised_runs(text: str, words: Sequence[re.Match[str]]) -> list[list[int]]:
    runs: list[list[int]] = []
    for position, word in enumerate(words):
        if not word.group()[0].isupper():
            continue
        if runs and runs[-1][-1] == position - 1 and _are_joined(text, words[position - 1], word):
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


def _are_joined(text: str, word: re.Match[str], following: re.Match[str]) -> bool:
    # Nothing between but white space, and the last point of initials (`U.S. President`).
    return not text[_end(text, word, possessive=True) : following.start()].strip()


def _follows_article(text: str, word: re.Match[str], following: re.Match[str]) -> bool:
    return word.group().lower() == "the" and _are_joined(text, word, following)


def _end(text: str, word: re.Match[str], *, possessive: bool = False) -> int:
    found, end = word.group(), word.end()
    if found.endswith(("'s", "\u2019s")):
        return end if possessive else end - 2
    return end + 1 if "." in found and text.startswith(".", end) else end
