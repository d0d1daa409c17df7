from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from importlib.resources import files
from itertools import chain
from pathlib import Path

import pytest
from conftest import ROOT

import stancewire

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = [*(ROOT / "inference").rglob("*.py"), *(ROOT / "training").rglob("*.py")]


def test_the_packages_listed_are_those_in_the_folders():
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])

    found = {
        ".".join(path.parent.relative_to(root).parts)
        for root in (ROOT / "inference", ROOT / "training")
        for path in root.rglob("__init__.py")
    }

    assert listed == found | {"stancewire.models", "stancewire.configs"}


def test_models_and_configs_are_reached_as_resources():
    assert files("stancewire.models").joinpath("stance-small", "model.onnx").is_file()
    assert files("stancewire.configs").joinpath("stance-small.yaml").is_file()


def test_the_version_is_said_once():
    assert version("stancewire") == stancewire.__version__


def test_what_users_install_has_no_torch():
    names = {re.split(r"[<>=!~\[ ;]", entry)[0] for entry in PYPROJECT["project"]["dependencies"]}

    assert not names & {
        "torch",
        "transformers",
        "datasets",
        "evaluate",
        "accelerate",
        "scikit-learn",
        "pandas",
    }


def test_every_dependency_is_pinned_for_ci():
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[<>=!~\[ ;]", entry)[0].lower() for entry in wanted} - {"stancewire"}

    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }

    assert names <= pinned


def test_no_code_names_the_labels():
    stances = re.compile(r"\b(threat|reassurance|accusation|denial)s?\b", re.IGNORECASE)
    # The package says what it is for in its first lines; nothing else may.
    named = {
        f"{path.name}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if stances.search(line)
    }

    assert named == set()


def test_nothing_users_install_imports_what_only_training_needs():
    heavy = re.compile(
        r"^\s*(?:import|from) (torch|transformers|datasets|evaluate|sklearn|yaml|pydantic)\b", re.M
    )
    importing = {
        (path.parent.name, library)
        for path in (ROOT / "inference").rglob("*.py")
        for library in heavy.findall(path.read_text(encoding="utf-8"))
    }

    # The server has it from FastAPI, by an extra of its own.
    assert importing <= {("server", "pydantic")}


@pytest.mark.slow
def test_a_wheel_holds_the_packages_the_model_and_the_configs(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            tmp_path,
            ROOT,
        ],
        check=True,
    )

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "stancewire/cli.py",
        "stancewire/commands/scoring.py",
        "stancewire/py.typed",
        "stancewire/report/page.css",
        "stancewire/report/page.html",
        "stancewire/report/page.js",
        "stancewire/report/page.articles.html",
        "stancewire/server/page.css",
        "stancewire/server/page.html",
        "stancewire/server/page.js",
        "stancewire/server/icon.svg",
        "stancewire_training/trainer.py",
        "stancewire/models/stance-small/model.onnx",
        "stancewire/configs/stance-small.yaml",
        "stancewire/configs/keywords.yaml",
    ):
        assert name in names
    assert not [name for name in names if "/test" in name or name.endswith(".pyc")]


def test_no_document_or_source_names_a_machine():
    place = re.compile(r"(/work/|/root/|/home/\w+/|/tmp/\w)")
    texts = [p for p in ROOT.rglob("*.md") if ".venv" not in str(p) and "runs" not in p.parts]
    texts += [*SOURCES, *ROOT.glob("configs/*.yaml"), *ROOT.glob("models/*/stance.json")]

    assert [str(p.relative_to(ROOT)) for p in texts if place.search(p.read_text(encoding="utf-8"))] == []


def test_the_paths_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]

    assert [target for target in linked if not Path(ROOT / target).exists()] == []
