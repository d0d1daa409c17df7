"""The documents are true: their commands run, their links lead somewhere, their options exist."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from conftest import ROOT, SEEDS, seed_rows, write_corpus
from documented import PORT_TAKEN

from stancewire import __version__
from stancewire.cli import app

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(
        [
            *ROOT.glob("*.md"),
            *ROOT.glob("docs/*.md"),
            *ROOT.glob("models/*/*.md"),
            *(ROOT / "seeds").glob("*.md"),
            ROOT / "examples" / "README.md",
            ROOT / "inference" / "stancewire" / "data" / "README.md",
        ]
    )
}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LANGUAGES = ("sh", "bash", "console", "python", "r")
BLOCK = re.compile(
    r"^(?P<mark><!-- not run: (?P<why>.+?) -->\n+)?```(?P<tag>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)
NOT_RUN = {"SECURITY.md": 1, "docs/cluster.md": 3, "docs/events.md": 1, "docs/output.md": 2}
"""How many blocks of a page are marked `<!-- not run: reason -->`: what needs R, or what nobody here has."""

GIVEN = {
    "docs/compare.md": (
        "monday.jsonl",
        "tuesday.jsonl",
        "scores.parquet",
        "old-model.jsonl",
        "new-model.jsonl",
    ),
    "docs/events.md": ("scores.jsonl", "scores.parquet"),
    "docs/explain.md": ("scores.jsonl",),
}
"""Scores that a page takes for written before it begins."""

OPTIONAL = ("duckdb", "pandas", "polars")
"""What an example reads an output with; where it is not installed the example is left out."""


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    tag: str
    body: str
    why_not: str | None


BLOCKS = [
    Block(page, text.count("\n", 0, found.start("body")) + 1, found["tag"], found["body"], found["why"])
    for page, text in PAGES.items()
    for found in BLOCK.finditer(text)
]
RUN = [block for block in BLOCKS if block.tag in LANGUAGES and block.why_not is None]


def spans(text: str) -> list[str]:
    """Give what stands in backticks within running text, in one line each."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower().strip() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_of_a_page_lead_somewhere(page):
    lost = []
    for target in re.findall(r"\]\(([^()\s]+)\)", BLOCK.sub("", PAGES[page])):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        there = (ROOT / page).parent / path if path else ROOT / page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            lost.append(target)

    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_running_text_exist(page):
    options = {option for command in COMMANDS.values() for one in command.params for option in one.opts}
    scripts = "".join(
        path.read_text("utf-8")
        for folder in ("benchmarks", "tools", "tests")
        for path in (ROOT / folder).rglob("*.py")
    )
    unknown = []
    for span in spans(PAGES[page]):
        words = span.split()
        asked = {word.split("=")[0] for word in words if re.match(r"--\w", word)}
        if words[:1] == ["stancewire"] and re.fullmatch(r"[a-z]+", words[1] if len(words) > 1 else ""):
            command = COMMANDS.get(words[1])
            known = set() if command is None else {o for one in command.params for o in one.opts} | {"--help"}
            unknown += [span] if command is None or not asked <= known else []
        elif words and words[0].startswith("--"):
            unknown += [word for word in asked if word not in options and word not in scripts]
        elif words[:1] == ["make"]:
            target = f"\n{words[1]}:" if len(words) > 1 else ""
            unknown += [span] if target not in (ROOT / "Makefile").read_text(encoding="utf-8") else []
        elif words[:1] == ["python"] and words[1].endswith(".py"):
            unknown += [span] if not (ROOT / words[1]).is_file() else []

    assert unknown == []


def test_a_block_of_commands_says_so_that_it_is_run():
    untagged = [
        f"{block.page}:{block.line}"
        for block in BLOCKS
        if block.tag == "" and re.search(r"^(stancewire |pip |make |python |curl )", block.body, re.M)
    ]

    assert untagged == []


def test_what_is_not_run_is_counted():
    marked = [block.page for block in BLOCKS if block.why_not is not None]

    assert {page: marked.count(page) for page in sorted(set(marked))} == NOT_RUN


def test_each_command_has_its_section():
    sections = re.findall(r"^## (.+)$", PAGES["docs/commands.md"], re.M)

    assert sections == list(COMMANDS)


def test_each_page_of_docs_is_in_the_menu():
    menu = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    pages = [page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")]

    assert [page for page in pages if page not in menu] == []
    assert [
        page for page in menu if not any(Path(ROOT, place, page).is_file() for place in ("docs", ""))
    ] == []


def test_the_citation_names_the_version_and_every_source_of_a_method():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("inference", "training")
        for path in (ROOT / folder).rglob("*.py")
    )
    cited = re.findall(r"(?:doi\.org/|arxiv\.org/abs/)([\w./()-]*\w)", sources)

    assert f"\nversion: {__version__}\n" in citation
    assert cited
    assert sorted({source for source in cited if source not in citation}) == []


