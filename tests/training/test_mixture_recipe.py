"""What can be seen to be wrong with a mixture before anything is read, and the shares of its sets."""

import re

import pytest
from torch import nn

from gecko_hf.errors import RecipeError
from gecko_hf.training.mixture_recipe import NAME, TAKEN, DataRecipe, check_mixture, steps_shares


def reread(**other):
    return DataRecipe(**{"kind": "reread", "of": ["b"], "tasks": {"x": 1.0}, "learn": 0.0, "keep": 1.0} | other)


@pytest.mark.parametrize(
    ("mixture", "says"),
    [
        ({"a": DataRecipe(kind="pairs")}, "finetune.mixture.a.source is missing"),
        ({"a": DataRecipe(kind="fret", weight=1.0), "b": DataRecipe(kind="fret")}, "a has a weight and b has none"),
        ({"a": DataRecipe(kind="fret", weight=0.0)}, "it must be positive"),
        ({"a": DataRecipe(kind="fret", negatives="own_only", hard_negatives=0)}, "neither in-batch nor hard negatives"),
        ({"a": DataRecipe(kind="fret", hard_negatives=17)}, "give 0 to 16"),
        ({"a": DataRecipe(kind="fret", positives="label")}, "a: positives: label goes with kind: labels"),
        ({"a": DataRecipe(kind="labels", source="x", positives="label", hard_negatives=1)}, "and no hard ones"),
        ({"a": DataRecipe(kind="fret", learn=0.0)}, "learn 0 and keep 0"),
        (
            {"a.b": DataRecipe(kind="fret")},
            "finetune.mixture: a data set is called 'a.b', and a name is made of letters",
        ),
        ({"": DataRecipe(kind="fret")}, "a data set is called ''"),
        ({"train": DataRecipe(kind="fret")}, "a data set is called 'train', and PyTorch uses that name itself"),
        (
            {"a": DataRecipe(kind="pairs", source="x", columns={"negative": "n"})},
            "a.columns names a column for negative, and kind: pairs reads no hard negatives",
        ),
        (
            {"a": DataRecipe(kind="fever", source="x", columns={"negative_passages": "n"})},
            "Set hard_negatives: 1, or leave the column out.",
        ),
        (
            {"a": DataRecipe(kind="pairs", source="x", columns={"question": "query"})},
            "a.columns names a column for 'question', and kind: pairs reads query, positive, title, negative, scores.",
        ),
        ({"a": DataRecipe(kind="passages", source="x", keep=1.0, scores=True)}, "Choose scores or keep"),
        ({"a": DataRecipe(kind="fret", of=["b"])}, "of and tasks go with kind: reread, and this is kind: fret"),
        ({"a": reread(of=[]), "b": DataRecipe(kind="fret")}, "a.of is []. Name each once, of b."),
        (
            {"a": reread(of=["c", "b"]), "b": DataRecipe(kind="fret")},
            "a.of names c, which is no set that can be read again. Name each once, of b.",
        ),
        ({"a": reread(), "b": reread()}, "a.of names b, which is no set that can be read again"),
        ({"a": reread(tasks={}), "b": DataRecipe(kind="fret")}, "a.tasks is {}. Give tasks with their shares"),
        ({"a": reread(tasks={"x": 0.0}), "b": DataRecipe(kind="fret")}, "Give tasks with their shares"),
        ({"a": reread(learn=1.0), "b": DataRecipe(kind="fret")}, "a has learn 1 and keep 1. What is read again"),
        ({"a": reread(keep=0.0), "b": DataRecipe(kind="fret")}, "set learn: 0 and keep: 1"),
        ({"a": reread(of=["b", "b"]), "b": DataRecipe(kind="fret")}, "Name each once, of b."),
        ({"a": reread(tasks={"x": float("inf")}), "b": DataRecipe(kind="fret")}, "Give tasks with their shares"),
        (
            {"a": reread(source="x"), "b": DataRecipe(kind="fret")},
            "a: source would not be read. kind: reread has kind, of",
        ),
        (
            {"a": reread(half="first", where={"x": "y"}), "b": DataRecipe(kind="fret")},
            "a: where, half would not be read.",
        ),
    ],
)
def test_a_mixture_that_cannot_work_is_refused_before_reading(mixture, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        check_mixture(mixture, "finetune.mixture")


def test_every_name_that_a_torch_module_has_is_known_to_be_taken(tiny_model):  # transformers gives one more
    assert {name for name in dir(nn.Sequential()) if NAME.fullmatch(name)} <= TAKEN


def test_hard_negatives_of_a_column_are_read_where_their_number_is_given():
    check_mixture({"a": DataRecipe(kind="pairs", source="x", columns={"negative": "n"}, hard_negatives=1)}, "m")
    check_mixture({"a": DataRecipe(kind="passages", source="x", columns={"negative_passages": "n"})}, "m")


def test_shares_are_the_weights_or_the_sizes():
    weighted = {"a": DataRecipe(kind="fret", weight=3.0), "b": DataRecipe(kind="fret", weight=1.0)}
    assert steps_shares(weighted, [10, 990]) == [0.75, 0.25]
    assert steps_shares({"a": DataRecipe(kind="fret"), "b": DataRecipe(kind="fret")}, [10, 990]) == [0.01, 0.99]
