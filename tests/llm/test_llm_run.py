"""`gecko-hf run recipes/domain llm.backend=local llm.model=PATH`, with a tiny model."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from causal import save_causal_model, write_prompts
from datasets import load_dataset
from servers import TestServer, TorchModel

from gecko_hf import pipeline, spending
from gecko_hf.errors import LLMError
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt
from gecko_hf.llm.budget import BudgetRecipe
from gecko_hf.llm.open import open_annotator
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.recipe import load_recipe

DOMAIN = Path(__file__).parents[2] / "recipes" / "domain"


@pytest.fixture(scope="module")
def talker(tmp_path_factory) -> Path:
    """A random model that ends its lines, so that some of its replies are queries."""
    return save_causal_model(tmp_path_factory.mktemp("talker") / "model", newline=6.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_recipe_runs_to_its_report_with_a_model_in_this_process(
    tmp_path, talker, tiny_model_path, library_folder, monkeypatch
):
    from rich.console import Console

    overrides = [
        f"corpus.path={library_folder}", f"output={tmp_path / 'r'}", f"encoder.base={tiny_model_path}", "encoder.dims=[8]",
        "llm.backend=local", f"llm.model={talker}", f"llm.prompts={write_prompts(tmp_path / 'prompts')}", "llm.max_tokens=24",
        "prefinetune.rows=16", "prefinetune.batch_size=8", "fret.rows=12", "fret.candidates=3", "finetune.batch_size=2",
        "evaluation.held_out=0.2", "budget.prompt_price=1000",
    ]  # fmt: skip
    monkeypatch.setattr(spending, "TOLD_EVERY", 3600)  # else a slow machine tells between them too
    with (tmp_path / "seen").open("w") as sink:
        folder = pipeline.run(load_recipe(DOMAIN, overrides), Console(file=sink, width=140))
    counts = json.loads((folder / "logs" / "fret.json").read_text())["counts"]
    assert counts["rows"] >= 4
    assert counts["rows"] + counts["set_aside"] == 12  # nothing is dropped silently
    labels = load_dataset("parquet", data_files=str(folder / "fret/labels/train.parquet"), split="train")
    assert {*labels["llm"]} == {str(talker)}
    assert all(r.startswith("sha256:") for r in labels["llm_revision"])
    assert all(value < 0 for row in labels for value in row["ql"] + row["rc"])
    reasons = [json.loads(line)["reason"] for line in (folder / "fret" / "set_aside.jsonl").read_text().splitlines()]
    assert all("is not a line 'Task: ...'" in reason for reason in reasons)
    assert talker.name in (card := (folder / "fret" / "README.md").read_text())
    spent = json.loads((folder / "report" / "summary.json").read_text())["fret"]["spent"]
    assert spent["prompt_tokens"] > 0
    assert spent["cost"] == pytest.approx(spent["prompt_tokens"] / 1000, abs=1e-4)
    assert f"was asked {spent['requests']:,} times: {spent['prompt_tokens']:,} prompt" in card
    told = re.findall(r"so far: \d+ requests, .* tokens, cost", (tmp_path / "seen").read_text())
    assert len(told) == 3  # writing, judging, and writing the held-out queries


@pytest.mark.parametrize("judge", [False, True])
def test_a_model_that_is_not_there_is_refused_before_any_work(tmp_path, talker, library_folder, judge):
    from rich.console import Console

    overrides = [f"corpus.path={library_folder}", f"output={tmp_path / 'r'}", "llm.backend=local"]
    overrides += [f"llm.model={talker if judge else 'no/such'}"]
    overrides += ["judge.backend=local", "judge.model=no/such"] if judge else []
    with (
        (tmp_path / "seen").open("w") as sink,
        pytest.raises(LLMError, match=r"no/such cannot be loaded as a causal language model"),
    ):
        pipeline.run(load_recipe(DOMAIN, overrides), Console(file=sink))
    assert not (tmp_path / "r" / "corpus").exists()


def test_a_restart_asks_for_nothing_that_was_answered(tmp_path, talker):
    recipe = LLMRecipe(
        backend="local", model=str(talker), prompts=str(write_prompts(tmp_path / "prompts")), max_tokens=16
    )
    passages = [PassagePrompt(str(i), "", f"Passage {i} is about bread.", task="search result") for i in range(5)]
    asked = [PassagePrompt(p.key, p.title, p.text, query="bread") for p in passages]

    def everything(annotator):
        return (
            annotator.generate(passages),
            annotator.judge(asked, RELEVANCE_LABELS),
        )

    def fresh():
        return open_annotator(recipe, BudgetRecipe(), seed=1, collection=list, answers=tmp_path / "answers.sqlite")

    first, second = fresh(), fresh()
    assert everything(first) == everything(second)
    assert first.model.usage.requests >= 5 + 5 + 15
    assert second.model.usage.requests == 0


class TestEndpoints:
    PASSAGES = tuple(PassagePrompt(str(i), "", f"Passage {i} is about bread.", task="search result") for i in range(5))

    def opened(self, tmp_path, server, **options):
        recipe = LLMRecipe(backend="tgi", url=server.url, concurrency=12, **options)
        return open_annotator(recipe, BudgetRecipe(), seed=1, collection=list, answers=tmp_path / "answers.sqlite")

    def test_a_recipe_with_servers_probes_them_and_asks_them(self, tmp_path):
        how = {"latency": 0.005, "longest": 20_000}  # the few-shot heads, a token a byte here
        with TestServer("tgi", **how) as one, TestServer("tgi", **how) as two:
            one.url = f"{one.url},{two.url}"
            llm = self.opened(tmp_path, one)
            replies = llm.generate(self.PASSAGES)
            judged = llm.judge([replace(p, query="bread") for p in self.PASSAGES], RELEVANCE_LABELS)
            assert min(one.requests["/generate"], two.requests["/generate"]) > 15
        assert (llm.id, llm.revision) == ("hash", "abc123")
        assert all(reply.startswith("Task: search result\nQuery: words ") for reply in replies)
        assert all(j.ql < 0 and max(j.grades) < 0 for j in judged)
        assert llm.model.usage.requests == 5 + 5 * 4
        assert llm.model.usage.prompt_tokens > 5 * 1000

    def test_a_server_that_errs_under_load_is_refused_before_anything_is_asked_for(self, tmp_path):
        with TestServer("tgi", latency=0.02, muddle=True) as server, pytest.raises(LLMError, match="for one alone"):
            self.opened(tmp_path, server)

    def test_servers_of_different_models_are_refused(self, tmp_path, talker):
        with TestServer("tgi") as one, TestServer("tgi", TorchModel(talker)) as two:
            one.url = f"{one.url},{two.url}"
            with pytest.raises(LLMError, match=r"serve different models: .*hash"):
                self.opened(tmp_path, one)


def test_the_packages_prompts_work_with_a_real_tokenizer_at_every_boundary(talker):
    """The whole few-shot heads: every span that FRet scores begins and ends on a token boundary."""
    from gecko_hf.llm.fewshot import load_prompts
    from gecko_hf.llm.local import LocalModel
    from gecko_hf.llm.spans import check_prefix

    model, prompts = LocalModel(str(talker), device="cpu"), load_prompts()
    asked = PassagePrompt("k", "Zürich", "東京 — naïve “text”.", query="über 寿司?")
    ends = [
        (prompts.likelihood(asked), " über 寿司?"),
        *((prompts.relevance(asked), f" {v}") for v in RELEVANCE_LABELS),
    ]
    for prefix, rest in ends:
        ids, before = model._ids(prefix + rest), model._ids(prefix)
        assert check_prefix(ids, before, prefix + rest, len(prefix)) == len(before) < len(ids)
