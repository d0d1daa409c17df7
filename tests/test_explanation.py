from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from handmade import LABELS, WORDS, make_graph, write_folder
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from typer.testing import CliRunner

from stancewire import StanceClassifier
from stancewire.classifier import StanceClassifier as Classifier
from stancewire.cli import app
from stancewire.embedding import find_embedding
from stancewire.errors import StancewireError
from stancewire.explanation import MOST_PARTS, Explainer
from stancewire.explanation_view import explanation_view
from stancewire.neighbours import NEIGHBOURS, build_index, read_index, read_train_split
from stancewire.onnx_reader import check_graph, read_nodes, with_output

WIDTH = 6
ROWS = [
    {"text": "the minister warns.", "labels": ["warm"]},
    {"text": "deny deny deny.", "labels": ["cold"]},
    {"text": "the the the minister", "labels": []},
]


def linear_graph(bias: float = 0.0):
    """A graph whose last layer is linear on the mean of the tokens: 'warn' is warm, 'deny' is cold."""
    table = np.random.default_rng(1).normal(scale=0.01, size=(len(WORDS), WIDTH)).astype(np.float32)
    table[WORDS.index("warn"), 0] = table[WORDS.index("deny"), 1] = 9
    weights = np.zeros((WIDTH, len(LABELS)), dtype=np.float32)
    weights[0, 0] = weights[1, 1] = 2
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    tensors = {"table": table, "weights": weights, "bias": np.full(len(LABELS), bias, np.float32)}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", linear_graph(bias=-2))


