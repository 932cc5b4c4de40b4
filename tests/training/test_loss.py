"""GeckoLoss against a literal loop over eq. (3), in float64."""

import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from gecko_hf.training.loss import GeckoLoss

BATCH, WIDTH, T = 5, 12, 0.07


def vectors(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(BATCH, WIDTH, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(count)]


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a @ b) / (a.norm() * b.norm())


def equation_3(q, p, negatives=(), same_tower=True):
    """The paper's formula, term by term."""
    total = 0
    for i in range(BATCH):
        positive = torch.exp(cosine(q[i], p[i]) / T)
        z = 0
        for j in range(BATCH):
            z = z + torch.exp(cosine(q[i], p[j]) / T)
            if j != i and same_tower:
                z = z + torch.exp(cosine(q[i], q[j]) / T)
        for n in negatives:
            z = z + torch.exp(cosine(q[i], n[i]) / T)
        total = total - torch.log(positive / z)
    return total / BATCH


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("same_tower", [True, False])
def test_values_and_gradients_equal_the_equation(tiny_model, columns, same_tower):
    ours, theirs = vectors(columns), vectors(columns)
    loss = GeckoLoss(tiny_model, T, same_tower=same_tower).compute_loss_from_embeddings(ours, None)
    expected = equation_3(theirs[0], theirs[1], theirs[2:], same_tower)
    assert math.isclose(loss.item(), expected.item(), abs_tol=1e-9)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-9, rtol=0)


def test_without_negatives_it_is_the_stock_loss(tiny_model):
    stock = MultipleNegativesRankingLoss(
        tiny_model, scale=1 / T, directions=("query_to_doc", "query_to_query"), partition_mode="joint"
    )
    ours = GeckoLoss(tiny_model, T)
    assert ours.compute_loss_from_embeddings(vectors(2), None).item() == pytest.approx(
        stock.compute_loss_from_embeddings(vectors(2), None).item(), abs=1e-9
    )


def test_hard_negatives_of_other_rows_do_not_count(tiny_model):
    """What sets it apart from the stock loss: row 0 keeps its loss when the others' negatives change."""
    q, p, n = vectors(3)
    moved = n.detach().clone()
    moved[1:] = torch.randn(BATCH - 1, WIDTH, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    loss = GeckoLoss(tiny_model, T)
    loss.compute_loss_from_embeddings([q, p, n], None).backward()
    before = p.grad[0].clone(), q.grad.clone()
    p.grad = q.grad = None
    loss.compute_loss_from_embeddings([q, p, moved], None).backward()
    assert not torch.allclose(before[1][1:], q.grad[1:])
    stock = MultipleNegativesRankingLoss(tiny_model, scale=1 / T, directions=("query_to_doc", "query_to_query"))
    assert stock.compute_loss_from_embeddings([q, p, n], None) > loss.compute_loss_from_embeddings([q, p, n], None)


def test_matryoshka_adds_the_equation_at_every_width(tiny_model):
    texts = [["bread 1", "chess 2", "bees 3"], ["oven flour", "knight pawn", "hive honey"], ["mast", "soil", "arch"]]
    features = [tiny_model.preprocess(column) for column in texts]
    inner = GeckoLoss(tiny_model, T)
    loss = MatryoshkaLoss(tiny_model, inner, matryoshka_dims=[32, 8])
    with torch.no_grad():
        got = loss([dict(f) for f in features], None)
        full = [tiny_model(dict(f))["sentence_embedding"] for f in features]
        expected = sum(inner.compute_loss_from_embeddings([e[:, :d] for e in full], None) for d in (32, 8))
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_half_precision_embeddings_are_compared_in_float32(tiny_model):
    columns = vectors(3)
    exact = GeckoLoss(tiny_model, T).compute_loss_from_embeddings([c.float() for c in columns], None)
    rounded = GeckoLoss(tiny_model, T).compute_loss_from_embeddings([c.bfloat16() for c in columns], None)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), abs=0.05)


def test_the_model_card_gets_its_settings_and_the_paper(tiny_model):
    loss = GeckoLoss(tiny_model, 0.02, same_tower=False)
    assert loss.get_config_dict() == {
        "temperature": pytest.approx(0.02),
        "same_tower": False,
        "gather_across_devices": False,
    }
    assert "2403.20327" in loss.citation
