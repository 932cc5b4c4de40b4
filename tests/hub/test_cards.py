"""Both cards: valid for the Hub, complete, and without a number that the run did not measure."""

import jinja2
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard

from gecko_hf.fret.build import FRet, write_fret
from gecko_hf.hub.cards import render, table_cell, write_cards
from gecko_hf.hub.tables import gain, markdown_table
from gecko_hf.prompts import model_prompts
from gecko_hf.run_folder import Paths

ROW = {
    "task": "search result", "query": "a | b", "positive_title": "T", "positive": "word " * 60, "negative_title": None,
    "negative": None,
}  # fmt: skip


@pytest.fixture
def cards(summary, passages, tmp_path):
    paths = Paths(tmp_path)
    paths.model.mkdir()
    write_fret(FRet([ROW] * 2, [{"query_id": 0}], []), passages, paths.fret)
    write_cards(summary, paths)
    return (paths.model / "README.md").read_text(), (paths.fret / "README.md").read_text()


def test_the_model_card_has_every_prompt_score_and_gain(cards, summary):
    card = ModelCard(cards[0])
    assert card.data.library_name == "sentence-transformers"
    for name, prefix in model_prompts().items():
        assert f"| `{name}` | `{prefix.replace('|', chr(92) + '|')}` |" in cards[0]
    assert markdown_table(summary) in cards[0]
    assert "+7.5 at 32, +6.0 at 8" in cards[0]


def test_the_data_set_card_names_its_configs_and_shows_rows(cards):
    card = DatasetCard(cards[1])
    configs = {c["config_name"]: c for c in yaml.safe_load(cards[1].split("---")[1])["configs"]}
    assert set(configs) == {"default", "labels", "corpus"}
    assert configs["default"]["default"] is True
    assert "2 rows of task, query" in card.text
    assert r"| search result | a \| b |" in cards[1]


def test_both_cards_say_that_no_llm_was_used(cards):
    assert all("No LLM was used" in card for card in cards)


def test_a_value_that_the_run_does_not_have_is_an_error_and_no_gap(summary):
    with pytest.raises(jinja2.UndefinedError):
        render("model_card.md.jinja", {"summary": summary})


def test_a_cell_is_one_short_line_without_markup():
    assert table_cell("a\n b | <c> `d`") == r"a b \| &lt;c> 'd'"
    assert table_cell("w " * 100).count("w") == 40
    assert table_cell(None) == ""


def test_gains_are_points_over_the_base_at_the_same_width(summary):
    assert gain(summary, 32) == pytest.approx(7.5)
    assert gain(summary, 8) == pytest.approx(6.0)


def test_the_data_set_card_counts_what_each_gate_set_aside_and_names_the_test_sets(summary, passages, tmp_path):
    summary["fret"] |= {"set_aside": {"copied": 1200, "test query": 3}, "test_sets": ["SciFact", "exams"]}
    paths = Paths(tmp_path)
    paths.model.mkdir()
    write_fret(FRet([ROW], [{"query_id": 0}], []), passages, paths.fret)
    write_cards(summary, paths)
    card = (paths.fret / "README.md").read_text()
    assert "- Set aside, by gate: copied (1,200), test query (3)." in card
    assert "no query and no positive repeats: SciFact, exams." in card
