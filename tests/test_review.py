from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events import LABELS, document, sentence, write_scores
from typer.testing import CliRunner

from stancewire import StancewireError
from stancewire.annotations import AUTHOR, AnnotatedSentence, AnnotatedStance, read_annotations
from stancewire.cli import app
from stancewire.review.agreement import cohens_kappa, compare_annotators, merge_answers
from stancewire.review.answers import Answer, read_answers
from stancewire.review.candidates import Candidate, sentence_key
from stancewire.review.choosing import choose_uncertain
from stancewire.review.importing import import_answers
from stancewire.review.sampling import allocate, draw_sample, read_design
from stancewire.review.tasks import Task, labelling_config, write_tasks

TEXT = "Iran's navy warned the tankers that Iran's guards will board the tankers."


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def scored(text, probability=0.125, *, held=None, start=0, **spans):
    held = probability >= 0.5 if held is None else held
    stances = [
        {"label": "threat", "probability": probability, "source_kind": "none", "source": None, "target": None}
        | spans
    ]
    values = sentence(text, *(stances if held else []))
    values["probabilities"] = {"threat": probability, "denial": 0.015625}
    return values | {"start": start, "end": start + len(text)}


def span(text, start):
    return {"text": text, "start": start, "end": start + len(text), "probability": 0.5}


def many(path: Path, documents=40, names=None) -> Path:
    """Scores of ten sentences a document, of which the first is said to be a threat, the second nearly."""
    texts = [
        document(
            f"{number}.txt",
            *(
                scored(f"Sentence {position} of {number}.", {0: 0.875, 1: 0.25}.get(position, 0.0078125))
                for position in range(10)
            ),
            date=f"2022-0{1 + number % 3}-01",
        )
        for number in names or range(documents)
    ]
    return write_scores(path, *texts)


def candidate(text=TEXT, name="a.txt", suggestions=()) -> Candidate:
    return Candidate(sentence_key(name, text), name, None, text, "Before.", "After.", {}, suggestions)


# Sampling


def test_every_sentence_of_a_stratum_has_the_same_chance(tmp_path):
    scores = many(tmp_path / "scores.jsonl", 3)

    drawn = Counter(
        one.key
        for seed in range(400)
        for one in draw_sample(scores, 8, by=("label",), seed=seed).design.sample
    )

    # Of the 24 sentences without a stance some are drawn in each of 400 samples, each as often as another.
    design = draw_sample(scores, 8, by=("label",)).design
    chance = {stratum.name: stratum.drawn / stratum.size for stratum in design.strata}
    rates = sorted(
        drawn[sentence_key(f"{n}.txt", f"Sentence {p} of {n}.")] / 400 for n in range(3) for p in range(2, 10)
    )
    assert chance["none"] == pytest.approx(sum(rates) / 24)
    assert rates[0] > chance["none"] - 0.1
    assert rates[-1] < chance["none"] + 0.1


@pytest.mark.parametrize("by", [(), ("label",), ("month",), ("label", "month")])
def test_the_weights_add_up_to_all_sentences(tmp_path, by):
    design = draw_sample(many(tmp_path / "scores.jsonl"), 60, by=by).design

    assert sum(stratum.weight * stratum.drawn for stratum in design.strata) == pytest.approx(400)
    assert sum(stratum.drawn for stratum in design.strata) == len(design.sample) == 60
    assert Counter(one.stratum for one in design.sample) == {
        number: stratum.drawn for number, stratum in enumerate(design.strata)
    }


def test_the_same_sentences_are_drawn_whatever_the_form_and_the_order(tmp_path):
    forms = [
        many(tmp_path / "a.jsonl"),
        many(tmp_path / "b.csv"),
        many(tmp_path / "c.parquet"),
        many(tmp_path / "d.jsonl", names=range(39, -1, -1)),
    ]

    drawn = [draw_sample(scores, 50, by=("label", "month")) for scores in forms]

    assert len({tuple(sorted(one.key for one in sample.design.sample)) for sample in drawn}) == 1
    assert [one.text for one in drawn[0].sentences] == [one.text for one in drawn[2].sentences]


