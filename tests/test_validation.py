from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from handmade import write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_events import document, sentence, stance, write_scores
from typer.testing import CliRunner

from stancewire import StanceClassifier, StancewireError
from stancewire.annotations import AnnotatedSentence, AnnotatedStance
from stancewire.cli import app
from stancewire.estimation import BANDS, FAR, estimate
from stancewire.metrics import Figure
from stancewire.review.sampling import Sample, draw_sample
from stancewire.review.tables import validation_table
from stancewire.validation import LabelValidation, PartValidation, Validation, assume_errors, validate

RUNS = 1_000

# Sentences by stratum, then by what the model said of the label (it holds, is near, is far), then by whether
# it holds in truth: no, yes.
PLAIN = [[[2_000, 6_000], [6_000, 3_000], [82_000, 1_000]]]
BY_LABEL = [
    [[800, 1_600], [0, 0], [0, 0]],
    [[150, 250], [400, 100], [4_000, 60]],
    [[0, 0], [2_000, 500], [6_000, 60]],
    [[0, 0], [0, 0], [84_000, 280]],
]
FEW_MISSED = [*BY_LABEL[:3], [[0, 0], [0, 0], [84_200, 80]]]
BAD_MODEL = [[[3_000, 500], [3_000, 500], [60_000, 9_000]]]
SMALL = [[[20, 60], [40, 20], [800, 25]]]
NEARLY_ALL = [[[20, 60], [40, 20], [160, 5]]]
BY_LABEL_AND_MONTH = [
    (np.array(stratum) * share / 12).round().astype(int).tolist()
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1, 1.1, 1.2, 1.3, 1.4, 1.5)
    for stratum in BY_LABEL
]


def simulate(cells, drawn, runs=RUNS, seed=0):
    """Draw samples of a known population, each stratum without replacement; `cells` `[strata, BANDS, 2]`."""
    population = np.array(cells)
    generator = np.random.default_rng(seed)
    counts = np.stack(
        [
            generator.multivariate_hypergeometric(stratum.ravel(), number, runs, method="marginals")
            for stratum, number in zip(population, drawn, strict=True)
        ],
        axis=1,
    ).reshape(runs, len(population), BANDS, 2)
    found = estimate(
        population.sum((1, 2)), np.array(drawn), population.sum((0, 2)), counts.sum(-1), counts[..., 1]
    )
    hits, holding = population[:, 0, 1].sum(), population[..., 1].sum()
    truth = {
        "precision": hits / population[:, 0].sum(),
        "recall": hits / holding,
        "count": float(holding),
    }
    return found, truth, counts[..., 1].sum((1, 2))


@pytest.mark.parametrize("figure", ["precision", "recall", "count"])
@pytest.mark.parametrize(
    ("cells", "drawn"),
    [
        pytest.param(PLAIN, [300], id="plain 300"),
        pytest.param(PLAIN, [1_000], id="plain 1000"),
        pytest.param(BY_LABEL, [60, 60, 60, 120], id="by label 300"),
        pytest.param(BY_LABEL, [50, 60, 90, 400], id="by label 600"),
        pytest.param(FEW_MISSED, [60, 60, 60, 120], id="few missed"),
        pytest.param(BAD_MODEL, [300], id="bad model"),
        pytest.param(SMALL, [400], id="small collection"),
        pytest.param(NEARLY_ALL, [280], id="nearly all annotated"),
        pytest.param(BY_LABEL_AND_MONTH, [8, 6, 6, 12] * 12, id="by label and month"),
    ],
)
def test_intervals_hold_the_truth_in_93_to_97_of_a_hundred_samples(cells, drawn, figure):
    found, truth, _ = simulate(cells, drawn)

    value, low, high = getattr(found, figure)

    covered = (low <= truth[figure] + 1e-9) & (truth[figure] - 1e-9 <= high)
    assert np.isfinite(value).all()
    assert 0.93 <= covered.mean() <= 0.97


