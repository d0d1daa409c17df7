"""The page that is served: the report's look, its script and its filters around what is pasted in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from stancewire import __version__
from stancewire.classifier import StanceClassifier
from stancewire.report.charts import COLOURS
from stancewire.report.page import make_environment


def render_page(classifier: StanceClassifier, about: Mapping[str, Any]) -> str:
    """Make the HTML of the page; `about` is what `GET /model` answers. It holds no script and no style."""
    template = files("stancewire.server").joinpath("page.html").read_text(encoding="utf-8")
    positions = {label: position for position, label in enumerate(classifier.labels)}
    settings = {
        "labels": classifier.labels,
        "thresholds": list(classifier.thresholds.values()),
        "colours": [position % COLOURS for position in range(len(positions))],
        "documents": 0,
        "limits": about["limits"],
    }
    return (
        make_environment()
        .from_string(template)
        .render(
            about=about,
            colour=lambda label: positions[label] % COLOURS,
            labels=classifier.labels,
            names_parties=True,
            settings=settings,
            # The script knows who is named when articles have come.
            sides=[("source", ()), ("target", ())],
            timeline=None,
            version=__version__,
        )
    )