def test_another_seed_draws_other_sentences(tmp_path):
    scores = many(tmp_path / "scores.jsonl")

    first, second = (draw_sample(scores, 50, seed=seed).design.sample for seed in (1, 2))

    assert {one.key for one in first} != {one.key for one in second}


def test_strata_by_label_hold_more_of_a_rare_label_than_chance_does(tmp_path):
    scores = many(tmp_path / "scores.jsonl")

    plain, by_label = (draw_sample(scores, 60, by=by).expected["threat"] for by in ((), ("label",)))

    assert by_label > 1.2 * plain


def test_a_sentence_that_stands_twice_in_its_document_is_asked_for_once(tmp_path):
    scores = write_scores(
        tmp_path / "s.jsonl", document("a.txt", *[scored("He denied it.")] * 3, scored("No."))
    )

    sample = draw_sample(scores, 4)

    assert (len(sample.design.sample), len(sample.sentences)) == (4, 2)


def test_memory_does_not_grow_with_the_scores(tmp_path):
    peaks = []
    for documents in (100, 1_000):
        scores = many(tmp_path / f"{documents}.jsonl", documents)
        tracemalloc.start()
        draw_sample(scores, 20, by=("label",))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 100_000


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 1)), min_size=1, max_size=20), st.integers(0, 300)
)
def test_a_sample_is_parted_in_full_and_no_stratum_gives_more_than_it_has(strata, more):
    sizes, spreads = zip(*strata, strict=True)
    total = 2 * len(sizes) + more

    counts = allocate(sizes, spreads, total)

    assert sum(counts) == min(total, sum(sizes))
    assert all(min(size, 2) <= count <= size for size, count in zip(sizes, counts, strict=True))