@pytest.mark.parametrize("figure", ["precision", "recall", "count"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_intervals_of_a_part_of_the_collection_hold_the_truth_as_often(share, figure):
    part = (np.array(BY_LABEL) * share).round().astype(int)
    both = np.stack([part, np.array(BY_LABEL) - part], axis=1)
    generator = np.random.default_rng(0)
    drawn = np.array([120, 120, 120, 240])
    counts = np.stack(
        [
            generator.multivariate_hypergeometric(stratum.ravel(), number, RUNS, method="marginals")
            for stratum, number in zip(both, drawn, strict=True)
        ],
        axis=1,
    ).reshape(RUNS, 4, 2, BANDS, 2)[:, :, 0]

    found = estimate(both.sum((1, 2, 3)), drawn, part.sum((0, 2)), counts.sum(-1), counts[..., 1])

    hits, holding = part[:, 0, 1].sum(), part[..., 1].sum()
    truth = {"precision": hits / part[:, 0].sum(), "recall": hits / holding, "count": float(holding)}
    _, low, high = getattr(found, figure)
    assert 0.93 <= ((low <= truth[figure]) & (truth[figure] <= high)).mean() <= 0.97


@pytest.mark.parametrize("cells", [PLAIN, BAD_MODEL])
def test_the_corrected_count_is_right_on_average_however_bad_the_model(cells):
    found, truth, _ = simulate(cells, [300], runs=4_000)

    error = found.count[0].mean() / truth["count"] - 1

    assert abs(error) < 0.01


def test_a_good_model_makes_intervals_shorter_than_the_sample_alone():
    found, _, positives = simulate(PLAIN, [300])
    share = positives / 300
    alone = 2 * 1.96 * np.sqrt(share * (1 - share) / 300) * 100_000

    assert (found.count[2] - found.count[1]).mean() < 0.85 * alone.mean()


def test_one_stratum_has_wilsons_interval():
    # 20 of 100, from https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval: .1334 to .2888.
    seen, held = np.zeros((1, BANDS)), np.zeros((1, BANDS))
    seen[0, FAR], held[0, FAR] = 100, 20

    found = estimate([1e9], [100], [0, 0, 1e9], seen, held)

    assert [float(end) / 1e9 for end in found.count] == pytest.approx([0.2, 0.1334, 0.2888], abs=5e-4)


def test_a_sample_without_a_positive_does_not_say_that_there_are_none():
    found = estimate([10_000], [100], [0, 0, 10_000], [[0, 0, 100]], [[0, 0, 0]])

    value, low, high = found.count
    assert (value, low) == (0, 0)
    assert high > 300  # the rule of three


def test_where_everything_is_annotated_nothing_is_left_to_chance():
    cells = np.array(NEARLY_ALL)

    found, truth, _ = simulate(NEARLY_ALL, [int(cells.sum())], runs=1)

    for figure in ("precision", "recall", "count"):
        assert [float(end[0]) for end in getattr(found, figure)] == pytest.approx([truth[figure]] * 3)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 6)] * 6).filter(lambda counts: sum(counts) > 0), min_size=1, max_size=4
    ),
    st.data(),
)
def test_any_sample_gives_figures_within_their_intervals_and_no_warning(strata, data):
    seen = np.array([[counts[0], counts[1], counts[2]] for counts in strata])
    seen[:, 2] += seen.sum(axis=1) == 0
    held = np.array([[data.draw(st.integers(0, int(n))) for n in row] for row in seen])
    more = np.array([counts[3:] for counts in strata])

    with np.errstate(all="raise"):
        found = estimate((seen + more).sum(1), seen.sum(1), (seen + more).sum(0), seen, held)

    for value, low, high in (found.precision, found.recall, found.count):
        if math.isfinite(value):
            assert 0 <= low <= value + 1e-9
            assert value <= high + 1e-9


# Scores of a made-up collection: in odd sentences of even documents the model says threat.


