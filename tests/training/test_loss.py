"""GeckoLoss against a literal loop over eq. (3), in float64."""

import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from gecko_hf.training.candidates import text_ids
from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.options import LossOptions

BATCH, WIDTH, T = 5, 12, 0.07
ANY_MODEL = torch.nn.Identity()  # embeddings come ready


def vectors(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(BATCH, WIDTH, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(count)]


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a @ b) / (a.norm() * b.norm())


def equation_3(q, p, negatives=(), same_tower=True, in_batch=True, hard="own", hardness=0.0, drop=lambda i, j: False):
    """The paper's formula, term by term; `drop` says which rows j do not count for row i."""
    total = 0
    for i in range(BATCH):
        positive = torch.exp(cosine(q[i], p[i]) / T)
        z = positive
        for j in range(BATCH):
            if j == i or not in_batch or drop(i, j):
                continue
            z = z + torch.exp(cosine(q[i], p[j]) / T)
            if same_tower:
                z = z + torch.exp(cosine(q[i], q[j]) / T)
        for n in negatives:
            for j in range(BATCH) if hard == "all" and in_batch else [i]:
                s = cosine(q[i], n[j])
                z = z + torch.exp(s / T + (hardness * s.detach() if j == i else 0))
        total = total - torch.log(positive / z)
    return total / BATCH


def equal_with_gradients(ours, loss, theirs, expected):
    assert math.isclose(loss.item(), expected.item(), abs_tol=1e-9)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-9, rtol=0)


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("same_tower", [True, False])
def test_values_and_gradients_equal_the_equation(columns, same_tower):
    ours, theirs = vectors(columns), vectors(columns)
    loss = GeckoLoss(ANY_MODEL, T, same_tower=same_tower).compute_loss_from_embeddings(ours, None)
    expected = equation_3(theirs[0], theirs[1], theirs[2:], same_tower)
    equal_with_gradients(ours, loss, theirs, expected)


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize(
    "variant",
    [
        {"in_batch": False, "same_tower": False},
        {"hard": "all"},
        {"hardness": 5.0},
        {"hardness": 5.0, "hard": "all"},
        {"hardness": 5.0, "in_batch": False, "same_tower": False},
    ],
    ids=str,
)
def test_variants_equal_their_own_formula(columns, variant):
    if not variant.get("in_batch", True):
        columns += 1  # a row's own negatives are all that it has
    ours, theirs = vectors(columns), vectors(columns)
    options = LossOptions(hard_negatives=variant.get("hard", "own"), hardness=variant.get("hardness", 0.0))
    loss = GeckoLoss(ANY_MODEL, T, in_batch=variant.get("in_batch", True), options=options)
    equal_with_gradients(
        ours,
        loss.compute_loss_from_embeddings(ours, None),
        theirs,
        equation_3(theirs[0], theirs[1], theirs[2:], **variant),
    )


def test_all_hard_negatives_without_same_tower_is_the_stock_loss():
    stock = MultipleNegativesRankingLoss(ANY_MODEL, scale=1 / T, hardness_mode="hard_negatives", hardness_strength=5.0)
    ours = GeckoLoss(ANY_MODEL, T, same_tower=False, options=LossOptions(hard_negatives="all", hardness=5.0))
    assert ours.compute_loss_from_embeddings(vectors(4), None).item() == pytest.approx(
        stock.compute_loss_from_embeddings(vectors(4), None).item(), abs=1e-9
    )


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_texts_that_score_above_the_positive_by_a_margin_do_not_count(margin):
    q, p, n = (v.detach() for v in vectors(3))
    close = torch.tensor([[cosine(a, b) - cosine(a, c) for b in p] for a, c in zip(q, p, strict=True)])
    near = torch.tensor([[cosine(a, b) - cosine(a, c) for b in q] for a, c in zip(q, p, strict=True)])
    assert (close > margin).any()
    total = 0
    for i in range(BATCH):
        positive = torch.exp(cosine(q[i], p[i]) / T)
        z = positive + torch.exp(cosine(q[i], n[i]) / T)  # a row's own negative always counts
        for j in range(BATCH):
            if j != i:
                z = z + (close[i, j] <= margin) * torch.exp(cosine(q[i], p[j]) / T)
                z = z + (near[i, j] <= margin) * torch.exp(cosine(q[i], q[j]) / T)
        total = total - torch.log(positive / z)
    loss = GeckoLoss(ANY_MODEL, T, options=LossOptions(false_negative_margin=margin))
    assert loss.compute_loss_from_embeddings([q, p, n], None).item() == pytest.approx((total / BATCH).item(), abs=1e-9)