@pytest.mark.parametrize(
    ("size", "by", "said"),
    [
        (401, (), "has only 400 sentences"),
        (15, ("label", "month"), "each needs 2 sentences"),
        (20, ("outlet",), "no document has this column"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path, size, by, said):
    with pytest.raises(StancewireError, match=said):
        draw_sample(many(tmp_path / "scores.jsonl"), size, by=by)


def test_a_design_comes_back_as_it_was(tmp_path):
    design = draw_sample(many(tmp_path / "scores.jsonl"), 20, by=("label",)).design
    (tmp_path / "d.json").write_text(design.to_json(), encoding="utf-8")

    assert read_design(tmp_path / "d.json") == design
    assert json.loads(design.to_json())["strata"][0]["weight"] == design.strata[0].weight


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "strata": [{}]}'])
def test_what_is_no_design_is_refused(tmp_path, text):
    (tmp_path / "d.json").write_text(text, encoding="utf-8")

    with pytest.raises(StancewireError, match=r"is not the design of a sample|upgrade"):
        read_design(tmp_path / "d.json")


def test_coders_of_a_sample_see_nothing_of_the_model_or_the_strata(tmp_path):
    scores = many(tmp_path / "scores.jsonl")

    for suffix in ("json", "jsonl", "csv"):
        assert (
            run(
                "review", scores, "--random", 30, "--by", "label", "--out", tmp_path / f"t.{suffix}"
            ).exit_code
            == 0
        )

    assert "predictions" not in (tmp_path / "t.json").read_text(encoding="utf-8")
    assert all(
        not json.loads(line)["cats"] and not json.loads(line)["entities"]
        for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    )
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert all(not row["suggested"] and not row["labels"] for row in csv.DictReader(stream))
    for suffix in ("json", "jsonl", "csv"):
        written = (tmp_path / f"t.{suffix}").read_text(encoding="utf-8")
        assert "stratum" not in written and "weight" not in written and "near" not in written


# Choosing


def test_the_least_certain_come_first_and_rare_labels_have_their_part(tmp_path):
    texts = [scored(f"Word{n} number{n} thing{n}.", 0.5 if n == 7 else 0.0078125 * n) for n in range(20)]
    texts[3]["probabilities"]["denial"] = 0.25
    scores = write_scores(tmp_path / "s.jsonl", document("a.txt", *texts))

    first, second = choose_uncertain(scores, 2)

    assert (first.label, first.sentence.text) == ("threat", "Word7 number7 thing7.")
    assert (second.label, second.sentence.text) == ("denial", "Word3 number3 thing3.")


def test_nearly_the_same_sentence_is_not_chosen_twice(tmp_path):
    copies = [scored(f"Agency copy says the same thing in every paper, {n}.", 0.5) for n in range(5)]
    other = scored("Quite another sentence about ferries.", 0.3)
    scores = write_scores(tmp_path / "s.jsonl", document("a.txt", *copies, other))

    chosen = [choice.sentence.text for choice in choose_uncertain(scores, 4)]

    assert sum("Agency" in text for text in chosen) == 1
    assert "Quite another sentence about ferries." in chosen


def test_where_two_models_disagree_goes_before_any_doubt(tmp_path):
    texts = [f"Word{n} number{n} thing{n}." for n in range(10)]
    one = document(
        "a.txt", *(scored(text, 0.5, held=True) for text in texts[:9]), scored(texts[9], 0.0078125)
    )
    other = document("a.txt", *(scored(text, 0.5, held=True) for text in texts[:9]), scored(texts[9], 0.75))
    paths = [write_scores(tmp_path / f"{n}.jsonl", text) for n, text in enumerate((one, other))]

    choices = choose_uncertain(paths[0], 1, against=paths[1])

    assert [choice.sentence.text for choice in choices] == [texts[9]]


def test_scores_of_other_documents_are_no_second_opinion(tmp_path):
    with pytest.raises(StancewireError, match=r"sentence 1 is not that of one\.jsonl"):
        choose_uncertain(
            many(tmp_path / "one.jsonl", names=[1]), 5, against=many(tmp_path / "two.jsonl", names=[2])
        )


def test_what_was_annotated_before_is_passed_over(tmp_path):
    scores, known = many(tmp_path / "s.jsonl", 1), tmp_path / "known.jsonl"
    known.write_text('{"text": "Sentence 1 of  0.", "labels": []}\n', encoding="utf-8")

    result = run("review", scores, "--uncertain", 3, "--skip", known, "--out", tmp_path / "t.csv")

    assert result.exit_code == 0
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert "Sentence 1 of 0." not in {row["text"] for row in csv.DictReader(stream)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either --random"),
        (("--random", "5", "--uncertain", "5"), "either --random"),
        (("--random", "5", "--against", "x.jsonl"), "--against goes with --uncertain"),
        (("--uncertain", "5", "--by", "label"), "--by goes with --random"),
        (("--uncertain", "5", "--labels", "none"), "cannot hold the label"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, arguments, said):
    result = run("review", many(tmp_path / "s.jsonl", 2), *arguments, "--out", tmp_path / "t.csv")

    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


# Tasks and answers

SUGGESTED = (
    AnnotatedStance("threat", "Iran's navy", 0, "the tankers", 61),
    AnnotatedStance("denial", AUTHOR, None, "Iran's guards", 36),
)
# A start stands where the words do several times.
READ = (
    AnnotatedStance("threat", "Iran's navy", None, "the tankers", 61),
    AnnotatedStance("denial", AUTHOR, None, "Iran's guards", None),
)


def accept(path: Path) -> Path:
    """Answer every task with what was suggested, as a person does who agrees."""
    done = path.with_name(f"done{path.suffix}")
    if path.suffix == ".json":
        tasks = json.loads(path.read_text(encoding="utf-8"))
        for number, task in enumerate(tasks):
            results = task["predictions"][0]["result"]
            task |= {"id": number, "annotations": [{"completed_by": 1, "result": results}]}
        done.write_text(json.dumps(tasks), encoding="utf-8")
    elif path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        done.write_text(
            "".join(json.dumps({"id": n, **line, "Comments": []}) + "\n" for n, line in enumerate(lines)),
            encoding="utf-8",
        )
    else:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        with done.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(row | {"labels": "OK"} for row in rows)
    return done


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_what_was_suggested_and_accepted_comes_back(tmp_path, suffix):
    tasks = [
        Task(candidate(suggestions=SUGGESTED), SUGGESTED),
        Task(candidate('=HYPERLINK("x") said the bank.', "b.txt"), ()),
        Task(
            candidate("@handle denied\nit \U0001f600.", "c.txt"), (AnnotatedStance("denial", "@handle", 0),)
        ),
    ]
    write_tasks(tmp_path / f"t{suffix}", tasks, LABELS)

    read = read_answers([accept(tmp_path / f"t{suffix}")])

    assert (read.faults, read.warnings, read.unanswered) == ((), (), 0)
    assert [one.sentence.stances for one in read.answers][:2] == [READ, ()]
    assert [one.sentence.text for one in read.answers][1:] == [
        '=HYPERLINK("x") said the bank.',
        "@handle denied it \U0001f600.",
    ]
    assert [one.sentence.doc for one in read.answers] == ["a.txt", "b.txt", "c.txt"]


def test_no_cell_of_a_spreadsheet_runs(tmp_path):
    write_tasks(tmp_path / "t.csv", [Task(candidate("=1+1", "@doc"), ())], ["-label"])

    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]

    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_the_labelling_configuration_holds_labels_and_parties_whatever_they_are_called():
    view = ElementTree.fromstring(labelling_config(["threat", 'a "b" <c> & d']))

    spans = [label.get("value") for label in view.iter("Label")]
    assert spans == ["threat: source", "threat: target", 'a "b" <c> & d: source', 'a "b" <c> & d: target']
    assert [choice.get("value") for choice in view.iter("Choice")] == ["threat", 'a "b" <c> & d'] * 2
    assert {control.get("toName") for control in view if control.get("toName")} == {"text"}


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_tasks_are_not_written_over_unasked(tmp_path, suffix):
    write_tasks(tmp_path / f"t{suffix}", [Task(candidate(), None)], LABELS)

    with pytest.raises(StancewireError, match="already there"):
        write_tasks(tmp_path / f"t{suffix}", [], LABELS)


def test_tasks_are_never_written_over_the_scores_they_are_of(tmp_path):
    scores = many(tmp_path / "scores.jsonl")
    before = scores.read_bytes()

    result = run("review", scores, "--uncertain", 5, "--out", scores, "--overwrite")

    assert result.exit_code == 2
    assert "is what is read" in result.output
    assert scores.read_bytes() == before


def label_studio(path: Path, *annotations, text=TEXT, **data) -> Path:
    task = {"id": 1, "data": {"text": text, "document": "a.txt", **data}, "annotations": list(annotations)}
    path.write_text(json.dumps([task]), encoding="utf-8")
    return path


def annotation(labels=(), spans=(), by=1, **more):
    results = [{"from_name": "stances", "type": "choices", "value": {"choices": list(labels)}}]
    results += [
        {
            "from_name": "parties",
            "type": "labels",
            "value": {"start": s, "end": e, "text": t, "labels": [name]},
        }
        for s, e, t, name in spans
    ]
    return {"completed_by": by, "result": results, **more}


def test_label_studio_counts_characters_as_a_browser_does(tmp_path):
    text = "\U0001f600 Kyiv denied it."
    path = label_studio(
        tmp_path / "a.json", annotation(["denial"], [(3, 7, "Kyiv", "denial: source")]), text=text
    )

    assert read_answers([path]).answers[0].sentence.stances == (AnnotatedStance("denial", "Kyiv"),)


def test_label_studio_cancelled_answers_are_none_and_people_are_told_apart(tmp_path):
    path = label_studio(
        tmp_path / "a.json",
        annotation(["threat"], by={"id": 3, "email": "ann@example.org"}),
        annotation([], by=4),
        annotation(["denial"], by=5, was_cancelled=True),
    )

    read = read_answers([path])

    assert [(one.annotator, one.sentence.labels) for one in read.answers] == [
        ("ann@example.org", {"threat"}),
        ("4", frozenset()),
    ]


def test_spans_are_widened_to_whole_words(tmp_path):
    path = label_studio(tmp_path / "a.json", annotation(["threat"], [(7, 13, "navy w", "threat: source")]))

    assert read_answers([path]).answers[0].sentence.stances[0].source == "navy warned"


def test_a_span_of_a_stance_that_was_taken_back_is_left_out_and_said(tmp_path):
    path = label_studio(tmp_path / "a.json", annotation([], [(0, 11, "Iran's navy", "threat: source")]))

    read = read_answers([path])

    assert read.answers[0].sentence.stances == ()
    assert "not that it holds" in read.warnings[0].what


@pytest.mark.parametrize(
    ("values", "stances"),
    [
        (
            {"cats": ["threat"], "entities": [[0, 11, "threat: source"]]},
            (AnnotatedStance("threat", "Iran's navy"),),
        ),
        ({"cats": ["threat", "threat: writer"], "entities": []}, (AnnotatedStance("threat", AUTHOR),)),
        ({"label": ["denial"]}, (AnnotatedStance("denial"),)),
        ({"label": []}, ()),
        ({"label": [[0, 11, "threat: source"]]}, (AnnotatedStance("threat", "Iran's navy"),)),
        ({"label": [[0, 11, "threat"]]}, (AnnotatedStance("threat"),)),
        (
            {
                "entities": [{"id": 1, "label": "threat: source", "start_offset": 0, "end_offset": 11}],
                "relations": [],
            },
            (AnnotatedStance("threat", "Iran's navy"),),
        ),
        ({"label": ["denial"], "meta": {"document": "a.txt"}}, (AnnotatedStance("denial"),)),
    ],
)
def test_doccano_exports_of_each_kind_of_project_are_read(tmp_path, values, stances):
    path = tmp_path / "ann.jsonl"
    path.write_text(
        json.dumps({"id": 1, "text": TEXT, "document": "a.txt", **values}) + "\n", encoding="utf-8"
    )

    (answer,) = read_answers([path]).answers

    assert (answer.annotator, answer.sentence.stances, answer.sentence.doc) == ("ann", stances, "a.txt")


def sheet(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\r\n".join([header, *rows]), encoding="utf-8")
    return path


def test_a_spreadsheet_tells_none_from_unanswered(tmp_path):
    path = sheet(
        tmp_path / "t.csv", "text,labels,annotator", "One.,none,ann", "Two.,,ann", "Three.,threat;denial,bob"
    )

    read = read_answers([path])

    assert [(one.annotator, sorted(one.sentence.labels)) for one in read.answers] == [
        ("ann", []),
        ("bob", ["denial", "threat"]),
    ]
    assert read.unanswered == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("Iran's navy", None),
        ("the tankers#2", None),
        ("the tankers", "stands 2 times in the sentence: write it with #2"),
        ("the tankers#3", "stands nowhere"),
        ("the ships", "stands nowhere"),
    ],
)
def test_words_typed_into_a_spreadsheet_are_found_or_said(tmp_path, words, said):
    path = sheet(tmp_path / "t.csv", "text,labels,source_threat", f"{TEXT},threat,{words}")

    read = read_answers([path])

    assert [said in fault.what for fault in read.faults] == ([] if said is None else [True])
    assert [one.sentence.stances[0].source for one in read.answers] == ([] if said else [words.split("#")[0]])


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("text,suggested,labels", "One.,,ok", "'ok' is what was suggested, and nothing was"),
        ("text,labels", "One.,OK", "'ok' is what was suggested, and nothing was"),
        ("labels,text", "threat", "there is no text"),
        ("text,labels", " ,threat", "there is no text"),
    ],
)
def test_an_answer_that_says_nothing_is_a_fault(tmp_path, header, row, said):
    read = read_answers([sheet(tmp_path / "t.csv", header, row)])

    assert [said in fault.what for fault in read.faults] == [True]
    assert read.answers == ()


