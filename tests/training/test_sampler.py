"""The weighted sampler: proportions, every row once a reading, exact resumption, several processes."""

from collections import Counter
from itertools import chain, islice

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler, prepare_data_loader, skip_first_batches
from datasets import Dataset
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from torch.utils.data import ConcatDataset, DataLoader

from gecko_hf.errors import RecipeError
from gecko_hf.training.sampler import WeightedBatchSampler, rows_drawn, set_epoch

SIZES, BATCH = (120, 64, 1000), 8


def sampler(shares=(0.5, 0.3, 0.2), together=1, seed=3, epoch=0, sizes=SIZES) -> WeightedBatchSampler:
    sets = [Dataset.from_dict({"anchor": [f"{k}-{i}" for i in range(n)]}) for k, n in enumerate(sizes)]
    generator = torch.Generator().manual_seed(seed)
    inner = [NoDuplicatesBatchSampler(s, BATCH, True, generator=generator, seed=seed) for s in sets]
    made = WeightedBatchSampler(ConcatDataset(sets), inner, generator, seed, shares=shares, together=together)
    made.set_epoch(epoch)
    return made


def set_of(batch: list[int], sizes=SIZES) -> int:
    (owner,) = {0 if row < sizes[0] else 1 if row < sizes[0] + sizes[1] else 2 for row in batch}
    return owner  # a batch has rows of one data set


def test_over_ten_thousand_batches_the_proportions_are_the_weights():
    shares = (0.53, 0.35, 0.12)
    order = sampler(shares)._order(10_000)
    for which, share in enumerate(shares):
        assert abs(order.count(which) / 10_000 - share) < 0.01 * share


def test_what_is_drawn_follows_the_weights():
    batches = [set_of(b) for b in sampler()]
    assert len(batches) == len(sampler()) == sum(n // BATCH for n in SIZES)
    for which, share in enumerate((0.5, 0.3, 0.2)):
        assert abs(batches.count(which) - share * len(batches)) <= 1


@pytest.mark.parametrize("share", [0.5, 0.3, 0.2])
@pytest.mark.parametrize("steps", [1, 7, 10, 33])
def test_so_many_steps_draw_no_more_rows_of_a_data_set_than_is_said(share, steps):
    which = (0.5, 0.3, 0.2).index(share)
    drawn = sampler()._order(steps).count(which) * BATCH
    assert drawn <= rows_drawn(share, steps, BATCH) <= (share * steps + 2) * BATCH


def test_every_process_draws_rows_of_its_own(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert rows_drawn(0.5, 10, BATCH) == 3 * 6 * BATCH


def test_a_data_set_is_read_through_before_any_row_comes_again():
    drawn = {0: [], 1: [], 2: []}
    for epoch in range(3):
        for batch in sampler(epoch=epoch):
            drawn[set_of(batch)].append(batch)
    for which, size in enumerate(SIZES):
        readings = [drawn[which][i : i + size // BATCH] for i in range(0, len(drawn[which]), size // BATCH)]
        for reading in readings:
            assert max(Counter(chain(*reading)).values()) == 1
        for whole in readings[:-1]:
            assert len(set(chain(*whole))) == size // BATCH * BATCH
    assert len(drawn[1]) > 2 * SIZES[1] // BATCH  # the small one was read more than twice
    first, second = drawn[0][:15], drawn[0][15:30]
    assert first != second  # in another order


def test_the_sequence_is_a_function_of_seed_and_epoch():
    assert list(sampler(epoch=1)) == list(sampler(epoch=1))
    assert list(sampler(epoch=1)) != list(sampler(epoch=2))
    assert list(sampler(seed=3)) != list(sampler(seed=4))


@pytest.mark.parametrize("done", [1, 50, 140])
def test_skipping_what_was_done_leaves_the_rest(done):
    assert list(SkipBatchSampler(sampler(), skip_batches=done)) == list(islice(sampler(), done, None))


def test_two_processes_share_the_rows_and_train_on_one_data_set_at_a_time():
    made = [sampler(together=2) for _ in range(2)]
    shards = [list(BatchSamplerShard(s, 2, k, even_batches=False)) for k, s in enumerate(made)]
    assert len(shards[0]) == len(shards[1]) == len(made[0]) // 2
    assert [set_of(b) for b in shards[0]] == [set_of(b) for b in shards[1]]
    seen = Counter(chain(*shards[0], *shards[1]))
    large = {row: n for row, n in seen.items() if row >= SIZES[0] + SIZES[1]}  # drawn less than once through
    assert max(large.values()) == 1
    assert list(chain(*zip(*shards, strict=True))) == list(sampler(together=2))


def test_a_data_set_of_equal_rows_is_refused():
    same = Dataset.from_dict({"anchor": ["x"] * 64})
    generator = torch.Generator()
    inner = NoDuplicatesBatchSampler(same, BATCH, True, generator=generator)
    with pytest.raises(RecipeError, match=r"Data set 0 of the mixture gives no batch of 8 different rows\. Lower"):
        list(WeightedBatchSampler(ConcatDataset([same]), [inner], generator, shares=[1.0]))
    with pytest.raises(RecipeError, match="pairs of the mixture gives no batch"):
        list(WeightedBatchSampler(ConcatDataset([same]), [inner], generator, shares=[1.0], names=["pairs"]))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("mixture", [True, False])
def test_resumed_within_a_later_epoch_the_rest_of_that_epoch_is_read(processes, mixture):
    """Through what accelerate wraps the sampler in, for every process."""
    for index in range(processes):
        batches = sampler(together=processes) if mixture else sampler().batch_samplers[0]
        rows = range(sum(SIZES))
        loader = prepare_data_loader(
            DataLoader(rows, batch_sampler=batches), torch.device("cpu"), processes, index, put_on_device=False
        )
        batches.set_epoch(1)
        loader.set_epoch(1)
        whole = [batch.tolist() for batch in loader]
        batches.set_epoch(0)
        set_epoch(loader, 1)  # as the stage's callback does when the epoch begins
        resumed = skip_first_batches(loader, 2)
        resumed.set_epoch(1)  # and then the trainer
        assert [batch.tolist() for batch in resumed] == whole[2:]
