"""Two processes that gather their batches against one process with the joined batch."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.options import LossOptions

BATCH, WIDTH, T = 6, 12, 0.07  # of both processes together
VARIANTS = {
    "paper": {},
    "cached": {"mini_batch_size": 2},
    "all": {"options": LossOptions(hard_negatives="all", hardness=3.0)},
    "masked": {"options": LossOptions(duplicate_mask=True, false_negative_margin=0.1, hard_negatives="all")},
    "cached and masked": {"options": LossOptions(duplicate_mask=True), "mini_batch_size": 2},
}
IDS = [torch.tensor([1, 2, 3, 1, 5, 6]), torch.tensor([7, 8, 9, 10, 8, 12]), torch.tensor([7, 14, 15, 16, 17, 18])]


def columns(rows: slice) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    whole = [torch.randn(BATCH, WIDTH, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [c[rows].clone().requires_grad_() for c in whole]


def loss_and_gradients(variant: dict, rows: slice, gather: bool) -> tuple[float, list[torch.Tensor]]:
    loss = GeckoLoss(torch.nn.Identity(), T, gather_across_devices=gather, **variant)
    loss._ids = [i[rows] for i in IDS]
    embeddings = columns(rows)
    if loss.uses_gradient_cache:
        value = loss.calculate_loss([list(e.split(2)) for e in embeddings], None, with_backward=True)
    else:
        value = loss.compute_loss_from_embeddings(embeddings, None)
        value.backward()
    return value.item(), [e.grad for e in embeddings]


def one_of_two(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rows = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    results = {name: loss_and_gradients(variant, rows, gather=True) for name, variant in VARIANTS.items()}
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one_with_the_joined_batch_hard_negatives_included(tmp_path):
    mp.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, variant in VARIANTS.items():
        value, gradients = loss_and_gradients(variant, slice(None), gather=False)
        values, parts = zip(first[name], second[name], strict=True)
        assert abs(sum(values) / 2 - value) < 1e-9, name
        for column, (a, b) in enumerate(zip(*parts, strict=True)):
            # What data-parallel training averages over the processes.
            torch.testing.assert_close(torch.cat([a, b]) / 2, gradients[column], atol=1e-9, rtol=0, msg=name)