def test_none_is_none_as_a_spreadsheet_writes_it(tmp_path):
    (one,) = read_answers([sheet(tmp_path / "t.csv", "text,labels", "One.,None")]).answers

    assert one.sentence.labels == frozenset()


def test_files_of_one_name_that_differ_are_worth_a_look(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "bob").mkdir()
    ann = sheet(tmp_path / "ann" / "tasks.csv", "text,labels", "One.,threat", "Two.,none")
    bob = sheet(tmp_path / "bob" / "tasks.csv", "text,labels", "One.,none", "Two.,none")

    (warning,) = read_answers([ann, bob]).warnings

    assert f"tasks said otherwise in {ann}, line 2: this counts" in warning.what


def test_a_sentence_that_was_changed_on_the_way_is_a_fault(tmp_path):
    key = sentence_key("a.txt", TEXT)
    path = label_studio(tmp_path / "a.json", annotation(), text=TEXT.replace("tankers", "ships"), key=key)

    assert "was changed" in read_answers([path]).faults[0].what


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "is not JSON"),
        ("a.json", '[{"text": "x", "stances": "threat"}]', "not as JSON-MIN"),
        ("a.csv", "a,b\n1,2\n", "has no column text"),
        ("a.xlsx", "", "should end in"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text, encoding="utf-8")

    with pytest.raises(StancewireError, match=said):
        read_answers([tmp_path / name])


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda v: (
            st.lists(v)
            | st.dictionaries(
                st.sampled_from(
                    ["text", "label", "cats", "entities", "meta", "annotations", "result", "value", "data"]
                ),
                v,
            )
        ),
    )
)
def test_no_line_of_doccano_or_task_of_label_studio_breaks_the_reader(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.jsonl").write_text(json.dumps(values) + "\n", encoding="utf-8")
    task = {"data": {"text": TEXT}, "annotations": values}
    (folder / "b.json").write_text(json.dumps([task]), encoding="utf-8")

    read = read_answers([folder / "a.jsonl", folder / "b.json"])

    assert len(read.faults) <= 2


# Labels that were asked for


def blind_sample(folder: Path, suffix: str = ".csv") -> Path:
    scores = many(folder / "scores.jsonl", 4)
    assert run("review", scores, "--random", 5, "--out", folder / f"t{suffix}").exit_code == 0
    return folder / f"t{suffix}"


def fill_in(tasks: Path, done: Path, *labels: str, without=()) -> Path:
    """Answer a spreadsheet, each sentence with the next of `labels`, and drop the columns `without`."""
    with tasks.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with done.open("w", encoding="utf-8", newline="") as stream:
        columns = [name for name in rows[0] if name not in without]
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row | {"labels": said} for row, said in zip(rows, labels, strict=False))
    return done


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("treat", "the label 'treat' is not one of threat, denial: write threat, if that is meant"),
        ("threat, Denial", "semicolons part labels, write threat;denial"),
        ("anger", "write one of these, or none for no stance"),
        ("ok;threat", "the label 'ok' is not one of threat, denial"),
        ("ok", "'ok' is what was suggested, and nothing was"),
    ],
)
def test_what_a_coder_typed_that_is_no_label_is_a_fault_with_what_to_write(tmp_path, typed, said):
    done = fill_in(blind_sample(tmp_path), tmp_path / "ann.csv", "threat", typed, "none")

    report = import_answers([done], tmp_path / "answers")

    assert [(fault.line, said in fault.what) for fault in report.faults] == [(3, True)]
    assert report.by_label == {"threat": 1, "denial": 0}
    assert report.sentences == 2
    assert run("import", done, "--into", tmp_path / "again").exit_code == 1


def test_capital_letters_make_no_other_label_of_a_spreadsheet(tmp_path):
    tasks = [Task(candidate(), None), Task(candidate(name="b.txt"), None)]
    write_tasks(tmp_path / "t.csv", tasks, LABELS)
    done = fill_in(tmp_path / "t.csv", tmp_path / "ann.csv", "Threat;DENIAL", "None")

    report = import_answers([done], tmp_path / "answers")

    assert (report.faults, report.by_label) == ((), {"threat": 1, "denial": 1})


def test_a_party_of_a_label_in_capital_letters_is_read(tmp_path):
    path = sheet(tmp_path / "t.csv", "text,labels,source_threat", f"{TEXT},Threat,Iran's navy")

    (one,) = read_answers([path], ["threat"]).answers

    assert one.sentence.stances == (AnnotatedStance("threat", "Iran's navy"),)


def test_without_its_columns_the_design_in_the_folder_says_what_was_asked_for(tmp_path):
    parties = [f"{role}_{label}" for label in LABELS for role in ("source", "target")]
    done = fill_in(blind_sample(tmp_path), tmp_path / "ann.csv", "Threat", "treat", without=parties)

    report = import_answers([done], tmp_path / "answers")

    assert [fault.line for fault in report.faults] == [3]
    assert report.by_label == {"threat": 1, "denial": 0}


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_the_labels_beside_tasks_say_what_was_asked_for_whatever_the_export_is_called(tmp_path, suffix):
    tasks = [Task(candidate(suggestions=SUGGESTED), SUGGESTED)]
    write_tasks(tmp_path / f"t{suffix}", tasks, LABELS)
    done = accept(tmp_path / f"t{suffix}")
    done.write_text(done.read_text(encoding="utf-8").replace('"denial"', '"refusal"'), encoding="utf-8")

    report = import_answers([done], tmp_path / "answers")

    assert "the label 'refusal' is not one of threat, denial" in report.faults[0].what
    assert report.sentences == 0


