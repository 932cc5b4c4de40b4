"""`gecko-hf fret plan`: what it foretells, beside what a real build then spends."""

import io
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import BudgetError, OutputError, RecipeError
from gecko_hf.llm.answers import Answers
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.plan import plan_run
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths, open_run_folder, working_in
from gecko_hf.stages.report import fret_report
from gecko_hf.stages.run import Run

sys.path.append(str(Path(__file__).parent / "llm"))
from causal import write_prompts
from servers import TestServer

HELD_OUT = 7  # of the 64 passages of the library; their queries are written and not judged
RECIPES = Path(__file__).parents[1] / "recipes"
DOMAIN = RECIPES / "domain"


@pytest.fixture(scope="module")
def server():
    with TestServer("tgi", longest=20_000) as running:
        yield running


@pytest.fixture
def recipe(server, library_folder, tiny_model_path, tmp_path):
    prompts = write_prompts(tmp_path / "prompts")
    overrides = [
        f"corpus.path={library_folder}", f"output={tmp_path / 'run'}", f"encoder.base={tiny_model_path}", "encoder.dims=[8]",
        "llm.backend=tgi", f"llm.url={server.url}", f"llm.prompts={prompts}", "fret.rows=12", "fret.candidates=3",
        "evaluation.held_out=0.1",
    ]  # fmt: skip
    return load_recipe(DOMAIN, overrides)


def build(recipe) -> Answers:
    """Run the recipe up to its FRet; what it spent is in the store."""
    paths = open_run_folder(recipe, redo=True)
    job = Run(recipe, paths, View(Console(quiet=True)))
    for step in pipeline.plan(recipe, paths, input_state(recipe.corpus)):
        if step.stage.name in ("corpus", "fret"):
            pipeline._do(job, step)
    return Answers(paths.answers)


