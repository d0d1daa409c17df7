"""Scoring into one output, in any order of starts, kills and changed files, against a small model of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from arithmetic import make_classifier
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import stancewire.reading
from stancewire.errors import StancewireError
from stancewire.outputs import store_path
from stancewire.provenance import errors_path, meta_path
from stancewire.rereading import reread
from stancewire.run_store import RunStore
from stancewire.scoring import Progress, score_paths

NAMES = tuple(f"n{number}.txt" for number in range(6))
VERSIONS = st.integers(0, 3)
FLAGS = st.sampled_from([{}, {"resume": True}, {"overwrite": True}])
KILLED = 7


@dataclass
class Unfinished:
    """What a run that was cut short was begun with."""

    earlier: dict[str, str]
    overwrites: bool
    replaces: bool


class Scoring(RuleBasedStateMachine):
    """Documents by name, in the order of the output: in the folder, as last written, and as begun."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="stancewire-states-"))
        self.folder = self.place / "in"
        self.folder.mkdir()
        self.files: dict[str, str] = {}
        self.written: dict[str, str] | None = None
        self.unfinished: Unfinished | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.place)

    @initialize(suffix=st.sampled_from([".jsonl", ".csv", ".parquet"]), version=VERSIONS)
    def begin(self, suffix: str, version: int) -> None:
        self.out = self.place / f"o{suffix}"
        self.write(NAMES[0], version)

    # What a user does between runs.

    @rule(name=st.sampled_from(NAMES), version=VERSIONS)
    def write(self, name: str, version: int) -> None:
        text = f"The envoy of {name} left on day {version}.\n\nNobody knows what the harbour will do."
        self.files[name] = text
        (self.folder / name).write_text(text, encoding="utf-8")

    @precondition(lambda self: len(self.files) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.files)))
        del self.files[name]
        (self.folder / name).unlink()

    @rule()
    def lose_the_output(self) -> None:
        for path in (self.out, meta_path(self.out), errors_path(self.out)):
            path.unlink(missing_ok=True)
        self.written = None

    # Runs that end, are interrupted, and die.

    @rule(flags=FLAGS)
    def score(self, flags: dict[str, bool]) -> None:
        begun = self.begun_by(**flags)
        if begun is None:
            with pytest.raises(StancewireError, match="is already there"):
                score_paths(make_classifier(), [self.folder], self.out, **flags)
            return
        score_paths(make_classifier(), [self.folder], self.out, **flags)
        gone = {name: text for name, text in begun.earlier.items() if name not in self.files}
        self.written, self.unfinished = gone | dict(sorted(self.files.items())), None
        assert not [path for path in self.place.iterdir() if path.name.startswith(".")]
        if not gone:
            assert contents(self.out) == self.made_at_once()

    @rule(flags=FLAGS, after=st.integers(0, 8))
    def interrupt(self, flags: dict[str, bool], after: int) -> None:
        begun = self.begun_by(**flags)
        left = iter(range(after))

        def stop(progress: Progress) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        try:
            score_paths(make_classifier(), [self.folder], self.out, on_progress=stop, **flags)
        except KeyboardInterrupt:
            assert begun is not None
            self.unfinished = begun if self.keeps_something() else None
        except StancewireError:
            assert begun is None
        else:
            self.score_was_whole(begun)

    @precondition(lambda self: hasattr(os, "fork"))
    @rule(flags=FLAGS, after=st.integers(0, 8))
    def kill(self, flags: dict[str, bool], after: int) -> None:
        begun = self.begun_by(**flags)
        child = os.fork()
        if child == 0:
            self.run_and_die(flags, after)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == KILLED:
            assert begun is not None
            self.unfinished = begun if self.keeps_something() else None
        elif code == 2:
            assert begun is None
        else:
            assert code == 0
            self.score_was_whole(begun)

    @invariant()
    def the_output_is_what_the_last_whole_run_wrote(self) -> None:
        if self.written is None:
            assert not hasattr(self, "out") or not self.out.exists()
        else:
            scored = list(reread(self.out, ("warm", "cold")))
            assert [each.document.id for each in scored] == list(self.written)
            for each in scored:
                said = [sentence.text for sentence in each.sentences]
                assert said == self.written[each.document.id].split("\n\n")

    # The model.

    def begun_by(self, *, resume: bool = False, overwrite: bool = False) -> Unfinished | None:
        """Say what a run goes on with or begins, or None where it is refused."""
        is_there = self.written is not None
        if self.unfinished is not None and (not overwrite or self.unfinished.overwrites):
            refused = self.unfinished.replaces and is_there and not (resume or overwrite)
            return None if refused else self.unfinished
        if is_there and not (resume or overwrite):
            return None
        earlier = dict(self.written or {}) if resume else {}
        return Unfinished(earlier, overwrite, is_there)

    def score_was_whole(self, begun: Unfinished | None) -> None:
        assert begun is not None
        gone = {name: text for name, text in begun.earlier.items() if name not in self.files}
        self.written, self.unfinished = gone | dict(sorted(self.files.items())), None

    def keeps_something(self) -> bool:
        if not store_path(self.out).exists():
            return False
        with RunStore(store_path(self.out), self.out) as store:
            return not store.is_empty

    def run_and_die(self, flags: dict[str, bool], after: int) -> None:
        """Score in this process, and leave it at once, as one that is killed, in the midst of that."""
        left = iter(range(after))

        def die(progress: Progress) -> None:
            if next(left, None) is None:
                os._exit(KILLED)

        code = 1
        try:
            score_paths(make_classifier(), [self.folder], self.out, on_progress=die, **flags)
            code = 0
        except StancewireError:
            code = 2
        finally:
            os._exit(code)

    def made_at_once(self) -> list[bytes | None]:
        out = self.place / f"at-once{self.out.suffix}"
        score_paths(make_classifier(), [self.folder], out, overwrite=True)
        return contents(out)


def contents(out: Path) -> list[bytes | None]:
    return [path.read_bytes() if path.exists() else None for path in (out, meta_path(out), errors_path(out))]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stancewire.reading, "GROUP_SENTENCES", 2)
    monkeypatch.setattr(stancewire.reading, "_GROUP_DOCUMENTS", 1)


@pytest.mark.parametrize(
    ("examples", "steps"), [(5, 10), pytest.param(150, 20, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_any_order_of_runs_kills_and_changes_ends_as_the_model_says(examples: int, steps: int):
    run_state_machine_as_test(
        Scoring, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )
