"""Encoders from bare checkpoints of every family."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from gecko_hf.errors import RecipeError
from gecko_hf.model.build import build_encoder
from gecko_hf.model.encoder import load_encoder, save_encoder
from gecko_hf.model.task_prefix import with_tasks

ENCODERS = ["bert", "modernbert", "eurobert"]
TEXTS = ["the knight protects the pawn before any castle number 3 is ready.", "oven flour", "bees"]


@pytest.mark.parametrize("family", ENCODERS)
def test_a_bare_encoder_gets_mean_pooling_and_unit_length_in_float32(bare_checkpoint, family):
    model = load_encoder(bare_checkpoint(family), 48)
    assert [type(m).__name__ for m in model] == ["Transformer", "Pooling", "Normalize"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.max_seq_length == 48
    assert (model[1].pooling_mode, model[1].include_prompt) == ("mean", True)
    with torch.no_grad():
        features = model.preprocess(["task: clustering | query: " + TEXTS[0]])
        hidden = model[0].model(input_ids=features["input_ids"], attention_mask=features["attention_mask"])[0]
    mean = hidden.mean(dim=1)
    expected = torch.nn.functional.normalize(mean, dim=1).numpy()
    np.testing.assert_allclose(with_tasks(model).encode(TEXTS[:1], task="clustering"), expected, atol=1e-6)


@pytest.mark.parametrize("family", ENCODERS)
def test_a_projection_begins_as_the_first_dimensions_and_stands_only_where_it_is_needed(bare_checkpoint, family):
    whole = build_encoder(bare_checkpoint(family), max_seq_length=48)
    narrow = build_encoder(bare_checkpoint(family), 8, max_seq_length=48)
    assert [type(m).__name__ for m in narrow] == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert narrow.get_embedding_dimension() == 8
    np.testing.assert_allclose(
        narrow.encode(TEXTS), whole.encode(TEXTS, truncate_dim=8, normalize_embeddings=True), atol=1e-6
    )
    assert len(build_encoder(bare_checkpoint(family), 32, max_seq_length=48)) == 3


@pytest.mark.parametrize("family", ENCODERS)
def test_what_is_saved_loads_plainly_with_equal_vectors(bare_checkpoint, family, tmp_path):
    model = build_encoder(bare_checkpoint(family), 8, max_seq_length=48)
    save_encoder(model, tmp_path / "model")
    types = [m["type"] for m in json.loads((tmp_path / "model" / "modules.json").read_text())]
    assert all(t.startswith("sentence_transformers.") for t in types)
    again = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_array_equal(again.encode_query(TEXTS), model.encode_query(TEXTS))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["modernbert", "eurobert"])
def test_padding_on_either_side_leaves_the_vectors_as_they_are(bare_checkpoint, family, side):
    gecko = with_tasks(build_encoder(bare_checkpoint(family), max_seq_length=48))
    gecko.tokenizer.padding_side = side
    documents = [{"title": "Chess", "text": t} for t in TEXTS]
    alone = np.concatenate([gecko.encode_document([d]) for d in documents])
    np.testing.assert_allclose(gecko.encode_document(documents), alone, atol=2e-6)


def test_a_decoder_is_refused(bare_checkpoint):
    with pytest.raises(RecipeError, match="whose first token does not see the last: it reads from left to right"):
        load_encoder(bare_checkpoint("decoder"), 48)


def test_a_width_that_the_base_does_not_have_is_refused(bare_checkpoint):
    with pytest.raises(RecipeError, match=r"encoder\.dim is 64, but .* has 32 dimensions"):
        load_encoder(bare_checkpoint("bert"), 48, dim=64)


def test_another_width_for_a_finished_model_is_refused(tiny_model_path):
    with pytest.raises(
        RecipeError, match=r"encoder\.dim is 8, but .* is a finished sentence-transformers model of width 32"
    ):
        load_encoder(str(tiny_model_path), 48, dim=8)


def test_the_attention_of_the_recipe_is_used(bare_checkpoint):
    model = load_encoder(bare_checkpoint("modernbert"), 48, attention="eager")
    assert model.transformers_model.config._attn_implementation == "eager"
