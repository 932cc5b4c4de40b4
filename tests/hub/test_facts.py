"""The prompts on card and record are those that language models read when FRet was made."""

import hashlib
import json
import shutil

import pytest

from gecko_hf.hub.cards import fret_card
from gecko_hf.hub.provenance import fret_provenance
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.run_folder import Paths, write_json


@pytest.fixture
def earlier(paths, tmp_path):
    """The run folder as an earlier version left it, which did not note the prompts that were read."""
    copy = Paths(shutil.copytree(paths.root, tmp_path / "run"))
    (copy.logs / "fret_prompts.json").unlink()
    return copy


@pytest.fixture
def prompted(real):
    """A summary whose recipe names a language model."""
    llm = real["recipe"]["llm"] | {"backend": "local", "model": "org/llm", "prompts": None}
    return real | {"recipe": real["recipe"] | {"llm": llm}}


def test_the_prompts_of_a_language_model_are_shown_in_full(prompted, earlier):
    card = fret_card(prompted, earlier, "org/fret")
    assert all(head in card for head in load_prompts().heads.values())


def test_card_and_provenance_have_the_prompts_that_were_read_whatever_the_files_say_now(prompted, earlier):
    read = {"p_qg": "Ask for the b\u00fccher.\n\n"}
    write_json(read, earlier.logs / "fret_prompts.json")
    gone = prompted | {"recipe": prompted["recipe"] | {"llm": prompted["recipe"]["llm"] | {"prompts": "moved/away"}}}
    assert "Ask for the b\u00fccher." in fret_card(gone, earlier, "org/fret")
    record = json.loads(fret_provenance(gone, earlier, {}, b""))
    assert record["prompts"] == {"p_qg": hashlib.sha256(read["p_qg"].encode("utf-8")).hexdigest()}


def test_a_prompt_that_one_pass_does_not_send_is_not_among_those_that_were_read(prompted, earlier):
    recipe = prompted["recipe"]
    once = prompted | {"recipe": recipe | {"fret": recipe["fret"] | {"one_pass": True}}}
    card = fret_card(once, earlier, "org/fret")
    assert load_prompts().heads["p_ql"] not in card
    assert load_prompts().heads["p_rc"] in card
    assert "by query likelihood (QL, from the same prompt as RC) and by the likelihood" in card


def test_of_two_models_the_card_shows_the_prompts_that_each_has_read(prompted, earlier):
    judge = prompted["recipe"]["llm"] | {"prompts": "multilingual"}
    card = fret_card(prompted | {"recipe": prompted["recipe"] | {"judge": judge}}, earlier, "org/fret")
    english, foreign = load_prompts().heads, load_prompts("multilingual").heads
    assert all(head in card for head in (english["p_qg"], foreign["p_ql"], foreign["p_rc"]))
    assert foreign["p_qg"] not in card
