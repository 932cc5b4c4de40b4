"""`gecko-hf fret plan`: the requests, tokens, money, hours and bytes of a recipe's FRet, before it is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.corpus.passages import sample_rows
from gecko_hf.errors import CorpusError, RecipeError
from gecko_hf.fret.mine import FLOAT_BYTES, index_bytes
from gecko_hf.fret.plan import CHARACTERS_A_TOKEN, SAMPLE, FRetPlan, Reader, Written, plan_fret
from gecko_hf.llm.budget import MILLION, BudgetRecipe
from gecko_hf.llm.recipe import ENDPOINTS, LLMRecipe
from gecko_hf.pipeline import ensure_corpus
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import working_in
from gecko_hf.stages.requirements import check_requirements
from gecko_hf.stages.run import Run


def plan_run(
    recipe: Recipe,
    console: Console,
    *,
    pilot: int = 0,
    rows: int | None = None,
    passages: int | None = None,
    redo: bool = False,
) -> FRetPlan:
    """Plan a recipe's FRet and show it. The corpus is read into the run folder, where the run finds it.

    Args:
        recipe: What would run.
        console: Where to show the plan.
        pilot: Seeds whose queries the model is asked for, to see how long they are; the run will find these answers.
        rows: Plan as if there were this many seeds of the same kind of text, instead of `fret.rows`. The queries of held-out
            passages are not counted then: `evaluation.held_out_most` limits them, so they do not grow with the seeds.
        passages: Plan the disk of a corpus of this many passages of the same kind.
        redo: Whether the run folder may hold another version of the recipe.

    Raises:
        RecipeError: If the recipe asks no language model.
        CorpusError: If no passage can be a seed.
        GeckoError: For anything else that the user can mend.
    """
    if all(llm.backend == "unigram" for llm in recipe.llms):
        raise RecipeError("llm.backend is unigram: no language model is asked, so there is nothing to plan.")
    check_requirements(recipe)
    with working_in(recipe, redo=redo) as paths:
        job = ensure_corpus(recipe, paths, input_state(recipe.corpus), console)
        return _show(job, console, pilot, rows, passages)


def _show(job: Run, console: Console, pilot: int, rows: int | None, passages: int | None) -> FRetPlan:
    """Plan a run whose corpus is on disk."""
    from gecko_hf.fret.generate import draw_tasks
    from gecko_hf.fret.steps import choose_seeds

    recipe = job.recipe
    order = sample_rows(len(job.passages), len(job.passages), recipe.seed)
    seeds = choose_seeds(job.passages, job.held_out, recipe.fret.rows, order)
    if not seeds:
        raise CorpusError("No passage of the corpus holds a sentence of prose, so there is nothing to ask about.")
    asked = draw_tasks(recipe.fret.tasks, recipe.fret.task_distribution, len(seeds), recipe.seed)
    writer = _reader(recipe.llm)
    judge = writer if recipe.judge is None else _reader(recipe.judge)
    reader = writer or judge
    assert reader is not None  # a recipe that asks no language model was refused
    if pilot:
        written, ratio = _pilot(job, seeds[:pilot], asked[:pilot], reader)
        if ratio is not None and _counter_name(recipe.llm) is None:
            told = Reader(reader.prompts, partial(_by_ratio, ratio))
            writer, judge = told, told if recipe.judge is None else judge
    else:
        written = _examples(reader, asked)
    tests = len(job.held_out) if rows is None and recipe.evaluation.yardstick == "held_out" else 0
    found = plan_fret(job.passages, seeds, asked, recipe.fret, written, writer, judge, recipe.seed, tests)
    found = found if rows is None else found.scaled(rows)
    console.print(plan_table(found, recipe.budget))
    exact = all(_counter_name(llm) is not None for llm in recipe.llms if llm.backend != "unigram")
    lines = [_disk(found, recipe, job, passages or len(job.passages)), *_hours(found, recipe.budget)]
    for line in [*lines, *_remarks(found, recipe, written, pilot, exact=exact)]:
        console.print(line, highlight=False, soft_wrap=True)
    return found


def _counter_name(llm: LLMRecipe) -> str | None:
    return llm.tokenizer if llm.backend in ENDPOINTS else llm.model


def _reader(llm: LLMRecipe) -> Reader | None:
    """A block's language model: its prompts, and its own tokenizer where its name is known. None for `unigram`."""
    from gecko_hf.llm.endpoints.tokens import load_tokenizer
    from gecko_hf.llm.fewshot import load_prompts

    if llm.backend == "unigram":
        return None
    name = _counter_name(llm)
    if name is None:
        return Reader(load_prompts(llm.prompts), _rule_of_thumb)
    tokenizer = load_tokenizer(name)
    return Reader(load_prompts(llm.prompts), lambda text: len(tokenizer(text)["input_ids"]))


def _rule_of_thumb(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)


def _by_ratio(ratio: float, text: str) -> int:
    return round(len(text) * ratio)


def _examples(reader: Reader, asked: Sequence[str | None]) -> Written:
    """What the few-shot examples show: the model is taken to write as they do."""
    examples = reader.prompts.written
    replies = [f" {q}" if asked[0] else f" {task}\nQuery: {q}" for task, q in examples]
    return Written([q for _, q in examples], sum(map(reader.count, replies)) / len(replies))


