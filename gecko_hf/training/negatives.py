"""How many negatives a query really sees: the number that decides what a batch size is worth."""

from __future__ import annotations

from dataclasses import dataclass

from gecko_hf.errors import RecipeError
from gecko_hf.training.loss import GeckoLoss


@dataclass(frozen=True)
class Negatives:
    """What a query is told apart from in one step, by where it comes from."""

    in_batch: int
    same_tower: int
    hard: int
    elsewhere: int  # of all of them, those that another process embedded

    def __str__(self) -> str:
        return (
            f"each query sees {self.in_batch + self.same_tower + self.hard:,} negatives: {self.in_batch:,} in-batch, "
            f"{self.same_tower:,} same-tower, {self.hard:,} hard; {self.elsewhere:,} of them from other processes"
        )


def count_negatives(loss: GeckoLoss, batch_size: int, hard_columns: int, processes: int) -> Negatives:
    """Count what the loss compares a query with; masks can only take away from that.

    Gradient accumulation adds none: every part of an accumulated batch is compared within itself.

    Args:
        loss: The loss.
        batch_size: Rows of one process.
        hard_columns: Hard negatives of a row.
        processes: How many processes train.

    Raises:
        RecipeError: If there are none, since the loss would be zero and teach nothing.
    """
    rows = batch_size * (processes if loss.gather_across_devices else 1)
    others = rows - 1 if loss.in_batch else 0
    everyones = loss.options.hard_negatives == "all" and loss.in_batch
    far = (rows - batch_size) if loss.in_batch else 0
    count = Negatives(
        in_batch=others,
        same_tower=others if loss.same_tower else 0,
        hard=hard_columns * (rows if everyones else 1),
        elsewhere=far * (1 + loss.same_tower + hard_columns * everyones),
    )
    if count.in_batch + count.same_tower + count.hard == 0:
        raise RecipeError(
            f"A query would see no negatives: batches of {batch_size}, {hard_columns} hard negatives, "
            f"in-batch negatives {'on' if loss.in_batch else 'off'}. Give rows with negatives, or use in-batch ones and "
            "batches of at least 2."
        )
    return count
