"""Recipes are read strictly: what is wrong is named, with what would be right."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.recipe import Recipe, as_dict, load_recipe, load_run_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").rglob("recipe.yaml"))  # not accelerate's own files


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f.parent.name)
def test_every_recipe_of_the_repository_loads(file):
    text = file.read_text(encoding="utf-8")  # those that extend another read the quickstart's packages
    overrides = [] if "packages" in text or "extends" in text else ["corpus.path=somewhere"]
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
        (
            "corpus: {path: d}\nfinetune: {loss: {distillation: 1}}",
            "only data sets of a mixture have a teacher's scores",
        ),
        (
            "corpus: {path: d}\nfinetune: {loss: {distillation: 1}, mixture: {nq: {kind: pairs, source: x}}}",
            "finetune.mixture.nq has none. Set scores: true there",
        ),
        (
            "corpus: {path: d}\nfinetune: {loss: {distillation: 1}, mixture: {own: {kind: fret, scores: true}}}",
            "finetune.mixture.own.scores: rows of kind: fret carry none. Those of pairs and passages can",
        ),
        (
            "corpus: {path: d}\nfinetune: {loss: {distillation: 1}, mixture: {nq: {kind: pairs, source: x, scores: true}}}",
            "finetune.mixture.nq.scores: a teacher's scores tell a positive from hard negatives",
        ),
        ("corpus: {path: d}\nfret: {positive: best}", "it must be one of fused, seed"),
        ("corpus: {path: d}\nfret: {negative: rank, candidates: 6}", "fret.negative_rank is 10"),
        ("corpus: {path: d}\nexecutor: {kind: slurm}", "needs executor.partition"),
        ("corpus: {path: d}\nexecutor: {kind: jobs}", "executor.storage is for executor.kind jobs, which needs it"),
        ("corpus: {path: d}\nfret: 3", "it needs keys under it"),
        ("corpus: {path: d}\nencoder: {dims: [64, wide]}", "encoder.dims[1]"),
        ("corpus: {path: d}\nencoder: {dims: []}", "at least one positive width"),
        ("corpus: {path: d}\nencoder: {dim: 0}", "it must be at least 1"),
        ("corpus: {path: d}\ndata: {root: ~no-such-user/x}", "there is no home folder of that user"),
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
        (
            "corpus: {source: docstrings, packages: [numpy]}\nevaluation: {yardstick: see_also, held_out: 0.1}",
            "held_out would not be read",
        ),
        ("corpus: {path: d}\nlanguage: [English]", "language names 'English'. Give codes of ISO 639"),
        ("corpus: {path: d}\nlanguage: en", "language is 'en' (str); it must be a list"),
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


class TestAValueThatIsMeantAsText:
    """YAML takes a time, a number with a leading nought and a version for numbers; the field knows better."""

    VALUES = ("12:00:00", "007", "1.10", "2026-11-24", "1e3")

    @pytest.mark.parametrize("text", VALUES)
    def test_keeps_its_letters_in_the_file_and_behind_the_command(self, tmp_path, text):
        assert load_recipe(write(tmp_path, f"corpus: {{path: d}}\nexecutor: {{time: {text}}}")).executor.time == text
        assert load_recipe(write(tmp_path, "corpus: {path: d}"), [f"executor.time={text}"]).executor.time == text

    def test_keeps_what_yaml_takes_for_a_comment(self, tmp_path):
        for path in ("chapter #1", "#1"):
            assert load_recipe(write(tmp_path, "name: a"), [f"corpus.path={path}"]).corpus.path == path

    def test_is_a_number_where_a_number_is_meant(self, tmp_path):
        recipe = load_recipe(
            write(tmp_path, "corpus: {path: d}\nseed: 7\nfinetune: {mixture: {own: {kind: fret, weight: 2}}}")
        )
        assert (recipe.seed, recipe.finetune.mixture["own"].weight) == (7, 2.0)
        assert type(recipe.seed) is int

    def test_is_asked_for_in_quotes_where_yaml_reads_a_truth_value(self, tmp_path):
        with pytest.raises(RecipeError, match=r"name is False \(bool\); it must be a str\. Put a text .* in quotes"):
            load_recipe(write(tmp_path, "corpus: {path: d}"), ["name=no"])


def test_a_block_that_the_file_leaves_empty_can_be_filled_behind_the_command(tmp_path):
    file = write(tmp_path, "corpus: {path: d}\njudge: null\nfret:")
    recipe = load_recipe(file, ["judge.backend=local", "judge.model=m", "fret.rows=3"])
    assert (recipe.judge.model, recipe.fret.rows) == ("m", 3)


@pytest.mark.parametrize("text", ["fret: {rows: 1}\nfret: {candidates: 5}", "fret: {rows: 1, rows: 2}"])
def test_a_key_that_stands_there_twice_is_refused(tmp_path, text):
    with pytest.raises(RecipeError, match=r"the key '(fret|rows)' stands there twice"):
        load_recipe(write(tmp_path, f"corpus: {{path: d}}\n{text}"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("corpus: {source: docstrings, packages: [json], path: d}", "corpus.path would not be read"),
        ("corpus: {source: docstrings, packages: [json], rows: 9}", "corpus.rows would not be read"),
        ("corpus: {packages: [json], path: d}", "corpus.packages would not be read: corpus.source is files"),
    ],
)
def test_text_that_would_not_be_read_is_refused(tmp_path, text, says):
    with pytest.raises(RecipeError, match=says):
        load_recipe(write(tmp_path, text))


def test_a_block_that_was_replaced_by_a_value_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="llm is 5; it needs keys under it"):
        load_recipe(write(tmp_path, "corpus: {path: d}"), ["llm.backend=local", "llm=5"])


def test_a_root_that_reads_as_a_number_is_a_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2026").mkdir()
    text = "corpus: {path: org/texts, local: {path: texts}}"
    assert load_recipe(write(tmp_path, text), ["data.root=2026"]).corpus.path == "2026/texts"


def test_a_run_folder_that_was_copied_is_the_one_that_its_recipe_works_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = "recipe: {name: a, corpus: {path: d}, output: %s}\nenvironment: {}"
    for name, output in (("runs/a", "null"), ("copy", "runs/a"), ("moved", "null")):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name, run % output)
        assert load_recipe(name).folder == Path(name)
    assert load_recipe("runs/a").output is None  # nothing is written where nothing changed
    assert load_recipe("copy", ["output=other"]).folder == Path("other")


def test_a_run_folder_may_be_told_from_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_recipe(write(tmp_path, "corpus: {path: d}"), ["output=~/r"]).folder == tmp_path / "r"


def test_a_home_of_nobody_is_refused_wherever_a_recipe_names_a_folder(tmp_path):
    said = "'~no-such-user/x' begins with ~no-such-user, and there is no home folder of that user. Write the path out"
    with pytest.raises(RecipeError, match=said):
        _ = load_recipe(write(tmp_path, "corpus: {path: d}"), ["output=~no-such-user/x"]).folder
    with pytest.raises(RecipeError, match=said):
        load_recipe(write(tmp_path, "corpus: {path: a/b, local: {path: c}}\ndata: {root: ~no-such-user/x}"))
    with pytest.raises(RecipeError, match=said):
        load_recipe(write(tmp_path, "recipe: {output: ~no-such-user/x}\nenvironment: {}"))


@pytest.mark.parametrize("text", [None, "[]", "name: mine", "a: [", "a: 2024-13-45"])
def test_a_folder_without_the_recipe_of_a_run_is_no_run_folder(tmp_path, text):
    if text:
        write(tmp_path, text)
    with pytest.raises(RecipeError, match="is no run folder: it holds no recipe"):
        load_run_recipe(tmp_path)
