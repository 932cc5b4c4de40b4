"""The loss of Gecko's fine-tuning: eq. (3) of the paper.

    L = 1/B sum_i -log  exp(s(q_i, p_i)/t) / Z_i
    Z_i = sum_j ( exp(s(q_i, p_j)/t) + [j != i] exp(s(q_i, q_j)/t) ) + exp(s(q_i, n_i)/t)

In-batch positives of all rows, all other queries ("same tower"; Moiseev et al. 2023), and only the row's *own* hard
negative. sentence-transformers' MultipleNegativesRankingLoss is the same without hard negatives; with them it puts every
row's into every denominator. Eq. (2), the pre-finetuning loss, is this class without negatives and `same_tower=False`.

What later work does differently is an option (`LossOptions`), each off by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import all_gather, all_gather_with_grad, get_rank, pairwise_cos_sim
from torch import Tensor

from gecko_hf.training import regularisers
from gecko_hf.training.candidates import Batch, Block, mask_duplicates, mask_false_negatives, text_ids
from gecko_hf.training.lengths import by_length, embed_by_length
from gecko_hf.training.options import LossOptions
from gecko_hf.training.regularisers import Regulariser, distillation, spread_out


class GeckoLoss(CachedLossMixin, MultipleNegativesRankingLoss):
    """Eq. (3). Inputs: (query, positive) or (query, positive, negative, ...) columns; labels for distillation or keeping.

    Args:
        model: The model that is trained.
        temperature: t. The paper gives none; 0.05 is sentence-transformers' default scale of 20.
        same_tower: Whether other queries of the batch are negatives too.
        in_batch: Whether other rows' texts are negatives at all; without, a row competes with its own negatives alone.
        gather_across_devices: Whether positives and queries of other devices count as in-batch.
        mini_batch_size: Texts that are embedded at once. With it gradients are cached (GradCache, Gao et al. 2021), so
            that memory does not grow with the batch; the values are the same.
        chunk_size: Texts that are embedded in one forward, sorted by length, where gradients are not cached; None embeds a
            column at once.
        learn: Weight of eq. (3), or of what stands in its place.
        by_label: In the place of eq. (3), all texts of a label attract each other (`regularisers.same_label`); the labels are
            the first column of `labels`.
        keep: Weight of what binds the model to the base, whose vectors are the labels (`regularisers.keep`).
        options: What later work does differently.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        temperature: float = 0.05,
        *,
        same_tower: bool = True,
        in_batch: bool = True,
        gather_across_devices: bool = False,
        mini_batch_size: int | None = None,
        chunk_size: int | None = None,
        learn: float = 1.0,
        by_label: bool = False,
        keep: float = 0.0,
        options: LossOptions | None = None,
    ) -> None:
        super().__init__(
            model,
            scale=1 / temperature,
            gather_across_devices=gather_across_devices,
            directions=("query_to_doc", "query_to_query") if same_tower else ("query_to_doc",),
        )
        self.same_tower = same_tower and in_batch
        self.in_batch = in_batch
        self.options = options or LossOptions()
        self.uses_gradient_cache = mini_batch_size is not None
        self.mini_batch_size = mini_batch_size or 0
        self.chunk_size = chunk_size
        self.learn, self.by_label, self.keep = learn, by_label, keep
        self._ids: list[Tensor] | None = None
        self._places: Sequence[Tensor] | None = None  # of the rows, where the columns were sorted by length
        self._regularisers: list[Regulariser] = []
        if self.options.spread_out:
            self._regularisers.append(spread_out(model, self.options.spread_out))
        if self.options.distillation:
            self._regularisers.append(distillation(model, self.options.distillation, temperature))
        if by_label and learn:
            self._regularisers.append(regularisers.same_label(learn, temperature))
        if keep:
            self._regularisers.append(regularisers.keep(keep, temperature, behind=int(by_label)))

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Embed each column by itself: queries are short, and one merged forward would pad them to passage length."""
        features = list(sentence_features)
        if self.options.duplicate_mask:
            # Equal texts have equal token ids; their embeddings differ under dropout.
            self._ids = [text_ids(f) for f in features]
        try:
            if self.uses_gradient_cache:
                ordered, self._places = zip(*map(by_length, features), strict=True)
                return self.forward_cached(ordered, labels)
            if self.chunk_size:
                embeddings = [embed_by_length(self.model, f, self.chunk_size) for f in features]
                return self.compute_loss_from_embeddings(embeddings, labels)
            with column_merging_disabled():
                return super().forward(features, labels)
        finally:
            self._ids = self._places = None

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of embedded columns.

        Args:
            embeddings: Queries, positives, and any number of negatives; each of shape (batch, width).
            labels: For distillation a teacher's scores of the positive and the negatives, (batch, 1 + negatives); else a row's
                label where that is learned, and behind it for keeping the base's vectors of all its texts, (batch, columns x
                width of the base).
        """
        batch = self._batch(embeddings)
        loss = batch.columns[0].new_zeros(())
        if self._learns_rows:
            loss = self.learn * self._rows(batch, 0, len(batch.columns[0]))
        for regulariser in self._regularisers:
            loss = loss + regulariser(batch.columns, labels)
        return loss

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The same for embeddings in mini-batches, with scores of `mini_batch_size` rows alive at a time."""
        whole = [torch.cat(column) for column in reps]
        if self._places:
            whole = [c[place] for c, place in zip(whole, self._places, strict=True)]
        # Each part sends its gradients to these leaves at once, so that its graph does not outlive it.
        columns = [c.detach().requires_grad_() for c in whole] if with_backward else whole
        batch = self._batch(columns)
        size, total = len(columns[0]), columns[0].new_zeros(())
        for begin in range(0, size, self.mini_batch_size) if self._learns_rows else ():
            end = min(begin + self.mini_batch_size, size)
            part = self._rows(batch, begin, end) * (self.learn * (end - begin) / size)
            total = total + _done(part, with_backward)
        for regulariser in self._regularisers:
            total = total + _done(regulariser(batch.columns, labels), with_backward)
        if with_backward:
            used = [(c, leaf.grad) for c, leaf in zip(whole, columns, strict=True) if leaf.grad is not None]
            torch.autograd.backward([c for c, _ in used], [grad for _, grad in used])
        return total

    @property
    def _learns_rows(self) -> bool:
        return self.learn > 0 and not self.by_label

    def _batch(self, embeddings: list[Tensor]) -> Batch:
        """The columns of this device, and those of all devices that its queries are compared with."""
        if len(embeddings) < 2:
            raise ValueError(f"The loss needs a query and a positive column; {len(embeddings)} came.")
        # The softmax is taken in float32 (float64 stays): bfloat16 keeps 3 digits, and 1/t multiplies what it lost.
        columns = [e.float() if e.dtype != torch.float64 else e for e in embeddings]
        if not self.gather_across_devices:
            return Batch(columns, columns, self._ids, self._ids, 0)
        shared = len(columns) if self.options.hard_negatives == "all" else 2  # only what other rows are compared with
        everywhere = [all_gather_with_grad(c) for c in columns[:shared]]
        all_ids = [all_gather(i) for i in self._ids] if self._ids else None
        return Batch(columns, everywhere, self._ids, all_ids, get_rank() * len(columns[0]))

    def _rows(self, batch: Batch, begin: int, end: int) -> Tensor:
        """The mean loss of some of this device's rows."""
        blocks = self._blocks(batch, begin, end)
        if self.options.false_negative_margin is not None:
            blocks = mask_false_negatives(blocks, self.options.false_negative_margin)
        if self.options.duplicate_mask:
            blocks = mask_duplicates(blocks, batch, begin, end)
        logits = torch.cat([b.scores for b in blocks], dim=1) * self.scale
        if self.options.hardness:
            logits = logits + torch.cat([b.hardness(self.options.hardness) for b in blocks], dim=1)
        target = blocks[0].own  # the positive's column: the first block holds it
        if target is None:
            target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        return torch.nn.functional.cross_entropy(logits, target)

    def _blocks(self, batch: Batch, begin: int, end: int) -> list[Block]:
        """What the rows are compared with; the first block holds their positives."""
        queries, *documents = [c[begin:end] for c in batch.columns]
        columns = enumerate(documents, start=1)
        if not self.in_batch:
            return [_own_block(i, queries, d) for i, d in columns]
        row = torch.arange(len(queries), device=queries.device)
        here = row + begin + batch.offset
        blocks = [Block(1, self.similarity_fct(queries, batch.everywhere[1]), here)]
        if self.same_tower:
            others = self.similarity_fct(queries, batch.everywhere[0])
            blocks.append(Block(0, others.index_put((row, here), others.new_tensor(-torch.inf)), here))
        if self.options.hard_negatives == "own":
            return blocks + [_own_block(i, queries, d) for i, d in columns if i > 1]
        return blocks + [
            Block(i, self.similarity_fct(queries, n), here) for i, n in enumerate(batch.everywhere[2:], start=2)
        ]

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card shows: the loss, and the options that are on."""
        config = {
            "temperature": self.temperature,
            "same_tower": self.same_tower,
            "gather_across_devices": self.gather_across_devices,
        }
        if not self.in_batch:
            config["in_batch"] = False
        if self.by_label:
            config["by_label"] = True
        if self.keep:
            config |= {"learn": self.learn, "keep": self.keep}
        if self.uses_gradient_cache:
            config["mini_batch_size"] = self.mini_batch_size
        default = asdict(LossOptions())
        return config | {name: value for name, value in asdict(self.options).items() if value != default[name]}

    @property
    def citation(self) -> str:
        """BibTeX of the paper."""
        return """
@misc{lee2024gecko,
    title={Gecko: Versatile Text Embeddings Distilled from Large Language Models},
    author={Jinhyuk Lee and others},
    year={2024},
    eprint={2403.20327},
    archivePrefix={arXiv},
    primaryClass={cs.CL}
}
"""


def _own_block(column: int, queries: Tensor, documents: Tensor) -> Block:
    return Block(column, pairwise_cos_sim(queries, documents).unsqueeze(1), None)


def _done(part: Tensor, with_backward: bool) -> Tensor:
    """A part of the loss, with its gradients sent back where that is asked for."""
    if not with_backward:
        return part
    part.backward()  # type: ignore[no-untyped-call]
    return part.detach()
