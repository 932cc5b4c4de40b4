"""Training at scale on a GPU: a step of an encoder of 150M parameters with a batch of thousands through gradient caching.

`python benchmarks/gpu_training.py` compares GeckoLoss with sentence-transformers' CachedMultipleNegativesRankingLoss on the same
random rows, which take turns, and prints a table: seconds, tokens a second, share of the GPU's peak (MFU) and peak memory.

The encoder is ModernBERT-base's shape, which ettin-encoder-150m shares, with random weights: what a step costs does not depend
on their values. A forward and backward of a token are 6 operations a parameter beside the embeddings; gradient caching adds a
forward, 2 more. Attention's own products are not counted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from common import record, say

QUERY, PASSAGE = 32, 256  # tokens


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--mini-batch-size", type=int, default=128)
    parser.add_argument("--small-batch", type=int, default=128, help="a second batch, for its peak memory")
    parser.add_argument("--steps", type=int, default=3, help="counted steps of each loss")
    parser.add_argument("--layers", type=int, default=22)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a GPU that torch can use; torch.cuda.is_available() says there is none.")
    torch.manual_seed(0)
    model = encoder(options.layers)
    weights = sum(p.numel() for n, p in model.named_parameters() if "embeddings" not in n)
    say(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {weights / 1e6:.0f}M parameters beside the embeddings"
    )
    say(
        "| loss | batch | seconds a step | tokens/s | MFU | peak memory |\n|---|---:|---:|---:|---:|---:|\n"
        + "\n".join(rows(model, weights, options))
    )


def rows(model: Any, weights: int, options: argparse.Namespace) -> list[str]:
    """A row of the table for each loss, and one for GeckoLoss at the small batch."""
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    from gecko_hf.training.loss import GeckoLoss
    from gecko_hf.training.plan import GPUS

    losses: dict[str, Any] = {
        "CachedMultipleNegativesRankingLoss": CachedMultipleNegativesRankingLoss(
            model,
            mini_batch_size=options.mini_batch_size,
            directions=("query_to_doc", "query_to_query"),
            partition_mode="joint",
        ),
        "GeckoLoss": GeckoLoss(model, mini_batch_size=options.mini_batch_size),
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    device = torch.cuda.get_device_name()
    peak = next((rate for name, (rate, _) in GPUS.items() if name.split("-")[0] in device), None)
    made = []
    for size, chosen in ((options.batch_size, losses), (options.small_batch, {"GeckoLoss": losses["GeckoLoss"]})):
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
        for round_ in range(options.steps + 1):
            for name, loss in chosen.items():
                measured[name].append(step(loss, features(size, round_), optimizer))
                sys.stderr.write(f"{name}, batch {size:,}, round {round_}: {measured[name][-1][0]:.2f} s\n")
        for name, found in measured.items():
            seconds = statistics.median(s for s, _ in found[1:])
            tokens = size * (QUERY + 2 * PASSAGE)
            mfu = f"{8 * weights * tokens / seconds / peak:.1%}" if peak else "peak unknown"
            memory = max(m for _, m in found) / 2**30
            made.append(f"| {name} | {size:,} | {seconds:.3f} | {tokens / seconds:,.0f} | {mfu} | {memory:.2f} GiB |")
            record(
                "gpu_training",
                device=device,
                loss=name,
                batch=size,
                seconds=round(seconds, 4),
                tokens_per_second=round(tokens / seconds),
                mfu=mfu,
                peak_memory_gib=round(memory, 2),
            )
    return made


def step(loss: Callable[..., Any], columns: list[dict[str, Any]], optimizer: Any) -> tuple[float, float]:
    """One optimizer step: seconds, and peak memory in bytes."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    optimizer.zero_grad()
    loss(columns, None).backward()
    optimizer.step()
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated()


def features(rows_: int, seed: int) -> list[dict[str, Any]]:
    """Columns of random tokens: queries, positives, negatives."""
    draw = torch.Generator().manual_seed(seed)
    columns = []
    for length in (QUERY, PASSAGE, PASSAGE):
        ids = torch.randint(10, 50000, (rows_, length), generator=draw).cuda()
        columns.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return columns


def encoder(layers: int) -> Any:
    """A SentenceTransformer of ModernBERT-base's shape with random weights, on the GPU."""
    from tokenizers import Tokenizer, models
    from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

    from gecko_hf.model.encoder import load_encoder

    config = ModernBertConfig(
        vocab_size=50368, hidden_size=768, intermediate_size=1152, num_hidden_layers=layers, num_attention_heads=12,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        ModernBertModel(config).save_pretrained(folder)
        tokenizer = Tokenizer(
            models.WordLevel({w: i for i, w in enumerate("[PAD] [UNK] a b c".split())}, unk_token="[UNK]")
        )
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
            folder
        )
        model = load_encoder(folder, PASSAGE).cuda().train()
    # On the forward, as accelerate does it: gradient caching repeats it in the backward pass, which no context is around.
    model.forward = torch.autocast("cuda", torch.bfloat16)(model.forward)
    return model


if __name__ == "__main__":
    main()
