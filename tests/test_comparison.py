from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_report import SUFFIXES, document, sentence, write_scores
from typer.testing import CliRunner

from stancewire.cli import app
from stancewire.comparison import compare_dates, compare_files
from stancewire.errors import StancewireError
from stancewire.rates import compare_rates, holm

RUNS = 1_000


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: CliRunner().invoke(app, ["compare", *map(str, arguments)])


def article(name: str, threats: int, calm: int, threat: float = 0.75):
    """An article whose first sentences hold a threat, and the others nothing."""
    loud = [sentence(f"They will strike {number}.", 40 * number, threat=threat) for number in range(threats)]
    quiet = [sentence(f"It rained {number}.", 40 * (threats + number)) for number in range(calm)]
    return document(name, *loud, *quiet)


def collection(
    path: Path, threats: int, calm: int, documents: int = 12, prefix: str = "d", **changes: object
):
    threat = changes.pop("threat", 0.75)
    articles = [article(f"{prefix}{number}.txt", threats, calm, threat) for number in range(documents)]
    return write_scores(path, articles, **changes)


# Rates: the arithmetic


def draw(generator, documents: int, rate: float, correlation: float, runs: int = RUNS):
    """Documents of uneven length whose sentences hold a label, alike within a document: a column a run."""
    sizes = np.maximum(1, generator.lognormal(np.log(20), 0.6, documents).astype(int))
    weight = 1 / correlation - 1
    shares = generator.beta(rate * weight, (1 - rate) * weight, (documents, runs))
    return generator.binomial(sizes[:, None], shares), sizes


def apart(first, second):
    """Lay two samples into one space of clusters, where none is in both."""
    (held_first, sizes_first), (held_second, sizes_second) = first, second
    return (
        np.concatenate([held_first, np.zeros_like(held_second)]),
        np.concatenate([sizes_first, np.zeros_like(sizes_second)]),
        np.concatenate([np.zeros_like(held_first), held_second]),
        np.concatenate([np.zeros_like(sizes_first), sizes_second]),
    )


@pytest.mark.parametrize("documents", [(30, 30), (30, 100), (100, 100)])
@pytest.mark.parametrize("rates", [(0.02, 0.05), (0.1, 0.1), (0.3, 0.2)])
def test_95_of_100_intervals_of_two_collections_cover_the_difference(documents, rates):
    generator = np.random.default_rng(1)
    samples = [draw(generator, *pair, 0.05) for pair in zip(documents, rates, strict=True)]

    found = compare_rates(*apart(*samples))

    covered = (found.low <= rates[1] - rates[0]) & (rates[1] - rates[0] <= found.high)
    assert 0.93 <= covered.mean() <= 0.97


@pytest.mark.parametrize(("gain", "loss"), [(0.02, 0.02), (0.05, 0.01)])
def test_95_of_100_intervals_of_two_models_on_the_same_sentences_cover_the_difference(gain, loss):
    generator = np.random.default_rng(2)
    gained, sizes = draw(generator, 100, gain, 0.05)
    lost = generator.binomial(sizes[:, None] - gained, loss / (1 - gain))

    found = compare_rates(lost, sizes, gained, sizes)

    covered = (found.low <= gain - loss) & (gain - loss <= found.high)
    assert 0.93 <= covered.mean() <= 0.97


def test_95_of_100_intervals_cover_where_documents_are_on_both_sides():
    generator = np.random.default_rng(3)
    sizes = np.full(60, 20)
    shares = generator.beta(2, 18, (60, RUNS))
    one, two = (generator.binomial(sizes[:, None], shares) for _ in range(2))

    found = compare_rates(one, sizes, two, sizes)

    assert 0.93 <= ((found.low <= 0) & (found.high >= 0)).mean() <= 0.97


def test_intervals_that_took_sentences_for_independent_would_cover_too_seldom():
    generator = np.random.default_rng(4)
    samples = [draw(generator, 60, 0.1, 0.2) for _ in range(2)]
    alone = [np.repeat(np.ones(1, int), sizes.sum()) for _, sizes in samples]
    spread = [
        (np.arange(len(ones))[:, None] < held.sum(axis=0)).astype(int)
        for ones, (held, _) in zip(alone, samples, strict=True)
    ]

    clustered = compare_rates(*apart(*samples))
    naive = compare_rates(*apart(*zip(spread, alone, strict=True)))

    assert ((clustered.low <= 0) & (clustered.high >= 0)).mean() > 0.92
    assert ((naive.low <= 0) & (naive.high >= 0)).mean() < 0.85