def collection(path: Path, documents: int = 60, flip=()) -> Path:
    texts = []
    for number in range(documents):
        sentences = []
        for position in range(10):
            words = f"Sentence {position} of document {number}."
            says = (position % 2 == 1 and number % 2 == 0) ^ ((number, position) in flip)
            sentences.append(sentence(words, stance(probability=0.875)) if says else sentence(words))
        outlet = "wire" if number % 3 else "paper"
        texts.append(
            document(
                f"{number}.txt", *sentences, date=f"2022-0{1 + number % 2}-10", columns={"outlet": outlet}
            )
        )
    return write_scores(path, *texts)


def answers(sample: Sample, holds=lambda text: "1 of" in text, skip=0):
    stances = {True: (AnnotatedStance("threat"),), False: ()}
    return [
        AnnotatedSentence(one.text, stances[holds(one.text)], one.document) for one in sample.sentences[skip:]
    ]


@pytest.mark.parametrize("form", [".jsonl", ".csv", ".parquet"])
def test_counts_are_those_of_the_collection_whatever_its_form(tmp_path, form):
    scores = collection(tmp_path / f"scores{form}")
    sample = draw_sample(scores, 200, by=("label",))

    result = validate(scores, sample.design, answers(sample), by=("month",))

    threat = result.whole.labels[0]
    assert (result.whole.sentences, result.whole.annotated, threat.found) == (600, 200, 150)
    # 60 sentences hold it, in half of them the model says so, as in 120 others.
    assert threat.count.low <= 60 <= threat.count.high
    assert threat.precision.low <= 0.2 <= threat.precision.high
    assert threat.recall.low <= 0.5 <= threat.recall.high
    assert [(part.group, part.sentences) for part in result.parts] == [("2022-01", 300), ("2022-02", 300)]


def test_all_sentences_annotated_give_the_exact_counts_also_by_group(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 600, by=("label", "outlet"))

    result = validate(scores, sample.design, answers(sample), by=("outlet", "month"))

    counts = {(p.by, p.group): (p.labels[0].count.low, p.labels[0].count.high) for p in result.parts}
    assert counts["outlet", "paper"] == pytest.approx((20, 20))
    assert counts["outlet", "wire"] == pytest.approx((40, 40))
    assert counts["month", "2022-01"] == pytest.approx((30, 30))


def test_the_same_sample_validates_what_another_model_made_of_the_documents(tmp_path):
    first = collection(tmp_path / "first.jsonl")
    right = {(n, p) for n in range(60) for p in range(10) if (p == 1) != (p % 2 == 1 and n % 2 == 0)}
    second = collection(tmp_path / "second.jsonl", flip=right)
    sample = draw_sample(first, 600)

    result = validate(second, sample.design, answers(sample))

    assert result.whole.labels[0].precision.value == result.whole.labels[0].recall.value == 1


def test_scores_of_other_documents_are_refused(tmp_path):
    scores, other = collection(tmp_path / "scores.jsonl"), collection(tmp_path / "other.jsonl", 59)
    sample = draw_sample(scores, 50)

    with pytest.raises(StancewireError, match="590 sentences, and the sample was drawn from 600"):
        validate(other, sample.design, answers(sample))


def test_answers_of_other_sentences_are_refused_and_strangers_counted(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 50)
    stranger = AnnotatedSentence("Another one.", (), "elsewhere.txt")

    result = validate(scores, sample.design, [*answers(sample), stranger])

    assert result.strangers == 1
    with pytest.raises(StancewireError, match="none of the annotated sentences was drawn"):
        validate(scores, sample.design, [stranger])


def test_what_has_no_answer_counts_as_missing_by_chance(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 300)

    result = validate(scores, sample.design, answers(sample, skip=60))

    assert (result.drawn, result.annotated) == (300, 240)
    assert result.whole.labels[0].count.value == pytest.approx(60, rel=0.35)


def test_a_stratum_without_any_answer_is_taken_together_with_another(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 300, by=("outlet",))
    papers = {f"{number}.txt" for number in range(0, 60, 3)}

    said = [one for one in answers(sample) if one.doc not in papers]
    result = validate(scores, sample.design, said)

    assert result.merged == ("paper",)
    assert result.whole.labels[0].count.value == pytest.approx(60, rel=0.7)