@pytest.mark.parametrize("one_pass", [False, True])
def test_after_a_pilot_it_is_within_a_tenth_of_what_the_build_spends(recipe, one_pass):
    recipe = replace(recipe, fret=replace(recipe.fret, one_pass=one_pass))
    planned = plan_run(recipe, Console(quiet=True), pilot=4)
    answers = build(recipe)
    spent, total = answers.spent(), planned.total
    assert spent.requests == total.requests == HELD_OUT + 12 + 12 * 3 * (3 if one_pass else 4)
    assert total.prompt_tokens == pytest.approx(spent.prompt_tokens, rel=0.1)
    assert total.completion_tokens == pytest.approx(spent.completion_tokens, rel=0.1)
    answers.close()
    with closing(sqlite3.connect(recipe.folder / "answers.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the rest is a log that does not grow with the build
    labels = sum(f.stat().st_size for f in (recipe.folder / "fret" / "labels").iterdir())
    assert planned.disk == pytest.approx((recipe.folder / "answers.sqlite").stat().st_size + labels, rel=0.5)


def test_the_pilots_answers_are_not_asked_for_again(recipe, server):
    plan_run(recipe, Console(quiet=True), pilot=12)
    asked = sum(body["parameters"]["max_new_tokens"] > 8 for body in server.seen)
    build(recipe).close()
    assert sum(body["parameters"]["max_new_tokens"] > 8 for body in server.seen) == asked + HELD_OUT


def test_without_a_pilot_nothing_is_asked_and_it_says_what_it_took(recipe, server):
    before = sum(server.requests.values())
    screen = io.StringIO()
    planned = plan_run(recipe, Console(file=screen, width=140), rows=1200)
    assert sum(server.requests.values()) == before
    assert (planned.seeds, planned.total.requests) == (1200, 12 * (1 + 3 * 4) * 100)
    said = screen.getvalue()
    assert "taken to be as long as the few-shot examples" in said
    assert "llm.tokenizer=FOLDER_OR_HUB_ID counts them" in said
    assert "give budget.prompt_tokens_per_second" in said


def test_a_prefix_cache_can_serve_the_heads_and_what_the_labels_of_a_candidate_share(recipe):
    planned = plan_run(recipe, Console(quiet=True))
    generation, likelihood, relevance = planned.steps
    heads = load_prompts(recipe.llm.prompts).heads
    for step, name in ((generation, "p_qg"), (likelihood, "p_ql")):
        assert step.shared == step.usage.requests * -(-len(heads[name]) // 4)
    # Of three labels two find all but the label itself computed.
    rest = relevance.usage.prompt_tokens - relevance.shared
    assert relevance.usage.prompt_tokens / 4 < rest < relevance.usage.prompt_tokens / 2


def test_prices_hours_and_a_limit_that_will_be_met_are_shown(recipe):
    budget = replace(
        recipe.budget, prompt_price=2.0, completion_price=4.0, gpu_hour_price=3.0, gpus=8, max_requests=5,
        prompt_tokens_per_second=1000.0, completion_tokens_per_second=100.0,
    )  # fmt: skip
    screen = io.StringIO()
    planned = plan_run(replace(recipe, budget=budget), Console(file=screen, width=140), rows=1_000_000)
    total = planned.total
    hours = (total.prompt_tokens / 1000 + total.completion_tokens / 100) / 3600
    cached = hours - sum(step.shared for step in planned.steps) / 1000 / 3600
    said = screen.getvalue()
    assert f"{(total.prompt_tokens * 2 + total.completion_tokens * 4) / 1e6:,.2f}" in said
    assert f"{hours:,.1f} hours, {8 * hours:,.1f} GPU-hours, {24 * hours:,.2f} at budget.gpu_hour_price without" in said
    assert f"{cached:,.1f} hours, {8 * cached:,.1f} GPU-hours, {24 * cached:,.2f} at budget.gpu_hour_price with" in said
    assert "The run will stop at budget.max_requests (5)." in said


def test_the_disk_of_a_corpus_is_that_of_its_text_vectors_and_index(recipe):
    screen = io.StringIO()
    plan_run(recipe, Console(file=screen, width=400), passages=3_000_000)
    # Width 8: 32 bytes a vector; a code of 2 bytes and an id of 8; 2,048 lists.
    assert "Corpus of 3,000,000 passages: " in screen.getvalue()
    assert f"96.0 MB of vectors, {(3e6 * 10 + 32 * (2048 + 256)) / 1e6:.1f} MB of index." in screen.getvalue()


def test_who_writes_and_who_judges_are_planned_each_with_its_own_prompts(recipe):
    prompts = load_prompts(recipe.llm.prompts)
    alone = plan_run(recipe, Console(quiet=True))
    other = replace(recipe, judge=replace(recipe.llm, prompts=None))  # the package's, which are longer
    generation, likelihood, relevance = plan_run(other, Console(quiet=True), redo=True).steps
    assert generation == alone.steps[0]
    assert relevance.usage.requests == alone.steps[2].usage.requests
    more = (len(load_prompts().heads["p_ql"]) - len(prompts.heads["p_ql"])) / 4
    found = (likelihood.usage.prompt_tokens - alone.steps[1].usage.prompt_tokens) / likelihood.usage.requests
    assert found == pytest.approx(more, abs=1)


def test_of_a_writer_whose_queries_are_counted_words_only_the_judge_is_planned(recipe):
    extractive = replace(recipe, llm=LLMRecipe(), judge=recipe.llm)
    planned = plan_run(extractive, Console(quiet=True), pilot=4)
    spent = build(extractive)
    assert [step.name for step in planned.steps] == ["P_QL", "P_RC"]
    assert spent.spent().requests == planned.total.requests == 12 * 3 * 4
    assert 4 * planned.total.prompt_tokens == pytest.approx(
        spent.spent().prompt_tokens, rel=0.1
    )  # bytes are tokens there
    spent.close()


def test_a_folder_that_a_run_works_in_is_left_alone(recipe):
    with (
        working_in(recipe, redo=False),
        pytest.raises(OutputError, match=r"Another gecko-hf works in"),
    ):
        plan_run(recipe, Console(quiet=True))


def test_unigram_has_nothing_to_plan(library_folder, tmp_path):
    recipe = load_recipe(DOMAIN, [f"corpus.path={library_folder}", f"output={tmp_path / 'run'}"])
    with pytest.raises(RecipeError, match="no language model is asked"):
        plan_run(recipe, Console(quiet=True))


def test_a_build_stops_at_its_limit_and_goes_on_from_there_when_it_is_raised(recipe, server):
    limited = replace(recipe, budget=replace(recipe.budget, max_requests=50))
    with pytest.raises(BudgetError, match=r"50 requests \(budget.max_requests\).*raise budget.max_requests"):
        build(limited)
    answers = Answers(recipe.folder / "answers.sqlite")
    assert answers.spent().requests == 50 == len(answers)  # what was on its way was kept, nothing was sent beyond
    answers.close()
    whole = build(recipe)
    assert whole.spent().requests == len(whole) == HELD_OUT + 12 * (1 + 3 * 4)
    whole.close()


@pytest.mark.parametrize("name", ["fret", "multilingual"])
def test_the_recipes_for_servers_run_when_url_and_corpus_are_given(name, library_folder, tiny_model_path, tmp_path):
    with TestServer("vllm", longest=20_000) as vllm:
        given = [f"corpus.path={library_folder}", f"llm.url={vllm.url}", f"output={tmp_path / 'run'}"]
        small = [f"encoder.base={tiny_model_path}", "encoder.dims=[8]", "fret.rows=3", "fret.candidates=2"]
        # No Hub here; the stand-in for a model names no tasks and writes two words; the corpus has 64 passages.
        less = [
            "llm.tokenizer=null",
            "fret.task_distribution=table",
            "fret.quality.min_words=0",
            "evaluation.held_out=0.1",
        ]
        given += small + less
        recipe = load_recipe(RECIPES / name, given)
        planned = plan_run(recipe, Console(quiet=True))
        folder = pipeline.run(recipe, Console(quiet=True), until="fret")
        fret_report(recipe, Paths(folder))
    assert planned.total.requests == HELD_OUT + 3 * (1 + 2 * 4)
    card = (folder / "fret" / "README.md").read_text(encoding="utf-8")
    assert f"by `{recipe.llm.model}`" in card
    assert load_prompts(recipe.llm.prompts).heads["p_qg"] in card