def test_the_p_value_is_below_5_in_100_just_where_the_interval_leaves_0_out():
    generator = np.random.default_rng(5)
    samples = [draw(generator, 40, rate, 0.05, 300) for rate in (0.05, 0.09)]

    found = compare_rates(*apart(*samples))

    assert np.array_equal(found.p < 0.05, (found.low > 0) | (found.high < 0))
    assert 0 < (found.p < 0.05).sum() < 300


def test_the_other_way_round_the_difference_is_the_opposite():
    held, sizes, others, lengths = apart(*[draw(np.random.default_rng(n), 20, 0.1, 0.1, 5) for n in (1, 2)])

    one, two = compare_rates(held, sizes, others, lengths), compare_rates(others, lengths, held, sizes)

    assert one.difference == pytest.approx(-two.difference)
    assert one.low == pytest.approx(-two.high)
    assert one.p == pytest.approx(two.p)


def test_a_label_that_nobody_holds_has_an_interval_around_0():
    sizes = np.full(10, 10)

    found = compare_rates(*apart((np.zeros((10, 1)), sizes), (np.zeros((10, 1)), sizes)))

    assert found.p[0] == 1
    assert found.low[0] == pytest.approx(-found.high[0])
    assert 0.02 < found.high[0] < 0.08


def test_a_single_document_on_a_side_gives_no_interval():
    found = compare_rates(*apart((np.ones((1, 1)), np.array([10])), (np.ones((5, 1)), np.full(5, 10))))

    assert np.isnan([found.low[0], found.high[0], found.p[0]]).all()
    assert found.difference[0] == pytest.approx(0)


def test_students_t_is_that_of_the_tables():
    from stancewire.rates import _critical

    degrees = (1, 2, 3, 4, 5, 10, 30, 31, 120, 5_000)
    from_tables = (12.706, 4.303, 3.182, 2.776, 2.571, 2.228, 2.042, 2.040, 1.980, 1.960)

    assert [_critical(0.95, number) for number in degrees] == pytest.approx(from_tables, abs=6e-4)


