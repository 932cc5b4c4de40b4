"""Recipes are read strictly: what is wrong is named, with what would be right."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.recipe import Recipe, as_dict, load_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").rglob("recipe.yaml"))  # not accelerate's own files


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f.parent.name)
def test_every_recipe_of_the_repository_loads(file):
    overrides = [] if "packages" in file.read_text(encoding="utf-8") else ["corpus.path=somewhere"]
    assert isinstance(load_recipe(file, overrides), Recipe)


def test_a_folder_stands_for_its_recipe_file(tmp_path):
    write(tmp_path, "corpus: {path: docs}\nseed: 7")
    assert load_recipe(tmp_path).seed == 7


def test_overrides_win_over_the_file(tmp_path):
    file = write(tmp_path, "corpus: {path: docs}\nfret: {rows: 10}")
    recipe = load_recipe(file, ["fret.rows=20", "finetune.learning_rate=3e-5", "output=runs/x"])
    assert (recipe.fret.rows, recipe.finetune.learning_rate, recipe.folder) == (20, 3e-5, Path("runs/x"))


def test_a_recipe_survives_being_written_and_read(tmp_path):
    import yaml

    recipe = load_recipe(write(tmp_path, "corpus: {path: docs}\nencoder: {dims: [32, 8]}"))
    assert load_recipe(write(tmp_path, yaml.safe_dump(as_dict(recipe)))) == recipe


def test_a_recipe_cannot_be_changed_after_reading(tmp_path):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_recipe(write(tmp_path, "corpus: {path: docs}")).seed = 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("corpus: {path: d}\nfret: {row: 3}", "unknown key 'fret.row'. Did you mean fret.rows?"),
        ("corpus: {path: d}\nsede: 3", "Did you mean seed?"),
        ("corpus: {path: d}\nzzzzzz: 3", "Known keys here"),
        (
            "corpus: {path: d}\nencoder: {tasks: {Clusters: x}}",
            "names 'Clusters', which is no task type. Known: Retrieval",
        ),
        ("corpus: {path: d}\nencoder: {tasks: {Clustering: ' '}}", "encoder.tasks.Clustering is empty"),
        ("corpus: {path: d}\nseed: many", "it must be a int"),
        ("corpus: {path: d}\nseed: true", "it must be a int"),
        ("corpus: {path: d}\nfret: {candidates: 1}", "it must be at least 2"),
        ("corpus: {path: d}\nfinetune: {cut_source: 1.5}", "it must be between 0.0 and 1.0"),
        ("corpus: {path: d}\nfinetune: {learning_rate: fast}", "it must be a number"),
        ("corpus: {path: d}\nfinetune: {temperature: .nan}", "finetune.temperature is nan; it must be a finite number"),
        ("corpus: {path: d}\nfinetune: {mixture: {own: {kind: fret, weight: .inf}}}", "own.weight is inf"),
        ("corpus: {path: d}\nfinetune: {mixture: {a.b: {kind: fret}}}", "a data set is called 'a.b'"),
        (
            "corpus: {path: d}\nfinetune: {warmup_ratio: 1.0}",
            "finetune.warmup_ratio is 1: the learning rate would rise",
        ),
        (
            "corpus: {path: d}\nfinetune: {mini_batch_size: 8, chunk_size: 4}",
            "with mini_batch_size, 8 texts are embedded at once, sorted by length, and chunk_size 4 would not be read",
        ),
        (
            "corpus: {path: d}\nfinetune: {mixture: {nq: {kind: passages, source: x, scores: true}}}",
            "finetune.mixture.nq.scores: nothing reads a teacher's scores, for ",
        ),
        ("corpus: {path: d}\nfret: {positive: best}", "it must be one of fused, seed"),
        ("corpus: {path: d}\nfret: {negative: rank, candidates: 6}", "fret.negative_rank is 10"),
        ("corpus: {path: d}\nexecutor: {kind: slurm}", "needs executor.partition"),
        ("corpus: {path: d}\nexecutor: {kind: jobs}", "executor.storage is for executor.kind jobs, which needs it"),
        ("corpus: {path: d}\nfret: 3", "it needs keys under it"),
        ("corpus: {path: d}\nencoder: {dims: [64, wide]}", "encoder.dims[1]"),
        ("corpus: {path: d}\nencoder: {dims: []}", "at least one positive width"),
        ("corpus: {path: d}\nfret: {tasks: {search result: 0}}", "weights"),
        ("corpus: {path: d}\nfinetune: {patience: 2}", "set "),
        (
            "corpus: {path: d}\nfinetune: {evaluate_every: 5}\nevaluation: {dev_share: 0}",
            "finetune.evaluate_every needs dev queries, and evaluation.dev_share is 0",
        ),
        (
            "corpus: {path: d}\nprefinetune: {evaluate_every: 5}",
            "prefinetune.evaluate_every needs queries, and those of yardstick held_out are written with FRet",
        ),
        ("corpus: {path: d}\nfinetune: {mixture: {nq: {kind: pairs}}}", "finetune.mixture.nq.source is missing"),
        ("corpus: {path: d}\nfinetune: {mixture: {nq: {kind: pars}}}", "it must be one of fret, pairs"),
        ("corpus: {path: d}\nfinetune: {mixture: {nq: {half: third}}}", "it must be one of first, second"),
        (
            "corpus: {path: d}\nprefinetune: {mixture: {own: {kind: fret}}}",
            "prefinetune.mixture.own is the FRet of this run, which is built after this stage. Put it into the mixture of "
            "finetune",
        ),
        ("corpus: {path: d}\nfinetune: {mixture: {nq: 3}}", "it needs keys under it"),
        ("corpus: {path: d}\nfinetune: {mixture: {nq: {sorce: x}}}", "Did you mean finetune.mixture.nq.source?"),
        ("seed: 1", "corpus.path is missing"),
        ("corpus: {source: docstrings}", "corpus.packages is empty"),
        ("corpus: {path: d}\nevaluation: {yardstick: see_also}", "use held_out"),
        ("- a\n- b", "a recipe is a mapping"),
        ("a: [1", "is not readable YAML"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(tmp_path, text, says):
    with pytest.raises(RecipeError, match=r"(?s).*" + __import__("re").escape(says)):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("override", ["fret.rows", "=3", "seed.x=3"])
def test_an_override_that_is_none_is_refused(tmp_path, override):
    with pytest.raises(RecipeError):
        load_recipe(write(tmp_path, "corpus: {path: d}\nseed: 3"), [override])


@pytest.mark.parametrize("text", ["{x", "a: b: c", "[1", "2024-13-45", "'a"])
def test_a_value_that_is_no_yaml_is_refused_with_how_it_is_written(tmp_path, text):
    file = write(tmp_path, "corpus: {path: d}")
    with pytest.raises(RecipeError, match=r"the value is read as YAML, and it is none") as caught:
        load_recipe(file, [f"corpus.path={text}"])
    (proposed,) = shlex.split(str(caught.value).rpartition("for example ")[2])
    assert load_recipe(file, [proposed]).corpus.path == text


def test_a_missing_recipe_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(RecipeError, match=r"There is no recipe at .*nowhere"):
        load_recipe(tmp_path / "nowhere")


LOCAL = """
corpus: {path: org/text, config: en, local: {path: text.jsonl}}
finetune:
  mixture:
    both: {kind: labels, source: org/both, revision: main, columns: {text: x}, weight: 2, local: {source: both.jsonl}}
    only: {kind: labels, source: org/only, weight: 1, local: none}
