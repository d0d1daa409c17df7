"""The annotated sentences that come with the project, and what their card says of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Value
from scipy.sparse import spmatrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from stancewire.annotations import AnnotatedSentence
from stancewire_training.check import CheckReport, check_corpus
from stancewire_training.data import Corpus, CorpusRows, load_corpus, read_corpus, to_arrays

SEEDS = Path(__file__).parents[1] / "seeds"
LABELS = ("threat", "reassurance", "accusation", "denial")
PUNCTUATION = ".,;:?!\"'()-\u2014\u2013\u201c\u201d\u2018\u2019$%"


@pytest.fixture(scope="module")
def card() -> str:
    return (SEEDS / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def prose(card: str) -> str:
    return " ".join(card.split())


@pytest.fixture(scope="module")
def report() -> CheckReport:
    return check_corpus(SEEDS)


@pytest.fixture(scope="module")
def rows() -> CorpusRows:
    return read_corpus(SEEDS)


@pytest.fixture(scope="module")
def sentences(rows: CorpusRows) -> list[AnnotatedSentence]:
    return [sentence for split in rows.splits.values() for sentence in split]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus(SEEDS)


@dataclass(frozen=True)
class Texts:
    sentences: Sequence[AnnotatedSentence]

    def where(self, holds: Callable[[AnnotatedSentence], bool]) -> Texts:
        return Texts([sentence for sentence in self.sentences if holds(sentence)])

    def share(self, holds: Callable[[AnnotatedSentence], bool]) -> str:
        return f"{np.mean([holds(sentence) for sentence in self.sentences]):.0%}"

    def words(self) -> str:
        return f"{np.mean([len(sentence.text.split()) for sentence in self.sentences]):.1f}"


def is_quoted(text: str) -> bool:
    return re.search('["\u201c\u201d]', text) is not None


def split_table(report: CheckReport) -> str:
    lines = [
        f"| split | sentences | articles | no stance | {' | '.join(report.labels)} |",
        "| --- " + "| ---: " * 7 + "|",
    ]
    for split in report.splits:
        figures = (split.sentences, split.articles, split.without_stance, *split.by_label.values())
        lines.append(f"| {split.split} | " + " | ".join(f"{figure:,}" for figure in figures) + " |")
    return "\n".join(lines)


def family_table(rows: CorpusRows) -> str:
    splits = {
        name: Counter(Path(sentence.file).stem for sentence in part) for name, part in rows.splits.items()
    }
    lines = [f"| family | {' | '.join(splits)} | sentences |", "| --- " + "| ---: " * 4 + "|"]
    for family in sorted(sum(splits.values(), Counter())):
        figures = [counts[family] for counts in splits.values()]
        lines.append(f"| `{family}` | {' | '.join(map(str, figures))} | {sum(figures)} |")
    return "\n".join(lines)


def macro_f1(corpus: Corpus, features: Callable[[list[str], list[str]], tuple[spmatrix, spmatrix]]) -> float:
    train, held = to_arrays(corpus.splits["train"])
    test, expected = to_arrays(corpus.splits["test"])
    known, unknown = features(train, test)
    found = [
        LogisticRegression(solver="liblinear", class_weight="balanced").fit(known, column).predict(unknown)
        for column in held.T
    ]
    return float(f1_score(expected, np.stack(found, axis=1), average="macro"))


def shape(train: list[str], test: list[str]) -> tuple[np.ndarray, np.ndarray]:
    def measure(texts: list[str]) -> np.ndarray:
        return np.array(
            [
                [len(text), np.log(len(text)), len(text.split()), *(text.count(mark) for mark in PUNCTUATION)]
                for text in texts
            ]
        )

    scaler = StandardScaler().fit(measure(train))
    return scaler.transform(measure(train)), scaler.transform(measure(test))


def opening(train: list[str], test: list[str]) -> tuple[spmatrix, spmatrix]:
    def cut(texts: list[str]) -> list[str]:
        return [" ".join(text.split()[:5]) for text in texts]

    vectorizer = CountVectorizer(binary=True, token_pattern=r"\S+", ngram_range=(1, 5), min_df=2)
    return vectorizer.fit_transform(cut(train)), vectorizer.transform(cut(test))


def test_the_corpus_passes_its_own_check_without_a_fault(report: CheckReport) -> None:
    assert [f"{fault.where}: {fault.what}" for fault in report.faults] == []


def test_plain_datasets_loads_three_splits_with_typed_features(tmp_path: Path, corpus: Corpus) -> None:
    loaded = datasets.load_dataset(str(SEEDS), cache_dir=str(tmp_path), keep_in_memory=True)

    assert list(loaded) == ["train", "validation", "test"]
    for name, split in loaded.items():
        assert split.features["stances"].feature["label"] == ClassLabel(names=list(LABELS))
        assert split.features["i"] == Value("int32")
        assert split.features == corpus.splits[name].features
        assert split.to_list() == corpus.splits[name].to_list()


def test_the_card_alone_names_the_labels(rows: CorpusRows) -> None:
    assert rows.labels == LABELS


def test_the_card_gives_no_split_counts_to_datasets(card: str) -> None:
    front_matter = card.split("---\n")[1]

    assert "splits:" not in front_matter
    assert "num_examples" not in front_matter


def test_articles_and_duplicates_never_straddle_splits(rows: CorpusRows) -> None:
    articles = [{sentence.doc for sentence in split} - {None} for split in rows.splits.values()]
    texts = [{sentence.text.casefold() for sentence in split} for split in rows.splits.values()]

    assert len(set.union(*articles)) == sum(map(len, articles))
    assert len(set.union(*texts)) == sum(map(len, texts))


def test_every_family_is_in_every_split_at_about_its_share(rows: CorpusRows) -> None:
    families = {
        name: Counter(Path(sentence.file).stem for sentence in split) for name, split in rows.splits.items()
    }
    whole = sum(families.values(), Counter())

    for family, size in whole.items():
        # A family of fourteen articles cannot be cut more finely than that.
        assert families["train"][family] / size == pytest.approx(0.8, abs=0.09)
        assert families["validation"][family] / size == pytest.approx(0.1, abs=0.05)
        assert families["test"][family] / size == pytest.approx(0.1, abs=0.05)


def test_a_start_stands_only_where_it_is_needed(sentences: list[AnnotatedSentence]) -> None:
    needless = [
        sentence.text
        for sentence in sentences
        for stance in sentence.stances
        for words, start in ((stance.source, stance.source_start), (stance.target, stance.target_start))
        if start is not None and len(re.findall(rf"(?<!\w){re.escape(words)}(?!\w)", sentence.text)) < 2
    ]

    assert needless == []


def test_the_counts_in_the_card_are_true(card: str, report: CheckReport, rows: CorpusRows) -> None:
    assert split_table(report) in card
    assert family_table(rows) in card


def test_the_shares_in_the_card_are_true(prose: str, sentences: list[AnnotatedSentence]) -> None:
    texts = Texts(sentences)
    held, empty = texts.where(lambda s: bool(s.stances)), texts.where(lambda s: not s.stances)
    quoted, plain = texts.where(lambda s: is_quoted(s.text)), texts.where(lambda s: not is_quoted(s.text))
    articles, short = (
        texts.where(lambda s: s.doc is not None),
        texts.where(lambda s: Path(s.file).stem not in ("long-messy", "glued-acts")),
    )
    denials, threats = (
        texts.where(lambda s: "denial" in s.labels),
        texts.where(lambda s: "threat" in s.labels),
    )
    stances = [stance for sentence in sentences for stance in sentence.stances]

    claims = [
        f"have {held.words()} words on average, those without {empty.words()}",
        f"quotation mark {quoted.share(lambda s: bool(s.stances))} hold a stance, "
        f"of the others {plain.share(lambda s: bool(s.stances))}",
        f"{texts.share(lambda s: bool(s.stances))} of the sentences hold one, "
        f"and {articles.share(lambda s: bool(s.stances))} of those in whole articles",
        f"here {texts.share(lambda s: 'denial' in s.labels)} of the sentences hold a denial",
        f"stands in {denials.share(lambda s: bool(re.search('deni|deny', s.text, re.I)))} of the denials",
        f'one of "threat" in {threats.share(lambda s: "threat" in s.text.lower())} of the threats',
        f'"nobody" in {texts.share(lambda s: "nobody" in s.text.lower().split())} of the sentences',
        f"semicolons in {texts.share(lambda s: ';' in s.text)} (",
        f"null in {np.mean([stance.source is None for stance in stances]):.0%};",
        f"{sum(s.text.isupper() for s in sentences)} sentences are in capitals throughout, "
        f"{sum(s.text.islower() for s in sentences)} in lower case",
        "`long-messy` and `glued-acts`, "
        f"{short.share(lambda s: len(s.text.split()) > 40)} have more than 40 words",
    ]

    assert [claim for claim in claims if claim not in prose] == []


def test_what_length_punctuation_and_openings_give_away_is_as_the_card_says(
    prose: str, corpus: Corpus
) -> None:
    by_shape, by_opening = (
        float(figure) for figure in re.findall(r"reaches a macro-F1 of (\.\d+) on", prose)
    )
    always = float(re.search(r"saying yes to every label, (\.\d+)", prose)[1])
    share = to_arrays(corpus.splits["test"])[1].mean(axis=0)

    assert macro_f1(corpus, shape) == pytest.approx(by_shape, abs=0.02)
    assert macro_f1(corpus, opening) == pytest.approx(by_opening, abs=0.02)
    assert float(np.mean(2 * share / (1 + share))) == pytest.approx(always, abs=0.01)
