"""Every recipe of the repository trains two steps in both stages on a tiny encoder and tiny data of the kinds it names."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.errors import RecipeError
from gecko_hf.model.lora import LoraRecipe
from gecko_hf.recipe import load_recipe
from gecko_hf.training.converters import KINDS

RECIPES = Path(__file__).parents[2] / "recipes"
TRAINING = sorted(RECIPES.glob("gecko-*/recipe.yaml"))
ABLATIONS = sorted(RECIPES.glob("ablations/*/*/recipe.yaml"))


def sample(kind: str, i: int) -> dict:
    """A row of a kind."""
    text = f"the oven number {i} needs flour"
    rows = {
        "fret": {"task": "search result", "query": f"oven {i}", "positive_title": "", "positive": text,
                 "negative_title": "", "negative": f"hive {i}"},
        "pairs": {"query": f"oven {i}", "positive": text, "negative": f"hive {i}"},
        "passages": {"query": f"oven {i}", "positive_passages": [text], "negative_passages": [f"hive {i}"]},
        "hotpotqa": {"question": f"oven {i}", "supporting_facts": {"title": ["a"]},
                     "context": {"title": ["a", "b"], "sentences": [[text], [f"hive {i}"]]}},
        "fever": {"claim": f"oven {i}", "label": "SUPPORTS", "title": "", "evidence": [text]},
        "medmcqa": {"question": f"oven {i}", "opa": f"a{i}", "opb": f"b{i}", "opc": f"c{i}", "opd": f"d{i}", "cop": 1},
        "nli": {"premise": f"oven {i // 2}", "hypothesis": text, "label": 2 * (i % 2)},
        "labels": {"text": text, "label": i % 8},
    }  # fmt: skip
    return rows[kind]


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    for kind in KINDS:
        lines = (json.dumps(sample(kind, i)) + "\n" for i in range(24))
        (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def tiny_stage(stage, samples: Path):
    """The stage on tiny data: as its recipe has it but for sources and sizes."""
    mixture = {
        name: replace(
            entry,
            source=str(samples / f"{entry.kind}.jsonl"),
            columns={},
            where={},
            config=None,
            revision=None,
            split="train",
        )
        for name, entry in stage.mixture.items()
    }
    sizes = {"mini_batch_size": stage.mini_batch_size and 2}
    return replace(stage, mixture=mixture, steps=2, batch_size=4, checkpoint_every=1, **sizes)


@pytest.mark.parametrize("file", TRAINING, ids=lambda f: f.parent.name)
def test_two_steps_of_both_stages(file, samples, tiny_model_path, library_folder, tmp_path):
    recipe = load_recipe(
        file, [f"corpus.path={library_folder}", "corpus.config=null", f"output={tmp_path / 'r'}", "precision=float32"]
    )
    assert recipe.finetune.mixture
    recipe = replace(
        recipe,
        encoder=replace(
            recipe.encoder, base=str(tiny_model_path), dim=None, dims=[32, 8], max_seq_length=48, lora=LoraRecipe()
        ),
        retriever=None,
        prefinetune=tiny_stage(recipe.prefinetune, samples),
        finetune=tiny_stage(recipe.finetune, samples),
        evaluation=replace(recipe.evaluation, tasks={}),  # of the Hub
    )
    console = Console(file=io.StringIO())
    if not recipe.prefinetune.mixture:  # it trains on the corpus
        pipeline.run(recipe, console, until="corpus")
    for stage in ("prefinetune", "finetune"):
        pipeline.run_stage(recipe, stage, console)
        assert len(json.loads((tmp_path / "r" / "logs" / f"{stage}_curve.json").read_text())) == 2
    assert (tmp_path / "r" / "model" / "modules.json").exists()


@pytest.mark.parametrize("file", ABLATIONS, ids=lambda f: "-".join(f.parts[-3:-1]))
def test_an_ablation_changes_what_its_name_says_and_nothing_else(file):
    table, row = file.parts[-3:-1]
    recipe, quickstart = load_recipe(file), load_recipe(RECIPES / "quickstart")
    block = "encoder" if table == "table7" else "fret"
    assert replace(recipe, name=quickstart.name, **{block: getattr(quickstart, block)}) == quickstart
    if table == "table7":
        assert recipe.encoder == replace(quickstart.encoder, prompt_format=row)
    elif table == "table3":
        assert (recipe.fret.positive, recipe.fret.negative) == tuple(row.split("-"))
    else:
        drawn = {task for task, weight in recipe.fret.tasks.items() if weight}
        assert len(drawn) == (4 if row == "all-tasks" else 1)


def test_a_recipe_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("extends: recipe.yaml", encoding="utf-8")
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(tmp_path)


def test_a_recipe_lies_over_the_one_that_it_extends(tmp_path):
    (tmp_path / "below.yaml").write_text("corpus: {path: a}\nfret: {rows: 5, candidates: 7}", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text("extends: below.yaml\nfret: {rows: 6}", encoding="utf-8")
    recipe = load_recipe(tmp_path, ["fret.candidates=8"])
    assert (recipe.corpus.path, recipe.fret.rows, recipe.fret.candidates) == ("a", 6, 8)


def test_with_local_copies_gecko_mini_reads_nothing_from_the_hub(tmp_path):
    recipe = load_recipe(RECIPES / "gecko-mini", [f"data.root={tmp_path}"])
    sets = [*recipe.prefinetune.mixture.values(), *recipe.finetune.mixture.values(), *recipe.evaluation.tasks.values()]
    sources = [entry.source for entry in sets if entry.source] + [str(recipe.corpus.path)]
    assert len(sources) > 25
    assert all(source.startswith(f"{tmp_path}/") for source in sources)
    assert {entry.revision for entry in sets} == {None}
