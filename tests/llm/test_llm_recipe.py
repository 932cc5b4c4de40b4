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
        ("{model: m}", "llm.model is for llm.backend local or tgi or openai or sglang; with unigram it would not be read."),
        ("{model: m}", "unigram reads drop_words, keep_content, other_sentences, max_query_words, lead_weight."),
        ("{backend: local, model: m, drop_words: 0.5}", "llm.drop_words is for llm.backend unigram"),
        ("{backend: local}", "llm.model is missing. Name a folder, a Hub id or a GGUF file of a causal LM: llm.model=NAME"),
        ("{backend: local, model: m, temperature: 3}", "it must be between 0.0 and 2.0"),
        ("{backend: local, model: m, dtype: half}", "it must be one of auto, float32, bfloat16, float16"),
        ("{backend: gpt}", "it must be one of unigram, local, tgi, openai, sglang"),
        ("{backend: local, model: m, url: 'http://h:1'}", "llm.url is for llm.backend tgi or openai or sglang; with local"),
        ("{backend: tgi, url: 'http://h:1', device: cpu}", "llm.device is for llm.backend local; with tgi"),
        ("{backend: tgi}", "llm.url is missing. Give the server's base URL: llm.url=http://127.0.0.1:8080"),
        ("{backend: openai, url: 'http://h:1'}", "llm.model is missing. Name the model as the server calls it"),
        ("{backend: tgi, url: 'h:1'}", "llm.url 'h:1' is no URL. Write it as http://HOST:PORT"),
        ("{backend: openai, model: m, url: 'http://h:1/v1'}", "ends in a route. Give the base URL: http://h:1"),
        ("{backend: tgi, url: 'http://h:808080'}", "llm.url 'http://h:808080' is no URL. Write it as http://HOST:PORT"),
        ("{backend: tgi, url: 'http://h:1', concurrency: 0}", "it must be at least 1"),
        ("{backend: local, modle: m}", "Did you mean llm.model?"),
    ],
)  # fmt: skip
def test_misuse_is_named_with_what_would_be_right(tmp_path, llm, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        load(tmp_path, llm)


@pytest.mark.parametrize("route", ["/v1", "/generate", "/v1/completions", "/v1/chat/completions"])
def test_a_url_with_a_route_is_answered_with_its_base(tmp_path, route):
    with pytest.raises(RecipeError, match=r"ends in a route\. Give the base URL: http://h:1$"):
        load(tmp_path, f"{{backend: sglang, model: m, url: 'http://h:1{route}'}}")


def test_a_most_of_money_without_a_price_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("corpus: {path: docs}\nbudget: {max_cost: 5}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"budget\.max_cost is 5, and no token has a price.*budget\.prompt_price"):
        load_recipe(tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml", ["budget.completion_price=2"]).budget.max_cost == 5


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        (
            "{backend: local}",
            "judge.model is missing. Name a folder, a Hub id or a GGUF file of a causal LM: judge.model=NAME",
        ),
        ("{backend: tgi, url: 'h:1'}", "judge.url 'h:1' is no URL"),
        ("{model: m}", "judge.model is for judge.backend local or tgi"),
        ("{backend: local, modle: m}", "Did you mean judge.model?"),
    ],
)
def test_the_judge_has_the_same_options_under_its_own_name(tmp_path, judge, says):
    with pytest.raises(RecipeError, match=re.escape(says)):
        load(tmp_path, f"{{backend: local, model: m}}\njudge: {judge}")


@pytest.mark.parametrize(
    "llm",
    ["{backend: tgi, url: 'http://me:hunter2@h:1'}", "{backend: tgi, url: 'http://h:1', api_key_env: hunter2-key}"],
)
def test_a_secret_in_a_recipe_is_refused_without_being_repeated(tmp_path, llm):
    with pytest.raises(RecipeError, match=r"llm\.(url|api_key_env)") as error:
        load(tmp_path, llm)
    assert "hunter2" not in str(error.value)


def test_several_servers_stand_in_one_line(tmp_path):
    assert load(tmp_path, "{backend: tgi, url: 'http://a:1/, http://b:2'}").urls == ["http://a:1", "http://b:2"]


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


def test_other_weights_in_the_folder_of_a_local_model_are_other_rows(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    local = LLMRecipe(backend="local", model=str(tmp_path))
    served = LLMRecipe(backend="openai", model=str(tmp_path), url="http://h:1")
    before, of_server = local.identity(), served.identity()
    assert local.identity() == before
    weights.write_bytes(b"two")
    assert local.identity() != before
    assert served.identity() == of_server
    assert "files" not in LLMRecipe(backend="local", model="org/name").identity()


class TestAnotherBackendBehindTheCommand:
    def load(self, folder, *overrides):
        file = folder / "recipe.yaml"
        file.write_text("corpus: {path: docs}\nllm: {backend: unigram, drop_words: 0.5}\n", encoding="utf-8")
        return load_recipe(file, overrides)

    def test_takes_over_what_it_reads_and_leaves_the_rest(self, tmp_path):
        assert self.load(tmp_path, "llm.backend=local", "llm.model=m").llm == LLMRecipe(backend="local", model="m")
        assert self.load(tmp_path, "llm.backend=unigram").llm.drop_words == 0.5

    def test_does_not_take_what_was_given_with_it_and_is_not_read(self, tmp_path):
        with pytest.raises(RecipeError, match=r"llm\.drop_words is for llm\.backend unigram"):
            self.load(tmp_path, "llm.backend=local", "llm.model=m", "llm.drop_words=0.4")

    def test_a_judge_of_its_own_likewise(self, tmp_path):
        made = self.load(tmp_path, "judge.backend=local", "judge.model=m")
        assert (made.judge, made.llm.drop_words) == (LLMRecipe(backend="local", model="m"), 0.5)

    @pytest.mark.parametrize(("name", "text"), [("quickstart", []), ("gecko-mini", []), ("domain", ["corpus.path=."])])
    def test_the_recipes_that_come_with_unigram_take_a_language_model(self, name, text):
        made = load_recipe(f"recipes/{name}", ["llm.backend=local", "llm.model=m", *text])
        assert made.llm == LLMRecipe(backend="local", model="m")