def test_holm_multiplies_by_the_number_of_hypotheses_left_and_never_falls():
    corrected = holm([0.01, 0.04, 0.03, np.nan, 0.9])

    assert corrected[[0, 1, 2, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert np.isnan(corrected[3])


# Two files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_shares_of_two_collections_are_compared(tmp_path, suffix):
    first = collection(tmp_path / f"a{suffix}", 1, 9)
    second = collection(tmp_path / f"b{suffix}", 5, 5, prefix="e")

    found = compare_files(first, second)

    threat, denial = found.labels
    assert (threat.held_first, threat.held_second, threat.difference) == (12, 60, pytest.approx(0.4))
    assert threat.low < 0.4 < threat.high
    assert threat.differs
    assert not denial.differs
    assert (found.paired, found.shared, found.clusters) == (False, 0, 24)


def test_the_same_sentences_are_compared_pair_by_pair(tmp_path):
    first = collection(tmp_path / "a.jsonl", 4, 6)
    second = collection(tmp_path / "b.parquet", 4, 6, threat=0.25, digest="cd" * 32)

    found = compare_files(first, second)

    assert found.paired
    assert (found.shared, found.changed) == (120, 48)
    assert (found.labels[0].gained, found.labels[0].lost) == (0, 48)
    assert found.labels[0].difference == pytest.approx(-0.4)
    assert found.labels[0].examples[0].probability_second == 0.25
    assert found.notes == ()


def test_a_file_compared_with_itself_differs_in_nothing(tmp_path):
    scores = collection(tmp_path / "a.jsonl", 4, 6)

    found = compare_files(scores, scores)

    assert found.paired
    assert (found.changed, found.labels[0].p, found.labels[0].difference) == (0, 1, 0)
    assert found.labels[0].low < 0 < found.labels[0].high


def test_documents_in_another_order_find_their_partners(tmp_path):
    articles = [article(f"{number}.txt", number, 3) for number in range(6)]
    first = write_scores(tmp_path / "a.jsonl", articles)
    second = write_scores(tmp_path / "b.jsonl", articles[::-1])

    assert compare_files(first, second).shared == 15 + 18


def test_a_part_that_both_have_is_matched_and_told(tmp_path):
    first = write_scores(tmp_path / "a.jsonl", [article("x.txt", 2, 2), article("y.txt", 1, 3)])
    second = write_scores(tmp_path / "b.jsonl", [article("x.txt", 2, 2), article("z.txt", 1, 3)])

    found = compare_files(first, second)

    assert (found.paired, found.shared) == (False, 4)
    assert "4 sentences are in both" in found.notes[0]


def test_other_words_at_the_same_place_are_another_sentence(tmp_path):
    first = write_scores(tmp_path / "a.jsonl", [document("1.txt", sentence("It rained.", 0))])
    second = write_scores(tmp_path / "b.jsonl", [document("1.txt", sentence("It snowed.", 0))])

    assert compare_files(first, second).shared == 0


def test_other_models_on_other_articles_are_warned_of(tmp_path):
    first = collection(tmp_path / "a.jsonl", 1, 9)
    second = collection(tmp_path / "b.jsonl", 1, 9, prefix="e", digest="cd" * 32)

    assert "different models" in compare_files(first, second).notes[0]


def test_labels_of_one_side_are_left_out_and_named(tmp_path):
    both = [document(f"{n}.txt", sentence("It is not so.", 0, denial=0.5, threat=0.75)) for n in range(3)]
    first = write_scores(tmp_path / "a.jsonl", both)
    second = collection(tmp_path / "b.jsonl", 1, 9)
    meta = second.with_name("b.jsonl.meta.json")
    values = json.loads(meta.read_text(encoding="utf-8"))
    values |= {"labels": ["threat"], "thresholds": {"threat": 0.5}}
    meta.write_text(json.dumps(values), encoding="utf-8")

    found = compare_files(first, second)

    assert [label.label for label in found.labels] == ["threat"]
    assert found.missing == ("denial",)


def test_outputs_without_a_common_label_are_refused(tmp_path):
    first = collection(tmp_path / "a.jsonl", 1, 9)
    second = collection(tmp_path / "b.jsonl", 1, 9, labels=("hope",), thresholds={"hope": 0.5})

    with pytest.raises(StancewireError, match="no label in common: threat, denial; hope"):
        compare_files(first, second)


# A day


def dated(tmp_path: Path) -> Path:
    before = [article(f"2024-07-0{day}/a.txt", 1, 9) for day in range(1, 10)]
    after = [article(f"2024-07-{day}/a.txt", 6, 4) for day in range(11, 20)]
    return write_scores(tmp_path / "scores.jsonl", [*before, *after, article("undated.txt", 1, 1)])


def test_before_and_after_a_day_are_compared(tmp_path):
    found = compare_dates(dated(tmp_path), date(2024, 7, 11))

    assert (found.first.name, found.second.name) == ("before 2024-07-11", "from 2024-07-11")
    assert (found.first.documents, found.second.documents, found.undated) == (9, 9, 1)
    assert found.labels[0].difference == pytest.approx(0.5)
    assert found.labels[0].differs


def test_the_day_itself_is_on_the_later_side(tmp_path):
    assert compare_dates(dated(tmp_path), date(2024, 7, 12)).first.documents == 10


def test_sentences_of_a_day_can_be_taken_together(tmp_path):
    articles = [article(f"2024-07-0{1 + number % 4}/{number}.txt", 1, 9) for number in range(20)]
    scores = write_scores(tmp_path / "scores.jsonl", articles)

    assert compare_dates(scores, date(2024, 7, 3), by="day").clusters == 4
    assert compare_dates(scores, date(2024, 7, 3)).clusters == 20


@pytest.mark.parametrize(("day", "said"), [(date(2020, 1, 1), "before"), (date(2030, 1, 1), "on or after")])
def test_a_day_that_parts_nothing_is_refused(tmp_path, day, said):
    with pytest.raises(StancewireError, match=f"no document {said}"):
        compare_dates(dated(tmp_path), day)


# The file of changes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_changed_sentences_are_written_in_three_forms(tmp_path, suffix):
    first, second = (
        collection(tmp_path / "a.jsonl", 1, 2),
        collection(tmp_path / "b.jsonl", 1, 2, threat=0.25),
    )
    out = tmp_path / f"changed{suffix}"

    compare_files(first, second, out=out)

    if suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    elif suffix == ".csv":
        rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    else:
        rows = pq.read_table(out).to_pylist()
    assert len(rows) == 12
    assert (rows[0]["document"], rows[0]["text"], rows[0]["label"]) == (
        "d0.txt",
        "They will strike 0.",
        "threat",
    )
    assert (rows[0]["change"], float(rows[0]["probability_first"])) == ("lost", 0.75)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path, suffix):
    first, out = collection(tmp_path / "a.jsonl", 1, 2), tmp_path / f"changed{suffix}"
    out.write_text("mine", encoding="utf-8")

    with pytest.raises(StancewireError, match="already there"):
        compare_files(first, first, out=out)
    assert out.read_text(encoding="utf-8") == "mine"
    compare_files(first, first, out=out, overwrite=True)
    assert out.read_bytes() != b"mine"


def test_scores_are_never_written_over_by_what_changed_in_them(tmp_path):
    first, second = collection(tmp_path / "a.jsonl", 1, 2), collection(tmp_path / "b.jsonl", 1, 2)
    before = second.read_bytes()

    with pytest.raises(StancewireError, match="is what is read"):
        compare_files(first, second, out=second, overwrite=True)

    assert second.read_bytes() == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_a_common_sentence_no_file_is_written(tmp_path, suffix):
    first, second = collection(tmp_path / "a.jsonl", 1, 2), collection(tmp_path / "b.jsonl", 1, 2, prefix="e")

    with pytest.raises(StancewireError, match="no sentence in common"):
        compare_files(first, second, out=tmp_path / f"changed{suffix}")

    assert not list(tmp_path.glob("*changed*"))
    assert not list(tmp_path.glob(".*"))


# The command


def test_compare_prints_the_shares_and_what_differs(run, tmp_path):
    first, second = collection(tmp_path / "a.jsonl", 1, 9), collection(tmp_path / "b.jsonl", 5, 5, prefix="e")

    result = run(first, second)

    assert result.exit_code == 0
    assert "10.00% (12)" in result.stdout
    assert "+40.00" in result.stdout
    assert "Differs, beyond chance: threat." in result.stdout


def test_compare_shows_the_sentences_that_moved_most(run, tmp_path):
    first, second = (
        collection(tmp_path / "a.jsonl", 1, 9),
        collection(tmp_path / "b.jsonl", 1, 9, threat=0.25),
    )

    result = run(first, second, "--out", tmp_path / "changed.csv")

    assert "12 of 120 (10.00%) changed labels" in result.stdout
    assert "They will strike 0." in result.stdout
    assert (tmp_path / "changed.csv").is_file()


def test_compare_says_that_two_outputs_are_the_same(run, tmp_path):
    scores = collection(tmp_path / "a.jsonl", 1, 9)
    one = write_scores(tmp_path / "b.jsonl", [article("1.txt", 1, 0)])

    assert "All sentences have the same labels." in run(scores, scores).stdout
    assert "1 document, 1 sentence, read by" in " ".join(run(one, one).stdout.split())


def test_compare_prints_json_without_figures_that_are_no_numbers(run, tmp_path):
    scores = write_scores(tmp_path / "a.jsonl", [article("1.txt", 1, 1)])

    values = json.loads(run(scores, scores, "--json").stdout)

    assert values["labels"][0]["low"] is None
    assert values["labels"][0]["differs"] is False
    assert values["paired"] is True


def test_compare_splits_one_file_by_a_day(run, tmp_path):
    assert "before 2024-07-11" in run(dated(tmp_path), "--split-date", "2024-07-11").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "two files, or one and --split-date"),
        (["a", "a", "--split-date", "2024-07-11"], "two files, or one and --split-date"),
        (["a", "--split-date", "11 July"], "should be a day"),
        (["a", "a", "--by", "outlet"], "by should be document or day"),
        (["a", "a", "--out", "changed.txt"], "should end in .jsonl, .csv, .parquet"),
        (["a", "--split-date", "2024-07-11", "--out", "changed.csv"], "give two files"),
        (["a", "nowhere.jsonl"], "there is no output"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_sentence(run, tmp_path, arguments, said):
    scores = collection(tmp_path / "a.jsonl", 1, 2)

    result = run(*[scores if argument == "a" else argument for argument in arguments])

    assert result.exit_code == 2
    assert said in result.stderr
