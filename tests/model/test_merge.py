import copy

import pytest
import torch

from gecko_hf.model.encoder import load_encoder
from gecko_hf.model.merge import merge_into


@pytest.fixture
def moved(tiny_model):
    other = copy.deepcopy(tiny_model)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.01 * torch.ones_like(p))
    return other


def test_every_weight_lies_on_the_line_between_the_two(tiny_model, moved):
    expected = {k: 0.7 * v + 0.3 * moved.state_dict()[k] for k, v in copy.deepcopy(tiny_model).state_dict().items()}
    untouched = copy.deepcopy(moved).state_dict()
    merge_into(tiny_model, moved, 0.3)
    for name, tensor in tiny_model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name].to(tensor), atol=1e-6, rtol=1e-6)
    for name, tensor in moved.state_dict().items():
        assert torch.equal(tensor, untouched[name])


@pytest.mark.parametrize(("share", "which"), [(0.0, "own"), (1.0, "other")])
def test_the_ends_of_the_line_are_the_models_themselves(tiny_model, moved, share, which):
    end = (copy.deepcopy(tiny_model) if which == "own" else moved).encode(["bread oven"])
    merge_into(tiny_model, moved, share)
    torch.testing.assert_close(torch.tensor(tiny_model.encode(["bread oven"])), torch.tensor(end))


def test_weights_that_stand_under_two_names_are_moved_once():
    """As T5's embeddings do."""

    def tied(value):
        model = torch.nn.ModuleDict({"shared": torch.nn.Linear(2, 2, bias=False), "own": torch.nn.Linear(2, 2)})
        model["own"].weight = model["shared"].weight
        torch.nn.init.constant_(model["shared"].weight, value)
        return model

    model = tied(1.0)
    merge_into(model, tied(0.0), 0.5)
    assert torch.equal(model["shared"].weight, torch.full((2, 2), 0.5))


def test_a_share_out_of_range_is_refused(tiny_model, tiny_model_path):
    with pytest.raises(ValueError, match="between 0 and 1"):
        merge_into(tiny_model, load_encoder(str(tiny_model_path), 48), 1.5)


def test_models_of_another_shape_are_refused(tiny_model, moved):
    moved.append(torch.nn.Linear(32, 8))
    with pytest.raises(ValueError, match="one architecture"):
        merge_into(tiny_model, moved, 0.5)
