from __future__ import annotations

import numpy as np
import pytest

from stancewire.annotations import AnnotatedSentence, AnnotatedStance
from stancewire.errors import StancewireError
from stancewire.grouping import Grouping, find_groupings, has_quotation, is_headline, measure_groups
from stancewire.judgements import Judgements
from stancewire.metrics import measure


def sentence(
    text: str = "Ferries sail.", *labels: str, doc: str | None = None, i: int | None = None, **extra
):
    return AnnotatedSentence(text, tuple(map(AnnotatedStance, labels)), doc, i, extra)


def rows_of(grouping: Grouping) -> dict[str, tuple[int, ...]]:
    return {group.name: group.rows for group in grouping.groups}


def find(name: str, sentences: list[AnnotatedSentence]) -> dict[str, tuple[int, ...]]:
    return next(rows_of(grouping) for grouping in find_groupings(sentences) if grouping.name == name)


def test_lengths_are_parted_after_12_and_before_35_words():
    sentences = [sentence(" ".join(["word"] * count)) for count in (12, 13, 34, 35, 1)]

    assert find("length", sentences) == {
        "up to 12 words": (0, 4),
        "13 to 34 words": (1, 2),
        "35 words and more": (3,),
    }


@pytest.mark.parametrize(
    "text", ['He said "no".', "He said “no.", "„Nein“", "« Non »", "\uff02full width\uff02"]
)
def test_double_quotation_marks_of_every_form_count(text):
    assert has_quotation(text)


@pytest.mark.parametrize("text", ["It's the mayor's.", "He said \u2018no\u2019.", "5' 6 tall", ""])
def test_single_quotation_marks_and_apostrophes_do_not(text):
    assert not has_quotation(text)


def test_a_headline_is_the_first_of_a_document_or_in_capitals():
    assert is_headline(sentence("Ferry strike ends", doc="a", i=0))
    assert is_headline(sentence("FERRY STRIKE ENDS"))
    assert not is_headline(sentence("Ferry strike ends", doc="a", i=1))
    assert not is_headline(sentence("Ferry strike ends", i=0))
    assert not is_headline(sentence("1, 2, 3"))


def test_several_labels_are_a_group_of_their_own():
    sentences = [sentence("a", "praise"), sentence("b", "praise", "blame"), sentence("c")]

    assert find("several", sentences) == {"several labels": (1,), "one label or none": (0, 2)}


def test_the_same_label_twice_is_not_several():
    assert find("several", [sentence("a", "praise", "praise")]) == {"one label or none": (0,)}


def test_each_sentence_is_in_just_one_group_of_each_grouping():
    sentences = [sentence("a" * (number % 3 + 1), src=str(number % 4), part="x") for number in range(30)]

    for grouping in find_groupings(sentences):
        assert sorted(row for group in grouping.groups for row in group.rows) == list(range(30))


def test_src_and_part_come_first_then_other_keys_then_the_kinds():
    sentences = [sentence(note="n", part="p", src="s", age=3)]

    names = [grouping.name for grouping in find_groupings(sentences)]

    assert names == ["src", "part", "age", "note", "length", "quote", "headline", "several"]


def test_groups_of_a_key_are_ordered_by_size_and_what_is_not_given_is_last():
    sentences = [
        sentence(src="b"),
        sentence(),
        sentence(),
        sentence(src=""),
        sentence(src="a"),
        sentence(src="b"),
    ]

    assert list(find("src", sentences)) == ["b", "a", "(not given)"]


def test_booleans_and_numbers_are_groups_too():
    sentences = [sentence(unsure=True, year=2024), sentence(unsure=False, year=2025), sentence(unsure=True)]

    assert find("unsure", sentences) == {"yes": (0, 2), "no": (1,)}
    assert list(find("year", sentences)) == ["2024", "2025", "(not given)"]


def test_keys_with_lists_or_with_a_value_a_sentence_are_no_groups():
    sentences = [sentence(id=str(number), tags=["x"]) for number in range(51)]

    assert not {"id", "tags"} & {grouping.name for grouping in find_groupings(sentences)}


def test_a_key_that_is_called_like_a_kind_does_not_hide_it():
    assert find("length", [sentence(length="tall")]) == {"up to 12 words": (0,)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("srk", "--by srk.*did you mean src"),
        ("planet", "--by planet.*src, length, quote, headline, several"),
        ("id", "--by id.*at most 50"),
    ],
)
def test_a_grouping_that_is_not_there_is_refused_with_those_that_are(name, message):
    sentences = [sentence(src="s", id=str(number)) for number in range(60)]

    with pytest.raises(StancewireError, match=message):
        find_groupings(sentences, [name])


def test_the_figures_of_a_group_are_those_of_its_sentences_alone():
    sentences = [sentence(src="ab"[number % 2], doc=f"d{number // 4}") for number in range(40)]
    generator = np.random.default_rng(0)
    targets, probabilities = generator.random((40, 2)) < 0.4, generator.random((40, 2))
    judgements = Judgements(
        "coin",
        ("praise", "blame"),
        (0.5, 0.5),
        tuple(sentences),
        tuple(row.doc for row in sentences),
        targets,
        probabilities.astype(np.float32),
        probabilities > 0.5,
    )

    grouping = next(found for found in find_groupings(sentences) if found.name == "src")
    measured = measure_groups(judgements, grouping, resamples=50, seed=3)

    alone = measure(
        ("praise", "blame"),
        targets[1::2],
        probabilities[1::2] > 0.5,
        clusters=[row.doc for row in sentences[1::2]],
        resamples=50,
        seed=3,
    )
    (second,) = (group for group in measured.groups if group.name == "b")
    assert second.clusters == 10
    assert second.metrics.macro_f1 == alone.macro_f1
    assert second.metrics.labels[0].f1 == alone.labels[0].f1