@pytest.fixture
def model(folder: Path) -> Classifier:
    return StanceClassifier.load(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus" / "train.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (path.parent / "test.jsonl").write_text('{"text": "not this", "labels": []}\n', encoding="utf-8")
    return path.parent


@pytest.fixture
def index(model: Classifier, corpus: Path, tmp_path: Path) -> Path:
    return build_index(model, corpus, tmp_path / "index.parquet").out


def run(*arguments: object, given: str | None = None):
    return CliRunner().invoke(app, list(map(str, arguments)), input=given)


# Words


def test_the_word_that_carries_a_label_weighs_most(model):
    explanation = model.explain("the minister warns.")

    assert explanation.labels == ("warm",)
    assert [word.text for word in explanation.words] == ["the", "minister", "warns"]
    assert max(explanation.words, key=lambda word: word.weights["warm"]).text == "warns"


def test_the_probability_without_a_word_is_that_of_the_sentence_without_it(model):
    explanation = model.explain("the minister warns.")

    assert explanation.words[2].without == dict(model.predict("the minister .").probabilities)
    assert explanation.prediction == model.predict("the minister warns.")


def test_a_word_stands_in_the_sentence_at_its_offsets(model):
    text = "  the U.S.\n minister\u2019s co-operation, don't  "

    words = model.explain(text).words

    assert [text[word.start : word.end] for word in words] == [word.text for word in words]
    assert [word.text for word in words] == ["the", "U.S", "minister\u2019s", "co-operation", "don't"]


def test_two_words_that_say_the_same_are_decisive_together(model):
    explanation = model.explain("warn warn")

    assert explanation.decisive["warm"].words == (0, 1)
    assert explanation.decisive["warm"].probability < 0.5


def test_a_label_that_no_words_take_away_has_nothing_decisive(tmp_path):
    always = StanceClassifier.load(write_folder(tmp_path / "model", linear_graph(bias=5)))

    assert always.explain("the minister").decisive == {}


def test_where_no_label_holds_the_likeliest_is_explained(model):
    explanation = model.explain("the minister")

    assert explanation.prediction.stances == ()
    assert len(explanation.labels) == 1


@pytest.mark.parametrize("text", ["", " \n", "...", "\ud800"])
def test_a_sentence_without_words_is_explained_with_none(model, text):
    assert model.explain(text).words == ()


def test_a_very_long_sentence_has_bounded_parts_that_hold_all_its_words(model):
    text = " ".join(["the", "minister", "warns"] * 500)

    words = model.explain(text).words

    assert len(words) <= MOST_PARTS
    assert " ".join(word.text for word in words) == text


def test_the_pieces_that_are_marked_join_to_the_sentence(model):
    text = "  the minister\twarns deny. "

    pieces = model.explain(text).marked("warm")

    assert "".join(piece for piece, _ in pieces) == text
    assert dict(pieces)["warns"] == 3
    assert all(-3 <= shade <= 3 for _, shade in pieces)


def test_an_explanation_does_not_depend_on_the_number_of_threads(folder):
    one, many = (StanceClassifier.load(folder, threads=threads) for threads in (1, 4))

    assert one.explain("the minister warns") == many.explain("the minister warns")


# The vectors that the last layer reads


def test_the_last_layers_input_is_found_in_the_graph():
    content = linear_graph().SerializeToString()

    assert find_embedding(read_nodes(content, "it")) == "mean"


def test_behind_a_quantized_last_layer_the_float_tensor_is_found():
    nodes = [
        helper.make_node("ReduceMean", ["rows"], ["mean"]),
        helper.make_node("DynamicQuantizeLinear", ["mean"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "weights"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["cast"], to=1),
        helper.make_node("Mul", ["cast", "scale"], ["logits"]),
        helper.make_node("MatMul", ["rows", "span_weights"], ["spans"]),
    ]
    graph = helper.make_model(helper.make_graph(nodes, "q", [], []))

    assert find_embedding(read_nodes(graph.SerializeToString(), "it")) == "mean"


def test_a_graph_without_a_linear_layer_is_known_by_its_logits(tmp_path):
    bare = StanceClassifier.load(write_folder(tmp_path / "model", make_graph()))

    vectors = bare.embed(["deny", "warn"])

    assert vectors.shape == (2, len(LABELS))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)


def test_an_output_put_behind_the_file_is_the_last_and_passes_the_check():
    onnx = pytest.importorskip("onnx")
    content = with_output(linear_graph().SerializeToString(), "mean")

    outputs = [output.name for output in onnx.load_from_string(content).graph.output]

    assert outputs == ["logits", "mean"]
    assert check_graph(content, "it") == check_graph(linear_graph().SerializeToString(), "it")


def test_a_long_name_of_a_tensor_is_encoded_right():
    onnx = pytest.importorskip("onnx")
    name = "/model/" + "layer/" * 60

    content = with_output(linear_graph().SerializeToString(), name)

    assert onnx.load_from_string(content).graph.output[-1].name == name


def test_a_tensor_that_is_no_vector_is_refused_with_a_sentence(tmp_path):
    graph = linear_graph()
    infinite = numpy_helper.from_array(np.full((len(WORDS), WIDTH), np.inf, np.float32), "table")
    graph.graph.initializer[0].CopyFrom(infinite)
    broken = StanceClassifier.load(write_folder(tmp_path / "model", graph))

    with pytest.raises(StancewireError, match="no vectors of finite figures"):
        broken.embed(["deny"])


def test_one_more_output_leaves_logits_and_spans_bit_for_bit(tiny_model):
    from stancewire.runtime import open_graph

    content = (tiny_model / "model.onnx").read_bytes()
    tensor = find_embedding(read_nodes(content, "it"))
    plain, more = open_graph(content, "it"), open_graph(with_output(content, tensor), "it")
    ids = {"input_ids": np.arange(5, 45, dtype=np.int64)[None]}

    before, after = plain.run(None, ids), more.run(None, ids)

    assert [output.tobytes() for output in after[: len(before)]] == [output.tobytes() for output in before]
    assert after[-1].shape == (1, 32)


def test_vectors_are_the_same_in_any_company(tiny_model):
    classifier = StanceClassifier.load(tiny_model)
    texts = ["They will strike.", "No.", "word " * 200]

    together = classifier.embed(texts)

    assert all(
        np.array_equal(classifier.embed([text])[0], row) for text, row in zip(texts, together, strict=True)
    )


# Neighbours


def test_the_nearest_sentence_is_the_one_that_the_model_reads_alike(model, index):
    explanation = model.explain("deny the minister", neighbours=2, index=index)

    nearest = explanation.neighbours[0]
    assert (nearest.text, nearest.labels, nearest.source) == ("deny deny deny.", ("cold",), "train.jsonl:2")
    assert explanation.neighbours[0].similarity > explanation.neighbours[1].similarity
    assert explanation.corpus == "corpus"


def test_a_sentence_of_the_corpus_is_its_own_neighbour(model, index):
    explanations = [model.explain(row["text"], neighbours=1, index=index) for row in ROWS]

    assert [entry.neighbours[0].text for entry in explanations] == [row["text"] for row in ROWS]
    assert [entry.neighbours[0].similarity for entry in explanations] == pytest.approx([1, 1, 1], abs=1e-3)


def test_without_an_index_there_are_no_neighbours(model):
    assert model.explain("deny").neighbours is None


def test_only_the_train_split_is_indexed_and_each_text_once(model, corpus, tmp_path):
    with (corpus / "train.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"text": "the  minister warns.", "labels": ["cold"]}\n')

    report = build_index(model, corpus, tmp_path / "index.parquet")

    assert report.sentences == len(ROWS)
    assert model.explain("warns", neighbours=1, index=report.out).neighbours[0].labels == ("warm",)


def test_a_train_folder_and_a_single_file_are_read_too(corpus, tmp_path):
    (tmp_path / "other" / "train").mkdir(parents=True)
    (corpus / "train.jsonl").rename(tmp_path / "other" / "train" / "all.jsonl")

    from_folder = read_train_split(tmp_path / "other")
    from_file = read_train_split(tmp_path / "other" / "train" / "all.jsonl")

    assert from_folder == from_file
    assert len(from_file) == len(ROWS)


def test_an_index_in_the_model_folder_is_hashed_and_found(folder, corpus):
    before = StanceClassifier.load(folder)

    build_index(before, corpus)
    after = StanceClassifier.load(folder)

    assert NEIGHBOURS in after.manifest.files
    assert after.digest != before.digest
    assert after.explain("deny").neighbours[0].labels == ("cold",)
    build_index(after, corpus, overwrite=True)
    assert StanceClassifier.load(folder).digest == after.digest


def test_a_damaged_index_in_the_model_folder_is_noticed(folder, corpus):
    build_index(StanceClassifier.load(folder), corpus)
    content = bytearray((folder / NEIGHBOURS).read_bytes())
    content[20] ^= 1
    (folder / NEIGHBOURS).write_bytes(content)

    with pytest.raises(StancewireError, match="damaged"):
        StanceClassifier.load(folder)


def test_an_index_of_another_model_is_refused(index, tmp_path):
    other = StanceClassifier.load(write_folder(tmp_path / "other", make_graph()))

    with pytest.raises(StancewireError, match="was made with another model"):
        other.explain("deny", index=index)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_index_is_refused_with_a_sentence(tmp_path, content):
    path = tmp_path / "index.parquet"
    path.write_bytes(content)

    with pytest.raises(StancewireError, match="not an index"):
        read_index(path, "0")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["labels"]),
        lambda table: table.set_column(3, "vector", table["text"]),
        lambda table: table.set_column(1, "labels", table["text"]),
        lambda table: table.replace_schema_metadata({b"stancewire.neighbours": b"[1]"}),
        lambda table: table.replace_schema_metadata({b"stancewire.neighbours": b"{"}),
        lambda table: table.replace_schema_metadata({}),
    ],
)
def test_an_index_that_was_changed_is_refused_with_a_sentence(index, model, change):
    import pyarrow.parquet as pq

    pq.write_table(change(pq.read_table(index)), index)

    with pytest.raises(StancewireError, match="not an index"):
        model.explain("deny", index=index)


