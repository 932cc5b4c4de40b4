"""LoRA: only adapters are trained, and the saved model is merged."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from gecko_hf.errors import RecipeError
from gecko_hf.model.encoder import save_encoder
from gecko_hf.model.lora import LoraRecipe, add_lora, merge_lora

pytest.importorskip("peft", reason="pip install 'gecko-hf[lora]'")
TEXTS = ["the knight protects the pawn", "oven flour"]


@pytest.fixture
def adapted(tiny_model):
    add_lora(tiny_model, LoraRecipe(rank=4, alpha=8))
    with torch.no_grad():
        for name, parameter in tiny_model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    return tiny_model.eval()


def test_only_adapters_are_trained(adapted):
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


def test_merging_keeps_the_vectors_and_leaves_the_architecture_of_the_base(adapted, tiny_model_path, tmp_path):
    base = SentenceTransformer(str(tiny_model_path), device="cpu")
    before = adapted.encode(TEXTS)
    assert not np.allclose(before, base.encode(TEXTS), atol=1e-3)
    merge_lora(adapted)
    np.testing.assert_allclose(adapted.encode(TEXTS), before, atol=1e-5)
    assert adapted.state_dict().keys() == base.state_dict().keys()
    assert all(p.requires_grad for p in adapted.parameters())
    save_encoder(adapted, tmp_path / "model")
    assert not list((tmp_path / "model").glob("adapter*"))
    np.testing.assert_array_equal(
        SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS), adapted.encode(TEXTS)
    )


def test_merging_a_model_without_adapters_does_nothing(tiny_model):
    before = tiny_model.encode(TEXTS)
    merge_lora(tiny_model)
    np.testing.assert_array_equal(tiny_model.encode(TEXTS), before)


def test_names_that_no_module_has_are_refused(tiny_model):
    with pytest.raises(RecipeError, match=r"encoder\.lora\.targets is \['nothing'\]"):
        add_lora(tiny_model, LoraRecipe(rank=4, targets=["nothing"]))