"""


def test_without_a_root_the_hub_is_read(tmp_path):
    recipe = load_recipe(write(tmp_path, LOCAL))
    assert (recipe.corpus.path, recipe.corpus.config) == ("org/text", "en")
    assert [entry.source for entry in recipe.finetune.mixture.values()] == ["org/both", "org/only"]


def test_with_a_root_the_local_copies_are_read_and_what_has_none_is_left_out(tmp_path):
    recipe = load_recipe(write(tmp_path, LOCAL), [f"data.root={tmp_path}"])
    assert (recipe.corpus.path, recipe.corpus.config) == (f"{tmp_path}/text.jsonl", None)
    assert list(recipe.finetune.mixture) == ["both"]
    both = recipe.finetune.mixture["both"]
    assert (both.source, both.revision, both.columns, both.weight) == (f"{tmp_path}/both.jsonl", None, {}, 2.0)


def test_a_set_that_is_null_is_left_out(tmp_path):
    recipe = load_recipe(write(tmp_path, LOCAL), ["finetune.mixture.only=null", "finetune.mixture.both.weight=null"])
    assert list(recipe.finetune.mixture) == ["both"]
    assert recipe.finetune.mixture["both"].weight is None


def test_a_misspelt_key_of_a_local_block_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"Did you mean finetune\.mixture\.both\.source"):
        load_recipe(write(tmp_path, LOCAL.replace("{source: both", "{sorce: both")), [f"data.root={tmp_path}"])


@pytest.mark.parametrize("value", ["null", "both.jsonl", "[both.jsonl]"])
def test_a_local_block_of_another_form_is_refused(tmp_path, value):
    with pytest.raises(RecipeError, match=r"unknown key 'finetune\.mixture\.both\.local'"):
        load_recipe(write(tmp_path, LOCAL.replace("{source: both.jsonl}", value)))


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"data\.root is 'nowhere', and there is no such folder"):
        load_recipe(write(tmp_path, LOCAL), ["data.root=nowhere"])