def test_an_index_with_vectors_of_another_width_is_refused(index, model):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(index)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1] * len(table) * 7, pa.int8()), 7)
    changed = table.set_column(table.schema.get_field_index("vector"), "vector", vectors)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), index)

    with pytest.raises(StancewireError, match="has vectors of 7 figures"):
        model.explain("deny", index=index)


def test_an_index_that_unpacks_to_more_than_an_index_has_is_refused(index, model, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(index)
    pq.write_table(pa.concat_tables([table.slice(0, 1)] * 20_000), index, compression="zstd")
    monkeypatch.setattr("stancewire.neighbours._MOST_BYTES", 5 * index.stat().st_size)

    with pytest.raises(StancewireError, match="it is no index"):
        model.explain("deny", index=index)


def test_an_index_is_not_overwritten_unasked(model, corpus, index):
    with pytest.raises(StancewireError, match="already there"):
        build_index(model, corpus, index)


def test_the_same_corpus_gives_the_same_bytes(model, corpus, index, tmp_path):
    again = build_index(model, corpus, tmp_path / "again.parquet").out

    assert again.read_bytes() == index.read_bytes()


# The command


def test_explain_prints_the_words_and_the_neighbours(folder, index):
    result = run("explain", "the minister warns.", "--model", folder, "--index", index)

    assert result.exit_code == 0
    assert "log-odds: warns" in result.stdout
    assert "without “warns” it does not hold" in result.stdout
    assert "train.jsonl:1" in result.stdout


def test_explain_takes_sentences_from_standard_input_and_prints_json(folder, index):
    result = run("explain", "--json", "--model", folder, "--index", index, given="warn\n\ndeny\n")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["warn", "deny"]
    assert lines[0]["method"] == "leave-one-out"
    assert lines[0]["words"][0].keys() == {"text", "start", "end", "weights", "without"}
    assert lines[0]["decisive"]["warm"]["words"] == ["warn"]
    assert lines[1]["neighbours"][0]["labels"] == ["cold"]


def test_explain_says_how_to_get_neighbours_where_there_is_no_index(folder):
    assert "stancewire index CORPUS" in run("explain", "deny", "--model", folder).stdout


def test_explain_refuses_a_label_that_the_model_has_not(folder):
    result = run("explain", "deny", "--label", "lukewarm", "--model", folder)

    assert result.exit_code == 2
    assert "the model has warm, cold" in result.stderr


def test_another_label_is_explained_on_demand(folder):
    result = run("explain", "the minister warns.", "--label", "cold", "--model", folder)

    assert "does not hold" in result.stdout
    assert "warm" not in result.stdout


def test_index_wants_to_know_where_it_goes(folder, corpus):
    result = run("index", corpus, "--model", folder)

    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_index_writes_what_explain_finds(folder, corpus):
    made = run("index", corpus, "--model", folder, "--store")
    told = run("explain", "deny", "--model", folder)

    assert made.exit_code == told.exit_code == 0
    assert "has 3 sentences" in made.stdout
    assert "deny deny deny." in told.stdout


def test_what_a_terminal_would_obey_is_not_printed(folder):
    text = "warn \x1b]0;title\x07 the \u202e minister"
    explanation = StanceClassifier.load(folder).explain(text)
    console = Console(record=True, width=100, force_terminal=True)

    result = run("explain", text, "--model", folder)

    console.print(explanation_view(explanation, explanation.labels))
    assert "\x1b]" not in result.stdout
    assert "\u202e" not in result.stdout


def test_an_explainer_reads_its_index_once(model, index, monkeypatch):
    import stancewire.explanation as module

    read = []
    monkeypatch.setattr(module, "read_index", lambda *given: read.append(given) or read_index(*given))
    explainer = Explainer(model, index)

    explainer.explain("deny")
    explainer.explain("warn")

    assert len(read) == 1


# The report


@pytest.fixture
def scores(folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "articles").mkdir()
    text = "The minister warns. Deny the minister. The minister, the minister."
    (tmp_path / "articles" / "a.txt").write_text(text, encoding="utf-8")
    model, out = StanceClassifier.load(folder), tmp_path / "scores.jsonl"
    model.score_folder(tmp_path / "articles", out, any_language=True)
    return out


def test_a_report_says_why_of_the_strongest_sentences(folder, index, scores, tmp_path):
    page = tmp_path / "report.html"

    result = run("report", scores, "--out", page, "--explain", 1, "--model", folder, "--index", index)

    html = page.read_text(encoding="utf-8")
    assert result.exit_code == 0
    assert html.count("<summary>Why</summary>") == 2
    assert '<span class="for3">warns</span>' in html
    assert "it would have" in html
    assert "train.jsonl:1" in html


def test_a_report_explains_nothing_unasked(scores, tmp_path):
    run("report", scores, "--out", tmp_path / "report.html")

    assert "<summary>Why</summary>" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_is_not_explained_by_another_model(scores, tmp_path):
    other = write_folder(tmp_path / "other", linear_graph(bias=-1))

    result = run("report", scores, "--out", tmp_path / "report.html", "--explain", 1, "--model", other)

    assert result.exit_code == 2
    assert "name the folder of the first with --model" in " ".join(result.stderr.split())
    assert not (tmp_path / "report.html").exists()
