"""The folder of a training run: what may be written into it, and where an interrupted run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from transformers import EarlyStoppingCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import TrainerState

from stancewire.errors import StancewireError
from stancewire_training.config import Config
from stancewire_training.record import RECORD

CHECKPOINTS: Final = "checkpoints"
CONFIG: Final = "config.yaml"


def refuse_to_mix(config: Config, out: Path, resume: bool, overwrite: bool) -> None:
    """Raise StancewireError if `out` holds what this run should neither go on with nor throw away."""
    if resume and overwrite:
        raise StancewireError("--resume goes on with what --overwrite throws away: give one of the two")
    finished, begun = (out / RECORD).is_file(), (out / CHECKPOINTS).is_dir()
    if finished and not overwrite:
        raise StancewireError(
            f"{out} holds a finished model: name another folder with --out, or add --overwrite"
        )
    if begun and not (resume or overwrite):
        raise StancewireError(
            f"{out} holds an unfinished training: --resume goes on with it, --overwrite starts anew"
        )
    if not (finished or begun):
        _refuse_what_is_no_training(out, resume)
    saved = out / CONFIG
    if resume and saved.is_file() and saved.read_text(encoding="utf-8") != config.to_yaml():
        raise StancewireError(
            f"{saved} differs from the config given: resume with that one, or add --overwrite"
        )


def prepare_folder(config: Config, out: Path, overwrite: bool) -> None:
    """Make `out` with the resolved configuration; with `overwrite` whatever it held is removed."""
    if overwrite:
        shutil.rmtree(out, ignore_errors=True)
    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    (out / CONFIG).write_text(config.to_yaml(), encoding="utf-8")


def last_checkpoint(out: Path) -> Path | None:
    """Find the last checkpoint in `out` that was written to its end; None if there is none."""
    found = [path for path in (out / CHECKPOINTS).glob("checkpoint-*") if _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def epochs_to_train(config: Config, checkpoint: Path | None) -> int:
    """Count the epochs of a run that goes on from `checkpoint`: the config's, unless it had stopped early."""
    # A resumed Trainer forgets that it had stopped early, and would train one epoch more.
    if checkpoint is None:
        return config.training.epochs
    state = _read_state(checkpoint)
    callbacks: Any = state.stateful_callbacks
    spent = callbacks[EarlyStoppingCallback.__name__]["attributes"]["early_stopping_patience_counter"]
    stopped = spent >= config.training.early_stopping_patience
    return round(state.epoch or 0) if stopped else config.training.epochs


def _refuse_what_is_no_training(out: Path, resume: bool) -> None:
    # Else `--out . --overwrite` would remove whatever lies there.
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise StancewireError(f"{out} holds something else than a training: name another folder with --out")
    if resume:
        raise StancewireError(f"there is no training in {out} to go on with: leave out --resume")


def _is_whole(checkpoint: Path) -> bool:
    # The Trainer writes its state last: a checkpoint without it was cut short.
    try:
        _read_state(checkpoint)
    except (OSError, ValueError, TypeError):
        return False
    return True


def _read_state(checkpoint: Path) -> TrainerState:
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return state