def test_a_design_of_other_sentences_says_nothing_of_these(tmp_path):
    blind_sample(tmp_path)
    key = sentence_key("a.txt", TEXT)

    report = import_answers(
        [sheet(tmp_path / "own.csv", "key,document,text,labels", f"{key},a.txt,{TEXT},demand")],
        tmp_path / "answers",
    )

    assert (report.faults, report.by_label) == ((), {"demand": 1})
    assert ["nothing says which labels there are" in one.what for one in report.warnings] == [True]


def test_labels_that_are_given_go_before_those_that_were_asked_for(tmp_path):
    done = fill_in(blind_sample(tmp_path), tmp_path / "ann.csv", "demand", "threat")

    report = import_answers([done], tmp_path / "answers", labels=["demand"])

    assert [fault.line for fault in report.faults] == [3]
    assert report.by_label == {"demand": 1}


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_a_sample_that_nobody_filled_in_is_not_imported(tmp_path, suffix):
    result = run("import", blind_sample(tmp_path, suffix), "--into", tmp_path / "answers")

    assert result.exit_code == 2
    assert "none of 5 sentences has an answer" in " ".join(result.output.split())
    assert not (tmp_path / "answers").exists()


def test_one_copy_that_nobody_filled_in_is_pointed_out(tmp_path):
    tasks = blind_sample(tmp_path)
    done = fill_in(tasks, tmp_path / "ann.csv", "threat", "none", "none", "none", "none")

    report = import_answers([done, tasks], tmp_path / "answers")

    assert [(one.file, one.what) for one in report.warnings] == [
        (str(tasks), "no sentence of this file has an answer")
    ]


