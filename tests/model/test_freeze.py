import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.model.build import build_encoder
from gecko_hf.model.freeze import frozen_layers


def trainable(model) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_embeddings_and_lower_layers_stand_still_and_move_again_afterwards(tiny_model):
    everything = trainable(tiny_model)
    with frozen_layers(tiny_model, 1):
        moving = trainable(tiny_model)
    assert any("layer.1." in name for name in moving)
    assert not any("embeddings" in name or "layer.0." in name for name in moving)
    assert trainable(tiny_model) == everything


def test_nothing_is_differentiated_through_what_stands_still(tiny_model):
    with frozen_layers(tiny_model, 1):
        tiny_model(tiny_model.preprocess(["bread oven"]))["sentence_embedding"].sum().backward()
    without = {name for name, p in tiny_model.named_parameters() if p.grad is None}
    assert all(name in without for name, _ in tiny_model.named_parameters() if "layer.0." in name)
    assert any(p.grad is not None for _, p in tiny_model.named_parameters())


def test_zero_freezes_nothing(tiny_model):
    with frozen_layers(tiny_model, 0):
        assert all(p.requires_grad for p in tiny_model.parameters())


def test_what_was_frozen_before_stays_frozen(tiny_model):
    parameter = next(tiny_model.parameters()).requires_grad_(False)
    with frozen_layers(tiny_model, 1):
        pass
    assert not parameter.requires_grad


def test_one_layer_must_be_left_to_train(tiny_model):
    with (
        pytest.raises(RecipeError, match="freeze_layers is 2, and the encoder has 2 layers"),
        frozen_layers(tiny_model, 2),
    ):
        pass


@pytest.mark.parametrize("family", ["bert", "modernbert", "eurobert"])
def test_every_family_has_its_embeddings_and_lowest_layer_found(bare_checkpoint, family):
    model = build_encoder(bare_checkpoint(family), max_seq_length=48)
    with frozen_layers(model, 1):
        still = [name for name, p in model.named_parameters() if not p.requires_grad]
        assert any("embed" in name for name in still)
        assert any(".0." in name for name in still)
        assert not any(".1." in name.replace("0.model.", "") for name in still)
