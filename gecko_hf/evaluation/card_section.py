"""The section on mteb for a model card: scores, the prompts they were measured with, what was done about test data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from gecko_hf.evaluation.submission import Submission


def card_section(submission: Submission, zero_shot: str, set_aside: dict[str, int] | None) -> str:
    """Markdown for the model card.

    Args:
        submission: What is submitted.
        zero_shot: What may be said about it.
        set_aside: Reason -> training rows that the run left out, decontamination among them; None if no run is known.
    """
    dims = submission.dims
    found = {(s.task, s.dim): s for s in submission.scores}
    firsts = {s.task: s for s in submission.scores}
    lines = [f"## MTEB\n\nMeasured at commit `{submission.commit}`. {zero_shot}\n"]
    lines += ["| task | type | metric | " + " | ".join(map(str, dims)) + " |", "|---|---|---|" + "---:|" * len(dims)]
    for task, score in firsts.items():
        cells = [f"{100 * found[task, dim].value:.2f}" if (task, dim) in found else "" for dim in dims]
        lines.append(f"| {task} | {score.type} | {score.metric} | " + " | ".join(cells) + " |")
    lines += ["\n### Prompts\n", "| task | side | prompt name | literal prefix |", "|---|---|---|---|"]
    for task, score in firsts.items():
        for side, prompt in score.record["settings"]["prompts"].items():
            prefix = f"`{prompt['prefix']}`".replace("|", "\\|") if prompt["prefix"] else "none"
            lines.append(f"| {task} | {side} | {prompt['name'] or ''} | {prefix} |")
    lines.append("\n### Training data and test sets\n")
    lines.append(_set_aside_text(set_aside))
    if submission.left_out:
        lines.append(f"\nMeasured on local data as well, not submitted: {', '.join(submission.left_out)}.")
    lines += ["\n### Environment\n", *(f"- {line}" for line in _environment(submission))]
    return "\n".join(lines) + "\n"


def _set_aside_text(set_aside: dict[str, int] | None) -> str:
    if set_aside is None:
        return "No run folder was given, so nothing is known of a check against test sets."
    if not set_aside:
        return "The run set no training row aside; whether it checked against test sets stands in its recipe (fret.quality)."
    return "Training rows that the run set aside: " + ", ".join(f"{n:,} {why}" for why, n in set_aside.items()) + "."


def _environment(submission: Submission) -> list[str]:
    """Machine and versions, one line for each that occurs."""
    lines: dict[str, None] = {}
    for score in submission.scores:
        environment: dict[str, Any] = score.record["environment"]
        versions = ", ".join(
            f"{name} {environment['versions'][name]}"
            for name in ("mteb", "sentence-transformers", "transformers", "torch")
        )
        used = score.record["settings"]
        lines[f"{environment['machine']}; {used['dtype']}, {used['max_seq_length']} tokens; {versions}"] = None
    return list(lines)


def run_set_aside(run: Path | None) -> dict[str, int] | None:
    """Reason -> count of what a run left out of its training data: of FRet where the model reads it, pairs, and mixtures.

    None where nothing is known.
    """
    from gecko_hf.fret.build import set_aside_counts
    from gecko_hf.hub.facts import learns_from_fret, learns_from_pairs
    from gecko_hf.recipe import as_dict, load_run_recipe

    if run is None:
        return None
    recipe, logs = as_dict(load_run_recipe(run)), run / "logs"  # where an earlier recipe's files may lie, too
    found: list[dict[str, int]] = []
    if learns_from_fret(recipe) and (run / "fret" / "set_aside.jsonl").is_file():
        found.append(set_aside_counts(run / "fret"))
    for stage in ("prefinetune", "finetune"):
        if recipe[stage]["mixture"] and (file := logs / f"{stage}_mixture.json").is_file():
            found += [one["set_aside"] for one in json.loads(file.read_text(encoding="utf-8")).values()]
    if learns_from_pairs(recipe) and (file := logs / "prefinetune_pairs.json").is_file():
        found.append(json.loads(file.read_text(encoding="utf-8"))["set_aside"])
    if not found:
        return None
    counts: Counter[str] = Counter()
    for one in found:
        for reason, count in one.items():
            counts[reason.partition(":")[0]] += count
    return dict(counts.most_common())
