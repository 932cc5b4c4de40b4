"""Batches of one data set each, in the proportions of a recipe's weights.

sentence-transformers draws data sets by their size or in turn; a mixture needs weights. Rows are batched within a data set
by sentence-transformers' own samplers; this one says whose batch is next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from sentence_transformers.base.sampler import MultiDatasetDefaultBatchSampler
from torch.utils.data import BatchSampler, ConcatDataset

from gecko_hf.errors import RecipeError
from gecko_hf.training.processes import processes


class WeightedBatchSampler(MultiDatasetDefaultBatchSampler):
    """Draws the next batch from the data set that is furthest behind its share, so that none runs a batch ahead of it.

    Each data set is read through wholly, in an order of its own, before any of its rows comes again; the reading goes on
    from one epoch to the next. An epoch has as many batches as the data sets have together. The whole sequence is a function
    of seed and epoch, so a resumed run that skips what it did sees the same batches.

    Args:
        dataset: The data sets, one after the other.
        batch_samplers: One for each data set.
        generator: Shared with the batch samplers.
        seed: As given by the trainer.
        shares: The share of the batches for each data set.
        names: What the data sets are called, for messages; their numbers by default.
        together: Batches in a row that come from one data set: the number of processes, which take them in turn, so that
            in one step all of them train on the same data set and may gather each other's texts.

    Raises:
        RecipeError: While it is read, if a data set does not give one batch.
    """

    def __init__(
        self,
        dataset: ConcatDataset[Any],
        batch_samplers: list[BatchSampler],
        generator: torch.Generator | None = None,
        seed: int = 0,
        *,
        shares: Sequence[float],
        names: Sequence[str] = (),
        together: int = 1,
    ) -> None:
        super().__init__(dataset, batch_samplers, generator, seed)
        self.shares = [share / sum(shares) for share in shares]
        self.names = list(names) or [f"Data set {i}" for i in range(len(shares))]
        self.together = together

    def __len__(self) -> int:
        """Batches of an epoch: all of every data set, rounded down to whole steps of all processes."""
        return sum(map(len, self.batch_samplers)) // self.together * self.together

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of this epoch, as rows of the joined data sets."""
        offsets = [0, *self.dataset.cumulative_sizes]
        steps = len(self) // self.together
        order = self._order(steps * (self.epoch + 1))
        read = [order[: steps * self.epoch].count(i) * self.together for i in range(len(self.shares))]
        streams = [self._stream(i, skip) for i, skip in enumerate(read)]
        for chosen in order[steps * self.epoch :]:
            for _ in range(self.together):
                yield [row + offsets[chosen] for row in next(streams[chosen])]

    def _order(self, steps: int) -> list[int]:
        """Which data set each step draws from."""
        counts = [0] * len(self.shares)
        order = []
        for step in range(1, steps + 1):
            behind = [share * step - count for share, count in zip(self.shares, counts, strict=True)]
            chosen = behind.index(max(behind))
            counts[chosen] += 1
            order.append(chosen)
        return order

    def _stream(self, which: int, skip: int) -> Iterator[list[int]]:
        """One data set's batches without end, from where earlier epochs left it."""
        sampler: Any = self.batch_samplers[which]
        reading, skip = divmod(skip, len(sampler))
        while True:
            sampler.set_epoch(reading)
            yielded = 0
            for batch in sampler:
                yielded += 1
                if yielded > skip:
                    yield batch
            if not yielded:
                raise RecipeError(
                    f"{self.names[which]} of the mixture gives no batch of {sampler.batch_size} different rows. "
                    "Lower the batch_size of the stage, or give rows with more different texts."
                )
            reading, skip = reading + 1, 0


def rows_drawn(share: float, steps: int, batch_size: int) -> int:
    """The most rows that `WeightedBatchSampler` can draw from a data set in so many steps, and a batch more.

    Args:
        share: The data set's share of the steps.
        steps: Steps of the stage.
        batch_size: Rows of a batch, of which each process takes one a step.
    """
    return (math.ceil(share * steps) + 1) * batch_size * processes()


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell the batch sampler of a data loader the epoch, through whatever it is wrapped in.

    The trainer of transformers 5 tells only what stands right below one wrapper. With several processes there is
    accelerate's shard of it, and after a restart within an epoch what skips batches around that.
    """
    sampler = getattr(loader, "batch_sampler", None)
    while sampler is not None:
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        sampler = getattr(sampler, "batch_sampler", None)
