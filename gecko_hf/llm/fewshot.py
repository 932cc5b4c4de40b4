"""P_QG, P_QL and P_RC: few-shot prompts, read from files and versioned by their hash.

A prompt is a fixed head (instruction and worked examples), then the passage, then what is asked: in this order, so that a
server's prefix cache holds the head for all requests and the passage for those that follow each other. A text that is to be
scored is always a prefix that ends in a sign and a continuation that begins with a space, which is a token boundary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt

NAMES = ("p_qg", "p_ql", "p_rc")
OWN_SETS = ("multilingual",)  # of the package, beside the one for any text


@dataclass(frozen=True)
class FewShotPrompts:
    """The three prompts.

    Attributes:
        heads: Prompt name -> instruction and examples, as the LLM reads them.
        tasks: Short task name -> the sentence that P_QG reads for it.
        hashes: Prompt name -> hash of its file.
        written: Task and query of each P_QG example: what the LLM is shown to write.
    """

    heads: Mapping[str, str]
    tasks: Mapping[str, str]
    hashes: Mapping[str, str]
    written: tuple[tuple[str, str], ...] = ()

    def generation(self, prompt: PassagePrompt) -> str:
        """P_QG, up to where the LLM writes: after `Query:` where the task is given, else after `Task:`."""
        head = f"{self.heads['p_qg']}{_passage(prompt.title, prompt.text)}Task:"
        return f"{head} {self.tasks.get(prompt.task, prompt.task)}\nQuery:" if prompt.task else head

    def likelihood(self, prompt: PassagePrompt) -> str:
        """P_QL, up to where the query stands."""
        return f"{self.heads['p_ql']}{_passage(prompt.title, prompt.text)}Query:"

    def relevance(self, prompt: PassagePrompt, *, apart: bool = False) -> str:
        """P_RC, up to where the label stands.

        Args:
            prompt: A passage with its query.
            apart: Whether the query's last token must end with the query: Llama 3's and Qwen's take a question mark and the
                end of the line for one, unless a space stands between.

        Raises:
            ValueError: If the prompt has no query.
        """
        before, query = self.relevance_parts(prompt)
        return f"{before}{query}{' ' if apart else ''}\nRelevance:"

    def relevance_parts(self, prompt: PassagePrompt) -> tuple[str, str]:
        """P_RC up to where the query stands, and the query as it stands there.

        Raises:
            ValueError: If the prompt has no query.
        """
        if prompt.query is None:
            raise ValueError(f"The prompt for {prompt.key!r} has no query; relevance is of a query to a passage.")
        return f"{self.heads['p_rc']}{_passage(prompt.title, prompt.text)}Query:", f" {one_line(prompt.query)}"


def one_line(text: str) -> str:
    """A text with every run of white space as one space: an empty line would end an example."""
    return " ".join(text.split())


@lru_cache(maxsize=8)
def load_prompts(folder: str | None = None) -> FewShotPrompts:
    """Read the three prompts from a folder, or those of the package, which has a second set named `multilingual`.

    Raises:
        LLMError: If a file is missing or lacks a field; it is named.
    """
    own = resources.files("gecko_hf.llm") / "prompts"
    root = own / folder if folder in OWN_SETS else Path(folder) if folder else own
    heads, hashes = {}, {}
    tasks: dict[str, str] = {}
    written: list[tuple[str, str]] = []
    for name in NAMES:
        file = root / f"{name}.yaml"
        try:
            content = file.read_bytes()
            tree = yaml.safe_load(content)
            heads[name] = _head(name, tree)
            tasks.update(tree.get("tasks") or {})
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise LLMError(
                f"{file} is no few-shot prompt: {type(error).__name__} {' '.join(str(error).split())[:200]} It needs "
                "`instruction` and `examples`, as the files in gecko_hf/llm/prompts have them."
            ) from error
        hashes[name] = hashlib.sha256(content).hexdigest()[:16]
        if name == "p_qg":
            written = [(one_line(e["task"]), one_line(e["query"])) for e in tree["examples"]]
    return FewShotPrompts(heads, tasks, hashes, tuple(written))


def _head(name: str, tree: dict[str, Any]) -> str:
    blocks = [one_line(tree["instruction"])]
    if not tree["examples"]:
        raise ValueError("`examples` is empty.")
    for example in tree["examples"]:
        lines = {
            "p_qg": lambda e: f"Task: {one_line(e['task'])}\nQuery: {one_line(e['query'])}",
            "p_ql": lambda e: f"Query: {one_line(e['query'])}",
            "p_rc": lambda e: f"Query: {one_line(e['query'])}\nRelevance: {_grade(e['label'])}",
        }[name](example)
        blocks.append(_passage(example.get("title", ""), example["text"]) + lines)
    return "\n\n".join(blocks) + "\n\n"


def _grade(label: str) -> str:
    if label not in RELEVANCE_LABELS:
        raise KeyError(f"the label {label!r} is none of {', '.join(RELEVANCE_LABELS)}.")
    return label


def _passage(title: str, text: str) -> str:
    start = f"Title: {one_line(title)}\n" if title.strip() else ""
    return f"{start}Passage: {one_line(text)}\n"