TEXTS = [
    ["bread 1", "chess 2", "bees 3", "bread 1", "glass 5"],
    ["oven flour", "knight pawn", "hive honey", "crust loaf", "hive honey"],
    ["mast", "knight pawn", "soil", "arch", "span"],
]


def test_rows_with_the_same_query_or_positive_do_not_count_for_each_other(tiny_model):
    """Rows 0 and 3 share the query, 2 and 4 the positive, and row 1's negative is its positive."""
    features = [tiny_model.preprocess(column) for column in TEXTS]
    with torch.no_grad():
        q, p, n = [tiny_model(dict(f))["sentence_embedding"].double() for f in features]
        pairs = {(0, 3), (3, 0), (2, 4), (4, 2)}
        expected = 0.0
        for i in range(BATCH):
            positive = torch.exp(cosine(q[i], p[i]) / T)
            z = positive + (0 if i == 1 else torch.exp(cosine(q[i], n[i]) / T))
            for j in range(BATCH):
                if j != i and (i, j) not in pairs:
                    z = z + torch.exp(cosine(q[i], p[j]) / T) + torch.exp(cosine(q[i], q[j]) / T)
            expected -= torch.log(positive / z).item() / BATCH
    options = LossOptions(duplicate_mask=True)
    for size in (None, 2):
        loss = GeckoLoss(tiny_model.eval(), T, options=options, mini_batch_size=size)
        assert loss([dict(f) for f in features], None).item() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="with token ids, not with embeddings"):
        loss.compute_loss_from_embeddings(vectors(3), None)


@pytest.mark.parametrize("side", ["left", "right"])
def test_equal_texts_have_equal_ids_whatever_they_are_padded_to(tiny_model, side):
    tiny_model.tokenizer.padding_side = side
    short = text_ids(tiny_model.preprocess(["bread 1", "oven"]))
    long = text_ids(tiny_model.preprocess(["oven", "bread 1", "1 bread", "the knight protects the pawn"]))
    assert short.tolist() == [long[1], long[0]]
    assert len(set(long.tolist())) == 4


def test_spread_out_adds_the_term_of_queries_and_positives():
    columns = vectors(3)
    plain = GeckoLoss(ANY_MODEL, T).compute_loss_from_embeddings(columns, None)
    got = GeckoLoss(ANY_MODEL, T, options=LossOptions(spread_out=0.5)).compute_loss_from_embeddings(columns, None)
    term = 0
    for x in columns[:2]:
        s = torch.stack([cosine(x[i], x[j]) for i in range(BATCH) for j in range(BATCH) if i != j])
        term = term + s.mean() ** 2 + torch.relu((s**2).mean() - 1 / WIDTH)
    assert got.item() == pytest.approx((plain + 0.5 * term).item(), abs=1e-9)


def test_distillation_adds_the_divergence_from_the_teachers_scores():
    columns, teacher = vectors(4), torch.tensor([[3.0, 1.0, 0.5]] * BATCH, dtype=torch.float64)
    loss = GeckoLoss(ANY_MODEL, T, options=LossOptions(distillation=2.0))
    plain = GeckoLoss(ANY_MODEL, T).compute_loss_from_embeddings(columns, None)
    q, *documents = columns
    student = torch.stack([torch.stack([cosine(q[i], d[i]) for d in documents]) for i in range(BATCH)]) / T
    target = torch.softmax(teacher, 1)
    divergence = (target * (target.log() - torch.log_softmax(student, 1))).sum(1).mean()
    assert loss.compute_loss_from_embeddings(columns, teacher).item() == pytest.approx(
        (plain + 2 * divergence).item(), abs=1e-9
    )
    with pytest.raises(ValueError, match="a column `scores`"):
        loss.compute_loss_from_embeddings(columns, None)


EVERYTHING = LossOptions(
    hard_negatives="all", duplicate_mask=True, false_negative_margin=0.1, hardness=2.0, spread_out=0.5
)


