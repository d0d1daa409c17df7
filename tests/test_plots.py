from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from stancewire.annotations import AnnotatedSentence, AnnotatedStance
from stancewire.errors import StancewireError
from stancewire.evaluation import Evaluation, evaluate
from stancewire.manifest import Manifest
from stancewire.metrics import Figure
from stancewire.plots import draw_precision_recall, draw_reliability, write_plots
from stancewire.reliability import ReliabilityBin
from stancewire.writing import write_text

NOTHING = Figure(0.5, float("nan"), float("nan"))


class Coin:
    """A model whose probabilities are right."""

    digest = "0" * 64

    def __init__(self, labels: Sequence[str]) -> None:
        self.manifest = Manifest("coin", tuple(labels), (0.5,) * len(labels), 128, {})

    def probabilities(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        generator = np.random.default_rng(1)
        return generator.random((len(sentences), len(self.manifest.labels))).astype(np.float32)


def evaluated(*labels: str, held: Sequence[str] = ("praise",), count: int = 120) -> Evaluation:
    rows = [
        AnnotatedSentence(str(number), tuple(AnnotatedStance(label) for label in held if number % 3 == 0))
        for number in range(count)
    ]
    return evaluate(Coin(labels), rows, resamples=5)


def dots(picture: str) -> int:
    return len(re.findall(r"<circle", picture))


def test_each_label_has_its_pictures(tmp_path: Path):
    written = write_plots(evaluated("praise", "blame", held=("praise", "blame")), tmp_path / "new" / "folder")

    assert [path.name for path in written] == [
        "reliability-praise.svg",
        "precision-recall-praise.svg",
        "reliability-blame.svg",
        "precision-recall-blame.svg",
    ]
    assert sorted(written) == sorted((tmp_path / "new" / "folder").iterdir())


def test_a_label_that_no_sentence_holds_has_no_precision_recall_curve(tmp_path: Path):
    written = write_plots(evaluated("praise", "blame"), tmp_path)

    assert [path.name for path in written][2:] == ["reliability-blame.svg"]


def test_pictures_need_nothing_else_and_are_the_same_each_time(tmp_path: Path):
    evaluation = evaluated("praise")

    first = [path.read_bytes() for path in write_plots(evaluation, tmp_path)]
    second = [path.read_bytes() for path in write_plots(evaluation, tmp_path)]

    assert first == second
    for picture in first:
        root = ElementTree.fromstring(picture)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [node for node in root.iter() if "script" in str(node.tag)]
        assert re.findall(rb"https?://[^\"]*", picture) == [b"http://www.w3.org/2000/svg"]
        assert b"url(" not in picture


def test_labels_may_have_any_characters(tmp_path: Path):
    labels = ("a/../b", "A-B", "a b", "<&>", "\u00e9loge", "\x1b")

    written = write_plots(evaluated(*labels, held=labels), tmp_path)

    names = [path.name for path in written if path.name.startswith("reliability")]
    assert names == [f"reliability-{name}.svg" for name in ("a-b", "A-B-2", "a-b-3", "4", "\u00e9loge", "6")]
    assert all(path.parent == tmp_path and ElementTree.parse(path) for path in written)
    assert "&lt;&amp;&gt;" in written[6].read_text(encoding="utf-8")


def test_a_reliability_diagram_has_a_dot_a_bin():
    bins = [ReliabilityBin(90, 0.01, 0.0, 0.0, 0.04), ReliabilityBin(10, 0.6, 0.5, 0.24, 0.76)]

    assert dots(draw_reliability("praise", bins)) == 2


def test_a_precision_recall_curve_has_the_threshold_as_its_dot():
    curve = [(0.2, 0.5, 1.0), (0.8, 1.0, 0.5)]

    picture = draw_precision_recall("praise", curve, Figure(0.75, 0.7, 0.8), (0.5, 1.0), 0.3)

    assert dots(picture) == 1
    assert "praise: average precision 0.750 (0.700 to 0.800)" in picture


def test_a_label_that_is_never_said_to_hold_has_no_dot():
    picture = draw_precision_recall("praise", [(0.2, 0.5, 1.0)], NOTHING, (0.0, float("nan")), 0.3)

    assert dots(picture) == 0
    assert "nan" not in picture


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(StancewireError, match=r"file.*cannot be written"):
        write_plots(evaluated("praise"), tmp_path / "file")


def test_a_text_replaces_the_one_before_and_leaves_nothing_beside(tmp_path: Path):
    write_text(tmp_path / "a.html", "one")
    write_text(tmp_path / "a.html", "t\u00fc\ud800")

    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    assert (tmp_path / "a.html").read_bytes() == b"t\xc3\xbc?"


def test_a_text_that_cannot_be_put_in_place_leaves_nothing_beside(tmp_path: Path):
    (tmp_path / "a.html").mkdir()

    with pytest.raises(StancewireError, match="cannot be written"):
        write_text(tmp_path / "a.html", "one")

    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
