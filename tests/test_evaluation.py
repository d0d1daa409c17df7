from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

from stancewire.annotations import AnnotatedSentence, AnnotatedStance, read_annotations
from stancewire.baselines import (
    BASELINES,
    SystemOutput,
    fingerprint,
    predict_none,
    read_baselines,
    store_baselines,
)
from stancewire.classifier import Stance
from stancewire.cli import app
from stancewire.errors import StancewireError
from stancewire.evaluation import document_clusters, evaluate
from stancewire.evaluation_tables import evaluation_table
from stancewire.manifest import MANIFEST, Manifest, read_manifest
from stancewire.spans import Span

LABELS = ("praise", "blame")


class WordClassifier:
    """A model that is sure of a label where its name stands in the sentence."""

    manifest = Manifest("word-spotter", LABELS, (0.6, 0.4), 128, {})
    labels = LABELS
    digest = "0" * 64

    def __init__(self) -> None:
        self.read: list[str] = []

    def probabilities(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        self.read += sentences
        return np.array(
            [[0.9 if label in text else 0.1 for label in LABELS] for text in sentences], np.float32
        )


@dataclass
class Said:
    """What is read of a prediction."""

    probabilities: dict[str, float]
    stances: tuple[Stance, ...]


class NamingClassifier(WordClassifier):
    """One that names the first word as the source, and nobody as the target."""

    def predict(self, texts: Sequence[str]) -> list[Said]:
        predictions = []
        for text, row in zip(texts, self.probabilities(texts).tolist(), strict=True):
            end = len(text.split()[0])
            source = Span(text[:end], 0, end, 0.7)
            stances = [
                Stance(label, probability, "span", source)
                for label, probability, threshold in zip(LABELS, row, self.manifest.thresholds, strict=True)
                if probability >= threshold
            ]
            predictions.append(Said(dict(zip(LABELS, row, strict=True)), tuple(stances)))
        return predictions


class OtherClassifier(WordClassifier):
    """One that knows more labels, in another order, and is never sure enough of blame."""

    manifest = Manifest("other", ("plea", "blame", "praise"), (0.5, 0.95, 0.5), 128, {})
    digest = "1" * 64

    def probabilities(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        praise, blame = super().probabilities(sentences).T
        return np.stack([np.zeros_like(praise), blame, praise], axis=1)


def sentence(text: str, *labels: str, doc: str | None = None) -> AnnotatedSentence:
    return AnnotatedSentence(
        text, tuple(AnnotatedStance(label) for label in labels), doc, None, {}, "own.jsonl", 7
    )


SENTENCES = [
    sentence("The mayor had words of praise for the divers.", "praise"),
    sentence("The divers put the blame on the mayor.", "blame"),
    sentence("The harbour master faulted the pilot.", "blame"),
    sentence("The ferry leaves at noon."),
    sentence("She blamed him, and had praise for the crew.", "praise", "blame"),
] * 20


def output(name: str, *, probable: bool = False) -> SystemOutput:
    generator = np.random.default_rng(3)
    probabilities = generator.random((len(SENTENCES), 2)).astype(np.float32)
    return SystemOutput(name, probabilities > 0.5, probabilities if probable else None)


def printed(evaluation: object, width: int = 100) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(evaluation)
    return console.export_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder that is whole as far as its manifest goes."""
    files = {}
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_text(name, encoding="utf-8")
        files[name] = hashlib.sha256(name.encode()).hexdigest()
    manifest = Manifest("word-spotter", LABELS, (0.6, 0.4), 128, files, {"seed": 1})
    (tmp_path / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return tmp_path


def test_a_model_is_measured_at_its_own_thresholds() -> None:
    evaluation = evaluate(WordClassifier(), SENTENCES)

    praise, blame = evaluation.metrics.labels
    assert (praise.label, praise.support, praise.f1.value) == ("praise", 40, 1.0)
    assert (blame.label, blame.support) == ("blame", 60)
    assert blame.recall.value == pytest.approx(2 / 3)
    assert evaluation.metrics.exact_match.value == pytest.approx(0.8)


def test_never_predicting_anything_is_always_among_the_baselines() -> None:
    evaluation = evaluate(WordClassifier(), SENTENCES, [output("coin"), predict_none(len(SENTENCES), 2)])

    assert [comparison.name for comparison in evaluation.comparisons] == ["none", "coin"]
    assert evaluation.comparisons[0].metrics.macro_f1.value == 0
    assert evaluation.comparisons[0].metrics.exact_match.value == pytest.approx(0.2)


def test_better_means_that_the_paired_interval_excludes_0() -> None:
    model = WordClassifier()
    itself = SystemOutput("itself", model.probabilities([row.text for row in SENTENCES]) > 0.5)

    evaluation = evaluate(model, SENTENCES, [output("coin"), itself])

    assert [comparison.model_is_better for comparison in evaluation.comparisons] == [True, True, False]
    assert evaluation.comparisons[1].difference.low > 0
    assert evaluation.comparisons[2].difference.value == 0


def test_a_wrapped_sentence_is_read_as_one_line() -> None:
    model = WordClassifier()

    evaluate(model, [sentence("The mayor\n  had words of praise.", "praise")])

    assert model.read == ["The mayor had words of praise."]


def test_progress_adds_up_to_the_sentences() -> None:
    told: list[int] = []

    evaluate(WordClassifier(), SENTENCES * 6, on_progress=told.append)

    assert len(told) > 1
    assert sum(told) == len(SENTENCES) * 6


def test_sentences_of_one_document_are_one_cluster_and_those_of_none_stand_alone() -> None:
    rows = [
        sentence("a", doc="x"),
        sentence("b"),
        sentence("c", doc="x"),
        sentence("d", doc="y"),
        sentence("e"),
    ]

    clusters = document_clusters(rows)

    assert len(set(clusters)) == 4
    assert clusters[0] == clusters[2]


def test_another_model_is_compared_label_by_label_on_the_same_resamples() -> None:
    evaluation = evaluate(WordClassifier(), SENTENCES, against=OtherClassifier())

    against = evaluation.against
    assert against is not None
    assert (against.model, against.digest) == ("other", "1" * 64)
    assert [row.label for row in against.metrics.labels] == ["praise", "blame"]
    praise, blame = against.differences.f1
    assert (praise.value, praise.low, praise.high) == (0, 0, 0)
    assert blame.low > 0
    assert blame.value == pytest.approx(evaluation.metrics.labels[1].f1.value)
    assert against.differences.macro_f1.value == pytest.approx(blame.value / 2)
    assert against.model_is_better


def test_a_model_against_itself_is_not_told_apart() -> None:
    evaluation = evaluate(WordClassifier(), SENTENCES, against=WordClassifier(), resamples=50)

    assert evaluation.against is not None
    assert evaluation.against.differences.macro_f1.high == 0
    assert not evaluation.against.model_is_better
    shown = printed(evaluation_table(evaluation))
    assert "against another model" in shown
    assert "not told apart" in shown
    assert "00000000" in shown


def test_a_model_of_other_labels_is_refused_before_anything_is_read() -> None:
    model, other = WordClassifier(), WordClassifier()
    other.manifest = Manifest("narrow", ("praise",), (0.5,), 128, {})

    with pytest.raises(StancewireError, match="narrow does not know blame, only praise"):
        evaluate(model, SENTENCES, against=other)

    assert model.read == []


def test_a_model_that_predicts_is_taken_at_its_word_and_read_once() -> None:
    model = NamingClassifier()
    rows = [
        AnnotatedSentence("Ankara had praise for us.", (AnnotatedStance("praise", "Ankara"),)),
        AnnotatedSentence(
            "They said: Ankara is to blame.", (AnnotatedStance("blame", None, None, "Ankara"),)
        ),
    ]

    evaluation = evaluate(model, rows, resamples=20)

    assert model.read == [row.text for row in rows]
    assert evaluation.spans is not None
    assert (evaluation.spans.model.source.annotated, evaluation.spans.model.source.predicted) == (1, 2)
    assert evaluation.spans.model.source.exact_f1.value == pytest.approx(2 / 3)
    assert evaluation.spans.model.target.exact_f1.value == 0
    assert evaluation.metrics.exact_match.value == 1


def test_a_model_without_spans_has_no_figures_of_them() -> None:
    assert evaluate(WordClassifier(), SENTENCES, resamples=5).spans is None


def test_groups_are_shown_on_request_and_all_of_them_are_in_the_document() -> None:
    rows = [
        AnnotatedSentence(row.text, row.stances, None, None, {"src": "ab"[number % 2]})
        for number, row in enumerate(SENTENCES)
    ]
    evaluation = evaluate(WordClassifier(), rows, resamples=20)

    shown = printed(evaluation_table(evaluation, by=["several", "src", "src"]))

    assert "by length" not in shown
    assert shown.count("by src") == 1
    assert shown.index("by several") < shown.index("by src")
    document = evaluation.to_dict()["groups"]
    assert list(document) == ["src", "length", "quote", "headline", "several"]
    assert document["several"]["several labels"]["sentences"] == 20
    assert document["src"]["a"]["labels"]["praise"]["f1"]["value"] == 1
    assert {"value", "low", "high"} == set(document["src"]["b"]["macro_f1"])


def test_without_a_request_no_further_table_is_shown() -> None:
    shown = printed(evaluation_table(evaluate(WordClassifier(), SENTENCES, resamples=20)))

    for heading in ("by ", "against", "surest", "who to whom", "as expected"):
        assert heading not in shown


def test_abstention_and_reliability_are_shown_on_request_and_always_in_the_document() -> None:
    evaluation = evaluate(WordClassifier(), SENTENCES, resamples=20)

    shown = printed(evaluation_table(evaluation, abstention=True, reliability=True))

    assert "100%" in shown
    assert "50%" in shown
    assert "as expected" in shown
    document = evaluation.to_dict()
    assert [row["coverage"] for row in document["abstention"]] == [1.0, 0.95, 0.9, 0.8, 0.7, 0.5]
    assert document["abstention"][0]["wrong"]["value"] == pytest.approx(0.2)
    assert document["reliability"]["praise"]["predictions"] == 40
    assert document["reliability"]["praise"]["expected"] == pytest.approx(0.9)
    assert document["reliability"]["praise"]["observed"] == 1
    assert document["reliability"]["praise"]["is_reliable"] is False


def test_the_document_with_everything_in_it_is_json() -> None:
    rows = [AnnotatedSentence("Ankara had praise.", (AnnotatedStance("praise", "Ankara"),))]
    evaluation = evaluate(NamingClassifier(), rows, against=OtherClassifier(), resamples=20)

    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))

    assert document["spans"]["source"]["exact_f1"]["value"] == 1
    assert document["spans"]["source_kind_accuracy"]["value"] == 1
    assert document["spans"]["baseline"]["source"]["overlap_f1"]["value"] == 1
    assert document["spans"]["labels"]["blame"]["stances"] == 0
    assert document["against"]["model"] == "other"
    assert document["against"]["macro_f1_difference"] == {"value": 0, "low": 0, "high": 0}
    assert document["against"]["f1_differences"]["blame"]["value"] is None
    assert document["reliability"]["blame"] == {
        "predictions": 0,
        "expected": None,
        "observed": None,
        "low": None,
        "high": None,
        "is_reliable": None,
    }


def test_every_table_fits_a_terminal_of_80_columns() -> None:
    rows = [
        AnnotatedSentence("Ankara had praise.", (AnnotatedStance("praise", "Ankara"),)),
        AnnotatedSentence("Ankara took the blame.", (AnnotatedStance("blame", "Ankara"),)),
    ] * 20
    evaluation = evaluate(NamingClassifier(), rows, against=OtherClassifier(), resamples=20)
    names = [grouping.name for grouping in evaluation.groups]

    shown = printed(evaluation_table(evaluation, by=names, abstention=True, reliability=True), width=80)

    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown


def test_labels_that_the_model_does_not_know_are_named_with_their_place() -> None:
    rows = [*SENTENCES, sentence("They begged.", "plea", "blame")]

    with pytest.raises(StancewireError, match=r"own\.jsonl, line 7.*\(plea\).*praise, blame"):
        evaluate(WordClassifier(), rows)


def test_data_without_sentences_is_refused() -> None:
    with pytest.raises(StancewireError, match="no annotated sentences"):
        evaluate(WordClassifier(), [])


def test_the_document_is_json_with_null_for_what_is_not_defined() -> None:
    evaluation = evaluate(WordClassifier(), [sentence("The divers earned praise.", "praise")], resamples=20)

    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))

    assert document["data"] == {"sha256": evaluation.fingerprint, "sentences": 1, "clusters": 1}
    assert document["labels"]["praise"]["f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert document["labels"]["blame"]["f1"] == {"value": None, "low": None, "high": None}
    assert document["baselines"]["none"]["model_is_better"] is True
    assert document["bootstrap"] == {"resamples": 20, "seed": 0, "interval": 0.95}
    assert document["thresholds"] == {"praise": 0.6, "blame": 0.4}


def test_the_table_shows_every_figure_with_its_interval_beside_the_baselines() -> None:
    shown = printed(evaluation_table(evaluate(WordClassifier(), SENTENCES, [output("coin")])))

    for heading in ("precision", "recall", "F1", "average", "Brier", "macro-F1", "micro-F1", "exact match"):
        assert heading in shown
    for system in ("word-spotter", "none", "coin"):
        assert system in shown
    assert "0.800" in shown
    assert "better" in shown
    assert "--baselines" not in shown


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    names = ("keywords", "TF-IDF", "frozen encoder")

    shown = printed(evaluation_table(evaluate(WordClassifier(), SENTENCES, [*map(output, names)])), width=80)

    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown


def test_the_table_says_in_one_line_that_no_figures_are_stored_for_other_data() -> None:
    shown = printed(evaluation_table(evaluate(WordClassifier(), SENTENCES, resamples=20)), width=200)

    assert "No other baseline's figures are stored for these sentences" in shown


def test_a_label_with_brackets_is_shown_as_it_is() -> None:
    model = WordClassifier()
    model.manifest = Manifest("[bold]", ("[red]praise[/red]", "blame"), (0.5, 0.5), 128, {})

    shown = printed(evaluation_table(evaluate(model, [sentence("The ferry leaves.")], resamples=5)))

    assert "F1 [red]praise[/red]" in shown
    assert "[bold]" in shown


def test_stored_baselines_come_back_bit_for_bit(folder: Path) -> None:
    outputs = [predict_none(len(SENTENCES), 2), output("coin"), output("likely coin", probable=True)]

    store_baselines(folder, LABELS, SENTENCES, outputs)
    none, coin, likely = read_baselines(folder, LABELS, SENTENCES)

    assert [none.name, coin.name, likely.name] == ["none", "coin", "likely coin"]
    assert (coin.decisions == outputs[1].decisions).all()
    assert coin.probabilities is None
    assert likely.probabilities == pytest.approx(outputs[2].probabilities, abs=5e-4)


def test_the_manifest_knows_the_stored_baselines_and_keeps_the_rest(folder: Path) -> None:
    before, _ = read_manifest(folder)

    store_baselines(folder, LABELS, SENTENCES, [output("coin")])

    after, _ = read_manifest(folder)
    assert set(after.files) == {*before.files, BASELINES}
    assert (after.name, after.thresholds, after.provenance) == (
        before.name,
        before.thresholds,
        before.provenance,
    )
    (folder / BASELINES).write_text("{}", encoding="utf-8")
    with pytest.raises(StancewireError, match="damaged"):
        read_manifest(folder)


def test_other_sentences_have_no_stored_baselines(folder: Path) -> None:
    store_baselines(folder, LABELS, SENTENCES, [output("coin")])

    assert read_baselines(folder, LABELS, SENTENCES[:-1]) == ()
    assert read_baselines(folder, LABELS, [*SENTENCES[:-1], sentence(SENTENCES[-1].text, "blame")]) == ()


def test_baselines_are_stored_for_several_sets_of_sentences_and_replaced_for_one(folder: Path) -> None:
    half = SENTENCES[:50]
    store_baselines(folder, LABELS, SENTENCES, [output("coin")])
    store_baselines(folder, LABELS, half, [predict_none(50, 2)])
    store_baselines(folder, LABELS, SENTENCES, [output("other coin")])

    assert [system.name for system in read_baselines(folder, LABELS, SENTENCES)] == ["other coin"]
    assert [system.name for system in read_baselines(folder, LABELS, half)] == ["none"]


def test_stored_columns_follow_the_order_of_the_labels_asked_for(folder: Path) -> None:
    store_baselines(folder, LABELS, SENTENCES, [output("coin", probable=True)])

    (turned,) = read_baselines(folder, LABELS[::-1], SENTENCES)

    assert (turned.decisions[:, 0] == output("coin").decisions[:, 1]).all()
    assert turned.probabilities is not None
    assert (turned.decisions == (turned.probabilities > 0.5)).all()


def test_a_folder_without_the_file_has_no_stored_baselines(folder: Path) -> None:
    assert read_baselines(folder, LABELS, SENTENCES) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": 3}', '{"format": 1, "data": [3]}', "\x00"])
def test_a_file_that_holds_no_baselines_is_refused_with_its_name(folder: Path, text: str) -> None:
    (folder / BASELINES).write_text(text, encoding="utf-8")

    with pytest.raises(StancewireError, match=BASELINES):
        read_baselines(folder, LABELS, SENTENCES)


@pytest.mark.parametrize(
    "damage", [{"decisions": "AAAA"}, {"decisions": "?"}, {"decisions": None}, {"name": 3}]
)
def test_a_damaged_entry_is_refused(folder: Path, damage: dict) -> None:
    store_baselines(folder, LABELS, SENTENCES, [output("coin", probable=True)])
    stored = json.loads((folder / BASELINES).read_text(encoding="utf-8"))
    stored["data"][0]["systems"][0] |= damage | {"probabilities": "AAAA"}
    (folder / BASELINES).write_text(json.dumps(stored), encoding="utf-8")

    with pytest.raises(StancewireError, match="fresh copy"):
        read_baselines(folder, LABELS, SENTENCES)


def test_a_newer_format_says_to_upgrade(folder: Path) -> None:
    (folder / BASELINES).write_text('{"format": 9, "data": []}', encoding="utf-8")

    with pytest.raises(StancewireError, match="upgrade"):
        read_baselines(folder, LABELS, SENTENCES)


def test_the_fingerprint_follows_texts_labels_and_order_and_nothing_else() -> None:
    one = [sentence("A", "blame", "praise"), sentence("B")]
    same = [sentence("A", "praise", "blame", "blame", doc="x"), sentence("B", doc="x")]

    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one) != fingerprint(one[::-1])
    assert fingerprint(one) != fingerprint([sentence("A", "blame"), sentence("B")])
    assert fingerprint([sentence("\ud800")]) != fingerprint([sentence("?")])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path):
    """The command on two documents, with made-up models in place of folders."""
    models = {str(folder): NamingClassifier(), "other": OtherClassifier()}
    monkeypatch.setattr(
        "stancewire.commands.measuring.load_classifier", lambda model, *_, **__: models[model]
    )
    monkeypatch.setenv("COLUMNS", "100")
    rows = [
        {"text": "Ankara had praise for us.", "stances": [{"label": "praise", "source": "Ankara"}]},
        {"text": "Athens took the blame.", "stances": []},
    ]
    data = tmp_path / "own.jsonl"
    lines = (
        json.dumps(row | {"doc": f"d{number}", "i": 0, "src": "wire"}) for number, row in enumerate(rows)
    )
    data.write_text("\n".join(lines), encoding="utf-8")

    def invoke(*arguments: object):
        return CliRunner().invoke(app, ["evaluate", str(data), "--model", str(folder), *map(str, arguments)])

    return invoke


def test_the_command_shows_the_overall_figures_and_on_request_groups_and_more(run) -> None:
    plain, more = run(), run("--by", "src", "--by", "headline", "--abstention", "--against", "other")

    assert plain.exit_code == more.exit_code == 0, more.output
    assert "who to whom" in plain.stdout
    for heading in ("by src", "by headline", "the surest sentences alone", "against another model"):
        assert heading not in plain.stdout
        assert heading in more.stdout


def test_the_command_writes_plots_and_the_page_of_errors_and_says_where(run, tmp_path: Path) -> None:
    result = run("--plots", tmp_path / "plots", "--errors", tmp_path / "new" / "errors.html")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "plots" / "reliability-praise.svg").is_file()
    assert "Athens took the blame." in (tmp_path / "new" / "errors.html").read_text(encoding="utf-8")
    assert "3 pictures are in" in result.stdout
    assert "predictions of 0.2 and more" in result.stdout


def test_with_json_there_is_nothing_but_one_document_on_standard_output(run, tmp_path: Path) -> None:
    result = run(
        "--json", "--plots", tmp_path / "plots", "--errors", tmp_path / "e.html", "--against", "other"
    )

    document = json.loads(result.stdout)
    assert {"groups", "against", "reliability", "abstention", "spans"} <= set(document)
    assert set(document["groups"]) == {"src", "length", "quote", "headline", "several"}
    assert "e.html" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--errors", "own.jsonl"), "should end in .html"),
        (("--errors", "folder.html"), "is a folder"),
        (("--plots", "file"), "is a file"),
        (("--by", "planet"), "--by planet"),
    ],
)
def test_what_cannot_be_written_or_grouped_is_refused_before_anything_is_read(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(WordClassifier, "probabilities", None)

    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_of_annotated_sentences_is_evaluated_from_end_to_end(classifier, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = [
        {"text": "The quarry owner denied that the blasting had cracked the chapel.", "labels": ["denial"]},
        {"text": "The quarry opens at seven.", "labels": []},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    evaluation = evaluate(classifier, read_annotations(path))

    assert evaluation.model == classifier.manifest.name
    assert evaluation.digest == classifier.digest
    assert [row.label for row in evaluation.metrics.labels] == list(classifier.labels)
    assert evaluation.metrics.sentences == 2
