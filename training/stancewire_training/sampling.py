"""The order of the training sentences: like lengths share a batch, the batches come at random.

transformers' own sampler for like lengths brings the batches from long to short, fifty at a time, over and
over; docs/experiments.md has what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices


class LikeLengthSampler(Sampler[int]):
    """Indices of sentences in which each run of `batch_size` has like lengths, and the runs are shuffled.

    Each pass draws anew from torch's global generator, whose state the Trainer keeps in its checkpoints.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int) -> None:
        self.lengths = list(lengths)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        indices = get_length_grouped_indices(self.lengths, self.batch_size)
        whole = len(indices) // self.batch_size
        # The short batch stays the last, or those after it would be cut at other places.
        for batch in [*torch.randperm(whole).tolist(), whole]:
            yield from indices[batch * self.batch_size : (batch + 1) * self.batch_size]


class LikeLengthTrainer(Trainer):
    """A Trainer whose sentences come as LikeLengthSampler orders them; they need a column `length`."""

    def _get_train_sampler(self, train_dataset: object = None) -> LikeLengthSampler:
        dataset: Any = self.train_dataset
        return LikeLengthSampler(
            dataset["length"], self.args.train_batch_size * self.args.gradient_accumulation_steps
        )
