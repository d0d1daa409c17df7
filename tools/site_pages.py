"""Pages of the site that lie outside docs/: the cards, the codebook, SECURITY.md and their like.

A hook of mkdocs (mkdocs.yml). A file of the repository that mkdocs.yml's menu or a page links to becomes part
of the site where it lies, and links that lead out of docs/ or into it are turned to where the page is there.
On the page of the command line each section gets a table of its command's options.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from stancewire.cli import app

ROOT = Path(__file__).parents[1]
PAGES = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"),
    *("inference/stancewire/data/README.md", "models/stance-small/README.md"),
    *("seeds/README.md", "seeds/codebook.md"),
)
# README.md is what a visitor of the repository reads first, docs/index.md what one of the site does.
SAME = {"README.md": "docs/index.md"}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^()\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, and other files that pages link to, under their own paths."""
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for file in list(files.documentation_pages()):
        for target in LINK.findall(file.content_string):
            path = _resolve(file.src_uri, target)
            outside = not path.startswith("docs/") and not path.endswith(".md")
            if outside and (ROOT / path).is_file() and files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between docs/ and the rest of the repository to where those pages are in the site."""
    here = page.file.src_uri

    def turn(match: re.Match[str]) -> str:
        there = _resolve(here, match[1]).removeprefix("docs/")
        return posixpath.relpath(there, posixpath.dirname(here) or ".")

    turned = LINK.sub(turn, markdown)
    return add_options(turned) if here == "commands.md" else turned


def add_options(markdown: str) -> str:
    """Put a table of the options of each command at the end of its section, as `--help` has them."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    top, *sections = re.split(r"^(?=## )", markdown, flags=re.M)
    for place, section in enumerate(sections):
        rows = [_row(parameter) for parameter in commands[section[3:].splitlines()[0]].params]
        sections[place] = "\n".join([section, "| | |", "| --- | --- |", *rows, "", ""])
    return top + "".join(sections)


def _row(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    name = ", ".join(parameter.opts) if is_option else parameter.name.upper()
    told = (getattr(parameter, "help", None) or "").replace("|", "\\|")
    default = parameter.default
    shown = default is not False and isinstance(default, str | int | float)
    return f"| `{name}` | {told}{f' Default: {default}.' if shown else ''} |"


def _resolve(here: str, target: str) -> str:
    origin = here if here in PAGES else f"docs/{here}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    return SAME.get(path, path)