def test_each_kind_of_tasks_names_the_page_that_says_how_to_go_on(tmp_path):
    scores = many(tmp_path / "s.jsonl", 4)

    drawn = run("review", scores, "--random", 5, "--out", tmp_path / "a.csv")
    chosen = run("review", scores, "--uncertain", 2, "--out", tmp_path / "b.csv")

    assert "docs/validation.md says how to go on" in drawn.output
    assert "docs/review.md says how to go on" in chosen.output


# Agreement


def answer(annotator, *labels, text="He said so."):
    return Answer(text, annotator, AnnotatedSentence(text, tuple(map(AnnotatedStance, labels))))


def test_kappa_is_cohens():
    # https://en.wikipedia.org/wiki/Cohen%27s_kappa#Simple_example
    assert cohens_kappa(20, 5, 10, 15) == pytest.approx(0.4)


def test_two_people_are_compared_on_what_both_annotated():
    said = [answer("ann", "threat", text="1"), answer("bob", text="1"), answer("ann", text="2")]
    said += [answer("bob", "threat", text="3"), answer("ann", "threat", text="3")]

    (pair,) = compare_annotators(said, ["threat"])

    assert (pair.first, pair.second, pair.sentences) == ("ann", "bob", 2)
    row = pair.labels[0]
    assert (row.both, row.only_first, row.only_second, row.neither) == (1, 1, 0, 0)
    assert row.kappa == pytest.approx(0)


