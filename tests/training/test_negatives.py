import pytest
import torch

from gecko_hf.errors import RecipeError
from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.negatives import Negatives, count_negatives
from gecko_hf.training.options import LossOptions


@pytest.mark.parametrize(
    ("settings", "hard_columns", "processes", "expected"),
    [
        ({}, 0, 1, Negatives(63, 63, 0, 0)),
        ({}, 1, 1, Negatives(63, 63, 1, 0)),
        ({"same_tower": False}, 2, 1, Negatives(63, 0, 2, 0)),
        ({"in_batch": False}, 1, 4, Negatives(0, 0, 1, 0)),
        ({"options": LossOptions(hard_negatives="all")}, 2, 1, Negatives(63, 63, 128, 0)),
        ({}, 1, 4, Negatives(63, 63, 1, 0)),
        ({"gather_across_devices": True}, 1, 4, Negatives(255, 255, 1, 384)),
        ({"gather_across_devices": True, "options": LossOptions(hard_negatives="all")}, 1, 4, Negatives(255, 255, 256, 576)),
    ],
    ids=str,
)  # fmt: skip
def test_every_negative_of_a_query_is_counted_where_it_comes_from(settings, hard_columns, processes, expected):
    assert count_negatives(GeckoLoss(torch.nn.Identity(), **settings), 64, hard_columns, processes) == expected


def test_the_count_reads_as_one_line():
    assert str(Negatives(255, 255, 1, 384)) == (
        "each query sees 511 negatives: 255 in-batch, 255 same-tower, 1 hard; 384 of them from other processes"
    )


@pytest.mark.parametrize(("settings", "batch_size"), [({}, 1), ({"in_batch": False}, 64)])
def test_a_batch_without_negatives_is_refused(settings, batch_size):
    with pytest.raises(RecipeError, match="A query would see no negatives"):
        count_negatives(GeckoLoss(torch.nn.Identity(), **settings), batch_size, 0, 1)
