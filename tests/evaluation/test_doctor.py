"""Every route to a vector is the same string in front of the same text, for every mteb task type and both sides."""

import pytest
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from gecko_hf.cli.main import app
from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.doctor import check_parity, findings
from gecko_hf.evaluation.prompt_report import type_rows
from gecko_hf.model.encoder import save_encoder
from gecko_hf.prompts import model_prompts

TEXTS = ["the knight protects the pawn", "bread needs flour before any oven is ready ."]


@pytest.fixture
def saved(tiny_model, tmp_path):
    save_encoder(tiny_model, tmp_path / "model")
    return SentenceTransformer(str(tmp_path / "model"), device="cpu")


def test_plain_by_hand_and_mteb_give_equal_vectors_for_every_type_and_side(saved):
    checks = check_parity(saved, type_rows(saved), TEXTS)
    assert len(checks) == 17  # four search types with two sides, nine that do not tell them apart
    assert all(check.row.prefix and check.equal for check in checks)
    assert findings(saved, checks) == []


@pytest.mark.parametrize("name", sorted({row for row in model_prompts() if row not in ("query", "document")}))
def test_one_changed_character_in_any_prompt_is_found(minilm, name):
    """The report is taken before the change, as a card would carry it; the model then reads something else."""
    minilm.model.prompts = dict(model_prompts())
    rows = [row for row in type_rows(minilm.model) if row.name == name]
    minilm.model.prompts[name] = minilm.model.prompts[name].replace(":", ";", 1)
    if not rows:  # mteb 2 never asks for a side of Summarization; the keys wait for the version that does
        assert name in ("Summarization-query", "Summarization-document")
        return
    (check,) = check_parity(minilm.model, rows, TEXTS)
    assert check.by_hand > 1e-3
    assert not check.equal


def test_pooling_that_leaves_the_prompt_out_is_found(saved):
    saved.set_pooling_include_prompt(False)
    checks = check_parity(saved, type_rows(saved), TEXTS)
    assert any("include_prompt" in finding for finding in findings(saved, checks))


def test_prompts_that_sentence_transformers_names_itself_agree_too(tiny_model):
    tiny_model.prompts = {"query": "task: bees | query: ", "passage": "title: none | text: "}
    rows = [row for row in type_rows(tiny_model) if row.task == "Retrieval"]
    assert all(check.equal for check in check_parity(tiny_model, rows, TEXTS))


class TestCommand:
    def test_a_gecko_model_passes(self, saved, tmp_path):
        result = CliRunner().invoke(app, ["doctor", str(tmp_path / "model")])
        assert result.exit_code == 0
        assert "agree on all 17 rows" in " ".join(result.output.split())

    def test_findings_name_the_key_and_make_the_exit_code_1(self, saved, tmp_path):
        del saved.prompts["STS"]
        saved.save_pretrained(str(tmp_path / "broken"), create_model_card=False)
        result = CliRunner().invoke(app, ["doctor", str(tmp_path / "broken"), "--tasks", "STS12"])
        assert result.exit_code == 1
        assert "the model's prompts have no key 'STS'" in " ".join(result.output.split())

    def test_a_model_that_is_not_there(self, tmp_path):
        with pytest.raises(EvaluationError, match="Give a folder, a Hub id"):
            CliRunner().invoke(app, ["doctor", "no/such-model"], catch_exceptions=False)
