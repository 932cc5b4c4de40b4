import pytest
import torch
from torch import nn

from gecko_hf.model.build import build_encoder
from gecko_hf.model.dropout import without_dropout
from gecko_hf.model.lora import LoraRecipe, add_lora


def twice_the_same(model) -> bool:
    features = model.preprocess(["bread oven", "the mast of a ship"])
    first, second = (model(dict(features))["sentence_embedding"] for _ in range(2))
    return torch.equal(first, second)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("bert", "modules"),
        ("modernbert", "modules"),
        ("modernbert", "attention"),
        ("eurobert", "attention"),
        ("t5", "modules"),
        ("t5", "attention"),
    ],
)
def test_a_training_model_embeds_a_text_twice_alike_without_it(bare_checkpoint, family, kind):
    model = build_encoder(bare_checkpoint(family), max_seq_length=48).train()
    for module in model.modules():  # whatever the checkpoint has, one of the two places has a rate now
        if isinstance(module, nn.Dropout):
            module.p = 0.5 if kind == "modules" else 0.0
        for name in ("attention_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.5 if kind == "attention" else 0.0)
    assert not twice_the_same(model)
    with without_dropout(model):
        assert twice_the_same(model)
    assert not twice_the_same(model)


def test_the_dropout_of_adapters_is_a_choice_of_its_own(tiny_model):
    pytest.importorskip("peft", reason="pip install 'gecko-hf[lora]'")
    add_lora(tiny_model, LoraRecipe(rank=2, dropout=0.3))
    with without_dropout(tiny_model):
        rates = {name: m.p for name, m in tiny_model.named_modules() if isinstance(m, nn.Dropout)}
    assert {rate for name, rate in rates.items() if "lora_dropout" in name} == {0.3}
    assert {rate for name, rate in rates.items() if "lora_dropout" not in name} == {0.0}