@pytest.mark.slow
def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]

    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    pages = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")}
    loading = re.compile(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//')
    assert len(pages) > 20
    assert [path.name for path, text in pages.items() if loading.search(text)] == []
    assert "score_article" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Score what a session has as my/articles, once, in all three forms."""
    folder = tmp_path_factory.mktemp("scores")
    articles(folder / "articles")
    for form in ("jsonl", "csv", "parquet"):
        command = [
            sys.executable,
            "-m",
            "stancewire.cli",
            "score",
            "articles",
            "--out",
            f"scores.{form}",
            "--quiet",
        ]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def articles(folder: Path) -> None:
    shutil.copytree(ROOT / "examples" / "articles", folder)
    texts = [row["text"] for split in ("train", "validation", "test") for row in seed_rows(split, 100)]
    for day in range(1, 21):
        text = "\n\n".join(texts[day * 15 - 15 : day * 15])
        (folder / f"2024-07-{day:02}.txt").write_text(text, encoding="utf-8")
    quarrel = "Russia accused Ukraine of shelling the bridge.\n\nUkraine denied that it had fired.\n"
    (folder / "2024-06-30.txt").write_text(quarrel, encoding="utf-8")


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Make a clone as a page's reader has it, small, with articles and sentences of his own."""
    labels = ["threat", "reassurance", "accusation", "denial"]
    splits = {
        split: seed_rows(split, count) for split, count in (("train", 80), ("validation", 30), ("test", 30))
    }
    write_corpus(tmp_path / "seeds", splits, labels)
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    articles(tmp_path / "my" / "articles")
    shutil.copytree(ROOT / "models" / "stance-small", tmp_path / "my-model")
    for name in ("my-labels", "my-teacher", "talks"):
        text = (ROOT / "configs" / "stance-small.yaml").read_text(encoding="utf-8")
        named = re.sub(r"^name: .*$", f"name: {name}", text, flags=re.M)
        (tmp_path / f"{name}.yaml").write_text(named, encoding="utf-8")
    own = (SEEDS / "validation").glob("*.jsonl")
    lines = [line for path in sorted(own) for line in path.read_text(encoding="utf-8").splitlines()[:4]]
    marked = [line.replace("{", '{"src": "wire", ', 1) for line in lines]
    for name in ("own.jsonl", "my-sample.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text("\n".join(marked) + "\n", encoding="utf-8")
    (tmp_path / "my-corpus").mkdir()
    for split, promise, nothing in (
        ("train", "The minister promised that the bridge would be open by May.", "It rained all week."),
        ("validation", "No pensioner will lose a cent, the chancellor vowed.", "Nobody came to the fair."),
    ):
        rows = f'text,labels\n"{promise}",reassurance\n"{nothing}",\n'
        (tmp_path / "my-corpus" / f"{split}.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "my-actors.csv").write_text("pattern,actor,group\nGazprom,Gazprom,firm\n", encoding="utf-8")

    stand_ins = tmp_path / "stand-ins"
    stand_ins.mkdir()
    for name in ("stancewire", "pip", "make", "python", "python3"):
        script = f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/documented.py" {name} "$@"\n'
        (stand_ins / name).write_text(script, encoding="utf-8")
        (stand_ins / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "stancewire").symlink_to(stand_ins / "stancewire")
    (tmp_path / ".venv" / "installed").touch()
    monkeypatch.setenv("PATH", f"{stand_ins}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if (tmp_path / "servers").is_file():
        for process in (tmp_path / "servers").read_text(encoding="utf-8").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_the_commands_of_a_page_run_in_order(page, session, request):
    """`documented.py` says which commands are not run but read: those that train, install or serve."""
    for tool in ("bash", "make", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    pytest.importorskip("datasets")
    for name in GIVEN.get(page, ()):
        scores = request.getfixturevalue("scores")
        for suffix in ("",) if name.endswith(".parquet") else ("", ".meta.json"):
            shutil.copy(scores / f"scores{Path(name).suffix}{suffix}", session / f"{name}{suffix}")
    values: dict[str, object] = {}

    for block in RUN:
        if any(find_spec(name) is None and f"import {name}" in block.body for name in OPTIONAL):
            continue
        if block.page == page and block.tag == "python":
            exec(compile("\n" * (block.line - 1) + block.body, page, "exec"), values)
        elif block.page == page:
            shell = ["bash", "-euo", "pipefail", "-c", block.body]
            done = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode == PORT_TAKEN:
                pytest.skip("another program serves on the port that the page names")
            assert done.returncode == 0, f"{page}:{block.line}\n{block.body}\n{done.stdout}\n{done.stderr}"
