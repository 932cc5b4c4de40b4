"""Checks what the leaderboard wants, then writes it: mteb's results layout, `.eval_results`, and the card's section.

OUT/results/ORG__NAME/COMMIT/     TASK.json, model_meta.json, run_settings.jsonl, experiments/ (narrower widths)
OUT/hub/.eval_results/TASK.yaml   scores that the Hub shows beside the model, an entry a task
OUT/hub/mteb.md                   the section for the model card: scores, prompts, zero-shot status
OUT/model_meta.py                 the entry for mteb's own list of models
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from mteb.cache import ResultCache
from mteb.models.model_meta import ModelMeta
from mteb.results import TaskResult

from gecko_hf.errors import EvaluationError, SubmissionError
from gecko_hf.evaluation.model import OpenModel
from gecko_hf.evaluation.records import differing, settings
from gecko_hf.evaluation.results import TaskScore
from gecko_hf.evaluation.tasks import mteb_tasks

LIMIT = 10 * 2**20  # bytes of one file in mteb's results repository
OF_THE_MODEL = {"prompts", "max_seq_length", "dtype", "similarity", "precision"}  # settings that a push carries along
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Submission:
    """What is submitted: public results of one model, and where they lie.

    Attributes:
        hub_id: `organisation/name`.
        commit: Of the model on the Hub.
        scores: Public tasks only.
        left_out: Names of local tasks.
        source: The results folder.
    """

    hub_id: str
    commit: str
    scores: list[TaskScore]
    left_out: list[str]
    source: Path

    @property
    def dims(self) -> list[int]:
        """The measured widths, widest first."""
        return sorted({s.dim or 0 for s in self.scores}, reverse=True)

    def file(self, score: TaskScore) -> Path:
        """Mteb's result file of a score."""
        root = self.source / "results" / score.model.replace("/", "__") / score.revision
        width = score.record.get("width", score.dim)
        return (root if score.dim == width else root / "experiments" / f"embed_dim_{score.dim}") / f"{score.task}.json"


def collect(opened: OpenModel, scores: Sequence[TaskScore], hub_id: str, commit: str, source: Path) -> Submission:
    """The results of a model that can be submitted.

    Args:
        opened: The checkpoint that was measured; a folder or the Hub id itself.
        scores: Everything in the results folder.
        hub_id: Where the model is on the Hub.
        commit: At which commit.
        source: The results folder.

    Raises:
        SubmissionError: With every finding, each with what to do.
    """
    findings = []
    if not HUB_ID.fullmatch(hub_id) or hub_id.startswith("local/"):
        findings.append(f"{hub_id!r} is no Hub id. Push the model first and give organisation/name.")
    if not COMMIT.fullmatch(commit):
        findings.append(
            f"{commit!r} is no commit: mteb files results under the 40 hexadecimal digits of the model's commit. "
            "They stand on the model's Hub page under 'History'."
        )
    if opened.on_hub and (opened.name, opened.revision) != (hub_id, commit):
        findings.append(f"The model is {opened.name} at {opened.revision}, the submission names {hub_id} at {commit}.")
    mine = [s for s in scores if s.model == opened.name and s.revision == opened.revision]
    others = sorted({s.revision for s in scores if s.model == opened.name} - {opened.revision})
    if not mine and others:
        findings.append(
            f"The results of {opened.name} are of other weights ({', '.join(others)}; these are {opened.revision}). "
            "Measure these: gecko-hf evaluate."
        )
    public = [s for s in mine if not s.local]
    if not public and not (not mine and others):
        findings.append(f"There are no results of {opened.name} on tasks of mteb. Local tasks cannot be submitted.")
    found = Submission(hub_id, commit, public, sorted({s.task for s in mine if s.local}), source)
    for score in public:
        findings += check_result(found, score, opened)
    if findings:
        raise SubmissionError("Not ready to submit:\n" + "\n".join(f"- {finding}" for finding in findings))
    return found


