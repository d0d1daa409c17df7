"""List the licences of all that stancewire needs, by what needs it, and refuse what is unknown or copyleft.

`python tools/licences.py` writes docs/licences.md from the metadata of what is installed beside it, which
should be everything (`make check` installs that). Exit code 1: a dependency is not installed, its licence is
not told, or it is neither permissive nor among those that are named below with a reason. `--check` writes
nothing, and is 1 too where the page is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python"),
    *("HPND", "ISC", "LLVM-exception", "MIT", "MIT-0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
}
# Weak copyleft, met by using the package unchanged from where it is published. By package: a new one asks.
ALLOWED = {
    "certifi": ("MPL-2.0", "a list of certificates, which requests reads; used unchanged"),
    "hypothesis": ("MPL-2.0", "for tests alone; used unchanged"),
    "pathspec": ("MPL-2.0", "for mypy alone; used unchanged"),
    "pygal": (
        "LGPL-3.0-or-later",
        "draws the charts; imported unchanged, and can be replaced by another version",
    ),
    "tld": ("MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-or-later", "MPL-1.1 chosen; trafilatura's, used unchanged"),
    "tqdm": ("MPL-2.0 AND MIT", "transformers' and others'; used unchanged"),
}
# How the older fields of metadata are worded.
SAID = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU LGPL v3+": "LGPL-3.0-or-later",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The BSD 2-Clause License": "BSD-2-Clause",
}
TOP = """# Licences

stancewire is under the Apache License 2.0. What it needs is under the licences below, as the packages' own
metadata say; `python tools/licences.py` writes this page, and fails on a licence that is unknown, or copyleft
and not named here with a reason. The model's encoder and what it was trained on are in the model card.

From PyPI on Linux, torch (extra train) brings packages named `nvidia-…`, which are NVIDIA's under its own
terms, and not listed below; a build of torch for processors alone does without them.
"""


def normal(name: str) -> str:
    """Give the one form of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: list[str], extras: tuple[str, ...] = ("",)) -> Iterator[tuple[str, frozenset[str]]]:
    """Name what a list of requirements asks for here, and the extras it is asked for with."""
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield normal(requirement.name), frozenset(requirement.extras)


def closure(requirements: list[str], missing: set[str]) -> dict[str, Distribution]:
    """Find everything that is installed for a list of requirements; `missing` collects what is not."""
    found: dict[str, Distribution] = {}
    waiting, seen = list(needed(requirements)), set()
    while waiting:
        name, extras = entry = waiting.pop()
        if entry in seen:
            continue
        seen.add(entry)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        waiting += needed(found[name].requires or [], ("", *extras))
    found.pop("stancewire", None)
    return found


def licence(package: Distribution) -> str | None:
    """Say a package's licence in SPDX's words, as far as its metadata tell."""
    metadata = package.metadata
    classifiers = [entry.split(" :: ")[-1] for entry in metadata.get_all("Classifier") or []]
    told = [metadata.get("License-Expression"), metadata.get("License")]
    told += [entry for entry in classifiers if "License" in entry]
    for words in filter(None, told):
        said = SAID.get(words.strip(), words.strip())
        if all(part in PERMISSIVE or part in KNOWN_COPYLEFT for part in parts(said)):
            return said
    return None


def parts(expression: str) -> list[str]:
    """Take an SPDX expression apart."""
    return [part.strip("() ") for part in re.split(r"\b(?:AND|OR|WITH)\b", expression)]


KNOWN_COPYLEFT = {part for said, _ in ALLOWED.values() for part in parts(said)}


def judge(name: str, said: str | None) -> str | None:
    """Say what is wrong with a package's licence, if anything."""
    if said is None:
        return f"{name}: its metadata do not tell its licence in a form known here"
    if name in ALLOWED:
        wanted = ALLOWED[name][0]
        return None if said == wanted else f"{name}: {said}, and {wanted} was looked at"
    refused = [part for part in parts(said) if part not in PERMISSIVE]
    return f"{name}: {said} is copyleft; name it with a reason, or do without" if refused else None


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"stancewire": project["dependencies"]}
    groups |= {f"the extra {name}": wanted for name, wanted in project["optional-dependencies"].items()}
    missing: set[str] = set()
    faults: list[str] = []
    listed: set[str] = set()
    page = [TOP]
    for group, requirements in groups.items():
        found = closure(requirements, missing)
        rows = []
        for name in sorted(found.keys() - listed):
            said = licence(found[name])
            faults += filter(None, [judge(name, said)])
            rows.append(f"| {name} | {said or '?'} | {ALLOWED[name][1] if name in ALLOWED else ''} |")
        listed |= found.keys()
        if rows:
            page.append(
                "\n".join(
                    (
                        f"## For {group}\n",
                        "| package | licence | why it may be |",
                        "| --- | --- | --- |",
                        *rows,
                    )
                )
                + "\n"
            )
    faults += [f"{name} is not installed here, so its licence cannot be told" for name in sorted(missing)]
    text = "\n".join(page)
    if arguments.check and (not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text):
        faults.append("docs/licences.md is out of date: python tools/licences.py")
    elif not arguments.check:
        PAGE.write_text(text, encoding="utf-8")
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    sys.stdout.write(f"{len(listed)} packages, {len(faults)} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
