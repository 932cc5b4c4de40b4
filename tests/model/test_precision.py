import pytest
import torch

from gecko_hf.model.precision import computing_in, precision_of


@pytest.mark.parametrize(("emulated", "precision"), [(True, "float32"), (False, "bfloat16")])
def test_bfloat16_is_not_taken_on_a_gpu_that_emulates_it(monkeypatch, emulated, precision):
    def supported(including_emulation=True):
        return including_emulation or not emulated

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert precision_of("auto") == precision


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_are_computed_in_the_precision_and_weights_stay_as_they_are(precision):
    layer = torch.nn.Linear(4, 4)
    with computing_in(precision, torch.device("cpu")):
        assert layer(torch.ones(1, 4)).dtype == getattr(torch, precision)
    assert layer.weight.dtype == torch.float32
    assert layer(torch.ones(1, 4)).dtype == torch.float32
