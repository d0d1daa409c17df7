"""What must hold before a version is given out, tried on what would be given out: the last commit.

`make release-check` runs all steps; `python tools/release_check.py --only lowest` runs one, and needs `build`
and `uv` (the extra `release`). Everything happens in a folder of its own, outside the clone. Exit code 1: a
step failed, and its output says how.

built     the wheel is the same bytes from two builds in two folders; what lies in it and in the sdist
installed wheel and sdist, each installed alone and away from the clone, score articles and report on them,
          without torch and without a warning from importing
lowest    the lowest declared versions resolve with every extra, and pass the quick tests without torch
pythons   the quick tests without torch pass on each Python that is declared and found here
licences  no dependency's licence is unknown, or copyleft and not named with a reason
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
NO_TORCH = """
import importlib.metadata as m, sys
found = sorted({d.name for d in m.distributions()} & {"torch", "transformers", "datasets"})
sys.exit(f"the install holds {found}" if found else 0)
"""


class FailedError(Exception):
    """Says which command failed."""


def run(*command: str | Path, cwd: Path, **environment: str) -> None:
    """Run a command away from the clone, and show what it printed if it fails."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stdout.write(done.stdout[-6000:])
        raise FailedError(" ".join(map(str, command)))


def told(*command: str) -> str:
    """Run a command in the clone, and give what it says."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def uv(*arguments: str | Path, cwd: Path) -> None:
    """Run uv."""
    run(sys.executable, "-m", "uv", *arguments, "--quiet", cwd=cwd)


class Release:
    """The last commit, laid out in a folder; its wheel and sdist; and the steps."""

    def __init__(self, place: Path) -> None:
        self.place = place
        # Both by the commit that is the last one now, whatever comes meanwhile.
        self.commit = told("git", "rev-parse", "HEAD")
        self.epoch = told("git", "log", "-1", "--format=%ct", self.commit)
        self.tree = self._lay_out("tree")
        self.dist = place / "dist"
        self._build(self.tree, self.dist)
        (self.wheel,), (self.sdist,) = self.dist.glob("*.whl"), self.dist.glob("*.tar.gz")

    def built(self) -> str:
        """Build the wheel again somewhere else, and compare."""
        again, second = self.place / "again", self._lay_out("elsewhere")
        self._build(second, again, "--wheel")
        if (again / self.wheel.name).read_bytes() != self.wheel.read_bytes():
            raise FailedError(f"{self.wheel.name}: two builds differ")
        with tarfile.open(self.sdist) as archive:
            names = {name.split("/", 1)[-1] for name in archive.getnames()}
        wanted = {"LICENSE", "README.md", "pyproject.toml", "models/stance-small/model.onnx"}
        if not wanted <= names or any(name.startswith("tests/") for name in names):
            raise FailedError(f"{self.sdist.name} lacks {sorted(wanted - names)}, or holds tests")
        return f"{self.wheel.name} twice the same bytes"

    def installed(self) -> str:
        """Install each, score and report."""
        for made in (self.wheel, self.sdist):
            folder = self.place / f"installed-{made.suffix[1:]}"
            python = self._environment(folder, PYTHONS[0], "-c", self.tree / "constraints.txt", made)
            shutil.copytree(self.tree / "examples" / "articles", folder / "articles")
            run(python, "-W", "error", "-c", "import stancewire", cwd=folder)
            run(python, "-c", NO_TORCH, cwd=folder)
            command = python.with_name("stancewire")
            run(command, "score", "articles", "--out", "scores.jsonl", "--quiet", cwd=folder)
            run(command, "report", "scores.jsonl", "--out", "scores.html", cwd=folder)
            run(command, "info", "scores.jsonl", cwd=folder)
            if (folder / "scores.html").stat().st_size < 10_000:
                raise FailedError(f"{made.name}: the report is nearly empty")
        return "wheel and sdist score and report away from the clone, without torch"

    def lowest(self) -> str:
        """Install the lowest declared versions, and run the quick tests."""
        lowest = ("--resolution", "lowest-direct", "--python-version", PYTHONS[0])
        all_of_them, without_torch = self.place / "all.txt", self.place / "lowest.txt"
        uv("pip", "compile", *lowest, "--all-extras", "pyproject.toml", "-o", all_of_them, cwd=self.tree)
        extras = ("--extra", "test", "--extra", "html")
        uv("pip", "compile", *lowest, *extras, "pyproject.toml", "-o", without_torch, cwd=self.tree)
        folder = self.place / "lowest"
        self._test(self._environment(folder, PYTHONS[0], "-r", without_torch, self.wheel))
        return "the lowest declared versions resolve, and pass the quick tests"

    def pythons(self) -> str:
        """Run the quick tests on every Python."""
        said = []
        for version in PYTHONS:
            if find_python(version) is None:
                said.append(f"{version} skipped: not found on this machine")
                continue
            pinned = ("-c", self.tree / "constraints.txt")
            self._test(self._environment(self.place / version, version, *pinned, f"{self.wheel}[test]"))
            said.append(f"{version} passes")
        return "; ".join(said)

    def licences(self) -> str:
        """Look at the licences of all that is installed for development."""
        python = ROOT / ".venv-dev" / "bin" / "python"
        run(python if python.is_file() else sys.executable, "tools/licences.py", "--check", cwd=ROOT)
        return "every licence is known"

    def _build(self, tree: Path, out: Path, *which: str) -> None:
        # The same setuptools each time, and the same modes of files: a wheel holds them.
        fixed = {"SOURCE_DATE_EPOCH": self.epoch, "PIP_CONSTRAINT": str(tree / "constraints.txt")}
        os.umask(0o022)
        run(sys.executable, "-m", "build", "-o", out, *which, ".", cwd=tree, **fixed)

    def _lay_out(self, name: str) -> Path:
        folder, archive = self.place / name, self.place / f"{name}.tar"
        run("git", "archive", "-o", archive, self.commit, cwd=ROOT)
        with tarfile.open(archive) as stream:
            stream.extractall(folder, filter="data")
        return folder

    def _environment(self, folder: Path, version: str, *wanted: str | Path) -> Path:
        uv("venv", "--python", find_python(version) or version, folder / "venv", cwd=self.place)
        python = folder / "venv" / "bin" / "python"
        uv("pip", "install", "--python", python, *wanted, cwd=self.place)
        return python

    def _test(self, python: Path) -> None:
        run(python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", cwd=self.tree)


def find_python(version: str) -> Path | None:
    """Find a Python of a version: this one, one on the path, or one of pyenv's."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [*sorted(pyenv.glob(f"{version}.*/bin/python")), shutil.which(f"python{version}")]
    for place in filter(None, places):
        if not subprocess.run([place, "--version"], capture_output=True, check=False).returncode:
            return Path(place)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps, and say what came of each."""
    names = ("built", "installed", "licences", "lowest", "pythons")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=names, action="append", help="one step; any number")
    chosen = parser.parse_args(arguments).only or names
    failed = 0
    with tempfile.TemporaryDirectory(prefix="stancewire-release-") as place:
        release = Release(Path(place))
        for name in chosen:
            step: Callable[[], str] = getattr(release, name)
            try:
                sys.stdout.write(f"{name}: {step()}\n")
            except FailedError as error:
                failed += 1
                sys.stdout.write(f"{name}: FAILED: {error}\n")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
