"""Saved models are in the form that sentence-transformers before 6 and text-embeddings-inference read."""

import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

from gecko_hf.model.encoder import save_encoder
from gecko_hf.model.portable import make_portable

TEXTS = ["ovens need flour", "", "a query about bees and hives " * 9]


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture
def model(tiny_model_path):
    return SentenceTransformer(str(tiny_model_path), device="cpu")


def test_every_file_has_what_the_old_readers_ask_for(model, tmp_path):
    model.max_seq_length = 20
    save_encoder(model, tmp_path / "m")
    kinds = [m["type"] for m in read(tmp_path / "m" / "modules.json")]
    assert kinds == [f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Normalize")]
    # The fields of STConfig and PoolConfig in text-embeddings-inference's router.
    assert read(tmp_path / "m" / "sentence_bert_config.json")["max_seq_length"] == 20
    pooling = read(tmp_path / "m" / "1_Pooling" / "config.json")
    assert pooling["word_embedding_dimension"] == 32
    assert [key for key, on in pooling.items() if on is True] == ["pooling_mode_mean_tokens", "include_prompt"]
    assert {"pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"} < set(pooling)


@pytest.mark.parametrize("dense", [False, True])
def test_vectors_prompts_and_length_are_what_they_were(model, tmp_path, dense):
    if dense:
        torch.manual_seed(0)
        model.insert(2, Dense(32, 16, bias=False, activation_function=torch.nn.Identity()))
    model.max_seq_length = 20
    save_encoder(model, tmp_path / "m")
    loaded = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    assert (loaded.max_seq_length, loaded.prompts) == (20, model.prompts)
    for name in ("STS", "Retrieval-document"):
        np.testing.assert_array_equal(loaded.encode(TEXTS, prompt_name=name), model.encode(TEXTS, prompt_name=name))
    if dense:
        named = read(tmp_path / "m" / "2_Dense" / "config.json")
        assert set(named) == {"in_features", "out_features", "bias", "activation_function"}


def test_what_the_old_form_cannot_say_stays(model, tmp_path):
    model[1] = Pooling(32, pooling_mode=("cls", "mean"))
    model.pop(2)
    model.save_pretrained(str(tmp_path / "m"), create_model_card=False)
    shutil.copytree(tmp_path / "m", tmp_path / "before")
    transformer = read(tmp_path / "m" / "sentence_bert_config.json")
    (tmp_path / "m" / "sentence_bert_config.json").write_text(json.dumps(transformer | {"unpad_inputs": True}))
    make_portable(tmp_path / "m", 20)
    assert read(tmp_path / "m" / "1_Pooling" / "config.json") == read(tmp_path / "before" / "1_Pooling" / "config.json")
    assert read(tmp_path / "m" / "sentence_bert_config.json")["unpad_inputs"] is True