def check_result(submission: Submission, score: TaskScore, opened: OpenModel) -> list[str]:
    """What is wrong with one result of a model, as that reads the task when nothing is said to it."""
    name = f"{score.task} at {score.dim}"
    if not score.record:
        return [f"{name} has no record of its prompts and settings. Measure it with gecko-hf evaluate."]
    file = submission.file(score)
    findings = []
    if file.stat().st_size > LIMIT:
        findings.append(f"{file} has {file.stat().st_size / 2**20:.1f} MiB; the results repository takes at most 10.")
    try:
        task = mteb_tasks([score.task])[0]
    except EvaluationError as error:
        return [*findings, f"{file} cannot be submitted: {error}"]
    result = TaskResult.from_disk(file)
    if result.dataset_revision != task.metadata.revision:
        findings.append(
            f"{name} was measured on data of revision {result.dataset_revision}; mteb has {task.metadata.revision}. "
            "Measure it again."
        )
    asked = score.record["settings"].get("splits")
    if asked is None:
        findings.append(f"{name} has no record of the splits and subsets that were asked for. Measure it again.")
    elif missing := {s: left for s, names in asked.items() if (left := sorted({*names} - {*score.splits.get(s, ())}))}:
        findings.append(f"{name} lacks {_missing_text(missing)}. Measure it again.")
    if not (file.parent / "run_settings.jsonl").is_file():
        findings.append(f"{file.parent} has no run_settings.jsonl, which mteb writes. Measure {score.task} again.")
    different = [key for key in differing(score.record, settings(opened, task)) if key in OF_THE_MODEL]
    if different:
        findings.append(
            f"{name} was measured with other {', '.join(different)} than the model has, so whoever loads it gets other scores. "
            'Measure it again without --max-length and --dtype, and with --benchmark "MTEB(eng, v1)" in the place of --paper.'
        )
    prompts = score.record["settings"]["prompts"]
    bare = [side for side, prompt in prompts.items() if not prompt["prefix"]]
    if 0 < len(bare) < len(prompts):
        findings.append(f"{name} was read without a prompt on the {bare[0]} side only. Look with gecko-hf doctor.")
    return findings


def _missing_text(missing: dict[str, list[str]]) -> str:
    return "; ".join(f"split {split} ({', '.join(subsets)})" for split, subsets in missing.items())


def write_submission(submission: Submission, metas: dict[int, ModelMeta], out: Path, card: str) -> None:
    """Write the whole tree into an empty folder, and load it back with mteb.

    Args:
        submission: What `collect` returned.
        metas: What `declared_meta` returned.
        out: A folder that does not exist or is empty.
        card: The section for the model card.

    Raises:
        SubmissionError: If the folder holds something, or mteb does not read back what was written.
    """
    if out.exists() and any(out.iterdir()):
        raise SubmissionError(f"{out} is not empty. Give a new folder: --out DIR")
    cache = ResultCache(out)
    for dim, meta in metas.items():
        scores = [s for s in submission.scores if s.dim == dim]
        folder = cache.get_task_result_path("x", meta).parent
        folder.mkdir(parents=True)
        for score in scores:
            shutil.copy2(submission.file(score), folder / f"{score.task}.json")
        text = json.dumps(meta.to_dict(), default=str, indent=4)
        (folder / "model_meta.json").write_text(text, encoding="utf-8")
        names = {s.task for s in scores}
        lines = (submission.file(scores[0]).parent / "run_settings.jsonl").read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["task"] in names]
        (folder / "run_settings.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
        for score in scores:
            back = cache.load_task_result(score.task, meta)
            if back is None or back.get_score() != TaskResult.from_disk(submission.file(score)).get_score():
                raise SubmissionError(f"mteb does not read back {folder / score.task}.json as it was measured.")
    widest = metas[submission.dims[0]]
    (out / "model_meta.py").write_text(widest.to_python() + "\n", encoding="utf-8")
    hub = out / "hub" / ".eval_results"
    hub.mkdir(parents=True)
    for task, entries in eval_entries(submission).items():
        text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
        (hub / f"{task}.yaml").write_text(text, encoding="utf-8")
    (out / "hub" / "mteb.md").write_text(card, encoding="utf-8")


def eval_entries(submission: Submission) -> dict[str, list[EvalResultEntry]]:
    """The Hub's evaluation entries, by task: the main metric in points at the full width, and at others with a note."""
    entries: dict[str, list[EvalResultEntry]] = {}
    for score in submission.scores:
        dataset = mteb_tasks([score.task])[0].metadata.dataset
        if "/" not in dataset["path"] or " " in dataset["path"]:
            continue  # an aggregate has no data set of its own
        width = score.record["width"]
        note = f"mteb {score.record['settings']['mteb']}, {score.metric}"
        entry = EvalResultEntry(
            dataset_id=dataset["path"],
            task_id=score.task if score.dim == width else f"{score.task}_{score.dim}d",
            value=round(100 * score.value, 5),
            dataset_revision=dataset["revision"],
            date=score.record["finished_at"],
            source_url="https://github.com/embeddings-benchmark/mteb",
            source_name="MTEB",
            notes=note if score.dim == width else f"{note}, first {score.dim} of {width} dimensions",
        )
        entries.setdefault(score.task, []).append(entry)
    return entries