def _pilot(job: Run, seeds: Sequence[int], asked: Sequence[str | None], reader: Reader) -> tuple[Written, float | None]:
    """Have a few queries written; a language model's prompts also tell how many tokens it counts for a character."""
    from gecko_hf.fret.generate import generate_queries
    from gecko_hf.llm.answers import StoredModel
    from gecko_hf.llm.base import PassagePrompt
    from gecko_hf.llm.two_models import WriterAndJudge

    llm = job.llm()
    writer = llm.writer if isinstance(llm, WriterAndJudge) else llm
    passages = [job.passages[row] for row in seeds]
    queries, _ = generate_queries(writer, passages, asked)
    seen, kept = [q.query for q in queries] or [q for _, q in reader.prompts.written], len(queries) / len(seeds)
    model = getattr(writer, "model", None)
    if not isinstance(model, StoredModel):  # `unigram` writes, and another model judges
        return Written(seen, 0.0, kept=kept), None
    told = model.answered
    texts = [
        reader.prompts.generation(PassagePrompt(p.id, p.title, p.text, task=t))
        for p, t in zip(passages, asked, strict=True)
    ]
    characters = sum(map(len, texts)) * told.requests / len(texts)  # a second try asks with the same prompt
    tokens, tries = told.completion_tokens / told.requests, told.requests / len(seeds)
    return Written(seen, tokens, tries, kept), told.prompt_tokens / characters


def plan_table(found: FRetPlan, budget: BudgetRecipe) -> Table:
    """The plan as a table: a row a prompt and one for all; tokens in millions, a price where the budget has prices."""
    table = Table(title=f"FRet of {found.seeds:,} seeds", title_justify="left")
    priced = bool(budget.prompt_price or budget.completion_price)
    columns = ["requests", "M tokens in", "cacheable", "M out", *(["cost"] if priced else [])]
    table.add_column("prompt")
    for column in columns:
        table.add_column(column, justify="right")
    total = found.total
    shared = sum(step.shared for step in found.steps)
    for name, usage, head in [*((s.name, s.usage, s.shared) for s in found.steps), ("all", total, shared)]:
        cost = [f"{budget.cost(usage):,.2f}"] if priced else []
        tokens = [f"{n / MILLION:,.2f}" for n in (usage.prompt_tokens, head, usage.completion_tokens)]
        table.add_row(name, f"{usage.requests:,}", *tokens, *cost, end_section=name == found.steps[-1].name)
    return table


def _disk(found: FRetPlan, recipe: Recipe, job: Run, passages: int) -> str:
    """Bytes of a build: what the model answers, and the corpus with its vectors."""
    sample = job.passages[:SAMPLE]
    text = passages * sum(len(p.title.encode()) + len(p.text.encode()) for p in sample) // len(sample)
    vectors = passages * max(recipe.encoder.dims) * FLOAT_BYTES
    index = index_bytes(passages, max(recipe.encoder.dims)) if passages > recipe.fret.exact_up_to else 0
    return (
        f"Disk: about {decimal(found.disk)} of answers and labels. Corpus of {passages:,} passages: {decimal(text)} of text, "
        f"twice (parquet, and its copy that is mapped into memory), {decimal(vectors)} of vectors"
        + (f", {decimal(index)} of index." if index else "; the search is exact.")
    )


def _hours(found: FRetPlan, budget: BudgetRecipe) -> list[str]:
    """Time on the servers, where their speed is known: at most, and with a prefix cache that serves all it can."""
    total = found.total
    most = budget.hours(total)
    computed = replace(total, prompt_tokens=total.prompt_tokens - sum(step.shared for step in found.steps))
    least = budget.hours(computed)
    if most is None or least is None:
        return [
            "Hours: give budget.prompt_tokens_per_second and budget.completion_tokens_per_second as measured on your servers."
        ]

    def told(hours: float) -> str:
        gpu_hours = hours * budget.gpus
        price = f", {gpu_hours * budget.gpu_hour_price:,.2f} at budget.gpu_hour_price" if budget.gpu_hour_price else ""
        return f"{hours:,.1f} hours, {gpu_hours:,.1f} GPU-hours{price}"

    return [f"Time: {told(most)} without a prefix cache, {told(least)} with one that serves all it can."]


def _remarks(found: FRetPlan, recipe: Recipe, written: Written, pilot: int, *, exact: bool) -> list[str]:
    budget, total = recipe.budget, found.total
    lines = []
    if pilot:
        lines.append(
            f"Queries: as in a pilot of {pilot} seeds, {written.kept:.0%} of which gave one; its answers are kept."
        )
    else:
        lines.append(
            "Queries: taken to be as long as the few-shot examples, one request each; --pilot 32 asks the model."
        )
    if not exact:
        how = "the ratio of characters that the pilot saw" if pilot else f"one for {CHARACTERS_A_TOKEN} characters"
        lines.append(f"Tokens: estimated as {how}; llm.tokenizer=FOLDER_OR_HUB_ID counts them.")
    if budget.max_requests is not None and total.requests > budget.max_requests:
        lines.append(f"The run will stop at budget.max_requests ({budget.max_requests:,}).")
    if budget.max_cost is not None and budget.cost(total) > budget.max_cost:
        lines.append(f"The run will stop at budget.max_cost ({budget.max_cost:,.2f}).")
    return lines
