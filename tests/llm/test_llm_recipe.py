"""Each backend has its own options; those of another are refused before any work."""

import re

import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.recipe import load_recipe


def load(folder, llm: str):
    file = folder / "recipe.yaml"
    file.write_text(f"corpus: {{path: docs}}\nllm: {llm}\n", encoding="utf-8")
    return load_recipe(file).llm


@pytest.mark.parametrize(
    ("llm", "says"),
    [
        ("{model: some/llm}", "llm.model is for llm.backend local; with unigram it would not be read. unigram reads drop_words"),
        ("{backend: local, model: m, drop_words: 0.5}", "llm.drop_words is for llm.backend unigram"),
        ("{backend: local}", "llm.model is missing. Name a folder or a Hub id of a causal LM: llm.model=PATH"),
        ("{backend: local, model: m, temperature: 3}", "it must be between 0.0 and 2.0"),
        ("{backend: local, model: m, dtype: half}", "it must be one of auto, float32, bfloat16, float16"),
        ("{backend: gpt}", "it must be one of unigram, local"),
        ("{backend: local, modle: m}", "Did you mean llm.model?"),
    ],
)  # fmt: skip
def test_misuse_is_named_with_what_would_be_right(tmp_path, llm, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        load(tmp_path, llm)


def test_the_defaults_of_another_backend_are_no_misuse(tmp_path):
    assert load(tmp_path, "{backend: local, model: m, drop_words: 0.33}").name == "m"
    assert load(tmp_path, "{}").name == "unigram"


def test_what_rows_do_not_depend_on_redoes_nothing():
    local = {"backend": "local", "model": "m"}
    assert LLMRecipe(**local, batch_tokens=512).identity() == LLMRecipe(**local).identity()
    assert LLMRecipe(**local, device="cuda:1").identity() == LLMRecipe(**local).identity()
    assert LLMRecipe(**local, temperature=0.1).identity() != LLMRecipe(**local).identity()


def test_other_few_shot_prompts_are_other_rows(tmp_path):
    from causal import write_prompts

    own = LLMRecipe(backend="local", model="m", prompts=str(write_prompts(tmp_path)))
    assert own.identity()["prompts"] != LLMRecipe(backend="local", model="m").identity()["prompts"]
    assert "prompts" not in LLMRecipe().identity()
