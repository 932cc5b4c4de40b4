"""The `fret` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gecko_hf.prompts import SEARCH_RESULT
from gecko_hf.schema import number

# What `gecko-hf fret relabel` may change: these choose among scores that `labels` keeps, and need no new LLM call.
LABEL_KEYS = ("positive", "negative", "negative_rank", "negative_margin", "relevance")


@dataclass(frozen=True)
class ExecutorRecipe:
    """Where FRet's steps run. Nothing that they make depends on it."""

    kind: Literal["local", "slurm", "ray", "jobs"] = "local"
    workers: int = number(1, low=1)  # parts at a time; local with 1 works in this process

    # what a task gets, of slurm and ray
    cpus: int = number(1, low=1)
    memory_gb: int = number(8, low=1)  # a task
    gpus: int = number(0, low=0)

    # slurm
    partition: str | None = None
    time: str = "24:00:00"
    setup: str | None = None  # shell line that activates the environment on a node
    sbatch: dict[str, str] = field(default_factory=dict)  # further options of sbatch, for example {account: lab}

    # jobs (Hugging Face Jobs; experimental in datatrove)
    flavor: str = "cpu-basic"
    storage: str | None = None  # where the jobs find the run and leave their parts, for example hf://buckets/USER/NAME
    install: list[str] = field(default_factory=lambda: ["gecko-hf"])  # what pip installs in a job


@dataclass(frozen=True)
class QualityRecipe:
    """Gates that a written query must pass; every one is off unless a recipe turns it on (the paper describes none)."""

    min_words: int = number(0, low=0)
    min_content_words: int = number(0, low=0)  # words that are not among the commonest of English
    # Longest run of words shared with the seed passage, as a share of the query; queries under 6 words are never copied
    max_copied: float | None = number(None, low=0.0, high=1.0)
    near_duplicate: float | None = number(None, low=0.5, high=1.0)  # Jaccard similarity of two queries; 1 = exact only
    test_sets: list[str] = field(default_factory=list)  # folders (jsonl, parquet, BEIR) or mteb task names
    test_ngram: int = number(13, low=3)  # words in a row that a text may not share with a test set
    test_near_identical: float = number(0.9, low=0.5, high=1.0)  # Jaccard similarity to a test text


@dataclass(frozen=True)
class FRetRecipe:
    """The two LLM steps: write (task, query), then choose the positive and the hard negative."""

    rows: int = number(3200, low=1)
    tasks: dict[str, float] = field(default_factory=lambda: {SEARCH_RESULT: 1.0})
    # table: each seed is asked for a task drawn by the weights of `tasks`; uniform: all of them alike; original: the
    # writer names a task itself, as in the paper
    task_distribution: Literal["table", "uniform", "original"] = "table"
    candidates: int = number(20, low=2)
    one_pass: bool = False  # QL from P_RC's prompt, which holds the query too: a quarter fewer requests (ours)
    relevance: Literal["peak", "expected"] = "peak"  # RC: log-likelihood of the top label, or expected grade
    positive: Literal["fused", "seed", "ql", "rc", "retriever"] = "fused"  # best by which ranking; seed: as written for
    negative: Literal["last", "random", "rank", "none"] = "last"
    negative_rank: int = number(10, low=2)  # negative: rank, counted from 1 in the fused order
    # Share of the positive's retrieval score that a negative's may reach (NV-Retriever, 2407.15831: 0.95); none: no check
    negative_margin: float | None = number(None, low=0.0, high=1.0)
    quality: QualityRecipe = field(default_factory=QualityRecipe)
    exact_up_to: int = number(1_000_000, low=0)  # passages; a larger corpus is mined through an IVF-PQ index
    part: int = number(16_384, low=1)  # seeds that one task of the executor works on; fixes how the work is cut
