"""Queries of a mixture's sets, read again under the prompts that they are not taught under."""

from collections import Counter

import datasets
import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.prompts import without_prompt
from gecko_hf.training.data import TrainingSet
from gecko_hf.training.mixture_recipe import DataRecipe
from gecko_hf.training.reread import read_again

TASKS = {"search result": 3.0, "clustering": 1.0}


def one_set(name, count, mark="", kind="pairs"):
    queries = [f"task: classification | query: {mark}{name}{i}" for i in range(count)]
    rows = datasets.Dataset.from_dict({"anchor": queries, "positive": ["title: none | text: p"] * count})
    return TrainingSet(name, rows, {}, DataRecipe(kind=kind))


@pytest.fixture
def sets():
    return [one_set("a", 300), one_set("b", 101, mark="id: 0123456789 | ", kind="labels"), one_set("c", 50)]


def again(sets, of=("a", "b"), rows=None, seed=1):
    recipe = DataRecipe(kind="reread", of=list(of), tasks=TASKS, learn=0.0, keep=1.0, rows=rows)
    return read_again("again", recipe, sets, seed)


def texts(made):
    return [without_prompt(text) for column in ("anchor", "positive") for text in made.rows[column]]


def test_every_query_of_the_named_sets_stands_there_once_without_its_id(sets):
    made = again(sets)
    found = texts(made)
    wanted = {f"a{i}" for i in range(300)} | {f"b{i}" for i in range(101)}
    assert len(found) == len(set(found)) == 400
    assert set(found) < wanted
    assert made.set_aside == {"no second text for a row": 1}


def test_both_texts_of_a_row_have_its_task_and_the_tasks_have_their_shares(sets):
    rows = again(sets).rows
    tasks = [[text.split(" | ")[0] for text in row.values()] for row in rows]
    assert all(first == second for first, second in tasks)
    counts = Counter(first for first, _ in tasks)
    assert set(counts) == {"task: search result", "task: clustering"}
    assert 0.65 < counts["task: search result"] / len(rows) < 0.85


def test_a_cap_takes_equally_of_each_set(sets):
    made = again(sets, of=("a", "b", "c"), rows=60)
    assert len(made.rows) == 60
    assert Counter(text[0] for text in texts(made)) == {"a": 40, "b": 40, "c": 40}


def test_what_a_small_set_cannot_give_the_others_do(sets):
    made = again(sets, of=("a", "b", "c"), rows=150)
    assert Counter(text[0] for text in texts(made)) == {"a": 149, "b": 101, "c": 50}


def test_the_seed_decides(sets):
    assert again(sets).rows[:] == again(sets).rows[:]
    assert again(sets).rows[:] != again(sets, seed=2).rows[:]


def test_a_query_that_only_looks_as_if_it_had_an_id_stays_whole():
    assert sorted(texts(again([one_set("a", 2, mark="id: card | ")], of=["a"]))) == ["id: card | a0", "id: card | a1"]


def test_fewer_than_two_texts_are_refused():
    with pytest.raises(RecipeError, match="again has no row: 1 texts of a"):
        again([one_set("a", 1)], of=["a"])


def test_a_text_of_two_sets_is_read_once():
    both = [one_set("a", 4), TrainingSet("b", one_set("a", 4).rows, {}, DataRecipe())]
    assert sorted(texts(again(both))) == ["a0", "a1", "a2", "a3"]
