"""`llm` writes and `judge` judges: a server that gives no log-probabilities of prompts is of use."""

import io
import re
from pathlib import Path

import pytest
from causal import save_causal_model, write_prompts
from rich.console import Console
from servers import TestServer

from gecko_hf import pipeline
from gecko_hf.errors import LLMError
from gecko_hf.llm.base import JUDGING, RELEVANCE_LABELS, WRITING, PassagePrompt
from gecko_hf.llm.budget import BudgetRecipe
from gecko_hf.llm.open import open_annotator
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.llm.two_models import WriterAndJudge
from gecko_hf.recipe import load_recipe

DOMAIN = Path(__file__).parents[2] / "recipes" / "domain"
PASSAGES = [PassagePrompt(str(i), "", f"Passage {i} is about bread.", task="search result") for i in range(3)]
ASKED = [PassagePrompt(p.key, p.title, p.text, query="bread") for p in PASSAGES]


@pytest.fixture(scope="module")
def judging(tmp_path_factory) -> LLMRecipe:
    folder = tmp_path_factory.mktemp("judge")
    model = save_causal_model(folder / "model")
    return LLMRecipe(backend="local", model=str(model), prompts=str(write_prompts(folder / "prompts")))


@pytest.fixture(scope="module")
def mute():
    """A server that writes and gives no log-probabilities of prompts."""
    with TestServer("vllm", prefill=False, longest=20_000) as server:
        yield server


def opened(tmp_path, llm, judge=None):
    texts = [("", p.text) for p in PASSAGES]
    return open_annotator(
        llm, BudgetRecipe(), judge=judge, seed=1, collection=lambda: texts, answers=tmp_path / "answers.sqlite"
    )


def scores(annotator):
    return [annotator.judge(ASKED, RELEVANCE_LABELS, one_pass=one_pass) for one_pass in (False, True)]


def test_alone_such_a_server_is_refused_with_what_to_switch_on_and_who_else_could_judge(tmp_path, mute):
    llm = LLMRecipe(backend="openai", url=mute.url, model="m")
    with pytest.raises(LLMError, match=r"no log-probabilities of prompts.*vLLM does.*judge\.backend=local"):
        opened(tmp_path, llm)


def test_beside_a_judge_it_writes_and_is_never_asked_to_score(tmp_path, mute, judging):
    both = opened(tmp_path, LLMRecipe(backend="openai", url=mute.url, model="m", max_tokens=24), judging)
    before = len(mute.seen)
    replies = both.generate(PASSAGES)
    assert all(reply.startswith("Task: search result\nQuery: ") for reply in replies)
    assert len(mute.seen) == before + len(PASSAGES)
    assert scores(both) == scores(opened(tmp_path, judging))  # to the last bit, and from the same store
    assert len(mute.seen) == before + len(PASSAGES)
    assert not any(body.get("echo") for body in mute.seen[before:])


def test_the_labels_name_both_models_with_revision_and_settings(tmp_path, mute, judging):
    both = opened(tmp_path, LLMRecipe(backend="openai", url=mute.url, model="m", revision="r7"), judging)
    assert both.id == f"m (queries), {judging.model} (scores)"
    assert re.fullmatch(r"r7 \(queries\), sha256:\w+ \(scores\)", both.revision)
    assert both.settings["queries"]["prompts"] != both.settings["scores"]["prompts"]
    assert both.capabilities == WRITING | JUDGING
    assert both.writer.capabilities == WRITING  # of the server nothing else is known


def test_a_judge_that_cannot_is_refused_as_the_judge(tmp_path, mute, judging):
    with pytest.raises(LLMError, match=r"^The judge: .*no log-probabilities of prompts"):
        opened(tmp_path, judging, LLMRecipe(backend="openai", url=mute.url, model="m"))


def test_unigram_may_write_for_a_language_model_and_judge_for_one(tmp_path, mute, judging):
    extractive = opened(tmp_path, LLMRecipe(), judging)
    assert extractive.generate(PASSAGES) == opened(tmp_path, LLMRecipe()).generate(PASSAGES)
    assert scores(extractive) == scores(opened(tmp_path, judging))
    told = []
    extractive.generate(PASSAGES, told=told.append)
    extractive.judge(ASKED[:1], RELEVANCE_LABELS, told=told.append)
    assert told == [len(PASSAGES), 1]
    counted = opened(tmp_path, LLMRecipe(backend="openai", url=mute.url, model="m"), LLMRecipe())
    assert isinstance(counted, WriterAndJudge)
    with pytest.raises(LLMError, match="unigram has no prompt that QL and RC could share"):
        counted.judge(ASKED, RELEVANCE_LABELS, one_pass=True)


def test_a_run_probes_its_endpoints_before_it_reads_or_trains_anything(
    tmp_path, mute, judging, library_folder, tiny_model_path
):
    screen = io.StringIO()
    overrides = [
        f"corpus.path={library_folder}", f"output={tmp_path / 'r'}", f"encoder.base={tiny_model_path}", "encoder.dims=[8]",
        "llm.backend=local", f"llm.model={judging.model}", "judge.backend=openai", "judge.model=m", f"judge.url={mute.url}",
    ]  # fmt: skip
    with pytest.raises(LLMError, match=r"^The judge: .*no log-probabilities of prompts"):
        pipeline.run(load_recipe(DOMAIN, overrides), Console(file=screen, width=200))
    assert screen.getvalue() == f"judge: probing {mute.url}\n"
    assert not (tmp_path / "r" / "corpus").exists()