def divergence(texts, base):
    """KL of each text's softmax over the others, by the literal formula."""
    total = 0
    for i in range(len(texts)):
        others = [j for j in range(len(texts)) if j != i]
        p, q = (torch.stack([cosine(v[i], v[j]) / T for j in others]).softmax(0) for v in (base, texts))
        total = total + (p * (p / q).log()).sum()
    return total / len(texts)


@pytest.mark.parametrize("learn", [0.0, 0.5])
def test_keeping_binds_whole_vectors_to_those_of_the_base(learn):
    ours, theirs, base = vectors(3), vectors(3), vectors(3, seed=1)
    labels = torch.cat([b.detach() for b in base], dim=1)
    loss = GeckoLoss(ANY_MODEL, T, learn=learn, keep=2.0).compute_loss_from_embeddings(ours, labels)
    pairs = [(v, w) for column, of_base in zip(theirs, base, strict=True) for v, w in zip(column, of_base, strict=True)]
    distance = sum(1 - cosine(v, w.detach()) for v, w in pairs) / len(pairs)
    equal_with_gradients(ours, loss, theirs, learn * equation_3(*theirs[:2], theirs[2:]) + 2 / T * distance)


def test_narrow_vectors_are_compared_with_whole_ones_of_the_base():
    ours, theirs = ([c[:, :4].detach().requires_grad_() for c in vectors(2)] for _ in range(2))
    base = torch.cat(vectors(2, seed=1), dim=1).detach()
    loss = GeckoLoss(ANY_MODEL, T, learn=0.0, keep=1.0).compute_loss_from_embeddings(ours, base)
    equal_with_gradients(ours, loss, theirs, divergence(torch.cat(theirs), torch.cat(base.chunk(2, dim=1))))


@pytest.mark.parametrize("width", [None, 4])
def test_nothing_is_lost_where_the_vectors_are_those_of_the_base(width):
    columns, base = vectors(2), vectors(2)
    if width:  # the rest of the base's vectors is empty, so that the narrow ones have its similarities
        columns = [c[:, :width] for c in columns]
        base = [torch.nn.functional.pad(c, (0, 4)) for c in columns]
    loss = GeckoLoss(ANY_MODEL, T, learn=0.0, keep=1.0)
    assert abs(loss.compute_loss_from_embeddings(columns, torch.cat(base, dim=1).detach()).item()) < 1e-12


def supervised_contrastive(texts, labels):
    """Khosla et al. 2020, eq. 2 (L_out), term by term."""
    total = 0
    for i in range(len(texts)):
        others = [j for j in range(len(texts)) if j != i]
        same = [j for j in others if labels[j] == labels[i]]
        z = sum(torch.exp(cosine(texts[i], texts[j]) / T) for j in others)
        total = total - sum(torch.log(torch.exp(cosine(texts[i], texts[p]) / T) / z) for p in same) / len(same)
    return total / len(texts)


@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 1], [3, 3, 3, 3, 3], [0, 1, 2, 3, 4]])
def test_texts_of_a_label_attract_each_other(labels):
    ours, theirs = vectors(2), vectors(2)
    numbers = torch.tensor(labels, dtype=torch.float32)[:, None]
    loss = GeckoLoss(ANY_MODEL, T, learn=0.5, by_label=True).compute_loss_from_embeddings(ours, numbers)
    equal_with_gradients(ours, loss, theirs, 0.5 * supervised_contrastive(torch.cat(theirs), labels * 2))


@pytest.mark.parametrize("learn", [0.0, 1.0])
def test_labels_can_be_learned_and_the_base_kept_at_once(learn):
    ours, theirs, base = vectors(2), vectors(2), torch.cat(vectors(2, seed=1), dim=1).detach()
    labels = torch.tensor([[0.0], [1], [0], [2], [1]])
    both = GeckoLoss(ANY_MODEL, T, learn=learn, by_label=True, keep=1.0).compute_loss_from_embeddings(
        ours, torch.cat([labels, base], dim=1)
    )
    learned = GeckoLoss(ANY_MODEL, T, by_label=True).compute_loss_from_embeddings(theirs, labels)
    kept = GeckoLoss(ANY_MODEL, T, learn=0.0, keep=1.0).compute_loss_from_embeddings(theirs, base)
    equal_with_gradients(ours, both, theirs, learn * learned + kept)


