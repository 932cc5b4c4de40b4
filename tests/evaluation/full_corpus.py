"""Searches 100,000 passages at 384 dimensions, by `gecko-hf evaluate`'s code or by mteb alone: time and memory of one process.

    python full_corpus.py {ours|mteb} DATA MODEL RESULTS

The encoder is a table of word vectors: it costs almost nothing, so what is compared is everything around it.
"""

import json
import random
import resource
import sys
import time
import warnings
from pathlib import Path

PASSAGES, QUERIES, WIDTH, WORDS = 100_000, 500, 384, 5_000


def write_data(folder: Path) -> None:
    rng = random.Random(0)
    words = [f"w{i}" for i in range(WORDS)]
    passages = [rng.choices(words, k=rng.randint(20, 60)) for _ in range(PASSAGES)]
    with (folder / "corpus.jsonl").open("w") as file:
        for i, passage in enumerate(passages):
            file.write(json.dumps({"_id": f"d{i}", "title": "", "text": " ".join(passage)}) + "\n")
    with (folder / "queries.jsonl").open("w") as file:
        for i in range(QUERIES):
            asked = rng.sample(passages[i * 7], k=4) + rng.choices(words, k=4)
            file.write(json.dumps({"_id": f"q{i}", "text": " ".join(asked)}) + "\n")
    (folder / "qrels").mkdir()
    lines = [f"q{i}\td{i * 7}\t1" for i in range(QUERIES)]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\n")


def write_model(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **{f"w{i}": i + 1 for i in range(WORDS)}}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=WIDTH)], device="cpu").save_pretrained(
        str(folder)
    )


def main(kind: str, data: Path, model: Path, results: Path) -> None:
    import mteb
    from rich.console import Console

    from gecko_hf.evaluation.evaluate import evaluate
    from gecko_hf.evaluation.local_data import local_tasks
    from gecko_hf.evaluation.model import open_model
    from gecko_hf.evaluation.results import read_results
    from gecko_hf.progress import View

    warnings.simplefilter("ignore")
    opened, tasks = open_model(str(model), device="cpu"), local_tasks(data)
    wall, cpu = time.monotonic(), time.process_time()
    if kind == "ours":
        evaluate(opened, tasks, [WIDTH], results, View(Console(file=sys.stderr)))
        (found,) = read_results(results)
        score = found.value
    else:
        cache = mteb.ResultCache(results)
        outcome = mteb.evaluate(opened.model, tasks[0], cache=cache, co2_tracker=False, show_progress_bar=False)
        score = outcome.task_results[0].get_score()
    used = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu, "score": score}
    used["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(used) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], *(Path(argument) for argument in sys.argv[2:5]))