def test_fewer_than_30_positives_make_a_label_unusable(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 600)

    result = validate(scores, sample.design, answers(sample), by=("outlet",))

    usable = {part.group: part.labels[0].usable for part in (result.whole, *result.parts)}
    assert usable == {"": True, "paper": False, "wire": True}
    assert [row.usable for row in result.whole.labels] == [True, False]


def test_errors_elsewhere_give_a_count_that_is_called_an_assumption(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    targets = np.zeros((400, 1), bool)
    targets[:100] = True
    decisions = targets.copy()
    decisions[80:100], decisions[100:130] = False, True

    (count,) = assume_errors(scores, ["threat"], targets, decisions)

    # (150 / 600 - 30 / 300) / (80 / 100 - 30 / 300) of 600, by hand
    assert count.count.value == pytest.approx(600 * 0.15 / 0.7)
    assert count.count.low < count.count.value < count.count.high


def test_a_model_that_was_no_better_than_chance_elsewhere_gives_no_count(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    targets = np.array([[True], [False]] * 20)

    (count,) = assume_errors(scores, ["threat"], targets, np.ones((40, 1), bool))

    assert math.isnan(count.count.value)
    assert count.to_dict()["count"] == {"value": None, "low": None, "high": None}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def annotate_csv(path: Path, holds=lambda text: "1 of" in text) -> Path:
    """Answer a spreadsheet as a coder does."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["labels"] = "threat" if holds(row["text"]) else "none"
    done = path.with_name("done.csv")
    with done.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return done


def test_the_way_from_scores_to_a_validated_table(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    tasks, answered = tmp_path / "sample.csv", tmp_path / "answers"
    design, table = tmp_path / "sample.csv.design.json", tmp_path / "table.csv"

    drawn = run("review", scores, "--random", 300, "--by", "label,month", "--out", tasks)
    imported = run("import", annotate_csv(tasks), "--into", answered)
    arguments = (
        "validate",
        scores,
        "--design",
        design,
        "--answers",
        answered,
        "--by",
        "outlet",
        "--out",
        table,
    )
    shown = run(*arguments)
    as_json = run(*arguments, "--json", "--overwrite")

    assert (drawn.exit_code, imported.exit_code, shown.exit_code, as_json.exit_code) == (0, 0, 0, 0)
    assert "NOT USABLE: denial (0)." in shown.output
    values = json.loads(as_json.stdout)
    assert values["whole"]["labels"][0]["usable"] is True
    assert values["whole"]["labels"][1]["recall"]["value"] is None
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["by"], row["group"], row["label"]) for row in rows[:3]] == [
        ("", "", "threat"),
        ("", "", "denial"),
        ("outlet", "paper", "threat"),
    ]
    assert float(rows[0]["count_low"]) <= 60 <= float(rows[0]["count_high"])


def test_an_answer_with_a_label_that_was_not_asked_for_is_refused(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 50)
    said = answers(sample)
    for number in (3, 7):
        one = said[number]
        said[number] = AnnotatedSentence(
            one.text, (AnnotatedStance("treat"),), one.doc, file="ann.jsonl", line=number
        )
    stranger = AnnotatedSentence("Another one.", (AnnotatedStance("treat"),), "elsewhere.txt")

    with pytest.raises(StancewireError, match=r"ann\.jsonl, line 3: the label 'treat' is .* 1 more answers"):
        validate(scores, sample.design, said)
    assert validate(scores, sample.design, [*answers(sample), stranger]).strangers == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("answers", "there is no folder answers: `stancewire import FILE --into answers/` makes it"),
        ("ann.jsonl", "there is no file ann.jsonl: `stancewire import FILE --into ann.jsonl` makes it"),
    ],
)
def test_answers_that_are_missing_are_said_with_what_makes_them(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    collection(tmp_path / "scores.jsonl")
    run("review", "scores.jsonl", "--random", 20, "--out", "t.csv")

    result = run("validate", "scores.jsonl", "--design", "t.csv.design.json", "--answers", name)

    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_the_table_fits_80_columns_with_each_interval_on_a_line(tmp_path):
    figures = [Figure(12_345, 11_345, 13_345), *[Figure(0.98765, 0.00012, 1)] * 3]
    names = ("accusation", "reassurance", "an unusually long label of somebody")
    rows = tuple(
        LabelValidation(name, n, 54_321, *figures) for n, name in zip((3, 40, 0), names, strict=True)
    )
    whole = PartValidation("", "", 100_000, 300, rows)
    console = Console(width=80, file=io.StringIO(), record=True)

    console.print(validation_table(Validation(300, 300, 0, (), whole, ())))

    text = console.export_text()
    assert text.count("11,345 to 13,345") == 3
    assert text.count(".000 to 1.000") == 9
    assert text.count(".988") == 9
    assert "…" not in text
    assert text.count("NOT USABLE") == 1
    assert "NOT USABLE: accusation (3), an unusually long label of somebody (0)." in " ".join(text.split())


def test_without_a_sample_the_command_says_how_to_draw_one(tmp_path):
    result = run("validate", collection(tmp_path / "scores.jsonl"))

    assert result.exit_code == 2
    assert "--random 300 --by label" in " ".join(result.output.split())


def test_a_group_that_no_document_has_is_named(tmp_path):
    scores = collection(tmp_path / "scores.jsonl")
    sample = draw_sample(scores, 50)

    with pytest.raises(StancewireError, match=r"--by outle: no document has this column; .*outlet"):
        validate(scores, sample.design, answers(sample), by=("outle",))


def test_only_with_other_data_is_there_a_count_without_a_sample_and_it_says_what_it_is(tmp_path, monkeypatch):
    from types import SimpleNamespace

    scores = collection(tmp_path / "scores.jsonl")
    data = tmp_path / "dev.jsonl"
    rows = [{"text": f"{n}", "labels": ["threat"] if n % 4 == 0 else []} for n in range(200)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = {True: [SimpleNamespace(label="threat")], False: []}
    model = SimpleNamespace(
        labels=("threat", "denial"), predict=lambda text: SimpleNamespace(stances=said[int(text) % 8 == 0])
    )
    monkeypatch.setattr("stancewire.provenance.read_provenance", lambda _: None)
    monkeypatch.setattr("stancewire.classifier.load_maker", lambda provenance, model_folder: model)

    shown = run("validate", scores, "--assume", data)
    as_json = run("validate", scores, "--assume", data, "--json")

    assert "AN ASSUMPTION, not a measurement" in shown.output
    assert json.loads(as_json.stdout)["assumption"] == f"errors as in {data}"
    # Half of the threats there were found and nothing else: 150 found here would be 300.
    assert json.loads(as_json.stdout)["labels"][0]["count"]["value"] == pytest.approx(300)


def test_errors_are_assumed_of_the_model_and_the_thresholds_that_made_the_scores(tmp_path):
    folder = write_folder(tmp_path / "model")
    article = tmp_path / "in" / "a.txt"
    article.parent.mkdir()
    article.write_text("The minister warns the minister. The minister denies the warning!")
    scores, meta = tmp_path / "scores.jsonl", tmp_path / "scores.jsonl.meta.json"
    StanceClassifier.load(folder).score_folder(article.parent, scores, any_language=True)
    data = tmp_path / "dev.jsonl"
    data.write_text('{"text": "The minister warns.", "labels": ["warm"]}\n{"text": "No.", "labels": []}\n')
    made = json.loads(meta.read_text())

    meta.write_text(json.dumps({**made, "thresholds": dict.fromkeys(made["thresholds"], 1.0)}))
    stricter = run("validate", scores, "--assume", data, "--model", folder, "--json")
    meta.write_text(json.dumps({**made, "digest": "0" * 64}))
    other = run("validate", scores, "--assume", data, "--model", folder)

    assert json.loads(stricter.stdout)["labels"][0]["recall"] == 0
    assert other.exit_code == 2
    assert "is another: name the folder of the first" in " ".join(other.output.split())