def test_learning_by_label_without_labels_is_refused():
    with pytest.raises(ValueError, match="a column `label`"):
        GeckoLoss(ANY_MODEL, T, by_label=True).compute_loss_from_embeddings(vectors(2), None)


def test_keeping_without_vectors_is_refused():
    with pytest.raises(ValueError, match="a column `label`"):
        GeckoLoss(ANY_MODEL, T, keep=1.0).compute_loss_from_embeddings(vectors(2), None)


@pytest.mark.parametrize("dims", [None, [32, 8]])
@pytest.mark.parametrize("options", [LossOptions(), EVERYTHING], ids=["paper", "options"])
def test_gradient_caching_changes_neither_value_nor_gradients(tiny_model, options, dims):
    """In mini-batches of two texts, of which five are not a multiple; in float64, so that rounding does not hide anything."""
    tiny_model.double()
    features = [tiny_model.preprocess(column) for column in TEXTS]
    results = []
    for size in (None, 2):
        loss = GeckoLoss(tiny_model.train(), T, options=options, mini_batch_size=size)
        for module in tiny_model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # the two draw dropout in another order
        whole = MatryoshkaLoss(tiny_model, loss, matryoshka_dims=dims) if dims else loss
        tiny_model.zero_grad()
        value = whole([dict(f) for f in features], None)
        value.backward()
        results.append(
            (value.item(), {k: p.grad.clone() for k, p in tiny_model.named_parameters() if p.grad is not None})
        )
    (value, grads), (cached_value, cached_grads) = results
    assert cached_value == pytest.approx(value, abs=1e-9)
    assert grads.keys() == cached_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(cached_grads[name], grad, atol=1e-9, rtol=0)


def test_without_negatives_it_is_the_stock_loss():
    stock = MultipleNegativesRankingLoss(
        ANY_MODEL, scale=1 / T, directions=("query_to_doc", "query_to_query"), partition_mode="joint"
    )
    ours = GeckoLoss(ANY_MODEL, T)
    assert ours.compute_loss_from_embeddings(vectors(2), None).item() == pytest.approx(
        stock.compute_loss_from_embeddings(vectors(2), None).item(), abs=1e-9
    )


def test_hard_negatives_of_other_rows_do_not_count():
    """What sets it apart from the stock loss: row 0 keeps its loss when the others' negatives change."""
    q, p, n = vectors(3)
    moved = n.detach().clone()
    moved[1:] = torch.randn(BATCH - 1, WIDTH, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    loss = GeckoLoss(ANY_MODEL, T)
    loss.compute_loss_from_embeddings([q, p, n], None).backward()
    before = p.grad[0].clone(), q.grad.clone()
    p.grad = q.grad = None
    loss.compute_loss_from_embeddings([q, p, moved], None).backward()
    assert not torch.allclose(before[1][1:], q.grad[1:])
    stock = MultipleNegativesRankingLoss(ANY_MODEL, scale=1 / T, directions=("query_to_doc", "query_to_query"))
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


def test_half_precision_embeddings_are_compared_in_float32():
    columns = vectors(3)
    exact = GeckoLoss(ANY_MODEL, T).compute_loss_from_embeddings([c.float() for c in columns], None)
    rounded = GeckoLoss(ANY_MODEL, T).compute_loss_from_embeddings([c.bfloat16() for c in columns], None)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), abs=0.05)


def test_the_model_card_gets_its_settings_and_the_paper():
    loss = GeckoLoss(ANY_MODEL, 0.02, same_tower=False)
    assert loss.get_config_dict() == {
        "temperature": pytest.approx(0.02),
        "same_tower": False,
        "gather_across_devices": False,
    }
    assert "2403.20327" in loss.citation


def test_the_model_card_names_the_options_that_are_on_and_no_others():
    loss = GeckoLoss(ANY_MODEL, in_batch=False, mini_batch_size=16, options=LossOptions(hardness=5.0))
    config = loss.get_config_dict()
    assert {k: config[k] for k in ("in_batch", "mini_batch_size", "hardness")} == {
        "in_batch": False, "mini_batch_size": 16, "hardness": 5.0,
    }  # fmt: skip
    assert "duplicate_mask" not in config


def test_one_column_is_refused():
    with pytest.raises(ValueError, match="needs a query and a positive column; 1 came"):
        GeckoLoss(ANY_MODEL).compute_loss_from_embeddings(vectors(1), None)