def test_the_majority_counts_and_a_tie_is_left_out_unless_somebody_decides():
    three = [answer("a", "threat"), answer("b", "threat", "denial"), answer("c")]
    two = [answer("a", "threat", text="T."), answer("b", text="T.")]

    merged, decided = merge_answers([*three, *two]), merge_answers([*three, *two], "b")

    assert [one.labels for one in merged.sentences] == [{"threat"}]
    assert [difference.decided for difference in merged.differences] == [("threat",), None]
    assert [one.labels for one in decided.sentences] == [{"threat", "denial"}, frozenset()]


def test_the_later_answer_of_one_person_counts():
    assert merge_answers([answer("a", "threat"), answer("a")]).sentences[0].labels == frozenset()


# Import


def test_what_is_imported_is_a_corpus_with_who_and_whom(tmp_path):
    write_tasks(tmp_path / "t.json", [Task(candidate(suggestions=SUGGESTED), SUGGESTED)], LABELS)

    result = run("import", accept(tmp_path / "t.json"), "--into", tmp_path / "corpus" / "train")

    assert result.exit_code == 0
    (row,) = read_annotations(tmp_path / "corpus" / "train" / "done.jsonl")
    assert (row.text, row.doc, row.i, row.stances, row.extra) == (TEXT, "a.txt", None, READ, {})


def test_where_people_differ_it_is_shown_and_left_out(tmp_path):
    for name, label in (("ann", "threat"), ("bob", "none")):
        sheet(tmp_path / f"{name}.csv", "text,labels", "He said so.,denial", f"She warned.,{label}")

    files = (tmp_path / "ann.csv", tmp_path / "bob.csv")
    result = run("import", *files, "--into", tmp_path / "out")
    decided = run("import", *files, "--into", tmp_path / "other", "--final", "ann")

    assert (result.exit_code, decided.exit_code) == (1, 0)
    assert "1 sentences are left out because their annotators differ" in " ".join(result.output.split())
    assert "She warned." in result.output
    assert len(read_annotations(tmp_path / "out" / "ann.jsonl")) == 1
    assert len(read_annotations(tmp_path / "other" / "ann.jsonl")) == 2


def test_what_check_would_fault_is_left_out_and_named(tmp_path):
    corpus = tmp_path / "train"
    corpus.mkdir()
    (corpus / "old.jsonl").write_text('{"text": "Old one.", "labels": ["threat"]}\n', encoding="utf-8")
    path = sheet(
        tmp_path / "new.csv",
        "text,labels",
        "Old one.,none",
        "A \ufffd word.,threat",
        "Good one.,threat",
        "Bad.,treat",
    )

    report = import_answers([path], corpus, labels=["threat"])

    assert [row.text for row in read_annotations(corpus / "new.jsonl")] == ["Good one."]
    said = " ".join(fault.what for fault in report.faults)
    assert "with other labels: threat there, none here" in said
    assert "a replacement character" in said
    assert "the label 'treat' is not one of threat" in said


def test_a_label_that_is_new_in_the_corpus_is_worth_a_look(tmp_path):
    (tmp_path / "old.csv").write_text("text,labels\nOld one.,threat\n", encoding="utf-8")
    (tmp_path / "in").mkdir()

    report = import_answers([sheet(tmp_path / "in" / "new.csv", "text,labels", "New one.,treat")], tmp_path)

    assert [warning.what for warning in report.warnings] == [
        "the label 'treat' is new in this corpus: did you mean threat?"
    ]


def test_a_sentence_that_is_there_already_is_not_imported_again(tmp_path):
    path = sheet(tmp_path / "new.csv", "text,labels", "One.,threat", "Two.,none")
    import_answers([path], tmp_path / "train" / "first.jsonl")

    report = import_answers([path], tmp_path / "train" / "second.jsonl")

    assert (report.sentences, report.repeated, report.out) == (0, 2, None)


def test_an_import_does_not_write_over_what_is_there_or_what_it_reads(tmp_path):
    path = sheet(tmp_path / "new.csv", "text,labels", "One.,threat")
    import_answers([path], tmp_path / "train")
    own = tmp_path / "own.jsonl"
    own.write_text('{"text": "x", "label": []}\n', encoding="utf-8")

    with pytest.raises(StancewireError, match="already there"):
        import_answers([path], tmp_path / "train")
    with pytest.raises(StancewireError, match="is what is read"):
        import_answers([own], tmp_path, overwrite=True)
