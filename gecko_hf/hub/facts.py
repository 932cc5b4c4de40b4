"""What the cards say beyond the summary, each counted from what lies in the run folder."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gecko_hf.prompts import PromptFormat, model_prompts
from gecko_hf.run_folder import Paths, read_record
from gecko_hf.source import COMMIT

QUANTIZED = "quantized.json"  # in `logs/`
ONNX = "onnx.json"  # in `logs/`
FRET_PROMPTS = "fret_prompts.json"  # in `logs/`
WATTS_PER_CORE = 10  # ours: an assumption for a busy server core; no meter was read
PARTS = ("query", "positive", "negative")  # columns whose lengths the data set card shows


@dataclass(frozen=True)
class Length:
    """Words of a column: median, 95th percentile, most."""

    name: str
    median: float
    p95: float
    most: int


def text_lengths(paths: Paths) -> list[Length]:
    """How long queries, positives and negatives are, in words."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    counts: dict[str, array[int]] = {name: array("l") for name in PARTS}
    for file in sorted((paths.fret / "default").glob("*.parquet")):
        table = pq.read_table(file, columns=list(PARTS))
        for name in PARTS:
            counts[name].extend(len(text.split()) for text in table[name].to_pylist() if text is not None)
    return [
        Length(name, float(np.median(found)), float(np.percentile(found, 95)), max(found))
        for name, found in counts.items()
        if found
    ]


def label_columns(paths: Paths) -> list[str]:
    """The columns of FRet's `labels` config."""
    import pyarrow.parquet as pq

    return list(pq.read_schema(next((paths.fret / "labels").glob("*.parquet"))).names)


def fret_prompts(recipe: Mapping[str, Any], paths: Paths) -> dict[str, str]:
    """The prompts that language models read when FRet was made, in full."""
    file = paths.logs / FRET_PROMPTS
    if file.exists():
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return found
    return prompts_read(recipe)  # a run of an earlier version did not note them: what the files say now


def prompts_read(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The prompts that a FRet made now reads: who writes reads one, who judges the others; `unigram` reads none."""
    from gecko_hf.llm.fewshot import load_prompts

    writer, judge = recipe["llm"], recipe.get("judge") or recipe["llm"]
    judged = {"p_rc"} if recipe["fret"].get("one_pass") else {"p_ql", "p_rc"}
    return {
        name: text
        for llm, names in ((writer, {"p_qg"}), (judge, judged))
        if llm["backend"] != "unigram"
        for name, text in load_prompts(llm["prompts"]).heads.items()
        if name in names
    }


def prompt_format(recipe: Mapping[str, Any]) -> PromptFormat:
    """The format of a recipe's prompts; run folders from before there were others do not name it."""
    form: PromptFormat = recipe["encoder"].get("prompt_format", "gecko")
    return form


def prompts_of(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The prompts of the model that a recipe makes."""
    return model_prompts(prompt_format(recipe), recipe["encoder"].get("tasks", {}))


def learns_from_fret(recipe: Mapping[str, Any]) -> bool:
    """Whether fine-tuning reads the FRet of the run; a mixture may do without."""
    mixture = recipe["finetune"]["mixture"]
    return not mixture or any(e["kind"] == "fret" and e["source"] is None for e in mixture.values())


def learns_from_pairs(recipe: Mapping[str, Any]) -> bool:
    """Whether pre-finetuning reads (lead, body) pairs of the corpus; with no rows it leaves the base as it is."""
    stage = recipe["prefinetune"]
    return not stage["mixture"] and stage["rows"] > 0


def hub_sources(mixtures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The data sets of the Hub that mixtures read, each with its commit, which a local file has not on record."""
    read = [entry["recipe"] for sets in mixtures.values() for entry in sets.values()]
    return sorted({(e["source"], e["revision"]) for e in read if e["source"] and COMMIT.fullmatch(e["revision"] or "")})


def made_with(summary: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """`machine` and `versions` of a stage; summaries of earlier versions have those of the whole run only."""
    told = next(s for s in summary["stages"] if s["name"] == stage)
    made: Mapping[str, Any] = told.get("environment", summary)
    return made


def energy(summary: Mapping[str, Any]) -> dict[str, float] | None:
    """Hours, cores, watts and kWh of a run on the cores of one machine; None where a GPU took part, or another machine."""
    cores = re.search(r"(\d+) cores", summary["machine"])
    machines = {made_with(summary, stage["name"])["machine"] for stage in summary.get("stages", [])}
    # Summaries of earlier versions tell of each stage's machine its kind of device only.
    elsewhere = any(way["device"] != "cpu" for way in summary.get("computed", {}).values())
    if not cores or elsewhere or "GPU" in summary["machine"] or machines - {summary["machine"]}:
        return None
    hours, count = summary["seconds_total"] / 3600, int(cores[1])
    return {"hours": hours, "cores": count, "watts": WATTS_PER_CORE, "kwh": hours * count * WATTS_PER_CORE / 1000}


def quantized(paths: Paths) -> list[dict[str, Any]]:
    """What `gecko-hf quantize` measured of this model; nothing where it did not run since the model was made."""
    return _measured(paths, QUANTIZED)


def onnx_files(paths: Paths) -> list[dict[str, Any]]:
    """What `gecko-hf export` measured of this model's ONNX files; nothing where it has none."""
    return [row for row in _measured(paths, ONNX) if (paths.model / row["file"]).exists()]


def _measured(paths: Paths, name: str) -> list[dict[str, Any]]:
    """Rows that a command left in `logs/` about the model that is there now."""
    file = paths.logs / name
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    made = read_record(paths, "finetune")
    return list(found["rows"]) if made and found.get("model") == made["key"] else []


def layers(model: Path) -> list[str]:
    """The modules of a saved model, by their short names: `["Transformer", "Pooling", "Normalize"]`."""
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    return [module["type"].rsplit(".", 1)[-1] for module in modules]


def plain_mean_pooling(model: Path) -> bool:
    """Whether a token mean, and at most a normalisation after it, gives the model's vectors."""
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    if layers(model) not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    pooling = json.loads((model / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
    return bool(pooling.get("pooling_mode") == "mean" or pooling.get("pooling_mode_mean_tokens"))


def width(model: Path) -> int:
    """How many numbers a saved model gives for a text, before any are cut."""
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    found = 0
    for module in modules:
        file = model / module["path"] / "config.json"
        config = json.loads(file.read_text(encoding="utf-8")) if module["path"] and file.exists() else {}
        sizes = [config.get(key) for key in ("out_features", "word_embedding_dimension", "embedding_dimension")]
        found = next((size for size in sizes if size), found)
    return int(found)
